"""What to type and what to look at, for a person whose training has begun or ended.

print(where_to_look(Path("outputs/runs"), run_name="run", backends=["tensorboard"]))
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

# TensorBoard keeps ten clips and ten pictures per tag unless it is told otherwise; 0 would show none.
SAMPLES = "--samples_per_plugin audio=1000,images=1000,text=500"

_CARDS = """\
  Voices        the reference beside what the model says, step by step
  Time Series   voices/spk_top1, conditioning/gap/mean, outputs/nll/mean
  Images        voices/…/mel, attention/mass_map, outputs/accuracy_map
  Text          inputs/samples, outputs/predictions, voices/table"""


def tensorboard_command(runs: Path) -> str:
    """The command that shows all runs below `runs` with every clip and picture."""
    return f"tensorboard --logdir {shlex.quote(str(runs))} {SAMPLES}"


def where_to_look(runs: Path, *, run_name: str, backends: Sequence[str]) -> str:
    """Plain text, one block per backend; empty without a backend that has something to look at."""
    blocks = []
    if "tensorboard" in backends:
        from tracker_logging.dashboards.open_run import links

        blocks.append(f"See and hear the runs:\n  {tensorboard_command(runs)}\n{_CARDS}\n{links(run_name)}")
    if "wandb" in backends:
        blocks.append(f"Send an offline W&B run to its server:\n  wandb sync {runs / run_name}/wandb/offline-run-*")
    return "".join(f"\n{block}\n" for block in blocks)
