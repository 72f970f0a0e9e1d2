"""Failures met in the wild, each on a small real model in a real Trainer: found by name; the healthy twin has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_run import SAMPLES, Batch, collate, serious, small_model, sound_model, watched
from torch import nn
from transformers import Trainer
from transformers.models.higgs_audio_v2 import modeling_higgs_audio_v2

from tracker_logging.events import Alert
from tracker_logging.models import IGNORE
from tracker_logging.trackers.memory import MemoryTracker

K, EOS, BOS = 4, 17, 16


class NoBackward(Trainer):
    """As a public predecessor of this library had it: the loss is computed, printed, and never propagated."""

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        with self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach()


class Unshifted(Trainer):
    """A loss of one's own that compares each position with its own code."""

    def compute_loss(self, model: nn.Module, inputs: Batch, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        logits = outputs.logits.reshape(*outputs.logits.shape[:2], K, -1)
        where = (inputs["input_ids"] == 60) | (inputs["input_ids"] == 61)
        labels = inputs["audio_labels"][inputs["audio_input_ids_mask"]]
        loss = nn.functional.cross_entropy(logits[where].movedim(-1, 1), labels, ignore_index=IGNORE)
        return (loss, outputs) if return_outputs else loss


def changed(name: str, change: Callable[[torch.Tensor, Batch], torch.Tensor]) -> Callable[[list[Batch]], Batch]:
    """A collator that spoils one tensor."""

    def spoiling(samples: list[Batch]) -> Batch:
        sound = collate(samples)
        return sound | {name: change(sound[name], sound)}

    return spoiling


def without_reference(samples: list[Batch]) -> Batch:
    """A collator that keeps the target's clip only."""
    kept = []
    for own in samples:
        trained = (own["audio_labels"] != IGNORE).any(dim=1)
        first = int(trained.nonzero()[0]) - 1  # the target's frame of begin codes
        audio = ((own["input_ids"] == 60) | (own["input_ids"] == 61)).nonzero().squeeze(-1)
        tokens = torch.ones_like(own["input_ids"], dtype=torch.bool)
        tokens[audio[:first]] = False
        cut = {name: own[name][first:] for name in ("audio_input_ids", "audio_labels")}
        kept.append(cut | {"input_ids": own["input_ids"][tokens]})
    return collate(kept)


def frozen(*parts: str) -> nn.Module:
    """Only parameters whose name holds one of `parts` are trained."""
    model = sound_model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))
    return model


def with_nan_in_layer(index: int) -> nn.Module:
    model = sound_model()
    with torch.no_grad():
        model.model.layers[index].audio_mlp.down_proj.weight[0, 0] = float("nan")
    return model


def divided_by_text(samples: list[Batch]) -> Batch:
    """Text labels in the batch of a model without a text head: the Trainer counts them."""
    sound = collate(samples)
    return sound | {"labels": torch.full_like(sound["input_ids"], IGNORE).index_fill(1, torch.arange(1, 4), 5)}


def with_adapters() -> nn.Module:
    config = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj", "down_proj"])
    return get_peft_model(sound_model(), config)


HEALTHY: dict[str, Callable[[], dict[str, Any]]] = {
    "as it is": dict,
    "bf16, accumulation, checkpointing": lambda: {
        "bf16": True,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": True,
        "max_steps": 3,
    },
    "LoRA": lambda: {"model": with_adapters()},
    "only the audio parts are trained": lambda: {"model": frozen("audio")},
}
FAILURES: dict[str, tuple[set[str], Callable[[], dict[str, Any]]]] = {
    "backward is never called": ({"no_gradient"}, lambda: {"trainer": NoBackward}),
    "labels are not shifted": (
        {"copies_its_input"},
        lambda: {"trainer": Unshifted, "max_steps": 60, "learning_rate": 2e-2, "logging_steps": 10},
    ),
    "labels are shifted twice": (
        {"labels_shifted"},
        lambda: {"collate": changed("audio_labels", lambda own, _: own.roll(1, dims=1))},
    ),
    "the collator drops the reference": ({"reference_missing"}, lambda: {"collate": without_reference}),
    "end codes are masked": (
        {"end_codes_masked"},
        lambda: {"collate": changed("audio_labels", lambda own, _: own.masked_fill(own == EOS, IGNORE))},
    ),
    "the reference is trained": (
        {"reference_trained"},
        lambda: {
            "collate": changed(
                "audio_labels",
                lambda own, sound: sound["audio_input_ids"].masked_fill(
                    (sound["audio_input_ids"] == BOS) | (sound["audio_input_ids"] == EOS) & (own != EOS), IGNORE
                ),
            )
        },
    ),
    "codes are not delayed": (
        {"delay_pattern_off"},
        lambda: {"collate": changed("audio_input_ids", lambda own, _: own.flip(-1))},
    ),
    "the audio loss is divided by text labels": (
        {"loss_wrongly_scaled"},
        lambda: {"collate": divided_by_text, "model": small_model()},
    ),
    "NaN in layer 1": ({"non_finite_values"}, lambda: {"model": with_nan_in_layer(1)}),
    "only norms are trained": ({"frozen_by_mistake"}, lambda: {"model": frozen("norm")}),
    "the audio path is frozen": ({"audio_path_frozen"}, lambda: {"model": frozen("self_attn")}),
    "the learning rate is 0": ({"learning_rate_zero"}, lambda: {"learning_rate": 0.0}),
    "the learning rate is far too high": ({"update_too_large"}, lambda: {"learning_rate": 0.3, "max_steps": 5}),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_found_by_its_name(failure: str, tmp_path: Path) -> None:
    expected, sabotage = FAILURES[failure]
    doctor, _ = watched(tmp_path, **sabotage())
    assert expected <= serious(doctor.findings), [finding.text for finding in doctor.findings]


@pytest.mark.parametrize("healthy", HEALTHY)
def test_a_healthy_training_has_no_finding(healthy: str, tmp_path: Path) -> None:
    doctor, _ = watched(tmp_path, **HEALTHY[healthy]())
    assert [finding.text for finding in doctor.findings] == []
    assert doctor.session.fence.errors == 0


def test_a_lost_causal_mask_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compatibility layer that loses the mask: every position sees every other."""
    model = sound_model()
    monkeypatch.setattr(modeling_higgs_audio_v2, "create_causal_mask", lambda **_: None)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    doctor, _ = watched(tmp_path, model=model, max_steps=1)
    assert "attention_not_causal" in serious(doctor.findings)


def test_the_layer_in_which_values_stop_being_finite_is_named(tmp_path: Path) -> None:
    doctor, _ = watched(tmp_path, model=with_nan_in_layer(1))
    (finding,) = [own for own in doctor.findings if own.name == "non_finite_values"]
    assert "layer 1" in finding.seen


def test_placeholders_that_do_not_match_are_said_before_the_model_refuses_the_batch(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    spoilt = [own | {"input_ids": own["input_ids"][own["input_ids"] != 61]} for own in SAMPLES]
    with pytest.raises(RuntimeError, match="shape mismatch"):
        watched(tmp_path, samples=spoilt, tracker=tracker)
    alerts = [event.title for event in tracker.events if isinstance(event, Alert)]
    assert alerts == ["Placeholders do not match"]
