"""Statistics of teacher-forced predictions, computed from the outputs of the model's heads.

Guarantees
- The label at t is scored by the logits at t − 1, within one clip: the last frame of a clip never predicts the first
  of the next, and frame 0 is predicted from the token before the clip (audio-begin).
- Sums accumulate over all micro-batches and batches of the life of a probe.

    probe = TokenProbe(adapter)
    for head in adapter.audio_heads():
        hooks.after(head.module, "tokens", partial(probe.audio, head))
    probe.begin(view)                                   # before each forward
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.families.base import IGNORE, AudioHead, BatchView, ModelAdapter, Segment
from tracker_logging.families.heads import audio_rows, head_outputs, predicts_next, scored_rows
from tracker_logging.metrics import tokens as metric

__all__ = ["SamplePrediction", "TokenProbe", "predicts_next"]

MOST_BATCHES = 32  # micro-batches of a step whose samples have a loss of their own


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """Predictions for one sample, on the device of the model. What the model or the batch does not have is None.

    - `codes` [F, K] int64 in the delay pattern, -1 where no head predicted (CSM's depth decoder runs on some frames).
      A head with `columns` predicts the most likely of its codes.
    - `labels` and `given` (the input codes) [F, K] int64, aligned with `codes`
    - `text` and `text_labels` [N] int64 at labelled positions
    """

    segment: Segment | None
    codes: torch.Tensor | None
    labels: torch.Tensor | None
    given: torch.Tensor | None
    text: torch.Tensor | None
    text_labels: torch.Tensor | None


def target_losses(view: BatchView, sums: torch.Tensor) -> list[tuple[Segment, float, int]]:
    """Each target that has labelled codes, its nll per code, and their number; `sums` as in `TokenProbe.losses`."""
    numbers = zip(view.targets, sums.cpu().tolist(), strict=True)
    return [(target, nll / codes, int(codes)) for target, (nll, codes) in numbers if codes]


@torch.no_grad()
def losses_of(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> list[tuple[Segment, float, int]]:
    """As `target_losses`, from one forward of a batch with labels."""
    probe, heads = TokenProbe(adapter, keep_sample=True), adapter.audio_heads()
    probe.begin(adapter.view(inputs))
    outputs = head_outputs(adapter.core, [head.module for head in heads], inputs, use_cache=False)
    for head, output in zip(heads, outputs, strict=True):
        probe.audio(head, output)
    return [loss for of_batch in probe.losses for loss in target_losses(*of_batch)]


class TokenProbe:
    """Accumulates over forwards. `sums` (same shape on every rank): `tokens`, `text` [K, C], `histogram` [K, V]."""

    def __init__(self, adapter: ModelAdapter, *, keep_sample: bool) -> None:
        self._adapter = adapter
        self._keep_sample = keep_sample
        self._kept: BatchView | None = None
        self._losses: list[tuple[BatchView, torch.Tensor]] = []
        self._view: BatchView | None = None
        codebooks, vocabulary = max(1, adapter.num_codebooks), max(1, adapter.codebook_vocabulary)
        self.sums = {
            "tokens": torch.zeros(codebooks, len(metric.COLUMNS), dtype=torch.float64),
            "histogram": torch.zeros(codebooks, vocabulary, dtype=torch.int64),
            "text": torch.zeros(1, len(metric.COLUMNS), dtype=torch.float64),
        }
        self._segment: Segment | None = None
        self._codes: torch.Tensor | None = None
        self._audio_labels: torch.Tensor | None = None
        self._given: torch.Tensor | None = None
        self._text: torch.Tensor | None = None
        self._text_view: BatchView | None = None
        self._text_labels: torch.Tensor | None = None

    def begin(self, view: BatchView) -> None:
        """Set the batch of the next forward."""
        self._view = view

    def end(self) -> None:
        """Ignore the heads until the next `begin`."""
        self._view = None

    @property
    def sizes(self) -> npt.NDArray[np.int64] | None:
        """[K] codes of each codebook, for heads whose output has other tokens too; else None."""
        columns = [head.columns for head in self._adapter.audio_heads()]
        known = [int((codes >= 0).sum()) for codes in columns if codes is not None]
        return np.array(known) if len(known) == self._adapter.num_codebooks > 0 else None

    @property
    def sample(self) -> SamplePrediction:
        """The first target of the first forward."""
        codes, labels, given, pattern = self._codes, self._audio_labels, self._given, self._adapter.pattern
        if codes is not None and given is not None and pattern is not None:
            codes = pattern.in_frames(codes, given, fill=-1)
            labels = None if labels is None else pattern.in_frames(labels, given, fill=IGNORE)
            given = pattern.in_frames(given, given, fill=-1)
        return SamplePrediction(self._segment, codes, labels, given, self._text, self._text_labels)

    def audio(self, head: AudioHead, output: torch.Tensor) -> None:
        """Add the output of an audio head. Raises `ValueError` if its shape differs from the adapter's description."""
        view, vocabulary = self._view, self._adapter.codebook_vocabulary
        if view is None:
            return
        logits, at = audio_rows(head, output, view, vocabulary=vocabulary)
        if self._keep_sample and (self._kept is None or self._kept is view):
            self._keep_audio(view, head, logits, at)
        scored = scored_rows(head, output, view, vocabulary=vocabulary, bos_code=self._adapter.bos_code)
        if scored is None:
            return
        by_row = scored.logits.new_zeros(len(scored.logits), 2, dtype=torch.float64) if self._keep_sample else None
        sums, histogram = metric.score(
            scored.logits, labels=scored.labels, next_labels=scored.next_labels, by_row=by_row
        )
        if by_row is not None:
            self._add_losses(view, by_row, scored.at)
        if head.columns is not None:
            columns = head.columns.to(histogram.device)
            histogram = histogram[:, columns.clamp(min=0)].masked_fill(columns < 0, 0)
        self._add("tokens", sums, head.codebooks)
        self._add("histogram", histogram, head.codebooks)

    def text(self, logits: torch.Tensor, at: torch.Tensor | None = None) -> None:
        """Add the output [B, T, vocabulary] of the text head, or [N, vocabulary] at the flat positions `at` [N].

        Raises `ValueError` for another shape.
        """
        view = self._view
        if view is None or view.text_labels is None:
            return
        _check_shape("text", logits, (*(view.token_ids.shape if at is None else at.shape), logits.shape[-1]))
        labels = view.text_labels.unsqueeze(-1)
        shifted = metric.shift_labels(labels, predicts_next=view.attention_mask).flatten(0, 1)
        positions = torch.arange(len(shifted), device=logits.device) if at is None else at
        rows, labels, shifted = logits.reshape(len(positions), -1), labels.flatten(0, 1)[positions], shifted[positions]
        if self._keep_sample and (self._text is None or self._text_view is view):
            self._keep_text(view, rows, shifted[:, 0], positions)
        sums, _ = metric.score(rows, labels=labels, next_labels=shifted)
        self._add("text", sums, range(1))

    def _add_losses(self, view: BatchView, by_row: torch.Tensor, at: torch.Tensor | None) -> None:
        """Add the sums of each row to those of its target."""
        samples, length = view.token_ids.shape
        targets = view.targets
        if not self._losses or self._losses[-1][0] is not view:
            if len(self._losses) >= MOST_BATCHES:
                return
            self._losses.append((view, by_row.new_zeros(len(targets), 2)))
        positions = torch.arange(len(by_row), device=by_row.device) if at is None else at
        owner = torch.full((samples * length + 1,), -1, dtype=torch.int64)
        for number, segment in enumerate(targets):  # the row before a position predicts it
            start = segment.sample * length
            owner[start + max(0, segment.start - 1) : start + segment.stop - 1] = number
        owners = owner.to(by_row.device)[positions]
        kept = owners >= 0
        self._losses[-1][1].index_add_(0, owners[kept], by_row[kept])

    @property
    def losses(self) -> tuple[tuple[BatchView, torch.Tensor], ...]:
        """The first `MOST_BATCHES` batches, each with the nll summed over the codes of a target, and their number,
        float64 in the order of `BatchView.targets`, on the device of the model."""
        return tuple(self._losses)

    def _keep_text(self, view: BatchView, logits: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor) -> None:
        """Keep the most likely tokens at the labelled positions of the first sample."""
        keep = ((positions < view.token_ids.shape[1]) & (labels != IGNORE)).nonzero().squeeze(-1)
        predicted, labelled = logits[keep].argmax(dim=-1), labels[keep]
        if self._text is not None and self._text_labels is not None:
            predicted, labelled = torch.cat([self._text, predicted]), torch.cat([self._text_labels, labelled])
        self._text_view, self._text, self._text_labels = view, predicted, labelled

    def _add(self, name: str, values: torch.Tensor, codebooks: range) -> None:
        """Add to the rows of `codebooks`, in a new tensor: `LossCheck` keeps the previous one."""
        total = self.sums[name].to(values.device, copy=True)
        total[codebooks.start : codebooks.stop] += values
        self.sums[name] = total

    def _keep_audio(self, view: BatchView, head: AudioHead, logits: torch.Tensor, at: torch.Tensor | None) -> None:
        """Keep the most likely codes of the first target. Its frame 0 is predicted at the position before it."""
        targets = [target for target in view.targets if target.start > 0]
        if not targets:
            return
        segment = targets[0]
        positions = slice(segment.start, segment.stop)
        if self._codes is None:
            self._kept, self._segment = view, segment
            self._codes = torch.full_like(view.codes[segment.sample, positions], -1)
        first, frames = segment.sample * view.token_ids.shape[1] + segment.start - 1, segment.stop - segment.start
        codebooks = slice(head.codebooks.start, head.codebooks.stop)
        rows = torch.arange(first, first + frames, device=logits.device)
        frame = rows - first
        if at is not None:
            rows = ((at >= first) & (at < first + frames)).nonzero().squeeze(-1)
            frame = at[rows] - first
        predicted = logits[rows]
        if head.columns is not None:
            columns = head.columns.to(predicted.device)
            predicted = predicted[:, columns.clamp(min=0)].masked_fill(columns < 0, -torch.inf)
        self._codes[frame, codebooks] = predicted.unflatten(-1, (len(head.codebooks), -1)).argmax(-1)
        self._given = view.codes[segment.sample, positions]
        self._audio_labels = None if view.audio_labels is None else view.audio_labels[segment.sample, positions]


def _check_shape(which: str, logits: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(logits.shape) != expected:
        raise ValueError(
            f"{which} logits have shape {tuple(logits.shape)}; expected from the config and the batch: {expected}"
        )
