"""VibeVoice, the transformers-native class: a diffusion head on a causal language model.

Layout (read in transformers 5.23, `models/vibevoice`): every clip is `audio-BOS frames audio-EOS`, the voice before the
text and the speech last. The model encodes the waveforms in its forward, where it draws the noise of its VAE, and
trains the frames of *every* clip: `acoustic_loss_mask` must mark one position per frame, whose output is the condition
of the frame. In generation that is the position before the frame. The text head decides after each frame between
another frame and the end of speech.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    IGNORE,
    BatchView,
    GeneratedCodes,
    LayerParts,
    Prompt,
    Role,
    SamplingSettings,
    Segment,
    StopReason,
)  # fmt: skip
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.latents import WITHOUT_CODES, FlowTerms, paired_noise
from tracker_logging.families.spans import padding_mask, runs, with_segments

GAP_DRAWS = 8
TOLERANCE = 1e-3  # of a share of noise
LOSS = "compute_diffusion_loss"


class VibeVoiceAdapter(BaseAdapter):
    """See `ModelAdapter` and `LatentAdapter`. `core` is the model without any wrapper."""

    family = "vibevoice"
    cannot_give = WITHOUT_CODES
    trains_references = True
    prefixes: ClassVar[Mapping[str, str]] = {
        "audio_tower": "codec",
        "semantic_tokenizer_encoder": "codec",
        "diffusion_head": "heads",
        "multi_modal_projector": "embeddings",
        "semantic_connector": "embeddings",
        "latent_scaling_factor": "embeddings",
        "latent_bias_factor": "embeddings",
    }

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.latent_dim: int = core.config.audio_config.hidden_size

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        config, token_ids = self.core.config, inputs["input_ids"].detach()
        attention_mask = padding_mask(inputs.get("attention_mask"), token_ids)
        frames = (token_ids == config.audio_token_id) & attention_mask
        is_trained = inputs.get("acoustic_loss_mask") is not None
        segments: list[Segment] = []
        for sample, row in enumerate(frames.cpu()):
            spans = runs(row)
            for start, stop in spans:
                is_target = is_trained and (start, stop) == spans[-1]
                role = Role.TARGET if is_target else Role.REFERENCE
                lead = int(is_target and start > 0 and token_ids[sample, start - 1] == config.audio_bos_token_id)
                segments.append(Segment(sample, role, start - lead, stop, stop - start, lead))
        labels = inputs.get("labels")
        return BatchView(
            token_ids=token_ids,
            attention_mask=attention_mask,
            roles=with_segments(attention_mask, segments),
            codes=token_ids.new_empty((*token_ids.shape, 0)),
            audio_labels=None,
            text_labels=None if labels is None else labels.detach(),
            segments=tuple(segments),
            frame_labels=frames if is_trained else None,
        )

    def first_sample(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Its clips are the first ones of `input_values`."""
        first = super().first_sample(inputs)
        clips = len(runs((first["input_ids"][0] == self.core.config.audio_token_id).cpu()))
        waves = {
            name: inputs[name][:clips] for name in ("input_values", "padding_mask") if inputs.get(name) is not None
        }
        return first | waves

    def layers(self) -> Sequence[LayerParts]:
        return [
            LayerParts(index=index, layer=layer, attention=layer.self_attn, text_ffn=None, audio_ffn=layer.mlp)
            for index, layer in enumerate(self.core.model.language_model.layers)
        ]

    def text_head(self) -> nn.Module:
        return self.eos_head()

    # --- latents ------------------------------------------------------------------------------------------------------

    def flow_head(self) -> nn.Module:
        head: nn.Module = self.core.model.diffusion_head
        return head

    def eos_head(self) -> nn.Module:
        head: nn.Module = self.core.lm_head
        return head

    def eos_logits(self, output: torch.Tensor) -> torch.Tensor:
        """Of the end against another frame: generation takes the likelier."""
        config = self.core.config
        logits = output.float()
        return (logits[..., config.audio_eos_token_id] - logits[..., config.audio_token_id]).flatten()

    def eos_threshold(self) -> float:
        return 0.0

    def ends(self, view: BatchView) -> tuple[torch.Tensor, torch.Tensor]:
        """The positions of the target at which the labels train the decision."""
        config, labels = self.core.config, view.text_labels
        if labels is None:
            return view.token_ids.new_empty(0), view.token_ids.new_empty(0).bool()
        following = torch.full_like(labels, IGNORE)
        following[:, :-1] = labels[:, 1:]
        is_end = following == config.audio_eos_token_id
        decides = (is_end | (following == config.audio_token_id)) & (view.roles == Role.TARGET)
        at = decides.flatten().nonzero().squeeze(-1)
        return at, is_end.flatten()[at]

    def flow_terms(
        self, inputs: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor
    ) -> FlowTerms:
        """Latents, noise and timesteps are read in the function that computes the loss: no module gets them exactly."""
        drawn = _locals_of(LOSS)
        latents, steps, scheduler = (
            drawn["audio_features"].detach().float(),
            drawn["timesteps"],
            drawn["noise_scheduler"],
        )
        frames, draws = len(latents), len(steps) // max(1, len(latents))
        data, noise = latents.repeat_interleave(draws, dim=0), drawn["noise"].float()
        alpha, sigma = (share.to(data)[steps].unsqueeze(-1) for share in (scheduler.alpha_t, scheduler.sigma_t))
        losses = (output.float() - (alpha * noise - sigma * data)).square().mean(dim=-1)
        added = scheduler.add_noise(torch.zeros_like(sigma), torch.ones_like(sigma), steps)
        token_ids = inputs["input_ids"]
        at = (token_ids == self.core.config.audio_token_id).flatten().nonzero()
        conditioned = inputs["acoustic_loss_mask"].to(at.device).flatten().nonzero()

        def by_draw(values: torch.Tensor) -> torch.Tensor:
            return values.reshape(frames, draws).T.flatten()

        return FlowTerms(
            levels=by_draw(added),
            losses=by_draw(losses),
            conditions=drawn["condition_features"].detach(),
            targets=latents,
            own_frame_seen=(conditioned >= at).flatten(),
            wrong_noise=by_draw((added - sigma).abs() > TOLERANCE),
        )

    @torch.no_grad()
    def sample(self, inputs: Mapping[str, Any], conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Without guidance, which needs a second sequence."""
        scheduler, latents = self._scheduler(), noise.to(conditions.dtype)
        scheduler.set_timesteps(getattr(self.core.generation_config, "num_diffusion_steps", None) or 10)
        for step in scheduler.timesteps:
            output = self.flow_head()(latents, step.repeat(len(latents)).to(latents), conditions)
            latents = scheduler.step(output, step, latents).prev_sample
        return latents

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        model = self.core.model
        scaled: torch.Tensor = latents / model.latent_scaling_factor - model.latent_bias_factor
        return scaled.detach()

    @torch.no_grad()
    def audio_nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[B, 1] float32: the diffusion loss of each target, mean over frames, dimensions and `GAP_DRAWS` timesteps.

        The condition of a frame is the position before it, as in generation, whatever the batch trains. Noise and
        timesteps depend on the number of the frame alone, so that two conditions of one target are paired.
        """
        core, view, scheduler = self.core, self.view(inputs), self._scheduler()
        names = ("input_ids", "attention_mask", "input_values", "padding_mask")
        given = {name: inputs[name] for name in names if inputs.get(name) is not None}
        output = core.model(**given, sample=False, use_cache=False)
        frame_of = (view.token_ids == core.config.audio_token_id).flatten().cumsum(0).reshape(view.roles.shape) - 1
        steps = ((torch.arange(GAP_DRAWS) + 0.5) / GAP_DRAWS * len(scheduler.alpha_t)).long()
        losses: torch.Tensor = output.last_hidden_state.new_zeros(len(view.token_ids), 1, dtype=torch.float32)
        for segment in (target for target in view.targets if target.frames):
            row, at = segment.sample, torch.arange(segment.stop - segment.frames, segment.stop)
            latents = output.audio_features[frame_of[row, at]].float()
            conditions = output.last_hidden_state[row, (at - 1).clamp(min=0)]
            noise = paired_noise(GAP_DRAWS, segment.frames, self.latent_dim, device=latents.device)
            for draw, step in zip(noise, steps, strict=True):
                alpha, sigma = scheduler.alpha_t[step].to(latents), scheduler.sigma_t[step].to(latents)
                noisy = (alpha * latents + sigma * draw).to(conditions.dtype)
                velocity = self.flow_head()(noisy, step.repeat(len(noisy)).to(noisy), conditions)
                losses[row] += (velocity.float() - (alpha * draw - sigma * latents)).square().mean() / GAP_DRAWS
        return losses

    # --- generation ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """One prompt after the other, with the checkpoint's guidance; `codes` are latents of the codec [D, F] float32.

        `Prompt.audio_codes` is the waveform [n, 1] of the voice. Tokens are not sampled: `settings` are without effect.
        """
        return [self._generate_one(prompt) for prompt in prompts]

    def _generate_one(self, prompt: Prompt) -> GeneratedCodes:
        core, steps = self.core, StepTimes()
        token_ids = prompt.token_ids[None].to(core.device)
        voice = {}
        if prompt.audio_codes is not None:
            wave = prompt.audio_codes.T[None].to(core.device, core.dtype)
            voice = {"input_values": wave, "padding_mask": torch.ones_like(wave[:, 0])}
        latents: list[torch.Tensor] = []
        started: list[bool] = []

        def keep(_: Any, args: tuple[torch.Tensor, ...]) -> None:
            if started:  # the voice of the prompt comes before
                steps.note(core.device)
                latents.append(args[0][0].float())

        handle = core.model.diffusion_head.register_forward_pre_hook(lambda *_: started.append(True))
        projected = core.model.multi_modal_projector.register_forward_pre_hook(keep)
        torch.manual_seed(prompt.seed)  # the caller restores the random state
        try:
            output = core.generate(
                input_ids=token_ids,
                attention_mask=torch.ones_like(token_ids),
                max_new_tokens=prompt.max_frames + 2,  # the ends of the speech and of the text
                return_dict_in_generate=True,
                **voice,
            )
        finally:
            handle.remove()
            projected.remove()
        frames = torch.cat([*latents[: prompt.max_frames], token_ids.new_empty(0, self.latent_dim).float()])
        ended = int(output.sequences[0, -1]) == core.config.eos_token_id and len(latents) <= prompt.max_frames
        codes = self.to_codec(frames).float().cpu().T.numpy()
        stop_reason: StopReason = "eos" if ended else "max_length"
        return GeneratedCodes(codes=codes, stop_reason=stop_reason, first_frame_s=steps.after(1))

    def _scheduler(self) -> Any:
        """A scheduler of our own, as generation takes it."""
        config = self.core.generation_config
        given = getattr(config, "noise_scheduler", None)
        return copy.deepcopy(given) if given is not None else self.core._build_default_noise_scheduler(config)


def _locals_of(function: str) -> dict[str, Any]:
    """The local variables of the calling function of that name. Raises `LookupError` outside of it."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == function:
            return frame.f_locals
    raise LookupError(f"the diffusion head was called outside of `{function}`, which draws the noise")
