"""Weights and config between Boson's original folder layout (`boson_multimodal`) and the transformers-native class.

The network is the same; names differ. A fine-tuned native model can go back to where people run it from.

Guarantees
- There and back gives identical tensors under identical names.
- A tensor that has no counterpart is named: an audio tower (which the native class lacks) is left out with a warning,
  anything else is an error.

    model = open_original(Path("higgs-audio-v2-generation-3B-base"))       # a native model
    save_in_original_layout(model, Path("outputs/merged"))                 # LoRA merged, if there is one
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

logger = logging.getLogger("tracker_logging")

# original name -> native name
_PREFIXES = {
    "embed_tokens.": "model.embed_tokens.",
    "layers.": "model.layers.",
    "norm.": "model.norm.",
    "audio_codebook_embeddings.": "model.embed_audio_tokens.embed_audio_tokens.",
    "audio_decoder_proj.audio_lm_head.": "audio_lm_head.",
    "audio_decoder_proj.text_lm_head.": "text_lm_head.",
}
_TOWER = ("audio_tower.", "audio_encoder_proj.")
_CODES_BEYOND = 2  # the original's `audio_codebook_size` does not count the begin and the end code
_LLAMA = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "attention_bias", "attention_dropout",
    "mlp_bias", "head_dim", "tie_word_embeddings", "pretraining_tp", "use_cache",
)  # fmt: skip
# tokens that the native config does not name
_TOKENS = {"audio_in_token_idx": "<|AUDIO|>", "audio_eos_token_id": "<|audio_eos|>"}
# original name -> native name, of what both configs hold
_SHARED = {
    "audio_num_codebooks": "num_codebooks",
    "audio_stream_bos_id": "audio_stream_bos_id",
    "audio_stream_eos_id": "audio_stream_eos_id",
    "audio_out_token_idx": "audio_token_id",
    "audio_out_bos_token_id": "audio_bos_token_id",
    "audio_delay_token_id": "audio_delay_token_id",  # the original's classes do not read it; it comes back from here
    "pad_token_id": "pad_token_id",
}


def load_boson_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Original names -> native names; tensors are not copied.

    An audio tower is left out with a warning. Raises `ValueError` for a name that neither layout has.
    """
    tower = [name for name in state if name.startswith(_TOWER)]
    if tower:
        logger.warning(
            "%d tensors of an audio tower are left out: the native class takes a reference as codes alone.", len(tower)
        )
    own = {name: tensor for name, tensor in state.items() if not name.startswith(_TOWER)}
    return _renamed(own, _PREFIXES, "the original layout of Higgs Audio v2")


def original_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Native names -> original names; tensors are not copied. Raises `ValueError` for an unknown name."""
    own = {name: tensor for name, tensor in state.items() if not name.endswith("audio_tokens_offsets")}
    return _renamed(own, {native: original for original, native in _PREFIXES.items()}, "native Higgs Audio v2")


def native_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `HiggsAudioV2Config` for an original config.json.

    Raises `ValueError` for an architecture that the native class cannot hold.
    """
    text = original["text_config"]
    layers = list(range(text["num_hidden_layers"]))
    other = {
        "audio_adapter_type": original.get("audio_adapter_type") != "dual_ffn",
        "audio_dual_ffn_layers": list(original.get("audio_dual_ffn_layers") or ()) != layers,
        **{
            name: bool(original.get(name))
            for name in ("use_rq_transformer", "use_audio_out_self_attention", "use_audio_out_embed_projector")
        },
        "audio_embed_avg": bool(original.get("audio_embed_avg")),
        "use_delay_pattern": not original.get("use_delay_pattern"),
    }
    if wrong := [name for name, differs in other.items() if differs]:
        raise ValueError(
            f"The native Higgs Audio v2 cannot hold this model: {', '.join(wrong)} differ. "
            f"Train it with boson_multimodal itself (docs/boson.md)."
        )
    rope = dict(text.get("rope_scaling") or {"rope_type": "default"})
    own = {name: text[name] for name in _LLAMA if name in text}
    shared = {native: original[name] for name, native in _SHARED.items() if name in original}
    ids = {name: text[name] for name in ("bos_token_id", "eos_token_id") if name in text}
    return {
        **own,
        **ids,
        **shared,
        "codebook_size": original["audio_codebook_size"] + _CODES_BEYOND,
        "rope_parameters": rope | {"rope_theta": text["rope_theta"]},
    }


