"""Results of a capture: frozen values on the CPU. Each docstring tells what is summed over ranks.

NaN in an array means not measured: the group is not in the sample, or the codebook has no label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker_logging.families.base import BatchView, Segment
from tracker_logging.metrics.latents import LatentStatistics
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
    the true past, the label (-100: not trained) and the input code. `text_predicted` and `text_labels` [N] int64 at the
    labelled text positions. What the model or the batch does not have is None.
    """

    segment: Segment | None
    predicted: IntArray | None
    labels: IntArray | None
    given: IntArray | None
    text_predicted: IntArray | None
    text_labels: IntArray | None


@dataclass(frozen=True, slots=True)
class SampleLoss:
    """The teacher-forced loss of one target of this rank's training samples.

    - `nll`: mean over its `codes` labelled codes, in nats; of continuous latents the flow loss, mean over its `codes`
      trained frames. `frames`: its audio frames
    - `text_ids` [N] int64: the text before it, special tokens included; with the words of the reference where the
      target goes on from it
    - `reference_gap`, `text_gap`: see `training_gaps.py`; None where they were not measured
    """

    text_ids: IntArray
    nll: float
    codes: int
    frames: int
    reference_gap: float | None = None
    text_gap: float | None = None


@dataclass(frozen=True, slots=True)
class LatentOutputs:
    """One target of this rank's first micro-batch: F frames of a model of continuous latents.

    `losses` [F]: flow loss. `predicted` (sampled given the true past) and `given` [F, D] float32: latents of the codec.
    """

    segment: Segment
    losses: FloatArray
    predicted: npt.NDArray[np.float32]
    given: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """Attention of one sample of this rank, mean over heads.

    `values` [N, N] float32: attention of the queries of a bin (mean) to the keys of a bin (sum). `bins` and `key_bins`
    give the positions, `token_ids` [T] the tokens of the sample. With an encoder, `values` is [Q, N]: queries of the
    decoder, keys of the encoder and then of the decoder; each of the two parts of a row sums to 1.
    """

    layer: int
    values: npt.NDArray[np.float32]
    bins: tuple[Bin, ...]
    key_bins: tuple[Bin, ...]
    token_ids: IntArray


@dataclass(frozen=True, slots=True)
class AttentionStatistics:
    """Over the observed samples of all ranks. L layers, H heads, groups in the order of `attention_plan.GROUPS`.

    - `mass` [L, H, 3, 3]: query group, key group. `entropy` [L, H] nats, over sampled target rows
    - `diagonality` and `text_mass` [L, H]: attention of the target to the target text
    - `alignment_head`: (layer, head) with the highest diagonality among heads that attend to the text, or None
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
    """`rms` [L, 2] of the FFN outputs, by layer and path (text, audio), over all ranks and micro-batches."""

    layers: tuple[int, ...]
    rms: FloatArray


@dataclass(frozen=True, slots=True)
class FlowStatistics:
    """By (component, layer), and by (component, None) for the whole component. A mapping holds only what was measured.

    `gradient_norm` is the L2 norm, before clipping if `before_clipping`. `update_ratio` is ‖ΔW‖ / ‖W‖ of this step.
    `trainable_pct`, by component: weights that are not frozen; `reached_pct`: those of them that have a gradient.
    `rounded_to_zero_pct`: share of the bf16 and fp16 weights with a gradient that the optimizer did not change, since
    the update is below half a unit in the last place; None without such weights. `skipped`: the gradient scaler skipped
    the step (non-finite fp16 gradients); norms and ratios are empty then. `shrink`, by component: −ΔW · W / ‖W‖², the
    part of the update that only makes the weights smaller. `clip_factor`: norm of the whole gradient after clipping /
    before it; None where only one of them can be read.
    """

    gradient_norm: Mapping[LayerKey, float]
    update_ratio: Mapping[LayerKey, float]
    states: Mapping[LayerKey, ParameterState]
    trainable_pct: Mapping[str, float]
    reached_pct: Mapping[str, float]
    before_clipping: bool
    rounded_to_zero_pct: float | None = None
    skipped: bool = False
    shrink: Mapping[str, float] = field(default_factory=dict)
    clip_factor: float | None = None


@dataclass(frozen=True, slots=True)
class StepSnapshot:
    """One logged step. `batch`, `inputs`, `losses` and `sample` are of this rank; the statistics are over all ranks.

    - `batch`: the first micro-batch, on the CPU. `losses`: returned by the model, one per micro-batch
    - `tokens_seen` (without padding) and `frames_seen` (audio frames without the delay): all micro-batches and ranks
    - `loss_ratio`: loss that the model returned / loss computed from its predictions
    - `first_non_finite_layer`: the adapter's index of the first layer with a non-finite output
    - `tokens`, `sample`: a row for each unit that the model predicts: a codebook, or a slot of codec tokens
    - `latents`, `latent_sample`: in place of these where the unit is a frame of continuous latents
    - `causality_leak`: see `causality.py`; at the first logged step only
    - `sample_losses`: of the targets in the first micro-batches, in order
    - `missing`: what the model or the training does not allow to measure, with the reason

    A part that was not needed, failed or is missing is None.
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
    sample_losses: tuple[SampleLoss, ...] = ()
    latents: LatentStatistics | None = None
    latent_sample: LatentOutputs | None = None


@dataclass(frozen=True, slots=True)
class EvaluationSnapshot:
    """Statistics over the whole evaluation set `name` and all ranks, after `step` optimizer steps."""

    step: int
    tokens: TokenStatistics | None
    text: TokenStatistics | None
    missing: tuple[str, ...]
    name: str = "eval"
