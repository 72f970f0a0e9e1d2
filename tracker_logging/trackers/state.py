"""What a checkpoint must hold so that a resumed training continues in the same runs of its backends.

checkpoint["trackers"] = state_of(tracker, step=500)
run = resumed(RunInfo(name="a"), checkpoint["trackers"])    # purge_step 501, the same W&B run
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tracker_logging.trackers.base import RunInfo, Tracker


def state_of(tracker: Tracker, *, step: int) -> dict[str, Any]:
    """Plain values (JSON): the step up to which the run is complete, and the ids of runs that live elsewhere.

    Flush the tracker first. A backend without an id is left out.
    """
    ids = {type(part).__name__: part.run_id for part in _inside(tracker) if getattr(part, "run_id", None)}
    return {"step": step, "run_ids": ids}


def resumed(run: RunInfo, state: Mapping[str, Any]) -> RunInfo:
    """`run`, continued after the checkpoint that holds `state`.

    `state["waiting"]`, if present: {callback's name: {"GROUP/STEP": work that will be done again}};
    other keys are ignored.
    """
    return replace(
        run,
        run_id=state["run_ids"].get("WandbTracker", run.run_id),
        purge_step=int(state["step"]) + 1,
        again=frozenset(
            key for work in state.get("waiting", {}).values() for key in work if key.rpartition("/")[2].isdigit()
        ),
    )


def _inside(tracker: Any) -> Iterator[Any]:
    """The tracker and every tracker within it."""
    yield tracker
    inner = getattr(tracker, "inner", None)
    for part in (*getattr(tracker, "trackers", ()), *((inner,) if inner is not None else ())):
        yield from _inside(part)
