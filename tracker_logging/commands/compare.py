"""Compare runs: which is better in voice, words, sound and use of the reference, on the console and on one HTML page.

The page holds the voices of all runs with their sound; of one run alone, too, to share it. A run is a directory with
TensorBoard event files, a JSON-lines record, an offline W&B run or a `voices` folder, in any mix. Scores are compared
voice by voice, over the voices that both runs have, at a step that both have (--at). A verdict is given where it holds
for new speakers, too; among pages on which nothing differs at most one in 20 has any.
The exit status is 1 if a run is worse in a score of --fail-if-worse, 2 for an error or where there are too
few speakers to tell, else 0.

    tracker-logging compare outputs/runs/a outputs/runs/b -o compare.html
    tracker-logging compare --group old:outputs/runs/a1,outputs/runs/a2 --group new:outputs/runs/b1,outputs/runs/b2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError, print_table, progress_bar, run_place
from tracker_logging.commands.ratings import merged_ratings, print_ratings
from tracker_logging.tags import SCORES

if TYPE_CHECKING:
    from tracker_logging.dashboards.compare import Report

DEFAULT_MAX_MB = 50.0
_DIRECTED = {score.name: score.better for score in SCORES if not score.of_real_clips and score.better}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", type=run_place, metavar="RUN", help="the runs; the first is the baseline")
    parser.add_argument(
        "--group", action="append", default=[], type=_group, metavar="NAME:RUN,RUN",
        help="runs of one setting with different seeds, compared as one; may be repeated; the first is the baseline if "
        "no RUN is named",
    )  # fmt: skip
    parser.add_argument(
        "--at", choices=("last-common", "last", "best"), default="last-common",
        help="at which step: the last one that both have (default), each run's last, or each run's best",
    )  # fmt: skip
    parser.add_argument(
        "--fail-if-worse", action="append", default=[], metavar="SCORE", choices=sorted(_DIRECTED),
        help="exit with status 1 if a further run is worse than the baseline in SCORE; may be repeated",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: compare.html, or none with --json")
    parser.add_argument("--audio-format", choices=("mp3", "opus", "vorbis", "flac", "wav"), default="mp3")
    parser.add_argument("--max-mb", type=float, default=DEFAULT_MAX_MB, help="largest size of the page (default: 50)")
    parser.add_argument(
        "--ratings", nargs="+", default=[], type=Path, metavar="FILE",
        help="show what listeners judged: the files that a listening test saved (see tracker-logging ratings)",
    )  # fmt: skip
    parser.add_argument(
        "--listening-test", choices=("preference", "abx", "similarity", "naturalness"), metavar="TEST",
        help="the page opens as this blind test and shows nothing else, to be sent to raters: preference, abx, "
        "similarity or naturalness",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of the order of the listening test (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.compare import compare
    from tracker_logging.runs import NotARunError

    groups = dict(args.group)
    if len(groups) < len(args.group):
        raise CommandError("two --group have the same name.")
    if not args.runs and not groups:
        raise CommandError("name a run, or several to compare them.")
    if args.fail_if_worse and len(args.runs) + len(groups) < 2:
        raise CommandError("--fail-if-worse: nothing to compare with. Name a further run, or a second --group.")
    try:
        report = compare(args.runs, groups=groups, at=args.at, also=args.fail_if_worse)
    except NotARunError as error:
        raise CommandError(str(error)) from error
    if args.ratings:
        report = replace(report, ratings=merged_ratings(args.ratings, keep_all=False))
    if args.listening_test:
        report = replace(report, test={"mode": args.listening_test, "seed": args.seed})
    if args.json:
        print(json.dumps(report.as_json(), indent=1, allow_nan=False))
    else:
        _print(report)
    _write(report, args)
    return _status(report, args.fail_if_worse)


def _group(text: str) -> tuple[str, list[Path]]:
    name, _, paths = text.partition(":")
    runs = [run_place(path) for path in paths.split(",") if path]
    if not name or not runs:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:RUN,RUN")
    return name, runs


def _print(report: Report) -> None:
    """The leaderboard and the answers, as the page opens with them."""
    lines = report.as_json()["leaderboard"]
    scores = list(dict.fromkeys(score for line in lines for score in line["scores"]))
    rows = [
        [line["name"], _text(line["step"]), *(_score(line["scores"].get(score)) for score in scores),
         _text(line["best_step"]), str(len(line["findings"])) if line["findings"] else "-"]
        for line in lines
    ]  # fmt: skip
    print_table(["run", "step", *scores, "best step", "findings"], rows, width=None)
    for paragraph in report.answers:
        print(f"\n{paragraph}")
    print()
    for problem in report.problems:
        print(f"Cannot be read: {problem}")
    if report.ratings is not None:
        print_ratings(dict(report.ratings))
        print()


def _score(row: dict[str, float | None] | None) -> str:
    if row is None or row["mean"] is None:
        return "-"
    half = "" if row["low"] is None or row["high"] is None else f" ±{(row['high'] - row['low']) / 2:.2g}"
    return f"{row['mean']:.3g}{half}"


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def _status(report: Report, scores: Sequence[str]) -> int:
    """1 if a run is worse in one of the scores. Raises `CommandError` where one cannot be compared."""
    if scores and report.voice_problems:
        problems = "; ".join(report.voice_problems)
        raise CommandError(f"--fail-if-worse: cannot be read: {problems}. Restore the file, or delete it.")
    status = 0
    for pair in report.numbers["pairs"]:
        rows = {row["name"]: row for row in pair["scores"]}
        for score in scores:
            row = rows.get(score)
            if row is None:
                why = pair["reason"] or "it was not measured in both."
                raise CommandError(f"--fail-if-worse {score}: {pair['second']} and {pair['first']}: {why}")
            if row["verdict"] == "too few":
                raise CommandError(
                    f"--fail-if-worse {score}: {pair['second']} and {pair['first']}: {row['sentence']} "
                    "Use prompts of more speakers."
                )
            if row["verdict"] == "worse":
                print(f"Worse: {row['sentence']}", file=sys.stderr)
                status = 1
            elif row["verdict"] != "better":
                print(f"Not shown to be worse: {row['sentence']}", file=sys.stderr)
    return status


def _write(report: Report, args: argparse.Namespace) -> None:
    output = args.output or (None if args.json else Path("compare.html"))
    if output is not None:
        lines = write_comparison(report, output, audio_format=args.audio_format, max_mb=args.max_mb)
        print("\n".join(lines), file=sys.stderr if args.json else sys.stdout)


def write_comparison(
    report: Report, output: Path, *, audio_format: str = "mp3", max_mb: float = DEFAULT_MAX_MB
) -> list[str]:
    """Write the page; what to tell about it. Raises `CommandError` if it cannot be written."""
    from tracker_logging.dashboards.compare import write_page

    try:
        sound = write_page(report, output, audio_format=audio_format, max_mb=max_mb, progress=progress_bar("clips"))
    except OSError as error:
        raise CommandError(f"{output} cannot be written ({error.strerror}).") from error
    return [
        f"{output}: {output.stat().st_size / 1e6:.1f} MB, {len(sound.clips)} clips.",
        *_left_out(sound.left_out, max_mb=max_mb),
        *(f"{name} has no voices: the page shows its curves and settings only."
          for name, record in report.runs.items() if not record.voices),
        *(f"Left out, not readable: {key}" for key in sound.unreadable),
    ]  # fmt: skip


def _left_out(steps: Sequence[int], *, max_mb: float) -> list[str]:
    if not steps:
        return []
    shown = ", ".join(map(str, steps[:10])) + (", …" if len(steps) > 10 else "")
    count = f"{len(steps)} step{'s' if len(steps) > 1 else ''}"
    return [f"Audio of {count} left out to stay under {max_mb:g} MB (--max-mb): {shown}. All scores are in the page."]
