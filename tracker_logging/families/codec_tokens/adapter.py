"""Language models of text whose vocabulary holds audio codes: Orpheus, LLaSA, NeuTTS, OuteTTS, Spark-TTS and others.

Every token is text or a code of one slot, so a position holds one code. The nll of a code is that of the model's loss,
the softmax over the whole vocabulary; so are ranks and entropy. Text, control tokens included, is measured separately;
the end token of a clip counts as a code of slot 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteriaList

from tracker_logging.families.base import (
    IGNORE,
    AudioHead,
    BatchView,
    GeneratedCodes,
    LayerParts,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
    Span,
    StopReason,
)
from tracker_logging.families.codec_tokens.layout import TokenIds
from tracker_logging.families.codec_tokens.pattern import TokenPattern
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.sampling import Chooser, left_padded
from tracker_logging.families.spans import audio_segments, batch_view, runs_by_sample, tokens_and_mask
from tracker_logging.families.text.adapter import TextAdapter

TOKENS_BETWEEN = 2  # of a layout with words between its codes: at most as many of them as of codes


class CodecTokenAdapter(TextAdapter):
    """See `ModelAdapter`. `core` is a causal language model, `ids` the layout in its vocabulary.

    Raises `ValueError` if the model's output has fewer rows than the layout has tokens.
    """

    family = "codec_tokens"
    ffn = "ffn"

    def __init__(self, core: Any, ids: TokenIds) -> None:
        super().__init__(core)
        rows = max((weight.shape[0] for weight in core.get_output_embeddings().parameters()), default=0)
        if ids.highest >= rows > 0:  # a sharded weight may have no rows here
            raise ValueError(
                f"layout {ids.name!r} has token {ids.highest}, but the model predicts {rows} tokens: the tokenizer is "
                "not that of the model, or its embeddings were not resized (`resize_token_embeddings`)."
            )
        self.ids = ids
        self.num_codebooks = len(ids.slots)
        self.codebook_vocabulary = ids.codes + 1
        self.pattern: TokenPattern = TokenPattern.of_slots(len(ids.slots), codes=ids.codes, per_clip=ids.per_clip)
        self._columns = [ids.columns(slot) for slot in range(len(ids.slots))]

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        (token_ids, attention_mask), labels = tokens_and_mask(inputs), inputs.get("labels")
        spans = self._spans(token_ids, attention_mask)
        audio = torch.zeros_like(attention_mask)
        for sample, of_sample in enumerate(spans):
            for start, stop in of_sample:
                audio[sample, start:stop] = True
        codes = self._codes(token_ids, audio)
        audio_labels = text_labels = None
        if labels is not None:
            labels = labels.detach()
            audio_labels = self._codes(labels, audio & (labels != IGNORE))
            audio_labels[audio_labels < 0] = IGNORE
            text_labels = labels.masked_fill((audio_labels != IGNORE).any(dim=-1), IGNORE)
        segments = tuple(
            replace(segment, frames=self._frames(codes, segment))
            for segment in audio_segments(spans, audio_labels, overhang=0, lead=0, continued=True)
        )
        self._give_clip_tokens(codes, segments)
        continued = any(
            left.frames and (left.sample, left.stop) == (right.sample, right.start)
            for left, right in pairwise(segments)
        )
        return batch_view(
            token_ids,
            attention_mask,
            segments,
            codes=codes,
            audio_labels=audio_labels,
            text_labels=text_labels,
            # The words of a reference that the target continues are in the same text: its own words are unknown.
            target_text=(None,) * len(token_ids) if continued else None,
        )

    def with_codes(self, inputs: Mapping[str, Any], codes: torch.Tensor) -> dict[str, Any] | None:
        """See `ModelAdapter`; not where tokens describe a clip as a whole."""
        if self.ids.per_clip:
            return None
        token_ids = inputs["input_ids"].clone()
        for slot, columns in enumerate(self._columns):
            changed = (codes[..., slot] >= 0) & (self.ids.codes_of(token_ids)[..., slot] >= 0)
            token_ids[changed] = columns.to(token_ids.device)[codes[..., slot][changed]]
        return {**inputs, "input_ids": token_ids}

    def layers(self) -> Sequence[LayerParts]:
        return [replace(parts, audio_ffn=parts.text_ffn) for parts in super().layers()]

    def audio_heads(self) -> Sequence[AudioHead]:
        head = self.core.get_output_embeddings()
        return [AudioHead(head, range(at, at + 1), columns=columns) for at, columns in enumerate(self._columns)]

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """Whatever token is most likely or drawn, as these models are used: nothing forces a code of the next slot."""
        steps = StepTimes()
        ids, device = self.ids, next(self.core.parameters()).device
        token_ids, mask = (tensor.to(device) for tensor in left_padded(prompts, pad=ids.end))
        per_frame = len(ids.of_frames) * (TOKENS_BETWEEN if ids.inside else 1)
        stops = getattr(getattr(self.core, "generation_config", None), "eos_token_id", None)
        ends = {ids.end, *([] if stops is None else stops if isinstance(stops, list) else [stops])}
        sequences = self.core.generate(
            input_ids=token_ids,
            attention_mask=mask,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max(prompt.max_frames for prompt in prompts) * per_frame + 1,
                use_cache=True,
                pad_token_id=ids.end,
                eos_token_id=sorted(ends),
            ),
            logits_processor=Chooser(settings, [prompt.seed for prompt in prompts]).processors,
            stopping_criteria=StoppingCriteriaList([steps]),
        )[:, token_ids.shape[1] :]
        return [
            self._clip(prompt, new.tolist(), ends, steps) for prompt, new in zip(prompts, sequences.cpu(), strict=True)
        ]

    def _clip(self, prompt: Prompt, tokens: list[int], ends: set[int], steps: StepTimes) -> GeneratedCodes:
        ids, frames = self.ids, self.ids.whole_frames(tokens)
        ended = bool(ends & set(tokens)) and len(frames) <= prompt.max_frames
        frames = frames[: prompt.max_frames]
        codes = torch.zeros(len(ids.slots), len(frames), dtype=torch.int64)
        codes[ids.of_frames] = frames.T
        stop_reason: StopReason = "eos" if ended else "max_length"
        for slot in ids.per_clip:  # generated, or those of the reference
            sources = [ids.codes_of(of)[:, slot] for of in (prompt.token_ids.new_tensor(tokens), prompt.token_ids)]
            given = next((of[of >= 0] for of in sources if (of >= 0).any()), None)
            if given is None:
                return GeneratedCodes(codes=codes[:, :0].numpy(), stop_reason=stop_reason)
            codes[slot] = given.repeat(-(-codes.shape[1] // len(given)))[: codes.shape[1]]
        first_frame_s = steps.after(ids.tokens_to_first_frame(tokens))
        return GeneratedCodes(codes=codes.numpy(), stop_reason=stop_reason, first_frame_s=first_frame_s)

    def _spans(self, token_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[list[Span]]:
        """The clips of each sample: a run of codes and the end token after it."""
        code = ((self.ids.codes_of(token_ids) >= 0).any(dim=-1) & attention_mask).cpu()
        end = ((token_ids == self.ids.end) & attention_mask).cpu()
        if self.ids.inside:
            return [_to_the_end(*row) for row in zip(code, end, strict=True)]
        end[:, 1:] &= code[:, :-1]
        end[:, 0] = False
        return runs_by_sample(code | end, ends=end)

    def _codes(self, token_ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """[B, T, K]: the codes of tokens `where` there is audio, -1 elsewhere; the end token is one of slot 0."""
        codes = self.ids.codes_of(token_ids)
        codes[..., 0] = torch.where(token_ids == self.ids.end, self.eos_code, codes[..., 0])
        return codes.masked_fill(~where.unsqueeze(-1), -1)

    def _frames(self, codes: torch.Tensor, segment: Segment) -> int:
        """Whole frames of a segment."""
        of_segment = codes[segment.sample, segment.start : segment.stop][:, self.ids.of_frames]
        return int(((of_segment >= 0) & (of_segment != self.eos_code)).sum(dim=0).min())

    def _give_clip_tokens(self, codes: torch.Tensor, segments: Sequence[Segment]) -> None:
        """A target without tokens of its clip as a whole has those of the clip before it: they are placed at its
        frames."""
        for slot in self.ids.per_clip:
            latest: dict[int, torch.Tensor] = {}
            for segment in segments:
                column = codes[segment.sample, segment.start : segment.stop, slot]
                if (column >= 0).any():
                    latest[segment.sample] = column[column >= 0]
                elif segment.role == Role.TARGET and segment.sample in latest:
                    given = latest[segment.sample][: len(column)]
                    column[: len(given)] = given


def _to_the_end(code: torch.Tensor, end: torch.Tensor) -> list[Span]:
    """From each first code to the end token after it, whatever is between; without one, to the last code."""
    spans: list[Span] = []
    start = last = -1
    for at in (code | end).nonzero().squeeze(-1).tolist():
        if bool(code[at]):
            start, last = (at if start < 0 else start), at
        elif start >= 0:
            spans.append((start, at + 1))
            start = -1
    return spans if start < 0 else [*spans, (start, last + 1)]
