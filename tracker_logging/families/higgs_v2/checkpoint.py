"""Is a directory a checkpoint of the model that is trained here?

check_model_directory("models/higgs")       # raises DataError, which says what to change
"""

from __future__ import annotations

import json
from pathlib import Path

from tracker_logging.data.sample import DataError, shown

FAMILY = "higgs_audio_v2"


def check_model_directory(model_path: str) -> None:
    """Raises `DataError` for a directory without a transformers-native Higgs Audio v2.

    A hub name, which is no directory here, is left to transformers.
    """
    directory = Path(model_path)
    if not directory.exists():
        return
    try:
        found = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except FileNotFoundError:
        raise DataError(
            f"--model_path {shown(directory)}: no config.json there. Name the directory of the checkpoint."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"--model_path {shown(directory)}: its config.json cannot be read ({error}).") from error
    if found != FAMILY:
        raise DataError(
            f"--model_path {shown(directory)}: a model of type {found!r}, not {FAMILY!r}. "
            "Use a transformers-native Higgs Audio v2 checkpoint (docs/boson.md makes one)."
        )
