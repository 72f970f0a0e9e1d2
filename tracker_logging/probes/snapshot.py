"""What a capture leaves behind: frozen values on the CPU, reduced over ranks where that is said.

NaN in an array means "not measured": the group is absent, the parameter is frozen, the codebook has no label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker_logging.families.base import BatchView, Segment
from tracker_logging.metrics.tokens import TokenStatistics
from tracker_logging.probes.attention_plan import Bin
from tracker_logging.probes.tensors import TensorSummary

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
ParameterState: TypeAlias = Literal["trained", "frozen", "without gradient"]
LayerKey: TypeAlias = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class SampleOutputs:
    """One target of this rank's first micro-batch, teacher-forced.

    `predicted`, `labels`, `given` [F, K] int64 in the delay pattern, aligned frame by frame: the most likely code given
    the true past, the label (-100: not trained) and the code that the model is given. `text_predicted` and
    `text_labels` [N] int64 are the labelled text positions. What the model or the batch lacks is None.
    """

    segment: Segment | None
    predicted: IntArray | None
    labels: IntArray | None
    given: IntArray | None
    text_predicted: IntArray | None
    text_labels: IntArray | None


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """Attention of one sample of this rank, mean over heads: `values` [N, N] float32, mean of the queries in a bin on
    all keys of a bin. `bins` name the positions; `token_ids` [T] are the sample's. With an encoder the queries are the
    decoder's, the keys the encoder's text and then the decoder's: [Q, N], each of the two parts of a row adds up to 1.
    """

    layer: int
    values: npt.NDArray[np.float32]
    bins: tuple[Bin, ...]
    key_bins: tuple[Bin, ...]
    token_ids: IntArray


@dataclass(frozen=True, slots=True)
class AttentionStatistics:
    """Over the watched samples of all ranks. L layers, H heads, groups in the order of `attention_plan.GROUPS`.

    - `mass` [L, H, 3, 3]: query group, key group. `entropy` [L, H] nats, over sampled target rows
    - `diagonality` and `text_mass` [L, H]: target -> the target's own text
    - `alignment_head`: (layer, head) with the highest diagonality among heads that look at the text, or None
    - `layers` [L]: the adapter's layer indices
    """

    layers: tuple[int, ...]
    mass: FloatArray
    entropy: FloatArray
    diagonality: FloatArray
    text_mass: FloatArray
    alignment_head: tuple[int, int] | None
    maps: tuple[AttentionMap, ...]


@dataclass(frozen=True, slots=True)
class ActivationStatistics:
    """`rms` [L, 2]: by layer and path (text, audio), of the residual update, over all ranks and micro-batches."""

    layers: tuple[int, ...]
    rms: FloatArray


@dataclass(frozen=True, slots=True)
class FlowStatistics:
    """By (component, layer), and by (component, None) for the whole component. Only what was measured is in a mapping.

    `gradient_norm` is the L2 norm, before clipping if `before_clipping`. `update_ratio` is ‖ΔW‖ / ‖W‖ of this step.
    `trainable_pct`, by component: the weights that are not frozen; `reached_pct`: of these, the ones with a gradient.
    """

    gradient_norm: Mapping[LayerKey, float]
    update_ratio: Mapping[LayerKey, float]
    states: Mapping[LayerKey, ParameterState]
    trainable_pct: Mapping[str, float]
    reached_pct: Mapping[str, float]
    before_clipping: bool


@dataclass(frozen=True, slots=True)
class StepSnapshot:
    """One logged step. `batch`, `inputs`, `losses`, `sample` are this rank's; the statistics are over all ranks.

    `batch` is the first micro-batch, on the CPU; `losses` are what the root forward returned, one per micro-batch.
    `tokens_seen` (without padding) and `frames_seen` (audio frames without the delay) count micro-batches of
    all ranks. `loss_ratio`: what the model returned / what our own cross-entropies give. `first_non_finite_layer`: the
    adapter's index of the first layer with a non-finite output. `causality_leak`: see `causality.py`; at the first
    logged step only. A part that was not asked for, failed or is lacking is None; `missing` names the lacking ones.
    """

    step: int
    batch: BatchView
    inputs: tuple[TensorSummary, ...]
    losses: tuple[float, ...]
    tokens_seen: int
    frames_seen: int
    tokens: TokenStatistics | None
    text: TokenStatistics | None
    sample: SampleOutputs | None
    attention: AttentionStatistics | None
    activations: ActivationStatistics | None
    flow: FlowStatistics | None
    gradient_cosine: float | None
    missing: tuple[str, ...]
    loss_ratio: float | None = None
    first_non_finite_layer: int | None = None
    causality_leak: float | None = None


@dataclass(frozen=True, slots=True)
class EvaluationSnapshot:
    """Statistics over the whole evaluation set `name` and all ranks, after `step` optimizer steps."""

    step: int
    tokens: TokenStatistics | None
    text: TokenStatistics | None
    missing: tuple[str, ...]
    name: str = "eval"
