"""Faulty trainings of public scripts: each has exactly its findings, and the healthy twin has none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from doctor.small_run import Batch, Diagnosis, diagnose, sound_model, spoiled
from peft import LoraConfig, get_peft_model
from probes.small_model import AUDIO, BOS, IGNORE, K, V, apply_delay, labels_of, sample
from torch import nn
from transformers import Trainer
from transformers.models.higgs_audio_v2 import modeling_higgs_audio_v2

from tracker_logging import tags


class NeverBackward(Trainer):
    """The logging hook of this project's predecessor: the step that it replaced had called `backward`."""

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        with self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach()


class Unshifted(Trainer):
    """A loss of one's own that forgets the shift: each position is scored by the code that it is given."""

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        audio = inputs["input_ids"].ge(AUDIO) & inputs["input_ids"].ne(62)
        labels = inputs["audio_labels"][inputs["audio_input_ids_mask"]]
        logits = outputs.logits[audio].unflatten(-1, (K, V))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        return (loss, outputs) if return_outputs else loss


def only(*parts: str) -> nn.Module:
    """Only parameters whose name holds one of `parts` are trained."""
    model = sound_model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))
    return model


def with_adapters() -> nn.Module:
    config = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj", "down_proj"])
    return get_peft_model(sound_model(), config)


HEALTHY: dict[str, Callable[[], dict[str, Any]]] = {
    "bf16": lambda: {"bf16": True},
    "accumulation": lambda: {"gradient_accumulation_steps": 2},
    "checkpointing": lambda: {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    },
    "all three": lambda: {"bf16": True, "gradient_accumulation_steps": 2, "gradient_checkpointing": True},
    "no clipping of gradients": lambda: {"max_grad_norm": 0.0},
    "LoRA": lambda: {"model": with_adapters()},
    "only the audio parts are trained": lambda: {"model": only("audio")},
}
FAILURES: dict[str, tuple[set[str], Callable[[], dict[str, Any]]]] = {
    "backward is never called": ({"no_gradient"}, lambda: {"trainer": NeverBackward}),
    "only norms are trained": ({"frozen_by_mistake"}, lambda: {"model": only("norm")}),
    "the audio path is frozen": ({"audio_path_frozen"}, lambda: {"model": only(".mlp.", "self_attn")}),
    "the learning rate is 0": ({"learning_rate_zero"}, lambda: {"learning_rate": 0.0, "lr_scheduler_type": "constant"}),
    "the learning rate is far too high": ({"update_too_large"}, lambda: {"learning_rate": 0.3}),
}


@pytest.mark.parametrize("healthy", HEALTHY)
def test_healthy_settings_have_no_findings(healthy: str, tmp_path: Path) -> None:
    found = diagnose(tmp_path, **HEALTHY[healthy]())
    assert [finding.text for finding in found.findings.values()] == []
    assert (found.error, found.errors) == (None, 0)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_has_exactly_its_findings(failure: str, tmp_path: Path) -> None:
    expected, sabotage = FAILURES[failure]
    found = diagnose(tmp_path, **sabotage())
    assert found.bad == expected, [finding.text for finding in found.findings.values()]
    assert (found.error, found.errors) == (None, 0)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """Long enough for the slowest rule to have looked, at a rate at which these few steps teach something."""
    return diagnose(tmp_path_factory.mktemp("healthy"), max_steps=40, learning_rate=1e-2)


def test_a_long_healthy_training_has_no_other_findings(long_run: Diagnosis) -> None:
    """Nor is the rate of 0 in which its decay ends."""
    assert long_run.bad == {"update_too_large"}, "which is true: the rate is ten times what these weights can take"
    assert long_run.values[tags.NLL_MEAN()] < 2.8


def test_a_loss_without_shift_is_found_as_copying(tmp_path: Path) -> None:
    found = diagnose(tmp_path, trainer=Unshifted, max_steps=40, learning_rate=1e-2)
    assert "copies_its_input" in found.bad
    assert found.values[tags.NLL_SHIFT0()] < 0.5 * found.values[tags.NLL_MEAN()]


