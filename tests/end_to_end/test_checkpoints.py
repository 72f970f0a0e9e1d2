"""What a training loads and saves: the precision of its weights, and directories that it opens again."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.memory import parameter_count
from train_v2_ddp import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model with bf16 weights, as the released checkpoint has them."""
    source, target = DemoPaths(demo).model, tmp_path_factory.mktemp("released")
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            (target / path.name).write_bytes(path.read_bytes())
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    weights = {name: weight.to(torch.bfloat16) for name, weight in load_file(source / "model.safetensors").items()}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def flags(demo: Path, model: Path, output: Path) -> list[str]:
    paths = DemoPaths(demo)
    data = output / "few.json"
    output.mkdir(exist_ok=True)
    rows = json.loads(paths.train.read_text())[:4]
    for row in rows:  # paths in the file are relative to it
        for message in row["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part.get("audio_url"):
                    part["audio_url"] = str((paths.train.parent / part["audio_url"]).resolve())
    data.write_text(json.dumps(rows))
    return [
        "--model_path", str(model), "--audio_tokenizer_path", str(paths.codec), "--train_data_file", str(data),
        "--code_cache", str(paths.codes), "--output_dir", str(output), "--disable_eval", "--max_steps", "1",
        "--per_device_train_batch_size", "2", "--save_steps", "1", "--logging_steps", "1", "--report_to", "none",
        "--warmup_steps", "0",
    ]  # fmt: skip


def dtypes(path: Path) -> set[str]:
    with safe_open(path, framework="pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - safetensors has no iterator


@pytest.mark.setting("Precision and kernels", "a bf16 checkpoint", "trained in float32")
def test_a_bf16_checkpoint_is_trained_in_float32_and_opens_again(
    demo: Path, released: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = tmp_path / "first"
    with caplog.at_level(logging.INFO):
        assert main(flags(demo, released, first)) == 0
    parameters = sum(weight.numel() for weight in load_file(released / "model.safetensors").values())
    assert f"The model has {parameters / 1e6:.1f} million parameters" in caplog.text
    assert dtypes(released / "model.safetensors") == {"BF16"}
    for saved in (first, first / "checkpoint-1"):
        assert dtypes(saved / "model.safetensors") == {"F32"}
        assert main(flags(demo, saved, tmp_path / f"from-{saved.name}")) == 0


def test_the_dtype_of_the_weights_can_be_chosen(demo: Path, released: Path, tmp_path: Path) -> None:
    assert main([*flags(demo, released, tmp_path / "a"), "--dtype", "bfloat16"]) == 0
    assert dtypes(tmp_path / "a" / "model.safetensors") == {"BF16"}


@pytest.mark.setting("Precision and kernels", "LoRA on a bf16 base", "adapters in float32")
def test_adapters_are_trained_in_float32_on_a_bf16_base(demo: Path, released: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    assert main([*flags(demo, released, tmp_path / "a"), "--use_lora"]) == 0
    saved = tmp_path / "a" / "adapter_model.safetensors"
    assert dtypes(saved) == {"F32"}
    assert main(flags(demo, tmp_path / "a", tmp_path / "continued")) == 0
    first, second = load_file(saved), load_file(tmp_path / "continued" / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_the_number_of_parameters_is_that_of_the_files(demo: Path, released: Path) -> None:
    weights = load_file(DemoPaths(demo).model / "model.safetensors")
    assert parameter_count(released) == sum(weight.numel() for weight in weights.values())


def test_workers_of_the_data_loader_find_the_codes_prepared(demo: Path, released: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    argv = flags(demo, released, tmp_path / "a")
    argv[argv.index("--code_cache") + 1] = str(codes)
    assert main([*argv, "--dataloader_num_workers", "1"]) == 0
    assert len(list(codes.rglob("*.npy"))) >= 2
