"""The conformance suite on the families we know, and on adapters that are wrong on purpose."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_families import FAMILIES

from tracker_logging.families import IGNORE, AudioHead, BatchView, Role, SamplingSettings, adapter_for
from tracker_logging.testing import assert_adapter, check_adapter


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
