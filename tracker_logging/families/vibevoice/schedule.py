"""The noise that VibeVoice's diffusion loss should add.

transformers 5.23 trains with a new `diffusers.DPMSolverMultistepScheduler`, whose `add_noise` at timestep t adds the
noise of timestep 999 - t until `set_timesteps` was called, while the target of the loss is that of t; and by default it
draws t from the first 10 of 1,000 timesteps. `TrainingNoise` adds the noise of t.

>>> import torch
>>> from types import SimpleNamespace
>>> scheduler = SimpleNamespace(alpha_t=torch.tensor([1.0, 0.8]), sigma_t=torch.tensor([0.0, 0.6]))
>>> TrainingNoise(scheduler).add_noise(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([1]))
tensor([[1.4000, 1.4000]])
"""

from __future__ import annotations

from typing import Any

import torch


class TrainingNoise:
    """Pass it as `noise_scheduler` of the model's forward, with `num_diffusion_steps=len(noise.alpha_t)`.

    `scheduler` has `alpha_t` and `sigma_t` [steps]: the share of the latent and of the noise at each timestep.
    """

    def __init__(self, scheduler: Any) -> None:
        self.alpha_t: torch.Tensor = scheduler.alpha_t
        self.sigma_t: torch.Tensor = scheduler.sigma_t

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """`latents`, `noise` [N, D] and timesteps [N] -> the noisy latents [N, D]."""
        alpha, sigma = (share.to(latents)[timesteps].unsqueeze(-1) for share in (self.alpha_t, self.sigma_t))
        return alpha * latents + sigma * noise
