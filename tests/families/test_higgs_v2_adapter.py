import pytest
import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration
from transformers.models.higgs_audio_v2.processing_higgs_audio_v2 import HiggsAudioV2Processor

from tracker_logging.families import IGNORE, Prompt, Role, SamplingSettings, UnknownModelError, adapter_for
from tracker_logging.families.delay_pattern import apply_delay, delayed_length, revert_delay

BOS, EOS, K = 16, 17, 4
AUDIO, DELAY, AUDIO_BOS, PAD = 60, 61, 62, 0


def tiny_model(*, text_head: bool = False) -> HiggsAudioV2ForConditionalGeneration:
    torch.manual_seed(0)
    config = HiggsAudioV2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_codebooks=K, codebook_size=18, audio_token_id=AUDIO,
        audio_delay_token_id=DELAY, audio_bos_token_id=AUDIO_BOS, audio_stream_bos_id=BOS, audio_stream_eos_id=EOS,
        pad_token_id=PAD, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    return HiggsAudioV2ForConditionalGeneration(config, use_text_head=text_head).eval()


def codes(frames: int) -> torch.Tensor:
    return torch.randint(0, 16, (K, frames))


def audio_tokens(frames: int) -> list[int]:
    return [AUDIO] * (frames + 2) + [DELAY] * (K - 1)


