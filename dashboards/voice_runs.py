"""The runs below a log directory for the Voices tab, from one run to hundreds: read once, and again only when changed.

    runs = VoiceRuns({"": Path("outputs/runs")})
    runs.table()["runs"][0]["scores"]           # a line per run, see `leaderboard.py`; runs not yet read are `pending`
    runs.voices("a")["voices"]                  # the voices of one run with every step

Guarantees
- The directory tree is searched in the background (`run_places.py`), never for a clip.
- A run is read when its voices are asked for, else by one background thread. Of a run that is being written the changed
  files are read; of the others only the times of their directories and of `findings.json` are looked at. Findings that
  change between two rounds of voices are shown, and no voice is read again for them.
- A call of `table` looks for changes in runs that are new and in those whose voices were asked for last; in the others
  in turn, for about 8 ms, and in at least one live and one old run.
- Only plain files below the log directory are served; a link is never followed, a name with a separator is refused.
- A file that cannot be read is named in `problems`; the rest is shown. Safe from several threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker_logging.runs.open import settings_and_findings
from tracker_logging.runs.remote import RemoteCopy
from tracker_logging.runs.voices import VoiceFolders
from tracker_logging.trackers.findings_file import JSON_NAME
from tracker_logging.trackers.voice_folder import FOLDER, FORMAT

from .conditions import differing_settings
from .leaderboard import line, open_findings
from .run_places import RunPlaces
from .voice_index import score_table, voices_of_run

Json = dict[str, Any]

_LIVE_S = 600.0  # a run that changed since is looked at more often
_CHECK_S = {"live": 0.005, "old": 0.003}  # of a call, for looking at runs in turn
_KEPT_READERS = 8  # of runs that were read last
_KEPT_VOICES = 32  # answers of `voices`


class OutsideLogDirectoryError(ValueError):
    """A name that does not lead to a plain file of a voice below the log directory."""


@dataclass
class _Run:
    """`version` changes with any file of the voices, `findings` with the file of the findings; `read_version` and
    `read_findings` are what they were when these were read. `line` is None until the run was read."""

    directory: Path
    version: str = ""
    findings: tuple[int, int] | None = None
    changed: float = 0.0
    read_version: str = ""
    read_findings: tuple[int, int] | None = None
    line: Json | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    voice_problems: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    checked: int = 0  # the number of the call that looked at it last
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_read(self) -> bool:
        return (self.read_version, self.read_findings) == (self.version, self.findings)


class VoiceRuns:
    """All runs with a `voices` folder below `roots`: name of a root ("" for a single one) → directory.

    A remote root is a `RemoteCopy`: names are looked at, sidecars and clips are fetched when they are needed.
    """

    def __init__(self, roots: Mapping[str, Path | RemoteCopy]) -> None:
        self._places = RunPlaces(roots)
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        self._calls = 0
        self._reader: threading.Thread | None = None
        self._folders: OrderedDict[str, VoiceFolders] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], Json] = OrderedDict()

    def names(self) -> list[str]:
        """Every run that has voices. The name is TensorBoard's: the path below the root."""
        return sorted(self._known())

    def table(self) -> Json:
        """The scores, a line per run with its `version` and those of its settings that differ, problems."""
        runs = self._known()
        self._check(runs)
        lines = {
            name: {**(run.line or _pending(name)), "version": run.version, "pending": run.line is None}
            for name, run in runs.items()
        }
        differing = differing_settings({name: run.settings for name, run in runs.items() if run.line is not None})
        for row in differing["differing"]:
            if row["about"] != "paths":
                for name, value in row["values"].items():
                    lines[name].setdefault("settings", {})[row["name"]] = value
        if not all(run.is_read for run in runs.values()):
            self._read_in_background()
        problems = [*self._places.unreachable, *(problem for run in runs.values() for problem in run.problems)]
        return {"format": FORMAT, "scores": score_table(), "runs": [*lines.values()], "problems": problems}

    def voices(self, name: str) -> Json:
        """The voices of one run with every step, without audio. Raises `OutsideLogDirectoryError`, `OSError`."""
        run = self._known().get(name)
        if run is None:
            raise OutsideLogDirectoryError(name)
        version = _version(run.directory)[0]
        with self._lock:
            known = self._answers.get((name, version))
            if known is not None:
                self._answers.move_to_end((name, version))
                return known
        self._places.fetch(run.directory, ".json")
        with run.lock:
            answer = {
                "run": name,
                "version": version,
                "voices": voices_of_run(self._folders_of(name).read(run.directory)[0]),
            }
        with self._lock:
            self._answers[name, version] = answer
            while len(self._answers) > _KEPT_VOICES:
                self._answers.popitem(last=False)
        return answer

    def file(self, *, run: str, voice: str, name: str) -> Path:
        """A clip or sidecar. Raises `OutsideLogDirectoryError` for everything else."""
        known = self._known().get(run)
        if known is None or any(not _is_plain_name(part) for part in (voice, name)):
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        path = known.directory / FOLDER / voice / name
        # os.path.isfile answers for names that no file can have, such as one of 300 letters; Path.is_file raises.
        self._places.fetch(path)
        if path.suffix not in (".flac", ".json") or not os.path.isfile(path):  # noqa: PTH113
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        if path.resolve() != known.directory.resolve() / FOLDER / voice / name:
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        return path

    def wait(self, timeout_s: float) -> bool:
        """Wait until every run was read, at most so long; whether that is so. For tests and benchmarks."""
        self.table()
        reader = self._reader
        if reader is not None:
            reader.join(timeout_s)
        return all(run.line is not None for run in self._known().values())

    # --- what is there ---

    def _known(self) -> dict[str, _Run]:
        places = self._places.known()
        with self._lock:
            if {name: run.directory for name, run in self._runs.items()} != places:
                self._runs = {
                    name: run if (run := self._runs.get(name)) and run.directory == place else _Run(place)
                    for name, place in sorted(places.items())
                }
            return self._runs

    def _check(self, runs: Mapping[str, _Run]) -> None:
        """Look for changes, see the guarantees."""
        now = time.time()
        with self._lock:
            asked = {name for name, _ in self._answers}
            self._calls += 1
        turns: dict[str, list[_Run]] = {"live": [], "old": []}
        for name, run in runs.items():
            if not run.version or name in asked:
                self._look_at(run)
            else:
                turns["live" if now - run.changed <= _LIVE_S else "old"].append(run)
        for kind, waiting in turns.items():
            deadline = time.monotonic() + _CHECK_S[kind]
            for run in sorted(waiting, key=lambda run: run.checked):
                self._look_at(run)
                if time.monotonic() >= deadline:
                    break

    def _look_at(self, run: _Run) -> None:
        run.version, run.changed = _version(run.directory)
        run.findings = _version_of_file(run.directory / JSON_NAME)
        run.checked = self._calls

    # --- reading ---

    def _folders_of(self, name: str) -> VoiceFolders:
        """The reader of a run, which knows the files that it has read."""
        with self._lock:
            folders = self._folders.setdefault(name, VoiceFolders())
            self._folders.move_to_end(name)
            while len(self._folders) > _KEPT_READERS:
                self._folders.popitem(last=False)
            return folders

    def _read_in_background(self) -> None:
        with self._lock:
            if self._reader is None or not self._reader.is_alive():
                self._reader = threading.Thread(target=self._read_all, name="tracker_logging-voices", daemon=True)
                self._reader.start()

    def _read_all(self) -> None:
        """Read what has changed of each run, and keep its line; those that were asked for first."""
        asked = set(self._folders)
        for name, run in sorted(self._runs.items(), key=lambda item: item[0] not in asked):
            if run.is_read:
                continue
            version, of_findings = run.version, run.findings
            try:
                self._places.fetch(run.directory, ".json")
            except OSError as error:
                run.problems = [str(error)]
                continue  # tried again at the next call
            run.settings, findings, problems = settings_and_findings(run.directory)
            if run.line is None or run.read_version != version:
                with run.lock:
                    voices, run.voice_problems = self._folders_of(name).read(run.directory)
                run.line = line(name, voices, findings)
            else:
                run.line = {**run.line, "findings": open_findings(findings)}
            run.problems = [*run.voice_problems, *problems]
            run.read_version, run.read_findings = version, of_findings


def _pending(name: str) -> Json:
    """The line of a run that was not read yet."""
    return {"name": name, "step": None, "best_step": None, "best_by": None, "scores": {}, "curve": [], "findings": []}


def _version(directory: Path) -> tuple[str, float]:
    """Changes with any file in the voices of a run; and when that was, in seconds since 1970.

    Sidecars are replaced, never rewritten, so each change shows in the time of a voice's directory.
    """
    times = []
    try:
        with os.scandir(directory / FOLDER) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    times.append((entry.name, entry.stat(follow_symlinks=False).st_mtime_ns))
    except OSError:
        return "gone", 0.0
    text = repr(sorted(times))
    newest = max((changed for _, changed in times), default=0)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest(), newest / 1e9


def _version_of_file(path: Path) -> tuple[int, int] | None:
    """Changes when the file is written again; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _is_plain_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and Path(name).name == name and "\\" not in name and "\0" not in name
