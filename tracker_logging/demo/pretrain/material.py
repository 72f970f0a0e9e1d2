"""From synthesised clips to what pretraining reads: WORLD features, the codec fitted on them, and codes.

    analyse_clips(directory)                    # features/NAME.npy for each clips/NAME.flac, those that are missing
    codec = fitted_codec(directory)             # codec/
    clips = coded_clips(directory, codec)       # {name: Clip}

A clip's name is SPEAKER_NUMBER_SENTENCE, as `speech.py` gives it.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError
from tracker_logging.demo.pretrain.fit_codec import fit_voice_codec
from tracker_logging.demo.pretrain.pairs import Clip
from tracker_logging.demo.pretrain.speech import planned_sentences
from tracker_logging.demo.pretrain.voices import NEW_SPEAKERS, UNSEEN
from tracker_logging.demo.voice_codec import VoiceCodec
from tracker_logging.demo.world_features import SAMPLE_RATE, Features, analyse

NOT_TRAINED = frozenset((*UNSEEN, *NEW_SPEAKERS))


def analyse_clips(directory: Path) -> None:
    """Takes about a tenth of the clips' duration. A file that exists is complete."""
    (directory / "features").mkdir(exist_ok=True)
    for clip in sorted((directory / "clips").glob("*.flac")):
        path = directory / "features" / f"{clip.stem}.npy"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, analyse(load_audio(clip, SAMPLE_RATE)).astype(np.float32))
            unfinished.replace(path)


def fitted_codec(directory: Path) -> VoiceCodec:
    """The codec of the directory, fitted now on the trained speakers if there is none. Once clips are encoded and a
    model is trained on them it may not change, so it is kept when clips are added."""
    if not (directory / "codec").is_dir():
        clips = defaultdict(list)
        for name, features in _features(directory):
            if speaker_of(name) not in NOT_TRAINED:
                clips[speaker_of(name)].append(features)
        fit_voice_codec(clips).save(directory / "codec")
    return VoiceCodec.load(directory / "codec")


def coded_clips(directory: Path, codec: VoiceCodec) -> dict[str, Clip]:
    """All analysed clips of speakers that have two or more."""
    sentences = planned_sentences()
    clips = {
        name: Clip(
            codes=codec.quantised(features),
            coordinates=codec.coordinates(features),
            text=sentences[int(name.rsplit("_", 1)[1])],
            speaker=speaker_of(name),
        )
        for name, features in _features(directory)
    }
    counts: dict[str, int] = defaultdict(int)
    for clip in clips.values():
        counts[clip.speaker] += 1
    return {name: clip for name, clip in clips.items() if counts[clip.speaker] > 1}


def speaker_of(name: str) -> str:
    """The speaker of a clip of this name."""
    return name.rsplit("_", 2)[0]


def _features(directory: Path) -> list[tuple[str, Features]]:
    paths = sorted((directory / "features").glob("*.npy"))
    if not paths:
        raise DataError(f"{directory}: contains no analysed clips. Run the step `speech` first.")
    return [(path.stem, np.load(path).astype(np.float64)) for path in paths]
