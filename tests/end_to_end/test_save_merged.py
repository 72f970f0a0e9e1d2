"""`--save_merged` leaves a folder that `boson_multimodal` reads, with the LoRA in its weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from short_demo import lay_out

from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.families.boson.weights import load_boson_weights
from train_v2_ddp import main


@pytest.mark.slow
def test_a_lora_is_merged_into_the_originals_layout(tmp_path: Path, demo: Path) -> None:
    lay_out(demo, tmp_path)
    argv = ["--demo=composed", "--max_steps", "2", "--per_device_train_batch_size", "1", "--disable_eval", "--use_lora"]
    assert main([*argv, "--learning_rate", "0.01", "--save_merged", "--output_dir", str(tmp_path)]) == 0
    merged = tmp_path / "merged"
    weights = load_boson_weights(load_file(merged / "model.safetensors"))
    before = load_file(tmp_path / "demo" / "model" / "model.safetensors")
    moved = {name for name, own in weights.items() if not torch.equal(own, before[name])}
    assert moved
    assert all(name.endswith("_proj.weight") for name in moved)
    config, vocabulary = json.loads((merged / "config.json").read_text()), demo_tokenizer().get_vocab()
    assert config["model_type"] == "higgs_audio"
    assert config["audio_eos_token_id"] == vocabulary["<|audio_eos|>"]
    assert (merged / "tokenizer.json").is_file()
