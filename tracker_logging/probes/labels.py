"""Finds the labels of a batch that a training removed before it called the model.

A `compute_loss` of the user, `compute_loss_func` and `label_smoothing_factor` of the Trainer take the labels out of the
inputs, and no event of the Trainer passes the batch. The labels are taken from, in this order:

1. the arguments of the forward;
2. the batch that the training loop passed to `StepCapture.batch`;
3. a dictionary in a local variable of a caller of the forward that holds the same `input_ids` (in the Trainer: `inputs`
   of the epoch loop, which keeps the labels that `compute_loss` removed from its copy).

The third is read only, costs nothing between logged steps and needs no wrapper around Trainer, data loader or
accelerator. It is used only if the first two give no labels. If there are no labels at all, the last clip of each
sample is taken as its target, so that a target is not listed as a reference because its labels are missing.

>>> ids = torch.tensor([[1, 2, 3]])
>>> def compute_loss(inputs):
...     return sorted(complete({"input_ids": inputs["input_ids"]}))
>>> compute_loss({"input_ids": ids, "labels": ids})
['input_ids', 'labels']
"""

from __future__ import annotations

import sys
from collections import UserDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from tracker_logging.families.base import BatchView, ModelAdapter, Role
from tracker_logging.families.latents import LatentAdapter

NO_LABELS = (
    "predictions: the model was called without labels, and no batch with labels was found. Keep the labels in the "
    'batch (`inputs["labels"]` instead of `inputs.pop("labels")`), or pass the batch to the session'
)
CALLERS = 80  # a Trainer calls the model within about 20 frames


def labelled_view(
    adapter: ModelAdapter, inputs: Mapping[str, Any], *, batch: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], BatchView]:
    """(inputs, view) of a forward, with the labels of its batch as far as they are found.

    `batch` is what the training loop passed. Call it on the thread of the forward, during the forward.
    """
    view = adapter.view(inputs)
    if has_labels(adapter, view) and (view.text_labels is not None or adapter.text_head() is None):
        return dict(inputs), view
    completed = complete(inputs, batch=batch)
    if completed.keys() != inputs.keys():
        view = adapter.view(completed)
    return completed, view if view.audio_labels is not None else _last_clip_as_target(view)


def complete(inputs: Mapping[str, Any], *, batch: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`inputs` with the missing labels of `batch`, or of the batch in a local variable of a caller."""
    given = () if batch is None else (batch,)
    for candidate in (*given, *_mappings_of_callers()):
        labels = {name: value for name, value in candidate.items() if name not in inputs and _is_label(name, value)}
        if labels and _is_same_batch(inputs, candidate):
            device = inputs["input_ids"].device
            return dict(inputs) | {name: value.to(device) for name, value in labels.items()}
    return dict(inputs)


def has_own_labels(inputs: Mapping[str, Any]) -> bool:
    """Whether a forward is given labels, as a batch is; one that generates is not.

    >>> has_own_labels({"labels": torch.zeros(1, 2)}), has_own_labels({"input_ids": torch.zeros(1, 2)})
    (True, False)
    """
    return any(_is_label(name, value) for name, value in inputs.items())


def generates(inputs: Mapping[str, Any]) -> bool:
    """Whether the forward continues a sequence, of which the model keeps the earlier positions in a cache."""
    has_cache = any(inputs.get(name) is not None for name in ("past_key_values", "cache_params"))
    return has_cache and not has_own_labels(inputs)


def has_labels(adapter: ModelAdapter, view: BatchView) -> bool:
    """Whether the batch has the labels that its family needs: of audio, or of text for a text-only model."""
    if isinstance(adapter, LatentAdapter):
        return view.frame_labels is not None
    return (view.audio_labels if adapter.num_codebooks else view.text_labels) is not None


def _last_clip_as_target(view: BatchView) -> BatchView:
    """The view with the last audio segment of each sample as the target: without labels a family cannot tell."""
    last = {segment.sample: segment for segment in view.segments}
    if all(segment.role == Role.TARGET for segment in last.values()):
        return view
    roles = view.roles.clone()
    for sample, segment in last.items():
        roles[sample, segment.start : segment.stop] = int(Role.TARGET)
    segments = tuple(
        replace(segment, role=Role.TARGET) if segment is last[segment.sample] else segment for segment in view.segments
    )
    return replace(view, roles=roles, segments=segments)


def _mappings_of_callers() -> Iterator[Mapping[str, Any]]:
    """Dictionaries with `input_ids` in local variables of the calling functions, from the inside out."""
    frame = sys._getframe(1)
    for _ in range(CALLERS):
        caller = frame.f_back
        if caller is None:
            return
        frame = caller
        if frame.f_code.co_name == "<module>" or frame.f_globals.get("__name__", "").startswith("torch."):
            continue
        for value in tuple(frame.f_locals.values()):
            if isinstance(value, dict | UserDict) and "input_ids" in value:  # UserDict: transformers' BatchEncoding
                yield value


def _is_label(name: Any, value: Any) -> bool:
    return isinstance(name, str) and "label" in name and isinstance(value, torch.Tensor)


def _is_same_batch(inputs: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether both have equal `input_ids`; they may be on different devices."""
    ids, others = inputs.get("input_ids"), candidate.get("input_ids")
    if not isinstance(ids, torch.Tensor) or not isinstance(others, torch.Tensor):
        return False
    return ids is others or (ids.shape == others.shape and torch.equal(ids, others.to(ids.device)))
