"""What the rest of the library may ask of a model family, and the value objects in which it answers.

A `ModelAdapter` is the only thing that knows how a family lays out text and audio. Everything else works on:

- `BatchView`: one batch with every position named (text, reference, target, padding).
- `LayerParts`: the modules of one layer that probes watch.
- `Prompt` and `GeneratedCodes`: what goes into and comes out of free-running generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tracker_logging.families.delay_pattern import CodePattern

IGNORE = -100
COMPONENTS = (
    "attention_q", "attention_k", "attention_v", "attention_o", "attention", "cross_attention", "text_ffn", "audio_ffn",
    "ffn", "norms", "embeddings", "heads", "encoder", "depth_decoder", "codec", "other",
)  # fmt: skip
"""What a parameter may belong to. `attention`: projections that cannot be told apart. `ffn`: one path for all."""

StopReason: TypeAlias = Literal["eos", "max_length"]
Span: TypeAlias = tuple[int, int]


class Role(IntEnum):
    """What a position of the sequence is."""

    PADDING = 0
    TEXT = 1
    REFERENCE = 2
    TARGET = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """One run of audio positions `[start, stop)` in sample `sample`; `frames` counts audio frames without the delay.

    `lead`: positions before the first code of codebook 0: 1 for a clip with a begin code; 0 without one, and where the
    clip goes on from the audio before it (a target after its audio prompt), which then predicts its first frame.
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
    - `text_labels` [B, T] int64, unshifted, or None if the family or this model trains no text
    - `mismatched`: samples with more or fewer audio placeholders than frames; as many are placed as there are both
    - `memory`: an encoder holds the first `memory` positions, and cross-attention reads them; 0: one stack for all
    - `trailing`: positions at the end that are predicted but not given, so that no layer sees them
    - `target_text`: by sample, where the target's own text stands; None for the whole: it is looked for between the
      tokenizer's special tokens before the target
    """

    token_ids: torch.Tensor
    attention_mask: torch.Tensor
    roles: torch.Tensor
    codes: torch.Tensor
    audio_labels: torch.Tensor | None
    text_labels: torch.Tensor | None
    segments: tuple[Segment, ...]
    mismatched: tuple[int, ...] = ()
    memory: int = 0
    trailing: int = 0
    target_text: tuple[Span | None, ...] | None = None

    @property
    def in_layers(self) -> slice:
        """The positions that the layers of `ModelAdapter.layers` see, in their order."""
        return slice(self.memory, self.token_ids.shape[1] - self.trailing)


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The modules of layer `index`. A part that the family lacks is None: an FFN path of its own for text or audio, or
    attention to an encoder's positions."""

    index: int
    layer: nn.Module
    attention: nn.Module
    text_ffn: nn.Module | None
    audio_ffn: nn.Module | None
    cross_attention: nn.Module | None = None


@dataclass(frozen=True, slots=True)
class AudioHead:
    """A module that predicts `codebooks`. Its output is N rows of `len(codebooks)` × `codebook_vocabulary` logits.

    `rows(view)` [N] int64 gives the position b · T + t at which each row stands, in order; it scores the labels of
    t + 1. None: one row for every position of the batch.
    """

    module: nn.Module
    codebooks: range
    rows: Callable[[BatchView], torch.Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given to speak: token ids [T] int64 that end where the audio begins, and reference codes.

    `audio_codes` [F, K] int64 in the family's pattern, with begin and end codes, or None without a reference.
    `max_frames` bounds the generated audio frames; `seed` makes sampling repeatable for this prompt alone.
    """

    token_ids: torch.Tensor
    audio_codes: torch.Tensor | None
    max_frames: int
    seed: int


@dataclass(frozen=True, slots=True)
class GeneratedCodes:
    """What the model said: `codes` [K, T] int64 without delay, begin or end codes (T may be 0), and why it stopped."""

    codes: npt.NDArray[np.int64]
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the next code is chosen. `temperature` 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None


@runtime_checkable
class ModelAdapter(Protocol):
    """One model family. Built once from the unwrapped model; holds no state of a step. `BaseAdapter` has defaults.

    A family whose loss is the sum over codebooks of their mean cross-entropies (plus the text's) says so with an
    attribute `loss_sums_codebooks = True`: then the loss that it returns is checked against our own. One whose class
    trains every clip, whatever the labels say, with `trains_references = True`: then that is no fault of the batch.
    """

    family: str
    num_codebooks: int  # 0 for a text-only model
    codebook_vocabulary: int  # codes per codebook, with begin and end codes
    pattern: CodePattern | None  # None for a text-only model
    core: Any  # nn.Module: the module whose forward receives the batch

    @property
    def bos_code(self) -> int:
        """The code that begins a clip, -1 where clips begin without one."""

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
        """What predicts the codes; empty for a text-only model."""

    def text_head(self) -> nn.Module | None:
        """The module whose output [..., vocabulary] is the text logits."""

    def component(self, parameter_name: str) -> tuple[str, int | None]:
        """(component, layer) of a parameter.

        One of `COMPONENTS`; of a PEFT adapter, `lora_` and the component that it is added to.
        """

    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[B, K] float32: mean nll in nats at the labelled positions of each target; one forward, no gradient."""

    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """Speak all prompts in one batch with a KV cache. The caller isolates RNG, mode and caches."""
