"""Writes docs/commands.md from the parsers of the commands and docs/glossary.md from `tracker_logging/tags.py`.

python docs/make_reference_pages.py
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections import defaultdict
from pathlib import Path

from tracker_logging import tags
from tracker_logging.cli import build_parser

FOLDER = Path(__file__).parent
NOTICE = "<!-- written by docs/make_reference_pages.py -->"


def commands_page() -> str:
    """A section per command: its help text, and its arguments as a table."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    parts = ["# Commands", NOTICE, f"`tracker-logging COMMAND`. {parser.description}"]
    for name, command in commands.choices.items():
        first, _, rest = (command.description or "").strip().partition("\n")
        parts += [f"## {name}", first, *_paragraphs(rest), *_arguments(command)]
    return "\n\n".join(parts) + "\n"


def _paragraphs(text: str) -> list[str]:
    """Words as Markdown, and what is indented or is a command as a block."""
    parts = []
    for paragraph in filter(None, text.strip("\n").split("\n\n")):
        is_example = paragraph.startswith(("    ", "tracker-logging "))
        parts.append(f"```text\n{textwrap.dedent(paragraph)}\n```" if is_example else _escaped(paragraph))
    return parts


def _escaped(text: str) -> str:
    return re.sub(r"([*_|])", r"\\\1", text).replace("<", "&lt;")


def _arguments(command: argparse.ArgumentParser) -> list[str]:
    rows = [
        f"| {_names(action)} | {_cell(action)} |"
        for action in command._actions
        if not isinstance(action, argparse._HelpAction) and action.help is not argparse.SUPPRESS
    ]
    return ["\n".join(["| argument | meaning |", "|---|---|", *rows])] if rows else []


def _names(action: argparse.Action) -> str:
    chosen = f" {{{','.join(map(str, action.choices))}}}" if action.choices else ""
    takes = chosen or ("" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}")
    names = action.option_strings or [str(action.metavar or action.dest)]
    return ", ".join(f"`{name}{takes if action.option_strings else ''}`" for name in names)


def _cell(action: argparse.Action) -> str:
    return _escaped((action.help or "") % (vars(action) | {"prog": "tracker-logging"}))


def glossary_page() -> str:
    """The scores of a voice, then every tag by its first part."""
    parts = ["# Glossary: every score and tag", NOTICE, "## Scores of a voice", "Tag: `voices/VOICE/SCORE`."]
    rows = [(f"`{each.name}`", each.unit, str(each.better), each.meaning) for each in tags.SCORES]
    parts.append(_table(("score", "unit", "good", "meaning"), rows))
    groups = defaultdict(list)
    for tag in tags.ALL:
        groups[tag.template.partition("/")[0]].append(tag)
    for group in sorted(groups):
        rows = [(f"`{tag.template}`", tag.unit, tag.meaning, tag.optional) for tag in groups[group]]
        parts += [f"## {group}", _table(("tag", "unit", "meaning", "needs"), rows)]
    return "\n\n".join(parts) + "\n"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


PAGES = {"commands.md": commands_page, "glossary.md": glossary_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
