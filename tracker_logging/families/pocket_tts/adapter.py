"""Pocket TTS and Gradium Phonon TTS, the transformers-native classes: a flow head on a causal transformer.

Layout (read in transformers 5.23, `models/pocket_tts`): `[voice BOS] voice frames text audio-BOS audio frames`. The
outputs at the audio BOS and at all frames but the last predict the frames; those at all of them carry the end of
speech, which is the last frame's. Training draws `flow_loss_num_samples` noises per frame; the first call of the flow
head is the flow-matching term, whose start and end times are one tensor; the others belong to self-distillation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import BatchView, GeneratedCodes, LayerParts, Prompt, Role, SamplingSettings, Segment
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.latents import WITHOUT_CODES, FlowTerms, paired_noise
from tracker_logging.families.spans import padding_mask, runs, with_segments

GAP_DRAWS = 8


class PocketTTSAdapter(BaseAdapter):
    """See `ModelAdapter` and `LatentAdapter`. `core` is the model without any wrapper."""

    family = "pocket_tts"
    cannot_give = WITHOUT_CODES
    ffn = "ffn"
    prefixes: ClassVar[Mapping[str, str]] = {
        "flow_head": "heads",
        "eos_head": "heads",
        "loss_weighting": "heads",
        "audio_prompt_proj": "embeddings",
        "audio_latent_proj": "embeddings",
        "bos_latent": "embeddings",
    }

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.latent_dim: int = core.config.latent_dim

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        config, token_ids = self.core.config, inputs["input_ids"].detach()
        attention_mask = padding_mask(inputs.get("attention_mask"), token_ids)
        voice = (token_ids == config.audio_prompt_token_id) & attention_mask
        frames = (token_ids == config.audio_latent_token_id) & attention_mask
        target = frames | ((token_ids == config.audio_bos_token_id) & attention_mask)
        segments: list[Segment] = []
        for sample, rows in enumerate(zip(voice.cpu(), target.cpu(), strict=True)):
            for row, role, lead in zip(rows, (Role.REFERENCE, Role.TARGET), (0, 1), strict=True):
                segments += [Segment(sample, role, start, stop, stop - start - lead, lead) for start, stop in runs(row)]
        return BatchView(
            token_ids=token_ids,
            attention_mask=attention_mask,
            roles=with_segments(attention_mask, segments),
            codes=token_ids.new_empty((*token_ids.shape, 0)),
            audio_labels=None,
            text_labels=None,
            segments=tuple(segments),
            frame_labels=None if inputs.get("labels") is None else frames,
        )

    def layers(self) -> Sequence[LayerParts]:
        return [
            LayerParts(index=index, layer=layer, attention=layer.self_attn, text_ffn=None, audio_ffn=layer.mlp)
            for index, layer in enumerate(self.core.model.layers)
        ]

    # --- latents ------------------------------------------------------------------------------------------------------

    def flow_head(self) -> nn.Module:
        head: nn.Module = self.core.flow_head
        return head

    def eos_head(self) -> nn.Module:
        head: nn.Module = self.core.eos_head
        return head

    def eos_logits(self, output: torch.Tensor) -> torch.Tensor:
        return output.flatten()

    def flow_terms(
        self, inputs: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor
    ) -> FlowTerms:
        """`x_t = t · data + (1 − t) · noise` and the velocity `data − noise`, which is `(data − x_t) / (1 − t)`."""
        noisy, conditions = args
        targets = self._normalised(inputs)[self._frame_mask(inputs)]
        times = kwargs["times"][0].float()
        data = targets.float().repeat(len(noisy) // max(1, len(targets)), 1)
        velocity = (data - noisy.float()) / (1 - times)
        losses = (output.float() - velocity).square().mean(dim=-1)
        return FlowTerms(levels=1 - times[:, 0], losses=losses, conditions=conditions[: len(targets)], targets=targets)

    def ends(self, view: BatchView) -> tuple[torch.Tensor, torch.Tensor]:
        at = (view.roles == Role.TARGET).flatten().nonzero().squeeze(-1)
        last = {segment.sample * view.roles.shape[1] + segment.stop - 1 for segment in view.segments if segment.lead}
        return at, torch.isin(at, torch.tensor(sorted(last), dtype=torch.int64, device=at.device))

    def eos_threshold(self) -> float:
        threshold = getattr(self.core.generation_config, "eos_threshold", None)
        return -4.0 if threshold is None else float(threshold)  # the default of the class

    def sample(self, inputs: Mapping[str, Any], conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        steps = getattr(self.core.generation_config, "num_flow_steps", None) or 1
        latents: torch.Tensor = self.core.sample_latent(conditions, noise.to(conditions.dtype), steps)
        return latents

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        denormalised: torch.Tensor = self.core.denormalize_latents(latents)
        return denormalised

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[B, 1] float32: the flow loss of each target, mean over frames, dimensions and `GAP_DRAWS` noise levels.

        Noise and levels depend on the number of the frame alone, so that two conditions of one target are paired.
        """
        core, mask, view = self.core, self._frame_mask(inputs), self.view(inputs)
        targets = self._normalised(inputs)
        names = ("input_ids", "audio_prompt_latents", "audio_prompt_latents_mask", "attention_mask")
        hidden = core.model(
            **{name: inputs[name] for name in names if inputs.get(name) is not None},
            audio_latents=targets,
            audio_latents_mask=mask.long(),
            use_cache=False,
        ).last_hidden_state
        predicts = torch.zeros_like(view.attention_mask)
        predicts[:, :-1] = view.roles[:, 1:].eq(Role.TARGET) & view.roles[:, :-1].eq(Role.TARGET)
        counts = mask.sum(dim=1)
        noise = paired_noise(GAP_DRAWS, int(counts.max()), self.latent_dim, device=hidden.device)
        levels = torch.linspace(0.5 / GAP_DRAWS, 1 - 0.5 / GAP_DRAWS, GAP_DRAWS, device=hidden.device)
        losses: torch.Tensor = hidden.new_zeros(len(mask), 1, dtype=torch.float32)
        for row, count in enumerate(counts.tolist()):
            data, conditions = targets[row, :count].float(), hidden[row][predicts[row]]
            for draw, level in zip(noise[:, :count], levels, strict=True):
                times = (1 - level).expand(count, 1)
                noisy = times * data + level * draw
                velocity = core.flow_head(noisy.to(hidden.dtype), conditions, times=[times, times])
                losses[row] += (velocity.float() - (data - draw)).square().mean() / GAP_DRAWS
        return losses

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """One prompt after the other; `codes` are latents of the codec [D, F] float32."""
        return [self._generate_one(prompt, settings) for prompt in prompts]

    def _generate_one(self, prompt: Prompt, settings: SamplingSettings) -> GeneratedCodes:
        steps = StepTimes()
        device = next(self.core.parameters()).device
        token_ids = prompt.token_ids[None].to(device)
        voice = {} if prompt.audio_codes is None else {"audio_prompt_latents": prompt.audio_codes[None].to(device)}
        sampling = {"temperature": settings.temperature} if settings.temperature > 0 else {}
        torch.manual_seed(prompt.seed)  # the caller restores the random state
        # The class takes no stopping criteria. Its flow head is called for each step of the flow of each frame.
        handle = self.core.flow_head.register_forward_hook(lambda *_: steps.note(device))
        try:
            output = self.core.generate(
                input_ids=token_ids,
                attention_mask=torch.ones_like(token_ids),
                frames_after_eos=torch.ones(1, dtype=torch.int64, device=device),
                do_sample=bool(sampling),
                max_new_tokens=prompt.max_frames,
                return_dict_in_generate=True,
                **sampling,
                **voice,
            )
        finally:
            handle.remove()
        frames = output.audio_latents[0][output.audio_latents_mask[0].bool()].float().cpu()
        stopped = len(frames) < prompt.max_frames
        return GeneratedCodes(
            codes=frames.T.numpy(),
            stop_reason="eos" if stopped else "max_length",
            first_frame_s=steps.after(self._flow_steps()) if len(frames) else None,
        )

    def _flow_steps(self) -> int:
        """Calls of the flow head for each frame."""
        if getattr(self.core.config.flow_head_config, "flow_type", None) == "drifting":
            return 1
        return getattr(self.core.generation_config, "num_flow_steps", None) or 1

    def _frame_mask(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        labels: torch.Tensor = inputs["labels"]
        mask: torch.Tensor = inputs.get("labels_mask", torch.ones_like(labels[..., 0]))
        return mask.bool()

    def _normalised(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        labels = inputs["labels"].detach()
        normalised: torch.Tensor = ((labels - self.core.latent_mean) / self.core.latent_std).to(labels.dtype)
        return normalised
