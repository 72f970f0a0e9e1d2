"""What to type and what to look at, for a person whose training has begun or ended.

print(where_to_look(Path("outputs/runs"), run_name="run", backends=["tensorboard"]))
"""

from __future__ import annotations

import shlex
import shutil
import sys
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
    return f"{as_typed('tensorboard')} --logdir {shlex.quote(str(runs))} {SAMPLES}"


def as_typed(program: str) -> str:
    """A program of this Python's environment by a name that the reader's shell finds, activated or not."""
    beside = Path(sys.executable).parent / program
    if shutil.which(program) == str(beside) or not beside.exists():
        return program
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def where_to_look(runs: Path, *, run_name: str, backends: Sequence[str]) -> str:
    """Plain text, one block per backend; empty without a backend that has something to look at."""
    blocks = []
    if "tensorboard" in backends:
        from tracker_logging.dashboards.open_run import links

        blocks.append(f"See and hear the runs:\n  {tensorboard_command(runs)}\n{_CARDS}\n{links(run_name)}")
    if "wandb" in backends:
        sync = f"{as_typed('wandb')} sync {shlex.quote(str(runs / run_name))}/wandb/offline-run-*"
        blocks.append(f"Send an offline W&B run to its server:\n  {sync}")
    return "".join(f"\n{block}\n" for block in blocks)
