"""A small `HiggsAudioModel`, batches for it, and the wrapper that trainers put around it to add the loss."""

from dataclasses import make_dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

AUDIO_IN, AUDIO_OUT, DELAY, AUDIO_OUT_BOS, AUDIO_EOS, PAD = 58, 60, 61, 62, 59, 0
BOS, EOS, K, V = 16, 17, 4, 18
IGNORE = -100

Batch = make_dataclass(
    "Batch", [(name, Any, None) for name in (
        "input_ids", "attention_mask", "label_ids", "audio_out_ids", "audio_out_ids_start", "label_audio_ids",
        "audio_in_ids", "audio_in_ids_start", "audio_features", "audio_feature_attention_mask",
    )],
)  # fmt: skip


def boson_config(**changes: Any) -> Any:
    from boson_multimodal.model.higgs_audio.configuration_higgs_audio import HiggsAudioConfig, HiggsAudioEncoderConfig

    text = {
        "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
    }  # fmt: skip
    tower = HiggsAudioEncoderConfig(
        num_mel_bins=8, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, d_model=16,
        max_source_positions=20, pad_token_id=PAD,
    )  # fmt: skip
    settings = {
        "audio_adapter_type": "dual_ffn", "audio_dual_ffn_layers": [0, 1], "audio_num_codebooks": K,
        "audio_codebook_size": V - 2, "audio_stream_bos_id": BOS, "audio_stream_eos_id": EOS,
        "audio_in_token_idx": AUDIO_IN, "audio_out_token_idx": AUDIO_OUT, "audio_out_bos_token_id": AUDIO_OUT_BOS,
        "audio_eos_token_id": AUDIO_EOS, "pad_token_id": PAD, "use_delay_pattern": True, "skip_audio_tower": True,
        "encode_audio_in_tokens": True,
    }  # fmt: skip
    return HiggsAudioConfig(text_config=text, audio_encoder_config=tower.to_dict(), **(settings | changes))


def boson_model(*, attention: str = "sdpa", **changes: Any) -> Any:
    from boson_multimodal.model.higgs_audio import HiggsAudioModel

    torch.manual_seed(0)
    config = boson_config(**changes)
    config._attn_implementation = config.text_config._attn_implementation = attention
    model = HiggsAudioModel(config)
    with torch.no_grad():
        for layer in model.layers:  # sharp attention: at random initialisation it is almost even
            layer.self_attn.q_proj.weight.mul_(12)
            layer.self_attn.k_proj.weight.mul_(12)
    return model


class WithLoss(nn.Module):
    """What fine-tuning scripts do: the sum over codebooks of the mean cross-entropy, plus the text's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> dict[str, Any]:
        output = self.model(**inputs)
        return {"loss": loss_of(output, inputs), "logits": output.logits, "audio_logits": output.audio_logits}


def loss_of(output: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Labels shifted by one within each clip, which ends where the next one starts."""
    labels = inputs["label_audio_ids"].T.roll(-1, dims=0).clone()
    labels[[*(inputs["audio_out_ids_start"][1:] - 1).tolist(), -1]] = IGNORE
    audio = sum(
        cross_entropy(output.audio_logits[:, k], labels[:, k], ignore_index=IGNORE) for k in range(labels.shape[1])
    )
    text = output.expanded_labels
    return audio + cross_entropy(output.logits[:, :-1].flatten(0, 1), text[:, 1:].flatten(), ignore_index=IGNORE)
