"""What was promised for a run and did not arrive: reported once per cause, counted, and listed at the end.

    ledger = Ledger()
    ledger.promise(100, promised(owners={"outputs"}, facts={"audio is trained"}))
    ledger.arrived(100, ["outputs/nll/mean"])
    ledger.explain("outputs", "the batch has no labels")
    for family in ledger.settle(before=101):
        print(family.template, family.since, family.reason)

Guarantees
- A family of tags is promised by the table in `tags`: its owner observes, and what it depends on holds.
- A family that is missing is returned by `settle` once, and counted until the end, also if it arrives later.
- What the worker thread still makes (`making`) counts once it is done or the training ends.
- `arrived` and `made` may be called on any thread.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tracker_logging import tags
from tracker_logging.events import Alert, Checkpoint, Event, Findings, Scalars, Summary, Table, VoiceComparison
from tracker_logging.families.base import ModelAdapter, Role, cannot_give
from tracker_logging.probes.audit import keeps_pattern
from tracker_logging.probes.snapshot import EvaluationSnapshot, StepSnapshot

logger = logging.getLogger("tracker_logging")

UNEXPLAINED = "unknown, since no part reported an error; please report it"
UNFINISHED_ROUND = (
    "the round failed or was not scored in time, see the messages above; "
    "`tracker-logging score RUN` adds missing scores"
)
NO_ATTENTION = (
    "no attention was seen: it is read where layers call scaled_dot_product_attention or the attention interface of "
    "transformers"
)
NOT_FINITE = (
    "the model's outputs are NaN or infinite at this step (outputs/non_finite_logits), so nothing can be computed from "
    "them"
)
_OF_OUTPUTS = ("outputs/", "eval_outputs/", "attention/", "gradients/", "dualffn/", "chatml/loss_ratio")
# The first words of a reason -> the families that it explains. Other reasons explain all that is measured.
_SUBJECTS = {
    "loss ratio:": "chatml/loss_ratio",
    "causality:": "chatml/causality_leak",
    "attention:": "attention/",
    "entropy of the attention:": "attention/entropy",
    "FFN paths:": "dualffn/",
    "gaps of training samples:": "inputs/hard_samples",
    "text gaps of training samples:": "inputs/hard_samples",
    "reference gaps of training samples:": "inputs/hard_samples",
    "gradient": "gradients/",
    "update ratios:": "gradients/update",
    "cosine of text and audio gradients:": "gradients/text_audio_cosine",
}
NOT_IN_PATTERN = (
    "the codes of the first sample's clips are not in {} (chatml/delay_violations), so they are not decoded"
)
_EMPTY = {
    "chatml/prompt_labelled_pct": "no text before the target's own was found: there is none, or, without a processor, "
    "the special tokens that end it are unknown"
}
_NOT_OF_STEPS = ("eval_outputs/", "voices/", "conditioning/", "doctor/", "tracker/dropped_events", "tracker/queue_mb")
_OF_ROUNDS = ("voices/", "conditioning/")
_OF_CODEBOOKS = ("outputs/", "chatml/", "throughput/frames", "inputs/segments")
_OWNERS = {tag.template: tag.owner for tag in tags.ALL}
_OF_TARGETS = ("chatml/", "inputs/segments", "inputs/audio", "outputs/predictions", "outputs/accuracy_map")


@dataclass(frozen=True, slots=True)
class MissingFamily:
    """A family of tags that was promised at step `since` and did not arrive."""

    template: str
    since: int
    reason: str


class Ledger:
    """Promises by step, what arrived, and what is missing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._promised: dict[int, set[str]] = {}
        self._arrived: dict[int, set[str]] = {}
        self._reasons: dict[str, str] = {}
        self._reasons_of: dict[int, dict[str, str]] = {}  # by step
        self._missing: dict[str, MissingFamily] = {}
        self._unreported: list[MissingFamily] = []  # of `miss`
        self._making: Counter[tuple[int, str]] = Counter()  # events of a step and owner that the worker still makes

    @property
    def missing(self) -> tuple[MissingFamily, ...]:
        """All families that were missing so far, in the order in which they were noticed."""
        with self._lock:
            return tuple(self._missing.values())

    def promise(self, step: int, families: Iterable[tags.Tag]) -> None:
        """`families` will arrive with this step."""
        with self._lock:
            self._promised.setdefault(step, set()).update(family.template for family in families)

    def arrived(self, event: Event) -> None:
        """An event was emitted."""
        templates = {family for name in names_of(event) if (family := template_of(name)) is not None}
        if templates:
            with self._lock:
                self._arrived.setdefault(event.step, set()).update(templates)

    def making(self, step: int, owner: str) -> None:
        """An event of `owner` for `step` waits for the worker thread, which calls `made` in any case."""
        with self._lock:
            self._making[step, owner] += 1

    def made(self, step: int, owner: str) -> None:
        """The worker thread has emitted an event of `making`, or failed to."""
        with self._lock:
            self._making[step, owner] -= 1
            if self._making[step, owner] == 0:
                del self._making[step, owner]

    def explain(self, prefix: str, reason: str, *, step: int | None = None) -> None:
        """Why families are missing of an owner, or whose template begins with `prefix`. The first reason counts.

        `step`: the reason holds at this step only, where it comes before the others.
        """
        with self._lock:
            reasons = self._reasons if step is None else self._reasons_of.setdefault(step, {})
            reasons.setdefault(prefix, reason)

    def explain_not_shown(self, reason: str) -> None:
        """Why a part of a step cannot be measured. `reason` begins with what it is about."""
        about = (families for words, families in _SUBJECTS.items() if reason.startswith(words))
        self.explain(next(about, "capture"), reason)

    def miss(self, step: int, families: Iterable[tags.Tag], reason: str) -> None:
        """`families` cannot be shown, which is known before they are due."""
        with self._lock:
            for template in (family.template for family in families):
                if template not in self._missing:
                    self._missing[template] = MissingFamily(template, step, reason)
                    self._unreported.append(self._missing[template])

    def settle(self, *, before: int | None = None, rounds_before: int | None = None) -> tuple[MissingFamily, ...]:
        """Families promised for a step `before` that have not arrived, and were not missing until now.

        Voices and the conditioning gap arrive later than their step: they count for a step `rounds_before`, which no
        unfinished round is. Without `before`, the training has ended and nothing is waited for.
        """
        with self._lock:
            new, self._unreported = self._unreported, []
            for step in sorted(step for step in self._promised if before is None or step < before):
                open_families = self._promised[step] - self._arrived.get(step, set())
                kept: set[str] = set()
                if before is not None:
                    kept = {template for template in open_families if self._making[step, _OWNERS[template]] > 0}
                if rounds_before is not None and step >= rounds_before:
                    kept |= {template for template in open_families if template.startswith(_OF_ROUNDS)}
                for template in sorted(open_families - kept - self._missing.keys()):
                    family = MissingFamily(template, step, self._reason(template, step))
                    self._missing[template] = family
                    new.append(family)
                if kept:
                    self._promised[step] = kept
                else:
                    del self._promised[step]
                    self._reasons_of.pop(step, None)
            steps = [step for step in self._arrived if step not in self._promised and (before is None or step < before)]
            for step in steps:
                del self._arrived[step]
        return tuple(new)

    def report(
        self, step: int, *, before: int | None, rounds_before: int | None, failures: Mapping[str, str]
    ) -> Table | None:
        """Settle and log what is newly missing, once per reason; the table of all that is missing, if it changed.

        `failures`: by part, why it failed. At the end (`before` None) the table is returned in any case, if not empty.
        """
        for part, failure in failures.items():
            self.explain(part, f"it failed ({failure})")
        by_reason: dict[str, list[MissingFamily]] = {}
        for family in self.settle(before=before, rounds_before=rounds_before):
            by_reason.setdefault(family.reason, []).append(family)
        for reason, families in by_reason.items():
            names = ", ".join(family.template for family in families)
            logger.warning("Missing since step %d: %s. Reason: %s.", families[0].since, names, reason)
        missing = self.missing
        if not by_reason and not (before is None and missing):
            return None
        rows = tuple((family.template, family.since, family.reason) for family in missing)
        return Table(step=step, tag=tags.MISSING_LIST(), columns=("family", "since step", "reason"), rows=rows)

    def _reason(self, template: str, step: int) -> str:
        for reasons in (self._reasons_of.get(step, {}), self._reasons):
            if prefixes := [prefix for prefix in reasons if template.startswith(prefix)]:
                return reasons[max(prefixes, key=len)]
        if template.startswith(_OF_ROUNDS):
            return UNFINISHED_ROUND
        return (
            self._reasons.get(_OWNERS[template]) or _EMPTY.get(template) or self._reasons.get("capture") or UNEXPLAINED
        )


