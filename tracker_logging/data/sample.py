"""One voice-cloning example, independent of the file format.

Guarantees
- A `VoiceSample` is a frozen value; its paths point to files that existed when it was read.
- Fields that no reader interprets are kept in `extra`.
- Every error in data is a `DataError` that names the file, the field and the fix.

    samples = read_samples(Path("train.json"))
    samples[17].origin          # "train.json[17]"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

REFERENCE_FROM = "reference_from"  # in `extra`: the id of the sample whose recording is the reference


class DataError(ValueError):
    """Data that cannot be used. The message names the file, the field and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSample:
    """Reference text and audio (the voice to clone), target text and audio (the speech to generate).

    `reference_audio` is None without a voice prompt, `target_audio` is None for a prompt that is only
    generated from. `speaker` and `language` are None where the data does not name them. `system_text` may be empty.
    `origin` is the file and index of the sample, for messages.
    """

    sample_id: str
    reference_text: str
    reference_audio: Path | None
    target_text: str
    target_audio: Path | None
    speaker: str | None = None
    language: str | None = None
    system_text: str = ""
    scene: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    origin: str = ""

    def with_reference_of(self, other: VoiceSample | None) -> VoiceSample:
        """The same target with the reference of `other`, or without a reference."""
        if other is None:
            return replace(self, reference_text="", reference_audio=None)
        return replace(self, reference_text=other.reference_text, reference_audio=other.reference_audio)

    def with_reference_from(self, utterance: VoiceSample) -> VoiceSample:
        """The same target with the target of `utterance` as its reference."""
        return replace(
            self,
            reference_text=utterance.target_text,
            reference_audio=utterance.target_audio,
            extra={**self.extra, REFERENCE_FROM: utterance.sample_id},
        )


def shown(path: Path) -> str:
    """`path` for messages: relative to the working directory if it is below it, control characters escaped."""
    try:
        return printable(str(path.resolve().relative_to(Path.cwd())))
    except (ValueError, OSError, RuntimeError):  # not below it, or a circular link
        return printable(str(path))


def cannot_read(path: Path, error: OSError) -> DataError:
    """The error to be raised for a file that the operating system does not read."""
    return DataError(f"{shown(path)}: cannot be read ({error.strerror}). Check the disk and its permissions.")


def printable(text: str) -> str:
    """`text` with what no terminal or UTF-8 file should get (control characters, lone surrogates) as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == " " else character.encode("unicode_escape").decode()
        for character in text
    )
