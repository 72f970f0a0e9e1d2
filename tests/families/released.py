"""Facts of the released Higgs Audio v2 3B base checkpoint in boson's layout: its public configuration and index."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

LAYERS, TENSORS, PARAMETERS, BYTES = 28, 397, 5_771_283_456, 11_542_566_912
HIDDEN, FFN, VOCABULARY, CODEBOOKS, CODES = 3072, 8192, 128_256, 8, 1026
CONFIG: dict[str, Any] = {
    "architectures": ["HiggsAudioModel"], "model_type": "higgs_audio", "torch_dtype": "bfloat16",
    "transformers_version": "4.46.3", "audio_adapter_type": "dual_ffn_fast_forward",
    "audio_dual_ffn_layers": list(range(LAYERS)), "audio_num_codebooks": 8, "audio_codebook_size": 1024,
    "audio_stream_bos_id": 1024, "audio_stream_eos_id": 1025, "audio_ffn_hidden_size": 3072,
    "audio_ffn_intermediate_size": 8192, "audio_embed_avg": False, "audio_decoder_proj_num_layers": 0,
    "encode_audio_in_tokens": True, "encode_whisper_embed": False, "skip_audio_tower": True, "use_delay_pattern": True,
    "use_audio_out_embed_projector": False, "use_audio_out_self_attention": 0, "use_rq_transformer": False,
    "pad_token_id": 128001, "hidden_size": 3072, "audio_in_token": "<|AUDIO|>", "audio_in_token_idx": 128015,
    "audio_out_token": "<|AUDIO_OUT|>", "audio_out_token_idx": 128016, "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>", "audio_eos_token_id": 128012, "audio_out_bos_token": "<|audio_out_bos|>",
    "audio_out_bos_token_id": 128013,
    "text_config": {
        "model_type": "llama", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": LAYERS,
        "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": VOCABULARY,
        "rope_theta": 500000.0, "rms_norm_eps": 1e-05, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
}  # fmt: skip
CODEC_CONFIG = {
    "sample_rate": 24000, "n_filters": 32, "D": 256, "codebook_dim": 64, "bins": 1024, "n_q": 8,
    "ratios": [8, 5, 4, 2, 3], "target_bandwidths": [0.5, 1, 1.5, 2, 4], "semantic_techer": "hubert_base_general",
}  # fmt: skip
SPECIAL_TOKENS = {
    "<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|start_header_id|>": 128006, "<|end_header_id|>": 128007,
    "<|eot_id|>": 128009, "<|audio_bos|>": 128011, "<|audio_eos|>": 128012, "<|audio_out_bos|>": 128013,
    "<|reserved_special_token_6|>": 128014, "<|AUDIO|>": 128015, "<|AUDIO_OUT|>": 128016, "<|recipient|>": 128017,
    "<|scene_desc_start|>": 128018, "<|scene_desc_end|>": 128019, "<|generation_instruction_start|>": 128020,
    "<|generation_instruction_end|>": 128021,
}  # fmt: skip


def shapes(
    layers: int,
    *,
    hidden: int = HIDDEN,
    ffn: int = FFN,
    heads: int = 24,
    kv_heads: int = 8,
    vocabulary: int = VOCABULARY,
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, as the index of the checkpoint lists them. Heads have 128 dimensions."""
    tensors = {
        "embed_tokens.weight": (vocabulary, hidden), "norm.weight": (hidden,),
        "audio_codebook_embeddings.weight": (CODEBOOKS * CODES, hidden),
        "audio_decoder_proj.audio_lm_head.weight": (CODEBOOKS * CODES, hidden),
        "audio_decoder_proj.text_lm_head.weight": (vocabulary, hidden),
    }  # fmt: skip
    for layer in range(layers):
        for name, rows in (("q", heads * 128), ("k", kv_heads * 128), ("v", kv_heads * 128)):
            tensors[f"layers.{layer}.self_attn.{name}_proj.weight"] = (rows, hidden)
        tensors[f"layers.{layer}.self_attn.o_proj.weight"] = (hidden, heads * 128)
        for mlp in ("mlp", "audio_mlp"):
            tensors[f"layers.{layer}.{mlp}.gate_proj.weight"] = (ffn, hidden)
            tensors[f"layers.{layer}.{mlp}.up_proj.weight"] = (ffn, hidden)
            tensors[f"layers.{layer}.{mlp}.down_proj.weight"] = (hidden, ffn)
        for norm in ("input", "post_attention", "audio_input", "audio_post_attention"):
            tensors[f"layers.{layer}.{norm}_layernorm.weight"] = (hidden,)
    return tensors


def config(layers: int = LAYERS, **text: Any) -> dict[str, Any]:
    """config.json, with fewer layers or other values of `text_config`."""
    changed = copy.deepcopy(CONFIG)
    changed["text_config"] |= {"num_hidden_layers": layers, **text}
    changed["audio_dual_ffn_layers"] = list(range(layers))
    return changed


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word, with the released ids of the special tokens."""
    words = {word: number for number, word in enumerate(["<|unknown|>", "system", "user", "assistant", "the", "boat"])}
    model = Tokenizer(models.WordLevel(words | SPECIAL_TOKENS, unk_token="<|unknown|>"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<|unknown|>", bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>",
        pad_token="<|end_of_text|>", additional_special_tokens=list(SPECIAL_TOKENS),
    )  # fmt: skip


def write_checkpoint(directory: Path, settings: dict[str, Any], tensors: dict[str, tuple[int, ...]]) -> None:
    """Random bfloat16 weights in three shards with an index, config.json and the tokenizer."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.empty(999_983, dtype=torch.bfloat16).normal_(std=0.02, generator=generator)  # a prime length
    weights = {
        name: torch.ones(shape, dtype=torch.bfloat16)
        if len(shape) == 1
        else noise[torch.arange(math.prod(shape)) % len(noise)].view(shape)
        for name, shape in tensors.items()
    }
    names = sorted(weights)
    weight_map: dict[str, str] = {}
    for number in range(3):
        file = f"model-{number + 1:05d}-of-00003.safetensors"
        shard = {name: weights[name] for name in names[number::3]}
        save_file(shard, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": sum(2 * own.numel() for own in weights.values())}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "config.json").write_text(json.dumps(settings))
    tokenizer().save_pretrained(directory)
