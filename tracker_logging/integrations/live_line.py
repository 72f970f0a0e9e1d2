"""One live line for a training in place of a printed line for each logged step.

    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LiveLine(callbacks))
    #  63%|█| 315/500 <08:20, loss 4.31 · voices 315: right speaker 11/12 · ! Silence

It fits a terminal: the voices are always shown, the last finding is cut, and the numbers of an evaluation are left
out where there is no room. The numbers themselves are in the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transformers import ProgressCallback

from tracker_logging.integrations.hf_trainer import StrategicCallback
from tracker_logging.session.latest import Latest

SHOWN = ("loss", "eval_loss", "eval_voice_sim_o", "eval_voice_wer")
BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} <{remaining}{postfix}"
_SEPARATOR = " · "
_SHORTEST_FINDING = 8
_NO_TERMINAL = 500  # columns of a file


class LiveLine(ProgressCallback):  # type: ignore[misc]
    """The Trainer's progress bar, and behind it the last numbers of `SHOWN`, voices and finding.

    `callbacks`: those of the Trainer, of which the first one of ours knows voices and findings. Add it after them.
    """

    def __init__(self, callbacks: Iterable[object] = ()) -> None:
        super().__init__()
        self._ours = next((callback for callback in callbacks if isinstance(callback, StrategicCallback)), None)
        self._last: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.bar_format = BAR

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An evaluation has no bar of its own."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Keep the numbers and draw the bar anew; prints nothing."""
        if state.is_world_process_zero and self.training_bar is not None:
            self._last |= {name: float(logs[name]) for name in SHOWN if logs is not None and name in logs}
            self._draw(total=state.max_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw the bar a last time, with the voices of the end."""
        if state.is_world_process_zero and self.training_bar is not None:
            self._draw(total=state.max_steps)
        super().on_train_end(args, state, control, **kwargs)

    def _draw(self, *, total: int) -> None:
        session = None if self._ours is None else self._ours.session.current
        latest = Latest() if session is None else session.emitter.latest
        bar = len(f"100%|█| {total}/{total} <0:00:00, ")
        numbers = [f"{name} {self._last[name]:.4g}" for name in SHOWN if name in self._last]
        columns = self.training_bar.format_dict["ncols"] or _NO_TERMINAL
        self.training_bar.set_postfix_str(live_words(numbers, latest.voices, latest.finding, width=columns - bar))


def live_words(numbers: Sequence[str], voices: str, finding: str, *, width: int) -> str:
    """The line behind the bar in at most `width` columns: the first number, voices and finding before other numbers.

    >>> live_words(["loss 4.31", "eval_loss 4.5"], "voices 315: right speaker 11/12", "Learning rate zero", width=57)
    'loss 4.31 · voices 315: right speaker 11/12 · ! Learning…'
    >>> live_words(["loss 4.31", "eval_loss 4.5"], "voices 315: right speaker 11/12", "", width=40)
    'voices 315: right speaker 11/12'
    >>> live_words(["loss 4.31", "eval_loss 4.5"], "", "", width=57)
    'loss 4.31 eval_loss 4.5'
    """

    def line(count: int, shown_finding: str) -> str:
        parts = (" ".join(numbers[:count]), voices, shown_finding)
        return _SEPARATOR.join(part for part in parts if part)

    mark = f"! {finding}" if finding else ""
    for count in range(len(numbers), -1, -1):
        whole = line(count, mark)
        if len(whole) <= width:
            return whole
        room = width - len(line(count, "!")) + 1
        if count <= 1 and mark and room >= _SHORTEST_FINDING:
            return line(count, f"{mark[: room - 1]}…")
    return voices[:width]
