"""One live line for a training in place of a printed line for each logged step.

    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LiveLine())           #  12%|█▏ | 60/500 [01:10<08:20] loss 4.31 eval_loss 4.5

The numbers themselves are in the run.
"""

from __future__ import annotations

from typing import Any

from transformers import ProgressCallback

SHOWN = ("loss", "eval_loss", "eval_voice_sim_o", "eval_voice_wer")


class LiveLine(ProgressCallback):  # type: ignore[misc]
    """The Trainer's progress bar with the last value of each number of `SHOWN` behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An evaluation has no bar of its own."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Keep the numbers and draw the bar anew; prints nothing."""
        if state.is_world_process_zero and self.training_bar is not None:
            self._last |= {name: float(logs[name]) for name in SHOWN if logs is not None and name in logs}
            in_order = [f"{name} {self._last[name]:.4g}" for name in SHOWN if name in self._last]
            self.training_bar.set_postfix_str(" ".join(in_order))
