"""Trainings of a tiny Higgs Audio v2 by the Trainer, in a second each."""

from pathlib import Path
from typing import Any

from read_back import Run, read_jsonl
from tiny_families import higgs, higgs_collate, higgs_row
from transformers import Trainer, TrainingArguments

from tracker_logging import strategic_callbacks

ROWS = [higgs_row(5 + at % 3, 6 + at % 4, 10 * at) for at in range(12)]


def trainer(output: Path, *, callbacks: list, kind: type[Trainer] = Trainer, **options: Any) -> Trainer:
    settings = {
        "output_dir": str(output), "max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
        "remove_unused_columns": False, "save_strategy": "no", "use_cpu": True, "logging_steps": 1,
        "label_names": ["audio_labels"], "prediction_loss_only": True, "report_to": "none", "disable_tqdm": True,
        "average_tokens_across_devices": False,
    }  # fmt: skip
    model = options.pop("model", None)
    more = {name: options.pop(name) for name in ("model_init",) if name in options}
    data = {"train_dataset": ROWS, "eval_dataset": ROWS[:4]}
    data |= {name: options.pop(name) for name in data if name in options}
    if model is None and not more:
        model = higgs(text_head=False)
    return kind(
        model=model, args=TrainingArguments(**(settings | options)), data_collator=higgs_collate, callbacks=callbacks,
        **data, **more,
    )  # fmt: skip


def callbacks_for(**options: Any) -> list:
    return strategic_callbacks(**({"report_to": "jsonl", "every": 1, "budget_pct": 1e9} | options))


def runs_in(output: Path) -> dict[str, Run]:
    return {path.name: read_jsonl(path) for path in sorted((output / "runs").iterdir())}
