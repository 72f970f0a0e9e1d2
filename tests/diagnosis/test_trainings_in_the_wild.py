"""Trainings that went wrong in the wild, each found by its name; the same training without the fault is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diagnosis.wild import SAMPLES, Batch, Diagnosis, collate, diagnose, mean_loss_model, spoiled
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


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """Long enough for the slowest rule to have looked, at a rate at which these few steps teach something."""
    return diagnose(tmp_path_factory.mktemp("healthy"), max_steps=40, learning_rate=1e-2)


def test_a_training_that_learns_is_not_spoken_of(healthy: Diagnosis) -> None:
    assert healthy.bad == {"update_too_large"}, "which is true: the rate is ten times what these weights can take"
    assert healthy.values[tags.NLL_MEAN()] < 2.8


def test_a_step_that_never_calls_backward_is_found(tmp_path: Path, healthy: Diagnosis) -> None:
    found = diagnose(tmp_path, trainer=NeverBackward)
    assert "no_gradient" in found.bad and "no_gradient" not in healthy.findings


def test_a_loss_without_shift_is_found_as_copying(tmp_path: Path, healthy: Diagnosis) -> None:
    found = diagnose(tmp_path, trainer=Unshifted, max_steps=40, learning_rate=1e-2)
    assert "copies_its_input" in found.bad and "copies_its_input" not in healthy.findings
    assert found.values[tags.NLL_SHIFT0()] < 0.5 * found.values[tags.NLL_MEAN()]


def test_a_lost_causal_mask_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mean_loss_model()
    monkeypatch.setattr(modeling_higgs_audio_v2, "create_causal_mask", lambda **_: None)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    assert diagnose(tmp_path, model=model, max_steps=2).bad == {"attention_not_causal"}


def one_placeholder_less(made: Batch) -> None:
    """The tokenizer was asked for one frame less than the codec gave."""
    at = int((made["input_ids"][1] == AUDIO).nonzero()[0])
    made["input_ids"][1, at] = 9


def one_placeholder_moved(made: Batch) -> None:
    """As many in all, so that the model says nothing: it gives a frame of one sample to another."""
    one_placeholder_less(made)
    made["input_ids"][0, 3] = AUDIO


def test_placeholders_that_stop_the_model_are_found_before_it_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = diagnose(tmp_path, collator=spoiled(one_placeholder_less))
    assert found.error is not None, "the model itself must refuse this batch"
    assert "placeholders_do_not_match" in found.bad
    assert "in samples 1 the audio placeholder tokens are not as many as the audio frames" in caplog.text


def test_placeholders_that_the_model_takes_in_silence_are_found(tmp_path: Path) -> None:
    found = diagnose(tmp_path, collator=spoiled(one_placeholder_moved), max_steps=2)
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
    found = diagnose(tmp_path, samples=few, max_steps=60, every=3, learning_rate=1e-2, num_train_epochs=100)
    assert found.bad - {"update_too_large"} == expected


@pytest.mark.parametrize("layer", [0, 1])
def test_values_that_are_not_finite_are_found_with_their_layer(layer: int, tmp_path: Path) -> None:
    model = mean_loss_model()
    with torch.no_grad():
        model.model.layers[layer].self_attn.o_proj.weight[0, 0] = float("nan")
    found = diagnose(tmp_path, model=model, max_steps=2)
    assert f"not finite is layer {layer}" in found.findings["non_finite_values"].seen


def freeze(model: nn.Module, keep: Callable[[str], bool]) -> nn.Module:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(keep(name))
    return model


def test_parts_frozen_by_mistake_are_found_and_adapters_are_not_taken_for_them(tmp_path: Path) -> None:
    only_norms = freeze(mean_loss_model(), lambda name: "norm" in name)
    assert "frozen_by_mistake" in diagnose(tmp_path, model=only_norms, max_steps=2).bad
    text_only = freeze(mean_loss_model(), lambda name: ".mlp." in name or "self_attn" in name)
    assert "audio_path_frozen" in diagnose(tmp_path, model=text_only, max_steps=2).bad
    lora = get_peft_model(mean_loss_model(), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    assert diagnose(tmp_path, model=lora).bad == set()


def test_a_learning_rate_of_zero_is_found_and_a_decay_that_ends_there_is_not(
    tmp_path: Path, healthy: Diagnosis
) -> None:
    found = diagnose(tmp_path, learning_rate=0.0, lr_scheduler_type="constant")
    assert found.bad == {"learning_rate_zero"}
    assert "learning_rate_zero" not in healthy.findings


@pytest.mark.parametrize(
    "arguments",
    [
        {"bf16": True},
        {"gradient_accumulation_steps": 2},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"max_grad_norm": 0.0},
    ],
    ids=str,
)
def test_settings_that_are_sound_are_not_spoken_of(arguments: dict[str, Any], tmp_path: Path) -> None:
    found = diagnose(tmp_path, collator=collate, samples=SAMPLES, **arguments)
    assert found.error is None and found.bad == set()
