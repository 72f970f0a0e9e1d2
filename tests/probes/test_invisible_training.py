"""With everything on, training is the same to the bit: weights, optimizer, losses and all random states."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_model import small_model
from training import hook_count, train, values_of, watched_callbacks
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tracker_logging import tags
from tracker_logging.families import adapter_for
from tracker_logging.trackers.memory import MemoryTracker

SETTINGS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"bf16": True},
    "accumulation": {"gradient_accumulation_steps": 3},
    "checkpointing": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "reentrant checkpointing": {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    },
    "evaluation in between": {"eval_strategy": "steps", "eval_steps": 3},
    "no clipping, pure bf16": {"max_grad_norm": 0.0},
}


def lora_model() -> torch.nn.Module:
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["q_proj", "v_proj"])
    return get_peft_model(small_model(text_head=True, dropout=0.1), config)


def model_for(setting: str) -> torch.nn.Module | None:
    if setting == "LoRA":
        return lora_model()
    if "pure bf16" in setting:
        return small_model(text_head=True, dropout=0.1).to(torch.bfloat16)
    return None


@pytest.mark.parametrize("setting", [*SETTINGS, "LoRA"])
def test_training_is_bit_identical_with_everything_on(setting: str, tmp_path: Path) -> None:
    arguments = SETTINGS.get(setting, {})
    plain_trainer, plain = train(tmp_path, model=model_for(setting), **arguments)
    tracker = MemoryTracker()
    trainer, watched = train(tmp_path, model=model_for(setting), callbacks=watched_callbacks(tracker), **arguments)
    assert watched == plain
    assert not ALL_ATTENTION_FUNCTIONS._local_mapping
    # transformers leaves a hook of its own on the embedding under gradient checkpointing.
    assert hook_count(trainer.model) == hook_count(plain_trainer.model)
    found = values_of(tracker)
    assert [step for step, _ in found[tags.NLL_MEAN()]] == [1, 2, 4, 6]
    assert {value for _, value in found[tags.ERRORS()]} == {0.0}
    assert np.isfinite([value for own in found.values() for _, value in own]).all()
    component = "lora_attention_q" if setting == "LoRA" else "audio_ffn"
    expected = {
        tags.DIAGONALITY(), tags.MASS_MEAN(query="target", key="reference"), tags.ATTENTION_ENTROPY(layer=1),
        tags.FFN_RMS(path="audio", layer=1), tags.GRADIENT_NORM(component=component),
        tags.UPDATE_RATIO(component=component), tags.GRADIENT_COSINE(),
    }  # fmt: skip
    assert expected <= found.keys()


@pytest.mark.parametrize("setting", ["fp32", "accumulation", "checkpointing", "reentrant checkpointing", "bf16"])
def test_logged_numbers_are_those_of_the_trainer(setting: str, tmp_path: Path) -> None:
    """The gradient norm before clipping, each layer counted once under checkpointing."""
    tracker = MemoryTracker()
    trainer, _ = train(tmp_path, callbacks=watched_callbacks(tracker), **SETTINGS[setting])
    found = values_of(tracker)
    norms = {entry["step"]: entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry}
    for at, (step, _) in enumerate(found[tags.NLL_MEAN()]):
        squares = sum(own[at][1] ** 2 for tag, own in found.items() if tag.startswith("gradients/norm/"))
        assert squares**0.5 == pytest.approx(norms[step], rel=1e-3), step


def test_a_callback_that_is_taken_out_of_the_list_takes_nothing_of_the_others_with_it(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    train(tmp_path, callbacks=watched_callbacks(tracker)[1:])
    assert [step for step, _ in values_of(tracker)[tags.NLL_MEAN()]] == [1, 2, 4, 6]


def test_checkpointing_shows_the_same_numbers_as_none(tmp_path: Path) -> None:
    shown = []
    for setting in ("fp32", "checkpointing", "reentrant checkpointing"):
        tracker = MemoryTracker()
        train(tmp_path, callbacks=watched_callbacks(tracker), model=small_model(text_head=True), **SETTINGS[setting])
        found = values_of(tracker)
        of_the_model = ("outputs/", "attention/", "dualffn/", "gradients/")
        shown.append({tag: own for tag, own in found.items() if tag.startswith(of_the_model)})
        assert len(shown[-1]) > 50
    for other in shown[1:]:
        assert other.keys() == shown[0].keys()
        for tag, own in shown[0].items():
            assert [value for _, value in other[tag]] == pytest.approx([value for _, value in own], rel=1e-4), tag


def test_evaluation_numbers_are_those_of_the_whole_set(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    trainer, _ = train(
        tmp_path, callbacks=watched_callbacks(tracker), eval_strategy="steps", eval_steps=6, model=small_model(),
        per_device_eval_batch_size=1,
    )  # fmt: skip
    found = values_of(tracker)
    model = trainer.model.eval()
    sums, counts = np.zeros(4), np.zeros(4)
    for one in trainer.get_eval_dataloader():
        with torch.no_grad():
            own = {name: value for name, value in one.items() if name != "labels"}
            rows = (own["audio_labels"] != -100).sum(dim=(0, 1)).numpy()
            sums += adapter_for(model).audio_nll(own)[0].numpy() * rows
            counts += rows
    for codebook, nll in enumerate(sums / counts):
        assert found[tags.EVAL_NLL(codebook=codebook)] == [(6, pytest.approx(nll, rel=1e-5))]


def test_a_resumed_run_is_bit_identical_too(tmp_path: Path) -> None:
    ends = []
    for name in ("plain", "watched"):
        callbacks = (lambda: watched_callbacks(MemoryTracker())) if name == "watched" else list
        directory = tmp_path / name
        train(directory, callbacks=callbacks(), save_strategy="steps", save_steps=3, max_steps=3)
        _, end = train(directory, callbacks=callbacks(), resume_from=str(directory / "checkpoint-3"))
        ends.append(end)
    assert ends[0] == ends[1]
