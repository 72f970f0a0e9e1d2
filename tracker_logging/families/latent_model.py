"""What families of continuous latents share. A new one writes these four methods:

class MyLatentsAdapter(LatentModelAdapter):
    family, decoder, flow, eos = "my_latents", "model", "flow_head", "eos_head"

    def view(self, inputs): return batch_view(…, frame_labels=…)
    def conditioned(self, inputs, view): …          # frames and conditions of each target
    def denoising_loss(self, frames, noise, conditions, share): …
    def generate_frames(self, prompt, settings, steps): …

`flow_terms`, `sample` and `to_codec` are those of `LatentAdapter`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import (
    BatchView,
    GeneratedCodes,
    Inputs,
    Prompt,
    Role,
    SamplingSettings,
    StopReason,
)
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.latents import WITHOUT_CODES, paired_noise

GAP_DRAWS = 8
Frames: TypeAlias = tuple[torch.Tensor, bool]
Conditioned: TypeAlias = Iterable[tuple[int, torch.Tensor, torch.Tensor]]


class LatentModelAdapter(BaseAdapter):
    """Defaults of `LatentAdapter`. `flow` and `eos` are paths from `core`: the flow or diffusion head, and the head
    with the end of speech. `threshold` is the class's own for that end."""

    cannot_give = WITHOUT_CODES
    decoder = "model"
    flow = ""
    eos = ""
    threshold = 0.0  # the end is likelier than not

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.latent_dim: int = getattr(core.config, "latent_dim", 0)  # or set by the family

    def flow_head(self) -> nn.Module:
        """The module at `flow`."""
        head: nn.Module = self.core.get_submodule(self.flow)
        return head

    def eos_head(self) -> nn.Module:
        """The module at `eos`."""
        head: nn.Module = self.core.get_submodule(self.eos)
        return head

    def eos_logits(self, output: torch.Tensor) -> torch.Tensor:
        """For a head that gives one logit for each position."""
        return output.flatten()

    def eos_threshold(self) -> float:
        """Of the generation config, else of the class."""
        return float(self.setting("eos_threshold", self.threshold))

    def setting(self, name: str, default: Any) -> Any:
        """Of the checkpoint's generation config; `default` where it has none."""
        value = getattr(getattr(self.core, "generation_config", None), name, None)
        return default if value is None else value

    def ends(self, view: BatchView) -> tuple[torch.Tensor, torch.Tensor]:
        """For a class that trains the end at every position of a target; it is the last one's."""
        at = (view.roles == Role.TARGET).flatten().nonzero().squeeze(-1)
        last = {segment.sample * view.roles.shape[1] + segment.stop - 1 for segment in view.targets}
        return at, torch.isin(at, torch.tensor(sorted(last), dtype=torch.int64, device=at.device))

    def conditioned(self, inputs: Inputs, view: BatchView) -> Conditioned:
        """For each target: its sample, its frames [F, D] float32 in the model's space, and what the backbone gives for
        each frame, conditions [F, H], as in generation. One forward."""
        raise NotImplementedError(f"{type(self).__name__} must implement `conditioned` for the conditioning gap.")

    def denoising_loss(
        self, frames: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor, share: float
    ) -> torch.Tensor:
        """The mean squared error of the head for `frames` with `noise` [F, D] at `share` of the way to pure noise."""
        raise NotImplementedError(f"{type(self).__name__} must implement `denoising_loss` for the conditioning gap.")

    @torch.no_grad()
    def audio_nll(self, inputs: Inputs) -> torch.Tensor:
        """[B, 1] float32: the flow or diffusion loss of each target, mean over frames, dimensions and `GAP_DRAWS`
        levels of noise; NaN without a target.

        Noise and levels depend on the number of the frame alone, so that two conditions of one target are paired.
        """
        view = self.view(inputs)
        losses = torch.full((len(view.token_ids), 1), torch.nan, device=view.token_ids.device)
        for sample, frames, conditions in self.conditioned(inputs, view):
            noise = paired_noise(GAP_DRAWS, len(frames), self.latent_dim, device=frames.device)
            losses[sample] = 0
            for draw, drawn in enumerate(noise):
                losses[sample] += self.denoising_loss(frames, drawn, conditions, (draw + 0.5) / GAP_DRAWS) / GAP_DRAWS
        return losses

    def generate_frames(self, prompt: Prompt, settings: SamplingSettings, steps: StepTimes) -> Frames:
        """The frames [F, D] of the codec that follow the prompt, at most `max_frames`, and whether they ended by
        themselves. The prompt is on the model's device, its `audio_codes` in the model's dtype; the random state is its
        own. Note `steps_per_frame()` of `steps` for each frame."""
        raise NotImplementedError(f"{type(self).__name__} does not generate audio: implement `generate_frames`.")

    def steps_per_frame(self) -> int:
        """How many steps `generate_frames` notes for a frame."""
        return 1

    def generated(self, prompt: Prompt, **more: Any) -> Any:
        """What the class's own `generate` returns for the prompt's tokens."""
        token_ids = prompt.token_ids[None]
        return self.core.generate(
            input_ids=token_ids, attention_mask=torch.ones_like(token_ids), return_dict_in_generate=True, **more
        )

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], settings: SamplingSettings) -> list[GeneratedCodes]:
        """One prompt after the other; `codes` are frames of the codec [D, F] float32."""
        clips: list[GeneratedCodes] = []
        for prompt in prompts:
            steps = StepTimes()
            voice = prompt.audio_codes
            voice = None if voice is None else voice.to(self.core.device, self.core.dtype)
            placed = replace(prompt, token_ids=prompt.token_ids.to(self.core.device), audio_codes=voice)
            torch.manual_seed(prompt.seed)  # the caller restores the random state
            frames, ended = self.generate_frames(placed, settings, steps)
            codes = frames.float().cpu().T.numpy()
            stop_reason: StopReason = "eos" if ended else "max_length"
            first_frame_s = steps.after(self.steps_per_frame()) if len(frames) else None
            clips.append(GeneratedCodes(codes=codes, stop_reason=stop_reason, first_frame_s=first_frame_s))
        return clips
