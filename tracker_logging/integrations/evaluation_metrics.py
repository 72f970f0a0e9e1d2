"""Scores of the voices in the Trainer's metrics, for the best checkpoint, early stopping and a hyperparameter search.

Guarantees
- The metrics are the same on every rank, and are there before any callback's `on_evaluate`, in whatever order the
  callbacks were given: they are added when the Trainer logs the evaluation, to the dictionary that it evaluates.
- A metric that cannot be measured, or whose better direction is not that of the arguments, refuses the training.
- A metric that is chosen by is in every evaluation, so that no `KeyError` ends the training (`voices.evaluation`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from difflib import get_close_matches
from typing import Any

from transformers import TrainerState, TrainingArguments

from tracker_logging.observers.zero_shot import ZeroShotObserver
from tracker_logging.session.session import Session
from tracker_logging.voices.evaluation import known_metrics

logger = logging.getLogger("tracker_logging")

_SECTIONS = ("voice", "conditioning")
_OBJECTIVES = ("conditioning_gap", "voice_sim_margin", "voice_sim_o", "voice_spk_top1", "voice_wer", "voice_cer")
"""What the objective of a search may read, which no callback knows: these are in every evaluation of a trial."""


class EvaluationMetrics:
    """Serves the trainings of one callback. `at_eval`: `LoggingConfig.voice_at_eval`."""

    def __init__(self, *, at_eval: bool) -> None:
        self._at_eval = at_eval
        self._with_voices = at_eval
        self._evaluated: tuple[int, str] | None = None  # step and name of the set that has the numbers
        self._is_copied = False

    def begin(self, args: TrainingArguments, state: TrainerState, observer: ZeroShotObserver) -> None:
        """A training begins. Raises `ValueError` for a `metric_for_best_model` of ours that cannot be used."""
        self._evaluated = None
        wanted = chosen_metric(args)
        self._with_voices = self._at_eval or (wanted or "").startswith("voice")
        observer.wanted = frozenset() if wanted is None else frozenset({wanted})
        if state.is_hyper_param_search:
            names = [name for name in _OBJECTIVES if self._with_voices or not name.startswith("voice")]
            observer.wanted |= {name for name in names if observer.why_no_metric(name) is None}
        if wanted is None:
            return
        known = known_metrics()
        if wanted not in known:
            near = get_close_matches(wanted, known, n=1)
            hint = f"Did you mean eval_{near[0]}?" if near else f"Choose of {', '.join(sorted(known))}."
            raise ValueError(f"metric_for_best_model is {args.metric_for_best_model!r}: no such metric. {hint}")
        reason = observer.why_no_metric(wanted)
        if reason is not None:
            raise ValueError(
                f"metric_for_best_model is {args.metric_for_best_model!r}, but it cannot be measured: {reason}. Change "
                "that, or choose another metric."
            )
        if args.greater_is_better != (known[wanted] == "higher"):
            raise ValueError(
                f"metric_for_best_model is {args.metric_for_best_model!r}, of which {known[wanted]} is better, but "
                f"greater_is_better is {args.greater_is_better}. Pass greater_is_better={not args.greater_is_better}."
            )

    def add(self, metrics: Mapping[str, Any] | None, session: Session, state: TrainerState) -> None:
        """Add the numbers to the metrics of an evaluation, if these are some. Every rank calls it.

        Of several sets, the first one evaluated at a step has them.
        """
        name = evaluated_set(metrics or {})
        if name is None or not isinstance(metrics, MutableMapping):
            return
        if session.has_ended and not state.is_hyper_param_search:
            return  # the weights need not be those of the last step any more
        if self._evaluated is not None and self._evaluated[0] == state.global_step and self._evaluated[1] != name:
            return
        self._evaluated = state.global_step, name
        prefix = "eval" if name.startswith("eval") else name
        numbers = session.evaluation_numbers(state.global_step, with_voices=self._with_voices)
        added = {f"{prefix}_{metric}": value for metric, value in numbers.items()}
        metrics.update(added)
        last = state.log_history[-1] if state.log_history else {}
        if last.get("step") == state.global_step and f"{name}_runtime" in last:
            last.update(added)

    def check_order(self, metrics: Mapping[str, Any] | None, args: TrainingArguments) -> None:
        """Before the numbers are added in `on_evaluate`: warn once where they come too late for other callbacks.

        They were added to what the Trainer logged; a subclass that logs a copy loses them there.
        """
        wanted = chosen_metric(args)
        if wanted is None or self._is_copied or evaluated_set(metrics or {}) is None or self._evaluated is None:
            return
        if f"eval_{wanted}" not in (metrics or {}) and self._evaluated[1] == evaluated_set(metrics or {}):
            self._is_copied = True
            logger.warning(
                "The Trainer logs a copy of its metrics: callbacks before ours, such as EarlyStoppingCallback, do not "
                "see eval_%s. Pass them after the callbacks of tracker_logging.", wanted,
            )  # fmt: skip


def chosen_metric(args: TrainingArguments) -> str | None:
    """The metric of ours by which the Trainer chooses the best checkpoint, without `eval_`; else None."""
    name = (args.metric_for_best_model or "").removeprefix("eval_")
    return name if name.split("_")[0] in _SECTIONS else None


def evaluated_set(metrics: Mapping[str, Any]) -> str | None:
    """The prefix of the metrics of an evaluation, which have a run time and a speed; None for other logs.

    >>> evaluated_set({"eval_loss": 1.0, "eval_runtime": 2.0, "eval_samples_per_second": 9.0})
    'eval'
    >>> evaluated_set({"train_runtime": 9.0, "train_steps_per_second": 1.0}), evaluated_set({"data_runtime": 9.0})
    (None, None)
    """
    names = [key.removesuffix("_runtime") for key in metrics if key.endswith("_runtime")]
    timed = (name for name in names if metrics.keys() & {f"{name}_samples_per_second", f"{name}_steps_per_second"})
    return next((name for name in timed if name != "train"), None)
