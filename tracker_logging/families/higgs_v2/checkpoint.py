"""Opens a Higgs Audio v2 checkpoint, in the transformers-native layout or in boson's.

    check_model_directory("models/higgs")       # raises DataError, which tells what to change
    model = open_model("models/higgs")

The released checkpoint is in boson's layout. It is converted while it is loaded; nothing is written to disk.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracker_logging.data.sample import DataError, shown
from tracker_logging.families.boson.weights import native_config, open_original

NATIVE, ORIGINAL = "higgs_audio_v2", "higgs_audio"  # `model_type` of the two layouts


def open_model(model_path: str, *, use_text_head: bool = False, **arguments: Any) -> Any:
    """A `HiggsAudioV2ForConditionalGeneration` from a directory or hub name in either layout.

    `arguments` are passed to the model's `from_pretrained` (`dtype`, …); its defaults apply, so a bfloat16 checkpoint
    gives a bfloat16 model in eval mode. Raises `DataError` for a path without such a checkpoint.
    """
    from transformers import HiggsAudioV2ForConditionalGeneration

    check_model_directory(model_path)
    if _config(model_path).get("model_type") != ORIGINAL:
        return HiggsAudioV2ForConditionalGeneration.from_pretrained(
            model_path, use_text_head=use_text_head, **arguments
        )
    try:
        return open_original(_local(model_path), use_text_head=use_text_head, **arguments)
    except ValueError as error:
        raise DataError(f"--model_path {error}") from error


def check_model_directory(model_path: str) -> None:
    """Raises `DataError` for a directory without a Higgs Audio v2 checkpoint of a supported architecture.

    A hub name, which is no directory here, is not checked: that would need the network.
    """
    directory = Path(model_path)
    if not directory.exists():
        return
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        model_type = config.get("model_type")
    except FileNotFoundError:
        raise DataError(
            f"--model_path {shown(directory)}: no config.json there. Name the directory of the checkpoint."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"--model_path {shown(directory)}: its config.json cannot be read ({error}).") from error
    if model_type not in (NATIVE, ORIGINAL):
        raise DataError(
            f"--model_path {shown(directory)}: a model of type {model_type!r}, not {NATIVE!r} (transformers) or "
            f"{ORIGINAL!r} (boson). Use a Higgs Audio v2 checkpoint. Another family, also a language model with codec "
            "tokens, is trained with a Trainer of your own and `strategic_callbacks`: see examples/codec_tokens.py and "
            "docs/adapters.md."
        )
    if model_type == ORIGINAL:
        try:
            native_config(config)
        except (ValueError, KeyError) as error:
            raise DataError(f"--model_path {shown(directory)}, {error}") from error


def _config(model_path: str) -> dict[str, Any]:
    """The content of config.json in a directory or on the hub."""
    from transformers.utils import cached_file

    try:
        file = cached_file(model_path, "config.json")
    except OSError as error:
        raise DataError(f"--model_path {model_path}: no such directory or hub model ({error}).") from error
    config: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    return config


def _local(model_path: str) -> Path:
    """The directory itself, or that of the downloaded files of a hub name."""
    from huggingface_hub import snapshot_download

    if Path(model_path).is_dir():
        return Path(model_path)
    return Path(snapshot_download(model_path, allow_patterns=["*.json", "*.safetensors"]))