def tiny_batch() -> dict[str, torch.Tensor]:
    """Two samples: reference of 5 and target of 7 frames; target of 3 frames only. Right-padded."""
    reference, target, alone = (apply_delay(codes(n), bos=BOS, eos=EOS) for n in (5, 7, 3))
    rows = [
        [1, 5, 6, AUDIO_BOS, *audio_tokens(5), 7, 8, 9, AUDIO_BOS, *audio_tokens(7), 2],
        [1, 5, AUDIO_BOS, *audio_tokens(3), 2],
    ]
    length = max(len(row) for row in rows)
    frames = [torch.cat([reference, target]), alone]
    most = max(len(f) for f in frames)
    labels = [torch.cat([torch.full_like(reference, IGNORE), target]), alone.clone()]
    return {
        "input_ids": torch.tensor([row + [PAD] * (length - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
        "audio_input_ids": torch.stack(
            [torch.nn.functional.pad(f, (0, 0, 0, most - len(f)), value=EOS) for f in frames]
        ),
        "audio_input_ids_mask": torch.tensor([[i < len(f) for i in range(most)] for f in frames]),
        "audio_labels": torch.stack(
            [torch.nn.functional.pad(f, (0, 0, 0, most - len(f)), value=IGNORE) for f in labels]
        ),
    }


def test_the_delay_pattern_is_the_one_of_transformers() -> None:
    clean = codes(6)
    framed = torch.cat([torch.full((K, 1), BOS), clean, torch.full((K, 1), EOS)], dim=1)[None]
    processor = HiggsAudioV2Processor.__new__(HiggsAudioV2Processor)
    processor.audio_stream_bos_id, processor.audio_stream_eos_id = BOS, EOS
    theirs = processor.build_delay_pattern(framed)[0].T
    ours = apply_delay(clean, bos=BOS, eos=EOS)
    assert torch.equal(ours, theirs)
    assert len(ours) == delayed_length(6, K)


def test_reverting_the_delay_gives_the_codes_back() -> None:
    clean = codes(9)
    assert torch.equal(revert_delay(apply_delay(clean, bos=BOS, eos=EOS), eos=EOS), clean)


def test_frames_cut_off_keep_what_all_codebooks_have() -> None:
    clean = codes(9)
    cut = apply_delay(clean, bos=BOS, eos=EOS)[:8]
    assert torch.equal(revert_delay(cut, eos=EOS), clean[:, : 8 - K])


def test_the_view_gives_every_position_a_role() -> None:
    view = adapter_for(tiny_model()).view(tiny_batch())
    roles = [(segment.sample, segment.role, segment.frames) for segment in view.segments]
    assert roles == [(0, Role.REFERENCE, 5), (0, Role.TARGET, 7), (1, Role.TARGET, 3)]
    first = view.segments[0]
    assert (view.roles[0, first.start : first.stop] == Role.REFERENCE).all()
    assert view.roles[1, -1] == Role.PADDING
    assert (view.codes[0, first.start] == BOS).all() and (view.codes[0, 0] == -1).all()
    assert (view.audio_labels[0, first.start : first.stop] == IGNORE).all()


def test_audio_nll_adds_up_to_the_loss_of_the_model() -> None:
    model, batch = tiny_model(), tiny_batch()
    one = {name: value[:1] for name, value in batch.items()}
    loss = model(**one).loss
    nll = adapter_for(model).audio_nll(one)
    assert nll.shape == (1, K)
    assert nll.sum().item() == pytest.approx(loss.item(), rel=1e-5)


def test_a_sampled_clip_depends_on_its_own_seed_only() -> None:
    adapter = adapter_for(tiny_model())
    prompt = torch.tensor([1, 5, 6, AUDIO_BOS, *audio_tokens(5), 7, 8, 9, 10, 11, 12, 13, AUDIO_BOS])
    reference = apply_delay(codes(5), bos=BOS, eos=EOS)
    short = Prompt(token_ids=prompt[-8:], audio_codes=None, max_frames=12, seed=4)
    prompts = [Prompt(token_ids=prompt, audio_codes=reference, max_frames=20, seed=seed) for seed in (1, 2, 1)]
    settings = SamplingSettings(temperature=1.0, top_p=0.9)
    before = torch.random.get_rng_state()
    first, second, again, _ = adapter.generate([*prompts, short], settings)
    alone = adapter.generate([prompts[0]], settings)[0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.codes.tolist() == again.codes.tolist() == alone.codes.tolist()
    assert first.codes.tolist() != second.codes.tolist()
    assert first.codes.shape[0] == K and first.codes.max(initial=0) < BOS


def test_a_clip_that_does_not_end_has_the_maximal_length() -> None:
    model = tiny_model()

    def never_end(module: torch.nn.Module, args: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.unflatten(-1, (K, 18)).index_fill(-1, torch.tensor([EOS]), -1e9).flatten(-2)

    model.audio_lm_head.register_forward_hook(never_end)
    prompt = Prompt(token_ids=torch.tensor([1, 5, AUDIO_BOS]), audio_codes=None, max_frames=6, seed=0)
    clip = adapter_for(model).generate([prompt], SamplingSettings())[0]
    assert clip.stop_reason == "max_length"
    assert clip.codes.shape == (K, 6)


def test_an_unknown_family_is_refused_with_its_name() -> None:
    with pytest.raises(UnknownModelError, match="Linear"):
        adapter_for(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("model.layers.1.self_attn.q_proj.weight", ("attention_q", 1)),
        ("model.layers.0.self_attn.o_proj.weight", ("attention_o", 0)),
        ("model.layers.3.self_attn.k_norm.weight", ("norms", 3)),
        ("base_model.model.model.layers.2.self_attn.v_proj.lora_A.default.weight", ("lora_attention_v", 2)),
        ("base_model.model.model.layers.2.audio_mlp.up_proj.lora_B.default.weight", ("lora_audio_ffn", 2)),
        ("audio_lm_head.weight", ("heads", None)),
    ],
)
def test_a_parameter_belongs_to_one_component(name: str, expected: tuple[str, int | None]) -> None:
    assert adapter_for(tiny_model()).component(name) == expected


def test_every_parameter_of_the_model_has_a_component_with_a_name() -> None:
    model = tiny_model(text_head=True)
    components = {adapter_for(model).component(name)[0] for name, _ in model.named_parameters()}
    attention = {f"attention_{letter}" for letter in "qkvo"}
    assert components == attention | {"text_ffn", "audio_ffn", "norms", "embeddings", "heads"}
