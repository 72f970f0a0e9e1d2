"""Splits composite events into the simple ones that every backend can write, so that all backends write the same.

for part in parts(comparison): ...   # Audio (clips with captions), Image (mels), Table (texts and scores)
for part in parts(findings): ...     # Table `doctor/findings`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tracker_logging import tags
from tracker_logging.events import (
    Alert,
    Audio,
    Cell,
    Checkpoint,
    Event,
    Finding,
    Findings,
    Histogram,
    Image,
    Summary,
    Table,
    Text,
    VoiceComparison,
)
from tracker_logging.rendering.mel_strip import draw_mel_strip

MOST_BINS = 512
FIXED_CLIPS = frozenset({"reference", "target", "codec"})
FINDING_COLUMNS = ("name", "level", "since", "until", "seen", "likely cause", "certainty", "what to do")


def parts(event: Event, *, draw: bool = True) -> Iterator[Event]:
    """The simple events of `event`: itself where it is simple, none for a `Summary` and a
    `Checkpoint` (each backend has its own place).

    Draws the mels of a comparison (about 25 ms) unless `draw` is False: call it off the training thread.
    """
    match event:
        case VoiceComparison():
            event = replace(event, voice_id=tags.safe_part(event.voice_id, "_"), clips=event.shown_clips)
            if event.clips and event.stage != "scored":
                yield _clips(event)
            if draw and event.clips and event.stage != "generated":
                yield Image(step=event.step, tag=tags.VOICE_MEL(voice=event.voice_id), picture=draw_mel_strip(event))
            if event.stage != "generated":
                yield _text(event)
        case Alert():
            yield Text(step=event.step, tag=tags.ALERT(title=_slug(event.title)), text=f"{event.title}\n{event.text}")
        case Findings():
            yield findings_table(event)
        case Summary() | Checkpoint():
            return
        case Histogram():
            yield _coarse(event)
        case _:
            yield event


def findings_table(report: Findings) -> Table:
    """The report as a table, open findings first."""
    in_order = sorted(report.findings, key=lambda finding: not finding.is_open)
    rows = tuple(tuple(finding_row(finding).values()) for finding in in_order)
    return Table(step=report.step, tag=tags.FINDINGS(), columns=FINDING_COLUMNS, rows=rows)


def finding_row(finding: Finding) -> dict[str, Cell]:
    """The fields of a finding under the names that tables, `findings.json` and the webhook use."""
    cells = (finding.name, finding.level, finding.since, finding.until, finding.seen, finding.cause)
    return dict(zip(FINDING_COLUMNS, (*cells, finding.certainty, finding.fix), strict=True))


def clip_tag(tag: str, name: str) -> str:
    """The tag of one clip of an `Audio` event, where a backend shows one clip per tag."""
    return f"{tag}/{name}"


def _clips(comparison: VoiceComparison) -> Audio:
    clips = {name: replace(clip, caption=_caption(comparison, name)) for name, clip in comparison.clips.items()}
    return Audio(step=comparison.step, tag=tags.VOICE(voice=comparison.voice_id), clips=clips)


def _caption(comparison: VoiceComparison, name: str) -> str:
    text = comparison.reference_text if name == "reference" else comparison.target_text
    head = comparison.clips[name].caption or name
    caption = f"{head}: “{text}”" if text else head
    if name != "generated":
        return caption
    transcript = [f"heard “{comparison.transcript}”"] if comparison.transcript is not None else []
    stop_reason = [f"stopped: {comparison.stop_reason}"] if comparison.stop_reason else []
    scores = [f"{score} {value:.4g}" for score, value in comparison.scores.items()]
    return " · ".join([caption, *transcript, *stop_reason, *scores])


def _text(comparison: VoiceComparison) -> Table:
    facts: tuple[tuple[str, Cell], ...] = (
        ("speaker", comparison.speaker),
        ("language", comparison.language),
        ("group", comparison.group),
        ("reference text", comparison.reference_text),
        ("target text", comparison.target_text),
        ("transcript", comparison.transcript),
        ("sampling", ", ".join(f"{name} {value}" for name, value in comparison.sampling.items()) or None),
        ("stop reason", comparison.stop_reason),
        ("error", comparison.error),
    )
    known = tuple(fact for fact in facts if fact[1] is not None)
    rows = (*known, *((name, value) for name, value in comparison.scores.items()))
    return Table(
        step=comparison.step, tag=tags.VOICE_TEXT(voice=comparison.voice_id), columns=("what", "value"), rows=rows
    )


def _coarse(histogram: Histogram) -> Histogram:
    block = -(-len(histogram.counts) // MOST_BINS)
    if block <= 1:
        return histogram
    starts = np.arange(0, len(histogram.counts), block)
    edges = np.append(histogram.edges[starts], histogram.edges[-1])
    return replace(histogram, counts=np.add.reduceat(histogram.counts, starts), edges=edges)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60] or "alert"
