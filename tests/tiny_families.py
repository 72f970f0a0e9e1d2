"""A tiny random model of each family, of the real classes, with rows to train on and prompts to generate from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    DiaConfig,
    DiaForConditionalGeneration,
    HiggsAudioV2Config,
    HiggsAudioV2ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    MimiConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tracker_logging.families import IGNORE, CodePattern, Prompt

Row = dict[str, torch.Tensor]
CODES, K = 16, 4
AUDIO, AUDIO_END, HIGGS_DELAY, HIGGS_BEGIN = 60, 61, 62, 63
HIGGS = CodePattern.staircase(codebooks=K, bos=16, eos=17)
DIA = CodePattern(delays=(0, 2, 3, 4), codes=CODES, eos=16, fill=17, bos=18)
CSM = CodePattern(delays=(0,) * K, codes=CODES, eos=0, fill=18, bos=None)
HOP = 16  # samples per frame of the tiny codec
SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """`rows(n)` are samples with and without a reference; `collate` makes a batch of them."""

    model: Callable[[], nn.Module]
    rows: Callable[[int], list[Row]]
    collate: Callable[[Sequence[Row]], Row]
    prompts: Callable[[], list[Prompt]] = list


def numbers(*shape: int, seed: int, high: int = CODES, low: int = 0) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def words(count: int, seed: int) -> list[int]:
    return numbers(count, seed=seed, low=8, high=50).tolist()


def padded(tensors: Sequence[torch.Tensor], fill: int | float, *, left: bool = False) -> torch.Tensor:
    longest = max(len(tensor) for tensor in tensors)
    padding = [longest - len(tensor) for tensor in tensors]
    sides = [(count, 0) if left else (0, count) for count in padding]
    return torch.stack(
        [
            pad(tensor, (0, 0) * (tensor.dim() - 1) + side, value=fill)
            for tensor, side in zip(tensors, sides, strict=True)
        ]
    )


# --- Higgs Audio v2 ---
def higgs(*, text_head: bool) -> nn.Module:
    torch.manual_seed(0)
    config = HiggsAudioV2Config(
        **SMALL, num_codebooks=K, codebook_size=18, audio_token_id=AUDIO, audio_delay_token_id=HIGGS_DELAY,
        audio_bos_token_id=HIGGS_BEGIN, audio_stream_bos_id=16, audio_stream_eos_id=17, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    return HiggsAudioV2ForConditionalGeneration(config, use_text_head=text_head)


def _higgs_clip(frames: int, seed: int) -> tuple[list[int], torch.Tensor]:
    delayed = HIGGS.apply(numbers(K, frames, seed=seed))
    return [HIGGS_BEGIN] + [AUDIO] * (len(delayed) - K + 1) + [HIGGS_DELAY] * (K - 1), delayed


def _higgs_labels(delayed: torch.Tensor) -> torch.Tensor:
    labels = delayed.masked_fill(delayed == 16, IGNORE)
    return labels.masked_fill((delayed == 17).cumsum(dim=0) > 1, IGNORE)


def higgs_row(reference: int, target: int, seed: int, *, text: bool = False) -> Row:
    tokens, frames, labels = [1], [], []
    if reference:
        ids, delayed = _higgs_clip(reference, seed)
        tokens += [*words(5, seed), *ids, AUDIO_END]
        frames.append(delayed)
        labels.append(torch.full_like(delayed, IGNORE))
    ids, delayed = _higgs_clip(target, seed + 1)
    tokens += [*words(6, seed + 2), *ids]
    row = {
        "input_ids": torch.tensor([*tokens, AUDIO_END, 2]),
        "audio_input_ids": torch.cat([*frames, delayed]),
        "audio_labels": torch.cat([*labels, _higgs_labels(delayed)]),
    }
    if text:
        row["labels"] = torch.full_like(row["input_ids"], IGNORE)
        row["labels"][-2:] = row["input_ids"][-2:]
    return row


def higgs_collate(rows: Sequence[Row]) -> Row:
    lengths = [torch.ones(len(row["audio_input_ids"]), dtype=torch.bool) for row in rows]
    batch = {
        "input_ids": padded([row["input_ids"] for row in rows], 0),
        "attention_mask": padded([torch.ones_like(row["input_ids"]) for row in rows], 0),
        "audio_input_ids": padded([row["audio_input_ids"] for row in rows], 17),
        "audio_input_ids_mask": padded(lengths, 0),
        "audio_labels": padded([row["audio_labels"] for row in rows], IGNORE),
    }
    return batch | ({"labels": padded([row["labels"] for row in rows], IGNORE)} if "labels" in rows[0] else {})


def higgs_prompts() -> list[Prompt]:
    ids, delayed = _higgs_clip(5, 1)
    cloned = [1, *words(5, 1), *ids, AUDIO_END, *words(6, 2), HIGGS_BEGIN]
    return _prompts(cloned, delayed, [1, *words(6, 3), HIGGS_BEGIN])


# --- CSM ---
def csm() -> nn.Module:
    torch.manual_seed(0)
    mimi = MimiConfig(
        hidden_size=16, num_filters=4, num_residual_layers=1, upsampling_ratios=[4, 2], codebook_size=CODES,
        vector_quantization_hidden_dimension=8, codebook_dim=8, num_quantizers=K, num_semantic_quantizers=1,
        upsample_groups=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
        intermediate_size=32, sampling_rate=800, frame_rate=50,
    )  # fmt: skip
    depth = {
        "num_codebooks": K, "backbone_hidden_size": 32, "vocab_size": 19, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": K + 1,
    }  # fmt: skip
    config = CsmConfig(
        **(SMALL | {"vocab_size": 19}), text_vocab_size=64, num_codebooks=K, codebook_pad_token_id=18,
        codebook_eos_token_id=0, pad_token_id=0, bos_token_id=1, audio_token_id=AUDIO, audio_eos_token_id=AUDIO_END,
        depth_decoder_config=depth, codec_config=mimi.to_dict(),
    )  # fmt: skip
    return CsmForConditionalGeneration(config)


def csm_row(reference: int, target: int, seed: int) -> Row:
    tokens, waves = [], []
    for frames in filter(None, (reference, target)):
        tokens += [1, *words(5, seed + frames), 2, *[AUDIO] * frames, AUDIO_END]
        waves.append(torch.randn(frames * HOP, generator=torch.Generator().manual_seed(seed + frames)))
    ids = torch.tensor(tokens)
    labels = torch.where((ids == AUDIO) | (ids == AUDIO_END), ids, IGNORE)
    labels[(ids == AUDIO).nonzero().squeeze(-1)[::5]] = -101  # every fifth frame is no label of the depth decoder
    ends = torch.tensor([len(wave) for wave in waves]).cumsum(0)
    return {"input_ids": ids, "labels": labels, "input_values": torch.cat(waves), "input_values_cutoffs": ends}


def csm_collate(rows: Sequence[Row]) -> Row:
    return {
        "input_ids": padded([row["input_ids"] for row in rows], 3, left=True),
        "attention_mask": padded([torch.ones_like(row["input_ids"]) for row in rows], 0, left=True),
        "input_values": padded([row["input_values"] for row in rows], 0.0).unsqueeze(1),
        "input_values_cutoffs": padded([row["input_values_cutoffs"] for row in rows], -1),
        "labels": padded([row["labels"] for row in rows], IGNORE, left=True),
    }


def csm_prompts() -> list[Prompt]:
    delayed = CSM.apply(numbers(K, 5, seed=1))
    cloned = [1, *words(5, 1), 2, *[AUDIO] * 5, AUDIO_END, 1, *words(6, 2), 2]
    return _prompts(cloned, delayed, [1, *words(6, 3), 2])


# --- Dia ---
def dia() -> nn.Module:
    torch.manual_seed(0)
    side = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    decoder = {
        **side, "cross_num_attention_heads": 2, "cross_head_dim": 8, "cross_num_key_value_heads": 2, "vocab_size": 20,
        "cross_hidden_size": 32, "num_channels": K, "pad_token_id": 17, "eos_token_id": 16, "bos_token_id": 18,
    }  # fmt: skip
    encoder = {**side, "num_key_value_heads": 4, "vocab_size": 64}
    return DiaForConditionalGeneration(
        DiaConfig(delay_pattern=list(DIA.delays), encoder_config=encoder, decoder_config=decoder)
    )


def dia_row(reference: int, target: int, seed: int) -> Row:
    """Rows as of `DiaProcessor(output_labels=True)`; a reference has no labels."""
    delayed = DIA.apply(numbers(K, reference + target, seed=seed))
    labels = delayed[1:].masked_fill((delayed[1:] == 18) | (delayed[1:] == 17), IGNORE)
    frame = torch.arange(len(labels))[:, None] - torch.tensor(DIA.delays)
    return {
        "input_ids": torch.tensor(words(4 + target, seed)),
        "decoder_input_ids": delayed[:-1],
        "labels": labels.masked_fill(frame < reference, IGNORE),
    }


def dia_collate(rows: Sequence[Row]) -> Row:
    labels = padded([row["labels"] for row in rows], IGNORE, left=True)
    decoder = [row["decoder_input_ids"] for row in rows]
    return {
        "input_ids": padded([row["input_ids"] for row in rows], 0),
        "attention_mask": padded([torch.ones_like(row["input_ids"]) for row in rows], 0),
        "decoder_input_ids": padded(decoder, 18, left=True),
        "decoder_attention_mask": padded([torch.ones_like(rows[:, 0]) for rows in decoder], 0, left=True),
        "labels": labels.transpose(1, 2).reshape(len(rows) * K, -1).contiguous(),
    }


def dia_prompts() -> list[Prompt]:
    return _prompts(words(12, 1), DIA.apply(numbers(K, 5, seed=1)), words(6, 3))


# --- text ---
def qwen3() -> nn.Module:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(**SMALL))


def llama() -> nn.Module:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL))


def text_row(length: int, seed: int) -> Row:
    ids = torch.tensor([1, *words(length, seed), 2])
    labels = ids.clone()
    labels[: length // 3] = IGNORE
    return {"input_ids": ids, "labels": labels}


def text_collate(rows: Sequence[Row]) -> Row:
    return {
        "input_ids": padded([row["input_ids"] for row in rows], 0),
        "attention_mask": padded([torch.ones_like(row["input_ids"]) for row in rows], 0),
        "labels": padded([row["labels"] for row in rows], IGNORE),
    }


def _prompts(cloned: list[int], reference: torch.Tensor, plain: list[int]) -> list[Prompt]:
    """The voice of a reference with two seeds, and a shorter prompt without a reference."""
    return [
        Prompt(token_ids=torch.tensor(cloned), audio_codes=reference, max_frames=9, seed=1),
        Prompt(token_ids=torch.tensor(cloned), audio_codes=reference, max_frames=9, seed=2),
        Prompt(token_ids=torch.tensor(plain), audio_codes=None, max_frames=7, seed=3),
    ]


def _many(row: Callable[..., Row], **options: Any) -> Callable[[int], list[Row]]:
    return lambda count: [row((at % 2) * (3 + at % 4), 5 + at % 3, 10 * at, **options) for at in range(1, count + 1)]


FAMILIES: dict[str, Family] = {
    "higgs": Family(lambda: higgs(text_head=False), _many(higgs_row), higgs_collate, higgs_prompts),
    "higgs with a text head": Family(
        lambda: higgs(text_head=True), _many(higgs_row, text=True), higgs_collate, higgs_prompts
    ),
    "csm": Family(csm, _many(csm_row), csm_collate, csm_prompts),
    "dia": Family(dia, _many(dia_row), dia_collate, dia_prompts),
    "qwen3": Family(qwen3, lambda count: [text_row(6 + at % 5, at) for at in range(count)], text_collate),
    "llama": Family(llama, lambda count: [text_row(6 + at % 5, at) for at in range(count)], text_collate),
}
