"""Our greedy generation compared with that of transformers, and the effect of a seed."""

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from codec_token_models import END, llama
from tiny_families import AUDIO, AUDIO_END, CSM, DIA, FAMILIES, HOP, K, csm, dia, words
from transformers import DiaForConditionalGeneration

from tracker_logging.families import Prompt, SamplingSettings, adapter_for
from tracker_logging.families.codec_tokens.adapter import CodecTokenAdapter
from tracker_logging.families.codec_tokens.layout import TokenIds
from tracker_logging.probes.isolation import isolated

GREEDY = SamplingSettings()


def test_csm_generates_the_same_codes_as_transformers() -> None:
    model = csm().eval()
    wave = torch.randn(1, 1, 5 * HOP, generator=torch.Generator().manual_seed(1))
    codes = model.codec_model.encode(wave).audio_codes[0]
    ids = torch.tensor([1, *words(5, 1), 2, *[AUDIO] * 5, AUDIO_END, 1, *words(6, 2), 2])
    theirs = model.generate(
        input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], input_values=wave,
        input_values_cutoffs=torch.tensor([[5 * HOP]]), do_sample=False, max_new_tokens=8,
        depth_decoder_do_sample=False,
    )  # fmt: skip
    prompt = Prompt(token_ids=ids, audio_codes=CSM.apply(codes), max_frames=8, seed=0)
    short = Prompt(token_ids=ids[-8:], audio_codes=None, max_frames=8, seed=0)
    with isolated(model):
        ours = adapter_for(model).generate([short, prompt], GREEDY)[1]
    frames = min(ours.codes.shape[1], theirs.shape[1])
    assert frames == 8
    assert ours.codes.T.tolist() == theirs[0, :frames].clamp(max=15).tolist()


@pytest.mark.parametrize("changed", [False, True])
def test_the_depth_decoder_of_csm_samples_by_its_own_settings_unless_they_are_changed(changed: bool) -> None:
    """Its own allow the most likely code alone; the same numbers for both decoders do not."""
    model = csm()
    model.generation_config.update(do_sample=True, temperature=1.5, top_k=0, top_p=None)
    model.depth_decoder.generation_config.update(do_sample=True, temperature=1.5, top_k=1)
    adapter, likely = adapter_for(model), []
    assert adapter.sampling == SamplingSettings(temperature=1.5)
    model.depth_decoder.register_forward_hook(lambda _, __, out: likely.append(out.logits[0, -1].argmax().item()))
    prompt = Prompt(token_ids=torch.tensor([1, *words(6, 3), 2]), audio_codes=None, max_frames=6, seed=3)
    with isolated(model):
        (clip,) = adapter.generate([prompt], SamplingSettings(temperature=1.4 if changed else 1.5))
    deeper = clip.codes[1:].T.flatten().tolist()
    likely = [min(code, 15) for code in likely[: len(deeper)]]  # the tiny decoder also predicts what is no audio code
    assert len(deeper) >= 9 and (deeper == likely) is not changed


@pytest.mark.parametrize(("top_k", "kept"), [(None, 50), (0, 100), (7, 7)])
def test_a_checkpoint_is_sampled_from_as_many_codes_as_by_its_own_generate(top_k: int | None, kept: int) -> None:
    """A generation config may set `do_sample` without top-k, as that of Llama 3.2 does."""
    slot = range(50, 150)  # of 160 tokens
    adapter = CodecTokenAdapter(llama(), TokenIds(name="xcodec", slots=(slot,), end=END))
    model = adapter.core.eval()
    model.generation_config.update(do_sample=True, temperature=1.5, top_k=top_k)
    scores = torch.full((160,), -1e9)
    scores[slot.start : slot.stop] = -0.001 * torch.arange(len(slot))  # nearly alike, the first the most likely
    model.lm_head.register_forward_hook(lambda _, __, logits: scores.expand_as(logits))
    prompts = [Prompt(torch.tensor([1, 5, 6, 38]), None, max_frames=30, seed=seed) for seed in range(40)]
    ids = torch.stack([prompt.token_ids for prompt in prompts])
    torch.manual_seed(0)
    theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=30)[:, ids.shape[1] :]
    with isolated(model):
        ours = adapter.generate(prompts, adapter.sampling)
    assert theirs.unique().tolist() == list(slot[:kept])
    assert sorted({code for clip in ours for code in clip.codes[0].tolist()}) == list(range(kept))


@pytest.mark.parametrize("guidance", [None, 3.0])
def test_dia_generates_the_same_codes_as_transformers(guidance: float | None) -> None:
    model = dia().eval()
    model.generation_config.guidance_scale = guidance
    model.generation_config.top_k = 15 if guidance else None
    codes = torch.randint(0, 16, (K, 5), generator=torch.Generator().manual_seed(1))
    delayed = DIA.apply(codes)
    frame = torch.arange(1 + 5 + max(DIA.delays))[:, None] - 1 - torch.tensor(DIA.delays)
    prefix = delayed[: len(frame)].masked_fill(frame >= 5, DIA.fill)  # as DiaProcessor(generation=True)
    ids, new = torch.tensor(words(12, 1)), 16
    theirs = model.generate(
        input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], decoder_input_ids=prefix[None],
        decoder_attention_mask=torch.ones(1, len(prefix), dtype=torch.int64), do_sample=False, max_new_tokens=40,
    )  # fmt: skip
    ours = adapter_for(model).generate([Prompt(token_ids=ids, audio_codes=delayed, max_frames=new, seed=0)], GREEDY)[0]
    expected = DIA.revert(theirs[0], frames=5 + new)[:, 5:]
    frames = min(ours.codes.shape[1], expected.shape[1]) - max(DIA.delays)  # ours ends near its limit
    assert frames > 8
    assert ours.codes[:, :frames].tolist() == expected[:, :frames].tolist()


