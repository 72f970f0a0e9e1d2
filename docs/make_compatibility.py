"""Writes docs/compatibility.md from the tests: each row is the marker `setting(area, setting, outcome)` of a test.

The last chapter is written by hand, on the page: no test holds it, since the code is not ours.

python docs/make_compatibility.py
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
HEAD = """\
# Compatibility

What happens under the settings that people use. "Shown" means that the numbers are logged and are right; what cannot be
shown is named once in the log, counted in `tracker/missing` and listed in `tracker/missing_list`; what cannot work is
refused before the first step. Each row is held by the test behind it, but for the last chapter. This page is generated:
`python docs/make_compatibility.py`.
"""
WRITTEN_BY_HAND = "\n## Other people's training code\n"  # what follows it on the page is kept


def page() -> str:
    """The whole page."""
    rows = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for test, (area, setting, outcome) in settings(path):
            link = f"[{test}](../{path.relative_to(ROOT)})"
            rows[area].append(f"| {setting} | {outcome} | {link} |")
    tables = [
        f"\n## {area}\n\n| setting | outcome | test |\n|---|---|---|\n" + "\n".join(lines) + "\n"
        for area, lines in rows.items()
    ]
    by_hand = PAGE.read_text(encoding="utf-8").partition(WRITTEN_BY_HAND)[2]
    return HEAD + "".join(tables) + WRITTEN_BY_HAND + by_hand


def settings(path: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """(test, (area, setting, outcome)) for each marker in a file of tests."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.setting":
                area, setting, outcome = (ast.literal_eval(argument) for argument in decorator.args)
                yield node.name, (area, setting, outcome)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
