"""Writes the tables of tags and scores into STRATEGIC_LOGGING.md, from `tracker_logging/tags.py`.

python docs/make_tag_tables.py
"""

from __future__ import annotations

import re
from pathlib import Path

from tracker_logging import tags

PAGE = Path(__file__).parents[1] / "STRATEGIC_LOGGING.md"


def tag_table(owner: str) -> str:
    """Markdown rows of the tags of one callback."""
    rows = ["| tag | kind | unit | meaning | needs |", "|---|---|---|---|---|"]
    for tag in tags.ALL:
        if tag.owner == owner:
            cells = (f"`{tag.template}`", tag.kind, tag.unit, tag.meaning, tag.optional)
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def score_table() -> str:
    """Markdown rows of the scores of a voice."""
    rows = ["| score | unit | good | meaning |", "|---|---|---|---|"]
    rows += [f"| `{score.name}` | {score.unit} | {score.better} | {score.meaning} |" for score in tags.SCORES]
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with every table between its markers written anew."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- table {name} -->\n\n{score_table() if name == 'scores' else tag_table(name)}\n\n<!-- end -->"

    return re.sub(r"<!-- table (?P<name>\w+) -->.*?<!-- end -->", table, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
