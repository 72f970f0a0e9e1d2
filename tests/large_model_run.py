"""What a training of a large model logs: every scalar of the table of tags, for 28 layers and 8 codebooks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from tracker_examples import comparison

from tracker_logging import tags
from tracker_logging.events import Event, Scalars, Table
from tracker_logging.summary import SummaryKeeper
from tracker_logging.trackers.base import Tracker

LAYERS, CODEBOOKS, STEPS = 28, 8, (1, 100, 200)
_GROUPS = ("text", "reference", "target")
_COMPONENTS = ("attention_q", "attention_k", "attention_v", "attention_o", "text_ffn", "audio_ffn", "norms", "heads")
_MEMBERS: dict[str, tuple[object, ...]] = {
    "layer": tuple(range(LAYERS)),
    "codebook": tuple(range(CODEBOOKS)),
    "query": _GROUPS,
    "key": _GROUPS,
    "component": _COMPONENTS,
    "path": ("text", "audio"),
    "which": ("mean", "max"),
    "role": ("reference", "target"),
    "level": ("info", "warning", "error"),
    "part": ("generation", "scoring"),
    "name": ("learning_rate_zero",),
    "language": ("en", "de"),
    "group": ("trained", "unseen_synthetic", "unseen_real"),
    "kind": ("group",),
    "member": ("trained", "unseen_synthetic", "unseen_real"),
    "score": tuple(score.name for score in tags.SCORES),
}
_OF_GAPS = ("gap", "gap_null", "text_gap")
_PARTED = ("voices/language", "voices/group", "voices/{kind}")


def names() -> Iterator[str]:
    """Every scalar that such a training can log."""
    for tag in tags.ALL:
        if tag.kind == "scalar":
            fields = re.findall(r"\{(\w+)\}", tag.template)
            members = [_OF_GAPS if tag.template.startswith("conditioning/{which}") else _MEMBERS[f] for f in fields]
            if tag.template.startswith(_PARTED):
                members[fields.index("score")] = tags.PART_SCORES
            for chosen in itertools.product(*members):
                yield tag(**dict(zip(fields, chosen, strict=True)))
    yield from ("train/loss", "train/learning_rate", "train/grad_norm", "train/epoch")


def events(step: int) -> Iterator[Event]:
    """The events of one step."""
    yield Scalars(step=step, values={name: 1.0 / (1 + step + len(name)) for name in names()})
    yield Table(step=step, tag=tags.VOICE_TABLE(), columns=("step", "voice"), rows=((step, "rms_03"),))
    yield comparison(step, fixed=step == 1)


def write_large_model_run(tracker: Tracker, *, with_voices: bool = False) -> None:
    """Three steps and the summary of the end, then close the tracker."""
    keeper = SummaryKeeper()
    for step in STEPS:
        for event in events(step):
            if with_voices or isinstance(event, Scalars | Table):
                keeper.hear(event)
                tracker.emit(event)
    tracker.emit(keeper.summary(step=STEPS[-1]))
    tracker.close()
