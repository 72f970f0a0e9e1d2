"""docs/integrations.md: every example on the page runs, on the small model, and leaves a run."""

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from loops import ROWS, model_and_optimizer
from read_back import read_tensorboard
from test_lightning import Module
from test_strategic_logging import tokenizer, trainer
from tiny_families import higgs_collate
from torch.utils.data import DataLoader

PAGE = Path(__file__).parents[2] / "docs/integrations.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def names(directory: Path) -> dict[str, Any]:
    """What a reader has before the example begins."""
    model, optimizer = model_and_optimizer()

    def loader(rows: list) -> DataLoader:
        return DataLoader(rows, batch_size=2, collate_fn=higgs_collate)

    return {
        "torch": torch, "model": model, "optimizer": optimizer, "rows": ROWS[:8], "collate": higgs_collate,
        "loader": loader(ROWS[:8]), "evaluation_loader": loader(ROWS[8:12]), "tokenizer": tokenizer(),
        "trainer": trainer(directory / "outputs", max_steps=1), "module": Module(),
    }  # fmt: skip


def test_the_page_has_an_example_for_each_loop() -> None:
    assert len(BLOCKS) == 7


@pytest.mark.parametrize("number", range(7))
def test_an_example_runs_and_leaves_a_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lightning.seed_everything(0, verbose=False)
    exec(compile(BLOCKS[number], str(PAGE), "exec"), names(tmp_path))
    runs = [path.parent for path in tmp_path.rglob("run.json")]
    assert len(runs) == 1
    scalars = read_tensorboard(runs[0]).scalars
    assert ("outputs/nll/mean", 1) in scalars and ("gradients/norm/audio_ffn", 1) in scalars
