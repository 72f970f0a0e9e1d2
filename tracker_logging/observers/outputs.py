"""What the model predicts, teacher-forced: statistics per codebook, label / prediction pairs, and decoded audio."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import TypeAlias

import numpy as np
import torch

from tracker_logging import tags
from tracker_logging.data.codec import AudioCodec
from tracker_logging.events import Audio, Cell, Clip, Event, Heatmap, Image, Scalars, Table
from tracker_logging.families.base import IGNORE, ModelAdapter
from tracker_logging.metrics.hard_samples import COLUMNS as HARD_COLUMNS
from tracker_logging.metrics.hard_samples import LossHistory
from tracker_logging.metrics.sample_gaps import GapHistory, SampleGap
from tracker_logging.metrics.tokens import TokenStatistics
from tracker_logging.observers.latents import latent_events
from tracker_logging.observers.readable import readable_tokens, target_words
from tracker_logging.probes.snapshot import EvaluationSnapshot, FloatArray, IntArray, SampleOutputs, StepSnapshot
from tracker_logging.session.observer import Later, Observer, Training

PAIRS = 10  # label / prediction pairs shown from each end

_Statistics: TypeAlias = tuple[tuple[tags.Tag, Callable[[TokenStatistics], FloatArray]], ...]
_BY_CODEBOOK: _Statistics = (
    (tags.NLL, lambda tokens: tokens.nll),
    (tags.ACCURACY, lambda tokens: tokens.accuracy),
    (tags.TOP5, lambda tokens: tokens.top5),
    (tags.ENTROPY, lambda tokens: tokens.entropy),
    (tags.PERPLEXITY, lambda tokens: tokens.perplexity),
    (tags.USAGE, lambda tokens: tokens.usage),
)
_BY_CODEBOOK_IN_EVALUATION: _Statistics = (
    (tags.EVAL_NLL, lambda tokens: tokens.nll),
    (tags.EVAL_ACCURACY, lambda tokens: tokens.accuracy),
    (tags.EVAL_TOP5, lambda tokens: tokens.top5),
    (tags.EVAL_ENTROPY, lambda tokens: tokens.entropy),
    (tags.EVAL_PERPLEXITY, lambda tokens: tokens.perplexity),
    (tags.EVAL_USAGE, lambda tokens: tokens.usage),
)


class OutputObserver(Observer):
    """Statistics over the whole step and all ranks; tables, picture and sound of the first target on rank 0."""

    name = "outputs"
    needs = frozenset({"tokens", "gaps", "finite"})

    def begin(self, training: Training) -> None:
        super().begin(training)
        self._losses = LossHistory()
        self._gaps = GapHistory()
        self._heard: deque[Table] = deque()  # from the thread that gathers the voices

    def hear(self, event: Event) -> None:
        if isinstance(event, Table) and event.tag == tags.CONDITIONING_SAMPLES():
            self._heard.append(event)

    def observe(self, snapshot: StepSnapshot) -> Iterable[Event | Later]:
        step = snapshot.step
        values = _scalars(snapshot)
        if values:
            yield Scalars(step=step, values=values)
        yield from self._hard_samples(snapshot)
        if snapshot.latents is not None:
            yield from latent_events(step, snapshot.latents, snapshot.latent_sample, codec=self.training.codec)
        sample = snapshot.sample
        if sample is None:
            return
        rows = pair_rows(sample, tokenizer=self.training.tokenizer)
        if rows:
            columns = ("of", "position", "label", "prediction", "equal")
            yield Table(step=step, tag=tags.PREDICTIONS(), columns=columns, rows=rows)
        if sample.text_labels is not None and sample.text_predicted is not None and len(sample.text_labels):
            texts = (self._text(sample.text_labels), self._text(sample.text_predicted))
            yield Table(step=step, tag=tags.TEXTS(), columns=("target text", "predicted text"), rows=(texts,))
        accuracy = accuracy_map(sample)
        if accuracy is not None:
            yield Image(step=step, tag=tags.ACCURACY_MAP(), picture=accuracy, caption="the first target of the batch")
        adapter, codec = self.training.adapter, self.training.codec
        if codec is not None:
            yield Later(lambda: teacher_forced_audio(step, sample, adapter, codec))

    def observe_evaluation(self, snapshot: EvaluationSnapshot) -> Iterable[Event]:
        tokens, text = snapshot.tokens, snapshot.text
        values: dict[str, float] = {}
        if tokens is not None:
            for tag, of in _BY_CODEBOOK_IN_EVALUATION:
                values |= _by_codebook(tag, of(tokens))
            values |= _present({tags.EVAL_NLL_MEAN(): tokens.mean(tokens.nll)})
            values |= _present({tags.EVAL_ACCURACY_MEAN(): tokens.mean(tokens.accuracy)})
        if text is not None:
            values |= _present({tags.EVAL_NLL_TEXT(): text.mean(text.nll)})
            values |= _present({tags.EVAL_ACCURACY_TEXT(): text.mean(text.accuracy)})
        if values:
            named = {tags.of_evaluation(tag, snapshot.name): value for tag, value in values.items()}
            yield Scalars(step=snapshot.step, values=named)

    def _hard_samples(self, snapshot: StepSnapshot) -> Iterator[Event]:
        """The hardest samples of the training so far, and the prompts whose own text or reference does not help."""
        while self._heard:
            table = self._heard.popleft()
            self._gaps.add([_sample_gap(row) for row in table.rows], step=table.step)
        if self.training.tokenizer is None:
            return
        codec, words_in = self.training.codec, getattr(self.training.adapter, "words_in", str)
        for sample in snapshot.sample_losses:
            text = target_words(sample.text_ids, self.training.tokenizer, special_ids=self.training.special_ids)
            text = words_in(text)
            if text:
                seconds = None if codec is None else round(sample.frames / codec.frame_rate, 3)
                self._losses.add(
                    step=snapshot.step, text=text, nll=sample.nll, seconds=seconds,
                    reference_gap=sample.reference_gap, text_gap=sample.text_gap,
                )  # fmt: skip
        rows = tuple(astuple(hard) for hard in (*self._gaps.suspects(), *self._losses.hardest()))
        if rows:
            yield Table(step=snapshot.step, tag=tags.HARD_SAMPLES(), columns=HARD_COLUMNS, rows=rows)

    def _text(self, token_ids: IntArray) -> str:
        return readable_tokens(token_ids.tolist(), self.training.tokenizer)


def _sample_gap(row: Sequence[Cell]) -> SampleGap:
    """A row of `conditioning/samples`. The reference helps if it is better than another or than none."""
    _, text, seconds, *numbers = row
    nll, other, none, own_text = (None if number is None else float(number) for number in numbers)
    known = [gap for gap in (other, none) if gap is not None]
    length = None if seconds is None else float(seconds)
    return SampleGap(str(text), length, math.nan if nll is None else nll, max(known, default=None), own_text)


def _scalars(snapshot: StepSnapshot) -> dict[str, float]:
    values: dict[str, float] = {}
    tokens, text = snapshot.tokens, snapshot.text
    if tokens is not None:
        for tag, of in _BY_CODEBOOK:
            values |= _by_codebook(tag, of(tokens))
        values |= _by_codebook(tags.OUTSIDE, 100.0 * tokens.outside)
        values |= _present(
            {
                tags.NLL_MEAN(): tokens.mean(tokens.nll),
                tags.ACCURACY_MEAN(): tokens.mean(tokens.accuracy),
                tags.NLL_SHIFT0(): tokens.mean(tokens.nll_shift0),
            }
        )
    layer = snapshot.first_non_finite_layer
    values |= _present({tags.LOSS_RATIO(): snapshot.loss_ratio, tags.FIRST_NON_FINITE_LAYER(): layer})
    if text is not None:
        values |= _present({tags.NLL_TEXT(): text.mean(text.nll), tags.ACCURACY_TEXT(): text.mean(text.accuracy)})
    counted = [part.non_finite.sum() for part in (tokens, text) if part is not None]
    if counted:
        values[tags.NON_FINITE_LOGITS()] = float(sum(counted))
    return values


def _by_codebook(tag: tags.Tag, values: FloatArray) -> dict[str, float]:
    """One scalar per codebook that has labels."""
    return {tag(codebook=codebook): float(value) for codebook, value in enumerate(values) if not np.isnan(value)}


def _present(values: Mapping[str, float | None]) -> dict[str, float]:
    return {tag: value for tag, value in values.items() if value is not None}


def pair_rows(sample: SampleOutputs, *, tokenizer: object) -> tuple[tuple[Cell, ...], ...]:
    """(of, position, label, prediction, equal) at the first and last `PAIRS` labels of the text and each codebook.

    `position` counts text labels, or frames of the target in the delay pattern.
    """
    rows: list[tuple[Cell, ...]] = []
    if sample.text_labels is not None and sample.text_predicted is not None:
        shown = [readable_tokens([token], tokenizer) for token in sample.text_labels.tolist()]
        guessed = [readable_tokens([token], tokenizer) for token in sample.text_predicted.tolist()]
        rows += [("text", at, shown[at], guessed[at], shown[at] == guessed[at]) for at in _ends(range(len(shown)))]
    if sample.labels is not None and sample.predicted is not None:
        for codebook in range(sample.labels.shape[1]):
            labels, predicted = sample.labels[:, codebook].tolist(), sample.predicted[:, codebook].tolist()
            labelled = [at for at, label in enumerate(labels) if label != IGNORE]
            rows += [
                (f"codebook {codebook}", at, labels[at], predicted[at], labels[at] == predicted[at])
                for at in _ends(labelled)
            ]
    return tuple(rows)


def _ends(positions: Sequence[int]) -> list[int]:
    """The first and the last `PAIRS`, each once."""
    if len(positions) <= 2 * PAIRS:
        return list(positions)
    return [*positions[:PAIRS], *positions[-PAIRS:]]


def accuracy_map(sample: SampleOutputs) -> Heatmap | None:
    """Codebook × frame: 1 where the most likely code is the label, 0 where not, NaN where nothing is trained."""
    if sample.labels is None or sample.predicted is None or not (sample.labels != IGNORE).any():
        return None
    right = (sample.labels == sample.predicted).astype(np.float32)
    right[sample.labels == IGNORE] = np.nan
    return Heatmap(
        values=np.ascontiguousarray(right.T),
        title="Most likely code is the label",
        row_axis="codebook",
        column_axis="frame of the target, in the delay pattern",
        row_labels=tuple(str(codebook) for codebook in range(right.shape[1])),
        low=0.0,
        high=1.0,
    )


def teacher_forced_audio(step: int, sample: SampleOutputs, adapter: ModelAdapter, codec: AudioCodec) -> Iterator[Event]:
    """The clips of the target, if there is one."""
    if clips := teacher_forced_clips(sample, adapter, codec):
        yield Audio(step=step, tag=tags.TEACHER_FORCED_AUDIO(), clips=clips)


def teacher_forced_clips(sample: SampleOutputs, adapter: ModelAdapter, codec: AudioCodec) -> Mapping[str, Clip]:
    """The target and the most likely codes given the true past, both decoded; empty where the target has no sound.

    Where the true code is a begin or end code the prediction takes it over, so that both clips are equally long; a
    begin or end code predicted inside speech becomes the nearest real code. Empty too where some codes of the target
    were not predicted (CSM's depth decoder is trained on some frames only).
    """
    pattern = adapter.pattern
    if sample.given is None or sample.predicted is None or sample.segment is None or pattern is None:
        return {}
    sounds = min(pattern.codes, codec.codebook_size)
    given, guessed = torch.from_numpy(sample.given), torch.from_numpy(sample.predicted)
    if ((guessed < 0) & (given >= 0) & (given < sounds)).any():
        return {}
    if sample.labels is not None:  # a codebook without labels is given and not predicted
        given_alone = torch.from_numpy((sample.labels == IGNORE).all(axis=0))
        guessed = torch.where(given_alone, given, guessed)
    predicted = guessed.clamp(max=sounds - 1).where(given < sounds, given)
    clips: dict[str, Clip] = {}
    for name, delayed in (("target", given), ("teacher_forced", predicted)):
        codes = pattern.revert(delayed, lead=sample.segment.lead, frames=sample.segment.frames)
        if codes.shape[1] == 0 or int(codes.max()) >= codec.codebook_size:
            return {}
        meaning = "as the model receives it" if name == "target" else "most likely codes given the true past"
        caption = f"{name}: {meaning}"
        clips[name] = Clip(samples=codec.decode(codes.numpy()), sample_rate=codec.sample_rate, caption=caption)
    return clips
