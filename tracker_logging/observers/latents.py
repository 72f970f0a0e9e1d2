"""Models of continuous latents: flow loss by noise level, end of speech, spread and drift of the predicted latents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging import tags
from tracker_logging.data.codec import AudioCodec
from tracker_logging.events import Audio, Clip, Event, Heatmap, Image, Scalars
from tracker_logging.metrics.latents import LEVELS, LatentStatistics
from tracker_logging.probes.snapshot import LatentOutputs
from tracker_logging.session.observer import Later

LEVEL_NAMES = tuple(f"{100 * level // LEVELS}_{100 * (level + 1) // LEVELS}" for level in range(LEVELS))
"""`0_20`, …, `80_100`: percent of noise."""


def latent_events(
    step: int, latents: LatentStatistics, sample: LatentOutputs | None, *, codec: AudioCodec | None
) -> Iterable[Event | Later]:
    """The numbers of a step, the map of the dimensions, and losses and sound of the first target."""
    yield Scalars(step=step, values=latent_scalars(latents))
    picture = dimension_map(latents)
    if picture is not None:
        yield Image(step=step, tag=tags.LATENT_MAP(), picture=picture)
    if sample is None:
        return
    frames = Heatmap(
        values=sample.losses[None].astype(np.float32),
        title="Flow loss of each frame",
        row_axis="",
        column_axis="frame",
        row_labels=("flow loss",),
        column_labels=tuple(str(frame) for frame in range(len(sample.losses))),
        low=0.0,
    )
    yield Image(step=step, tag=tags.FLOW_LOSS_FRAMES(), picture=frames, caption="the first target of the batch")
    if codec is not None and hasattr(codec, "latent_dim"):
        yield Later(lambda: latent_audio(step, sample, codec))


def latent_scalars(latents: LatentStatistics) -> dict[str, float]:
    """Scalars by tag; what was not measured is left out."""
    values = {
        tags.FLOW_LOSS(): latents.flow_loss,
        tags.OWN_FRAME_SEEN(): 100 * latents.own_frame_seen,
        tags.WRONG_NOISE(): 100 * latents.wrong_noise,
        tags.EOS_LOSS(): latents.eos_loss,
        tags.EOS_ACCURACY(): latents.eos_accuracy,
        tags.EOS_RECALL(): latents.eos_recall,
        **{tags.FLOW_LOSS_LEVEL(level=LEVEL_NAMES[at]): float(loss) for at, loss in enumerate(latents.by_level)},
    }
    for tag, by_dimension in ((tags.LATENT_SPREAD, latents.spread_ratio), (tags.LATENT_DRIFT, latents.drift)):
        known = by_dimension[~np.isnan(by_dimension)]
        if len(known):
            values |= {tag(which="mean"): float(known.mean())}
            values |= {tag(which="min"): float(known.min())} if tag is tags.LATENT_SPREAD else {}
            values |= {tag(which="max"): float(known.max())} if tag is tags.LATENT_DRIFT else {}
    return {tag: value for tag, value in values.items() if not np.isnan(value)}


def dimension_map(latents: LatentStatistics) -> Heatmap | None:
    """Statistic × dimension; None without predictions."""
    rows = (
        ("target mean", latents.target_mean),
        ("predicted mean", latents.predicted_mean),
        ("target std", latents.target_std),
        ("predicted std", latents.predicted_std),
    )
    values = np.stack([row for _, row in rows])
    if np.isnan(values).all():
        return None
    return Heatmap(
        values=values.astype(np.float32),
        title="Predicted latents against the targets",
        row_axis="",
        column_axis="dimension",
        row_labels=tuple(name for name, _ in rows),
        column_labels=tuple(str(dimension) for dimension in range(values.shape[1])),
    )


def latent_audio(step: int, sample: LatentOutputs, codec: Any) -> Iterator[Event]:
    """The first target beside the latents that were sampled given its true past. `codec` decodes latents [D, F]."""
    decode: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]] = codec.decode
    clips = {
        name: Clip(samples=decode(latents.T), sample_rate=codec.sample_rate, caption=caption)
        for name, latents, caption in (
            ("target", sample.given, "the target through the codec"),
            ("teacher_forced", sample.predicted, "sampled frame by frame given the true past"),
        )
        if len(latents)
    }
    if clips:
        yield Audio(step=step, tag=tags.TEACHER_FORCED_AUDIO(), clips=clips)
