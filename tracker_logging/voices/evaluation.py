"""The numbers of the voices for the metrics of an evaluation, by which a loop chooses its best checkpoint.

    numbers = EvaluationNumbers()
    numbers.add(Scalars(step=100, values={"voices/sim_margin/mean": 0.23, "voices/sim_margin/low": 0.19}))
    numbers.at(100, wanted=("voice_sim_margin",))      # {"voice_sim_margin": 0.23, "voice": 1.0}

Rules
- Names: `conditioning_gap` for `conditioning/gap/mean`, `voice_sim_margin` for `voices/sim_margin/mean`,
  `voice_spk_top1` for `voices/spk_top1`: every number over the set of which higher or lower values are better.
- A number that was not measured at the step, since its round failed or its scores are late, has the value of the
  evaluation before, so that it is not better than the best one so far. At the first evaluation it is NaN, if the loop
  chooses by it, which is never better either. This is logged once.
- `voice` counts the checkpoints that were the best so far by `BestVoice`: 1 for the first, 2 for the one that replaces
  it, and 0 for a checkpoint that is not better than the best one so far. The highest value is the best checkpoint.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Collection, Mapping
from typing import Any

from tracker_logging import tags
from tracker_logging.events import Event, Scalars

logger = logging.getLogger("tracker_logging")

VOICE = "voice"
"""The name of the metric that follows `BestVoice`."""
SIMILARITIES = (tags.VOICE_SCORE(score="sim_margin"), tags.VOICE_SCORE(score="sim_o"))
"""By which a voice is judged: the first one that was measured."""
ERRORS = (tags.WER(), tags.CER())
_GAPS = (tags.CONDITIONING_GAP_MEAN(), tags.CONDITIONING_GAP_NULL())
_DIRECTIONS = dict.fromkeys(_GAPS, "higher")


def metric_name(tag: str) -> str | None:
    """The metric of a scalar; None for one by which no checkpoint is chosen.

    >>> metric_name("voices/sim_margin/mean"), metric_name("voices/wer"), metric_name("conditioning/gap/mean")
    ('voice_sim_margin', 'voice_wer', 'conditioning_gap')
    >>> metric_name("voices/sim_margin/low"), metric_name("outputs/nll/mean")
    (None, None)
    """
    section, _, name = tag.partition("/")
    if section not in ("voices", "conditioning") or direction_of(tag) not in ("higher", "lower"):
        return None
    prefix = "voice" if section == "voices" else section
    return f"{prefix}_{name.removesuffix('/mean')}"


def score_of(tag: str) -> str:
    """The score of a tag `voices/{score}/mean`."""
    return tag.split("/")[1]


def direction_of(tag: str) -> str:
    """ "higher" or "lower" for a scalar by which a checkpoint may be chosen, else another text."""
    return _DIRECTIONS.get(tag) or tags.direction(tag)


def known_metrics() -> dict[str, str]:
    """Metric -> "higher" or "lower", for all that this library may add to an evaluation."""
    scores = [tags.VOICE_SCORE(score=score.name) if score.mean else f"voices/{score.name}" for score in tags.SCORES]
    others = [*_GAPS, tags.CONDITIONING_WIN_RATE(), tags.SPK_EER(), tags.MARGIN_RETAINED()]
    named = {metric_name(tag): direction_of(tag) for tag in (*scores, *others)}
    return {name: direction for name, direction in named.items() if name is not None} | {VOICE: "higher"}


def in_words(values: Mapping[str, float]) -> list[str]:
    """The numbers of a round by tag, for the console, what matters most first; never empty.

    >>> in_words({"voices/spk_top1": 0.75, "voices/spk_top1/n": 12.0, "voices/stopped_pct": 75.0,
    ...           "voices/valid_clips": 11.0, "voices/invalid_clips": 1.0})
    ['right speaker 9 of 12', '3 not stopped', '1 invalid']
    """
    words: list[str] = []
    if (top1 := values.get(tags.SPK_TOP1())) is not None and (n := values.get(tags.VOICE_N(score="spk_top1"))):
        words.append(f"right speaker {top1 * n:.0f} of {n:.0f}")
    similarity = next((tag for tag in SIMILARITIES if tag in values), None)
    if similarity is not None:
        name = score_of(similarity)
        low, high = values.get(tags.VOICE_LOW(score=name)), values.get(tags.VOICE_HIGH(score=name))
        interval = "" if low is None or high is None else f" [{low:.2g}, {high:.2g}]"
        words.append(f"{name} {values[similarity]:.2f}{interval}")
    words += [f"{name} {values[tag]:.2f}" for name, tag in (("wer", tags.WER()), ("cer", tags.CER())) if tag in values]
    generated = values.get(tags.VALID_CLIPS(), 0.0) + values.get(tags.INVALID_CLIPS(), 0.0)
    counts = {
        "not stopped": generated * (1.0 - values.get(tags.STOPPED(), 100.0) / 100.0),
        "invalid": values.get(tags.INVALID_CLIPS(), 0.0),
        "failed": values.get(tags.FAILED_VOICES(), 0.0),
    }
    words += [f"{count:.0f} {what}" for what, count in counts.items() if round(count)]
    return words or ["no scores"]


class BestVoice:
    """Which checkpoint has the best voice so far.

    - The speaker counts first: a checkpoint can only be the best if its `sim_margin` (`sim_o` with one speaker) is not
      below the interval of the best `sim_margin` so far. Without an interval, it must be the highest.
    - Among these the words decide: the best one has the lowest word error rate, or without a transcriber the highest
      `sim_margin`.
    - A checkpoint whose clips have no scores can only replace one that has none either, by a higher conditioning gap.

    >>> best = BestVoice()
    >>> row = {"voices/sim_margin/mean": 0.23, "voices/sim_margin/low": 0.19, "voices/wer": 0.08}
    >>> best.consider(row), best.consider(row | {"voices/sim_margin/mean": 0.21, "voices/wer": 0.05})
    (True, True)
    >>> best.consider(row | {"voices/sim_margin/mean": 0.15, "voices/wer": 0.01})
    False
    """

    def __init__(self) -> None:
        self._chosen: dict[str, float] = {}
        self._bar: float | None = None  # the least similarity of a good voice
        self._highest = -math.inf
        self.count = 0

    def consider(self, values: Mapping[str, float]) -> bool:
        """Whether the checkpoint with these scalars, by tag, is the best so far. It then is the one to beat."""
        is_better = self._is_better(values)
        if is_better:
            names = (*SIMILARITIES, *ERRORS, *_GAPS)
            self._chosen = {name: values[name] for name in names if name in values}
            self.count += 1
        return is_better

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"chosen": self._chosen, "bar": self._bar, "highest": max(self._highest, -1e9), "count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self._chosen, self._bar = dict(state["chosen"]), state["bar"]
        self._highest, self.count = float(state["highest"]), int(state["count"])

    def _is_better(self, values: Mapping[str, float]) -> bool:
        tag = next((tag for tag in SIMILARITIES if tag in values), None)
        if tag is None:
            gap = next((name for name in _GAPS if name in values), None)
            is_scored = any(name in self._chosen for name in SIMILARITIES)
            return gap is not None and not is_scored and values[gap] > self._chosen.get(gap, -math.inf)
        similarity = values[tag]
        if similarity > self._highest:
            self._highest = similarity
            self._bar = values.get(tags.VOICE_LOW(score=score_of(tag)), similarity)
        if self._bar is None or similarity < self._bar:
            return False
        if self._chosen.get(tag, -math.inf) < self._bar:
            return True
        errors = next((name for name in ERRORS if name in values and name in self._chosen), None)
        if errors is not None and values[errors] != self._chosen[errors]:
            return values[errors] < self._chosen[errors]
        return similarity > self._chosen[tag]


def ranked(values: Mapping[int, Mapping[str, float]]) -> list[int]:
    """The steps of checkpoints, given their scalars by tag, the best voice first, as `BestVoice` chooses.

    The best one is chosen again and again of those that remain. Those without any number come last.

    >>> ranked({1: {"voices/sim_o/mean": 0.5}, 2: {}, 3: {"voices/sim_o/mean": 0.7}})
    [3, 1, 2]
    """
    remaining, order = dict(values), list[int]()
    while remaining:
        choice = BestVoice()
        # From the most similar one: the bar is then that of the best of all, whatever the order of the steps.
        by_similarity = sorted(remaining, key=lambda step: -_similarity(remaining[step]))
        best = [step for step in by_similarity if choice.consider(remaining[step])]
        order.append(best[-1] if best else by_similarity[0])
        del remaining[order[-1]]
    return order


def _similarity(values: Mapping[str, float]) -> float:
    return next((values[tag] for tag in SIMILARITIES if tag in values), -math.inf)


class EvaluationNumbers:
    """The newest value of each number and the choice of the best voice. `add` on any thread, `at` on one."""

    def __init__(self) -> None:
        self.best = BestVoice()
        self._lock = threading.Lock()
        self._values: dict[str, tuple[int, float]] = {}  # by tag: step, value
        self._given: dict[str, float] = {}  # metrics of the evaluation before
        self._is_reported = False

    def add(self, event: Event) -> None:
        """Keep the values of a `Scalars` event; other events, and scalars of other sections, are ignored."""
        if not isinstance(event, Scalars):
            return
        with self._lock:
            for tag, value in event.values.items():
                if tag.startswith(("voices/", "conditioning/")) and event.step >= self._values.get(tag, (-1, 0.0))[0]:
                    self._values[tag] = event.step, value

    def at(self, step: int, *, wanted: Collection[str] = (), with_voices: bool = True) -> dict[str, float]:
        """Metrics of the evaluation after `step` steps: what was measured at that step, and what is wanted.

        `wanted`: metrics that the loop needs in any case. `with_voices`: the voices were due.
        """
        with self._lock:
            values = {tag: value for tag, (measured_at, value) in self._values.items() if measured_at == step}
        named = {name: value for tag, value in values.items() if (name := metric_name(tag)) is not None}
        if with_voices:
            named[VOICE] = float(self.best.count) if self.best.consider(values) else 0.0
        missing = sorted((self._given.keys() | set(wanted)) - named.keys())
        if missing and not self._is_reported:
            self._is_reported = True
            logger.warning(
                "Scores of voices failed or were not there in time: the evaluation after step %d has the values of the "
                "evaluation before for %s, or NaN at the first one. Training continues; such a checkpoint is never "
                "the best. To wait longer raise --voice_timeout_s; to need less time choose fewer scorers or clips.",
                step, ", ".join(missing),
            )  # fmt: skip
        metrics = {name: self._given.get(name, math.nan) for name in missing} | named
        self._given = {name: value for name, value in metrics.items() if name != VOICE}
        return metrics
