"""Compare two or more runs on one HTML page that opens from disk.

A run is a directory with TensorBoard event files, a JSON-lines record, an offline W&B run or a `voices` folder, in any
mix. Scores are compared voice by voice, over the voices that both runs have.

    tracker-logging compare outputs/runs/a outputs/runs/b -o compare.html
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError, progress_bar

if TYPE_CHECKING:
    from tracker_logging.dashboards.compare import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two or more runs; the first is the baseline")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: compare.html, or none with --json")
    parser.add_argument("--audio-format", choices=("mp3", "opus", "vorbis", "flac", "wav"), default="mp3")
    parser.add_argument(
        "--max-mb",
        type=float,
        default=50.0,
        help="largest size of the page (default: 50)",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.compare import compare
    from tracker_logging.runs import NotARunError

    if len(args.runs) < 2:
        raise CommandError("name at least two runs.")
    try:
        report = compare(args.runs)
    except NotARunError as error:
        raise CommandError(str(error)) from error
    return _write(report, args)


def _write(report: Report, args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.compare import write_page

    if args.json:
        print(json.dumps(report.as_json(), indent=1))
    output = args.output or (None if args.json else Path("compare.html"))
    if output is None:
        return 0
    try:
        sound = write_page(
            report, output, audio_format=args.audio_format, max_mb=args.max_mb, progress=progress_bar("clips")
        )
    except OSError as error:
        raise CommandError(f"{output} cannot be written ({error.strerror}).") from error
    lines = [
        f"{output}: {output.stat().st_size / 1e6:.1f} MB, {len(sound.clips)} clips.",
        *_left_out(sound.left_out, max_mb=args.max_mb),
        *(f"{name} has no voices: the page shows its curves and settings only."
          for name, record in report.runs.items() if not record.voices),
        *(f"Left out, not readable: {key}" for key in sound.unreadable),
    ]  # fmt: skip
    print("\n".join(lines), file=sys.stderr if args.json else sys.stdout)
    return 0


def _left_out(steps: Sequence[int], *, max_mb: float) -> list[str]:
    if not steps:
        return []
    shown = ", ".join(map(str, steps[:10])) + (", …" if len(steps) > 10 else "")
    count = f"{len(steps)} step{'s' if len(steps) > 1 else ''}"
    return [f"Audio of {count} left out to stay under {max_mb:g} MB (--max-mb): {shown}. All scores are in the page."]
