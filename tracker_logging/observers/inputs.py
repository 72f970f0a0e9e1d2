"""What the model is given: decoded samples, tensors, audio segments, label coverage and structure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from tracker_logging import tags
from tracker_logging.events import Audio, Cell, Clip, Event, Scalars, Table
from tracker_logging.families import AudioCodec, BatchView, ModelAdapter, Role, Segment
from tracker_logging.observers.readable import readable_tokens
from tracker_logging.probes.audit import BatchAudit, audit_batch
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.session.observer import Later, Observer

_AUDIO_ROLES = (Role.REFERENCE, Role.TARGET)


class InputObserver(Observer):
    """Tables, lengths, label audit and the clips as the model receives them, from the first batch of a logged step."""

    name = "inputs"
    needs = frozenset({"inputs", "causality"})

    def observe_batch(self, step: int, view: BatchView) -> Iterable[Event]:
        if self.training.adapter.num_codebooks:
            yield Scalars(step=step, values={tags.PLACEHOLDER_MISMATCH(): float(len(view.mismatched))})

    def observe(self, snapshot: StepSnapshot) -> Iterable[Event | Later]:
        step, view = snapshot.step, snapshot.batch
        audit = audit_batch(view, self.training.adapter, special_ids=self.training.special_ids)
        yield Scalars(step=step, values=self._scalars(snapshot, audit))
        yield Table(step=step, tag=tags.SAMPLES(), columns=("sample", "tokens", "text"), rows=self._samples(view))
        yield Table(
            step=step,
            tag=tags.TENSORS(),
            columns=("name", "shape", "dtype", "min", "max", "mean", "non-finite", "first values"),
            rows=tuple(
                (t.name, str(list(t.shape)), t.dtype, t.minimum, t.maximum, t.mean, t.non_finite, t.first_values)
                for t in snapshot.inputs
            ),
        )
        if view.segments:
            yield Table(
                step=step,
                tag=tags.SEGMENTS(),
                columns=("sample", "role", "start", "stop", "frames", "seconds"),
                rows=tuple(self._segment_row(segment) for segment in view.segments),
            )
        if audit.violations:
            yield Table(
                step=step,
                tag=tags.VIOLATION_TABLE(),
                columns=("sample", "what", "fix"),
                rows=tuple((v.sample, v.what, v.fix) for v in audit.violations),
            )
        adapter, codec = self.training.adapter, self.training.codec
        if codec is not None:
            yield Later(lambda: input_audio(step, view, adapter, codec))

    def _scalars(self, snapshot: StepSnapshot, audit: BatchAudit) -> dict[str, float]:
        may_be_empty: frozenset[str] = getattr(self.training.adapter, "may_be_empty", frozenset())
        values = {
            tags.SEQUENCE_LENGTH(which="mean"): sum(audit.lengths) / len(audit.lengths),
            tags.SEQUENCE_LENGTH(which="max"): float(max(audit.lengths)),
            tags.PADDING(): audit.padding_pct,
            tags.NON_FINITE_INPUTS(): float(sum(t.non_finite for t in snapshot.inputs)),
            tags.EMPTY_TENSORS(): float(sum(0 in t.shape and t.name not in may_be_empty for t in snapshot.inputs)),
        }
        if self.training.adapter.num_codebooks:
            values |= {
                tags.VIOLATIONS(): float(len(audit.violations)),
                tags.DELAY_VIOLATIONS(): float(audit.delay_violations),
                tags.CROSSING_SPANS(): float(audit.crossing_spans),
                tags.TRUNCATED(): float(audit.truncated),
            }
        labels = audit.labels
        optional = {
            tags.TEXT_LABEL_COVERAGE(): labels.text_pct,
            tags.PROMPT_LABELLED(): labels.prompt_pct,
            tags.EOS_LABELLED(): labels.eos_pct,
            tags.BOS_LABELLED(): labels.bos_pct,
            tags.REFERENCE_LABELLED(): labels.reference_pct,
            tags.PAIR_LABELLED(): labels.pair_pct,
            tags.TARGETS(): targets_per_sample(snapshot.batch),
            tags.LABEL_MISMATCH(): labels.mismatch_pct,
            tags.LABEL_ELSEWHERE(): labels.elsewhere_pct,
            tags.CAUSALITY_LEAK(): snapshot.causality_leak,
            tags.WITH_REFERENCE(): with_reference_pct(snapshot.batch),
            tags.WITH_LABELS(): labels.samples_pct,
            tags.REFERENCE_IS_TARGET(): audit.reference_is_target,
            tags.SAME_TARGET(): audit.repeats.target_pct,
            tags.SAME_TEXT(): audit.repeats.text_pct,
        }
        values |= {tag: value for tag, value in optional.items() if value is not None}
        for codebook, share in enumerate(labels.coverage_pct or ()):
            if not math.isnan(share):
                values[tags.LABEL_COVERAGE(codebook=codebook)] = share
        values |= dict(self._audio_seconds(snapshot.batch))
        return values

    def _audio_seconds(self, view: BatchView) -> Iterator[tuple[str, float]]:
        if self.training.codec is None:
            return
        for role in _AUDIO_ROLES:
            frames = [segment.frames for segment in view.segments if segment.role == role]
            if frames:
                seconds = sum(frames) / self.training.codec.frame_rate
                yield tags.AUDIO_SECONDS(role=role.name.lower()), seconds / len(view.token_ids)

    def _samples(self, view: BatchView) -> tuple[tuple[Cell, ...], ...]:
        rows: list[tuple[Cell, ...]] = []
        for sample, (token_ids, mask) in enumerate(zip(view.token_ids, view.attention_mask, strict=True)):
            sample_ids = token_ids[mask].tolist()
            rows.append((sample, len(sample_ids), readable_tokens(sample_ids, self.training.tokenizer)))
        return tuple(rows)

    def _segment_row(self, segment: Segment) -> tuple[Cell, ...]:
        codec = self.training.codec
        seconds = None if codec is None else round(segment.frames / codec.frame_rate, 3)
        return segment.sample, segment.role.name.lower(), segment.start, segment.stop, segment.frames, seconds


def with_reference_pct(view: BatchView) -> float | None:
    """Of the samples that have a target, the share in which audio comes before a target: a reference, or an earlier
    target, whose voice the later one continues. None without a target."""
    targets = {target.sample for target in view.targets}
    with_voice = {
        target.sample
        for target in view.targets
        if any(other.sample == target.sample and other.start < target.start for other in view.segments)
    }
    return 100.0 * len(with_voice) / len(targets) if targets else None


def targets_per_sample(view: BatchView) -> float | None:
    """Targets per sample that has one; None without a target."""
    samples = [target.sample for target in view.targets]
    return len(samples) / len(set(samples)) if samples else None


def input_audio(step: int, view: BatchView, adapter: ModelAdapter, codec: AudioCodec) -> Iterator[Event]:
    """The clips that the first sample of a batch holds, if it holds any."""
    if clips := decoded_clips(view, adapter, codec):
        yield Audio(step=step, tag=tags.INPUT_AUDIO(), clips=clips)


def decoded_clips(view: BatchView, adapter: ModelAdapter, codec: AudioCodec) -> Mapping[str, Clip]:
    """References and targets of the first sample, decoded from the codes that the model was given: `reference`,
    `target`, `target_2`, …"""
    clips: dict[str, Clip] = {}
    for segment in view.segments:
        if segment.sample != 0 or segment.frames == 0 or adapter.pattern is None:
            continue
        # A reference that goes on as the target has its last codes, delayed, in the target's rows.
        laid = view.codes[0, segment.start :]
        codes = adapter.pattern.revert(laid, lead=segment.lead, frames=segment.frames)
        if codes.numel() and int(codes.min()) >= 0 and int(codes.max()) < codec.codebook_size:
            role = segment.role.name.lower()
            number = 1 + sum(other.split("_")[0] == role for other in clips)
            seconds = segment.frames / codec.frame_rate
            clips[role if number == 1 else f"{role}_{number}"] = Clip(
                samples=codec.decode(codes.numpy()),
                sample_rate=codec.sample_rate,
                caption=f"{role}{'' if number == 1 else f' {number}'} as the model receives it, {seconds:.2f} s",
            )
    return clips
