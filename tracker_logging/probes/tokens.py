"""Statistics of teacher-forced predictions, read at the heads of the model.

Guarantees
- The label at t is scored by the logits at t − 1, within one clip: the last frame of a clip never predicts the first
  of the next, and frame 0 is predicted from the token before the clip (audio-begin).
- All micro-batches and all batches between two `begin`s are added up.

    probe = TokenProbe(adapter)
    hooks.after(adapter.audio_head(), "tokens", probe.audio)
    probe.begin(view)                                   # before each forward
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tracker_logging.metrics import tokens as metric
from tracker_logging.models.base import IGNORE, BatchView, ModelAdapter, Role, Segment


def predicts_next(view: BatchView, *, bos_code: int) -> torch.Tensor:
    """[B, T] bool: whether the logits at t may be scored by the audio label at t + 1.

    Within a segment they may, except where the next frame begins another clip (all codebooks hold the begin code and
    this position is audio too). The first frame of a segment is predicted by the text before it, never by audio.
    """
    audio = (view.roles == Role.REFERENCE) | (view.roles == Role.TARGET)
    clip = torch.zeros_like(view.roles)
    for number, segment in enumerate(view.segments, start=1):
        clip[segment.sample, segment.start : segment.stop] = number
    begins = (view.codes == bos_code).all(dim=-1)
    allowed = torch.zeros_like(audio)
    same_clip = (clip[:, 1:] == clip[:, :-1]) & ~begins[:, 1:]
    allowed[:, :-1] = view.attention_mask[:, :-1] & audio[:, 1:] & (~audio[:, :-1] | same_clip)
    return allowed


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """What the model predicts for one sample, on the device of the model; `codes` [F, K] int64 in the delay pattern.

    `labels` [F, K] int64 and `given` [F, K] int64 (the input codes) are aligned with it. Text the same way, [N] int64
    at labelled positions, or None.
    """

    segment: Segment | None
    codes: torch.Tensor | None
    labels: torch.Tensor | None
    given: torch.Tensor | None
    text: torch.Tensor | None
    text_labels: torch.Tensor | None


class TokenProbe:
    """Adds up over forwards. `sums` (of one shape on all ranks): `tokens`, `text` [K, columns], `histogram` [K, V]."""

    def __init__(self, adapter: ModelAdapter, *, keep_sample: bool) -> None:
        self._adapter = adapter
        self._keep_sample = keep_sample
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
        self._text_labels: torch.Tensor | None = None

    def begin(self, view: BatchView) -> None:
        """The batch of the forward that comes next."""
        self._view = view

    def end(self) -> None:
        """Ignore what the heads do until the next `begin`."""
        self._view = None

    @property
    def sample(self) -> SamplePrediction:
        """The first target of the first forward."""
        return SamplePrediction(
            self._segment, self._codes, self._audio_labels, self._given, self._text, self._text_labels
        )

    def audio(self, logits: torch.Tensor) -> None:
        """Take the output [B, T, K·V] of the audio head in. Raises `ValueError` if its shape is another."""
        view = self._view
        if view is None:
            return
        codebooks, vocabulary = self._adapter.num_codebooks, self._adapter.codebook_vocabulary
        _check_shape("audio", logits, (*view.token_ids.shape, codebooks * vocabulary))
        if self._keep_sample and self._codes is None:
            self._keep_audio(view, logits)
        if view.audio_labels is None:
            return
        allowed = predicts_next(view, bos_code=self._adapter.bos_code)
        shifted = metric.shift_labels(view.audio_labels, predicts_next=allowed)
        sums, histogram = metric.score(
            logits.flatten(0, 1), labels=view.audio_labels.flatten(0, 1), next_labels=shifted.flatten(0, 1)
        )
        self._add("tokens", sums)
        self._add("histogram", histogram)

    def text(self, logits: torch.Tensor) -> None:
        """Take the output [B, T, vocabulary] of the text head in. Raises `ValueError` if its shape is another."""
        view = self._view
        if view is None or view.text_labels is None:
            return
        _check_shape("text", logits, (*view.token_ids.shape, logits.shape[-1]))
        labels = view.text_labels.unsqueeze(-1)
        shifted = metric.shift_labels(labels, predicts_next=view.attention_mask)
        if self._keep_sample and self._text is None:
            at = (shifted[0, :, 0] != IGNORE).nonzero().squeeze(-1)
            self._text, self._text_labels = logits[0, at].argmax(dim=-1), shifted[0, at, 0]
        sums, _ = metric.score(logits.flatten(0, 1), labels=labels.flatten(0, 1), next_labels=shifted.flatten(0, 1))
        self._add("text", sums)

    def _add(self, name: str, values: torch.Tensor) -> None:
        self.sums[name] = self.sums[name].to(values.device) + values

    def _keep_audio(self, view: BatchView, logits: torch.Tensor) -> None:
        """Most likely codes of the first target, frame by frame; its frame 0 comes from the position before it."""
        targets = [segment for segment in view.segments if segment.role == Role.TARGET and segment.start > 0]
        if not targets:
            return
        segment = targets[0]
        own = slice(segment.start, segment.stop)
        rows = logits[segment.sample, segment.start - 1 : segment.stop - 1]
        self._segment = segment
        self._codes = rows.unflatten(-1, (self._adapter.num_codebooks, self._adapter.codebook_vocabulary)).argmax(-1)
        self._given = view.codes[segment.sample, own]
        self._audio_labels = None if view.audio_labels is None else view.audio_labels[segment.sample, own]


def _check_shape(which: str, logits: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(logits.shape) != expected:
        raise ValueError(f"{which} logits have shape {tuple(logits.shape)}, the config and the batch say {expected}")
