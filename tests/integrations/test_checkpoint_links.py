"""A checkpoint of the Trainer is named with a digest of its model, by which it is found again."""

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tracker_logging import JsonLinesTracker
from tracker_logging.data.content_digest import BLOCK_BYTES, BLOCKS, content_of
from tracker_logging.events import Checkpoint
from tracker_logging.integrations.hf_session import LoggingSession
from tracker_logging.integrations.hf_trainer import StrategicCallback
from tracker_logging.runs.json_lines import recorded_events


class Halves(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).mean()}


def test_each_checkpoint_is_recorded_with_step_and_a_digest_of_its_model(tmp_path: Path) -> None:
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, save_steps=2, logging_steps=4, per_device_train_batch_size=1,
        learning_rate=0.1, report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    tracker = JsonLinesTracker(tmp_path / "run")
    data = [{"x": torch.full((1,), 0.5)}] * 4
    ours = StrategicCallback(LoggingSession(tracker=tracker))
    Trainer(model=Halves(), args=arguments, train_dataset=data, callbacks=[ours]).train()
    tracker.close()
    saved = [event for event in recorded_events(tmp_path / "run") if isinstance(event, Checkpoint)]
    assert [(event.step, event.name) for event in saved] == [(2, "checkpoint-2"), (4, "checkpoint-4")]
    for event in saved:
        weights = (tmp_path / event.name / "model.safetensors").read_bytes()
        content = f"17:model.safetensors:{len(weights)}:".encode() + weights
        assert event.digest == hashlib.sha256(content).hexdigest()[:16]
        assert (event.files, event.size_bytes) == (1, len(weights))
    assert saved[0].digest != saved[1].digest


@pytest.mark.parametrize("at", [0, -1])
def test_a_large_file_is_told_from_another_at_a_bounded_cost(tmp_path: Path, at: int) -> None:
    file = tmp_path / "model.bin"
    content = bytearray(BLOCK_BYTES * BLOCKS * 2)
    file.write_bytes(content)
    before = content_of(file)
    content[at] = 1
    file.write_bytes(content)
    assert content_of(file).digest != before.digest


def test_the_digest_tells_names_from_content_and_not_where_the_directory_lies(tmp_path: Path) -> None:
    for name, files in {"a": {"x": "yz"}, "b": {"x": "yz"}, "c": {"xy": "z"}}.items():
        (tmp_path / name / "part").mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / name / "part" / file).write_text(text)
    digests = [content_of(tmp_path / name).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
