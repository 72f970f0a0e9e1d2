"""Generates the description of every rule in docs/doctor.md from `tracker_logging/doctor`.

python docs/make_doctor_page.py
"""

from __future__ import annotations

import re
from pathlib import Path

from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import THEMES
from tracker_logging.tags import Tag

PAGE = Path(__file__).parent / "doctor.md"
_BLOCK = re.compile(r"<!-- rules -->.*<!-- end -->", re.DOTALL)


def rules_text() -> str:
    """A heading per theme, and under it every rule."""
    parts = []
    for theme, rules in THEMES.items():
        parts += [f"## {theme}", *(_rule_text(rule) for rule in rules)]
    return "\n\n".join(parts)


def _rule_text(rule: Rule) -> str:
    reads = ", ".join(f"`{_name(tag)}`" for tag in rule.reads)
    return "\n".join(
        [
            f"### {rule.title}",
            "",
            f"`{rule.name}` · {rule.level} · cause {rule.certainty} · {_hysteresis(rule)}",
            "",
            f"- **Evidence:** {rule.opens_when}. Reads {reads}.",
            *_causes(rule),
            f"- **Fix:** {rule.fix}",
        ]
    )


def _causes(rule: Rule) -> list[str]:
    if len(rule.causes) == 1:
        return [f"- **Cause:** {rule.causes[0].text}"]
    ranked = enumerate(rule.causes, start=1)
    return [
        "- **Causes, most likely first:**",
        *(f"  {rank}. {cause.text} *Check:* {cause.check}." for rank, cause in ranked),
    ]


def _hysteresis(rule: Rule) -> str:
    opens = "opens at once" if rule.opens_after == 1 else f"opens after {rule.opens_after} evaluations in a row"
    closes = f"closes after {rule.closes_after} without it"
    return f"{opens}, {closes}"


def _name(tag: Tag | str) -> str:
    return tag if isinstance(tag, str) else tag.template


def filled(page: str) -> str:
    """The page with the part between its markers regenerated."""
    return _BLOCK.sub(lambda _: f"<!-- rules -->\n\n{rules_text()}\n\n<!-- end -->", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
