"""The workload of the benchmarks: a Higgs Audio v2 with random weights, batches of a given length, and one step.

A sample of S positions is a system prompt, a reference clip with its text, and a target clip with its text, in the
proportions of speech at 25 frames per second. The second sample of a batch is shorter and padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from tracker_logging.families.delay_pattern import apply_delay

CODEBOOKS, CODES = 8, 1026
BOS, EOS = 1024, 1025
AUDIO, DELAY, AUDIO_BOS, PAD = 490, 491, 492, 0

THREE_B = {
    "hidden_size": 3072, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 8192,
}  # fmt: skip
SIZES: dict[str, dict[str, int]] = {
    "57M": {
        "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 64, "intermediate_size": 1536,
    },
    # The shape of bosonai/higgs-audio-v2-generation-3B-base, whole and two of its layers.
    "3B": {**THREE_B, "num_hidden_layers": 28},
    "3B-2-layers": {**THREE_B, "num_hidden_layers": 2},
}  # fmt: skip


def build_model(size: str, *, device: str, dtype: torch.dtype, attention: str) -> Any:
    """Random weights, in training mode."""
    torch.manual_seed(0)
    config = HiggsAudioV2Config(
        vocab_size=128256 if size == "3B" else 512, num_codebooks=CODEBOOKS, codebook_size=CODES,
        audio_token_id=AUDIO, audio_delay_token_id=DELAY, audio_bos_token_id=AUDIO_BOS, audio_stream_bos_id=BOS,
        audio_stream_eos_id=EOS, pad_token_id=PAD, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, attn_implementation=attention,
        **SIZES[size],
    )  # fmt: skip
    with torch.device(device):
        model = HiggsAudioV2ForConditionalGeneration(config)
    return model.to(dtype).train()


def build_batch(length: int, *, samples: int, device: str) -> dict[str, torch.Tensor]:
    """`samples` rows of at most `length` positions; each one after the first is a tenth shorter than the one before."""
    generator = torch.Generator().manual_seed(1)
    rows = [_sample(int(length * 0.9**at), generator) for at in range(samples)]
    frames = max(len(row["audio_input_ids"]) for row in rows)

    def padded(values: torch.Tensor, size: int, fill: int) -> torch.Tensor:
        by = (0, 0) * (values.dim() - 1) + (0, size - len(values))
        return torch.nn.functional.pad(values, by, value=fill)

    batch = {
        "input_ids": torch.stack([padded(row["input_ids"], length, PAD) for row in rows]),
        "attention_mask": torch.stack([padded(torch.ones_like(row["input_ids"]), length, 0) for row in rows]),
        "audio_input_ids": torch.stack([padded(row["audio_input_ids"], frames, EOS) for row in rows]),
        "audio_input_ids_mask": torch.stack([torch.arange(frames) < len(row["audio_input_ids"]) for row in rows]),
        "audio_labels": torch.stack([padded(row["audio_labels"], frames, -100) for row in rows]),
    }
    return {name: value.to(device) for name, value in batch.items()}


def _sample(length: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    words = max(4, length // 20)
    text = torch.randint(10, AUDIO, (2, words), generator=generator).tolist()
    clip = (length - 2 * words - 6) // 2
    clips = [
        apply_delay(torch.randint(0, BOS, (CODEBOOKS, clip - CODEBOOKS - 1), generator=generator), bos=BOS, eos=EOS)
        for _ in range(2)
    ]
    audio = [AUDIO] * (clip - CODEBOOKS + 1) + [DELAY] * (CODEBOOKS - 1)
    tokens = [1, 3, *text[0], AUDIO_BOS, *audio, 3, *text[1], AUDIO_BOS, *audio, 2]
    labels = torch.cat([torch.full_like(clips[0], -100), clips[1].masked_fill(clips[1] == BOS, -100)])
    return {"input_ids": torch.tensor(tokens), "audio_input_ids": torch.cat(clips), "audio_labels": labels}


def training_step(
    model: Any,
    batch: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    begin: Callable[[], object] = lambda: None,
    before_update: Callable[[], object] = lambda: None,
    after_update: Callable[[], object] = lambda: None,
    end: Callable[[], object] = lambda: None,
    **arguments: Any,
) -> None:
    """Forward, backward, clipping and optimizer, with the four points at which the Trainer calls its callbacks."""
    begin()
    model(**batch, **arguments).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    before_update()
    optimizer.step()
    after_update()
    optimizer.zero_grad()
    end()
