"""Finds runs and opens them: which backend to read, and what lies beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tracker_logging import tags
from tracker_logging.events import Finding
from tracker_logging.runs import json_lines, tensorboard, wandb
from tracker_logging.runs.entries import Contents, Settings, collect
from tracker_logging.runs.model import Clip, Histogram, NotARunError, Picture, Run, Series, Source, Table
from tracker_logging.runs.remote import RemoteCopy, is_remote, local_place
from tracker_logging.runs.voices import WANDB, VoiceFolders, has_voices, searched, voices_of_backend
from tracker_logging.trackers.findings_file import FORMAT, JSON_NAME
from tracker_logging.trackers.jsonl import FOLDER as RECORD
from tracker_logging.trackers.jsonl import LINES
from tracker_logging.trackers.voice_folder import FOLDER as VOICES

_FIRST_ENTRIES = 20  # of a run, among which its settings are


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as a listing shows it. `name`: its path below the place that was listed.

    `sources`: what it can be read from, the one that `open_run` reads first. `updated`: when one of its files was last
    written, in seconds since 1970.
    """

    name: str
    path: Path
    sources: tuple[Source, ...]
    updated: float


def list_runs(place: Path | str) -> list[RunSummary]:
    """The runs at or below `place`, by name. Files are looked at, not read. Raises `NotARunError` for no directory."""
    root = _listed_place(place)
    if not root.is_dir():
        raise NotARunError(f"{place}: no such directory.")
    return sorted(_runs_below(root), key=lambda run: run.name)


def open_run(path: Path | str) -> Run:
    """Read the run at `path`: a run's directory, its `record` folder or `events.jsonl`, or a W&B run's directory.

    A directory that several backends wrote to is read from its event files, else from its JSON lines, else from its W&B
    log; findings and voices come from `findings.json` and `voices/` beside them where these are. Reads scalars, texts
    and tables at once, media when they are asked for. A remote run (`s3://…`, any place of fsspec) is read from a local
    copy. Raises `NotARunError` also where a file cannot be read.
    """
    place = locate(path)
    try:
        match place.source:
            case "TensorBoard":
                contents = collect(tensorboard.entries(place.files))
            case "JSON lines":
                contents = collect(json_lines.entries(place.files))
            case "W&B":
                contents = collect(wandb.entries(wandb.same_run(place.files)))
            case _:
                contents = Contents()
    except OSError as error:
        raise NotARunError(f"{path}: its files cannot be read ({error}).") from error
    return _run(place, contents)


def settings_and_findings(directory: Path) -> tuple[dict[str, Any], tuple[Finding, ...], list[str]]:
    """What a listing of many runs shows besides their voices: settings, findings, and what could not be read.

    Settings come from the beginning of an event file or of a record; a W&B log is not opened.
    """
    problems: list[str] = []
    findings = _findings_file(directory / JSON_NAME, problems) or ()
    record = json_lines.record_file(directory)
    try:
        if any(directory.glob(tensorboard.EVENT_FILES)):
            source = tensorboard.entries(directory)
        else:
            source = iter(()) if record is None else json_lines.entries(record)
        first = [entry for entry in islice(source, _FIRST_ENTRIES) if isinstance(entry, Settings)]
    except OSError as error:
        problems.append(f"{directory.name}: the settings cannot be read ({type(error).__name__}).")
        first = []
    return dict(sorted(collect(first).settings.items())), findings, problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run is. `files`: the file or directory to read. `run`: whose name and path the run has.

    `directory`: where its `voices` folder and `findings.json` are, if it has any.
    """

    source: Source
    files: Path
    run: Path
    directory: Path


def locate(path: Path | str) -> Place:
    """What `open_run(path)` reads. Raises `NotARunError`."""
    try:
        place = local_place(path).expanduser().resolve()
    except (OSError, ValueError) as error:
        raise NotARunError(str(error)) from error
    record, wandb_run = json_lines.record_file(place), wandb.run_folder(place)
    if place.is_dir() and any(place.glob(tensorboard.EVENT_FILES)):
        return Place(source="TensorBoard", files=place, run=place, directory=place)
    if record is not None:
        directory = record.parent.parent if record.parent.name == RECORD else record.parent
        return Place(source="JSON lines", files=record, run=directory, directory=directory)
    if wandb_run is not None:
        directory = wandb_run.parent.parent
        is_whole = place == directory or (wandb_run.parent.name == "wandb" and _has_files_of_ours(directory))
        run = directory if is_whole else wandb_run
        return Place(source="W&B", files=wandb_run, run=run, directory=directory)
    if place.is_dir() and has_voices(place):
        return Place(source="voices folder", files=place, run=place, directory=place)
    raise NotARunError(_nothing_there(Path(path), place))


def _listed_place(place: Path | str) -> Path:
    """A local directory with the names of all files: those of a remote place are empty. Raises `NotARunError`."""
    if not is_remote(place):
        return Path(place).expanduser().resolve()
    try:
        copy = RemoteCopy(str(place))
        copy.refresh()
    except (OSError, ValueError) as error:
        raise NotARunError(str(error)) from error
    return copy.root


def _run(place: Place, contents: Contents) -> Run:
    clips, tables = contents.of(Clip), contents.of(Table)
    voices, of_voices = VoiceFolders().read(place.directory) if has_voices(place.directory) else ({}, [])
    problems = [*contents.problems, *of_voices]
    voice_problems = tuple(of_voices if voices else problems)
    reported = _findings_file(place.directory / JSON_NAME, problems)
    return Run(
        name=place.run.name,
        path=place.run,
        source=place.source,
        scalars={tag: Series(tuple(points.items())) for tag, points in contents.of(float).items()},
        texts=contents.of(str),
        tables=tables,
        clips=clips,
        pictures=contents.of(Picture),
        histograms=contents.of(Histogram),
        settings=dict(sorted(contents.settings.items())),
        findings=_findings(contents, tables, problems) if reported is None else reported,
        alerts=tuple(sorted(contents.alerts, key=lambda alert: alert.step)),
        voices=voices or voices_of_backend(tables, clips),
        problems=tuple(problems),
        voice_problems=voice_problems,
    )


def _findings_file(path: Path, problems: list[str]) -> tuple[Finding, ...] | None:
    """The findings in `findings.json`; None without a file that can be read."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        return tuple(_finding(row) for row in content["findings"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {type(error).__name__}: {error}")
        return None


