"""Healthy ChatML files of a few noise clips, which tests then break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

INSTRUCTION = "Please generate speech for given text in reference audio's voice:"
WORDS = ("river", "garden", "window", "harbour", "meadow", "lantern", "kettle", "saddle", "ribbon", "copper", "basket")
RATE = 24_000

Items = list[dict[str, Any]]


def write_clip(path: Path, *, seconds: float = 2.0, rate: int = RATE, level: float = 0.2, seed: int = 0) -> Path:
    """Noise, as loud all along."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-level, level, round(seconds * rate))
    soundfile.write(path, noise.astype(np.float32), rate)
    return path


def sentence(number: int) -> str:
    """Another sentence for each number, about as long."""
    first, second = WORDS[number % len(WORDS)], WORDS[number // len(WORDS) % len(WORDS)]
    return f"They saw the {first} beside a {second}."


def healthy_items(folder: Path, count: int = 4, *, first: int = 0) -> Items:
    """`count` samples of two speakers, with clips of their own, in which no check finds anything."""
    items = []
    for number in range(first, first + count):
        names = [f"clips/{number}_reference.wav", f"clips/{number}_target.wav"]
        for offset, name in enumerate(names):
            write_clip(folder / name, seconds=2.0 + 0.01 * (number % 7), seed=2 * number + offset)
        items.append(item(number, *names))
    return items


def item(number: int, reference: str, target: str) -> dict[str, Any]:
    """Sample `number`, its texts in both places where ChatML holds them."""
    asked, said = sentence(number + 60), sentence(number)
    user = [
        {"type": "text", "text": asked},
        {"type": "audio", "audio_url": reference},
        {"type": "text", "text": f"{INSTRUCTION} {said}"},
    ]
    return {
        "messages": [
            {"role": "system", "content": "Speak."},
            {"role": "user", "content": user},
            {"role": "assistant", "content": [{"type": "audio", "audio_url": target}]},
        ],
        "speaker": f"speaker{number % 2}",
        "language": "en",
        "misc": {"sample_id": f"s{number}", "ref_transcript": asked, "target_transcript": said},
    }


def write_items(path: Path, items: Any) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def set_target_text(one: dict[str, Any], text: str) -> None:
    """In every place."""
    one["misc"]["target_transcript"] = text
    one["messages"][1]["content"][2]["text"] = f"{INSTRUCTION} {text}"


def set_reference_text(one: dict[str, Any], text: str) -> None:
    """In every place."""
    one["misc"]["ref_transcript"] = text
    one["messages"][1]["content"][0]["text"] = text


def clip_of(one: dict[str, Any], role: str, folder: Path) -> Path:
    """The file of its `reference` or `target`."""
    content = one["messages"][1]["content"][1] if role == "reference" else one["messages"][2]["content"][0]
    return folder / content["audio_url"]