def test_a_lost_causal_mask_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compatibility layer that loses the mask: every position sees every other."""
    model = sound_model()
    monkeypatch.setattr(modeling_higgs_audio_v2, "create_causal_mask", lambda **_: None)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    assert diagnose(tmp_path, model=model, max_steps=1).bad == {"attention_not_causal"}


@pytest.mark.parametrize(("layer", "weight"), [(0, "self_attn.o_proj"), (1, "audio_mlp.down_proj")])
def test_values_that_are_not_finite_are_found_with_their_layer(layer: int, weight: str, tmp_path: Path) -> None:
    model = sound_model()
    with torch.no_grad():
        model.model.layers[layer].get_submodule(weight).weight[0, 0] = float("nan")
    found = diagnose(tmp_path, model=model, max_steps=2)
    assert "non_finite_values" in found.bad
    assert f"not finite is layer {layer}" in found.findings["non_finite_values"].seen


def adapted(*targets: str) -> nn.Module:
    """Adapters on the projections whose name ends like one of `targets`."""
    return get_peft_model(sound_model(), LoraConfig(r=4, target_modules=rf".*({'|'.join(targets)})"))


FLAT: dict[str, tuple[str | None, Callable[[], dict[str, Any]]]] = {
    "a low rate in a short training": ("rate is too low", lambda: {"learning_rate": 1e-6}),
    "adapters that miss the audio FFN": (
        "cannot change the predictions",
        lambda: {"learning_rate": 0.03, "model": adapted(r"\.mlp\.(up|down|gate)_proj")},
    ),
    "a usual rate, and too early to tell": (None, lambda: {"learning_rate": 2e-4, "model": with_adapters()}),
}


@pytest.mark.parametrize("training", FLAT)
def test_an_nll_that_does_not_fall_is_judged_by_the_way_of_the_updates(training: str, tmp_path: Path) -> None:
    cause, options = FLAT[training]
    found = diagnose(tmp_path, max_steps=26, lr_scheduler_type="constant", **options()).findings
    assert ("does_not_learn" in found) == (cause is not None)
    if cause is not None:
        first, _ = found["does_not_learn"].cause.split("(2)")
        assert cause in first and "Seen: " in first, first


def one_placeholder_less(made: Batch) -> None:
    """The tokenizer was asked for one frame less than the codec gave."""
    at = int((made["input_ids"][1] == AUDIO).nonzero()[0])
    made["input_ids"][1, at] = 9


def one_placeholder_moved(made: Batch) -> None:
    """As many in all, so that the model says nothing: it gives a frame of one sample to another."""
    one_placeholder_less(made)
    made["input_ids"][0, 3] = AUDIO


def test_mismatched_placeholders_are_reported_before_the_model_raises(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = diagnose(tmp_path, collate=spoiled(one_placeholder_less))
    assert isinstance(found.error, RuntimeError) and "shape mismatch" in str(found.error), "the model itself refuses it"
    assert found.bad == {"placeholders_do_not_match"}
    assert found.alerts == ["Placeholders do not match"]
    assert "in samples 1 the number of audio placeholder tokens differs from the number of audio frames" in caplog.text


def test_mismatched_placeholders_that_the_model_accepts_are_found(tmp_path: Path) -> None:
    found = diagnose(tmp_path, collate=spoiled(one_placeholder_moved), max_steps=2)
    assert found.error is None
    assert "placeholders_do_not_match" in found.bad
    assert found.values[tags.PLACEHOLDER_MISMATCH()] == 2 and found.values[tags.ERRORS()] == 0


def one_code(target: int, *, seed: int, codebook: int | None) -> Batch:
    """A sample whose target holds the same code all the time in `codebook`, and random ones in the others."""
    made = sample(3, target, seed=seed)
    if codebook is not None:
        generator = torch.Generator().manual_seed(seed)
        codes = torch.randint(0, BOS, (K, target), generator=generator)
        codes[codebook] = 3
        delayed = apply_delay(codes, bos=BOS, eos=V - 1)
        made["audio_input_ids"][-len(delayed) :] = delayed
        made["audio_labels"][-len(delayed) :] = labels_of(delayed)
    return made


@pytest.mark.parametrize(("codebook", "expected"), [(None, set()), (2, {"dead_codebook"})])
def test_a_codebook_of_one_code_is_found(codebook: int | None, expected: set[str], tmp_path: Path) -> None:
    few = [one_code(20, seed=at, codebook=codebook) for at in range(4)]
    found = diagnose(tmp_path, samples=few, max_steps=60, every=3, learning_rate=1e-2)
    assert found.bad - {"update_too_large"} == expected
