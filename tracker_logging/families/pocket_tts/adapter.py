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

from tracker_logging.families.base import BatchView, Inputs, Prompt, Role, SamplingSettings, Segment
from tracker_logging.families.batches import indexed, present
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.latent_model import Conditioned, Frames, LatentModelAdapter
from tracker_logging.families.latents import FlowTerms
from tracker_logging.families.reference_clips import ReferenceClips
from tracker_logging.families.spans import batch_view, runs, tokens_and_mask


class PocketTTSAdapter(ReferenceClips, LatentModelAdapter):
    """See `ModelAdapter` and `LatentAdapter`. `core` is the model without any wrapper."""

    family, flow, eos = "pocket_tts", "flow_head", "eos_head"
    threshold = -4.0
    clips_in = "audio_prompt_latents"
    prefixes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("flow_head", "eos_head", "loss_weighting"), "heads"),
        **dict.fromkeys(("audio_prompt_proj", "audio_latent_proj", "bos_latent"), "embeddings"),
    }

    def view(self, inputs: Inputs) -> BatchView:
        config, (token_ids, attention_mask) = self.core.config, tokens_and_mask(inputs)
        tokens = (config.audio_prompt_token_id, config.audio_latent_token_id, config.audio_bos_token_id)
        voice, frames, begin = ((token_ids == token) & attention_mask for token in tokens)
        clips = ((voice.cpu(), Role.REFERENCE, 0), ((begin | frames).cpu(), Role.TARGET, 1))
        segments = [
            Segment(sample, role, start, stop, stop - start - lead, lead)
            for sample in range(len(token_ids))
            for positions, role, lead in clips
            for start, stop in runs(positions[sample])
        ]
        trained = None if inputs.get("labels") is None else frames
        return batch_view(token_ids, attention_mask, segments, frame_labels=trained)

    def samples(self, inputs: Inputs, rows: Sequence[int]) -> dict[str, Any]:
        """See `ModelAdapter`: a row without a voice, or without frames, may have no latents."""
        chosen = dict.fromkeys(("input_ids", "attention_mask"), rows)
        for name in present(inputs, "audio_prompt_latents", "labels"):
            chosen |= dict.fromkeys((name, f"{name}_mask"), self._clips(inputs, name, rows))
        return indexed(inputs, chosen)

    def place(self, inputs: Inputs, view: BatchView, segment: Segment) -> tuple[int, torch.Tensor]:
        """See `ReferenceClips`: the row, and the frames [N] in it that are the voice frames of `segment`."""
        (row,), mask = self._clips(inputs, self.clips_in, [segment.sample]), inputs.get(f"{self.clips_in}_mask")
        valid = torch.ones_like(inputs[self.clips_in][row, :, 0]) if mask is None else mask[row]
        earlier = [one.frames for one in view.segments if one.sample == segment.sample and one.start < segment.start]
        return row, valid.nonzero()[:, 0][sum(earlier) :][: segment.frames]

    def flow_terms(self, inputs: Inputs, args: tuple[Any, ...], kwargs: Inputs, output: torch.Tensor) -> FlowTerms:
        """`x_t = t · data + (1 − t) · noise` and the velocity `data − noise`, which is `(data − x_t) / (1 − t)`."""
        (noisy, conditions), (latents, mask) = args, self._targets(inputs)
        targets, times = latents[mask], kwargs["times"][0].float()
        data = targets.float().repeat(len(noisy) // max(1, len(targets)), 1)
        velocity = (data - noisy.float()) / (1 - times)
        losses = (output.float() - velocity).square().mean(dim=-1)
        return FlowTerms(levels=1 - times[:, 0], losses=losses, conditions=conditions[: len(targets)], targets=targets)

    def sample(self, inputs: Inputs, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        noise, steps = noise.to(conditions.dtype), self.steps_per_frame()
        return self.core.sample_latent(conditions, noise, steps)  # type: ignore[no-any-return]

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        return self.core.denormalize_latents(latents)  # type: ignore[no-any-return]

    def conditioned(self, inputs: Inputs, view: BatchView) -> Conditioned:
        data, mask = self._targets(inputs)
        given = present(inputs, "input_ids", "audio_prompt_latents", "audio_prompt_latents_mask", "attention_mask")
        latents = {"audio_latents": data, "audio_latents_mask": mask.long()}
        hidden = self.core.model(**given, **latents, use_cache=False).last_hidden_state
        for segment in view.targets:
            at = slice(segment.start, segment.stop - 1)
            yield segment.sample, data[segment.sample, : segment.frames].float(), hidden[segment.sample, at]

    def denoising_loss(
        self, frames: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor, share: float
    ) -> torch.Tensor:
        noisy = ((1 - share) * frames + share * noise).to(conditions.dtype)
        times = noisy.new_full((len(noisy), 1), 1 - share)
        velocity: torch.Tensor = self.core.flow_head(noisy, conditions, times=[times, times])
        return (velocity.float() - (frames - noise)).square().mean()

    def generate_frames(self, prompt: Prompt, settings: SamplingSettings, steps: StepTimes) -> Frames:
        device, voice = prompt.token_ids.device, prompt.audio_codes
        # The class takes no stopping criteria. Its flow head is called for each step of the flow of each frame.
        with steps.of_calls(self.flow_head(), device):
            output = self.generated(
                prompt,
                frames_after_eos=torch.ones(1, dtype=torch.int64, device=device),
                do_sample=settings.temperature > 0,
                max_new_tokens=prompt.max_frames,
                temperature=settings.temperature or 1.0,  # read where `do_sample` is
                **({} if voice is None else {"audio_prompt_latents": voice[None]}),
            )
        frames = output.audio_latents[0][output.audio_latents_mask[0].bool()]
        return frames, len(frames) < prompt.max_frames

    def steps_per_frame(self) -> int:
        """Calls of the flow head."""
        drifting = getattr(self.core.config.flow_head_config, "flow_type", None) == "drifting"
        return 1 if drifting else int(self.setting("num_flow_steps", 1))

    def _clips(self, inputs: Inputs, name: str, rows: Sequence[int]) -> list[int]:
        """The latents of these rows in the tensor `name`, which has all rows or only those with any."""
        config, (ids, mask) = self.core.config, tokens_and_mask(inputs)
        token = config.audio_latent_token_id if name == "labels" else config.audio_prompt_token_id
        has = ((ids == token) & mask).any(dim=1)
        places = torch.arange(len(ids)) if len(inputs[name]) == len(ids) else has.cumsum(0) - 1
        return [int(places[row]) for row in rows if has[row]]

    def _targets(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """The frames [B, F, D] in the model's space, and where they are no padding, [B, F] bool."""
        labels = inputs["labels"].detach()
        mask = inputs.get("labels_mask", torch.ones_like(labels[..., 0]))
        return ((labels - self.core.latent_mean) / self.core.latent_std).to(labels.dtype), mask.bool()
