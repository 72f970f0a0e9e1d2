"""The adapter of `HiggsAudioV2TokenizerModel`, on a small one with random weights.

It runs in its own process: transformers asks once whether torchaudio is installed, and for CPU torch there is none, so
a stand-in for the one function that the model calls is put on that process's path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker_logging.data.sample import DataError
from tracker_logging.families.higgs_v2.codec import HiggsCodec

STAND_IN = """
import torch
def resample(wave, source, target):
    return torch.nn.functional.interpolate(wave, scale_factor=target / source, mode="linear")
"""

SCRIPT = """
import copy, json, pickle, sys
import numpy as np, torch
from transformers import HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel
from tracker_logging.data.codes import CodeCache
from tracker_logging.families.higgs_v2.codec import HiggsCodec
from tracker_logging.data.codec import AudioCodec

config = HiggsAudioV2TokenizerConfig(
    acoustic_model_config=dict(model_type="dac", encoder_hidden_size=8, decoder_hidden_size=64, hidden_size=16,
                               downsampling_ratios=[8, 5, 4, 2, 3], upsampling_ratios=[8, 5, 4, 2, 3]),
    semantic_model_config=dict(model_type="hubert", hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                               intermediate_size=32, conv_dim=[16] * 7, mask_time_prob=0.0),
    codebook_dim=8, codebook_size=64, target_bandwidths=(0.3, 0.6))
torch.manual_seed(0)
model = HiggsAudioV2TokenizerModel(config)
model.save_pretrained(sys.argv[1])
codec = HiggsCodec(model)
wave = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
codes = codec.encode(wave)
again = HiggsCodec.from_pretrained(sys.argv[1])
with torch.no_grad():
    direct = model.encode(torch.from_numpy(wave)[None, None]).audio_codes[0].numpy()
other = copy.deepcopy(model)
with torch.no_grad():
    other.quantizer.quantizers[0].codebook.embed.add_(1.0)
print(json.dumps(dict(
    protocol=isinstance(codec, AudioCodec), shape=codes.shape, dtype=str(codes.dtype), low=int(codes.min()),
    high=int(codes.max()), direct=bool((codes == direct).all()), samples=codec.decode(codes).shape,
    wave_dtype=str(codec.decode(codes).dtype), empty=codec.decode(codes[:, :0]).shape, frame_rate=codec.frame_rate,
    moved=bool((pickle.loads(pickle.dumps(codec)).decode(codes) == codec.decode(codes)).all()),
    codebooks=codec.num_codebooks, size=codec.codebook_size, same=again.identity == codec.identity,
    same_codes=bool((again.encode(wave) == codes).all()), other=HiggsCodec(other).identity != codec.identity)))
"""


def test_it_is_an_audio_codec_around_the_library_s_model(tmp_path: Path) -> None:
    package = tmp_path / "path" / "torchaudio"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from torchaudio import functional\n")
    (package / "functional.py").write_text(STAND_IN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), str(Path.cwd())])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "saved")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    for claim in ("protocol", "direct", "same", "same_codes", "other", "moved"):
        assert seen[claim], claim
    assert (seen["frame_rate"], seen["codebooks"], seen["size"]) == (25.0, seen["shape"][0], 64)
    assert seen["shape"][1] == 25
    assert seen["dtype"] == "int64"
    assert 0 <= seen["low"] <= seen["high"] < 64
    assert seen["samples"] == [24_000]
    assert (seen["wave_dtype"], seen["empty"]) == ("float32", [0])


def test_a_missing_codec_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"torchaudio|Check --audio_tokenizer_path"):
        HiggsCodec.from_pretrained(str(tmp_path / "gone"))
