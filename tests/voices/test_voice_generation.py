from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tracker_logging.demo.model import demo_model
from tracker_logging.families import GeneratedCodes, Prompt, SamplingSettings, adapter_for
from tracker_logging.voices.generation import Generated, generate
from tracker_logging.voices.prompt import VoicePrompt


class LimitedAdapter:
    """An adapter with memory for `limit` prompts at a time; it raises for a prompt whose seed is in `broken`."""

    def __init__(self, *, limit: int, broken: frozenset[int] = frozenset()) -> None:
        self.limit = limit
        self.broken = broken
        self.batches: list[int] = []

    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        self.batches.append(len(prompts))
        if len(prompts) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if any(prompt.seed in self.broken for prompt in prompts):
            raise ValueError("no such code")
        return [GeneratedCodes(codes=np.full((2, 3), prompt.seed), stop_reason="eos") for prompt in prompts]


def test_out_of_memory_halves_the_batch_and_continues(demo_prompts: list[VoicePrompt]) -> None:
    adapter, progress = LimitedAdapter(limit=3), []
    generated = generate(adapter, demo_prompts, SamplingSettings(), batch_size=12, progress=progress.append)
    assert adapter.batches == [12, 6, 3, 3, 3, 3]
    assert [result.voice_id for result in generated] == [prompt.voice_id for prompt in demo_prompts]
    assert [int(result.codes[0, 0]) for result in generated] == [prompt.prompt.seed for prompt in demo_prompts]
    assert sum(progress) == 12


def test_a_prompt_that_never_fits_into_memory_has_an_error(demo_prompts: list[VoicePrompt]) -> None:
    generated = generate(LimitedAdapter(limit=0), demo_prompts[:3], SamplingSettings(), batch_size=2)
    assert [result.codes for result in generated] == [None] * 3
    assert all("out of memory" in str(result.error) for result in generated)


def test_a_failing_batch_has_errors_and_the_others_are_generated(demo_prompts: list[VoicePrompt]) -> None:
    adapter = LimitedAdapter(limit=9, broken=frozenset([demo_prompts[0].prompt.seed]))
    generated = generate(adapter, demo_prompts[:4], SamplingSettings(), batch_size=2)
    assert [result.error for result in generated] == ["ValueError: no such code"] * 2 + [None] * 2


def test_a_result_survives_the_round_trip_through_a_message() -> None:
    for result in (
        Generated(voice_id="a", codes=np.arange(6).reshape(2, 3), stop_reason="eos", first_frame_s=0.25),
        Generated(voice_id="b", codes=np.zeros((2, 0), dtype=np.int64), stop_reason="max_length"),
        Generated(voice_id="c", error="gone"),
    ):
        again = Generated.from_message(result.to_message())
        assert again.to_message() == result.to_message()
        if result.codes is not None:
            assert again.codes.shape == result.codes.shape


@pytest.mark.parametrize("settings", [SamplingSettings(), SamplingSettings(temperature=1.0, top_p=0.9)])
def test_the_demo_model_generates_within_its_limit_and_the_same_codes_in_any_batch(
    demo_prompts: list[VoicePrompt], settings: SamplingSettings
) -> None:
    adapter = adapter_for(demo_model(seed=0).eval())
    generated = generate(adapter, demo_prompts[:3], settings, batch_size=3)
    alone = generate(adapter, demo_prompts[1:2], settings, batch_size=1)[0]
    assert all(
        result.codes.shape[1] <= prompt.prompt.max_frames
        for result, prompt in zip(generated, demo_prompts, strict=False)
    )
    assert generated[1].codes.tolist() == alone.codes.tolist()
    assert all(result.first_frame_s > 0 for result in generated if result.codes.shape[1])
