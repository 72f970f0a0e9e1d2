"""Builds a comparison page: one HTML file that contains the voice board, audio, curves and numbers.

Guarantees
- The file is self-contained: it loads nothing (its content security policy forbids it) and opens from disk.
- Data cannot become markup or script: the embedded JSON contains no "<", and audio is base64.
- The page is shown before its audio, which comes last, has been read.

The modules of `static/` are bundled into one script in the order of their imports. The bundler needs them to import by
name, one line per import, and no two modules may define the same top-level name.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

STATIC = resources.files("tracker_logging.dashboards") / "static"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.MULTILINE)
_STYLES = ("vendor/uPlot.min.css", "board.css", "leaderboard.css", "page.css")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
{styles}
</head>
<body class="page">
<script type="application/json" id="data">{data}</script>
<script>{charts}</script>
<script>
(() => {{
"use strict";
{modules}
start();
}})();
</script>
{clips}
</body>
</html>
"""


def build_page(*, title: str, data: Mapping[str, Any], clips: Mapping[str, bytes]) -> Iterator[str]:
    """The page in pieces, in order. `data`: what `page.js` displays; `clips`: see `page_sound`."""
    styles = "\n".join(f"<style>\n{_text(name)}</style>" for name in _STYLES)
    before, after = _PAGE.split("{clips}\n")
    scripts = {"charts": _text("vendor/uPlot.iife.min.js"), "modules": bundle("page.js")}
    yield before.format(title=html.escape(title), styles=styles, data=safe_json(data), **scripts)
    for key, content in clips.items():
        # Browsers keep a script element of an unknown type as text and do not parse it as markup.
        text = base64.b64encode(content).decode("ascii")
        yield f'<script type="text/plain" id="clip:{html.escape(key, quote=True)}">{text}</script>\n'
    yield after


def safe_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot close the element that contains it."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def bundle(entry: str, *, exports: str = "") -> str:
    """`entry` and everything it imports as one module: each file once, imported files first. `exports`: one name."""
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in parts:
            parts[name] = ""  # marked as visited: two modules may import each other
            source = _text(name)
            for imported in _IMPORT.findall(source):
                add(imported)
            del parts[name]
            parts[name] = f"// {name}\n{_EXPORT.sub('', _IMPORT.sub('', source))}"

    add(entry)
    return "\n".join([*parts.values(), f"export {{ {exports} }};\n" if exports else ""])


def _text(name: str) -> str:
    return STATIC.joinpath(name).read_text(encoding="utf-8")
