"""A small Higgs Audio v2 and batches for it, for the tests of probes."""

import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from tracker_logging.families import IGNORE
from tracker_logging.families.delay_pattern import apply_delay

BOS, EOS, K, V = 16, 17, 4, 18
AUDIO, DELAY, AUDIO_BOS, PAD = 60, 61, 62, 0
LAYERS, HEADS = 2, 4


def small_model(
    *, text_head: bool = False, attention: str = "sdpa", dropout: float = 0.0
) -> HiggsAudioV2ForConditionalGeneration:
    torch.manual_seed(0)
    config = HiggsAudioV2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=2, head_dim=8, num_codebooks=K, codebook_size=V, audio_token_id=AUDIO,
        audio_delay_token_id=DELAY, audio_bos_token_id=AUDIO_BOS, audio_stream_bos_id=BOS, audio_stream_eos_id=EOS,
        pad_token_id=PAD, bos_token_id=1, eos_token_id=2, attention_dropout=dropout,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, attn_implementation=attention,
    )  # fmt: skip
    model = HiggsAudioV2ForConditionalGeneration(config, use_text_head=text_head)
    with torch.no_grad():
        for layer in model.model.layers:  # sharp attention: at random initialisation it is almost even
            layer.self_attn.q_proj.weight.mul_(12)
            layer.self_attn.k_proj.weight.mul_(12)
    return model


def audio_tokens(frames: int) -> list[int]:
    return [AUDIO] * (frames + 2) + [DELAY] * (K - 1)


def labels_of(delayed: torch.Tensor) -> torch.Tensor:
    """The right labels: no begin codes, the first end code of each codebook, nothing after it."""
    labels = delayed.masked_fill(delayed == BOS, IGNORE)
    ended = (delayed == EOS).int().cumsum(dim=0) > 1
    return labels.masked_fill(ended, IGNORE)


def sample(reference: int, target: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """One unpadded sample; `reference` 0 leaves the reference out."""
    return turns(*[(count, trained) for count, trained in ((reference, False), (target, True)) if count], seed=seed)


def turns(*clips: tuple[int, bool], words: int = 5, seed: int = 0) -> dict[str, torch.Tensor]:
    """A sample of turns: the number of frames of each clip, and whether it is trained."""
    generator = torch.Generator().manual_seed(seed)
    tokens, frames, labels = [1, 5, 6], [], []
    for count, trained in clips:
        delayed = apply_delay(torch.randint(0, BOS, (K, count), generator=generator), bos=BOS, eos=EOS)
        text = torch.randint(8, 50, (words,), generator=generator).tolist()
        tokens += [7, *text, AUDIO_BOS, *audio_tokens(count)]
        frames.append(delayed)
        labels.append(labels_of(delayed) if trained else torch.full_like(delayed, IGNORE))
    return {
        "input_ids": torch.tensor([*tokens, 2]),
        "audio_input_ids": torch.cat(frames),
        "audio_labels": torch.cat(labels),
    }


def batch(*samples: dict[str, torch.Tensor], left: bool = False, text_labels: bool = False) -> dict[str, torch.Tensor]:
    """Padded, on the right or (tokens only) on the left."""
    tokens = [own["input_ids"] for own in samples]
    longest = max(len(own) for own in tokens)
    most = max(len(own["audio_input_ids"]) for own in samples)
    pads = [(longest - len(own), 0) if left else (0, longest - len(own)) for own in tokens]
    pad = torch.nn.functional.pad
    padded = {
        "input_ids": torch.stack([pad(own, by, value=PAD) for own, by in zip(tokens, pads, strict=True)]),
        "attention_mask": torch.stack([pad(torch.ones_like(own), by) for own, by in zip(tokens, pads, strict=True)]),
        "audio_input_ids_mask": torch.stack([torch.arange(most) < len(own["audio_input_ids"]) for own in samples]),
    }
    for name, fill in (("audio_input_ids", EOS), ("audio_labels", IGNORE)):
        padded[name] = torch.stack([pad(own[name], (0, 0, 0, most - len(own[name])), value=fill) for own in samples])
    if text_labels:
        text = (padded["input_ids"] < AUDIO) & (padded["input_ids"] != 1)  # nothing predicts the first token
        padded["labels"] = padded["input_ids"].masked_fill(~text | (padded["attention_mask"] == 0), IGNORE)
    return padded


def two_samples(**options: bool) -> dict[str, torch.Tensor]:
    """A sample with reference and target, and a shorter one with a target only."""
    return batch(sample(5, 7, seed=1), sample(0, 3, seed=2), **options)
