"""The trials in a row, and what each showed.

for verdict in validate(material, scratch=Path("scratch")):
    print(verdict.name, verdict.passed)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.config import LOGGERS
from tracker_logging.validation.material import Material
from tracker_logging.validation.promises import missing, owed
from tracker_logging.validation.trial import Trial, run_trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one trial showed. `differing`: what is not as it is without us. `missing`: owed tags that did not arrive."""

    name: str
    differing: tuple[str, ...]
    missing: tuple[str, ...]
    owed: int
    errors: int
    seconds: float

    @property
    def passed(self) -> bool:
        return not (self.differing or self.missing or self.errors)


def validate(material: Material, *, scratch: Path) -> Iterator[Verdict]:
    """A verdict after each trial. The first repeats the training without us: where even that differs, this machine
    does not repeat itself, and the later differences say nothing about us."""
    plain = run_trial(material, directory=scratch / "plain", loggers=None)
    again = run_trial(material, directory=scratch / "again", loggers=None)
    yield _verdict("nothing, twice", again, plain=plain, loggers=(), material=material)
    for name, loggers in _trials().items():
        trial = run_trial(material, directory=scratch / name.replace(" ", "-"), loggers=loggers)
        yield _verdict(name, trial, plain=plain, loggers=loggers, material=material)


def _trials() -> Mapping[str, tuple[str, ...]]:
    return {name: (name,) for name in LOGGERS} | {"all together": LOGGERS}


def _verdict(name: str, trial: Trial, *, plain: Trial, loggers: Sequence[str], material: Material) -> Verdict:
    promised = owed(owners=(*loggers, "doctor", "tracker"), material=material) if loggers else []
    return Verdict(
        name=name,
        differing=tuple(part for part, value in plain.fingerprints.items() if trial.fingerprints[part] != value),
        missing=tuple(missing(trial, owed=promised)),
        owed=len(promised),
        errors=trial.errors,
        seconds=trial.seconds,
    )