def _findings(
    contents: Contents, tables: Mapping[str, Mapping[int, Table]], problems: list[str]
) -> tuple[Finding, ...]:
    """The last report that a backend holds: as an event (JSON lines), else as the table that it shows."""
    if contents.report is not None:
        return contents.report.findings
    reports = tables.get(tags.FINDINGS(), {})
    if not reports:
        return ()
    last = reports[max(reports)]
    try:
        return tuple(_finding(dict(zip(last.columns, row, strict=True))) for row in last.rows)
    except (KeyError, TypeError, ValueError) as error:
        problems.append(f"{tags.FINDINGS()} cannot be read: {type(error).__name__}: {error}")
        return ()


def _finding(row: Mapping[str, Any]) -> Finding:
    """A finding from a row of `findings.json` or of a `doctor/findings` table."""
    since, until = (None if row[name] is None else int(row[name]) for name in ("since", "until"))
    return Finding(
        name=row["name"],
        level=row["level"],
        seen=row["seen"],
        cause=row["likely cause"],
        certainty=row["certainty"],
        fix=row["what to do"],
        since=since,
        until=until,
    )


def _runs_below(root: Path) -> Iterator[RunSummary]:
    for place, folders, _ in os.walk(root):
        directory = Path(place)
        runs = wandb.run_folders(directory / WANDB) if WANDB in folders else []
        sources = _sources(directory, has_wandb=bool(runs))
        folders[:] = searched(directory, folders, is_run=bool(sources))
        if sources == ("W&B",) and len(runs) > 1 and not _has_files_of_ours(directory):
            yield from (_summary(root, run, ("W&B",)) for run in runs)  # a `wandb` folder of unrelated runs
        elif sources:
            yield _summary(root, directory, sources)


def _sources(directory: Path, *, has_wandb: bool) -> tuple[Source, ...]:
    sources: dict[Source, bool] = {
        "TensorBoard": any(directory.glob(tensorboard.EVENT_FILES)),
        "JSON lines": json_lines.record_file(directory) is not None,
        "W&B": has_wandb,
        "voices folder": has_voices(directory),
    }
    return tuple(source for source, is_there in sources.items() if is_there)


def _summary(root: Path, path: Path, sources: tuple[Source, ...]) -> RunSummary:
    name = str(path.relative_to(root)) if path != root else path.name
    return RunSummary(name=name, path=path, sources=sources, updated=_updated(path))


def _updated(run: Path) -> float:
    """When a file that every step touches was last written."""
    files = [*run.glob(tensorboard.EVENT_FILES), run / RECORD / LINES, run / LINES, run / JSON_NAME]
    files += [*run.glob("*.wandb"), *run.glob("wandb/*run-*/*.wandb"), *run.glob(f"{VOICES}/*/step-*.json")]
    return max((file.stat().st_mtime for file in files if file.is_file()), default=run.stat().st_mtime)


def _has_files_of_ours(directory: Path) -> bool:
    return (directory / VOICES).is_dir() or (directory / JSON_NAME).is_file()


def _nothing_there(given: Path, place: Path) -> str:
    if not place.exists():
        return f"{given}: no such directory."
    below = [run.name for run in list_runs(place)] if place.is_dir() else []
    hint = f" Runs below it: {', '.join(below[:8])}." if below else ""
    return f"{given}: no TensorBoard events, no W&B run, no events.jsonl and no voices in it.{hint}"
