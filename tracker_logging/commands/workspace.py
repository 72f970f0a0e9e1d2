"""Make the W&B workspace of a project: voices, scores with their ceilings, conditioning, attention and the rest.

Running it again updates the same view. With --report A B a report of two runs is made too.

    tracker-logging workspace --project voice-cloning --run outputs/runs/a
    tracker-logging workspace --project voice-cloning --dry-run -o workspace.json      # needs no account
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from tracker_logging.commands.base import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", required=True)
    parser.add_argument("--entity", help="user or team; default: yours")
    parser.add_argument(
        "--run", type=Path, action="append", default=[], help="a run's directory, whose voices get a panel"
    )
    parser.add_argument("--report", nargs=2, metavar=("FIRST", "SECOND"), help="also a report of two runs, by name")
    parser.add_argument("--dry-run", action="store_true", help="write and check the JSON, ask no server")
    parser.add_argument("-o", "--output", type=Path, help="where --dry-run writes; default: workspace.json")


def run(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise CommandError("needs the package wandb-workspaces. Cure: pip install wandb-workspaces")
    from tracker_logging.dashboards import workspace as made

    if args.report and args.dry_run:
        raise CommandError("wandb-workspaces makes reports with an account only. Leave --report or --dry-run out.")
    entity = args.entity or ("entity" if args.dry_run else _own_entity())
    voice_ids = voice_ids_of(args.run)
    view = made.workspace(project=args.project, entity=entity, voice_ids=voice_ids)
    if args.dry_run:
        return _write(args.output or Path("workspace.json"), view, made)
    print(made.save(view))
    if args.report:
        first, second = args.report
        report = made.report(project=args.project, entity=entity, first=first, second=second, voice_ids=voice_ids)
        print(report.save().url)
    if not voice_ids:
        print("No --run was named, so no voice has a panel of its own.")
    return 0


def voice_ids_of(runs: list[Path]) -> list[str]:
    """The ids of all voices of these runs. Raises `CommandError` where a run has none."""
    found: set[str] = set()
    for directory in runs:
        ids = {path.parent.name for path in (directory / "voices").glob("*/voice.json")}
        if not ids:
            raise CommandError(f"{directory}: no voices there. Name the directory of a run, or leave --run out.")
        found |= ids
    return sorted(found)


def _write(path: Path, view: Any, made: Any) -> int:
    content = {"workspace": made.as_json(view), "accuracy_chart": made.accuracy_chart(made.CODEBOOKS)}
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(
        f"{path}: {len(view.sections)} sections, {sum(len(section.panels) for section in view.sections)} panels, valid."
    )
    return 0


def _own_entity() -> str:
    import wandb

    try:
        return str(wandb.Api().default_entity)
    except wandb.errors.Error as error:
        raise CommandError("no W&B account is logged in. Cure: wandb login, or --dry-run") from error
