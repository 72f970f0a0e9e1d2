"""How to look at a run: the TensorBoard command, and links to the Voices tab and to the most important cards.

    print(where_to_look(Path("outputs/runs"), run_name="run", backends=["tensorboard"]))
    print(how_to_open(run, shown_tags(run)))      # of `runs.tensorboard`

Guarantees
- Cards are pinned only for tags that the run has, or, while it has none, for all tags that it will have.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tracker_logging.trackers.tensorboard_names import shown_name

PINNED_SCALARS = (
    "voices/sim_o/mean",
    "voices/sim_margin/mean",
    "conditioning/gap/mean",
    "outputs/nll/mean",
    "outputs/accuracy/mean",
    "train/loss",
    "tracker/overhead_pct",
)
PINNED_IMAGES = ("outputs/accuracy_map", "attention/mass_map")
PORT = 6006

# By default TensorBoard keeps ten clips and ten pictures per tag; 0 would keep none.
SAMPLES = "--samples_per_plugin audio=1000,images=1000,text=500"


def tensorboard_command(runs: Path) -> str:
    """The command that starts TensorBoard for all runs below `runs`, with every clip and picture."""
    return f"{as_typed('tensorboard')} --logdir {shlex.quote(str(runs))} {SAMPLES}"


def as_typed(program: str) -> str:
    """A program of this Python environment as the user has to type it, whether the environment is activated or not."""
    beside = Path(sys.executable).parent / program
    if shutil.which(program) == str(beside) or not beside.exists():
        return program
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def where_to_look(runs: Path, *, run_name: str, backends: Sequence[str]) -> str:
    """Plain text, one block per backend; empty for backends without a viewer."""
    blocks = []
    if "tensorboard" in backends:
        command = f"{as_typed('tracker-logging')} open {shlex.quote(str(runs / run_name))}"
        blocks.append(f"View the run in TensorBoard (--print: only print the command and the links):\n  {command}")
    if "wandb" in backends:
        from tracker_logging.trackers.wandb_settings import offline_records  # imports wandb, which is optional

        if records := offline_records(runs / run_name):
            sync = f"{as_typed('tracker-logging')} sync {shlex.quote(str(records.parent))}"
            blocks.append(f"Upload the offline W&B run:\n  {sync}")
    return "".join(f"\n{block}\n" for block in blocks)


def where_it_is(run: Path, *, backends: Sequence[str]) -> dict[str, str]:
    """For the last line of a training: where its run is, and the command that shows it. Empty without a backend."""
    if not backends:
        return {}
    command = "open" if "tensorboard" in backends else "show"
    return {
        "run": f"{run} (summary.md, summary.json)",
        "look at it": f"{as_typed('tracker-logging')} {command} {shlex.quote(str(run))}",
    }


def how_to_open(run: Path, known: Iterable[str], *, port: int = PORT) -> str:
    """The command, the link to the Voices tab and the link to the pinned cards, each with a heading. `known`: the names
    that TensorBoard shows."""
    port_part = "" if port == PORT else f" --port {port}"
    where = links(run.name, known, port=port)
    return f"View the run:\n  {tensorboard_command(run.parent)}{port_part}\n{where}"


def links(name: str, known: Iterable[str] = (), *, port: int = PORT) -> str:
    """URLs of the Voices tab and of the pinned cards of the run `name`. `known`: the names that TensorBoard shows."""
    address = f"http://localhost:{port}"
    pinned = f"{address}/{pinned_link(name, known)}"
    return f"Voices tab:\n  {address}/#voices\nMost important curves and maps, pinned:\n  {pinned}"


def pinned_link(name: str, known: Iterable[str]) -> str:
    """The URL after the "/": Time Series with pinned cards of the run `name`."""
    present = set(known)

    def wanted(tags: tuple[str, ...]) -> list[str]:
        names = [tag if tag in present else shown_name(tag) for tag in tags]  # earlier versions wrote the tag itself
        return [name for name in names if name in present or not present]

    cards: list[dict[str, object]] = [{"plugin": "scalars", "tag": tag} for tag in wanted(PINNED_SCALARS)]
    # An image card belongs to one run. A `tagFilter` in the URL would hide the pinned cards.
    run_id = f"defaultExperimentId/{name}"
    cards += [{"plugin": "images", "tag": tag, "runId": run_id, "sample": 0} for tag in wanted(PINNED_IMAGES)]
    return f"?pinnedCards={quote(json.dumps(cards, separators=(',', ':')))}&smoothing=0#timeseries"
