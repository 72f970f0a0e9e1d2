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
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    IGNORE,
    AudioHead,
    BatchView,
    GeneratedCodes,
    LayerParts,
    Prompt,
    Role,
    SamplingSettings,
)
from tracker_logging.families.boson.batch import boson_batch, collapse, split_clips
from tracker_logging.families.boson.layout import PlaceholderTokens, audio_lengths, expand
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.heads import mean_nll
from tracker_logging.families.sampling import HIGGS_SAMPLING, SeededSampler, generated
from tracker_logging.families.spans import audio_segments, runs, with_segments


class BosonAdapter(BaseAdapter):
    """See `ModelAdapter`. `core` is the `HiggsAudioModel`."""

    family = "higgs_audio"
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
            self.pattern = CodePattern(
                delays=(0,) * self.num_codebooks, codes=min(bos, eos), eos=eos, bos=bos, fill=eos
            )
        self.tokens = PlaceholderTokens(
            audio_in=config.audio_in_token_idx, audio_out=config.audio_out_token_idx, pad=config.pad_token_id
        )

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        expanded = expand(
            inputs,
            tokens=self.tokens,
            feature_lengths=self._feature_lengths(inputs),
            codes_in=self.core.config.encode_audio_in_tokens,
        )
        codes = expanded.token_ids.new_full((*expanded.token_ids.shape, self.num_codebooks), -1)
        _put(codes, expanded.reference, inputs.get("audio_in_ids"))
        _put(codes, expanded.out, inputs.get("audio_out_ids"))
        audio_labels = None
        if inputs.get("label_audio_ids") is not None:
            audio_labels = torch.full_like(codes, IGNORE)
            _put(audio_labels, expanded.out, inputs["label_audio_ids"])
        audio = expanded.reference | expanded.out
        spans = [runs(row, ends=ends) for row, ends in zip(audio.cpu(), expanded.ends.cpu(), strict=True)]
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

    def first_sample(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The first row, and the audios of its placeholders."""
        first = inputs["input_ids"][:1]
        sample: dict[str, Any] = {name: value for name, value in inputs.items() if name != "num_items_in_batch"}
        for name in ("input_ids", "attention_mask", "label_ids"):
            if sample.get(name) is not None:
                sample[name] = sample[name][:1]
        num_in, num_out = (int((first == token).sum()) for token in (self.tokens.audio_in, self.tokens.audio_out))
        for name, count in (("audio_in_ids", num_in), ("audio_out_ids", num_out)):
            lengths = audio_lengths(inputs, name)
            if lengths is not None:
                frames = int(lengths[:count].sum())
                sample[name], sample[f"{name}_start"] = inputs[name][:, :frames], inputs[f"{name}_start"][:count]
                if name == "audio_out_ids" and sample.get("label_audio_ids") is not None:
                    sample["label_audio_ids"] = sample["label_audio_ids"][:, :frames]
        for name in ("audio_features", "audio_feature_attention_mask"):
            if sample.get(name) is not None:
                sample[name] = sample[name][:num_in]
        return sample

    def layers(self) -> Sequence[LayerParts]:
        return [
            LayerParts(
                index=index,
                layer=layer,
                attention=layer.self_attn,
                text_ffn=layer.mlp,
                audio_ffn=getattr(layer, "audio_mlp", None),
            )
            for index, layer in enumerate(self.core.layers)
        ]

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
        processors = LogitsProcessorList()
        if settings.temperature > 0:
            processors.append(SeededSampler(settings, [prompt.seed]))
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
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([steps]),
        )
        frames = output.audio_sequences[-1].T.cpu().clone()
        if int(output.sequences[0, -1]) == audio_eos:
            frames[-1] = self.pattern.eos  # the model stops here, whatever the last codebooks are
        return generated(frames, prompt, self.pattern, steps=steps)

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


def _put(target: torch.Tensor, positions: torch.Tensor, codes: torch.Tensor | None) -> None:
    """Write codes [K, N] to the `positions` [B, T] of `target` [B, T, K], in order, up to the shorter of the two."""
    at = positions.nonzero()
    if codes is not None and codes.shape[-1]:
        frames = codes.detach().T.to(target)[: len(at)]
        target[at[: len(frames), 0], at[: len(frames), 1]] = frames
