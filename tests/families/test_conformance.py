"""The conformance suite on the families we know, and on adapters that are wrong on purpose."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_families import FAMILIES

from tracker_logging.families import IGNORE, AudioHead, BatchView, CodePattern, Role, SamplingSettings, adapter_for
from tracker_logging.testing import Problem, assert_adapter, check_adapter


@pytest.mark.parametrize("name", FAMILIES)
def test_the_suite_is_green(name: str) -> None:
    family = FAMILIES[name]
    assert_adapter(adapter_for(family.model()), family.collate(family.rows(3)), prompts=family.prompts())


def shifted_labels(view: BatchView) -> BatchView:
    return dataclasses.replace(view, audio_labels=view.audio_labels.roll(1, dims=1))


def swapped_codebooks(view: BatchView) -> BatchView:
    return dataclasses.replace(view, audio_labels=view.audio_labels.flip(-1))


def trained_reference(view: BatchView) -> BatchView:
    reference = (view.roles == Role.REFERENCE).unsqueeze(-1)
    return dataclasses.replace(view, audio_labels=view.audio_labels.where(~reference, view.codes))


def no_padding(view: BatchView) -> BatchView:
    return dataclasses.replace(view, attention_mask=torch.ones_like(view.attention_mask))


def one_segment_less(view: BatchView) -> BatchView:
    return dataclasses.replace(view, segments=view.segments[1:])


def another_lead(view: BatchView) -> BatchView:
    segments = tuple(dataclasses.replace(segment, lead=1 - segment.lead) for segment in view.segments)
    return dataclasses.replace(view, segments=segments)


def no_labels(view: BatchView) -> BatchView:
    return dataclasses.replace(view, audio_labels=torch.full_like(view.audio_labels, IGNORE))


WRONG: dict[str, tuple[Callable[[BatchView], BatchView], str]] = {
    "labels one position too late": (shifted_labels, "heads"),
    "codebooks in another order": (swapped_codebooks, "heads"),
    "a reference that is labelled": (trained_reference, "heads"),
    "no labels": (no_labels, "heads"),
    "padding that is attended": (no_padding, "view"),
    "a segment left out": (one_segment_less, "segments"),
    "a begin code that is counted as a frame": (another_lead, "segments"),
}


@pytest.mark.parametrize("name", ["higgs", "dia"])
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_view_is_reported_with_its_part(name: str, fault: str) -> None:
    family, (distort, part) = FAMILIES[name], WRONG[fault]
    adapter: Any = adapter_for(family.model())
    right = adapter.view
    adapter.view = lambda inputs: distort(right(inputs))
    assert part in {problem.part for problem in check_adapter(adapter, family.collate(family.rows(3)))}


def test_missing_members_are_named() -> None:
    class Nearly:
        family, num_codebooks = "nearly", 0

    (problem,) = check_adapter(Nearly(), {})  # type: ignore[arg-type]
    assert problem.part == "members" and "audio_heads" in problem.what and "family" not in problem.what


def test_heads_components_and_voices_are_checked() -> None:
    family = FAMILIES["csm"]
    adapter: Any = adapter_for(family.model())
    rightly, heads = adapter.generate, adapter.audio_heads()
    adapter.audio_heads = lambda: (heads[0], AudioHead(heads[1].module, range(1, 4)))
    adapter.component = lambda name: ("brain", None)
    adapter.generate = lambda prompts, settings: rightly(prompts, SamplingSettings(temperature=1 + len(prompts)))
    adapter.audio_nll = lambda inputs: torch.zeros(3, 4)
    parts_with_problems = {
        problem.part for problem in check_adapter(adapter, family.collate(family.rows(3)), prompts=family.prompts())
    }
    assert {"heads", "components", "voices", "step"} <= parts_with_problems


def test_attention_that_cannot_be_read_is_reported() -> None:
    """The adapter names the layer's projection as its attention, which calls no attention function."""
    family = FAMILIES["csm"]
    adapter: Any = adapter_for(family.model())
    parts = adapter.layers()
    adapter.layers = lambda: [dataclasses.replace(part, attention=part.attention.o_proj) for part in parts]
    problems = check_adapter(adapter, family.collate(family.rows(3)))
    assert [problem for problem in problems if problem.part == "step" and problem.what.startswith("attention")], (
        problems
    )


