"""The demo's model: a `HiggsAudioV2ForConditionalGeneration` that is small enough for two CPU cores.

Guarantees
- 4.5 million parameters, random weights; the same `seed` gives the same weights, and no RNG of the caller is changed.

    model = demo_model(seed=0)
"""

from __future__ import annotations

from typing import Any

import torch

from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.demo.composed.world_codec import CODEBOOK_SIZE, CODEBOOKS
from tracker_logging.families.higgs_v2.layout import SpecialTokens

HEADS = 8  # of the pretrained model


def demo_config(tokenizer: Any = None, *, codebooks: int = CODEBOOKS, heads: int = 4) -> Any:
    """A `HiggsAudioV2Config` that fits the demo's tokenizer and codec, or others with codebooks of the same size.
    `heads`: of attention, two of which share a key."""
    from transformers import HiggsAudioV2Config

    tokenizer = demo_tokenizer() if tokenizer is None else tokenizer
    tokens = SpecialTokens.of(tokenizer)
    return HiggsAudioV2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        head_dim=256 // heads,
        initializer_range=0.06,  # 1 / sqrt(hidden): with the class's 0.02 words are learnt much later
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        num_codebooks=codebooks,
        codebook_size=CODEBOOK_SIZE + 2,  # with the begin and the end code
        audio_stream_bos_id=CODEBOOK_SIZE,
        audio_stream_eos_id=CODEBOOK_SIZE + 1,
        audio_token_id=tokens.audio_out,
        audio_bos_token_id=tokens.audio_out_bos,
        audio_delay_token_id=tokens.delay,
        pad_token_id=tokens.pad,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokens.end_of_turn,
    )


def demo_model(seed: int, config: Any = None, *, use_text_head: bool = False) -> Any:
    """The model in float32 on the CPU, in training mode. `config`: another than `demo_config()`."""
    from transformers import HiggsAudioV2ForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HiggsAudioV2ForConditionalGeneration(config or demo_config(), use_text_head=use_text_head).train()
