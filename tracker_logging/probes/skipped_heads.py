"""Scores heads that a forward did not call: fused losses multiply hidden states by the weight of the head directly.

Liger kernels, `fused_lm_head` of TRL and similar losses never build the logits of all positions. Here the head is
applied to the hidden states of the labelled positions alone, in chunks, so memory stays bounded.

Guarantees
- Nothing is computed where the head was called.
- The head runs in evaluation mode without gradients, in the autocast mode of the forward, and no hook on it fires.
- What cannot be computed (a head on other rows than the positions of the batch, sharded weights, a model whose decoder
  is unknown) is in `missing`, with the reason.

    skipped = SkippedHeads(adapter, tokens)
    skipped.attach(hooks)
    ...forward...
    skipped.score(view)                     # before `tokens.end()`
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from tracker_logging.families.base import IGNORE, AudioHead, BatchView, ModelAdapter
from tracker_logging.families.heads import predicts_next
from tracker_logging.metrics.tokens import shift_labels
from tracker_logging.probes.hooks import Hooks
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.tokens import TokenProbe

LOGITS_PER_CHUNK = 2**24  # 64 MB of fp32


class SkippedHeads:
    """Serves one capture. `missing` names the predictions that could not be computed."""

    def __init__(self, adapter: ModelAdapter, tokens: TokenProbe) -> None:
        self._adapter = adapter
        self._tokens = tokens
        self._called: set[nn.Module] = set()
        self._hidden: torch.Tensor | None = None
        self._autocast: Callable[[], Any] = nullcontext
        self.missing: set[str] = set()

    def attach(self, hooks: Hooks, part: str) -> None:
        """Observe the hidden states that the decoder returns, and which heads are called."""
        text_head = self._adapter.text_head()
        for module in (*(head.module for head in self._adapter.audio_heads()), text_head):
            if module is not None:
                hooks.after(module, part, partial(self._was_called, module))
        decoder = getattr(self._adapter.core, "get_decoder", lambda: None)()
        if isinstance(decoder, nn.Module) and decoder is not self._adapter.core:
            hooks.after(decoder, part, self._observe)

    def end(self) -> None:
        """Forget the last forward."""
        self._hidden = None
        self._called.clear()

    def score(self, view: BatchView) -> None:
        """After a forward on `view`: score the heads that it did not call. Raises what the head raises."""
        hidden, self._hidden = self._hidden, None
        if view.audio_labels is not None:
            for head in self._adapter.audio_heads():
                if head.module not in self._called and self._has_rows(head, view):
                    labels = view.audio_labels[..., head.codebooks.start : head.codebooks.stop]
                    at = _labelled(labels, predicts_next(view, bos_code=self._adapter.bos_code))
                    name = f"predictions of codebooks {head.codebooks.start}-{head.codebooks.stop - 1}"
                    reason = "it predicts other rows than the positions of the batch" if head.rows is not None else ""
                    self._apply(name, head.module, hidden, view, at, reason, _audio(self._tokens, head))
        text_head = self._adapter.text_head()
        if view.text_labels is not None and text_head is not None and text_head not in self._called:
            at = _labelled(view.text_labels.unsqueeze(-1), view.attention_mask)
            self._apply("predictions of text", text_head, hidden, view, at, "", self._tokens.text)

    def _apply(
        self,
        name: str,
        module: nn.Module,
        hidden: torch.Tensor | None,
        view: BatchView,
        at: torch.Tensor,
        reason: str,
        score: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> None:
        """Apply the head to the rows `at` of the hidden states and score its output in chunks."""
        if not reason and (hidden is None or hidden.shape[:2] != view.token_ids.shape):
            reason = "the hidden states of its input are unknown"
        if not reason and any(isinstance(weight, DTensor) or not weight.numel() for weight in module.parameters()):
            reason = "its weights are sharded"
        if reason or hidden is None:
            self.missing.add(f"{name}: the model did not call this head (a fused loss), and {reason}")
            return
        width = max(weight.shape[0] for weight in module.parameters())
        rows = hidden.flatten(0, 1)
        with isolated(module), self._autocast():
            for chunk in at.split(max(1, LOGITS_PER_CHUNK // width)):
                score(module.forward(rows[chunk]), chunk)

    def _has_rows(self, head: AudioHead, view: BatchView) -> bool:
        return head.rows is None or len(head.rows(view)) > 0

    def _was_called(self, module: nn.Module, output: Any) -> None:
        self._called.add(module)

    def _observe(self, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", output)
        if isinstance(hidden, torch.Tensor) and hidden.dim() == 3:
            device = hidden.device.type
            enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
            self._hidden = hidden.detach()
            self._autocast = lambda: torch.autocast(device, dtype, enabled=enabled)


def _audio(tokens: TokenProbe, head: AudioHead) -> Callable[[torch.Tensor, torch.Tensor], None]:
    return lambda logits, at: tokens.audio(replace(head, rows=lambda _: at), logits)


def _labelled(labels: torch.Tensor, may_predict: torch.Tensor) -> torch.Tensor:
    """Flat positions [N] that carry a label or predict one, of labels [B, T, K]."""
    shifted = shift_labels(labels, predicts_next=may_predict)
    return ((labels != IGNORE) | (shifted != IGNORE)).any(dim=-1).flatten().nonzero().squeeze(-1)
