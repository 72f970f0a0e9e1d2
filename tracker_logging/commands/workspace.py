"""Create or update the W&B workspace of a project.

It shows voices, scores with their ceilings, conditioning and attention. --report A B also creates a report that
compares two runs.

    tracker-logging workspace --project voice-cloning --run outputs/runs/a
    tracker-logging workspace --project voice-cloning --dry-run -o workspace.json      # needs no account
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker_logging.commands.base import CommandError
from tracker_logging.runs.voices import VoiceFolders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", required=True)
    parser.add_argument("--entity", help="W&B user or team; default: your own")
    parser.add_argument(
        "--run", type=Path, action="append", default=[], help="directory of a run; each of its voices gets a panel"
    )
    parser.add_argument("--report", nargs=2, metavar=("FIRST", "SECOND"), help="also create a report of two runs")
    parser.add_argument("--dry-run", action="store_true", help="write and check the JSON without contacting the server")
    parser.add_argument("-o", "--output", type=Path, help="where --dry-run writes; default: workspace.json")


def run(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise CommandError("this command needs the package wandb-workspaces: pip install wandb-workspaces")
    from tracker_logging.dashboards import workspace as made

    if args.report and args.dry_run:
        raise CommandError("reports need a W&B account. Leave out --report or --dry-run.")
    if not args.dry_run:
        _check_mode()
    entity = args.entity or ("entity" if args.dry_run else _own_entity())
    voice_ids = voice_ids_of(args.run)
    view = made.workspace(project=args.project, entity=entity, voice_ids=voice_ids)
    if args.dry_run:
        return _write(args.output or Path("workspace.json"), view, made)
    _send(lambda: made.save(view))
    if args.report:
        first, second = args.report
        report = made.report(project=args.project, entity=entity, first=first, second=second, voice_ids=voice_ids)
        _send(lambda: report.save().url)
    if not voice_ids:
        print("Without --run the workspace has no panels of single voices.")
    return 0


def voice_ids_of(runs: list[Path]) -> list[str]:
    """The ids of all voices of these runs. Raises `CommandError` for a run without voices."""
    voice_ids: set[str] = set()
    for directory in runs:
        voices, _ = VoiceFolders().read(directory)
        if not voices:
            raise CommandError(f"{directory}: no voices in it. Name the directory of a run, or leave out --run.")
        voice_ids |= voices.keys()
    return sorted(voice_ids)


def _write(path: Path, view: Any, made: Any) -> int:
    content = {"workspace": made.as_json(view), "accuracy_chart": made.accuracy_chart(made.CODEBOOKS)}
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(
        f"{path}: {len(view.sections)} sections, {sum(len(section.panels) for section in view.sections)} panels, valid."
    )
    return 0


def _check_mode() -> None:
    from tracker_logging.trackers.wandb_settings import check_environment

    try:
        check_environment()
    except ValueError as error:
        raise CommandError(str(error)) from error


def _own_entity() -> str:
    import wandb

    return str(_asked(lambda: wandb.Api().default_entity))


def _send(save: Callable[[], object]) -> None:
    """Print the address under which W&B has what was saved."""
    print(_asked(save))


def _asked(question: Callable[[], object]) -> object:
    """W&B's answer. Raises `CommandError` where there is no account, no server or no right."""
    import wandb

    try:
        return question()
    except wandb.errors.UsageError as error:
        raise CommandError("not logged in to W&B. Run `wandb login`, or use --dry-run.") from error
    except (wandb.errors.Error, OSError) as error:
        raise CommandError(f"W&B refused or was not reached: {error} Or use --dry-run.") from error
