"""The last word of a training: the base model against the best and the last checkpoint, and what to do next.

    last_word = LastWord()
    last_word.hear(Scalars(step=0, values={"voices/sim_margin/mean": 0.05}))     # every event, on any thread
    last_word.saved(500, Path("outputs/checkpoint-500"))
    for event in last_word.events(step=500, missing=()):
        emit(event)

Guarantees
- It fits one screen of 24 lines and 80 columns: at most `ROWS` numbers, each with its 95 % interval and n where these
  were measured, and the similarity of at most `MOST_GROUPS` groups of voices. The table also has their intervals, right
  speakers and word errors.
- Only measured values. The best checkpoint is the one that the loop has loaded, else the one that `BestVoice` chooses
  of the rounds with scores, else the one of the lowest loss.
"""

from __future__ import annotations

import math
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from tracker_logging import tags
from tracker_logging.events import Cell, Event, Finding, Findings, Scalars, Table, Text
from tracker_logging.session.console import wrapped
from tracker_logging.session.ledger import MissingFamily
from tracker_logging.voices.evaluation import ERRORS, SIMILARITIES, BestVoice, score_of

ROWS = 5
COLUMNS = 80
MOST_GROUPS = 3
KEPT = 1000
"""Steps of which numbers are kept, and all with voices or an evaluation set."""
BASE = 0
_MOST_LISTED = 3
_EVAL_LOSS = "eval/loss"


@dataclass(frozen=True)
class _Number:
    """One row: its name, the tag of the value, and the prefix of `/low`, `/high` and `/n`."""

    name: str
    tag: str
    bounds: str = ""


# Of each group the first number that was measured is shown.
_GROUPS: tuple[tuple[_Number, ...], ...] = (
    (_Number("right speaker", tags.SPK_TOP1(), "voices/spk_top1"),),
    (
        _Number("sim_margin", tags.VOICE_SCORE(score="sim_margin"), "voices/sim_margin"),
        _Number("sim_o", tags.VOICE_SCORE(score="sim_o"), "voices/sim_o"),
    ),
    (
        _Number("word errors", tags.WER(), "voices/wer"),
        _Number("character errors", tags.CER(), "voices/cer"),
        _Number("clips that stop, %", tags.STOPPED()),
    ),
    (
        _Number("conditioning gap, nats", tags.CONDITIONING_GAP_MEAN(), "conditioning/gap"),
        _Number("gap to no reference, nats", tags.CONDITIONING_GAP_NULL(), "conditioning/gap_null"),
    ),
    (_Number("evaluation loss", _EVAL_LOSS), _Number("training nll, nats", tags.NLL_MEAN())),
)
_WATCHED = frozenset(
    name
    for group in _GROUPS
    for number in group
    for name in (number.tag, *(f"{number.bounds}/{end}" for end in ("low", "high", "n")))
)


_OF_GROUPS = tags.GROUP_SCORE.template.partition("{")[0]
_OF_EACH_GROUP: tuple[Mapping[str, str], ...] = (
    {score_of(tag): score_of(tag) for tag in SIMILARITIES},
    {"spk_top1": "right speaker"},
    {"wer": "word errors", "cer": "character errors"},
)
"""Titles of scores. Of each line the first score that was measured is shown."""


