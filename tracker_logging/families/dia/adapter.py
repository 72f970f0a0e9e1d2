"""Dia, the transformers-native class `DiaForConditionalGeneration`: text in an encoder, audio in a decoder.

Layout (read in transformers 5.23, `models/dia`): a row of the decoder holds one code per channel, channel c delayed by
`delay_pattern[c]`; labels are shifted already, so the last one belongs to a row that is no input of the decoder. The
audio prompt is a prefix of the same rows: the rows before the first label are the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    IGNORE,
    AudioHead,
    BatchView,
    GeneratedCodes,
    Inputs,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
)
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.dia.generation import generate
from tracker_logging.families.spans import audio_segments, batch_view, padding_mask, runs_by_sample, tokens_and_mask


class DiaAdapter(BaseAdapter):
    """See `ModelAdapter`. Layers are the decoder's; the encoder is a component of its own."""

    family, decoder = "dia", "model.decoder"
    layer_parts = {"attention": "self_attention", "cross_attention": "cross_attention"}  # noqa: RUF012
    pattern: CodePattern
    # The generation config that transformers' `convert_dia_to_hf.py` gives nari-labs/Dia-1.6B, there with guidance 3.0.
    published = SamplingSettings(temperature=1.2, top_p=0.95, top_k=45)
    lowest_temperature = 1.0
    prefixes = {"encoder": "encoder", "cross_attention": "cross_attention", "logits_dense": "heads"}  # noqa: RUF012
    ffn = "audio_ffn"
    tags = r"\[S\d+\]"

    def __init__(self, core: Any) -> None:
        super().__init__(core, pattern_of(core.config), vocabulary=core.config.decoder_config.vocab_size)

    def view(self, inputs: Inputs) -> BatchView:
        text_ids, text_mask = tokens_and_mask(inputs)
        rows, row_mask, labels = self._rows(inputs)
        memory = text_ids.shape[1]
        audio_labels = None if labels is None else pad(labels, (0, 0, memory, 0), value=IGNORE)
        spans = [spans[-1:] for spans in runs_by_sample(pad(row_mask, (memory, 0)))]
        segments = audio_segments(spans, audio_labels, overhang=self.pattern.overhang, lead=1, continued=True)
        attention_mask = torch.cat([text_mask, row_mask], dim=1)
        return batch_view(
            pad(text_ids, (0, rows.shape[1]), value=-1),
            attention_mask,
            segments,
            codes=torch.cat([rows.new_full((*text_ids.shape, self.num_codebooks), -1), rows], dim=1),
            audio_labels=audio_labels,
            memory=memory,
            trailing=0 if labels is None else 1,
            target_text=_target_text(text_mask.cpu(), segments),
        )

    def with_codes(self, inputs: Inputs, codes: torch.Tensor) -> dict[str, Any] | None:
        """See `ModelAdapter`; not in the flat form of rows, which the class of transformers 5.23 does not take."""
        own, memory = inputs["decoder_input_ids"], inputs["input_ids"].shape[1]
        if own.dim() != 3:
            return None
        rows = codes[:, memory : memory + own.shape[1]]
        return {**inputs, "decoder_input_ids": torch.where(rows >= 0, rows, own).to(own)}

    def audio_heads(self) -> Sequence[AudioHead]:
        return (AudioHead(self.core.logits_dense, range(self.num_codebooks)),)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """With the model's own classifier-free guidance if its generation config has one."""
        return generate(self.core, self.pattern, prompts, settings)

    def _rows(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Rows [B, R, K] including the last label's, their mask [B, R] bool, and their labels [B, R, K] or None."""
        samples, channels = len(inputs["input_ids"]), self.num_codebooks
        rows = inputs.get("decoder_input_ids")
        if rows is None:
            rows = inputs["input_ids"].new_full((samples, 1, channels), self.bos_code)
        rows = rows.detach().long()
        if rows.dim() == 2:
            rows = rows.reshape(samples, channels, -1).transpose(1, 2)
        mask = padding_mask(inputs.get("decoder_attention_mask"), rows[..., 0])
        if inputs.get("labels") is not None:
            labels = inputs["labels"].detach().reshape(samples, channels, -1).transpose(1, 2)
            labels = pad(labels, (0, 0, 1, 0), value=IGNORE)
            last = labels[:, -1:]
            rows = torch.cat([rows, last.masked_fill(last == IGNORE, self.pattern.fill)], dim=1)
            mask = torch.cat([mask, (last != IGNORE).any(dim=-1)], dim=1)
        else:
            labels = None
        mask = mask & (rows != self.pattern.fill).any(dim=-1)
        return rows.masked_fill(~mask.unsqueeze(-1), -1), mask, labels


def pattern_of(config: Any) -> CodePattern:
    """How a `DiaConfig` lays out codes."""
    decoder = config.decoder_config
    return CodePattern(
        delays=tuple(config.delay_pattern),
        codes=min(decoder.eos_token_id, decoder.pad_token_id, decoder.bos_token_id),
        eos=decoder.eos_token_id,
        bos=decoder.bos_token_id,
        fill=decoder.pad_token_id,
    )


def _target_text(text: torch.Tensor, segments: Sequence[Segment]) -> tuple[tuple[int, int] | None, ...]:
    """All of a sample's text; None with an audio prompt, whose words it begins with."""
    prompted = {segment.sample for segment in segments if segment.role == Role.REFERENCE}
    return tuple(
        (spans[0][0], spans[-1][1]) if spans and sample not in prompted else None
        for sample, spans in enumerate(runs_by_sample(text))
    )
