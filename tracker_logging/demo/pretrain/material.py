"""From synthesised clips to what pretraining reads: the codec fitted on them, and codes of variants.

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
from typing import TypeVar

import numpy as np
import torch

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError
from tracker_logging.demo.kokoro import SAMPLE_RATE
from tracker_logging.demo.pretrain.codec_examples import CodecClip, codec_clip
from tracker_logging.demo.pretrain.fit_codec import SOUND_STEPS, SPECTRUM_STEPS, fit_voice_codec
from tracker_logging.demo.pretrain.pairs import Clip, CodedVariant
from tracker_logging.demo.pretrain.speech import CLIPS, SOURCES, Source, planned_sentences, write_arrays
from tracker_logging.demo.pretrain.variants import VARIANTS, varied
from tracker_logging.demo.pretrain.voices import KEPT, NEW_SPEAKERS
from tracker_logging.demo.voice_codec import VoiceCodec

_PROCESSES = 2
_CHUNK = 64  # clips, for each of which a process would else receive the codec

Result = TypeVar("Result")


def fitted_codec(
    directory: Path, *, sound_steps: int = SOUND_STEPS, spectrum_steps: int = SPECTRUM_STEPS
) -> VoiceCodec:
    """The codec of the directory, fitted now on the trained speakers if there is none. Once clips are encoded and a
    model is trained on them it may not change, so it is kept when clips are added."""
    if not (directory / "codec").is_dir():
        paths = [path for path in _clip_files(directory) if speaker_of(path.stem) not in KEPT]
        clips = each_of(partial(_codec_clip, directory / SOURCES), paths)
        fit_voice_codec(clips, sound_steps=sound_steps, spectrum_steps=spectrum_steps).save(directory / "codec")
    return VoiceCodec.load(directory / "codec")


def _codec_clip(sources: Path, path: Path) -> CodecClip:
    source = Source.load(sources / f"{path.stem}.npz")
    return codec_clip(speaker_of(path.stem), load_audio(path, SAMPLE_RATE), source)


def coded_clips(directory: Path, codec: VoiceCodec) -> dict[str, Clip]:
    """All clips of trained and unseen speakers that have two or more: those of trained ones in all variants."""
    sentences, files = planned_sentences(), _clip_files(directory)
    counts = Counter(speaker_of(path.stem) for path in files)
    files = [path for path in files if counts[speaker_of(path.stem)] > 1 and speaker_of(path.stem) not in NEW_SPEAKERS]
    codes = directory / f"codes-{codec.identity.split(':')[-1]}"
    codes.mkdir(exist_ok=True)
    missing = [path for path in files if not (codes / f"{path.stem}.npz").exists()]
    each_of(partial(_code, directory / SOURCES, codes, codec), missing)
    return {
        path.stem: Clip(
            text=sentences[int(path.stem.rsplit("_", 1)[1])],
            speaker=speaker_of(path.stem),
            variants=_variants(codes / f"{path.stem}.npz"),
        )
        for path in files
    }


def _code(sources: Path, codes: Path, codec: VoiceCodec, path: Path) -> None:
    """Of a trained speaker in the style that the clip was made of, of others as the codec encodes them."""
    wave, variants = load_audio(path, SAMPLE_RATE), VARIANTS
    if speaker_of(path.stem) in KEPT:
        speech, variants = codec.analysed(wave), VARIANTS[:1]
    else:
        speech = codec.analysed(wave, Source.load(sources / f"{path.stem}.npz").style)
    coded = [codec.coded(varied(speech, variant)) for variant in variants]
    arrays = {
        "codes": np.concatenate(coded, axis=1).astype(np.int16),
        "frames": np.array([of_variant.shape[1] for of_variant in coded]),
        "voice": speech.voice.astype(np.float32),
    }
    write_arrays(codes / f"{path.stem}.npz", arrays)


def _variants(path: Path) -> Sequence[CodedVariant]:
    with np.load(path) as arrays:
        parts = np.split(arrays["codes"].astype(np.int64), np.cumsum(arrays["frames"])[:-1], axis=1)
        return [CodedVariant(codes, arrays["voice"]) for codes in parts]


def speaker_of(name: str) -> str:
    """The speaker of a clip of this name."""
    return name.rsplit("_", 2)[0]


def _clip_files(directory: Path) -> list[Path]:
    paths = sorted((directory / CLIPS).glob("*.flac"))
    if not paths:
        raise DataError(f"{directory}: contains no clips. Run the step `speech` first.")
    return paths


def each_of(work: Callable[[Path], Result], paths: Sequence[Path]) -> list[Result]:
    """The results of several processes, in order."""
    context = get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(_PROCESSES, context, torch.set_num_threads, (1,)) as pool:
        return list(pool.map(work, paths, chunksize=_CHUNK))
