"""The same weights and batch give the same numbers through `HiggsAudioModel` and through transformers' own class."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from boson_model import AUDIO_EOS, AUDIO_IN, WithLoss
from measure import measure

from tracker_logging.families import adapter_for
from tracker_logging.families.boson.batch import boson_batch

CASES = ("two samples", "one sample")


@pytest.fixture(scope="module")
def cases() -> Any:
    file = os.environ.get("BOSON_PARITY")
    if not file:
        pytest.skip("BOSON_PARITY is not set: `make test-boson` writes the native class's numbers first")
    return torch.load(Path(file), weights_only=True)


def boson(case: dict[str, Any]) -> Any:
    from boson_multimodal.model.higgs_audio import HiggsAudioConfig, HiggsAudioModel

    tokens = {"audio_in_token_idx": AUDIO_IN, "audio_eos_token_id": AUDIO_EOS}
    model = HiggsAudioModel(HiggsAudioConfig(**(case["config"] | tokens)))
    model.load_state_dict(case["weights"])
    return model


@pytest.mark.parametrize("references_in", [False, True], ids=["references out", "references in"])
@pytest.mark.parametrize("name", CASES)
def test_both_classes_give_the_same_numbers(name: str, references_in: bool, cases: Any) -> None:
    case = cases[name]
    model = boson(case)
    adapter = adapter_for(model)
    inputs = boson_batch(case["batch"], tokens=adapter.tokens, bos=adapter.bos_code, references_in=references_in)
    nll = adapter_for(model.eval()).audio_nll(inputs)
    wrapped = WithLoss(model)
    numbers = measure(wrapped, adapter_for(wrapped), inputs) | {"audio_nll": nll}
    expected = case["expected"]
    assert numbers.keys() == expected.keys()
    assert float(numbers["before_clipping"]) == 1.0
    for key, value in expected.items():
        torch.testing.assert_close(
            numbers[key], value, rtol=2e-4, atol=2e-6, equal_nan=True, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("name", CASES)
def test_a_native_batch_is_converted_for_the_conditioning_gap(name: str, cases: Any) -> None:
    case = cases[name]
    nll = adapter_for(boson(case).eval()).audio_nll(case["batch"])
    torch.testing.assert_close(nll, case["expected"]["audio_nll"], rtol=1e-5, atol=1e-6)
