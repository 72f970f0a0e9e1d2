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
from tracker_logging.families.latent_model import Conditioned, LatentModelAdapter
from tracker_logging.families.latents import FlowTerms
from tracker_logging.families.reference_clips import ReferenceClips
from tracker_logging.families.spans import batch_view, runs, tokens_and_mask


class PocketTTSAdapter(ReferenceClips, LatentModelAdapter):
    """See `ModelAdapter` and `LatentAdapter`. `core` is the model without any wrapper."""

    family = "pocket_tts"
    flow, eos = "flow_head", "eos_head"
    threshold = -4.0
    clips_in = "audio_prompt_latents"
    prefixes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("flow_head", "eos_head", "loss_weighting"), "heads"),
        **dict.fromkeys(("audio_prompt_proj", "audio_latent_proj", "bos_latent"), "embeddings"),
    }

    def view(self, inputs: Inputs) -> BatchView:
        config, (token_ids, attention_mask) = self.core.config, tokens_and_mask(inputs)
        voice = (token_ids == config.audio_prompt_token_id) & attention_mask
        frames = (token_ids == config.audio_latent_token_id) & attention_mask
        target = frames | ((token_ids == config.audio_bos_token_id) & attention_mask)
        clips = ((voice.cpu(), Role.REFERENCE, 0), (target.cpu(), Role.TARGET, 1))
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
        for name in ("audio_prompt_latents", "labels"):
            clips = [clip for row in rows if (clip := self._clip(inputs, name, row)) is not None]
            chosen |= {name: clips, f"{name}_mask": clips}
        return indexed(inputs, chosen)

    def place(self, inputs: Inputs, view: BatchView, segment: Segment) -> tuple[int, torch.Tensor]:
        """See `ReferenceClips`: the row, and the frames [N] in it that are the voice frames of `segment`."""
        row, mask = self._clip(inputs, "audio_prompt_latents", segment.sample), inputs.get("audio_prompt_latents_mask")
        assert row is not None
        valid = torch.ones_like(inputs["audio_prompt_latents"][row, :, 0]) if mask is None else mask[row]
        earlier = [one.frames for one in view.segments if one.sample == segment.sample and one.start < segment.start]
        return row, valid.nonzero()[:, 0][sum(earlier) :][: segment.frames]

    def flow_terms(self, inputs: Inputs, args: tuple[Any, ...], kwargs: Inputs, output: torch.Tensor) -> FlowTerms:
        """`x_t = t · data + (1 − t) · noise` and the velocity `data − noise`, which is `(data − x_t) / (1 − t)`."""
        noisy, conditions = args
        latents, mask = self._targets(inputs)
        targets, times = latents[mask], kwargs["times"][0].float()
        data = targets.float().repeat(len(noisy) // max(1, len(targets)), 1)
        velocity = (data - noisy.float()) / (1 - times)
        losses = (output.float() - velocity).square().mean(dim=-1)
        return FlowTerms(levels=1 - times[:, 0], losses=losses, conditions=conditions[: len(targets)], targets=targets)

    def sample(self, inputs: Inputs, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        steps = self.steps_per_frame()
        latents: torch.Tensor = self.core.sample_latent(conditions, noise.to(conditions.dtype), steps)
        return latents

    def to_codec(self, latents: torch.Tensor) -> torch.Tensor:
        denormalised: torch.Tensor = self.core.denormalize_latents(latents)
        return denormalised

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

    def generate_frames(
        self, prompt: Prompt, settings: SamplingSettings, steps: StepTimes
    ) -> tuple[torch.Tensor, bool]:
        device, voice = prompt.token_ids.device, prompt.audio_codes
        # The class takes no stopping criteria. Its flow head is called for each step of the flow of each frame.
        with steps.of_calls(self.flow_head(), device):
            output = self.generated(
                prompt,
                frames_after_eos=torch.ones(1, dtype=torch.int64, device=device),
                do_sample=settings.temperature > 0,
                max_new_tokens=prompt.max_frames,
                **({"temperature": settings.temperature} if settings.temperature > 0 else {}),
                **({} if voice is None else {"audio_prompt_latents": voice[None]}),
            )
        frames = output.audio_latents[0][output.audio_latents_mask[0].bool()]
        return frames, len(frames) < prompt.max_frames

    def steps_per_frame(self) -> int:
        """Calls of the flow head."""
        drifting = getattr(self.core.config.flow_head_config, "flow_type", None) == "drifting"
        return 1 if drifting else int(self.setting("num_flow_steps", 1))

    def _clip(self, inputs: Inputs, name: str, row: int) -> int | None:
        """Where the latents of a row are in the tensor `name`: its row, or its number among those that have any."""
        config, (ids, mask) = self.core.config, tokens_and_mask(inputs)
        token = config.audio_latent_token_id if name == "labels" else config.audio_prompt_token_id
        has = ((ids == token) & mask).any(dim=1)
        if inputs.get(name) is None or not has[row]:
            return None
        return row if len(inputs[name]) == len(ids) else int(has[:row].sum())

    def _targets(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """The frames [B, F, D] in the model's space, and where they are no padding, [B, F] bool."""
        labels = inputs["labels"].detach()
        mask = inputs.get("labels_mask", torch.ones_like(labels[..., 0]))
        return ((labels - self.core.latent_mean) / self.core.latent_std).to(labels.dtype), mask.bool()
