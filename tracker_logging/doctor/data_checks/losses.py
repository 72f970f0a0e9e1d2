"""Which samples were hard for a model that was trained on them (`inputs/hard_samples`), by file and line.

- A sample is found by its target text (letters and digits of the first `COMPARED` characters, since a dashboard keeps
  only so many, without tags of voices) and by the length of its target, where the run knows it: speakers may share a
  sentence. A run may know several targets as one speech, or a target with the words of its references.

>>> rows = (("highest loss", "Good morning.", 1.5, 5.2, 3.1, 6.0, 2, 40, -0.1, 0.4),)
>>> list(losses_by_text(COLUMNS, rows).values())  # doctest: +NORMALIZE_WHITESPACE
[[TrainedLoss(why='highest loss', seconds=1.5, nll=5.2, usual=3.1, first_nll=6.0, measured=2, step=40,
             reference_gap=-0.1, text_gap=0.4)]]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding
from tracker_logging.doctor.data_checks.letters import words
from tracker_logging.doctor.data_checks.record import Clip, Record
from tracker_logging.doctor.data_checks.texts import quoted
from tracker_logging.metrics.hard_samples import COLUMNS, HIGHEST, LOSS_COLUMNS

COMPARED = 200  # characters
MOST_OFF_S = 0.1  # more than a frame of any codec


@dataclass(frozen=True, slots=True)
class TrainedLoss:
    """A row of `inputs/hard_samples`; nll and gaps in nats per code."""

    why: str
    seconds: float | None
    nll: float
    usual: float
    first_nll: float
    measured: int
    step: int
    reference_gap: float | None = None
    text_gap: float | None = None


Losses = Mapping[str, Sequence[TrainedLoss]]
"""By the key of the target text."""


def losses_by_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, list[TrainedLoss]]:
    """The rows of the table, as a backend gives them back. Raises `ValueError` for another table."""
    if tuple(columns) not in (LOSS_COLUMNS, COLUMNS):
        raise ValueError(f"a table of {', '.join(columns)}, not of {', '.join(LOSS_COLUMNS)}")
    losses: dict[str, list[TrainedLoss]] = {}
    for why, text, length, *cells in rows:
        nll, usual, first, measured, step = (float(str(number)) for number in cells[:5])
        seconds, *gaps = (None if cell in (None, "") else float(str(cell)) for cell in (length, *cells[5:]))
        loss = TrainedLoss(str(why), seconds, nll, usual, first, int(measured), int(step), *gaps)
        losses.setdefault(_key(str(text)), []).append(loss)
    return losses


def loss_findings(record: Record, losses: Losses) -> Iterator[DataFinding]:
    """Whether a target of the sample was hard."""
    if not losses:
        return
    more = ((utterance.text, utterance.clip) for utterance in record.more if utterance.role == "target")
    for text, target in ((record.sample.target_text, record.target), *more, *_joined(record)):
        loss = next((loss for loss in losses.get(_key(text), ()) if _is_as_long(target, loss)), None)
        if loss is not None:
            check = checks.LOSS_HIGH if loss.why == HIGHEST else checks.LOSS_SUSPECT
            clip = None if target is None else target.name
            yield check.at(record.place, seen=f"{_seen(loss)}: {quoted(text)}", field="target text", clip=clip)


def _joined(record: Record) -> Iterator[tuple[str, Clip | None]]:
    """All targets as one speech (dialogues of Dia and VibeVoice), and the words of the references before the target's
    (audio prompts of Dia)."""
    sample = record.sample
    targets, references = ([untagged(one.text) for one in of if one.text] for of in (sample.targets, sample.references))
    target = None if len(targets) > 1 else record.target
    if len(targets) > 1:
        yield " ".join(targets), target
    if references:
        yield " ".join((*references, *targets)), target


def _seen(loss: TrainedLoss) -> str:
    gaps = {"reference": loss.reference_gap, "text": loss.text_gap}
    known = "".join(f", {name} gap {gap:+.3g}" for name, gap in gaps.items() if gap is not None)
    return (
        f"{loss.why}: nll {loss.nll:.3g} at step {loss.step} (usual {loss.usual:.3g}, at first {loss.first_nll:.3g}, "
        f"measured {loss.measured} times{known})"
    )


def _is_as_long(target: Clip | None, loss: TrainedLoss) -> bool:
    if loss.seconds is None or target is None or target.problem is not None:
        return True
    return abs(loss.seconds - target.seconds) <= MOST_OFF_S


def _key(text: str) -> str:
    return words(untagged(text)[:COMPARED])
