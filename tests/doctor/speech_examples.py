"""Healthy ChatML files of speech: sentences of the demo's embedded voices, of different lengths, which tests break."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from data_examples import INSTRUCTION, RATE, Items

from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SPEAKERS, VOICES

Wave = npt.NDArray[np.float32]
PAUSE_S = 0.1
NAMES = tuple(speaker.name for speaker in SPEAKERS)


def spoken(speaker: str, choices: list[tuple[int, int]]) -> tuple[str, Wave]:
    """(text, wave at `RATE`) of some phrases, given as (slot, choice), with silence around them."""
    pause = np.zeros(round(PAUSE_S * RATE), dtype=np.float32)
    waves: list[Wave] = [pause]
    for slot, choice in choices:
        wave, rate = soundfile.read(VOICES / clip_name(speaker, slot, choice), dtype="float32")
        assert rate == RATE
        waves += [wave, pause]
    return " ".join(SLOTS[slot][choice] for slot, choice in choices) + ".", np.concatenate(waves)


def speech_items(folder: Path, count: int = 12, *, speakers: tuple[str, ...] = NAMES, seed: int = 0) -> Items:
    """`count` samples, speakers in turn, with two to six phrases in reference and target each."""
    draw = random.Random(seed)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    items: Items = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        texts = []
        for role in ("reference", "target"):
            phrases = [(slot % len(SLOTS), draw.randrange(5)) for slot in range(draw.randint(2, 6))]
            text, wave = spoken(speaker, phrases)
            texts.append(text)
            soundfile.write(folder / f"clips/{number}_{role}.wav", wave, RATE)
        user = [
            {"type": "text", "text": texts[0]},
            {"type": "audio", "audio_url": f"clips/{number}_reference.wav"},
            {"type": "text", "text": f"{INSTRUCTION} {texts[1]}"},
        ]
        items.append({
            "messages": [
                {"role": "system", "content": "Speak."},
                {"role": "user", "content": user},
                {"role": "assistant", "content": [{"type": "audio", "audio_url": f"clips/{number}_target.wav"}]},
            ],
            "speaker": speaker,
            "language": "en",
            "misc": {"sample_id": f"s{number}", "ref_transcript": texts[0], "target_transcript": texts[1]},
        })  # fmt: skip
    return items
