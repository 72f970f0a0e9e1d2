"""The checks that run an adapter's model: a training step with and without probes, and free-running generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from tracker_logging.families import ModelAdapter, Prompt, SamplingSettings
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.probe_set import NEEDS

Inputs = Mapping[str, Any]


def watched_step(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    """One training step with all probes on, compared with the same step without."""
    plain, watched = _gradients(adapter, inputs, None), _Watched(adapter)
    with_probes = _gradients(adapter, inputs, watched)
    if not all(torch.equal(*pair) for pair in zip(plain, with_probes, strict=True)):
        yield "the step has other gradients when it is watched"
    snapshot = watched.capture.snapshot(1)
    yield from (f"{part} failed ({type(error).__name__}: {error})" for part, error in watched.capture.errors)
    if snapshot is not None:
        yield from (reason for reason in snapshot.missing if reason.startswith("attention:"))
    if snapshot is not None and adapter.num_codebooks and snapshot.tokens is None:
        yield "no audio prediction was scored"
    if snapshot is not None and isinstance(adapter, LatentAdapter) and snapshot.latents is None:
        yield "no flow loss was observed"


class _Watched:
    """The capture of one step on an adapter's model."""

    def __init__(self, adapter: ModelAdapter) -> None:
        self.capture = StepCapture(adapter=adapter, needs=NEEDS)
        self.core = adapter.core

    def __enter__(self) -> None:
        self.capture.attach(self.core)

    def __exit__(self, *_: object) -> None:
        self.capture.before_update(None)
        self.capture.after_update(None)


def _gradients(adapter: ModelAdapter, inputs: Inputs, watched: _Watched | None) -> list[torch.Tensor]:
    core, mode = adapter.core, adapter.core.training
    buffers = {name: buffer.clone() for name, buffer in core.named_buffers()}  # some models count their forwards
    for generator in vars(core).values():
        if isinstance(generator, torch.Generator):
            generator.manual_seed(0)
    core.train().zero_grad(set_to_none=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if watched is None:
            loss_of(core(**inputs)).backward()
        else:
            with watched:
                loss_of(core(**inputs)).backward()
    gradients = [parameter.grad.clone() for parameter in core.parameters() if parameter.grad is not None]
    core.train(mode).zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in core.named_buffers():
            buffer.copy_(buffers[name])
    return gradients


def generated_prompts(adapter: ModelAdapter, prompts: Sequence[Prompt]) -> Iterator[str]:
    """Generation of all prompts, and of the first one alone with the same seed."""
    if not prompts or (adapter.pattern is None and not isinstance(adapter, LatentAdapter)):
        return
    if len(prompts) < 2:
        yield "one prompt cannot show whether a clip depends on the others: give two or more, or none"
    rows = adapter.latent_dim if isinstance(adapter, LatentAdapter) else adapter.num_codebooks
    settings, before = SamplingSettings(temperature=1.0, top_p=0.95), torch.random.get_rng_state()
    with isolated(adapter.core):
        clips, again = adapter.generate(prompts, settings), adapter.generate(prompts[:1], settings)
    if not torch.equal(before, torch.random.get_rng_state()):
        yield "generation draws from the global random generator"
    if len(clips) != len(prompts):
        yield f"{len(clips)} clips for {len(prompts)} prompts"
        return
    if clips[0].codes.tolist() != again[0].codes.tolist():
        yield "a clip depends on the other prompts of its batch, not on its own prompt and seed alone"
    for prompt, clip in zip(prompts, clips, strict=True):
        codebooks, frames = clip.codes.shape
        if codebooks != rows or frames > prompt.max_frames:
            yield f"a clip has {codebooks} codebooks or dimensions and {frames} frames of {prompt.max_frames} allowed"
        if (
            clip.codes.size
            and adapter.pattern is not None
            and not 0 <= clip.codes.min() <= clip.codes.max() < adapter.pattern.codes
        ):
            yield "a clip contains a code that is no audio"


def loss_of(output: Any) -> torch.Tensor:
    """The loss in a model's output. Raises `ValueError` for an output without one."""
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(loss, torch.Tensor):
        return loss
    raise ValueError("core returns no loss for this batch; pass a batch with labels")
