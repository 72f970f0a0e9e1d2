"""A demo of a few samples and a smaller model, for trainings of a few steps that need learn nothing."""

import json
from pathlib import Path
from typing import Any

from tracker_logging.demo.model import demo_config, demo_model

KEPT = {"train.json": 24, "eval.json": 2}
SMALL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "initializer_range": 0.125,
}  # fmt: skip


def small_model(seed: int = 0) -> Any:
    """The demo's model with half its layers and a quarter of its width, in training mode; no RNG is changed."""
    from transformers import HiggsAudioV2Config

    return demo_model(seed, HiggsAudioV2Config.from_dict(demo_config().to_dict() | SMALL))


def lay_out(demo: Path, output: Path) -> Path:
    """Puts a small model, the demo's codec and its first samples where `--demo composed` looks for them.

    What is neither cut short nor made smaller are links to `demo`.
    """
    (output / "demo").mkdir(parents=True)
    for part in demo.iterdir():
        here = output / "demo" / part.name
        if part.name in KEPT:
            here.write_text(json.dumps(json.loads(part.read_text())[: KEPT[part.name]]))
        elif part.name != "model":
            here.symlink_to(part)
    small_model().save_pretrained(output / "demo" / "model")
    for part in (demo / "model").iterdir():
        here = output / "demo" / "model" / part.name
        if not here.exists():
            here.symlink_to(part)
    return output
