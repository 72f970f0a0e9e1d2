"""Splits composite events into the simple ones that every backend can write, so that all write the same.

for part in parts(comparison): ...   # Audio (its clips with captions), Image (mels), Table (texts and scores)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tracker_logging import tags
from tracker_logging.events import Alert, Audio, Cell, Event, Histogram, Image, Table, Text, VoiceComparison
from tracker_logging.rendering.mel_strip import draw_mel_strip

MOST_BINS = 512
FIXED_CLIPS = frozenset({"reference", "target", "codec"})


def parts(event: Event) -> Iterator[Event]:
    """The simple events that make up `event`: itself, unless it is a `VoiceComparison` or an `Alert`.

    Draws (about 25 ms for a comparison): do not call it on the training thread.
    """
    match event:
        case VoiceComparison():
            event = replace(event, voice_id=re.sub(r"[^\w-]+", "_", event.voice_id))
            if event.clips:
                yield _clips(event)
                yield Image(step=event.step, tag=tags.VOICE_MEL(voice=event.voice_id), picture=draw_mel_strip(event))
            yield _text(event)
        case Alert():
            yield Text(step=event.step, tag=tags.ALERT(title=_slug(event.title)), text=f"{event.title}\n{event.text}")
        case Histogram():
            yield _coarse(event)
        case _:
            yield event


def clip_tag(tag: str, name: str) -> str:
    """The tag of one clip of an `Audio` event, where a backend shows one clip per tag."""
    return f"{tag}/{name}"


def _clips(comparison: VoiceComparison) -> Audio:
    clips = {
        name: replace(clip, caption=clip.caption or _caption(comparison, name))
        for name, clip in comparison.clips.items()
    }
    return Audio(step=comparison.step, tag=tags.VOICE(voice=comparison.voice_id), clips=clips)


def _caption(comparison: VoiceComparison, name: str) -> str:
    text = comparison.reference_text if name == "reference" else comparison.target_text
    caption = f"{name}: “{text}”" if text else name
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
