"""fp16 with a gradient scaler and bf16 weights, in a real Trainer; expected values from plain torch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_model import small_model, two_samples
from trainer_captures import Captures, capture_training
from transformers import Trainer, TrainerCallback

from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture

SCALE = 1024.0


class Fp16OnTheCpu(Trainer):
    """accelerate refuses fp16 without a GPU, so its parts for fp16 are put in by hand."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self.accelerator.state._mixed_precision = "fp16"
        self.accelerator.native_amp = True
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=1000)


class Overflow(TrainerCallback):
    """Makes the gradients of step 2 non-finite, in its backward pass."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if state.global_step == 1:
            weight = model.model.norm.weight
            self.handle = weight.register_hook(lambda gradient: gradient * float("inf"))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            self.handle.remove()


def total(norms: Any) -> float:
    return sum(norm**2 for (_, layer), norm in norms.items() if layer is None) ** 0.5


def test_fp16_gradients_are_unscaled(tmp_path: Path) -> None:
    captures, trainer = capture_training(tmp_path, trainer=Fp16OnTheCpu, max_grad_norm=0.1)
    norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    assert trainer.accelerator.scaler.get_scale() == SCALE and len(norms) == 3
    assert captures.errors == []
    for snapshot, norm in zip(captures.steps, norms, strict=True):
        assert snapshot.flow.before_clipping and not snapshot.flow.skipped
        assert total(snapshot.flow.gradient_norm) == pytest.approx(norm, rel=1e-3)
        assert snapshot.missing == ()


def test_a_step_that_the_scaler_skips_is_shown_as_skipped(tmp_path: Path) -> None:
    captures = Captures()
    _, trainer = capture_training(
        tmp_path, trainer=Fp16OnTheCpu, captures=captures, options={"callbacks": [Overflow(), captures]}
    )
    assert trainer.accelerator.scaler.get_scale() == SCALE / 2
    assert [snapshot.flow.skipped for snapshot in captures.steps] == [False, True, False]
    skipped = captures.steps[1]
    assert skipped.flow.gradient_norm == {} and skipped.flow.update_ratio == {}
    assert any("skipped" in reason for reason in skipped.missing)
    assert set(skipped.flow.states.values()) >= {"trained"}
    for snapshot in (captures.steps[0], captures.steps[2]):
        assert total(snapshot.flow.gradient_norm) > 0 and min(snapshot.flow.update_ratio.values()) > 0


def test_a_loop_passes_its_gradient_scaler() -> None:
    def norms(scaler: torch.amp.GradScaler | None) -> dict[Any, float]:
        model = small_model().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"gradients"}))
        capture.attach(model)
        loss = model(**two_samples()).loss
        (loss if scaler is None else scaler.scale(loss)).backward()
        capture.before_update(optimizer, scaler=scaler)
        snapshot = capture.snapshot(1)
        return dict(snapshot.flow.gradient_norm)

    assert norms(torch.amp.GradScaler("cpu", init_scale=SCALE)) == pytest.approx(norms(None), rel=1e-4)


def rounding(dtype: torch.dtype, *, lr: float) -> tuple[float | None, float]:
    """(measured, counted from all weights) share of weights with a gradient that the optimizer leaves as they are."""
    model = small_model().to(dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset({"gradients", "updates"}))
    capture.attach(model)
    model(**two_samples()).loss.backward()
    capture.before_update(optimizer)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.step()
    capture.after_update(optimizer)
    pairs = [(p, b) for p, b in zip(model.parameters(), before, strict=True) if p.grad is not None]
    moving = sum(int((p.grad != 0).sum()) for p, _ in pairs)
    same = sum(int(((p.grad != 0) & (p == b)).sum()) for p, b in pairs)
    return capture.snapshot(1).flow.rounded_to_zero_pct, 100 * same / moving


@pytest.mark.parametrize("lr", [1e-5, 1e-3])
def test_updates_of_bf16_weights_that_round_to_zero_are_counted(lr: float) -> None:
    measured, expected = rounding(torch.bfloat16, lr=lr)
    assert measured == pytest.approx(expected, abs=1e-6)
    assert (expected > 50) if lr < 1e-4 else (expected < 50)


def test_fp32_weights_and_a_learning_rate_of_zero_have_no_share_that_rounds_to_zero() -> None:
    assert rounding(torch.float32, lr=5e-5)[0] is None
    assert rounding(torch.bfloat16, lr=0.0)[0] is None
