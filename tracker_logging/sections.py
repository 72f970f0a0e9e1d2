"""Groups the tags into charts and sections, the same for every dashboard; derived from the table of tags.

Guarantees
- Every scalar of `tags.py` is in exactly one chart, or is a detail (`n`, `low`, `high`) of one that is.
- A score shares a chart with its reachable values: `sim_o` with those of the real recording and the codec copy.

    >>> [chart.title for chart in charts() if chart.section == "Conditioning"][:2]
    ['conditioning/gap/codebook_{codebook}', 'conditioning/gap/mean']
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tracker_logging import tags

SECTIONS = (
    "Voices",
    "Scores",
    "Conditioning",
    "Attention",
    "Flow",
    "Tokens",
    "Inputs",
    "Doctor",
    "Overhead",
)
_BY_PREFIX = {
    "voices": "Scores",
    "summary": "Scores",
    "conditioning": "Conditioning",
    "attention": "Attention",
    "dualffn": "Flow",
    "gradients": "Flow",
    "outputs": "Tokens",
    "eval_outputs": "Tokens",
    "latents": "Tokens",
    "inputs": "Inputs",
    "chatml": "Inputs",
    "alerts": "Doctor",
    "doctor": "Doctor",
    "throughput": "Overhead",
    "tracker": "Overhead",
}
REACHABLE = {
    "voices/sim_o/mean": ("voices/sim_ceiling/mean", "voices/sim_codec/mean"),
    "voices/emotion_sim/mean": ("voices/emotion_sim_ceiling/mean", "voices/emotion_sim_codec/mean"),
    "voices/spk_top1": ("voices/spk_top1_chance",),
    "voices/between_speaker": ("voices/between_speaker_real",),
    "voices/wer": ("voices/wer_real",),
    "voices/cer": ("voices/cer_real",),
    "tracker/overhead_pct": ("tracker/budget_pct",),
}
"""A scalar → its reference values (real speech, chance, the budget), drawn in the same chart."""

_HEADINGS = {
    "voices/sim_o/mean": "Speaker similarity to the prompt",
    "voices/emotion_sim/mean": "Similarity of the emotion to the prompt",
    "voices/spk_top1": "Nearest prompt is the own speaker's",
    "voices/between_speaker": "Similarity of different speakers' clips",
    "voices/wer": "Word error rate",
    "voices/cer": "Character error rate",
    "conditioning/gap/mean": "Conditioning gap",
    "tracker/overhead_pct": "Time that logging takes",
}
_OF_GROUP = {
    "outputs": "Predictions",
    "eval_outputs": "Evaluation",
    "dualffn": "FFN paths",
    "chatml": "Labels",
}

_PARTED = (tags.GROUP_SCORE, tags.LANGUAGE_SCORE)
_DETAIL = re.compile(r"/(low|high|n)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart. `lines`: names of scalars, or, if `is_family`, one regular expression that matches the family."""

    section: str
    title: str
    unit: str
    lines: tuple[str, ...]
    is_family: bool

    @property
    def heading(self) -> str:
        """The title in words, with the unit.

        >>> [chart.heading for chart in charts() if chart.title in ("voices/wer", "outputs/nll/codebook_{codebook}")]
        ['Word error rate (share)', 'Predictions: nll by codebook (nats)']
        """
        group, *parts = self.title.split("/")
        members = re.findall(r"\{(\w+)\}", self.title)
        literal = [part for part in (re.sub(r"_?\{\w+\}|^mean$", "", part) for part in parts) if part not in members]
        words = " ".join(" ".join(literal).replace("_", " ").split())
        by = f" by {', '.join(members)}" if members else ""
        heading = _HEADINGS.get(self.title) or f"{_OF_GROUP.get(group, group.capitalize())}: {words}{by}"
        return f"{heading} ({self.unit})" if self.unit else heading


@cache
def charts() -> tuple[Chart, ...]:
    """All charts, in the order of `SECTIONS` and, within one, of the table of tags."""
    scored = [_chart(f"voices/{score.name}/mean", score.unit) for score in tags.SCORES if score.mean]
    beside = {name for names in REACHABLE.values() for name in names}
    parted = [
        _chart(tag.template.replace("{score}", score.name), score.unit)
        for tag in _PARTED
        for score in tags.SCORES
        if score.name in tags.PART_SCORES
    ]
    others = [
        _chart(tag.template, tag.unit)
        for tag in tags.ALL
        if tag.kind == "scalar" and tag not in (tags.VOICE_SCORE, *_PARTED) and not _DETAIL.search(tag.template)
    ]
    wanted = [chart for chart in (*scored, *parted, *others) if chart.title not in beside]
    return tuple(sorted(wanted, key=lambda chart: SECTIONS.index(chart.section)))


def section_of(name: str, *, default: str = "Overhead") -> str:
    """The section of a tag or of a family of tags; `default` for an unknown prefix."""
    return _BY_PREFIX.get(name.partition("/")[0], default)


def bounds_of(name: str) -> tuple[str, str]:
    """The tags of the lower and the upper end of a scalar's interval.

    >>> bounds_of("voices/sim_o/mean"), bounds_of("voices/wer")
    (('voices/sim_o/low', 'voices/sim_o/high'), ('voices/wer/low', 'voices/wer/high'))
    """
    stem = name.removesuffix("/mean")
    return f"{stem}/low", f"{stem}/high"


def is_detail(name: str) -> bool:
    """Whether the scalar is the number of items or an interval bound of another scalar."""
    return _DETAIL.search(name) is not None


def reading_order(name: str) -> tuple[int, int, str]:
    """A sort key for tags: by section, chart and name. Tags of other writers come after the scores."""
    section = section_of(name, default="Conditioning")
    lines = [line for chart in charts() for line in chart.lines]
    position = next((i for i, line in enumerate(lines) if re.match(line, name)), len(lines))
    return SECTIONS.index(section), position, name


def _chart(template: str, unit: str) -> Chart:
    is_family = "{" in template
    pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{\w+\}", template))
    lines = (f"^{pattern}$",) if is_family else (template, *REACHABLE.get(template, ()))
    return Chart(section=section_of(template), title=template, unit=unit, lines=lines, is_family=is_family)
