"""What is wrong with data: which check found it, where, what was seen, and what to do.

- A finding is a frozen value of plain text; its words come from the table of checks (`checks.py`).
- `level` as in `diagnosis/finding.py`: `info` (good to know), `warning` (look at it), `error` (it trains
  something wrong, or cannot be trained on).

    TARGET_IS_REFERENCE.at(Place("train.json", "train.json[3]"), seen="both are clips/a.wav").name
"""

from __future__ import annotations

from dataclasses import dataclass

from tracker_logging.doctor.finding import Level


@dataclass(frozen=True, slots=True)
class Place:
    """`file` as messages show it. `sample` as its reader names it (`train.json[3]`), empty for the whole file."""

    file: str
    sample: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """One thing that is wrong in one place. `field` may be empty; `clip` is the file to listen to, if there is one."""

    name: str
    level: Level
    file: str
    sample: str
    field: str
    seen: str
    cure: str
    clip: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table of checks. `means`: why it matters. `cure`: what to do."""

    name: str
    level: Level
    theme: str
    means: str
    cure: str

    def at(
        self, place: Place, *, seen: str, field: str = "", cure: str | None = None, clip: str | None = None
    ) -> DataFinding:
        """The finding of this check in `place`; `cure` where a reader has a better one than the table."""
        return DataFinding(
            name=self.name,
            level=self.level,
            file=place.file,
            sample=place.sample,
            field=field,
            seen=seen,
            cure=cure or self.cure,
            clip=clip,
        )
