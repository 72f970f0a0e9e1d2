"""Answers three questions about all runs of a place from `--json` alone; nothing of tracker_logging is imported.

    python examples/ask_runs.py outputs/runs --out best_clips

Which run is best (by `voices/sim_o/mean`, or `--by TAG`), is anything wrong in it, and the best clip of each voice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any


def ask(*arguments: str) -> dict[str, Any]:
    """The document that a command of tracker-logging prints."""
    command = [sys.executable, "-m", "tracker_logging.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def best_run(place: str, tag: str) -> str:
    """The run whose best value of `tag` is the best of all."""
    values = {}
    for run in ask("list", place)["runs"]:
        number = ask("show", run["path"])["summary"].get(tag)
        if number is not None and isinstance(number["best"], int | float):
            values[run["path"]] = -number["best"] if number["better"] == "lower" else number["best"]
    return max(values, key=values.__getitem__) if values else sys.exit(f"no run has a best value of {tag}")


def best_clips(run: str, score: str) -> list[dict[str, Any]]:
    """For each voice the generated clip whose `score` is highest."""
    clips = [clip for clip in ask("clips", run)["clips"] if isinstance(clip["scores"].get(score), int | float)]
    in_order = sorted(clips, key=lambda clip: clip["scores"][score])
    return list({clip["voice"]: clip for clip in in_order}.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place")
    parser.add_argument("--by", default="voices/sim_o/mean", metavar="TAG")
    parser.add_argument("--score", default="sim_o", help="of a clip; higher is better")
    parser.add_argument("--out", default="best_clips")
    args = parser.parse_args()
    run = best_run(args.place, args.by)
    print(f"best: {run}")
    for finding in ask("findings", run)["findings"]:
        if finding["until"] is None and finding["level"] != "info":
            print(f"wrong: {finding['name']} ({finding['level']}): {finding['fix']}")
    for clip in best_clips(run, args.score):
        ask("clips", run, "--voice", clip["voice"], "--step", str(clip["step"]), "-o", args.out)
        print(f"clip: {clip['voice']} step {clip['step']} ({args.score} {clip['scores'][args.score]:.3g})")
