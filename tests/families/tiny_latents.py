"""Tiny random models of continuous latents, of the real classes, with their processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    GradiumPhononTTSConfig,
    GradiumPhononTTSForConditionalGeneration,
    PocketTTSAudioTokenizerConfig,
    PocketTTSAudioTokenizerModel,
    PocketTTSConfig,
    PocketTTSForConditionalGeneration,
    VibeVoiceAcousticTokenizerFeatureExtractor,
    VibeVoiceConfig,
    VibeVoiceForConditionalGeneration,
)

from tracker_logging.families.latent_codec import LatentCodec, LatentSource
from tracker_logging.families.pocket_tts.processor import PocketSpeechProcessor
from tracker_logging.families.vibevoice.processor import VibeVoiceSpeechProcessor

D, RATE, HOP = 6, 24_000, 1_920


def _codec() -> LatentCodec:
    torch.manual_seed(0)
    return LatentCodec(
        PocketTTSAudioTokenizerModel(
            PocketTTSAudioTokenizerConfig(
                hidden_size=16, num_filters=4, upsampling_ratios=[8, 6, 5], upsample_groups=16, num_hidden_layers=1,
                intermediate_size=32, num_attention_heads=2, num_key_value_heads=2, latent_dim=D, latent_stride=8,
            )
        )
    )  # fmt: skip


def _settings(tokenizer: Any) -> dict[str, Any]:
    size = len(tokenizer)
    return {
        "vocab_size": size + 4, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "latent_dim": D, "pad_token_id": tokenizer.pad_token_id,
        "audio_prompt_token_id": size, "audio_latent_token_id": size + 1, "audio_bos_token_id": size + 3,
        "flow_head_config": {"latent_dim": D, "hidden_size": 16, "condition_dim": 32, "num_hidden_layers": 1},
    }  # fmt: skip


def pocket(tokenizer: Any) -> tuple[PocketTTSForConditionalGeneration, PocketSpeechProcessor]:
    codec = _codec()
    config = PocketTTSConfig(**_settings(tokenizer), audio_prompt_bos_token_id=len(tokenizer) + 2)
    model = PocketTTSForConditionalGeneration(config)
    return model, PocketSpeechProcessor(tokenizer, codec, LatentSource(codec), config)


def phonon(tokenizer: Any, *, voice_dim: int) -> tuple[GradiumPhononTTSForConditionalGeneration, PocketSpeechProcessor]:
    """With a speaker codec of random latents for each clip."""
    codec = _codec()
    config = GradiumPhononTTSConfig(**_settings(tokenizer), audio_prompt_dim=voice_dim)

    def voices(path: Path) -> np.ndarray:
        return np.random.default_rng(len(path.read_bytes())).normal(size=(voice_dim, 5)).astype(np.float32)

    model = GradiumPhononTTSForConditionalGeneration(config)
    return model, PocketSpeechProcessor(tokenizer, codec, LatentSource(codec), config, voices)


def vibevoice(tokenizer: Any) -> tuple[VibeVoiceForConditionalGeneration, VibeVoiceSpeechProcessor]:
    """Needs `diffusers`."""
    torch.manual_seed(0)
    size = len(tokenizer)
    codec = {"num_filters": 2, "downsampling_ratios": [8, 15, 16], "depths": [1, 1, 1, 1]}
    config = VibeVoiceConfig(
        text_config={
            "model_type": "qwen2", "vocab_size": size + 3, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
        },
        audio_config={"model_type": "vibevoice_acoustic_tokenizer", "hidden_size": D, **codec},
        semantic_model_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", "hidden_size": 5, **codec},
        diffusion_head_config={"num_hidden_layers": 1, "intermediate_size": 32, "frequency_embedding_size": 8},
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id or tokenizer.pad_token_id,
        audio_bos_token_id=size, audio_eos_token_id=size + 1, audio_token_id=size + 2,
    )  # fmt: skip
    model = VibeVoiceForConditionalGeneration(config)
    model.generation_config.num_diffusion_steps, model.generation_config.guidance_scale = 3, 1.3
    with torch.no_grad():
        for name, weight in model.model.audio_tower.named_parameters():
            if weight.dim() == 3:  # the small values of the class would make silence of every clip
                weight.normal_(std=1.5 * (weight[0].numel() if "convtr" not in name else weight.shape[0] * 2) ** -0.5)
        model.model.latent_scaling_factor.fill_(0.8)
        model.model.latent_bias_factor.fill_(-0.1)
    extractor = VibeVoiceAcousticTokenizerFeatureExtractor(pad_to_multiple_of=HOP)
    return model, VibeVoiceSpeechProcessor.of(model, tokenizer, extractor)
