import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "probes"))

from small_model import small_model, two_samples

from tracker_logging.families.boson.weights import (
    load_boson_weights,
    native_config,
    open_original,
    original_config,
    original_weights,
    save_in_original_layout,
)


def test_the_round_trip_gives_identical_tensors_under_identical_names() -> None:
    state = small_model(text_head=True).state_dict()
    original = original_weights(state)
    assert "audio_codebook_embeddings.weight" in original
    assert "audio_decoder_proj.audio_lm_head.weight" in original
    assert "layers.0.audio_mlp.up_proj.weight" in original
    back = load_boson_weights(original)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], own) for name, own in state.items())


def test_a_saved_folder_gives_the_same_model(tmp_path: Path) -> None:
    model = small_model(text_head=True).eval()
    save_in_original_layout(model, tmp_path)
    again = open_original(tmp_path).eval()
    state = again.state_dict()
    assert all(torch.equal(state[name], own) for name, own in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(again(**two_samples()).logits, model(**two_samples()).logits)


def test_the_config_round_trips_with_and_without_rope_scaling() -> None:
    native = small_model().config.to_dict()
    native["rope_parameters"] = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 0.125,
                                 "high_freq_factor": 0.5, "original_max_position_embeddings": 1024}  # fmt: skip
    back = native_config(original_config(native))
    assert back.pop("dtype") == "float32"
    assert {name: native[name] for name in back} == back
    assert original_config(native)["audio_codebook_size"] == native["codebook_size"] - 2


def test_a_lora_is_saved_merged_and_left_unchanged(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(small_model(text_head=True), LoraConfig(r=2, target_modules=["q_proj", "up_proj"])).eval()
    with torch.no_grad():
        for name, own in model.named_parameters():
            if "lora_B" in name:
                own.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
        expected = model(**two_samples()).logits
    before = {name: own.clone() for name, own in model.state_dict().items()}
    save_in_original_layout(model, tmp_path)
    assert all(torch.equal(own, before[name]) for name, own in model.state_dict().items())
    saved = load_file(tmp_path / "model.safetensors")
    assert not any("lora" in name for name in saved)
    with torch.no_grad():
        merged = open_original(tmp_path).eval()(**two_samples()).logits
        base = small_model(text_head=True).eval()(**two_samples()).logits
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)
    assert (base - expected).abs().max() > 0.01


def test_shards_are_read_together(tmp_path: Path) -> None:
    model = small_model(text_head=True)
    state = original_weights(model.state_dict())
    names = sorted(state)
    for number, part in enumerate((names[:9], names[9:]), start=1):
        save_file({name: state[name] for name in part}, tmp_path / f"model-{number:05d}-of-00002.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(original_config(model.config.to_dict())))
    read = open_original(tmp_path).state_dict()
    assert all(torch.equal(read[name], own) for name, own in model.state_dict().items())


def test_an_audio_tower_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    state = original_weights(small_model().state_dict()) | {"audio_tower.conv1.weight": torch.zeros(1)}
    with caplog.at_level(logging.WARNING):
        native = load_boson_weights(state)
    assert "1 tensors of an audio tower are left out" in caplog.text
    assert native.keys() == small_model().state_dict().keys()


def test_an_unknown_tensor_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 tensors do not belong to the original layout.*rq_transformer\.weight"):
        load_boson_weights({"rq_transformer.weight": torch.zeros(1)})


def test_a_model_without_text_head_is_saved_without_one_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_in_original_layout(small_model(), tmp_path / "out")
    assert "has no text head" in caplog.text
    assert not any("text_lm_head" in name for name in load_file(tmp_path / "out" / "model.safetensors"))


@pytest.mark.parametrize(
    "change",
    [{"audio_adapter_type": "stack"}, {"audio_dual_ffn_layers": [0]}, {"use_delay_pattern": False}],
)
def test_an_architecture_that_the_native_class_cannot_hold_is_refused(change: dict[str, object]) -> None:
    config = original_config(small_model().config.to_dict()) | change
    with pytest.raises(ValueError, match=next(iter(change))):
        native_config(config)
