"""One voice-cloning example, whatever file format it came from.

Guarantees
- A `VoiceSample` is a frozen value; paths in it point to files that existed when it was read.
- What a format holds beyond these fields is kept in `extra`.
- Every complaint about data is a `DataError` that names the file, the field and the cure.

    samples = read_samples(Path("train.json"))
    samples[17].origin          # "train.json[17]"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


class DataError(ValueError):
    """Data that cannot be used. The message names the file, the field and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSample:
    """Reference text and audio (whose voice), target text and audio (what to say).

    `reference_audio` is None without a voice prompt, `target_audio` is None where there is nothing to train on (a
    prompt for generation only). `speaker` and `language` are None where the data does not name them. `system_text`
    may be empty. `origin` says where the sample was read, for messages.
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
        """The same target spoken in the voice of `other`'s reference, or without any reference."""
        if other is None:
            return replace(self, reference_text="", reference_audio=None)
        return replace(self, reference_text=other.reference_text, reference_audio=other.reference_audio)


def shown(path: Path) -> str:
    """`path` as messages show it: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):  # elsewhere, or a link that leads to itself
        return str(path)