def original_config(native: Mapping[str, Any]) -> dict[str, Any]:
    """An original config.json for the values of a `HiggsAudioV2Config` (`config.to_dict()`)."""
    rope = dict(native["rope_parameters"])
    theta = rope.pop("rope_theta")
    text = {name: native[name] for name in (*_LLAMA, "bos_token_id", "eos_token_id") if name in native}
    return {
        "model_type": "higgs_audio",
        "architectures": ["HiggsAudioModel"],
        "torch_dtype": str(native.get("dtype") or "float32").removeprefix("torch."),
        "text_config": {
            **text,
            "model_type": "llama",
            "rope_theta": theta,
            "rope_scaling": None if rope.get("rope_type") == "default" else rope,
        },
        "audio_adapter_type": "dual_ffn",
        "audio_dual_ffn_layers": list(range(native["num_hidden_layers"])),
        "audio_ffn_hidden_size": native["hidden_size"],
        "audio_ffn_intermediate_size": native["intermediate_size"],
        "audio_codebook_size": native["codebook_size"] - _CODES_BEYOND,
        "encode_audio_in_tokens": True,
        "encode_whisper_embed": False,
        "skip_audio_tower": True,
        "use_delay_pattern": True,
        **{name: native[key] for name, key in _SHARED.items()},
    }


def open_original(directory: Path, *, use_text_head: bool = True, **arguments: Any) -> Any:
    """A native model with the weights of an original folder: config.json and safetensors, sharded or not.

    `arguments` go to the model's `from_pretrained` (`dtype`, …).
    """
    from safetensors.torch import load_file
    from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

    config = HiggsAudioV2Config(**native_config(json.loads((directory / "config.json").read_text())))
    state: dict[str, torch.Tensor] = {}
    for shard in sorted(directory.glob("*.safetensors")):
        state |= load_file(shard)
    if not state:
        raise ValueError(f"{directory.name}: no .safetensors file there.")
    native = load_boson_weights(state)
    if not use_text_head:
        native.pop("text_lm_head.weight", None)
    return HiggsAudioV2ForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=native, use_text_head=use_text_head, **arguments
    )


def save_in_original_layout(model: nn.Module, directory: Path, *, tokenizer: Any = None) -> None:
    """Write a native model, or a PEFT model around one, as `boson_multimodal` reads it: config.json and safetensors.

    `tokenizer` is saved beside it and says which ids the config needs; without one the original's own ids stand.
    A LoRA is merged into a copy (memory for a second model); `model` itself is left as it is. Without a text head the
    folder has none either, and `boson_multimodal` starts it at random: that is said. Raises `ValueError` for a model
    whose parameters are sharded.
    """
    from huggingface_hub import save_torch_state_dict

    if any(isinstance(own, DTensor) for own in model.parameters()):
        raise ValueError("The model is sharded over ranks. Load what the Trainer saved, and call this on that.")
    merged: Any = model
    if hasattr(model, "merge_and_unload"):
        merged = copy.deepcopy(merged).merge_and_unload()
    if getattr(merged, "text_lm_head", None) is None:
        logger.warning("This model has no text head (--use_text_head): %s is saved without one.", directory.name)
    state = original_weights(merged.state_dict())
    directory.mkdir(parents=True, exist_ok=True)
    config = original_config(merged.config.to_dict())
    config["torch_dtype"] = str(next(merged.parameters()).dtype).removeprefix("torch.")
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
        vocabulary = tokenizer.get_vocab()
        config |= {name: vocabulary[token] for name, token in _TOKENS.items() if token in vocabulary}
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_torch_state_dict(state, str(directory), metadata={"format": "pt"})


def _renamed(state: Mapping[str, torch.Tensor], prefixes: Mapping[str, str], layout: str) -> dict[str, torch.Tensor]:
    renamed: dict[str, torch.Tensor] = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is None:
            unknown.append(name)
        else:
            renamed[prefixes[prefix] + name.removeprefix(prefix)] = tensor
    if unknown:
        raise ValueError(f"{len(unknown)} tensors do not belong to {layout}: {', '.join(sorted(unknown)[:5])}.")
    return renamed
