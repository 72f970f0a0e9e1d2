"""`boson_multimodal` 0.1.1: `HiggsAudioModel` on the transformers 4.46 that it pins.

Layout (read in 0.1.1): there is one `<|AUDIO|>` or `<|AUDIO_OUT|>` per audio, which the model expands, see `layout.py`.
The audio head runs at output codes only, so a clip's first frame, which is all begin codes, is never predicted. Whisper
features use the text FFN. The model computes no loss: the trainer or a wrapper does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

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
from tracker_logging.families.batches import indexed
from tracker_logging.families.boson.batch import boson_batch, collapse, split_clips
from tracker_logging.families.boson.layout import Expanded, PlaceholderTokens, audio_lengths, expand
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.heads import mean_nll
from tracker_logging.families.sampling import HIGGS_SAMPLING, Chooser, generated
from tracker_logging.families.spans import audio_segments, padding_mask, runs_by_sample, with_segments


class BosonAdapter(BaseAdapter):
    """See `ModelAdapter`. `core` is the `HiggsAudioModel`."""

    family, decoder = "higgs_audio", ""
    layer_parts: ClassVar[Mapping[str, str]] = {"text_ffn": "mlp", "audio_ffn": "audio_mlp"}
    ffn = "text_ffn"
    sampling = HIGGS_SAMPLING
    # The upstream collator passes an empty tensor for a stream that a batch does not have.
    may_be_empty = frozenset(
        {"audio_in_ids", "audio_in_ids_start", "audio_features", "audio_feature_attention_mask", "reward"}
    )
    prefixes: ClassVar[Mapping[str, str]] = {
        "audio_mlp": "audio_ffn",
        "audio_tower": "encoder",
        "audio_encoder_proj": "encoder",
        "audio_codebook_embeddings": "embeddings",
    }

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        config = core.config
        self.num_codebooks = config.audio_num_codebooks
        self.codebook_vocabulary = config.audio_codebook_size + 2
        bos, eos = config.audio_stream_bos_id, config.audio_stream_eos_id
        if config.use_delay_pattern:
            self.pattern = CodePattern.staircase(codebooks=self.num_codebooks, bos=bos, eos=eos)
        else:
            self.pattern = CodePattern.without_delay(
                codebooks=self.num_codebooks, codes=min(bos, eos), eos=eos, bos=bos
            )
        self.tokens = PlaceholderTokens(
            audio_in=config.audio_in_token_idx, audio_out=config.audio_out_token_idx, pad=config.pad_token_id
        )

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        expanded = self._expanded(inputs)
        codes = expanded.token_ids.new_full((*expanded.token_ids.shape, self.num_codebooks), -1)
        _put(codes, expanded.reference, inputs.get("audio_in_ids"))
        _put(codes, expanded.out, inputs.get("audio_out_ids"))
        audio_labels = None
        if inputs.get("label_audio_ids") is not None:
            audio_labels = torch.full_like(codes, IGNORE)
            _put(audio_labels, expanded.out, inputs["label_audio_ids"])
        audio = expanded.reference | expanded.out
        spans = runs_by_sample(audio, ends=expanded.ends)
        assert self.pattern is not None
        segments = audio_segments(spans, audio_labels, overhang=self.pattern.overhang, lead=1)
        roles = with_segments(expanded.attention_mask, segments)
        return BatchView(
            token_ids=expanded.token_ids,
            attention_mask=expanded.attention_mask,
            roles=roles.masked_fill(expanded.features, int(Role.REFERENCE)),
            codes=codes,
            audio_labels=audio_labels,
            text_labels=expanded.text_labels,
            segments=segments,
            mismatched=tuple(range(len(roles))) if expanded.mismatched else (),
        )

    def samples(self, inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """See `ModelAdapter`: these rows, and the audios of their placeholders."""
        chosen = indexed(inputs, dict.fromkeys(("input_ids", "attention_mask", "label_ids"), rows))
        audios_in, audios_out = (
            _audios(inputs["input_ids"] == token, rows) for token in (self.tokens.audio_in, self.tokens.audio_out)
        )
        for name, audios in (("audio_in_ids", audios_in), ("audio_out_ids", audios_out)):
            lengths = audio_lengths(inputs, name)
            if lengths is not None:
                chosen[name] = _clips(inputs[name], lengths, audios)
                chosen[f"{name}_start"] = lengths[audios].cumsum(dim=0) - lengths[audios]
                if name == "audio_out_ids" and chosen.get("label_audio_ids") is not None:
                    chosen["label_audio_ids"] = _clips(inputs["label_audio_ids"], lengths, audios)
        for name in ("audio_features", "audio_feature_attention_mask"):
            if chosen.get(name) is not None and len(chosen[name]):
                chosen[name] = chosen[name][audios_in]
        return chosen

    def with_text(self, inputs: Mapping[str, Any], token_ids: torch.Tensor) -> dict[str, Any]:
        """See `ModelAdapter`."""
        expanded, own = self._expanded(inputs), inputs["input_ids"]
        in_view = expanded.attention_mask & ~(expanded.features | expanded.reference | expanded.out)
        in_batch = padding_mask(inputs.get("attention_mask"), own)
        in_batch = in_batch & (own != self.tokens.audio_in) & (own != self.tokens.audio_out)
        return {**inputs, "input_ids": own.masked_scatter(in_batch, token_ids[in_view].to(own))}

    def with_codes(self, inputs: Mapping[str, Any], codes: torch.Tensor) -> dict[str, Any] | None:
        """See `ModelAdapter`; not where Whisper features hold a reference too."""
        if self._feature_lengths(inputs) is not None:
            return None
        expanded, given = self._expanded(inputs), dict(inputs)
        for name, places in (("audio_in_ids", expanded.reference), ("audio_out_ids", expanded.out)):
            if places.any():
                given[name] = codes[places].T.to(inputs[name])
        return given

    def audio_heads(self) -> Sequence[AudioHead]:
        return (AudioHead(self.core.audio_decoder_proj.audio_lm_head, range(self.num_codebooks), self._output_rows),)

    def text_head(self) -> nn.Module | None:
        head: nn.Module | None = self.core.audio_decoder_proj.text_lm_head
        return head

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """See `ModelAdapter`; a batch in the native layout (our collator's) is converted first."""
        if "audio_input_ids" in inputs:
            inputs = boson_batch(inputs, tokens=self.tokens, bos=self.bos_code)
        return mean_nll(self, inputs)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """One prompt after the other: the model's own `generate` takes one at a time."""
        return [self._generate_one(prompt, settings) for prompt in prompts]

    def _generate_one(self, prompt: Prompt, settings: SamplingSettings) -> GeneratedCodes:
        assert self.pattern is not None
        steps = StepTimes()
        device = next(self.core.parameters()).device
        clips = [] if prompt.audio_codes is None else split_clips(prompt.audio_codes, bos=self.bos_code)
        lengths = [len(clip) for clip in clips]
        token_ids = collapse(prompt.token_ids, lengths, audio_out=self.tokens.audio_out)[None].to(device)
        references = torch.cat(clips).T if clips else torch.zeros(self.num_codebooks, 0, dtype=torch.int64)
        starts = torch.tensor([0, *lengths[:-1]] if lengths else [], dtype=torch.int64).cumsum(dim=0)
        audio_eos = self.core.audio_eos_token_id
        output = self.core.generate(
            input_ids=token_ids,
            attention_mask=torch.ones_like(token_ids),
            audio_out_ids=references.to(device) if clips else None,
            audio_out_ids_start=starts.to(device) if clips else None,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=prompt.max_frames + self.pattern.overhang,
                use_cache=True,
                pad_token_id=self.tokens.pad,
                eos_token_id=audio_eos,
                return_dict_in_generate=True,
            ),
            logits_processor=Chooser(settings, [prompt.seed]).processors,
            stopping_criteria=StoppingCriteriaList([steps]),
        )
        frames = output.audio_sequences[-1].T.cpu().clone()
        if int(output.sequences[0, -1]) == audio_eos:
            frames[-1] = self.pattern.eos  # the model stops here, whatever the last codebooks are
        return generated(frames, prompt, self.pattern, steps=steps)

    def _expanded(self, inputs: Mapping[str, Any]) -> Expanded:
        return expand(
            inputs,
            tokens=self.tokens,
            feature_lengths=self._feature_lengths(inputs),
            codes_in=self.core.config.encode_audio_in_tokens,
        )

    def _output_rows(self, view: BatchView) -> torch.Tensor:
        return (view.token_ids == self.tokens.audio_out).flatten().nonzero().squeeze(-1)

    def _feature_lengths(self, inputs: Mapping[str, Any]) -> torch.Tensor | None:
        """Positions of each audio's Whisper features, as the model's own tower counts them."""
        features, tower = inputs.get("audio_features"), self.core.audio_tower
        if tower is None or features is None or len(features) == 0:
            return None
        frames = inputs["audio_feature_attention_mask"].sum(dim=-1)
        lengths: torch.Tensor = tower._get_feat_extract_output_lengths(frames)[1]
        return lengths


def _audios(placeholders: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """[N] int64: the audios of these rows, as numbers among all `placeholders` [B, S]."""
    number = placeholders.flatten().cumsum(dim=0).view_as(placeholders) - 1
    return torch.cat([number[row][placeholders[row]] for row in rows])


def _clips(codes: torch.Tensor, lengths: torch.Tensor, audios: torch.Tensor) -> torch.Tensor:
    """The columns of these audios in codes [K, N], of audios of these lengths."""
    clips = codes.split(lengths.tolist(), dim=1)
    return torch.cat([codes[:, :0], *(clips[audio] for audio in audios.tolist())], dim=1)


def _put(target: torch.Tensor, positions: torch.Tensor, codes: torch.Tensor | None) -> None:
    """Write codes [K, N] to the `positions` [B, T] of `target` [B, T, K], in order, up to the shorter of the two."""
    at = positions.nonzero()
    if codes is not None and codes.shape[-1]:
        frames = codes.detach().T.to(target)[: len(at)]
        target[at[: len(frames), 0], at[: len(frames), 1]] = frames
