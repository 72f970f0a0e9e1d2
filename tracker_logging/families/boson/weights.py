"""Converts weights and config between boson's original layout (`boson_multimodal`) and the transformers-native class.

The network is the same; names differ. A model that was fine-tuned natively can be saved for people who run the
original code.

Guarantees
- The round trip gives identical tensors under identical names.
- No tensor is lost or random silently: an audio tower (which the native class lacks) is left out with a warning; any
  other unknown tensor, a missing tensor and a missing shard are errors.
- Weights are memory-mapped while they are opened and converted in memory; no second copy is written to disk.

    model = open_original(Path("higgs-audio-v2-generation-3B-base"))       # a native model
    save_in_original_layout(model, Path("outputs/merged"))                 # a LoRA is merged
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
# settings of the original for parts that the native class does not have
_ABSENT = (
    "use_rq_transformer", "use_audio_out_self_attention", "use_audio_out_embed_projector", "audio_embed_avg",
    "audio_decoder_proj_num_layers",
)  # fmt: skip
_EXTRA_CODES = 2  # the original's `audio_codebook_size` excludes the begin and the end code
_LLAMA = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "attention_bias", "attention_dropout",
    "mlp_bias", "head_dim", "tie_word_embeddings", "pretraining_tp", "use_cache",
)  # fmt: skip
# tokens that only the original config names
_TOKENS = {"audio_in_token_idx": "<|AUDIO|>", "audio_eos_token_id": "<|audio_eos|>"}
# original name -> native name of the values that both configs have
_SHARED = {
    "audio_num_codebooks": "num_codebooks",
    "audio_stream_bos_id": "audio_stream_bos_id",
    "audio_stream_eos_id": "audio_stream_eos_id",
    "audio_out_token_idx": "audio_token_id",
    "audio_out_bos_token_id": "audio_bos_token_id",
    "audio_delay_token_id": "audio_delay_token_id",  # the original's classes ignore it
    "pad_token_id": "pad_token_id",
}


def load_boson_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Original names -> native names; tensors are not copied.

    An audio tower is left out with a warning. Raises `ValueError` for a name that neither layout has.
    """
    tower = [name for name in state if name.startswith(_TOWER)]
    if tower:
        logger.warning(
            "%d tensors of an audio tower are left out: the native class takes references as codes only.", len(tower)
        )
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(_TOWER)}
    return _renamed(kept, _PREFIXES, "the original layout of Higgs Audio v2")


def original_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Native names -> original names; tensors are not copied. Raises `ValueError` for an unknown name."""
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("audio_tokens_offsets")}
    return _renamed(kept, {native: original for original, native in _PREFIXES.items()}, "native Higgs Audio v2")


def native_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `HiggsAudioV2Config` for an original config.json.

    `dual_ffn_fast_forward` equals `dual_ffn` if every layer has an audio FFN, as in the released checkpoint: only a
    layer without one is "fast-forwarded". Raises `ValueError`, naming the settings, for an architecture that differs
    from the native class.
    """
    if differences := _differences(original):
        raise ValueError(
            f"config.json: the native Higgs Audio v2 class has another architecture: {'; '.join(differences)}. "
            f"Train this model with boson_multimodal itself (docs/boson.md)."
        )
    text = original["text_config"]
    rope = dict(text.get("rope_scaling") or {"rope_type": "default"})
    llama = {name: text[name] for name in _LLAMA if name in text}
    shared = {native: original[name] for name, native in _SHARED.items() if name in original}
    ids = {name: text[name] for name in ("bos_token_id", "eos_token_id") if name in text}
    dtype = original.get("torch_dtype") or original.get("dtype")
    return {
        **llama,
        **ids,
        **shared,
        **({} if dtype is None else {"dtype": dtype}),
        "tie_word_embeddings": False,  # neither class ties its text head, although the released config has True
        "codebook_size": original["audio_codebook_size"] + _EXTRA_CODES,
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
        "audio_codebook_size": native["codebook_size"] - _EXTRA_CODES,
        "encode_audio_in_tokens": True,
        "encode_whisper_embed": False,
        "skip_audio_tower": True,
        "use_delay_pattern": True,
        **{name: native[key] for name, key in _SHARED.items()},
    }


def open_original(directory: Path, *, use_text_head: bool = True, **arguments: Any) -> Any:
    """A native model with the weights of an original directory: config.json and safetensors, sharded or not.

    `arguments` are passed to the model's `from_pretrained` (`dtype`, …). Raises `ValueError` for another architecture,
    and for missing or unknown weights.
    """
    from safetensors.torch import load_file
    from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

    original = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config = HiggsAudioV2Config(**native_config(original), name_or_path=str(directory))
    state: dict[str, torch.Tensor] = {}
    for shard in _shards(directory):
        state |= load_file(shard)
    native = load_boson_weights(state)
    if not use_text_head:
        native.pop("text_lm_head.weight", None)
    model, loaded = HiggsAudioV2ForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=native, use_text_head=use_text_head, output_loading_info=True, **arguments
    )
    if missing := sorted(loaded["missing_keys"]):
        raise ValueError(
            f"{directory.name}: {len(missing)} tensors are missing: {', '.join(missing[:5])}. Download it again, or "
            f"open it without a text head if only text_lm_head is missing."
        )
    return model


def save_in_original_layout(model: nn.Module, directory: Path, *, tokenizer: Any = None) -> None:
    """Write a native model, or a PEFT model around one, for `boson_multimodal`: config.json and safetensors.

    `tokenizer` is saved too and determines the token ids of the config; without one the defaults of the original are
    kept. A LoRA is merged into a copy (memory for a second model); `model` itself is unchanged. Without a text head the
    directory has none either, and `boson_multimodal` initialises one at random: a warning tells so. Raises `ValueError`
    for a model whose parameters are sharded.
    """
    from huggingface_hub import save_torch_state_dict

    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise ValueError(
            "The model is sharded over ranks. Load the checkpoint that the Trainer saved and pass that model."
        )
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


def _differences(original: Mapping[str, Any]) -> list[str]:
    """The settings in which an original config differs from the native class, each with its value."""
    kind = original.get("audio_adapter_type", "stack")
    differences: list[str] = []
    if kind not in ("dual_ffn", "dual_ffn_fast_forward"):
        differences.append(f"audio_adapter_type is {kind!r}, which has no audio FFN")
    else:
        layers = range(original["text_config"]["num_hidden_layers"])
        without = sorted(set(layers) - set(original.get("audio_dual_ffn_layers") or ()))
        if without:
            differences.append(f"audio_dual_ffn_layers: layers {', '.join(map(str, without))} have no audio FFN")
    for name in _ABSENT:
        if original.get(name):
            differences.append(f"{name} is {original[name]!r}")
    if not original.get("use_delay_pattern"):
        differences.append("use_delay_pattern is false")
    return differences


def _shards(directory: Path) -> list[Path]:
    """The weight files: those of the index if there is one. Raises `ValueError` naming missing files."""
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        shards = sorted(directory.glob("*.safetensors"))
        if not shards:
            raise ValueError(f"{directory.name}: no .safetensors file there.")
        return shards
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    if missing := [name for name in names if not (directory / name).is_file()]:
        raise ValueError(f"{directory.name}: {', '.join(missing)} of {index.name} is missing. Download it again.")
    return [directory / name for name in names]


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
