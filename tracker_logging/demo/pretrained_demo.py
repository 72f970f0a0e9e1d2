"""The demo that `--demo` trains: a pretrained zero-shot model; model, codec and clips are in this package.

Six new speakers are trained in the demo, beside some that the model was pretrained on. Eight synthetic ones and five
people are in no training data: neither of pretraining (`pretrain/`) nor of the demo. What each clip is and where it
comes from: `pretrained/README.md`.

    paths = pretrained_demo()
    paths.model, paths.codec, paths.train, paths.eval, paths.prompts
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import user_cache
from tracker_logging.data.codes import cannot_keep
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.whole_file import whole_file

DIRECTORY = Path(__file__).parent / "pretrained"
CODES = "codes"  # of all its clips, below `DIRECTORY`
TRAINED, UNSEEN, REAL = "trained speakers", "unseen synthetic speakers", "unseen real speakers"
"""The groups of the prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedRecipe:
    """Hyperparameters of the fine-tuning, for two CPU cores. Names as of the flags of `train_v2_ddp.py`."""

    max_steps: int = 120
    per_device_train_batch_size: int = 8
    learning_rate: float = 1e-5
    warmup_steps: int = 10
    lr_scheduler_type: str = "linear"
    seed: int = 42
    logging_steps: int = 10
    strategic_logging_steps: int = 10
    voice_steps: int = 30
    eval_steps: int = 30
    save_steps: int = 30
    logging_budget_pct: float = 50.0  # its steps are short, so voices take a large share
    per_device_eval_batch_size: int = 8
    voice_max_clips: int = 30
    voice_temperature: float = 0.2
    voice_timeout_s: float = 600.0  # its voices take longer than its steps: wait for all scores


PRETRAINED_RECIPE = PretrainedRecipe()


def pretrained_demo() -> DemoPaths:
    """The demo. The codes of its clips are copied into the user's cache, where those of others are added. Raises
    `DataError` where the cache cannot be written."""
    cache = user_cache() / "demo-codes"
    try:
        for path in (DIRECTORY / CODES).rglob("*.npy"):
            place = cache / path.parent.name / path.name
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(place) as part:
                    part.write_bytes(path.read_bytes())
    except OSError as error:
        raise cannot_keep(cache, error, instead="choose another folder with XDG_CACHE_HOME") from error
    return DemoPaths(DIRECTORY, code_cache=cache)