def dia_with(logits: torch.Tensor) -> DiaForConditionalGeneration:
    """Dia with 80 codes that predicts `logits` [2, K, 84] in every row: with its text, and without it for guidance."""
    config = dia().config
    config.decoder_config.update({"vocab_size": 84, "eos_token_id": 80, "pad_token_id": 81, "bos_token_id": 82})
    model = DiaForConditionalGeneration(config).eval()

    def hook(_: torch.nn.Module, __: object, out: torch.Tensor) -> torch.Tensor:
        with_text, without = logits.flatten(1).expand(out.shape[1], -1, -1).transpose(0, 1)
        is_guided = model.generation_config.guidance_scale is not None
        samples = len(out) // 2 if is_guided else len(out)
        return torch.cat([with_text.expand(samples, -1, -1), without.expand(len(out) - samples, -1, -1)])

    model.logits_dense.register_forward_hook(hook)
    return model


@pytest.mark.parametrize("guidance", [None, 3.0])
@pytest.mark.parametrize("settings", [GREEDY, SamplingSettings(1.3, 0.95, 60), SamplingSettings(2.5, 1.0, 5)])
@pytest.mark.parametrize("end", [-0.1, 0.1])
def test_dia_draws_codes_and_ends_with_the_probabilities_of_its_own_generate(
    end: float, settings: SamplingSettings, guidance: float | None
) -> None:
    """The end code is nearly the most likely code of channel 0, or just the most likely one."""
    logits = torch.randn(2, K, 84, generator=torch.Generator().manual_seed(5))
    logits[1, 0] = logits[0, 0] - 0.2 * logits[0, 0].argsort().argsort() / 84  # guidance keeps the order there
    logits[:, 0, 80] = logits[:, 0, :80].max(dim=-1).values + end
    model = dia_with(logits)
    model.generation_config.guidance_scale = guidance
    given = {} if settings == GREEDY else {"do_sample": True, **asdict(settings)}
    ids, begin = torch.tensor([words(6, 3)]), torch.full((1, 1, K), 82)
    theirs = model.generate(
        ids, attention_mask=torch.ones_like(ids), decoder_input_ids=begin, max_new_tokens=20, **given,
        decoder_attention_mask=torch.ones(1, 1, dtype=torch.int64), return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    expected = theirs.scores[0].view(K, -1).softmax(dim=-1)
    prompts = [Prompt(ids[0], None, max_frames=40, seed=seed) for seed in range(50)]
    with isolated(model):
        clips = adapter_for(model).generate(prompts, settings)
    if end > 0:
        assert {(clip.stop_reason, clip.codes.shape[1]) for clip in clips} == {("eos", 0)}
        return
    assert {clip.codes.shape[1] for clip in clips} == {40}
    for channel, of_channel in enumerate(expected):
        drawn = torch.cat([torch.from_numpy(clip.codes[channel]) for clip in clips])
        if settings == GREEDY:
            assert drawn.unique().tolist() == [int(of_channel.argmax())]
        else:
            share = drawn.bincount(minlength=84) / len(drawn)
            assert set(drawn.tolist()) <= set(of_channel.nonzero().flatten().tolist())
            torch.testing.assert_close(share, of_channel, rtol=0, atol=0.05)


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_dia_samples_a_checkpoint_at_the_temperature_of_its_own_generate(temperature: float) -> None:
    """It raises one below 1."""
    logits = torch.randn(2, K, 84, generator=torch.Generator().manual_seed(5))
    model = dia_with(logits)
    model.generation_config.update(do_sample=True, temperature=temperature)
    ids, begin = torch.tensor([words(6, 3)]), torch.full((1, 1, K), 82)
    theirs = model.generate(
        ids, attention_mask=torch.ones_like(ids), decoder_input_ids=begin, max_new_tokens=20,
        decoder_attention_mask=torch.ones(1, 1, dtype=torch.int64), return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    scores, kept = theirs.scores[0], theirs.scores[0].isfinite()
    torch.testing.assert_close(scores[kept], (logits[0] / adapter_for(model).sampling.temperature)[kept])


@pytest.mark.parametrize("name", ["higgs", "csm", "dia"])
def test_two_seeds_give_two_clips(name: str) -> None:
    family = FAMILIES[name]
    adapter = adapter_for(family.model())
    with isolated(adapter.core):
        first, second, _ = adapter.generate(family.prompts(), SamplingSettings(temperature=1.5))
    assert first.codes.tolist() != second.codes.tolist()


def test_dia_stops_when_channel_0_ends_a_clip() -> None:
    model = dia()
    adapter = adapter_for(model)

    def ends_in_row(row: int) -> Callable[..., torch.Tensor]:
        def hook(module: torch.nn.Module, args: tuple[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
            seen["rows"] += logits.shape[1]
            split = logits.unflatten(-1, (K, -1)).clone()
            split[..., 0, DIA.eos] = 1e6 if seen["rows"] == row else -1e6
            return split.flatten(-2)

        return hook

    seen = {"rows": 0}
    model.logits_dense.register_forward_hook(ends_in_row(7))
    prompt = Prompt(token_ids=torch.tensor(words(6, 3)), audio_codes=None, max_frames=20, seed=0)
    (clip,) = adapter.generate([prompt], GREEDY)
    assert clip.stop_reason == "eos" and clip.codes.shape == (K, 6)  # the begin row, six frames, then the end
