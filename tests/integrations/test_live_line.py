"""The live line of a training: the last numbers behind the bar, and no line for each logged step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tracker_examples import comparison, finding
from transformers import ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from tracker_logging.events import Event, Findings, Scalars
from tracker_logging.integrations.hf_session import LoggingSession
from tracker_logging.integrations.hf_trainer import StrategicCallback
from tracker_logging.integrations.live_line import LiveLine
from tracker_logging.session.latest import Latest
from tracker_logging.trackers.memory import MemoryTracker


class Halves(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).mean()}


class Emits(TrainerCallback):
    """Emits `events` while the first step ends, as the worker of the voices and the doctor do."""

    def __init__(self, callback: StrategicCallback, *events: Event) -> None:
        self.callback = callback
        self.events = events

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for event in self.events if state.global_step == 1 else ():
            self.callback.session.current.emitter.emit(event)


class AtATerminal(LiveLine):
    """A line that finds a terminal of 80 columns, of which tqdm uses 79."""

    def on_train_begin(self, *arguments: Any, **kwargs: Any) -> None:
        super().on_train_begin(*arguments, **kwargs)
        self.training_bar.dynamic_ncols = lambda file: (79, 23)


def last_line(output: Path, capfd: pytest.CaptureFixture[str], live: LiveLine, *callbacks: TrainerCallback) -> str:
    """What three steps and an evaluation leave of the line."""
    arguments = TrainingArguments(
        output_dir=str(output), max_steps=3, logging_steps=1, eval_strategy="steps", eval_steps=3, learning_rate=0.0,
        lr_scheduler_type="constant", per_device_train_batch_size=1, save_strategy="no", report_to="none", use_cpu=True,
        label_names=["x"], prediction_loss_only=True,
    )  # fmt: skip
    data = [{"x": torch.full((1,), 0.5)}] * 3
    trainer = Trainer(model=Halves(), args=arguments, train_dataset=data, eval_dataset=data, callbacks=[*callbacks])
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(live)
    trainer.train()
    written = capfd.readouterr()
    assert "{" not in written.out + written.err
    return written.err.rstrip().split("\r")[-1].rstrip()


def test_a_training_is_one_line_with_its_last_numbers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    last = last_line(tmp_path, capfd, LiveLine())
    assert last.count("\n") == 0 and "3/3" in last and "loss 0.5 eval_loss 0.5" in last


def test_the_line_names_the_last_voices_and_the_last_finding_at_80_columns(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ours = StrategicCallback(LoggingSession(tracker=MemoryTracker()))
    events = (scored(1, spk_top1=11 / 12), report("silence", "learning_rate_zero"))
    last = last_line(tmp_path, capfd, AtATerminal([ours]), ours, Emits(ours, *events))
    assert last.endswith("3/3 <00:00, loss 0.5 · voices 1: right speaker 11/12 · ! Learning ra…"), last
    assert len(last) < 80


def scored(step: int, **more: float) -> Scalars:
    counts = {"valid_clips": 12.0, "invalid_clips": 0.0, "spk_top1/n": 12.0}
    return Scalars(step=step, values={f"voices/{name}": value for name, value in (counts | more).items()})


def report(*still_open: str) -> Findings:
    resolved = finding("no_gradient", since=1, until=2)
    return Findings(step=2, findings=(*(finding(name) for name in still_open), resolved))


def test_voices_without_scores_are_named_too_and_a_late_round_does_not_replace_a_later_one() -> None:
    latest = Latest()
    said = []
    for event in (comparison(5), scored(5), scored(9, **{"sim_o/mean": 0.5}), scored(7, spk_top1=1.0)):
        latest.hear(event)
        said.append(latest.voices)
    assert said == ["", "voices 5: no scores", "voices 9: sim_o 0.50", "voices 9: sim_o 0.50"]


def test_clips_that_wait_for_scores_are_named_and_a_resolved_finding_is_not() -> None:
    latest = Latest()
    latest.hear(replace(comparison(5), stage="generated"))
    assert latest.voices == "voices 5: not scored yet"
    names = {"valid_clips": 2.0, "sim_o/mean": 0.8, "sim_o/low": 0.7, "sim_o/high": 0.9}  # of one speaker
    latest.hear(Scalars(step=6, values={f"voices/{name}": value for name, value in names.items()}))
    assert latest.voices == "voices 6: sim_o 0.80 [0.7, 0.9]"
    latest.hear(report("silence"))
    assert latest.finding == "Silence"
    latest.hear(report())
    assert latest.finding == ""
