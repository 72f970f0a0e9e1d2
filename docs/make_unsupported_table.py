"""Fills the table "what is not shown" of docs/adapters.md from `families/unsupported.py`.

python docs/make_unsupported_table.py
"""

from __future__ import annotations

from pathlib import Path

from tracker_logging.families.unsupported import UNSUPPORTED

PAGE = Path(__file__).parent / "adapters.md"
BEGIN, END = "<!-- what is not shown: made by docs/make_unsupported_table.py -->", "<!-- end of what is not shown -->"


def table() -> str:
    """The Markdown table."""
    lines = ["| model | classes | shown | why | what to do |", "|---|---|---|---|---|"]
    for row in UNSUPPORTED:
        classes = ", ".join(f"`{name}`" for name in row.classes) or "any `…ForCausalLM`"
        lines.append(f"| {row.name} | {classes} | {row.shown} | {row.why} | {row.instead} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with the table between its two markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
