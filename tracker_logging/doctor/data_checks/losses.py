"""Which samples were hard for a model that was trained on them (`inputs/hard_samples`), by file and line.

- A sample is found by its target text (letters and digits of the first `COMPARED` characters, since a dashboard keeps
  only so many) and by the length of its target, where the run knows it: speakers may share a sentence.

>>> rows = (("highest loss", "Good morning.", 1.5, 5.2, 3.1, 6.0, 2, 40),)
>>> list(losses_by_text(COLUMNS, rows).values())
[[TrainedLoss(why='highest loss', seconds=1.5, nll=5.2, usual=3.1, first_nll=6.0, measured=2, step=40)]]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.letters import words
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.texts import quoted
from tracker_logging.metrics.hard_samples import HIGHEST

COLUMNS = ("why", "target text", "seconds", "nll", "usual nll", "first nll", "measured", "step")
COMPARED = 200  # characters
MOST_OFF_S = 0.1  # more than a frame of any codec


@dataclass(frozen=True, slots=True)
class TrainedLoss:
    """A row of `inputs/hard_samples`; nll in nats per code."""

    why: str
    seconds: float | None
    nll: float
    usual: float
    first_nll: float
    measured: int
    step: int


Losses = Mapping[str, Sequence[TrainedLoss]]
"""By the key of the target text."""


def losses_by_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, list[TrainedLoss]]:
    """The rows of the table, as a backend gives them back. Raises `ValueError` for another table."""
    if tuple(columns) != COLUMNS:
        raise ValueError(f"a table of {', '.join(columns)}, not of {', '.join(COLUMNS)}")
    losses: dict[str, list[TrainedLoss]] = {}
    for why, text, length, *numbers in rows:
        seconds = None if length in (None, "") else float(str(length))
        nll, usual, first, measured, step = (float(str(number)) for number in numbers)
        loss = TrainedLoss(str(why), seconds, nll, usual, first, int(measured), int(step))
        losses.setdefault(_key(str(text)), []).append(loss)
    return losses


def loss_findings(record: Record, losses: Losses) -> Iterator[DataFinding]:
    """Whether the sample was hard."""
    of_text = losses.get(_key(record.sample.target_text), ()) if losses else ()
    loss = next((loss for loss in of_text if _is_as_long(record, loss)), None)
    if loss is None:
        return
    check = checks.LOSS_HIGH if loss.why == HIGHEST else checks.LOSS_SUSPECT
    seen = (
        f"{loss.why}: nll {loss.nll:.3g} at step {loss.step} (usual {loss.usual:.3g}, at first {loss.first_nll:.3g}, "
        f"measured {loss.measured} times): {quoted(record.sample.target_text)}"
    )
    clip = None if record.target is None else record.target.name
    yield check.at(record.place, seen=seen, field="target text", clip=clip)


def _is_as_long(record: Record, loss: TrainedLoss) -> bool:
    target = record.target
    if loss.seconds is None or target is None or target.problem is not None:
        return True
    return abs(loss.seconds - target.seconds) <= MOST_OFF_S


def _key(text: str) -> str:
    return words(text[:COMPARED])
