from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tracker_logging.demo.model import demo_model
from tracker_logging.families import GeneratedCodes, Prompt, SamplingSettings, adapter_for
from tracker_logging.voices.generation import Spoken, speak
from tracker_logging.voices.prompt import VoicePrompt


class Room:
    """An adapter with memory for `limit` prompts at a time; a prompt whose seed is in `broken` cannot be spoken."""

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


def test_out_of_memory_halves_the_batch_and_goes_on(demo_prompts: list[VoicePrompt]) -> None:
    room, told = Room(limit=3), []
    spoken = speak(room, demo_prompts, SamplingSettings(), batch_size=12, progress=told.append)
    assert room.batches == [12, 6, 3, 3, 3, 3]
    assert [one.voice_id for one in spoken] == [one.voice_id for one in demo_prompts]
    assert [int(one.codes[0, 0]) for one in spoken] == [one.prompt.seed for one in demo_prompts]
    assert sum(told) == 12


def test_a_prompt_that_fits_no_memory_has_an_error(demo_prompts: list[VoicePrompt]) -> None:
    spoken = speak(Room(limit=0), demo_prompts[:3], SamplingSettings(), batch_size=2)
    assert [one.codes for one in spoken] == [None] * 3
    assert all("out of memory" in str(one.error) for one in spoken)


def test_a_failing_batch_has_errors_and_the_others_speak(demo_prompts: list[VoicePrompt]) -> None:
    room = Room(limit=9, broken=frozenset([demo_prompts[0].prompt.seed]))
    spoken = speak(room, demo_prompts[:4], SamplingSettings(), batch_size=2)
    assert [one.error for one in spoken] == ["ValueError: no such code"] * 2 + [None] * 2


def test_what_was_spoken_survives_a_message() -> None:
    for spoken in (
        Spoken(voice_id="a", codes=np.arange(6).reshape(2, 3), stop_reason="eos"),
        Spoken(voice_id="b", codes=np.zeros((2, 0), dtype=np.int64), stop_reason="max_length"),
        Spoken(voice_id="c", error="gone"),
    ):
        again = Spoken.from_message(spoken.to_message())
        assert again.to_message() == spoken.to_message()
        if spoken.codes is not None:
            assert again.codes.shape == spoken.codes.shape


@pytest.mark.parametrize("settings", [SamplingSettings(), SamplingSettings(temperature=1.0, top_p=0.9)])
def test_the_demo_model_speaks_within_its_limit_and_alike_in_any_batch(
    demo_prompts: list[VoicePrompt], settings: SamplingSettings
) -> None:
    adapter = adapter_for(demo_model(seed=0).eval())
    spoken = speak(adapter, demo_prompts[:3], settings, batch_size=3)
    alone = speak(adapter, demo_prompts[1:2], settings, batch_size=1)[0]
    assert all(
        one.codes.shape[1] <= prompt.prompt.max_frames for one, prompt in zip(spoken, demo_prompts, strict=False)
    )
    assert spoken[1].codes.tolist() == alone.codes.tolist()
