"""Generates the tables of data checks in docs/check_data.md from `tracker_logging/doctor/data_checks/checks.py`.

python docs/make_data_checks.py
"""

from __future__ import annotations

import re
from pathlib import Path

from tracker_logging.doctor.data_checks import checks

PAGE = Path(__file__).parent / "check_data.md"


def theme_table(theme: str) -> str:
    """Markdown rows of the checks of one theme."""
    rows = ["| finding | level | meaning | fix |", "|---|---|---|---|"]
    for check in checks.ALL:
        if check.theme == theme:
            rows.append(f"| `{check.name}` | {check.level} | {_cell(check.means)} | {_cell(check.fix)} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with the tables between the markers regenerated."""
    blocks = [f"### {title}\n\n{theme_table(theme)}" for theme, title in checks.THEMES.items()]
    tables = "\n\n".join(blocks)
    marked = re.compile(r"<!-- checks -->.*<!-- end -->", re.DOTALL)
    return marked.sub(lambda _: f"<!-- checks -->\n\n{tables}\n\n<!-- end -->", page)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
