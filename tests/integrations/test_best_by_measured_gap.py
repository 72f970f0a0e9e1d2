"""The best checkpoint by a gap that is really computed: references are wrong in the second half of the training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from read_back import read_jsonl
from safetensors.torch import load_file
from scored_here import scored_here
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from tracker_logging import strategic_callbacks
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.settings import VoiceSettings

RIGHT, STEPS, PROMPTS = 3, 6, 4
SHARP = 4.0
"""How much larger the output weights are than at random: a few steps then move the gap far."""


class ShuffledHalfWay(Dataset):
    """Samples with their own reference for the first `RIGHT` steps, then with that of another speaker."""

    def __init__(self, samples: list[Any], processor: SpeechProcessor) -> None:
        others = [samples[(at + 1) % len(samples)] for at in range(len(samples))]
        wrong = [sample.with_reference_of(other) for sample, other in zip(samples, others, strict=True)]
        self.right, self.wrong = VoiceCloningDataset(samples, processor), VoiceCloningDataset(wrong, processor)
        self.taken = 0

    def __len__(self) -> int:
        return len(self.right)

    def __getitem__(self, index: int) -> Any:
        self.taken += 1
        return (self.right if self.taken <= RIGHT * PROMPTS else self.wrong)[index]


def sharp_model() -> Any:
    made = demo_model(seed=0)
    made.accepts_loss_kwargs = False
    with torch.no_grad():
        made.audio_lm_head.weight.mul_(SHARP)
    return made


@pytest.mark.slow
def test_the_loss_prefers_the_last_step_and_the_gap_the_last_one_with_right_references(
    demo: Path, tmp_path: Path
) -> None:
    trainer = trained(DemoPaths(demo), tmp_path)
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    losses = [entry["eval_loss"] for entry in evaluations]
    gaps = [entry["eval_conditioning_gap"] for entry in evaluations]
    assert losses == sorted(losses, reverse=True), "by the loss the last step is the best"
    assert trainer.state.best_global_step == RIGHT and gaps[RIGHT - 1] == max(gaps)
    best = load_file(tmp_path / f"checkpoint-{RIGHT}" / "model.safetensors")
    weights = trainer.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in best.items())
    logged = read_jsonl(tmp_path / "runs" / "run").scalars
    assert [logged["conditioning/gap/mean", step] for step in range(1, STEPS + 1)] == pytest.approx(gaps)


def trained(demo: DemoPaths, output: Path) -> Trainer:
    processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
    speakers = {sample.speaker: sample for sample in read_samples(demo.eval)}
    samples = list(speakers.values())[:PROMPTS]
    train = ShuffledHalfWay(samples, processor)
    ours = strategic_callbacks(
        processor=processor, loggers="outputs,zero_shot", report_to="jsonl", every=100, voice_samples=samples,
        voice_at_start=False, voice_steps=100,
        voice_settings=VoiceSettings(max_clips=PROMPTS, conditioning_clips=PROMPTS, timeout_s=60.0),
    )  # fmt: skip
    torch.manual_seed(5)
    trainer = Trainer(
        model=sharp_model(),
        args=TrainingArguments(
            output_dir=str(output), max_steps=STEPS, per_device_train_batch_size=PROMPTS, learning_rate=1e-3,
            lr_scheduler_type="constant", remove_unused_columns=False, use_cpu=True, report_to="none", seed=1,
            disable_tqdm=True, eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1,
            save_only_model=True, load_best_model_at_end=True, metric_for_best_model="eval_conditioning_gap",
            label_names=["audio_labels"], prediction_loss_only=True,
        ),
        train_dataset=train,
        eval_dataset=train.wrong,
        data_collator=processor.collator(),
        callbacks=ours,
    )  # fmt: skip
    with scored_here():
        trainer.train()
    return trainer
