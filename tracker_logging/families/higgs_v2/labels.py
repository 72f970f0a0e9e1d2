"""Which audio codes are trained, and the divisor of the loss.

Guarantees (`output_labels=True` of transformers 5.23 trains the reference and no end code instead)
- Only the target is trained; a reference is all `IGNORE`.
- Begin codes are not trained. The first end code of each codebook is, so that the model learns to stop; the end codes
  that fill the delay pattern after it are not.

>>> target_labels(torch.tensor([[8, 8], [1, 8], [9, 2], [9, 9]]), bos=8, eos=9).tolist()
[[-100, -100], [1, -100], [9, 2], [-100, 9]]
"""

from __future__ import annotations

from typing import Any

import torch

from tracker_logging.families.base import IGNORE


def target_labels(frames: torch.Tensor, *, bos: int, eos: int) -> torch.Tensor:
    """Delayed frames [F, K] int64 of one target -> labels [F, K] int64, unshifted.

    Every codebook has T + 1 labels for T audio frames, so a mean over labels weights the codebooks equally.
    """
    labels = frames.clone()
    labels[frames == bos] = IGNORE
    labels[(frames == eos).cumsum(dim=0) > 1] = IGNORE
    return labels


def reference_labels(frames: torch.Tensor) -> torch.Tensor:
    """Delayed frames [F, K] of a reference -> labels [F, K], all `IGNORE`."""
    return torch.full_like(frames, IGNORE)


def normalise_loss_by_audio_labels(model: Any) -> None:
    """Make the Trainer divide the audio loss by audio labels. Call it before the Trainer is built.

    The Trainer counts the text `labels` of a batch and passes the count to the model, which divides its *audio* loss by
    it (transformers 5.23). With `accepts_loss_kwargs` False it does not: each micro-batch's loss is the sum over
    codebooks of the mean over that codebook's audio labels (plus the mean over text labels with a text head), and under
    gradient accumulation the Trainer averages the micro-batches' losses with equal weight, whatever their number of
    labels. `model` is the model itself or a PEFT wrapper around it.
    """
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    core.accepts_loss_kwargs = False
