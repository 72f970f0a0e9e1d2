"""From synthesised clips to what pretraining reads: WORLD features, the codec fitted on them, and codes of variants.

    analyse_clips(directory)                    # features/NAME.npy for each clips/NAME.flac, those that are missing
    codec = fitted_codec(directory)             # codec/
    clips = coded_clips(directory, codec)       # {name: Clip}, kept in codes-IDENTITY/

A clip's name is SPEAKER_NUMBER_SENTENCE, as `speech.py` gives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError
from tracker_logging.demo.pretrain.codec_examples import CodecClip
from tracker_logging.demo.pretrain.fit_codec import STEPS, fit_voice_codec
from tracker_logging.demo.pretrain.pairs import Clip, CodedVariant
from tracker_logging.demo.pretrain.speech import planned_sentences
from tracker_logging.demo.pretrain.variants import VARIANTS, varied
from tracker_logging.demo.pretrain.voices import KEPT
from tracker_logging.demo.voice_codec import VoiceCodec
from tracker_logging.demo.world_features import SAMPLE_RATE, SUB_FEATURES, Features, analyse
from tracker_logging.trackers.whole_file import write_whole

_PROCESSES = 2
_CHUNK = 64  # clips, for each of which a process would else receive the codec


def analyse_clips(directory: Path) -> None:
    """Takes about a tenth of the clips' duration on a core. A file that exists is complete."""
    features = directory / "features"
    features.mkdir(exist_ok=True)
    missing = [
        clip for clip in sorted((directory / "clips").glob("*.flac")) if not (features / f"{clip.stem}.npy").exists()
    ]
    _each(partial(_analyse, features), missing)


def _analyse(features: Path, clip: Path) -> None:
    _write(features / f"{clip.stem}.npy", np.save, analyse(load_audio(clip, SAMPLE_RATE)).astype(np.float32))


def fitted_codec(directory: Path, *, steps: int = STEPS) -> VoiceCodec:
    """The codec of the directory, fitted now on the trained speakers if there is none. Once clips are encoded and a
    model is trained on them it may not change, so it is kept when clips are added."""
    if not (directory / "codec").is_dir():
        paths = [path for path in _feature_files(directory) if speaker_of(path.stem) not in KEPT]
        counts = Counter(speaker_of(path.stem) for path in paths)
        clips = [_codec_clip(path) for path in paths if counts[speaker_of(path.stem)] > 1]
        fit_voice_codec(clips, steps=steps).save(directory / "codec")
    return VoiceCodec.load(directory / "codec")


def _codec_clip(path: Path) -> CodecClip:
    rows = np.load(path).astype(np.float32).reshape(-1, SUB_FEATURES)
    return CodecClip(speaker_of(path.stem), path.stem.rsplit("_", 1)[1], rows)


def coded_clips(directory: Path, codec: VoiceCodec) -> dict[str, Clip]:
    """All analysed clips of speakers that have two or more: those of trained speakers in all variants."""
    sentences, files = planned_sentences(), _feature_files(directory)
    codes = directory / f"codes-{codec.identity.split(':')[-1]}"
    codes.mkdir(exist_ok=True)
    _each(partial(_code, codes, codec), [path for path in files if not (codes / f"{path.stem}.npz").exists()])
    counts = Counter(speaker_of(path.stem) for path in files)
    return {
        path.stem: Clip(
            text=sentences[int(path.stem.rsplit("_", 1)[1])],
            speaker=speaker_of(path.stem),
            variants=_variants(codes / f"{path.stem}.npz"),
        )
        for path in files
        if counts[speaker_of(path.stem)] > 1
    }


def _code(codes: Path, codec: VoiceCodec, path: Path) -> None:
    features = _features(path)
    variants = VARIANTS if speaker_of(path.stem) not in KEPT else VARIANTS[:1]
    analysed = [varied(features, variant) for variant in variants]
    coded = [codec.coded(each) for each in analysed]
    arrays = {
        "codes": np.concatenate([of_variant for of_variant, _ in coded], axis=1).astype(np.int16),
        "frames": np.array([len(each) for each in analysed]),
        "voices": np.stack([voice for _, voice in coded]).astype(np.float32),
    }
    _write(codes / f"{path.stem}.npz", lambda file, values: np.savez(file, **values), arrays)


def _variants(path: Path) -> Sequence[CodedVariant]:
    with np.load(path) as arrays:
        parts = np.split(arrays["codes"].astype(np.int64), np.cumsum(arrays["frames"])[:-1], axis=1)
        return [CodedVariant(codes, voice) for codes, voice in zip(parts, arrays["voices"], strict=True)]


def speaker_of(name: str) -> str:
    """The speaker of a clip of this name."""
    return name.rsplit("_", 2)[0]


def _feature_files(directory: Path) -> list[Path]:
    paths = sorted((directory / "features").glob("*.npy"))
    if not paths:
        raise DataError(f"{directory}: contains no analysed clips. Run the step `speech` first.")
    return paths


def _features(path: Path) -> Features:
    features: Features = np.load(path).astype(np.float64)
    return features


def _each(work: Callable[[Path], None], paths: Sequence[Path]) -> None:
    context = get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(_PROCESSES, context, torch.set_num_threads, (1,)) as pool:
        for _ in pool.map(work, paths, chunksize=_CHUNK):
            pass


def _write(path: Path, save: Callable[[Any, Any], None], values: Any) -> None:
    def write(part: Path) -> None:
        with part.open("wb") as file:  # numpy adds a suffix to a path
            save(file, values)

    write_whole(path, write)
