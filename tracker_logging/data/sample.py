"""One voice-cloning example, independent of the file format.

Guarantees
- A `VoiceSample` is a frozen value; its paths point to files that existed when it was read.
- Fields that no reader interprets are kept in `extra`.
- Every error in data is a `DataError` that names the file, the field and the fix.

    samples = read_samples(Path("train.json"))
    samples[17].origin          # "train.json[17]"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Literal

from tracker_logging.data.voices import in_voice_of, retagged, voices_in

REFERENCE_FROM = "reference_from"  # in `extra`: the id of the sample whose recording is the reference
WORDS, REFERENCE_WORDS = "words", "reference_words"  # in `extra`: the words of a clip with their times


class DataError(ValueError):
    """Data that cannot be used. The message names the file, the field and the fix."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text and its clip. The clip is None for a text that is only generated from."""

    text: str
    audio: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSample:
    """Reference text and audio (the voice to clone), target text and audio (the speech to generate).

    `reference_audio` is None without a voice prompt, `target_audio` is None for a prompt that is only
    generated from. `speaker` and `language` are None where the data does not name them. `system_text` may be empty.
    `origin` is the file and index of the sample, for messages.

    A sample may have `more_references` after the first (more clips of the voice, or the other voices of a dialogue) and
    `more_targets`: later turns that are trained too. `references_in`: references are turns with a text of their own, or
    clips in the system message, without texts. Tags `[SPEAKER0]`, `[SPEAKER1]`, … in the texts tell voices apart (see
    `tagged` for texts without one); a reference in the system message is the voice of its number.
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
    more_references: tuple[Utterance, ...] = ()
    more_targets: tuple[Utterance, ...] = ()
    references_in: Literal["turns", "system"] = "turns"

    @property
    def references(self) -> tuple[Utterance, ...]:
        """All references in order; empty without a voice prompt."""
        if self.reference_audio is None:
            return ()
        return (Utterance(self.reference_text, self.reference_audio), *self.more_references)

    @property
    def targets(self) -> tuple[Utterance, ...]:
        """All targets in order; the first may have no clip."""
        return (Utterance(self.target_text, self.target_audio), *self.more_targets)

    @property
    def clips(self) -> tuple[Path, ...]:
        """The audio files of all references, then of all targets."""
        return tuple(each.audio for each in (*self.references, *self.targets) if each.audio is not None)

    @property
    def is_pair(self) -> bool:
        """At most one reference, as a turn, and one target: what a table row or ChatML can hold."""
        return not self.more_references and not self.more_targets and self.references_in == "turns"

    @property
    def voices(self) -> int:
        """How many voices the sample tells apart; 1 without tags."""
        tagged = self.tagged
        numbers = {voice for each in (*tagged.references, *tagged.targets) for voice in voices_in(each.text) or (0,)}
        return max(len(numbers), len(self.references) if self.references_in == "system" else 0)

    @property
    def tagged(self) -> VoiceSample:
        """The same with the tags that follow from the other texts: a reference without a tag is of the voice of the
        targets, if they are of one, and targets that have no tags are of that of the references."""
        references, targets = ([each.text for each in side] for side in (self.references, self.targets))
        if not any(map(voices_in, targets)):
            return self._with_targets([in_voice_of(text, references) for text in targets])
        if not references or (self.references_in == "system" and len(references) > 1):
            return self
        first, *more = (replace(each, text=in_voice_of(each.text, targets)) for each in self.references)
        return replace(self, reference_text=first.text, more_references=tuple(more))

    def with_reference_of(self, other: VoiceSample | None) -> VoiceSample:
        """The same targets with the references of `other`, or without a reference.

        There are as many references as before, in the same place and with the same tags; those of `other` are repeated
        where it has fewer. A sample without a reference gets all of `other`'s.
        """
        if other is None or not other.references:
            return replace(self, reference_text="", reference_audio=None, more_references=(), references_in="turns")
        if not self.references:
            first, *more = other.references
            place = other.references_in
        else:
            first, *more = (
                Utterance(retagged(new.text, like=old.text), new.audio)
                for old, new in zip(self.references, cycle(other.references), strict=False)
            )
            place = self.references_in
        if place == "system":
            first, *more = (replace(each, text="") for each in (first, *more))
        return replace(
            self,
            reference_text=first.text,
            reference_audio=first.audio,
            more_references=tuple(more),
            references_in=place,
            extra=self._extra_with(other.extra.get(REFERENCE_WORDS)),
        )

    def with_texts_of(self, other: VoiceSample) -> VoiceSample:
        """The same clips and tags with the words of `other`'s targets, which are repeated where it has fewer."""
        return self._with_targets(
            [retagged(new.text, like=old.text) for old, new in zip(self.targets, cycle(other.targets), strict=False)]
        )

    def with_reference_from(self, utterance: VoiceSample) -> VoiceSample:
        """The same target with the target of `utterance` as its reference."""
        return replace(
            self,
            reference_text=utterance.target_text,
            reference_audio=utterance.target_audio,
            extra={**self._extra_with(utterance.extra.get(WORDS)), REFERENCE_FROM: utterance.sample_id},
        )

    def _with_targets(self, texts: Sequence[str]) -> VoiceSample:
        first, *more = (replace(each, text=text) for each, text in zip(self.targets, texts, strict=True))
        return replace(self, target_text=first.text, more_targets=tuple(more))

    def _extra_with(self, reference_words: object) -> Mapping[str, object]:
        """`extra` with the words of another reference; they go with its clip."""
        if reference_words is None and REFERENCE_WORDS not in self.extra:
            return self.extra
        return {**self.extra, REFERENCE_WORDS: reference_words}


def own_values(sample: VoiceSample, field: str) -> list[object]:
    """The values that the data has under a name of its own: in `extra`, then in `misc` there."""
    misc = sample.extra.get("misc")
    places = (sample.extra, misc if isinstance(misc, Mapping) else {})
    return [place[field] for place in places if field in place]


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
