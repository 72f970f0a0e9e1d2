"""How to look at a run in TensorBoard: the exact command, and links that show what matters.

    print(how_to_open(Path("outputs/runs/a")))

Guarantees
- Cards are pinned only for tags that the run has; a run without any yet gets the list of what it will have.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

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
SAMPLES = "audio=1000,images=1000,text=500"  # "=0" shows nothing in TensorBoard 2.21, and the default keeps ten steps
PORT = 6006


def how_to_open(run: Path, *, port: int = PORT) -> str:
    """Command, link to the Voices tab and link to the pinned cards, one to a line with a heading each."""
    address = f"http://localhost:{port}"
    return "\n".join(
        (
            "See and hear the run:",
            f"  {command(run, port=port)}",
            "Voices, side by side:",
            f"  {address}/#voices",
            "Curves and maps that matter, pinned:",
            f"  {address}/{pinned_link(run.name, tags_of(run))}",
        )
    )


def command(run: Path, *, port: int = PORT) -> str:
    """The command that shows the run beside its siblings."""
    port_part = "" if port == PORT else f" --port {port}"
    return f"tensorboard --logdir {shlex.quote(str(run.parent))} --samples_per_plugin {SAMPLES}{port_part}"


def pinned_link(name: str, known: Iterable[str]) -> str:
    """The part of the address after the "/": Time Series with pinned cards of the run called `name`."""
    present = set(known)

    def wanted(tags: tuple[str, ...]) -> list[str]:
        return [tag for tag in tags if tag in present or not present]

    cards: list[dict[str, object]] = [{"plugin": "scalars", "tag": tag} for tag in wanted(PINNED_SCALARS)]
    # An image card belongs to one run; a `tagFilter` in the address would hide the pins.
    run_id = f"defaultExperimentId/{name}"
    cards += [{"plugin": "images", "tag": tag, "runId": run_id, "sample": 0} for tag in wanted(PINNED_IMAGES)]
    return f"?pinnedCards={quote(json.dumps(cards, separators=(',', ':')))}&smoothing=0#timeseries"


def tags_of(run: Path) -> frozenset[str]:
    """The tags in the event files of a run so far."""
    from tensorboard.compat.proto import event_pb2

    from tracker_logging.trackers.event_file import records

    return frozenset(
        value.tag
        for path in sorted(run.glob("*.tfevents.*"))
        for data in records(path)
        for value in event_pb2.Event.FromString(data).summary.value
    )
