"""Writes the table of the W&B workspace into docs/dashboards.md, from the panels that the command creates.

python docs/make_workspace_table.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tracker_logging.dashboards.workspace import workspace

PAGE = Path(__file__).parent / "dashboards.md"
MOST_NAMED = 4
KINDS = {"MarkdownPanel": "what to read", "RunComparer": "settings that differ", "CustomChart": "accuracy by codebook"}


def workspace_table() -> str:
    """Markdown rows: a section, whether it is open, and its first panels."""
    view = workspace(project="project", entity="entity", voice_ids=["VOICE"])
    rows = ["| section | open | panels, in their order |", "|---|---|---|"]
    for section in view.sections:
        names = [_name(panel) for panel in section.panels]
        more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
        rows.append(
            f"| {section.name} | {'yes' if section.is_open else ''} | {'; '.join([*names[:MOST_NAMED], *more])} |"
        )
    return "\n".join(rows)


def _name(panel: Any) -> str:
    table = getattr(panel, "table_name", None)
    return f"table `{table}`" if table else getattr(panel, "title", None) or KINDS[type(panel).__name__]


def filled(page: str) -> str:
    """The page with the table written anew."""
    table = f"<!-- table workspace -->\n\n{workspace_table()}\n\n<!-- end -->"
    return re.sub(r"<!-- table workspace -->.*?<!-- end -->", lambda match: table, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
