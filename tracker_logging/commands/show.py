"""Show a run on one screen: step, scores, findings and data that is missing.

A score is shown with its first value (base), its best and its last one, each with its step; below them the similarity,
right speakers and words of each group of voices.

    tracker-logging show outputs/runs/a
    tracker-logging show outputs/runs/a --json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tracker_logging import tags
from tracker_logging.commands.base import add_run_argument, open_run_or_fail, print_json, print_table, short
from tracker_logging.events import SummaryValue
from tracker_logging.runs import Run
from tracker_logging.runs.as_json import document, losses, run_overview, unit_of
from tracker_logging.sections import reading_order
from tracker_logging.summary import summarize

MOST_SCORES = 16
MOST_LINES = 5
FIRST = (  # is it the right voice, does it say the words, is the reference used, does it learn
    tags.SPK_TOP1(),
    tags.VOICE_SCORE(score="sim_margin"),
    tags.VOICE_SCORE(score="sim_o"),
    tags.WER(),
    tags.CER(),
    tags.STOPPED(),
    tags.CONDITIONING_GAP_MEAN(),
    "eval/loss",
    tags.NLL_MEAN(),
    "train/loss",
)
SCORES_OF_GROUPS = ("sim_margin", "spk_top1", "wer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser)
    parser.add_argument("--all", action="store_true", help="all scores, findings and alerts, not only the first ones")
    parser.add_argument("--json", action="store_true", help="print the overview as JSON")


def run(args: argparse.Namespace) -> int:
    opened = open_run_or_fail(args.run)
    if args.json:
        print_json(document("show", **run_overview(opened)))
        return 0
    print("\n".join(_head(opened)))
    _print_scores(opened, most=None if args.all else MOST_SCORES)
    lines = [*_findings(opened), *_alerts(opened)]
    for line in lines if args.all else lines[-MOST_LINES:]:
        print(short(line))
    print("\n".join(_missing(opened)))
    return 0


def _head(run: Run) -> Iterator[str]:
    steps = "no steps yet" if run.last_step is None else f"last step {run.last_step}"
    count, clips = len(run.voices), sum(len(voice.steps) for voice in run.voices.values())
    voices = f"{count} voice{'s' if count != 1 else ''}, {clips} generated clips" if count else "no voices"
    yield f"{run.name}: {steps}, {voices} (read from {run.source})"


def _print_scores(run: Run, *, most: int | None) -> None:
    ordered = sorted(
        run.summary, key=lambda tag: (FIRST.index(tag) if tag in FIRST else len(FIRST), reading_order(tag))
    )
    courses = {tag: run.summary[tag] for tag in ordered[:most]} | _of_groups(run)
    rows = []
    for tag, value in courses.items():
        base_step, base = run.scalars[tag].points[0]
        best = "" if value.best is None else f"{value.best:.4g} @ {value.best_step}"
        rows.append((tag, unit_of(tag), f"{base:.4g} @ {base_step}", best, f"{value.last:.4g} @ {value.last_step}"))
    if rows:
        print_table(("score", "unit", "base", "best", "last"), rows)
    if most is not None and len(ordered) > most:
        print(f"and {len(ordered) - most} more: --all")


def _of_groups(run: Run) -> dict[str, SummaryValue]:
    """The scores of each group of voices by tag, trained groups first."""
    better = {score.name: score.better for score in tags.SCORES}
    values = {}
    for score in SCORES_OF_GROUPS:
        family = tags.GROUP_SCORE.filled(score=score)
        groups = [tag.split("/")[2] for tag in run.scalars if family.pattern.match(tag)]
        for tag in (family(group=group) for group in tags.trained_first(groups)):
            values[tag] = summarize(run.scalars[tag].points, better[score])
    return {tag: value for tag, value in values.items() if value is not None}


def _findings(run: Run) -> Iterator[str]:
    for finding in sorted(run.findings, key=lambda finding: finding.is_open):
        until = "open" if finding.is_open else f"resolved at step {finding.until}"
        since = "before training" if finding.since is None else f"since step {finding.since}"
        yield f"{finding.level}, {since}, {until}: {finding.title}: {finding.seen}"


def _alerts(run: Run) -> Iterator[str]:
    titles = {finding.title for finding in run.findings}
    for alert in run.alerts:
        if alert.title not in titles:
            yield f"{alert.level or 'alert'}, step {alert.step}: {alert.title}: {alert.text}"


def _missing(run: Run) -> Iterator[str]:
    open_count = sum(finding.is_open for finding in run.findings)
    yield f"Findings: {len(run.findings)}, open: {open_count}."
    lost = {name: count for name, count in losses(run).items() if count is not None and count != 0}
    if lost:
        yield "Lost by logging: " + ", ".join(f"{name} {count:g}" for name, count in lost.items()) + "."
    yield from (f"Cannot be read: {problem}" for problem in run.problems)
