"""Do the names of speakers and the voices agree? By clustering the embeddings of the clips.

- A name with several voices: its clips fall into two clusters or more (average linkage, cut at a cosine of 0.72).
- A voice with several names: the clips of two names are as similar to each other as those of one name among themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import DataFinding, Place
from tracker_logging.doctor.data_checks.listened import Listened, ListenedClip

Vectors = npt.NDArray[np.float32]

SAME_CLUSTER = 0.72
MIN_CLIPS = 4
MIN_CLUSTER, MIN_CLUSTER_SHARE = 2, 0.15
ALIKE, ALIKE_MARGIN = 0.85, 0.03
MOST_CLIPS = 40  # of a name
MOST_NAMES = 200
SHOWN = 6
DOMINANT, MIN_NAMES = 0.6, 3


def voice_findings(listened: Listened, place: Place) -> Iterator[DataFinding]:
    """Names and voices that do not agree, and a speaker who outweighs the others."""
    clips = _clips_by_name(listened)
    yield from _several_voices(clips, place)
    yield from _several_names(clips, place)
    yield from _dominant(listened, place)


def _clips_by_name(listened: Listened) -> dict[str, list[ListenedClip]]:
    """The clips that have a voice, each once; those used under two names are reported by another check."""
    by_path: dict[Path, tuple[str, ListenedClip]] = {}
    for record in listened.records:
        for _, clip in record.clips():
            measured = listened.of(clip)
            if record.sample.speaker and measured is not None and measured.voice is not None:
                by_path.setdefault(clip.path, (record.sample.speaker, measured))
    clips: dict[str, list[ListenedClip]] = defaultdict(list)
    for name, measured in by_path.values():
        if len(clips[name]) < MOST_CLIPS:
            clips[name].append(measured)
    return dict(clips)


def clusters_of(vectors: Vectors) -> npt.NDArray[np.int64]:
    """[n] number of the cluster of each unit vector [n, D], from 1; average linkage of 1 − cosine."""
    from scipy.cluster.hierarchy import fcluster, linkage

    distance = 1.0 - np.clip(vectors @ vectors.T, -1.0, 1.0)
    condensed = distance[np.triu_indices(len(vectors), 1)]
    return np.asarray(fcluster(linkage(condensed, "average"), 1.0 - SAME_CLUSTER, "distance"), dtype=np.int64)


def _several_voices(clips: Mapping[str, Sequence[ListenedClip]], place: Place) -> Iterator[DataFinding]:
    for name, own in clips.items():
        if len(own) < MIN_CLIPS:
            continue
        cluster = clusters_of(_vectors(own))
        sizes = np.bincount(cluster)[1:]
        least = max(MIN_CLUSTER, MIN_CLUSTER_SHARE * len(own))
        large = [number for number in np.argsort(-sizes) + 1 if sizes[number - 1] >= least]
        if len(large) > 1:
            examples = [own[int(np.flatnonzero(cluster == number)[0])].clip.name for number in large[:SHOWN]]
            counts = " and ".join(str(sizes[number - 1]) for number in large)
            seen = f"{name!r} has {len(large)} voices in {counts} clips, such as {', '.join(examples)}"
            yield checks.NAME_OF_SEVERAL_VOICES.at(place, seen=seen, field="speaker", clip=examples[1])


def _several_names(clips: Mapping[str, Sequence[ListenedClip]], place: Place) -> Iterator[DataFinding]:
    """Groups of names whose clips are as alike as those of one name."""
    vectors = {name: _vectors(own) for name, own in list(clips.items())[:MOST_NAMES] if len(own) >= MIN_CLUSTER}
    within = {name: _mean_within(own) for name, own in vectors.items()}
    group = {name: {name} for name in vectors}
    for first, second in combinations(vectors, 2):
        across = float((vectors[first] @ vectors[second].T).mean())
        if across > max(ALIKE, min(within[first], within[second]) - ALIKE_MARGIN):
            joined = group[first] | group[second]
            group |= dict.fromkeys(joined, joined)
    for names in {id(members): members for members in group.values()}.values():
        if len(names) > 1:
            listed = sorted(names)
            more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
            seen = f"{len(listed)} names have the same voice: {', '.join(map(repr, listed[:SHOWN]))}{more}"
            yield checks.VOICE_OF_SEVERAL_NAMES.at(place, seen=seen, field="speaker")


def _dominant(listened: Listened, place: Place) -> Iterator[DataFinding]:
    seconds: dict[str, float] = defaultdict(float)
    for record in listened.records:
        if record.sample.speaker and record.target is not None:
            seconds[record.sample.speaker] += record.target.seconds
    whole = sum(seconds.values())
    if len(seconds) < MIN_NAMES or not whole:
        return
    name = max(seconds, key=lambda speaker: seconds[speaker])
    if seconds[name] > DOMINANT * whole:
        share = 100 * seconds[name] / whole
        seen = f"{name!r} has {share:.0f} % of the speech of {len(seconds)} speakers"
        yield checks.SPEAKER_DOMINATES.at(place, seen=seen, field="speaker")


def _vectors(clips: Sequence[ListenedClip]) -> Vectors:
    return np.stack([own.voice for own in clips if own.voice is not None])


def _mean_within(vectors: Vectors) -> float:
    """Mean similarity of two different clips."""
    count = len(vectors)
    return float(((vectors @ vectors.T).sum() - count) / (count * (count - 1)))
