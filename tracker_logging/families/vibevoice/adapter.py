"""VibeVoice, the transformers-native class: a diffusion head on a causal language model.

Layout (read in transformers 5.23, `models/vibevoice`): every clip is `audio-BOS frames audio-EOS`, the voices before
the text and the speech last. The model encodes the waveforms in its forward, where it draws the noise of its VAE, and
trains the frames of *every* clip: `acoustic_loss_mask` must mark one position per frame, whose output is the condition
of the frame. In generation that is the position before the frame. The text head decides after each frame between
another frame and the end of speech.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.families.base import IGNORE, BatchView, Features, Inputs, Prompt, Role, SamplingSettings, Segment
from tracker_logging.families.batches import indexed, present
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.latent_model import Conditioned, Frames, LatentModelAdapter
from tracker_logging.families.latents import FlowTerms
from tracker_logging.families.reference_clips import ReferenceClips
from tracker_logging.families.spans import batch_view, runs_by_sample, tokens_and_mask

TOLERANCE = 1e-3  # of a share of noise
LOSS = "compute_diffusion_loss"


class VibeVoiceAdapter(ReferenceClips, LatentModelAdapter):
    """See `ModelAdapter` and `LatentAdapter`. `core` is the model without any wrapper."""

    family = "vibevoice"
    trains_references = True
    decoder, flow, eos = "model.language_model", "model.diffusion_head", "lm_head"
    prefixes: ClassVar[Mapping[str, str]] = {
        "diffusion_head": "heads",
        **dict.fromkeys(("audio_tower", "semantic_tokenizer_encoder"), "codec"),
        **dict.fromkeys(("multi_modal_projector", "semantic_connector"), "embeddings"),
        **dict.fromkeys(("latent_scaling_factor", "latent_bias_factor"), "embeddings"),
    }

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.latent_dim: int = core.config.audio_config.hidden_size

    def view(self, inputs: Inputs) -> BatchView:
        config, (token_ids, attention_mask) = self.core.config, tokens_and_mask(inputs)
        frames = (token_ids == config.audio_token_id) & attention_mask
        is_trained = inputs.get("acoustic_loss_mask") is not None
        segments: list[Segment] = []
        for sample, spans in enumerate(runs_by_sample(frames)):
            for start, stop in spans:
                is_target = is_trained and (start, stop) == spans[-1]
                role = Role.TARGET if is_target else Role.REFERENCE
                lead = int(is_target and start > 0 and token_ids[sample, start - 1] == config.audio_bos_token_id)
                segments.append(Segment(sample, role, start - lead, stop, stop - start, lead))
        labels, trained = inputs.get("labels"), frames if is_trained else None
        text_labels = None if labels is None else labels.detach()
        return batch_view(token_ids, attention_mask, segments, frame_labels=trained, text_labels=text_labels)

    def samples(self, inputs: Inputs, rows: Sequence[int]) -> dict[str, Any]:
        """See `ModelAdapter`: the clips of a row follow those of the rows before it."""
        numbers = [len(clips) for clips in runs_by_sample(inputs["input_ids"] == self.core.config.audio_token_id)]
        clips = [clip for row in rows for clip in range(sum(numbers[:row]), sum(numbers[: row + 1]))]
        of_rows = dict.fromkeys(("input_ids", "attention_mask", "labels", "acoustic_loss_mask"), rows)
        return indexed(inputs, of_rows | dict.fromkeys(("input_values", "padding_mask"), clips))

    def words_in(self, text: str) -> str:
        """See `ModelAdapter`: the words of the turns, without the chat template around them."""
        turns = re.findall(r"Speaker \d+:(.+)", text)
        return " ".join(turn.strip() for turn in turns) if turns else text

    def text_head(self) -> nn.Module:
        return self.eos_head()

    def eos_logits(self, output: torch.Tensor) -> torch.Tensor:
        """Of the end against another frame: generation takes the likelier."""
        config, logits = self.core.config, output.float()
        return (logits[..., config.audio_eos_token_id] - logits[..., config.audio_token_id]).flatten()

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

    def flow_terms(self, inputs: Inputs, args: tuple[Any, ...], kwargs: Inputs, output: torch.Tensor) -> FlowTerms:
        """Latents, noise and timesteps are read in the function that computes the loss: no module gets them exactly."""
        drawn = _locals_of(LOSS)
        latents, steps = drawn["audio_features"].detach().float(), drawn["timesteps"]
        scheduler = drawn["noise_scheduler"]
        frames, draws = len(latents), len(steps) // max(1, len(latents))
        data, noise = latents.repeat_interleave(draws, dim=0), drawn["noise"].float()
        alpha, sigma = (share.to(data)[steps].unsqueeze(-1) for share in (scheduler.alpha_t, scheduler.sigma_t))
        losses = (output.float() - (alpha * noise - sigma * data)).square().mean(dim=-1)
        added = scheduler.add_noise(torch.zeros_like(sigma), torch.ones_like(sigma), steps)
        at = (inputs["input_ids"] == self.core.config.audio_token_id).flatten().nonzero()
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
    def sample(self, inputs: Inputs, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Without guidance, which needs a second sequence."""
        scheduler, latents = self._scheduler(), noise.to(conditions.dtype)
        scheduler.set_timesteps(self.setting("num_diffusion_steps", 10))
        for step in scheduler.timesteps:
            output = self.flow_head()(latents, step.repeat(len(latents)).to(latents), conditions)
            latents = scheduler.step(output, step, latents).prev_sample
        return latents

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        model = self.core.model
        scaled: torch.Tensor = latents / model.latent_scaling_factor - model.latent_bias_factor
        return scaled.detach()

    def conditioned(self, inputs: Inputs, view: BatchView) -> Conditioned:
        """The condition of a frame is the position before it, whatever the batch trains."""
        given = present(inputs, "input_ids", "attention_mask", "input_values", "padding_mask")
        output = self.core.model(**given, sample=False, use_cache=False)
        is_frame = view.token_ids == self.core.config.audio_token_id
        frame_of = is_frame.flatten().cumsum(0).reshape(is_frame.shape) - 1
        for segment in view.targets:
            row, at = segment.sample, torch.arange(segment.stop - segment.frames, segment.stop)
            conditions = output.last_hidden_state[row, (at - 1).clamp(min=0)]
            yield row, output.audio_features[frame_of[row, at]].float(), conditions

    def denoising_loss(
        self, frames: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor, share: float
    ) -> torch.Tensor:
        scheduler = self._scheduler()
        step = int(share * len(scheduler.alpha_t))
        alpha, sigma = scheduler.alpha_t[step].to(frames), scheduler.sigma_t[step].to(frames)
        noisy = (alpha * frames + sigma * noise).to(conditions.dtype)
        velocity = self.flow_head()(noisy, noisy.new_full((len(noisy),), step), conditions)
        loss: torch.Tensor = (velocity.float() - (alpha * noise - sigma * frames)).square().mean()
        return loss

    def generate_frames(self, prompt: Prompt, settings: SamplingSettings, steps: StepTimes) -> Frames:
        """With the checkpoint's guidance. The voice [n, 1] is a waveform. `settings` are without effect: no token is
        sampled."""
        core, latents, started = self.core, list[torch.Tensor](), list[bool]()
        token_ids, voice = prompt.token_ids[None], prompt.audio_codes

        def keep(_: Any, args: tuple[torch.Tensor, ...]) -> None:
            if started:  # the voices of the prompt come before
                steps.note(core.device)
                latents.append(args[0][0].float())

        handles = [
            core.model.diffusion_head.register_forward_pre_hook(lambda *_: started.append(True)),
            core.model.multi_modal_projector.register_forward_pre_hook(keep),
        ]
        try:
            output = self.generated(
                prompt,
                max_new_tokens=prompt.max_frames + 2,  # the ends of the speech and of the text
                **({} if voice is None else clips_of(token_ids, voice[:, 0], core.config)),
            )
        finally:
            for handle in handles:
                handle.remove()
        frames = torch.cat([*latents[: prompt.max_frames], token_ids.new_empty(0, self.latent_dim).float()])
        ended = int(output.sequences[0, -1]) == core.config.eos_token_id and len(latents) <= prompt.max_frames
        return self.to_codec(frames), ended

    def _scheduler(self) -> Any:
        """A scheduler of our own, as generation takes it."""
        given = self.setting("noise_scheduler", None)
        if given is not None:
            return copy.deepcopy(given)
        return self.core._build_default_noise_scheduler(self.core.generation_config)


def clips_of(token_ids: torch.Tensor, wave: torch.Tensor, config: Any) -> Features:
    """`input_values` [clips, 1, n] and `padding_mask`: `wave` [n] as the clips that `token_ids` have places for."""
    hop = config.audio_config.hop_length
    spans = [span for spans in runs_by_sample(token_ids == config.audio_token_id) for span in spans]
    clips = wave.split([(stop - start) * hop for start, stop in spans])
    ones = [torch.ones_like(clip) for clip in clips]
    return {"input_values": pad_sequence(clips, True)[:, None], "padding_mask": pad_sequence(ones, True)}


def _locals_of(function: str) -> dict[str, Any]:
    """The local variables of the calling function of that name. Raises `LookupError` outside of it."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == function:
            return frame.f_locals
    raise LookupError(f"the diffusion head was called outside of `{function}`, which draws the noise")
