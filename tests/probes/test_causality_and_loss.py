"""Causality leak and loss ratio: 0 and 1 for a sound model, and how far a broken one is from them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_model import small_model, two_samples
from training import SAMPLES, train, values_of
from transformers.models.higgs_audio_v2 import modeling_higgs_audio_v2

from tracker_logging import tags
from tracker_logging.families import adapter_for
from tracker_logging.integrations.hf_trainer import InputLoggerCallback, LoggingSession, OutputLoggerCallback
from tracker_logging.probes.causality import causality_leak
from tracker_logging.trackers.memory import MemoryTracker


def leak_of(model: torch.nn.Module) -> float:
    adapter = adapter_for(model)
    found = causality_leak(model, adapter, adapter.first_sample(two_samples()))
    assert found is not None
    return found.item()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_causal_model_does_not_leak_at_all(attention: str) -> None:
    assert leak_of(small_model(attention=attention).train()) == 0.0


def test_half_precision_and_adapters_do_not_leak() -> None:
    assert leak_of(small_model().to(torch.bfloat16)) == 0.0
    lora = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    assert leak_of(get_peft_model(small_model(), lora).train()) == 0.0


def test_noise_that_a_model_draws_in_its_forward_is_no_leak() -> None:
    """VibeVoice draws the noise of its VAE in each forward."""
    model = small_model()
    model.model.embed_tokens.register_forward_hook(lambda *call: call[-1] + torch.randn_like(call[-1]))
    for seed in range(8):
        torch.manual_seed(seed)
        assert leak_of(model) == 0.0


def test_a_lost_mask_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    monkeypatch.setattr(modeling_higgs_audio_v2, "create_causal_mask", lambda **_: None)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    assert leak_of(model) > 0.01


def watched(directory: Path, **arguments: Any) -> dict[str, list[tuple[int, float]]]:
    tracker = MemoryTracker()
    session = LoggingSession(tracker=tracker, every=2, budget_pct=1e9)
    callbacks = [
        InputLoggerCallback(session),
        OutputLoggerCallback(session),
    ]
    train(directory, callbacks=callbacks, max_steps=4, **arguments)
    return values_of(tracker)


def mean_losses(model: torch.nn.Module) -> torch.nn.Module:
    model.accepts_loss_kwargs = False
    return model


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("text_head", [False, True])
def test_the_loss_is_the_one_that_the_predictions_have(text_head: bool, accumulation: int, tmp_path: Path) -> None:
    found = watched(
        tmp_path, model=mean_losses(small_model(text_head=text_head)), gradient_accumulation_steps=accumulation
    )
    assert [value for _, value in found[tags.LOSS_RATIO()]] == [pytest.approx(1.0, abs=1e-5)] * 3


def test_bf16_changes_the_ratio_by_its_rounding_only(tmp_path: Path) -> None:
    found = watched(tmp_path, model=mean_losses(small_model()), bf16=True)
    assert [value for _, value in found[tags.LOSS_RATIO()]] == [pytest.approx(1.0, abs=0.01)] * 3


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_audio_loss_that_is_divided_by_text_labels_shows_by_what_factor(accumulation: int, tmp_path: Path) -> None:
    """The Trainer's count, transformers 5.23: the first position of each row is left out of it."""
    same = [SAMPLES[3]] * 8
    found = watched(tmp_path, model=small_model(), samples=same, gradient_accumulation_steps=accumulation)
    audio = (same[0]["audio_labels"][:, 0] != -100).sum().item()
    text = ((same[0]["input_ids"] < 60) & (same[0]["input_ids"] != 1)).sum().item()
    assert [value for _, value in found[tags.LOSS_RATIO()]] == [pytest.approx(audio / text, rel=1e-4)] * 3


def test_causality_is_tested_once(tmp_path: Path) -> None:
    assert watched(tmp_path, model=small_model())[tags.CAUSALITY_LEAK()] == [(1, 0.0)]


def test_waiting_for_data_is_a_share_of_the_time_from_the_second_logged_step_on(tmp_path: Path) -> None:
    waits = watched(tmp_path, model=small_model())[tags.DATA_WAIT()]
    assert [step for step, _ in waits] == [2, 4]
    assert all(0 < value < 100 for _, value in waits)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_first_layer_with_a_value_that_is_not_finite_is_named(layer: int, tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        model.model.layers[layer].self_attn.o_proj.weight[0, 0] = float("nan")
    found = watched(tmp_path, model=model)
    assert {value for _, value in found[tags.FIRST_NON_FINITE_LAYER()]} >= {float(layer)}
    assert tags.LOSS_RATIO() not in found
    assert {value for _, value in found[tags.ERRORS()]} == {0.0}


def test_finite_values_name_no_layer(tmp_path: Path) -> None:
    assert tags.FIRST_NON_FINITE_LAYER() not in watched(tmp_path, model=small_model())
