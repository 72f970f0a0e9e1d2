"""Higgs Audio v2, the transformers-native class `HiggsAudioV2ForConditionalGeneration`.

Layout (read in transformers 5.23, `models/higgs_audio_v2`): audio positions are `<|AUDIO_OUT|>` or the delay token;
the i-th audio position of a sample holds the i-th valid frame of `audio_input_ids`. Labels are unshifted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, StoppingCriteriaList

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    IGNORE,
    AudioHead,
    BatchView,
    GeneratedCodes,
    Prompt,
    Role,
    SamplingSettings,
)
from tracker_logging.families.delay_pattern import CodePattern, delayed_length
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.sampling import HIGGS_SAMPLING, Chooser, generated, left_padded
from tracker_logging.families.spans import audio_segments, batch_view, runs_by_sample, tokens_and_mask


class HiggsV2Adapter(BaseAdapter):
    """See `ModelAdapter`. `core` is the model without any wrapper."""

    family, decoder = "higgs_audio_v2", "model"
    layer_parts = {"text_ffn": "mlp", "audio_ffn": "audio_mlp"}  # noqa: RUF012
    pattern: CodePattern
    loss_sums_codebooks = True
    prefixes = {"audio_mlp": "audio_ffn"}  # noqa: RUF012
    ffn = "text_ffn"
    sampling = HIGGS_SAMPLING

    def __init__(self, core: Any) -> None:
        config = core.config
        pattern = CodePattern.staircase(
            codebooks=config.num_codebooks, bos=config.audio_stream_bos_id, eos=config.audio_stream_eos_id
        )
        super().__init__(core, pattern, vocabulary=config.codebook_size)

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        token_ids, attention_mask = tokens_and_mask(inputs)
        audio = self._audio_positions(token_ids)
        frames, valid, labels = (
            inputs.get(name) for name in ("audio_input_ids", "audio_input_ids_mask", "audio_labels")
        )
        codes = self._place(frames, valid, audio, fill=-1)
        audio_labels = None if labels is None else self._place(labels, valid, audio, fill=IGNORE)
        segments = audio_segments(runs_by_sample(audio), audio_labels, overhang=self.pattern.overhang, lead=1)
        text_labels = inputs.get("labels") if self.text_head() is not None else None
        return batch_view(
            token_ids,
            attention_mask,
            segments,
            codes=codes,
            audio_labels=audio_labels,
            text_labels=None if text_labels is None else text_labels.detach(),
            mismatched=_mismatched(audio, frames, valid),
        )

    def audio_heads(self) -> Sequence[AudioHead]:
        return (AudioHead(self.core.audio_lm_head, range(self.num_codebooks)),)

    def text_head(self) -> nn.Module | None:
        head: nn.Module | None = self.core.text_lm_head
        return head

    def with_codes(self, inputs: Mapping[str, Any], codes: torch.Tensor) -> dict[str, Any]:
        """See `ModelAdapter`."""
        mask, frames = inputs.get("audio_input_ids_mask"), inputs["audio_input_ids"].clone()
        valid = torch.ones_like(frames[..., 0], dtype=torch.bool) if mask is None else mask.bool()
        frames[valid] = codes[self._audio_positions(inputs["input_ids"])].to(frames)
        return {**inputs, "audio_input_ids": frames}

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        view = self.view(inputs)
        if view.audio_labels is None:
            raise ValueError("audio_nll needs `audio_labels` in the batch.")
        of_target = (view.roles == Role.TARGET).unsqueeze(-1)
        labels = view.audio_labels.where(of_target, IGNORE)[:, 1:]
        # Only columns that predict a labelled position in some sample go through the audio head.
        columns = (labels != IGNORE).any(dim=-1).any(dim=0).nonzero().squeeze(-1)
        unlabelled = {k: v for k, v in inputs.items() if k not in ("labels", "audio_labels")}
        logits = self.core(**unlabelled, logits_to_keep=columns, use_cache=False).logits
        logits = logits.reshape(*logits.shape[:2], self.num_codebooks, self.codebook_vocabulary)
        nll = nn.functional.cross_entropy(
            logits.float().movedim(-1, 1), labels[:, columns], ignore_index=IGNORE, reduction="none"
        )
        counted = labels[:, columns] != IGNORE
        return (nll * counted).sum(dim=1) / counted.sum(dim=1)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        steps = StepTimes()
        device = next(self.core.parameters()).device
        inputs = {name: value.to(device) for name, value in self._batch(prompts).items()}
        limit = max(delayed_length(prompt.max_frames, self.num_codebooks) for prompt in prompts)
        sequences = self.core.generate(
            **inputs,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=limit,
                use_cache=True,
                pad_token_id=self.core.config.pad_token_id,
                eos_token_id=self.core.config.eos_token_id,
            ),
            logits_processor=Chooser(settings, [prompt.seed for prompt in prompts]).processors,
            stopping_criteria=StoppingCriteriaList([steps]),
        )
        prompt_frames = 0 if "audio_input_ids" not in inputs else inputs["audio_input_ids"].shape[1]
        return [
            generated(sequence[prompt_frames:].cpu(), prompt, self.pattern, steps=steps)
            for sequence, prompt in zip(sequences, prompts, strict=True)
        ]

    def _audio_positions(self, token_ids: torch.Tensor) -> torch.Tensor:
        config = self.core.config
        audio: torch.Tensor = (token_ids == config.audio_token_id) | (token_ids == config.audio_delay_token_id)
        return audio

    def _place(
        self, frames: torch.Tensor | None, mask: torch.Tensor | None, audio: torch.Tensor, *, fill: int
    ) -> torch.Tensor:
        """frames [B, F, K] -> [B, T, K]: valid frames at the audio positions, `fill` elsewhere.

        All frames in sequence, as the model does. If frames and positions differ in number, sample by sample up to the
        shorter of the two. Frames whose shape does not fit the mask or the model are not placed.
        """
        placed = torch.full((*audio.shape, self.num_codebooks), fill, dtype=torch.int64, device=audio.device)
        if frames is None or frames.shape[-1] != self.num_codebooks or len(frames) != len(audio):
            return placed
        valid = torch.ones_like(frames[..., 0], dtype=torch.bool) if mask is None else mask.bool()
        if valid.shape != frames.shape[:-1]:
            return placed
        if int(valid.sum()) == int(audio.sum()):
            placed[audio] = frames.detach()[valid]
            return placed
        for sample, sample_frames in enumerate(frames.detach()):
            positions = audio[sample].nonzero().squeeze(-1)
            fitting = sample_frames[valid[sample]][: len(positions)]
            placed[sample, positions[: len(fitting)]] = fitting
        return placed

    def _batch(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Left-padded text and right-padded audio, as the model's `generate` expects."""
        token_ids, attention_mask = left_padded(prompts, pad=self.core.config.pad_token_id)
        batch = {"input_ids": token_ids, "attention_mask": attention_mask}
        lengths = [0 if prompt.audio_codes is None else len(prompt.audio_codes) for prompt in prompts]
        if max(lengths) > 0:
            frames = torch.full((len(prompts), max(lengths), self.num_codebooks), self.eos_code, dtype=torch.int64)
            for row, prompt in enumerate(prompts):
                if prompt.audio_codes is not None:
                    frames[row, : lengths[row]] = prompt.audio_codes
            batch["audio_input_ids"] = frames
            batch["audio_input_ids_mask"] = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return batch


def _mismatched(audio: torch.Tensor, frames: torch.Tensor | None, mask: torch.Tensor | None) -> tuple[int, ...]:
    """Samples whose numbers of audio positions [B, T] and of valid frames of [B, F, K] differ."""
    positions = audio.sum(dim=1)
    if frames is None:
        counts = torch.zeros_like(positions)
    elif mask is None:
        counts = torch.full_like(positions, frames.shape[1])
    else:
        counts = mask.bool().sum(dim=1)
    if len(counts) != len(positions):
        return tuple(range(len(positions)))
    return tuple((positions != counts).nonzero().squeeze(-1).tolist())
