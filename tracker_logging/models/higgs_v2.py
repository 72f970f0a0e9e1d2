"""Higgs Audio v2, the transformers-native class `HiggsAudioV2ForConditionalGeneration`.

Layout (read in transformers 5.23, `models/higgs_audio_v2`): audio positions are `<|AUDIO_OUT|>` or the delay token;
the i-th audio position of a sample takes the i-th valid frame of `audio_input_ids`. Labels are unshifted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, LogitsProcessorList

from tracker_logging.models.base import (
    IGNORE,
    BatchView,
    GeneratedCodes,
    LayerParts,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
)
from tracker_logging.models.delay_pattern import delayed_length, revert_delay
from tracker_logging.models.sampling import SeededSampler

_NORM_PARTS = ("norm", "layernorm")
_PROJECTIONS = {"q_proj": "attention_q", "k_proj": "attention_k", "v_proj": "attention_v", "o_proj": "attention_o"}


class HiggsV2Adapter:
    """See `ModelAdapter`. `core` is the model without any wrapper."""

    family = "higgs_audio_v2"

    def __init__(self, core: Any) -> None:
        config = core.config
        self.core = core
        self.num_codebooks: int = config.num_codebooks
        self.codebook_vocabulary: int = config.codebook_size
        self.bos_code: int = config.audio_stream_bos_id
        self.eos_code: int = config.audio_stream_eos_id

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        token_ids = inputs["input_ids"].detach()
        mask = inputs.get("attention_mask")
        attention_mask = torch.ones_like(token_ids, dtype=torch.bool) if mask is None else mask.detach().bool()
        audio = self._audio_positions(token_ids)
        codes = self._place(inputs.get("audio_input_ids"), inputs.get("audio_input_ids_mask"), audio, fill=-1)
        labels = inputs.get("audio_labels")
        audio_labels = None
        if labels is not None:
            audio_labels = self._place(labels, inputs.get("audio_input_ids_mask"), audio, fill=IGNORE)
        roles = torch.where(attention_mask, int(Role.TEXT), int(Role.PADDING))
        segments = self._segments(audio, audio_labels)
        for segment in segments:
            roles[segment.sample, segment.start : segment.stop] = int(segment.role)
        text_labels = inputs.get("labels") if self.text_head() is not None else None
        return BatchView(
            token_ids=token_ids,
            attention_mask=attention_mask,
            roles=roles,
            codes=codes,
            audio_labels=audio_labels,
            text_labels=None if text_labels is None else text_labels.detach(),
            segments=segments,
        )

    def layers(self) -> Sequence[LayerParts]:
        return [
            LayerParts(
                index=index, layer=layer, attention=layer.self_attn, text_ffn=layer.mlp, audio_ffn=layer.audio_mlp
            )
            for index, layer in enumerate(self.core.model.layers)
        ]

    def audio_head(self) -> nn.Module | None:
        return self.core.audio_lm_head

    def text_head(self) -> nn.Module | None:
        return self.core.text_lm_head

    def component(self, parameter_name: str) -> tuple[str, int | None]:
        parts = parameter_name.split(".")
        layer = int(parts[parts.index("layers") + 1]) if "layers" in parts else None
        adapter = "lora_" if any(part.startswith("lora_") for part in parts) else ""
        return adapter + _component(parts), layer

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        view = self.view(inputs)
        if view.audio_labels is None:
            raise ValueError("audio_nll needs `audio_labels` in the batch.")
        labels = view.audio_labels[:, 1:]
        # Only the columns that predict a labelled position in some sample go through the audio head.
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
        device = next(self.core.parameters()).device
        inputs = {name: value.to(device) for name, value in self._batch(prompts).items()}
        limit = max(delayed_length(prompt.max_frames, self.num_codebooks) for prompt in prompts)
        processors = LogitsProcessorList()
        if settings.temperature > 0:
            processors.append(SeededSampler(settings, [prompt.seed for prompt in prompts]))
        sequences = self.core.generate(
            **inputs,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=limit,
                use_cache=True,
                pad_token_id=self.core.config.pad_token_id,
                eos_token_id=self.core.config.eos_token_id,
            ),
            logits_processor=processors,
        )
        given = 0 if "audio_input_ids" not in inputs else inputs["audio_input_ids"].shape[1]
        return [
            self._spoken(sequence[given:].cpu(), prompt) for sequence, prompt in zip(sequences, prompts, strict=True)
        ]

    def _audio_positions(self, token_ids: torch.Tensor) -> torch.Tensor:
        config = self.core.config
        return (token_ids == config.audio_token_id) | (token_ids == config.audio_delay_token_id)

    def _place(
        self, frames: torch.Tensor | None, mask: torch.Tensor | None, audio: torch.Tensor, *, fill: int
    ) -> torch.Tensor:
        """frames [B, F, K] -> [B, T, K]: valid frames at the audio positions, `fill` elsewhere."""
        placed = torch.full((*audio.shape, self.num_codebooks), fill, dtype=torch.int64, device=audio.device)
        if frames is not None:
            valid = frames.detach() if mask is None else frames.detach()[mask.bool()]
            placed[audio] = valid.reshape(-1, self.num_codebooks)
        return placed

    def _segments(self, audio: torch.Tensor, audio_labels: torch.Tensor | None) -> tuple[Segment, ...]:
        """Runs of audio positions. A run is the target if it is trained and the last trained run of its sample."""
        positions = audio.cpu()
        labelled = None if audio_labels is None else (audio_labels != IGNORE).any(dim=-1).cpu()
        segments: list[Segment] = []
        for sample, row in enumerate(positions):
            spans = _runs(row)
            trained = [span for span in spans if labelled is not None and bool(labelled[sample, slice(*span)].any())]
            target = trained[-1] if trained else None
            for span in spans:
                role = Role.TARGET if span == target else Role.REFERENCE
                frames = max(0, span[1] - span[0] - self.num_codebooks - 1)
                segments.append(Segment(sample, role, span[0], span[1], frames))
        return tuple(segments)

    def _batch(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Left-padded text and right-padded audio, as the family's generation expects."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        token_ids = torch.full((len(prompts), longest), int(self.core.config.pad_token_id), dtype=torch.int64)
        attention_mask = torch.zeros_like(token_ids)
        for row, prompt in enumerate(prompts):
            token_ids[row, longest - len(prompt.token_ids) :] = prompt.token_ids
            attention_mask[row, longest - len(prompt.token_ids) :] = 1
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

    def _spoken(self, delayed: torch.Tensor, prompt: Prompt) -> GeneratedCodes:
        codes = revert_delay(delayed, eos=self.eos_code)
        stopped = bool((delayed == self.eos_code).any(dim=0).all()) and codes.shape[1] <= prompt.max_frames
        # A begin code inside speech stands for no sound; the nearest real code keeps the clip's length.
        codes = codes[:, : prompt.max_frames].clamp(max=min(self.bos_code, self.eos_code) - 1)
        return GeneratedCodes(codes=codes.numpy(), stop_reason="eos" if stopped else "max_length")


def _component(parts: Sequence[str]) -> str:
    """The component that the parts of a parameter's name speak of."""
    if any(part.endswith(_NORM_PARTS) for part in parts):
        return "norms"
    for part in parts:
        if part in _PROJECTIONS:
            return _PROJECTIONS[part]
    if "audio_mlp" in parts:
        return "audio_ffn"
    if "mlp" in parts:
        return "text_ffn"
    if any(part.startswith("embed") for part in parts):
        return "embeddings"
    if any(part.endswith("lm_head") for part in parts):
        return "heads"
    return "other"


def _runs(row: torch.Tensor) -> list[tuple[int, int]]:
    """Start and stop of each run of True in a 1-D bool tensor."""
    edges = torch.diff(row.int(), prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
    starts = (edges == 1).nonzero().squeeze(-1).tolist()
    stops = (edges == -1).nonzero().squeeze(-1).tolist()
    return list(zip(starts, stops, strict=True))