def promised(*, owners: Collection[str], facts: Collection[str], prefix: str = "") -> list[tags.Tag]:
    """The families that are owed when `owners` observe and `facts` hold, in the order of the table of tags.

    A fact that is not named counts as uncertain: the family may arrive and is not promised.
    """
    return [
        tag
        for tag in tags.ALL
        if tag.owner in owners
        and tag.kind != "voice"  # written as the tags of its parts
        and tag.template.startswith(prefix)
        and all(part in facts for part in tag.optional.split(", ") if part)
    ]


def explain_non_finite(ledger: Ledger, snapshot: StepSnapshot | EvaluationSnapshot) -> None:
    """Name NaN or infinite outputs as the reason for what they leave out."""
    parts = [part for part in (snapshot.tokens, snapshot.text) if part is not None]
    layer = snapshot.first_non_finite_layer if isinstance(snapshot, StepSnapshot) else None
    if layer is not None or any(part.non_finite.any() for part in parts):
        for prefix in _OF_OUTPUTS:
            ledger.explain(prefix, NOT_FINITE, step=snapshot.step)


def facts_of(snapshot: StepSnapshot, adapter: ModelAdapter, *, has_codec: bool) -> frozenset[str]:
    """What holds for a logged step, in the words of `Tag.optional`."""
    view = snapshot.batch
    roles = {segment.role for segment in view.segments}
    first = [segment for segment in view.segments if segment.sample == 0 and segment.frames]
    groups = None if snapshot.attention is None else np.isfinite(snapshot.attention.mass.mean(axis=1)).all(axis=0)
    facts = {
        "both groups are in the sample": groups is not None and bool(groups.sum() > 1),
        "a codec": has_codec and adapter.pattern is not None and any(s.role == Role.TARGET for s in first),
        "a reference is in the batch": Role.REFERENCE in roles and view.audio_labels is not None,
        "a target is in the batch": Role.TARGET in roles,
        "audio is trained": adapter.num_codebooks > 0 and snapshot.tokens is not None,
        "codes are in the text vocabulary": snapshot.tokens is not None
        and bool(np.isfinite(snapshot.tokens.outside).any()),
        "text is trained": snapshot.text is not None,
        "latents are trained": snapshot.latents is not None,
    }
    return frozenset(name for name, holds in facts.items() if holds)


