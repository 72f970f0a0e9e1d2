"""The time to the first frame: after as many steps of the model as the layout needs, and without an effect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codec_token_models import END, adapter_of, prompts_of
from test_family_processors import byte_tokenizer
from test_pocket_tts import samples
from tiny_families import DIA, FAMILIES, K
from tiny_latents import pocket, vibevoice
from torch import nn
from transformers import LogitsProcessorList, StoppingCriteriaList

from tracker_logging.families import Prompt, SamplingSettings, adapter_for, first_frame
from tracker_logging.families.codec_tokens import adapter as codec_tokens
from tracker_logging.families.higgs_v2 import adapter as higgs_v2
from tracker_logging.probes.isolation import isolated

SAMPLING = SamplingSettings(temperature=0.9)
DELAYED = 1 + (K - 1) + 1  # Higgs: the row of begin codes, the delay of the last codebook, its code


@pytest.fixture
def calls_are_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], None]:
    """The clock shows how often a module was called."""
    calls: list[None] = []
    monkeypatch.setattr(first_frame, "clock", lambda: float(len(calls)))

    def watch(module: nn.Module) -> None:
        module.register_forward_hook(lambda *_: calls.append(None))

    return watch


@pytest.mark.parametrize(
    ("name", "module", "steps"),
    [
        ("higgs", lambda core: core.model, DELAYED),
        ("csm", lambda core: core.backbone_model, 1),
        ("dia", lambda core: core.model.decoder, 1 + max(DIA.delays)),
    ],
)
def test_the_first_frame_is_there_after_the_rows_of_its_pattern(
    name: str, module: Callable[[Any], nn.Module], steps: int, calls_are_seconds: Callable[[nn.Module], None]
) -> None:
    family = FAMILIES[name]
    adapter = adapter_for(family.model())
    calls_are_seconds(module(adapter.core))
    with isolated(adapter.core):
        clips = adapter.generate(family.prompts(), SAMPLING)
    assert [clip.first_frame_s for clip in clips] == [steps if clip.codes.shape[1] else None for clip in clips]
    assert any(clip.codes.shape[1] for clip in clips)


def test_the_tokens_of_the_first_whole_frame_are_counted_with_those_that_are_not_due(
    calls_are_seconds: Callable[[nn.Module], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slot 0: 100-111, slot 1: 60-67. The second clip ends without a frame."""
    adapter = adapter_of("words between")
    plan = torch.tensor([[60, 101, 5, 102, 61, 103, 62, 104], [101, END, END, END, END, END, END, END]])
    columns = iter([*plan.T, *[plan[:, -1]] * 100])

    def chosen(head: nn.Module, args: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits - 1e6 * (torch.arange(logits.shape[-1]) != next(columns)[:, None, None])

    adapter.core.get_output_embeddings().register_forward_hook(chosen)
    calls_are_seconds(adapter.core.model)
    with isolated(adapter.core):
        whole, none = adapter.generate(prompts_of("words between")[:2], SamplingSettings())
    assert whole.codes[:, 0].tolist() == [1, 1] and whole.first_frame_s == 5  # 101 and 61
    assert none.codes.shape[1] == 0 and none.first_frame_s is None


def test_latents_are_there_after_the_steps_of_their_flow(
    tmp_path: Path, calls_are_seconds: Callable[[nn.Module], None]
) -> None:
    model, processor = pocket(byte_tokenizer())
    model.generation_config.num_flow_steps = 3
    features = processor.prompt_features(samples(tmp_path)[0])
    prompt = Prompt(features["input_ids"], features["audio_input_ids"], max_frames=4, seed=3)
    calls_are_seconds(model.flow_head)
    with isolated(model):
        clips = adapter_for(model).generate([prompt, prompt], SAMPLING)
    assert [clip.first_frame_s for clip in clips] == [3, 3]  # each from the start of its own generation
    assert clips[0].codes.shape[1] > 1 and len(model.flow_head._forward_hooks) == 1  # the test's own


def test_a_frame_of_vibevoice_is_there_when_it_was_decoded(
    tmp_path: Path, calls_are_seconds: Callable[[nn.Module], None]
) -> None:
    pytest.importorskip("diffusers")
    model, processor = vibevoice(byte_tokenizer())
    adapter, config = adapter_for(model.eval()), model.config
    features = processor.prompt_features(samples(tmp_path)[0])
    rightly = model._get_logits_processor

    def always_speech(token_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(1, torch.tensor([config.audio_token_id]), 1e6)

    model._get_logits_processor = lambda *args, **kwargs: LogitsProcessorList(
        [*rightly(*args, **kwargs), always_speech]
    )
    calls_are_seconds(model.model.audio_tower.decoder)
    prompt = Prompt(features["input_ids"], features["audio_input_ids"], max_frames=2, seed=3)
    assert adapter.generate([prompt], SAMPLING)[0].first_frame_s == 1


@pytest.mark.parametrize("name", ["higgs", "words between"])
def test_what_is_generated_does_not_depend_on_the_clock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = higgs_v2 if name == "higgs" else codec_tokens
    adapter = adapter_for(FAMILIES[name].model()) if name == "higgs" else adapter_of(name)
    prompts = FAMILIES[name].prompts() if name == "higgs" else prompts_of(name)

    def made() -> list[Any]:
        torch.manual_seed(11)
        with isolated(adapter.core):
            clips = adapter.generate(prompts, SAMPLING)
        return [[clip.codes.tolist(), clip.stop_reason] for clip in clips] + [torch.rand(2).tolist()]

    timed = made()
    monkeypatch.setattr(module, "StoppingCriteriaList", lambda criteria: StoppingCriteriaList())
    assert made() == timed
