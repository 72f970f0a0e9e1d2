"""Defaults that most adapters share. A new family writes `view` and its heads; see docs/adapters.md.

class MyAdapter(BaseAdapter):
    family, decoder = "my_speech_model", "model.decoder"

    def __init__(self, core): super().__init__(core, CodePattern(…), vocabulary=…)
    def view(self, inputs): ...
    def audio_heads(self): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from tracker_logging.families.base import (
    AudioHead,
    BatchView,
    GeneratedCodes,
    LayerParts,
    Prompt,
    SamplingSettings,
)
from tracker_logging.families.batches import rows_of
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.heads import mean_nll
from tracker_logging.families.naming import component_of
from tracker_logging.families.sampling import sampling_of


def decoder_layers(
    layers: Iterable[Any],
    *,
    attention: str = "self_attn",
    audio_ffn: str = "mlp",
    text_ffn: str = "",
    cross_attention: str = "",
) -> list[LayerParts]:
    """The parts of layers by the names of their attributes; None for what a layer has not. By default one FFN serves
    text and audio, which is the audio path."""
    names = {"text_ffn": text_ffn, "audio_ffn": audio_ffn, "cross_attention": cross_attention}
    return [
        LayerParts(
            index=index,
            layer=layer,
            attention=getattr(layer, attention),
            **{part: getattr(layer, name, None) for part, name in names.items()},
        )
        for index, layer in enumerate(layers)
    ]


class BaseAdapter:
    """Defaults of `ModelAdapter`. `core` is the model without any wrapper.

    For a model of codes: `pattern`, a column for each codebook, and `vocabulary`, the outputs of each (see
    `ModelAdapter.codebook_vocabulary`).
    """

    family: str = ""
    loss_sums_codebooks: bool = False
    trains_references: bool = False  # the model's class trains every clip, so labels cannot exclude the reference
    num_codebooks: int = 0
    codebook_vocabulary: int = 0
    pattern: CodePattern | None = None
    prefixes: ClassVar[Mapping[str, str]] = {}  # part of a parameter name -> component, beyond `naming.py`
    ffn: str = "ffn"  # the component of the family's `mlp`
    decoder: str | None = None  # the path from `core` to the module that has the `layers`
    layer_parts: ClassVar[Mapping[str, str]] = {}  # the names of their parts, see `decoder_layers`
    published: SamplingSettings = SamplingSettings()  # greedy where the family publishes no sampling
    lowest_temperature: float = 0.0  # to which the class's own `generate` raises that of a checkpoint that samples
    tags: str = ""  # a regular expression of what the family writes among the words of a text
    may_be_empty: frozenset[str] = frozenset()  # arguments whose tensors may be empty in a valid batch

    def __init__(self, core: Any, pattern: CodePattern | None = None, *, vocabulary: int = 0) -> None:
        self.core = core
        if pattern is not None:
            self.pattern, self.num_codebooks, self.codebook_vocabulary = pattern, len(pattern.delays), vocabulary

    @property
    def sampling(self) -> SamplingSettings:
        """As the checkpoint's generation config samples, else as the family is published to."""
        config = getattr(self.core, "generation_config", None)
        return sampling_of(config, self.published, lowest_temperature=self.lowest_temperature)

    @property
    def bos_code(self) -> int:
        """The code that begins a clip, or -1."""
        return -1 if self.pattern is None or self.pattern.bos is None else self.pattern.bos

    @property
    def eos_code(self) -> int:
        """The code that ends a clip, or -1."""
        return -1 if self.pattern is None else self.pattern.eos

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        """See `ModelAdapter`; each family implements it."""
        raise NotImplementedError(f"{type(self).__name__} must describe the layout of a batch: implement `view`.")

    def samples(self, inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """See `ModelAdapter`."""
        token_ids = inputs.get("input_ids")  # the view may encode audio
        return rows_of(inputs, rows, samples=len(self.view(inputs).roles if token_ids is None else token_ids))

    def first_sample(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """As `samples` gives it."""
        return self.samples(inputs, (0,))

    def words_in(self, text: str) -> str:
        """See `ModelAdapter`: without the `tags`."""
        return " ".join(re.sub(self.tags, " ", text).split()) if self.tags else text

    def layers(self) -> Sequence[LayerParts]:
        """Those of `decoder`. Without one attention and FFN paths are not logged."""
        if self.decoder is None:
            return ()
        return decoder_layers(self.core.get_submodule(self.decoder).layers, **self.layer_parts)

    def audio_heads(self) -> Sequence[AudioHead]:
        """No codes are predicted."""
        return ()

    def text_head(self) -> nn.Module | None:
        """No text is trained."""
        return None

    def component(self, parameter_name: str) -> tuple[str, int | None]:
        """From the names that families share, see `naming.py`."""
        return component_of(parameter_name, prefixes=self.prefixes, ffn=self.ffn)

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """See `ModelAdapter`. Raises `ValueError` for a batch without audio labels."""
        return mean_nll(self, inputs)

    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """See `ModelAdapter`. Raises `NotImplementedError`: no voices are generated."""
        raise NotImplementedError(f"{type(self).__name__} does not generate audio.")