def problems_of(name: str, **changes: Any) -> list[Problem]:
    """Those of a family's adapter whose members are replaced by `changes`, on two samples."""
    family = FAMILIES[name]
    adapter: Any = adapter_for(family.model())
    for member, value in changes.items():
        setattr(adapter, member, value(adapter))
    return check_adapter(adapter, family.collate(family.rows(2)))


@pytest.mark.parametrize("key", ["cross", "cross_attn", "decoder.layers"])
def test_a_key_of_prefixes_that_no_parameter_has_is_reported(key: str) -> None:
    (problem,) = problems_of("dia", prefixes=lambda adapter: {**adapter.prefixes, key: "cross_attention"})
    assert problem.part == "components" and f"{key!r}" in problem.what and "between dots" in problem.what


def test_a_wrong_component_is_one_problem_with_the_valid_names() -> None:
    (problem,) = problems_of("csm", prefixes=lambda adapter: {**adapter.prefixes, "depth_decoder": "depthdecoder"})
    core = adapter_for(FAMILIES["csm"].model()).core
    count = sum("depth_decoder" in name.split(".") for name, _ in core.named_parameters())
    assert problem.part == "components" and problem.what.startswith(f"{count} parameters (depth_decoder.")
    assert "'depthdecoder'" in problem.what and "cross_attention, text_ffn" in problem.what


def test_a_layer_that_is_no_number_is_one_problem() -> None:
    right = adapter_for(FAMILIES["csm"].model()).component
    found = problems_of("csm", component=lambda _: lambda name: (right(name)[0], "first"))
    assert sum("'first'" in problem.what for problem in found) == 1


@pytest.mark.parametrize("fault", ["nowhere", "a row too late", "the other codebooks"])
def test_input_codes_that_are_written_to_the_wrong_place_are_reported(fault: str) -> None:
    def wrong(adapter: Any) -> Callable[[Any, torch.Tensor], Any]:
        right = adapter.with_codes
        return {
            "nowhere": lambda inputs, codes: dict(inputs),
            "a row too late": lambda inputs, codes: right(inputs, codes.roll(1, dims=1)),
            "the other codebooks": lambda inputs, codes: right(inputs, codes.flip(-1)),
        }[fault]

    (problem,) = problems_of("higgs", with_codes=wrong)
    assert problem.part == "with_codes" and "other codes" in problem.what


def test_a_batch_in_another_pattern_than_the_adapters_is_reported() -> None:
    """Heads and labels agree; clips would be decoded and generated in the wrong layout."""
    undelayed = CodePattern.without_delay(codebooks=4, codes=16, eos=17, bos=16)
    found = problems_of("higgs", pattern=lambda _: undelayed)
    assert found and all("is not in the delay pattern" in problem.what for problem in found)
    assert {problem.part for problem in found} == {"segments"}


def test_text_labels_without_a_text_head_are_reported() -> None:
    (problem,) = problems_of("qwen3", text_head=lambda _: lambda: None)
    assert problem.part == "heads" and "text_head" in problem.what


def test_trained_padding_is_told_from_other_trained_positions() -> None:
    family = FAMILIES["qwen3"]
    batch = family.collate(family.rows(2))
    padding = batch["attention_mask"] == 0
    assert padding.any()
    batch["labels"] = torch.where(padding, batch["input_ids"], batch["labels"])
    adapter: Any = adapter_for(family.model())
    right = adapter.view
    adapter.view = lambda inputs: dataclasses.replace(
        right(inputs), text_labels=right(inputs).text_labels.masked_fill(padding, IGNORE)
    )
    (problem,) = check_adapter(adapter, batch)
    count = int(padding.sum())
    assert problem.part == "heads" and f"trains {count} predictions that the view does not label" in problem.what
    assert f"{count} of them at padding" in problem.what and "-100" in problem.what


def test_fewer_than_two_samples_or_prompts_are_reported() -> None:
    family = FAMILIES["higgs"]
    found = check_adapter(adapter_for(family.model()), family.collate(family.rows(1)), prompts=family.prompts()[:1])
    assert [problem.part for problem in found] == ["first_sample", "voices"]
    assert all("two or more" in problem.what for problem in found)
