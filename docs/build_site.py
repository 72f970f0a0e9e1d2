"""Builds the documentation as a site in build/site, strictly: a link that leads nowhere fails. See `make docs`.

The documents link to each other and to files of the repository as they do on a code host. MkDocs takes one folder, so
that all of them are copied into it in the same arrangement.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = ROOT / "build" / "docs"
STYLE = ROOT / "docs" / "site.css"
PAGES = ("README.md", "STRATEGIC_LOGGING.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_NAMED_BLOCK = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)  # a block of code with the name of its file
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def stage() -> None:
    """Copy each page, and what it links to."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for page in [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for target in set(_LINK.findall(text)):
            linked = (page.parent / target).resolve()
            if linked.is_dir():
                _list(linked)
                text = text.replace(f"]({target})", f"]({target.rstrip('/')}/index.md)")
            elif linked.suffix != ".md" and linked.is_file():
                _copy(linked)
        _copy(page).write_text(_NAMED_BLOCK.sub(r'```\1 title="\2"', text), encoding="utf-8")
    _copy(STYLE)


def _list(folder: Path) -> None:
    """A page that names the files of a folder, as a code host shows it."""
    files = [_copy(path) for path in sorted(folder.iterdir()) if path.is_file()]
    lines = "\n".join(f"- [{file.name}]({file.name})" for file in files)
    (STAGE / folder.relative_to(ROOT) / "index.md").write_text(f"# {folder.name}/\n\n{lines}\n", encoding="utf-8")


def _copy(path: Path) -> Path:
    place = STAGE / path.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, place))


if __name__ == "__main__":
    stage()
    sys.exit(
        subprocess.call(
            [sys.executable, "-m", "mkdocs", "build", "--strict"],
            cwd=ROOT,
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        )
    )
