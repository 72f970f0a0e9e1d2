"""The live line of a training: the last numbers behind the bar, and no line for each logged step."""

from pathlib import Path

import pytest
import torch
from transformers import ProgressCallback, Trainer, TrainingArguments

from tracker_logging.integrations.live_line import LiveLine


class Halves(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).mean()}


def test_a_training_is_one_line_with_its_last_numbers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, logging_steps=1, eval_strategy="steps", eval_steps=3, learning_rate=0.0,
        lr_scheduler_type="constant", per_device_train_batch_size=1, save_strategy="no", report_to="none", use_cpu=True,
        label_names=["x"], prediction_loss_only=True,
    )  # fmt: skip
    data = [{"x": torch.full((1,), 0.5)}] * 3
    trainer = Trainer(model=Halves(), args=arguments, train_dataset=data, eval_dataset=data)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LiveLine())
    trainer.train()
    written = capfd.readouterr()
    assert "{" not in written.out + written.err
    last = written.err.rstrip().split("\r")[-1].rstrip()
    assert last.count("\n") == 0 and "3/3" in last and "loss 0.5 eval_loss 0.5" in last
