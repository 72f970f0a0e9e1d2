"""Generation frame by frame: what the model is fed, where clips end, and that each depends on its own prompt alone."""

from dataclasses import replace

import pytest
import torch

from tracker_logging.families import CodePattern, GeneratedCodes, Prompt, SamplingSettings
from tracker_logging.families.frame_loop import frame_by_frame
from tracker_logging.families.sampling import Chooser

K, CODES, END, FILL, BEGIN = 3, 8, 8, 9, 10
DELAYED = CodePattern(delays=(0, 1, 3), codes=CODES, eos=END, bos=BEGIN, fill=FILL)
PLAIN = CodePattern.without_delay(codebooks=K, codes=CODES, eos=0)
SAMPLING = SamplingSettings(temperature=1.0)


class Chain:
    """The next code of a codebook depends on its last one. Keeps the frames that it was given."""

    def __init__(self, prompts: list[Prompt], *, end: float) -> None:
        self._choose = Chooser(SAMPLING, [prompt.seed for prompt in prompts])
        generator = torch.Generator().manual_seed(0)
        self._table = torch.randn(K, 11, 11, generator=generator)
        self._table[:, :, CODES:] = -torch.inf
        self._table[0, :, END] = end
        self.fed: list[torch.Tensor] = []
        self.mask = torch.empty(0)

    def __call__(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.fed.append(frames)
        self.mask = mask
        last = frames[:, -1] if frames.shape[1] else torch.zeros(len(frames), K, dtype=torch.int64)
        return self._choose(self._table[torch.arange(K), last])


def prompts(pattern: CodePattern, *lengths: int, most: int = 12) -> list[Prompt]:
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(0, CODES, (K, length), generator=generator) for length in lengths]
    return [
        Prompt(torch.tensor([1]), pattern.apply(one) if one.shape[1] else None, max_frames=most, seed=seed)
        for seed, one in enumerate(codes)
    ]


def run(of: list[Prompt], *, padded: bool, end: float = 0.0) -> tuple[list[GeneratedCodes], Chain]:
    model = Chain(of, end=end)
    return frame_by_frame(model, of, DELAYED, torch.device("cpu"), continued=True, padded=padded), model


@pytest.mark.parametrize("padded", [False, True])
def test_a_clip_is_the_same_alone_and_beside_longer_and_shorter_prompts(padded: bool) -> None:
    together = prompts(DELAYED, 5, 0, 2)
    clips, _ = run(together, padded=padded)
    for prompt, clip in zip(together, clips, strict=True):
        ((alone,), _) = run([prompt], padded=padded)
        assert alone.codes.tolist() == clip.codes.tolist() and alone.stop_reason == clip.stop_reason
    assert len({clip.codes.tobytes() for clip in clips}) == 3


@pytest.mark.parametrize("padded", [False, True])
def test_the_model_is_fed_the_pattern_of_prompt_and_clip_to_the_end(padded: bool) -> None:
    together = prompts(DELAYED, 4, 1)
    clips, model = run(together, padded=padded, end=1.0)
    fed = torch.cat(model.fed, dim=1)
    assert [clip.stop_reason for clip in clips] == ["eos", "eos"]
    for row, (prompt, clip) in enumerate(zip(together, clips, strict=True)):
        assert prompt.audio_codes is not None
        whole = DELAYED.apply(torch.cat([DELAYED.revert(prompt.audio_codes), torch.from_numpy(clip.codes)], dim=1))
        given = fed[row][model.mask[row].bool()][: len(whole)]
        assert given.tolist() == whole[: len(given)].tolist() and len(given) >= len(whole) - 1  # the last is not read


def test_a_clip_without_an_end_has_as_many_frames_as_its_prompt_allows() -> None:
    first, second = prompts(DELAYED, 3, 0)
    clips, _ = run([replace(first, max_frames=4), replace(second, max_frames=9)], padded=True, end=-torch.inf)
    assert [(clip.codes.shape, clip.stop_reason) for clip in clips] == [((K, 4), "max_length"), ((K, 9), "max_length")]


def test_without_delay_only_a_frame_of_end_codes_ends_a_clip() -> None:
    planned = iter(torch.tensor([[0, 3, 0], [4, 0, 1], [0, 0, 0], [5, 5, 5]]))
    (clip,) = frame_by_frame(lambda frames, mask: next(planned)[None], prompts(PLAIN, 0), PLAIN, torch.device("cpu"))
    assert clip.codes.T.tolist() == [[0, 3, 0], [4, 0, 1]] and clip.stop_reason == "eos"
    assert next(planned).tolist() == [5, 5, 5]  # was not asked for


def test_without_begin_codes_a_delayed_codebook_is_filled_until_it_begins() -> None:
    pattern = replace(DELAYED, bos=None)
    codes = torch.tensor([[1, 2], [3, 4], [5, 6]])
    assert pattern.apply(codes).tolist() == [[1, 9, 9], [2, 3, 9], [8, 4, 9], [9, 8, 5], [9, 9, 6], [9, 9, 8]]
    assert pattern.revert(pattern.apply(codes)).tolist() == codes.tolist()
    (prompt,) = prompts(pattern, 0, most=4)
    model = Chain([prompt], end=-torch.inf)
    (clip,) = frame_by_frame(model, [prompt], pattern, torch.device("cpu"))
    fed = torch.cat(model.fed, dim=1)[0]
    assert fed[:3].eq(FILL).tolist() == [[False, True, True], [False, False, True], [False, False, True]]
    assert pattern.revert(fed)[:, :2].tolist() == clip.codes[:, :2].tolist()