def step_families(
    snapshot: StepSnapshot, adapter: ModelAdapter, *, owners: Collection[str], has_codec: bool
) -> list[tags.Tag]:
    """The families that a logged step owes."""
    facts = facts_of(snapshot, adapter, has_codec=has_codec)
    families = promised(owners=owners, facts=facts)
    left_out: tuple[str, ...] = _NOT_OF_STEPS
    if adapter.num_codebooks == 0:
        left_out += _OF_CODEBOOKS
    if "a target is in the batch" not in facts:
        left_out += _OF_TARGETS
    if not getattr(adapter, "loss_sums_codebooks", False):
        left_out += ("chatml/loss_ratio",)
    if getattr(adapter, "trains_references", False):
        left_out += ("chatml/reference_labelled_pct",)
    if adapter.pattern is None or adapter.pattern.bos is None:
        left_out += ("chatml/bos_labelled_pct",)
    return [family for family in families if not family.template.startswith(left_out)]


def promise_step(
    ledger: Ledger, snapshot: StepSnapshot, adapter: ModelAdapter, *, owners: Collection[str], has_codec: bool
) -> None:
    """Promise what a logged step owes. What the model's family cannot give is missing from the beginning."""
    for beginning, reason in cannot_give(adapter).items():
        if not beginning.startswith(_OF_ROUNDS):  # the observer of voices reports these
            ledger.miss(snapshot.step, _families(beginning, owners=owners), reason)
    ledger.promise(snapshot.step, step_families(snapshot, adapter, owners=owners, has_codec=has_codec))


def explain_layout(ledger: Ledger, snapshot: StepSnapshot, adapter: ModelAdapter) -> None:
    """Name another layout of codes as the reason for audio that cannot be decoded."""
    pattern, of_first = adapter.pattern, [one for one in snapshot.batch.segments if one.sample == 0]
    if pattern is not None and not all(keeps_pattern(snapshot.batch, one, pattern) for one in of_first):
        for tag in (tags.INPUT_AUDIO, tags.TEACHER_FORCED_AUDIO):
            ledger.explain(tag.template, NOT_IN_PATTERN.format(pattern.name), step=snapshot.step)


def _families(beginning: str, *, owners: Collection[str]) -> list[tags.Tag]:
    """The families that a key of `cannot_give` names, without those of text."""
    return [
        tag
        for tag in tags.ALL
        if (tag.template.startswith(beginning) if beginning.endswith("/") else tag.template == beginning)
        and tag.owner in owners
        and "text is trained" not in tag.optional
    ]


def evaluation_families(snapshot: EvaluationSnapshot, *, owners: Collection[str]) -> list[tags.Tag]:
    """The families that an evaluation owes."""
    facts = {"evaluation"} | ({"text is trained"} if snapshot.text is not None else set())
    families = promised(owners=owners, facts=facts, prefix="eval_outputs/")
    return families if snapshot.tokens is not None else [family for family in families if "/text" in family.template]


def names_of(event: Event) -> Iterable[str]:
    """The tags under which an event is written."""
    match event:
        case Scalars():
            return event.values
        case VoiceComparison():
            voice = event.voice_id
            return (
                tags.VOICE_TEXT(voice=voice), tags.VOICE_MEL(voice=voice),
                *(tags.VOICE_CLIP(voice=voice, clip=clip) for clip in event.clips),
            )  # fmt: skip
        case Alert() | Findings():
            return (tags.FINDINGS(),)
        case Summary() | Checkpoint():
            return ()
        case _:
            return (event.tag,)


@lru_cache(maxsize=4096)
def template_of(name: str) -> str | None:
    """The template of the family that a tag belongs to; None for a tag that is not ours."""
    family = tags.find(name)
    return None if family is None else family.template
