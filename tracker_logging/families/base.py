"""What the rest of the library may ask of a model family: protocols, and the value objects that they exchange.

- `ModelAdapter`: how a family lays out text and audio, where its modules are, how it generates.
- `Processor`: a voice-cloning sample as the family's tensors. `AudioCodec`: a waveform as codes and back.
- `BatchView`: one batch with the role of every position (text, reference, target, padding).
- `LayerParts`, `AudioHead`: the modules that probes watch.
- `Prompt`, `GeneratedCodes`: input and output of free-running generation.

Nothing outside `families/` knows how a model lays out a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.codes import CodeSource
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families.delay_pattern import CodePattern

IGNORE = -100
COMPONENTS = (
    "attention_q", "attention_k", "attention_v", "attention_o", "attention", "cross_attention", "text_ffn", "audio_ffn",
    "ffn", "norms", "embeddings", "heads", "encoder", "depth_decoder", "codec", "other",
)  # fmt: skip
"""What a parameter may belong to. `attention`: fused projections. `ffn`: one path for text and audio."""

StopReason: TypeAlias = Literal["eos", "max_length"]
Span: TypeAlias = tuple[int, int]
Features: TypeAlias = dict[str, torch.Tensor]
Inputs: TypeAlias = Mapping[str, Any]  # the keyword arguments of a model's forward
Reference: TypeAlias = VoiceSample | Literal["own"] | None


class Role(IntEnum):
    """The role of a position in the sequence."""

    PADDING = 0
    TEXT = 1
    REFERENCE = 2
    TARGET = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """One run of audio positions `[start, stop)` in sample `sample`; `frames` counts audio frames without the delay.

    `lead`: positions before the first code, in a delay pattern of codebook 0. It is 1 for a clip with a begin code.
    It is 0 without one and for a clip that continues the audio before it (a target after its audio prompt), whose last
    position then predicts the first frame.
    """

    sample: int
    role: Role
    start: int
    stop: int
    frames: int
    lead: int = 1


@dataclass(frozen=True, slots=True)
class BatchView:
    """One batch in one layout for every family: B samples, T positions, K codebooks. Tensors are detached.

    - `token_ids` [B, T] int64 (-1: no token), `attention_mask` [B, T] bool, `roles` [B, T] int64 of `Role`
    - `codes` [B, T, K] int64: input codes in the family's pattern at audio positions, -1 elsewhere
    - `audio_labels` [B, T, K] int64, *unshifted* (label at t is scored by the logits at t - 1), `IGNORE` elsewhere
    - `text_labels` [B, T] int64, unshifted, or None if the model does not train text
    - `frame_labels` [B, T] bool: positions of the continuous frames that are trained, for a model of latents; else None
    - `mismatched`: samples whose numbers of audio placeholders and frames differ; the shorter of the two is placed
    - `memory`: the first `memory` positions belong to an encoder and are read by cross-attention; 0: one stack for all
    - `trailing`: positions at the end that are predicted but are no input, so that no layer sees them
    - `target_text`: per sample, the span of the target's own text. None for the whole field: it is located between the
      tokenizer's special tokens before the target
    """

    token_ids: torch.Tensor
    attention_mask: torch.Tensor
    roles: torch.Tensor
    codes: torch.Tensor
    audio_labels: torch.Tensor | None = None
    text_labels: torch.Tensor | None = None
    segments: tuple[Segment, ...] = ()
    mismatched: tuple[int, ...] = ()
    memory: int = 0
    trailing: int = 0
    target_text: tuple[Span | None, ...] | None = None
    frame_labels: torch.Tensor | None = None

    @property
    def targets(self) -> tuple[Segment, ...]:
        """The clips that are trained, in order."""
        return tuple(segment for segment in self.segments if segment.role == Role.TARGET)

    @property
    def in_layers(self) -> slice:
        """The positions that the layers of `ModelAdapter.layers` see, in their order."""
        return slice(self.memory, self.token_ids.shape[1] - self.trailing)

    @property
    def rows_in_layers(self) -> torch.Tensor | None:
        """[N] int64: the flat positions b · T + t of `in_layers`, sample by sample; None for all positions."""
        if not self.memory and not self.trailing:
            return None
        positions = torch.arange(self.token_ids.numel(), device=self.token_ids.device)
        return positions.view_as(self.token_ids)[:, self.in_layers].flatten()


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The modules of layer `index`. None where the family has no such part: a separate FFN path for text or for audio,
    or attention to an encoder's positions."""

    index: int
    layer: nn.Module
    attention: nn.Module
    text_ffn: nn.Module | None
    audio_ffn: nn.Module | None
    cross_attention: nn.Module | None = None


