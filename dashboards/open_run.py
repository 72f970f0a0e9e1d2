"""How to look at a run in TensorBoard: the exact command, and links that show what matters.

    print(how_to_open(Path("outputs/runs/a")))

Guarantees
- Cards are pinned only for tags that the run has; a run without any yet gets the list of what it will have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from tracker_logging.where_to_look import tensorboard_command

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


def how_to_open(run: Path, *, port: int = PORT) -> str:
    """Command, link to the Voices tab and link to the pinned cards, one to a line with a heading each."""
    port_part = "" if port == PORT else f" --port {port}"
    where = links(run.name, tags_of(run), port=port)
    return f"See and hear the run:\n  {tensorboard_command(run.parent)}{port_part}\n{where}"


def links(name: str, known: Iterable[str] = (), *, port: int = PORT) -> str:
    """Addresses of the Voices tab and of the pinned cards of the run called `name`."""
    address = f"http://localhost:{port}"
    pinned = f"{address}/{pinned_link(name, known)}"
    return f"Voices, side by side:\n  {address}/#voices\nCurves and maps that matter, pinned:\n  {pinned}"


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