class LastWord:
    """Serves one training. `hear` on any thread, the others on one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[int, dict[str, float]] = {}  # by step
        self._findings: tuple[Finding, ...] = ()
        self._unscored = ""  # why the last round has no score
        self._unscored_at = 0
        self._saved: dict[int, Path | None] = {}
        self._loaded: int | None = None
        self.text = ""
        """What `events` last made."""
        self.best_checkpoint: Path | None = None
        """The directory of the checkpoint to use, or of the nearest one; None where it is not known."""

    def hear(self, event: Event) -> None:
        """Keep what the last word needs of an event."""
        if isinstance(event, Scalars):
            self._hear_clips(event)
            watched = {
                tag: float(value)
                for tag, value in event.values.items()
                if tag in _WATCHED or tag.startswith(_OF_GROUPS)
            }
            if watched:
                with self._lock:
                    self._values.setdefault(event.step, {}).update(watched)
                    if len(self._values) > KEPT:
                        self._forget()
        elif isinstance(event, Findings):
            self._findings = event.findings

    def _hear_clips(self, event: Scalars) -> None:
        """Note whether the latest round has no valid clip."""
        invalid, valid = (event.values.get(tag()) for tag in (tags.INVALID_CLIPS, tags.VALID_CLIPS))
        if invalid is None:
            return
        why = f"all {invalid:.0f} clips of step {event.step} are invalid ({tags.INVALID_CLIPS()})"
        with self._lock:
            if event.step >= self._unscored_at:
                self._unscored_at, self._unscored = event.step, "" if valid or not invalid else why

    def _forget(self) -> None:
        """Drop the oldest steps at which neither voices nor an evaluation set were measured."""
        for step in self._others()[: KEPT // 2]:
            del self._values[step]

    def _others(self) -> list[int]:
        kept = {_EVAL_LOSS, *SIMILARITIES}
        return [step for step, of_step in self._values.items() if step != BASE and not kept & of_step.keys()]

    def state(self, step: int) -> dict[str, Any]:
        """For the checkpoint of `step`, as plain JSON: the base model, the rounds, the evaluations and the last step up
        to there, and the names of the checkpoints."""
        with self._lock:
            dropped = {*self._others()} - {max((at for at in self._values if at <= step), default=step)}
            values = {str(at): dict(row) for at, row in self._values.items() if at <= step and at not in dropped}
        saved = {str(at): None if place is None else place.name for at, place in self._saved.items() if at <= step}
        return {"values": values, "saved": saved, "unscored": [self._unscored_at, self._unscored]}

    def restore(self, state: Mapping[str, Any], checkpoints: Path | None) -> None:
        """Before anything is heard: go on from the `state` of a checkpoint in the directory `checkpoints`."""
        values, saved = state.get("values", {}), state.get("saved", {})
        self._values = {int(at): dict(of_step) for at, of_step in values.items()}
        self._saved = {
            int(at): None if name is None or checkpoints is None else checkpoints / name for at, name in saved.items()
        }
        self._unscored_at, self._unscored = state.get("unscored", (0, ""))

    def saved(self, step: int, place: Path | None = None) -> None:
        """A checkpoint of `step` was saved, in the directory `place` if there is one."""
        self._saved[step] = place

    def loaded(self, step: int) -> None:
        """The weights of `step` are those that the training ends with."""
        self._loaded = step

    def on_console(self, where: Mapping[str, str]) -> str:
        """What `events` last made, for a console, where paths may be shown. `where`: name → where it is."""
        places = dict(where)
        if self.best_checkpoint is not None:
            places["checkpoint"] = str(self.best_checkpoint)
        width = max(map(len, places), default=0) + 1
        lines = [f"  {f'{name}:'.ljust(width)}  {place}" for name, place in places.items()]
        return "\n".join(["Base, best and last:", wrapped(self.text, width=COLUMNS), *lines])

    def events(self, *, step: int, missing: Sequence[MissingFamily]) -> Iterator[Text | Table]:
        """The table of the numbers and the text; nothing if no number was measured."""
        with self._lock:
            values = {at: dict(of_step) for at, of_step in sorted(self._values.items())}
        models = _models(values, loaded=self._loaded)
        rows = _rows(values, models, _GROUPS)
        similarities, *others = (_rows(values, models, numbers) for numbers in _numbers_of_groups(values, models))
        if not rows:
            return
        columns = ("number", "model", "step", "value", "low", "high", "n")
        yield Table(
            step=step, tag=tags.LAST_WORD_TABLE(), columns=columns, rows=(*rows, *similarities, *chain(*others))
        )
        kept = {at: place for at, place in self._saved.items() if place is None or place.is_dir()}
        brief = [(*row[:4], None, None, row[6]) for row in similarities]  # one line each, so that all fits
        lines = [*_grid([*rows, *brief], models), "", _advice(values, models, unscored=self._unscored)]
        if "best" in models:
            nearest = min(kept, key=lambda at: abs(at - models["best"]), default=None)
            self.best_checkpoint = None if nearest is None else kept[nearest]
            if self._loaded == models["best"]:
                lines[-1] += " Its weights are loaded."
            elif self._saved:
                lines[-1] += _which_checkpoint(models["best"], nearest)
        lines += _open_findings(self._findings)
        lines += _missing(missing)
        self.text = "\n".join(lines)
        yield Text(step=step, tag=tags.LAST_WORD(), text=self.text)


def _models(values: Mapping[int, Mapping[str, float]], *, loaded: int | None) -> dict[str, int]:
    """Names "base", "best" and "last", each with its step, where there is one."""
    scored = [step for step, of_step in values.items() if any(tag in of_step for tag in SIMILARITIES)]
    trained = [step for step in scored if step != BASE]
    evaluated = [step for step, of_step in values.items() if _EVAL_LOSS in of_step and step != BASE]
    best: int | None = loaded
    if best is None and trained:
        choice = BestVoice()
        best = [step for step in trained if choice.consider(values[step])][-1]
    if best is None and evaluated:
        best = min(evaluated, key=lambda step: values[step][_EVAL_LOSS])
    steps = [step for step in values if step != BASE]
    models = {"base": BASE} if BASE in values else {}
    if best is not None:
        models["best"] = best
    rounds = trained or evaluated or steps
    return models | ({"last": max(rounds)} if rounds else {})


def _rows(
    values: Mapping[int, Mapping[str, float]], models: Mapping[str, int], groups: Iterable[tuple[_Number, ...]]
) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        shown = [number for number in group if any(number.tag in values.get(at, {}) for at in models.values())]
        for model, at in models.items() if shown else ():
            of_step, number = values.get(at, {}), shown[0]
            ends = (of_step.get(f"{number.bounds}/{end}") for end in ("low", "high", "n"))
            rows.append((number.name, model, at, of_step.get(number.tag), *ends))
    return rows


def _numbers_of_groups(
    values: Mapping[int, Mapping[str, float]], models: Mapping[str, int]
) -> tuple[list[tuple[_Number, ...]], ...]:
    """For each of `_OF_EACH_GROUP` its numbers, one for each group of voices: trained ones first, as on the board."""
    measured = {tag for at in models.values() for tag in values.get(at, {}) if tags.GROUP_SCORE.pattern.match(tag)}
    names = tags.trained_first({tag.split("/")[2] for tag in measured})[:MOST_GROUPS]
    return tuple([_of_group(name, numbers) for name in names] for numbers in _OF_EACH_GROUP)


def _of_group(group: str, numbers: Mapping[str, str]) -> tuple[_Number, ...]:
    of_score = {title: tags.GROUP_SCORE(group=group, score=score) for score, title in numbers.items()}
    return tuple(_Number(f"{title}, {group}", tag, tag) for title, tag in of_score.items())


def _grid(rows: Sequence[tuple[Cell, ...]], models: Mapping[str, int]) -> list[str]:
    """The rows as aligned text: a line per number, a column per model."""
    titles = [f"{model} (step {at})" for model, at in models.items()]
    names = list(dict.fromkeys(str(row[0]) for row in rows))
    cells = {(row[0], row[1]): _cell(*row[3:]) for row in rows}
    columns = [[[title], *(cells[name, model] for name in names)] for title, model in zip(titles, models, strict=True)]
    widths = [max(len(line) for cell in column for line in cell) for column in columns]
    first = COLUMNS - sum(2 + width for width in widths)  # for the names, which are broken at spaces
    named = [[""], *(textwrap.wrap(name, first, break_on_hyphens=False) for name in names)]
    widths.insert(0, max(len(line) for cell in named for line in cell))
    lines = []
    for row in zip(named, *columns, strict=True):
        for parts in zip_longest(*row, fillvalue=""):
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
    return lines


def _cell(value: Cell, low: Cell, high: Cell, n: Cell) -> list[str]:
    """One line, and a second one for the interval."""
    if not isinstance(value, float):
        return ["-"]
    shown = f"{value:.3g}" + (f" n={n:.0f}" if isinstance(n, float) else "")
    is_bounded = isinstance(low, float) and isinstance(high, float)
    return [shown, f"[{low:.2g}, {high:.2g}]"] if is_bounded else [shown]


def _advice(values: Mapping[int, Mapping[str, float]], models: Mapping[str, int], *, unscored: str) -> str:
    """Which checkpoint to use, and why. `unscored`: why the last round of voices has no score, if it is known."""
    best = models.get("best")
    if best is None and unscored:
        return f"No voice was scored: {unscored}. Nothing was evaluated, so no checkpoint can be recommended."
    if best is None:
        return "No voice was scored and nothing was evaluated, so no checkpoint can be recommended."
    tag = next((tag for tag in SIMILARITIES if tag in values.get(best, {})), None)
    if tag is None:
        why = f"it has the lowest {_EVAL_LOSS}, which does not tell whether voices are cloned"
        why += f"; no voice was scored: {unscored}" if unscored else ""
    else:
        why = _against_base(values.get(BASE, {}), values[best], tag, chosen=_beside_others(values, best, tag))
    return f"Use step {best}: {why}."


def _beside_others(values: Mapping[int, Mapping[str, float]], best: int, tag: str) -> str:
    """How good its voice is, beside that of the step with the highest similarity."""
    scored = {step: row for step, row in values.items() if step != BASE and tag in row}
    highest = max(scored, key=lambda step: scored[step][tag])
    name, row, other = score_of(tag), scored[best], scored[highest]
    if row[tag] == other[tag]:
        return f"it has the best voice ({name} {row[tag]:.3g})"
    errors = next((each for each in ERRORS if each in row and each in other), None)
    is_as_good = row[tag] >= other.get(tags.VOICE_LOW(score=name), math.inf)
    if errors is not None and row[errors] < other[errors] and is_as_good:
        return (
            f"its {name} ({row[tag]:.3g}) is within the interval of the best one ({other[tag]:.3g} at step {highest}), "
            f"and it has fewer word errors ({row[errors]:.3g}, {other[errors]:.3g})"
        )
    return f"its {name} is {row[tag]:.3g}, and that of step {highest} is the best ({other[tag]:.3g})"


def _against_base(base: Mapping[str, float], best: Mapping[str, float], tag: str, *, chosen: str) -> str:
    name = score_of(tag)
    low = best.get(tags.VOICE_LOW(score=name), math.nan)
    high = base.get(tags.VOICE_HIGH(score=name), math.nan)
    if tag not in base:
        return chosen
    if low > high:
        return f"{chosen}, clearly better than the base model ({base[tag]:.3g})"
    if best[tag] > base[tag]:
        why = "there are too few clips for an interval" if math.isnan(low - high) else "the intervals overlap"
        return f"{chosen}; the base model has {base[tag]:.3g}, but {why}"
    return f"{chosen}, but the base model is not worse ({base[tag]:.3g}): training has not improved the voice"


def _which_checkpoint(best: int, nearest: int | None) -> str:
    """`nearest`: step of the nearest checkpoint that was kept."""
    if nearest == best:
        return f" It is checkpoint {best}."
    return " No checkpoint of it was kept" + ("." if nearest is None else f"; the nearest one is of step {nearest}.")


def _open_findings(findings: Sequence[Finding]) -> list[str]:
    titles = [f"{finding.title} ({finding.level})" for finding in findings if finding.is_open]
    return [f"Findings still open: {_listed(titles)}. See findings.md."] if titles else []


def _missing(missing: Sequence[MissingFamily]) -> list[str]:
    templates = [family.template for family in missing]
    return [f"Missing: {_listed(templates)}. See {tags.MISSING_LIST()}."] if templates else []


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
