"""Does the model use the voice prompt and the text? Compare the target's nll with the true reference and text, with
another speaker's reference, with no reference, and with another sample's text. No generation is needed.

Guarantees
- The other reference and the other text are fixed for the run: derangements over different speakers and over different
  texts, where the prompts allow it.
- The other reference stands where the own one does, as a turn or in the system message: a reference of the other place
  would have no text, or lose it.
- The other text is of the same language where there is one. It keeps the tags of the voices, and replaces the texts of
  all targets.
- Prompts without a target recording are left out; without another speaker whose reference stands in the same place
  there is no "other" condition, with one text only no "text" condition.
- All conditions are scored by the same forward as training, with the labels of training.
- Intervals are 95 % bootstrap over speakers: prompts of one speaker are not independent.

    rows = conditioning_rows(prompts, processor)
    losses = conditioning_losses(adapter, rows, collate, device=device, batch_size=16)
    gap(losses, "other").mean(axis=0)       # [K] nats: above zero = the reference helps
    gap(losses, "text").mean(axis=0)        # [K] nats: above zero = the text is used
    conditioning_scalars(losses, speakers)["conditioning/gap/mean"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging import tags
from tracker_logging.data.voices import untagged
from tracker_logging.families.base import Features, ModelAdapter, Processor
from tracker_logging.metrics.interval import mean_interval
from tracker_logging.voices.prompt import VoicePrompt

Condition: TypeAlias = Literal["own", "other", "none", "text"]
Losses: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
Collate: TypeAlias = Callable[[Sequence[Features]], Features]
GapRow: TypeAlias = tuple[str | float | None, ...]
"""A row of `conditioning/samples`: the cells of `GAP_COLUMNS`."""
GAP_COLUMNS = ("voice", "target text", "seconds", "nll", "reference gap", "no-reference gap", "text gap")


@dataclass(frozen=True, slots=True, eq=False)
class ConditioningRow:
    """One prompt's target under one condition, as a training row."""

    voice_id: str
    condition: Condition
    features: Features


def conditioning_rows(prompts: Sequence[VoicePrompt], processor: Processor) -> list[ConditioningRow]:
    """The rows of all prompts that have a target recording, prompt by prompt, with the conditions that exist for it."""
    speakers = other_references(prompts)
    texts = other_texts([(prompt.sample.language, untagged(prompt.sample.target_text)) for prompt in prompts])
    rows: list[ConditioningRow] = []
    for prompt, speaker, text in zip(prompts, speakers, texts, strict=True):
        sample = prompt.sample
        if sample.target_audio is None:
            continue
        features: dict[Condition, Features] = {"own": processor.features(sample)}
        if speaker is not None:
            features["other"] = processor.features(sample, reference=prompts[speaker].sample)
        features["none"] = processor.features(sample, reference=None)
        if text is not None:
            features["text"] = processor.features(sample.with_texts_of(prompts[text].sample))
        rows += [ConditioningRow(prompt.voice_id, condition, row) for condition, row in features.items()]
    return rows


def conditioning_losses(
    adapter: ModelAdapter,
    rows: Sequence[ConditioningRow],
    collate: Collate,
    *,
    device: torch.device,
    batch_size: int,
) -> dict[str, dict[str, list[float]]]:
    """Voice id -> condition -> nll [K] in nats. Rows of similar length share a batch, to waste little on padding."""
    losses: dict[str, dict[str, list[float]]] = {}
    by_length = sorted(rows, key=lambda row: len(row.features["input_ids"]))
    for start in range(0, len(by_length), batch_size):
        batch = by_length[start : start + batch_size]
        inputs: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in collate([r.features for r in batch]).items()
        }
        for row, nll in zip(batch, adapter.audio_nll(inputs).tolist(), strict=True):
            losses.setdefault(row.voice_id, {})[row.condition] = nll
    return losses


def gap(losses: Losses, against: Condition) -> npt.NDArray[np.float64]:
    """[prompts, K] nats: nll under `against` − nll under the true reference and text; above zero = they help."""
    both = [nll for nll in losses.values() if against in nll and "own" in nll]
    return np.array([np.subtract(nll[against], nll["own"]) for nll in both], dtype=np.float64)