@dataclass(frozen=True, slots=True)
class AudioHead:
    """A module that predicts `codebooks`. Its output is N rows of `len(codebooks)` × `codebook_vocabulary` logits.

    `rows(view)` [N] int64 gives the flat position b · T + t of each row, in order; the row at t scores the labels of
    t + 1. None: one row for every position that the layers see (`BatchView.in_layers`).

    `columns` [codebook_vocabulary] int64, for a head of one codebook whose output has other tokens too (a text
    vocabulary that holds the codes): the column of each code, -1 where the codebook has no such code. Probabilities,
    ranks and entropy are those of the whole output, as in the model's loss.
    """

    module: nn.Module
    codebooks: range
    rows: Callable[[BatchView], torch.Tensor] | None = None
    columns: torch.Tensor | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Input of free-running generation: token ids [T] int64 that end where the audio begins, and reference codes.

    `audio_codes` [F, K] int64 in the family's pattern, with begin and end codes, or None without a reference and for a
    family whose codes are tokens.
    `max_frames` bounds the generated audio frames; `seed` makes sampling repeatable for this prompt alone.
    """

    token_ids: torch.Tensor
    audio_codes: torch.Tensor | None
    max_frames: int
    seed: int


@dataclass(frozen=True, slots=True)
class GeneratedCodes:
    """Generated `codes` [K, T] int64 without delay, begin or end codes (T may be 0), and why generation stopped.

    `first_frame_s`: seconds from the start of the generation of its batch until all codes of the first frame were there
    (see `families.first_frame`); None without a frame, and where it was not measured.
    """

    codes: npt.NDArray[np.int64]
    stop_reason: StopReason
    first_frame_s: float | None = None


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the next code is chosen. `temperature` 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None


@runtime_checkable
class ModelAdapter(Protocol):
    """One model family. Built once from the unwrapped model; holds no state of a step. `BaseAdapter` has defaults.

    Optional attributes: `loss_sums_codebooks = True` if the model's loss is the sum over codebooks of their mean
    cross-entropies (plus the text's); the returned loss is then compared with ours. `trains_references = True` if the
    class trains every clip whatever the labels are; trained references are then not reported as a fault of the batch.
    `cannot_give`: why the family has no such numbers, see the function `cannot_give`; each is reported once.
    `sampling`: the `SamplingSettings` that the family is published with, the default of voices (without it: greedy).
    `with_codes(inputs, codes)`: the batch with the input codes [B, T, K] in place of those of its view, or None where
    they cannot be replaced; the reference gap of training samples needs it.

    For the gaps of training samples, where the defaults do not fit:
    `samples(inputs, rows)`: the batch of these samples alone, a sample possibly several times (default: rows of each
    tensor that has one, or equally many, per sample).
    `with_text(inputs, token_ids)`: the batch with these tokens [B, T] at the text positions of its view (default: for a
    view whose tokens begin with `input_ids`).
    `reference_clip(inputs, view, segment)`: a reference [n, …] of the batch, and `with_reference_clips(inputs, view,
    clips)`: the batch with these instead, each as long (default: codes, by `with_codes`).
    `words_in(text)`: the words of a target's text, without what the family writes around them (default: all).
    """

    family: str
    num_codebooks: int  # 0 for a text-only model
    codebook_vocabulary: int  # codes per codebook, with begin and end codes
    pattern: CodePattern | None  # None for a text-only model
    core: Any  # nn.Module: the module whose forward receives the batch

    @property
    def bos_code(self) -> int:
        """The code that begins a clip, -1 if the family has none."""

    @property
    def eos_code(self) -> int:
        """The code that ends a clip, -1 without codebooks."""

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        """The batch, given the keyword arguments of `core.forward`. Stays on the batch's device."""

    def first_sample(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The same arguments for the first sample of the batch alone."""

    def layers(self) -> Sequence[LayerParts]:
        """All decoder layers, first to last."""

    def audio_heads(self) -> Sequence[AudioHead]:
        """The modules that predict codes; empty for a text-only model."""

    def text_head(self) -> nn.Module | None:
        """The module whose output [..., vocabulary] is the text logits."""

    def component(self, parameter_name: str) -> tuple[str, int | None]:
        """(component, layer) of a parameter: one of `COMPONENTS`, prefixed with `lora_` for a PEFT adapter's."""

    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[B, K] float32: mean nll in nats at the labelled positions of each target; one forward, no gradient."""

    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """Generate all prompts in one batch, with a KV cache where the model has one.

        The caller isolates RNG, mode and caches.
        """


@runtime_checkable
class Processor(Protocol):
    """A family's processor: voice-cloning samples as tensors of its model. Needed for voices and the conditioning gap.

    `reference` of `features` and `prompt_features` is "own" for the sample's own reference, another sample to use that
    one's, or None for no reference.
    """

    tokenizer: Any
    codec: AudioCodec
    codes: CodeSource  # codes [K, T] int64 of an audio file

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """One row for training or teacher-forced scoring."""

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] of a `Prompt` and, with a reference that is not among them, its `audio_input_ids` [F, K]."""

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch from rows of `features`."""


def cannot_give(adapter: ModelAdapter) -> Mapping[str, str]:
    """Why the family has no such numbers, by template of a tag, or by beginning of tags that ends in `/`.

    >>> from types import SimpleNamespace
    >>> sorted(cannot_give(SimpleNamespace(family="text", num_codebooks=0)))
    ['voices/']
    """
    default = {} if adapter.num_codebooks else {"voices/": f"the model ({adapter.family}) has no codebooks"}
    given: Mapping[str, str] = getattr(adapter, "cannot_give", default)
    return given


def missing_members(adapter: Any) -> list[str]:
    """Names of `ModelAdapter` that `adapter` lacks."""
    required = {*ModelAdapter.__annotations__, *(name for name in vars(ModelAdapter) if not name.startswith("_"))}
    return sorted(name for name in required if not hasattr(adapter, name))
