"""A tiny random VibeVoice of the real class, its processor, and four samples."""

from __future__ import annotations

import torch
from test_family_processors import byte_tokenizer
from torch import nn
from transformers import VibeVoiceAcousticTokenizerFeatureExtractor, VibeVoiceConfig, VibeVoiceForConditionalGeneration

from tracker_logging.families.vibevoice.processor import VibeVoiceSpeechProcessor

D, RATE, HOP = 6, 24_000, 1_920


def tiny() -> tuple[nn.Module, VibeVoiceSpeechProcessor]:
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
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