def sample_gaps(losses: Losses, prompts: Sequence[VoicePrompt], seconds: Mapping[str, float]) -> list[GapRow]:
    """One row per prompt with a target recording, in the order of `prompts`. `seconds`: voice id -> of its target."""
    rows: list[GapRow] = []
    for prompt in prompts:
        nll = losses.get(prompt.voice_id, {})
        if "own" in nll:
            own = np.asarray(nll["own"], dtype=np.float64)
            gaps = [_mean(np.asarray(nll[name]) - own) if name in nll else None for name in ("other", "none", "text")]
            text, length = prompt.sample.target_text, seconds.get(prompt.voice_id)
            rows.append((prompt.voice_id, text, length, _mean(own), *gaps))
    return rows


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _mean_of_codebooks(gaps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[prompts] from [prompts, K], over the codebooks that targets have: tokens of a clip may be its reference's."""
    mean: npt.NDArray[np.float64] = gaps[:, ~np.isnan(gaps).all(axis=0)].mean(axis=1)
    return mean


def conditioning_scalars(losses: Losses, speakers: Mapping[str, str]) -> dict[str, float]:
    """Scalars by tag; empty without a prompt that has a target recording. `speakers`: voice id -> speaker."""
    values: dict[str, float] = {}
    conditions: tuple[tuple[str, tags.Tag, Condition], ...] = (
        ("gap", tags.CONDITIONING_GAP_MEAN, "other"),
        ("gap_null", tags.CONDITIONING_GAP_NULL, "none"),
        ("text_gap", tags.TEXT_GAP_MEAN, "text"),
    )
    for which, tag, condition in conditions:
        gaps = gap(losses, condition)
        groups = [speakers[voice] for voice, nll in losses.items() if condition in nll and "own" in nll]
        interval = mean_interval(_mean_of_codebooks(gaps), groups) if len(gaps) else None
        if interval is None:
            continue
        values[tag()] = interval.mean
        values[tags.CONDITIONING_N(which=which)] = float(interval.n)
        for end, bound in ((tags.CONDITIONING_LOW, interval.low), (tags.CONDITIONING_HIGH, interval.high)):
            if bound is not None:
                values[end(which=which)] = bound
    by_codebook: tuple[tuple[Condition, tags.Tag, tags.Tag, tags.Tag], ...] = (
        ("other", tags.CONDITIONING_GAP, tags.CONDITIONING_WIN_RATE, tags.CONDITIONING_WINS),
        ("text", tags.TEXT_GAP, tags.TEXT_WIN_RATE, tags.TEXT_WINS),
    )
    for condition, gap_tag, win_rate, wins in by_codebook:
        gaps = gap(losses, condition)
        if len(gaps):
            values[win_rate()] = float((_mean_of_codebooks(gaps) > 0).mean())
            for codebook, column in enumerate(gaps.T):
                column = column[~np.isnan(column)]
                if not len(column):
                    continue
                values[gap_tag(codebook=codebook)] = float(np.mean(column))
                values[wins(codebook=codebook)] = float((column > 0).mean())
    return values


def other_speakers(speakers: Sequence[str]) -> list[int | None]:
    """For each prompt the index of a prompt of another speaker, None where there is no other speaker.

    All indices are different where no speaker has more than half of the prompts: prompts are sorted by speaker and
    rotated by the size of the largest group, so that equal speakers never meet.
    """
    order = sorted(range(len(speakers)), key=lambda index: (speakers[index], index))
    turn = max((list(speakers).count(name) for name in speakers), default=0)
    partners: list[int | None] = [None] * len(speakers)
    for place, index in enumerate(order):
        candidates = (order[(place + turn + more) % len(order)] for more in range(len(order)))
        partners[index] = next((other for other in candidates if speakers[other] != speakers[index]), None)
    return partners


def other_references(prompts: Sequence[VoicePrompt]) -> list[int | None]:
    """For each prompt the index of one of another speaker whose references stand in the same place; None without it."""
    return _within([prompt.sample.references_in for prompt in prompts], [prompt.speaker for prompt in prompts])


def other_texts(texts: Sequence[tuple[str | None, str]]) -> list[int | None]:
    """For each prompt, given as (language, text), the index of one with another text, if possible of its language."""
    of_language = _within([language for language, _ in texts], [text for _, text in texts])
    of_any = other_speakers([text for _, text in texts])
    return [any_ if own is None else own for own, any_ in zip(of_language, of_any, strict=True)]


def _within(groups: Sequence[str | None], names: Sequence[str]) -> list[int | None]:
    """`other_speakers` within each group."""
    partners: list[int | None] = [None] * len(names)
    for group in set(groups):
        members = [index for index, other in enumerate(groups) if other == group]
        for index, partner in zip(members, other_speakers([names[index] for index in members]), strict=True):
            partners[index] = None if partner is None else members[partner]
    return partners
