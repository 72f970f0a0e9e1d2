"""Events that tests send: one of each kind, with the values that break things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tracker_logging.events import (
    Alert,
    AlertLevel,
    Audio,
    Checkpoint,
    Clip,
    Event,
    Finding,
    Findings,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Summary,
    SummaryValue,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.trackers.base import Tracker

RATE = 24_000
HOSTILE = "a|b\n<script>alert(1)</script> \x1b[31mred\x1b[0m \x00 \u202eturned \ud800 `x` **y** [z](javascript:1)"


def clip(seconds: float = 0.25, *, hz: float = 220.0, level: float = 0.3, caption: str = "") -> Clip:
    """A sine of `level`."""
    time = np.arange(int(seconds * RATE)) / RATE
    samples = (level * np.sin(2 * np.pi * hz * time)).astype(np.float32)
    return Clip(samples=samples, sample_rate=RATE, caption=caption)


def comparison(step: int = 1, *, voice_id: str = "rms_03", fixed: bool = True) -> VoiceComparison:
    """A voice with all four clips, pitch and scores."""
    clips = {
        "reference": clip(0.2, hz=110),
        "target": clip(0.3, hz=120),
        "codec": clip(0.3, hz=120, level=0.2),
        "generated": clip(0.25 + 0.01 * step, hz=100 + step, level=0.01),
    }
    return VoiceComparison(
        step=step,
        voice_id=voice_id,
        clips=clips,
        reference_text="The young woman found a blue door.",
        target_text="The old man painted a red boat.",
        speaker="rms",
        group="trained",
        transcript="the old man",
        stop_reason="eos",
        scores={"sim_o": 0.5 + 0.01 * step},
        pitch_hz={"generated": np.array([100.0, np.nan, 120.0], np.float32)},
        sampling={"temperature": 0.8, "top_p": 1.0, "seed": 3, "prompt_seed": 4294967295},
        new_fixed_clips=fixed,
    )


def voice_scores(step: int, *voices: str) -> Table:
    """The table of a round."""
    rows = tuple((step, voice, 0.5, HOSTILE) for voice in voices)
    return Table(step=step, tag="voices/table", columns=("step", "voice", "sim_o", "target text"), rows=rows)


def voice_round(step: int, voice_id: str = "rms_03") -> list[Event]:
    """The events of a round in the order in which training emits them: clips, scores, the completed voice."""
    voice = comparison(step, voice_id=voice_id)
    captions = {"generated": f"generated at step {step}"}  # as `voices.clips` names them
    clips = {name: replace(clip, caption=captions.get(name, name)) for name, clip in voice.clips.items()}
    voice = replace(voice, clips=clips)
    scored = replace(voice, stage="scored")
    return [replace(voice, stage="generated", scores={}), voice_scores(step, voice_id), scored]


def heatmap(step: int = 1) -> Heatmap:
    """3 × 5 with a hole and labels."""
    values = np.arange(15, dtype=np.float32).reshape(3, 5) * step
    values[1, 2] = np.nan
    return Heatmap(
        values=values,
        title="Mass",
        row_axis="layer",
        column_axis="relation",
        row_labels=("0", "1", "2"),
        column_labels=tuple("abcde"),
        column_boundaries=((0, "text"), (2, "target")),
        unit="share",
    )


def finding(
    name: str = "no_gradient", *, level: AlertLevel = "error", since: int | None = 1, until: int | None = None
) -> Finding:
    """A finding with a hostile text."""
    return Finding(
        name=name,
        level=level,
        seen=HOSTILE,
        cause="a | cause",
        certainty="likely",
        fix="a fix.",
        since=since,
        until=until,
    )


def one_of_each(step: int = 1) -> list[Event]:
    """Every kind of event at one step."""
    pixels = np.full((12, 16, 3), step % 256, np.uint8)
    pixels[3, 4] = (255, 0, 7)
    return [
        Scalars(step=step, values={"outputs/nll/mean": 1.0 / step, "loss": float("nan"), "tracker/errors": 0.0}),
        Histogram(step=step, tag="sizes", counts=np.arange(600.0) + step, edges=np.arange(601.0)),
        Text(step=step, tag="outputs/texts", text=f"step {step} | plain"),
        Table(
            step=step,
            tag="inputs/samples",
            columns=("text", "n|m", "share"),
            rows=((HOSTILE, 3, 0.25), ("x" * 5000, None, float("nan")), ("ok", True, -1.5)),
        ),
        Image(step=step, tag="attention/mass_map", picture=heatmap(step), caption="where"),
        Image(step=step, tag="outputs/accuracy_map", picture=pixels),
        Audio(step=step, tag="inputs/audio", clips={"reference": clip(hz=100 + step), "target": clip(level=2.0)}),
        comparison(step, fixed=step == 1),
        Alert(step=step, level="warning", title="Loss is NaN!", text="Lower the rate."),
        Findings(step=step, findings=(finding(since=step), finding("silence", level="warning", since=0, until=step))),
        Checkpoint(step=step, name=f"checkpoint-{step}", digest=f"{step:016x}", files=2, size_bytes=10),
    ]


def emit_run(tracker: Tracker, steps: Iterable[int]) -> None:
    """Every kind of event at each step, and a summary of one score at step 30: 0.1 at first, 0.8 at step 2 at best."""
    for step in steps:
        for event in one_of_each(step):
            tracker.emit(event)
    best = SummaryValue(last=0.5, last_step=30, best=0.8, best_step=2, base=0.1)
    tracker.emit(Summary(step=30, values={"voices/sim_o/mean": best}))


def with_step(event: Event, step: int) -> Event:
    """The same at another step."""
    return replace(event, step=step)
