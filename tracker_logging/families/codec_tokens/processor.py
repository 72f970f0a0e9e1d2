"""A voice-cloning sample as the tokens of a language model whose vocabulary holds audio codes.

    processor = CodecTokenProcessor.from_pretrained(model_path, codec_path, cache_directory=Path("cache"))
    processor.features(sample)                  # input_ids, labels [T]; only the target is trained
    batch = processor.collator()([processor.features(sample)])

The layout is the preset whose tokens the tokenizer has, or `layout=` (see `layout.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.codes import CodeCache, CodeSource
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.data.voices import untagged
from tracker_logging.families.base import IGNORE, Features, Reference
from tracker_logging.families.codec_tokens.layout import TokenIds, TokenLayout
from tracker_logging.families.codec_tokens.outetts import outetts_texts
from tracker_logging.families.codec_tokens.presets import PRESETS, layout_of, preset
from tracker_logging.families.load_codec import load_codec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.samples import padded, with_reference

_PLACE = re.compile(r"\{(reference|target)_(audio|clip)\}")


@dataclass(frozen=True, eq=False)
class CodecTokenProcessor:
    """`codes` returns the codes [K, T] of a file, a row for each slot of `layout`. `normalise` is applied to each text:
    NeuTTS reads phonemes, for example. Raises `DataError` if tokenizer, codec and layout do not belong together."""

    tokenizer: Any
    codec: AudioCodec
    codes: CodeSource
    layout: TokenLayout
    normalise: Callable[[str], str] = str.strip

    def __post_init__(self) -> None:
        slots, codec = self.layout.slots, self.codec
        if codec.num_codebooks != len(slots) or codec.codebook_size > max(slot.codes for slot in slots):
            raise DataError(
                f"The codec has {codec.num_codebooks} codebooks of {codec.codebook_size} codes, but layout "
                f"{self.layout.name!r} {len(slots)} slots of {max(slot.codes for slot in slots)}. Pass the codec of "
                "the checkpoint."
            )
        self.ids  # noqa: B018  # raises here rather than in a data loader

    @classmethod
    def from_pretrained(
        cls, model_path: str, codec_path: str, *, cache_directory: Path, layout: TokenLayout | str | None = None
    ) -> CodecTokenProcessor:
        """Tokenizer and codec from directories. Raises `DataError` if there is none, or no known layout."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(model_path)
        except (OSError, ValueError) as error:
            raise DataError(f"{model_path}: no tokenizer there ({error}).") from error
        chosen = preset(layout) if isinstance(layout, str) else layout or layout_of(tokenizer)
        if chosen is None:
            known = ", ".join(known.name for known in PRESETS)
            raise DataError(
                f"{model_path}: the tokenizer has the codec tokens of no known layout ({known}). Pass `layout`."
            )
        codec = load_codec(codec_path)
        if isinstance(codec, ModelCodec) and codec.num_codebooks > len(chosen.slots):
            codec = codec.first(len(chosen.slots))
        return cls(tokenizer, codec, CodeCache(cache_directory, codec), chosen)

    @cached_property
    def ids(self) -> TokenIds:
        """The layout's ids in this tokenizer."""
        return self.layout.ids(self.tokenizer)

    def features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` and `labels` [T] int64: labels from the first token of the target on.

        Raises `DataError` for a clip that cannot be read, a sample without target audio or with several references or
        targets, and a layout without prompts.
        """
        sample = with_reference(sample, reference)
        if sample.target_audio is None:
            raise DataError(f"{sample.origin}, target audio: missing, so there is nothing to train on. Add it.")
        if sample.more_targets:
            raise self._without_place(sample, "several targets")
        before, target = self._parts(sample)
        labels = torch.cat([torch.full_like(before, IGNORE), target])
        return {"input_ids": torch.cat([before, target]), "labels": labels}

    def prompt_features(self, sample: VoiceSample, *, reference: Reference = "own") -> Features:
        """`input_ids` [T] that end where the first token of the target comes; a reference is among them."""
        return {"input_ids": self._parts(with_reference(sample, reference), prompt=True)[0]}

    def collator(self) -> Callable[[Sequence[Features]], Features]:
        """Makes a batch padded on the right."""
        pad = self.tokenizer.pad_token_id
        return partial(collate, pad=self.ids.end if pad is None else int(pad))

    def _parts(self, sample: VoiceSample, *, prompt: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens before the target and those from there on (none for a `prompt`)."""
        if self.layout.by_word:
            texts = self._texts(sample)
            parts = outetts_texts(sample, texts, self.codec, self.codes, prompt=prompt)
            return self._text(parts[0]), self._text(parts[1])
        template = self.layout.prompt if sample.reference_audio is None else self.layout.cloning
        if not template:
            raise DataError(
                f"Layout {self.layout.name!r} has no prompt: its samples need more than texts and recordings. Train on "
                "samples that its own project prepares; voices and the conditioning gap are not available."
            )
        pieces = _PLACE.split(self.layout.sample_text(template, self.tokenizer, **self._texts(sample)))
        before, target = [self._text(pieces[0])], list[torch.Tensor]()
        for role, what, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            if role == "target" and prompt:
                break
            path = sample.target_audio if role == "target" else sample.reference_audio
            assert path is not None
            (target if role == "target" or target else before).append(self._audio(path, per_clip=what == "clip"))
            (target or before).append(self._text(text))
        return torch.cat(before), torch.cat([*target, torch.empty(0, dtype=torch.int64)])

    def _texts(self, sample: VoiceSample) -> dict[str, str]:
        """`target_text` and, with a reference, `reference_text`. Raises `DataError` for what the layout cannot hold."""
        if sample.more_references or sample.voices > 1:
            raise self._without_place(sample, "several references or voices")
        texts = {"target_text": self._plain(sample, "target text", sample.target_text)}
        if not texts["target_text"]:
            raise DataError(f"{sample.origin}, target text: missing. Add it.")
        if sample.reference_audio is not None:
            texts["reference_text"] = self._plain(sample, "reference text", sample.reference_text)
            is_read = self.layout.by_word or "{reference_text}" in self.layout.cloning
            if is_read and not texts["reference_text"]:
                name = self.layout.name
                raise DataError(f"{sample.origin}, reference text: missing, and layout {name!r} needs it. Add it.")
        return texts

    def _without_place(self, sample: VoiceSample, what: str) -> DataError:
        return DataError(f"{sample.origin}: {what}, of which layout {self.layout.name!r} takes one. Split the sample.")

    def _audio(self, path: Path, *, per_clip: bool) -> torch.Tensor:
        codes, ids = torch.from_numpy(self.codes(path)), self.ids
        if not per_clip:
            return ids.tokens_of(codes, ids.of_frames)
        count = getattr(self.codec, "tokens_per_clip", codes.shape[1])
        return ids.tokens_of(codes[:, :count], sorted(ids.per_clip))

    def _text(self, text: str) -> torch.Tensor:
        return torch.tensor(self.tokenizer.encode(text, add_special_tokens=False), dtype=torch.int64)

    def _plain(self, sample: VoiceSample, field: str, text: str) -> str:
        """The text without the tag of a voice, normalised. Raises `DataError` if it has a token of the prompt."""
        structure = {*re.findall(r"<[^<>{} ]+>", self.layout.prompt + self.layout.cloning), self.layout.end}
        if token := next((token for token in sorted(structure) if token in text), None):
            raise DataError(
                f"{sample.origin}, {field}: contains {token}, which the model reads as structure. Remove it."
            )
        return self.normalise(untagged(text))


def collate(rows: Sequence[Features], *, pad: int) -> Features:
    """B rows -> `input_ids`, `attention_mask`, `labels` [B, T], padded on the right."""
    return padded(rows, {"input_ids": pad, "labels": IGNORE})
