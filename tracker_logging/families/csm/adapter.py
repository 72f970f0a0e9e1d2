"""CSM, the transformers-native class `CsmForConditionalGeneration`.

Layout (read in transformers 5.23, `models/csm`): the model's own codec encodes `input_values` to the codes of the audio
tokens; a clip ends at `<|audio_eos|>`, a frame of end codes. The backbone predicts codebook 0, the depth decoder the
others, at frames whose label is not -101. The class trains *every* audio frame of a labelled batch, whatever its label:
references can only be excluded from the depth decoder's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import IGNORE, AudioHead, BatchView, GeneratedCodes, Inputs, Prompt, SamplingSettings
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.frame_loop import frame_by_frame
from tracker_logging.families.reference_clips import ReferenceClips
from tracker_logging.families.sampling import Chooser, left_padded, sampling_of
from tracker_logging.families.spans import audio_segments, batch_view, runs_by_sample, tokens_and_mask

BACKBONE_ONLY = -101
"""Label of an audio position whose frame the depth decoder is not trained on."""


class CsmAdapter(ReferenceClips, BaseAdapter):
    """See `ModelAdapter`. Layers are the backbone's; the depth decoder and the codec are components of their own."""

    family, decoder = "csm", "backbone_model"
    pattern: CodePattern
    trains_references = True
    tags = r"^\[\d+\]"
    published = SamplingSettings(temperature=0.9, top_k=50)  # transformers' `convert_csm.py`, for both decoders
    prefixes = {"depth_decoder": "depth_decoder", "codec_model": "codec"}  # noqa: RUF012

    def __init__(self, core: Any) -> None:
        config = core.config
        codes, end = config.codec_config.codebook_size, config.codebook_eos_token_id
        pattern = CodePattern.without_delay(codebooks=config.num_codebooks, codes=codes, eos=end)
        super().__init__(core, pattern, vocabulary=config.vocab_size)

    def view(self, inputs: Inputs) -> BatchView:
        token_ids, attention_mask = tokens_and_mask(inputs)
        audio = is_audio(token_ids, self.core.config) & attention_mask
        codes, labels = self._codes(inputs, token_ids, audio), inputs.get("labels")
        audio_labels = None if labels is None else codes.masked_fill(~audio.unsqueeze(-1), IGNORE)
        if audio_labels is not None:
            audio_labels[..., 1:][labels == BACKBONE_ONLY] = IGNORE
        spans = runs_by_sample(audio, ends=token_ids == self.core.config.audio_eos_token_id)
        segments = audio_segments(spans, audio_labels, overhang=self.pattern.overhang, lead=0)
        return batch_view(token_ids, attention_mask, segments, codes=codes, audio_labels=audio_labels)

    def audio_heads(self) -> Sequence[AudioHead]:
        return (
            AudioHead(self.core.lm_head, range(1)),
            AudioHead(self.core.depth_decoder.codebooks_head, range(1, self.num_codebooks), _depth_rows),
        )

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """Frame by frame: the backbone gives codebook 0, then the depth decoder the others of the same frame.

        As the checkpoint samples (`sampling`), the depth decoder does by its own generation config; with other
        settings both by these.
        """
        core, choose = self.core, Chooser(settings, [prompt.seed for prompt in prompts])
        of_depth = sampling_of(getattr(core.depth_decoder, "generation_config", None), self.sampling)
        choose_deep = choose.another(of_depth) if settings == self.sampling else choose
        token_ids, prompt_mask = left_padded(prompts, pad=core.config.pad_token_id, device=core.device)
        none, cache = torch.zeros(0, self.num_codebooks, dtype=torch.int64), DynamicCache(config=core.config)
        references = torch.cat([none if prompt.audio_codes is None else prompt.audio_codes for prompt in prompts])
        placed = core.backbone_model.embed_tokens(references.to(core.device)[None])[0]
        prompt = core.embed_text_tokens(token_ids)
        prompt[is_audio(token_ids, core.config) & prompt_mask.bool()] = placed.to(prompt.dtype)

        def following(frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
            embedded = core.backbone_model.embed_tokens(frames) if frames.shape[1] else prompt
            mask = torch.cat([prompt_mask, frame_mask], dim=1)
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -embedded.shape[1] :]
            hidden = core.backbone_model(
                inputs_embeds=embedded,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            return self._frame(hidden, choose, choose_deep)

        return frame_by_frame(following, prompts, self.pattern, core.device)

    def _codes(self, inputs: Inputs, token_ids: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """[B, T, K] codes as the class places them: it expands labels to the codes of its own codec."""
        codes = token_ids.new_full((*token_ids.shape, self.num_codebooks), -1)
        if inputs.get("input_values") is not None:
            with torch.random.fork_rng(devices=[token_ids.device] if token_ids.is_cuda else []), torch.no_grad():
                merged = self.core._merge_input_ids_with_input_values(
                    token_ids, inputs["input_values"], inputs["input_values_cutoffs"], token_ids
                )
            codes[audio] = merged["labels"][audio]
        return codes

    def _frame(self, hidden: torch.Tensor, choose: Chooser, choose_deep: Chooser) -> torch.Tensor:
        """The next frame [B, K] from the backbone's last hidden state [B, hidden]."""
        code = choose(self.core.lm_head(hidden))
        frame: torch.Tensor = self.core.depth_decoder.generate(
            input_ids=torch.stack([torch.zeros_like(code), code], dim=1),  # placeholder of the hidden state, codebook 0
            backbone_last_hidden_state=hidden,
            generation_config=GenerationConfig(do_sample=False, max_new_tokens=self.num_codebooks - 1),
            logits_processor=choose_deep.processors,
        )
        return frame[:, 1:]


def is_audio(token_ids: torch.Tensor, config: Any) -> torch.Tensor:
    """Where a frame is: an audio token, or the end of a clip."""
    audio: torch.Tensor = (token_ids == config.audio_token_id) | (token_ids == config.audio_eos_token_id)
    return audio


def _depth_rows(view: BatchView) -> torch.Tensor:
    """The position before each frame that the depth decoder is trained on, in the order of the class."""
    assert view.audio_labels is not None
    sample, at = (view.audio_labels[..., 1:] != IGNORE).any(dim=-1).nonzero(as_tuple=True)
    return sample * view.token_ids.shape[1] + at - 1
