"""Each way to distribute a model is recognised, and what it does not allow is reported with the reason."""

import threading
from types import SimpleNamespace

import pytest
import torch
from small_model import small_model, two_samples
from torch import nn

from tracker_logging.families import adapter_for
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.parallelism import parallelism_of
from tracker_logging.probes.probe_set import NEEDS


def with_attribute(name: str) -> nn.Module:
    """A model whose parameters carry the mark that a library leaves on them."""
    model = small_model()
    for parameter in model.parameters():
        setattr(parameter, name, SimpleNamespace())
    return model


def test_a_plain_model_shows_everything() -> None:
    parallelism = parallelism_of(small_model())
    assert parallelism.not_shown == {} and not parallelism.gathers


@pytest.mark.parametrize(
    ("model", "name", "needs"),
    [
        (with_attribute("ds_id"), "ZeRO-3", {"gradients", "updates", "conflict", "gaps"}),
        (with_attribute("_hp_mapping"), "ZeRO-1/2", {"conflict"}),
        (nn.DataParallel(small_model()), "nn.DataParallel", NEEDS - {"inputs", "gradients", "updates"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_distribution_does_not_allow_is_named(model: nn.Module, name: str, needs: set[str]) -> None:
    parallelism = parallelism_of(model)
    assert parallelism.name == name
    assert parallelism.not_shown.keys() == needs
    assert all(reason for reason in parallelism.not_shown.values())


@pytest.mark.setting("Distribution", "`device_map` over several devices", "predictions and attention reported missing")
def test_a_model_over_several_devices_shows_inputs_and_gradients_and_names_the_rest() -> None:
    model = small_model().train()
    model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model)
    model(**two_samples()).loss.backward()
    capture.before_update(None)
    snapshot = capture.snapshot(1)
    assert snapshot.flow.gradient_norm and snapshot.inputs
    assert snapshot.tokens is None and snapshot.attention is None and snapshot.causality_leak is None
    for what in ("predictions", "gaps of training samples", "attention", "FFN paths", "causality"):
        assert any(reason.startswith(f"{what}: device_map") for reason in snapshot.missing), what
    assert capture.errors == []


def test_one_device_for_all_layers_is_no_distribution() -> None:
    model = small_model()
    model.hf_device_map = {"": "cpu"}
    assert parallelism_of(model).not_shown == {}


@pytest.mark.setting("Distribution", "`nn.DataParallel`", "predictions and attention reported missing")
def test_copies_that_data_parallel_makes_are_reported_and_gradients_are_shown() -> None:
    """nn.DataParallel needs GPUs; its copies and threads are made here by hand."""
    model, inputs = small_model().train(), two_samples()
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model)
    copies = [model._replicate_for_data_parallel() for _ in range(2)]
    losses: list[torch.Tensor] = []
    threads = [threading.Thread(target=lambda copy=copy: losses.append(copy(**inputs).loss)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.stack(losses).mean().backward()
    capture.before_update(None)
    assert capture.snapshot(1) is None
    assert any("torchrun" in reason for reason in capture.missing)
    assert capture.errors == []


def test_a_training_that_calls_no_forward_of_the_model_is_reported() -> None:
    model, inputs = small_model().train(), two_samples()
    capture = StepCapture(adapter=adapter_for(model), needs=NEEDS)
    capture.attach(model)
    model.model(**{name: value for name, value in inputs.items() if name != "audio_labels"})
    capture.before_update(None)
    assert capture.snapshot(1) is None
    assert any("no forward of the model" in reason for reason in capture.missing)
