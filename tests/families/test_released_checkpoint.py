"""The released checkpoint is in boson's layout with `dual_ffn_fast_forward`: opened, trained, saved and reopened."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import released
import torch
from safetensors import safe_open
from transformers import (
    AutoTokenizer,
    HiggsAudioV2Config,
    HiggsAudioV2ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from tracker_logging.data.sample import DataError
from tracker_logging.families import IGNORE, adapter_for
from tracker_logging.families.boson.weights import (
    native_config,
    open_original,
    original_config,
    original_weights,
    save_in_original_layout,
)
from tracker_logging.families.delay_pattern import apply_delay
from tracker_logging.families.higgs_v2.checkpoint import check_model_directory, open_model
from tracker_logging.families.higgs_v2.layout import SpecialTokens

SMALL = {"hidden_size": 256, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
SMALL_SHAPES = {"hidden": 256, "ffn": 128, "heads": 2, "kv_heads": 1}


def digests(directory: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.glob("*.safetensors")}


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors of all shards, read without the code under test."""
    tensors: dict[str, torch.Tensor] = {}
    for file in directory.glob("*.safetensors"):
        with safe_open(file, "pt") as shard:
            tensors |= {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118
    return tensors


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two narrow layers with the released vocabulary, codebooks and tokens."""
    directory = tmp_path_factory.mktemp("released")
    shapes = released.shapes(2, **SMALL_SHAPES)
    released.write_checkpoint(directory, released.config(2, **SMALL), shapes)
    return directory


def batch(codebooks: int = released.CODEBOOKS) -> dict[str, torch.Tensor]:
    """Two samples: `<|audio_out_bos|>`, the placeholders of five frames, `<|audio_eos|>`, `<|eot_id|>`."""
    tokens = SpecialTokens.of(released.tokenizer())
    frames = torch.stack(
        [
            apply_delay(
                torch.randint(0, 1024, (codebooks, 5), generator=torch.Generator().manual_seed(seed)),
                bos=1024,
                eos=1025,
            )
            for seed in range(2)
        ]
    )
    placeholders = [tokens.audio_out] * (frames.shape[1] - codebooks + 1) + [tokens.delay] * (codebooks - 1)
    row = [128000, 4, 5, tokens.audio_out_bos, *placeholders, tokens.audio_eos, tokens.end_of_turn]
    labels = frames.masked_fill(frames == 1024, IGNORE).masked_fill((frames == 1025).cumsum(1) > 1, IGNORE)
    return {
        "input_ids": torch.tensor([row, row]), "attention_mask": torch.ones(2, len(row), dtype=torch.int64),
        "audio_input_ids": frames, "audio_input_ids_mask": torch.ones(frames.shape[:2], dtype=torch.bool),
        "audio_labels": labels,
    }  # fmt: skip


def test_the_skeleton_has_the_names_shapes_and_size_of_the_released_checkpoint() -> None:
    with torch.device("meta"):
        model = HiggsAudioV2ForConditionalGeneration(
            HiggsAudioV2Config(**native_config(released.CONFIG)), use_text_head=True
        )
    skeleton = {name: tuple(tensor.shape) for name, tensor in original_weights(model.state_dict()).items()}
    assert skeleton == released.shapes(released.LAYERS)
    assert len(skeleton) == released.TENSORS
    assert sum(math.prod(shape) for shape in skeleton.values()) == released.PARAMETERS
    assert released.PARAMETERS * 2 == released.BYTES


def test_the_config_has_the_released_values() -> None:
    config = HiggsAudioV2Config(**native_config(released.CONFIG))
    assert (config.num_codebooks, config.codebook_size) == (8, 1026)
    assert (config.audio_stream_bos_id, config.audio_stream_eos_id) == (1024, 1025)
    ids = (config.audio_token_id, config.audio_bos_token_id, config.audio_delay_token_id, config.pad_token_id)
    assert ids == tuple(
        released.SPECIAL_TOKENS[token]
        for token in ("<|AUDIO_OUT|>", "<|audio_out_bos|>", "<|reserved_special_token_6|>", "<|end_of_text|>")
    )
    assert config.rope_parameters == released.CONFIG["text_config"]["rope_scaling"] | {"rope_theta": 500000.0}
    assert config.dtype == torch.bfloat16 and config.tie_word_embeddings is False


def test_the_released_tokenizer_is_opened_from_the_same_directory(small: Path) -> None:
    tokens = SpecialTokens.of(AutoTokenizer.from_pretrained(small))
    assert (tokens.audio_out, tokens.delay, tokens.audio_out_bos, tokens.audio_eos) == (128016, 128014, 128013, 128012)
    assert (tokens.end_of_turn, tokens.pad) == (128009, 128001)


def test_both_adapter_types_give_the_same_config_if_every_layer_has_an_audio_ffn() -> None:
    dual = released.CONFIG | {"audio_adapter_type": "dual_ffn"}
    assert native_config(dual) == native_config(released.CONFIG)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audio_dual_ffn_layers": list(range(26))}, "layers 26, 27 have no audio FFN"),
        ({"audio_adapter_type": "dual_ffn", "audio_dual_ffn_layers": [*range(3), *range(4, 28)]}, "layers 3 have no"),
        ({"audio_adapter_type": "stack"}, "audio_adapter_type is 'stack', which has no audio FFN"),
        ({"use_rq_transformer": True}, "use_rq_transformer is True"),
        ({"audio_decoder_proj_num_layers": 2}, "audio_decoder_proj_num_layers is 2"),
        ({"use_audio_out_self_attention": 1}, "use_audio_out_self_attention is 1"),
        ({"use_delay_pattern": False}, "use_delay_pattern is false"),
    ],
)
def test_another_architecture_is_refused_by_name(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*boson_multimodal itself"):
        native_config(released.CONFIG | change)
    (tmp_path / "config.json").write_text(json.dumps(released.CONFIG | change))
    for refuse in (check_model_directory, open_model):
        with pytest.raises(DataError, match=f"--model_path .*{tmp_path.name}, config.json: .*{reason}"):
            refuse(str(tmp_path))


def test_a_directory_of_boson_opens_as_the_same_weights_in_bfloat16(small: Path) -> None:
    before = digests(small)
    model = open_model(str(small), use_text_head=True)
    assert isinstance(model, HiggsAudioV2ForConditionalGeneration)
    written = weights_of(small)
    opened = original_weights(model.state_dict())
    assert opened.keys() == written.keys()
    assert all(torch.equal(opened[name], tensor) for name, tensor in written.items())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert sorted(path.suffix for path in small.iterdir()).count(".safetensors") == 3
    with torch.no_grad():  # opened weights are mapped into memory: changing them must not reach the file
        model.model.norm.weight.add_(1)
    assert digests(small) == before


def test_the_text_head_is_left_out_unless_asked_for(small: Path) -> None:
    assert open_model(str(small)).text_lm_head is None
    assert open_model(str(small), dtype=torch.float32).dtype == torch.float32


def test_a_missing_shard_and_a_missing_tensor_are_errors(small: Path, tmp_path: Path) -> None:
    for file in small.iterdir():
        if file.name != "model-00002-of-00003.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match=r"model-00002-of-00003\.safetensors of .*index\.json is missing"):
        open_model(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(DataError, match=r"\d+ tensors are missing: .*model\."):
        open_model(str(tmp_path))


def test_a_checkpoint_trains_is_saved_in_both_layouts_and_reopens(small: Path, tmp_path: Path) -> None:
    model = open_model(str(small), dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = [{name: tensor[row] for name, tensor in batch().items()} for row in range(2)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=2, learning_rate=1e-2, optim="sgd",
        report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    trained = model.state_dict()
    changed = {name for name, tensor in trained.items() if not torch.equal(tensor, before[name])}
    assert {"audio_lm_head.weight", "model.layers.1.audio_mlp.down_proj.weight"} <= changed
    trainer.save_model(str(tmp_path / "native"))
    save_in_original_layout(model, tmp_path / "original", tokenizer=released.tokenizer())
    for directory in (tmp_path / "native", tmp_path / "original"):
        reopened = open_model(str(directory)).state_dict()
        assert reopened.keys() == trained.keys()
        assert all(torch.equal(reopened[name], tensor) for name, tensor in trained.items())
    saved = json.loads((tmp_path / "original" / "config.json").read_text())
    facts = released.config(2, **SMALL)
    same = ("audio_dual_ffn_layers", "audio_num_codebooks", "audio_codebook_size", "audio_in_token_idx",
            "audio_out_token_idx", "audio_eos_token_id", "audio_out_bos_token_id", "pad_token_id", "use_delay_pattern",
            "encode_audio_in_tokens", "skip_audio_tower", "audio_stream_bos_id", "audio_stream_eos_id")  # fmt: skip
    assert {name: saved[name] for name in same} == {name: facts[name] for name in same}
    assert saved["text_config"]["rope_scaling"] == facts["text_config"]["rope_scaling"]


def test_a_hub_name_in_bosons_layout_is_opened_from_the_cache(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants
    import transformers.utils.hub

    snapshot = tmp_path / "models--someone--higgs" / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(small)
    refs = tmp_path / "models--someone--higgs" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0123abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(transformers.utils.hub.constants, "HF_HUB_CACHE", str(tmp_path))
    opened = original_weights(open_model("someone/higgs").state_dict())
    written = weights_of(small)
    del written["audio_decoder_proj.text_lm_head.weight"]
    assert opened.keys() == written.keys()
    assert all(torch.equal(opened[name], tensor) for name, tensor in written.items())


@pytest.mark.slow
def test_two_layers_of_the_released_size_are_opened_and_trained_a_step(tmp_path: Path) -> None:
    shapes = released.shapes(2)
    del shapes["audio_decoder_proj.text_lm_head.weight"]  # 0.8 GB that the loss of audio does not use
    released.write_checkpoint(tmp_path, released.config(2), shapes)
    model = open_original(tmp_path, use_text_head=False)
    assert model.dtype == torch.bfloat16
    for parameter in model.model.embed_tokens.parameters():
        parameter.requires_grad_(False)  # 0.8 GB of gradients that show nothing new
    nll = adapter_for(model).audio_nll(batch())
    loss = model.train()(**batch()).loss
    assert loss.item() == pytest.approx(float(nll.mean(dim=0).sum()), rel=2e-2)  # both samples have as many labels
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.01)
    model.zero_grad()
    with torch.no_grad():
        assert model(**batch()).loss < loss


def test_the_config_of_a_native_model_round_trips() -> None:
    native = HiggsAudioV2Config(**native_config(released.CONFIG)).to_dict()
    back = native_config(original_config(native))
    assert {name: native[name] for name in back} == back
