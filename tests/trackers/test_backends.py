"""Backends by name: ours and those of other packages, the conformance suite, and the example in the documents."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from read_back import read_jsonl, tensorboard_values

from tracker_logging.events import Audio, Scalars
from tracker_logging.runs.json_lines import recorded_events
from tracker_logging.testing.backends import check_backend
from tracker_logging.trackers import jsonl, tensorboard, wandb
from tracker_logging.trackers.base import RunInfo
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.open import open_tracker
from tracker_logging.trackers.registry import backend_names, check_backends
from tracker_logging.trackers.wandb_record import STEP, history, run_directories

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package on the path, with its metadata as `pip` writes it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(package: str, entry_points: str, code: str) -> None:
        metadata = site / f"{package}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[tracker_logging.trackers]\n{entry_points}\n")
        (site / f"{package}.py").write_text(code)

    return install


CODE = """
from tracker_logging.events import Scalars

class Lines:
    def __init__(self, path): self.file = path.open("a")
    def emit(self, event):
        if isinstance(event, Scalars) and not self.file.closed:
            self.file.writelines(f"{event.step} {tag} {value}\\n" for tag, value in event.values.items())
    def flush(self, *, timeout_s=None):
        if not self.file.closed: self.file.flush()
    def close(self): self.file.close()

def open_lines(directory, run): return Lines(directory / f"{run.name}.txt")
"""


def test_a_backend_of_another_package_works_in_report_to(install, tmp_path: Path) -> None:
    install("lines_package", "lines = lines_package:open_lines", CODE)
    tracker = open_tracker(["lines", "jsonl"], directory=tmp_path / "run", run=RunInfo(name="mine"))
    tracker.emit(Scalars(step=3, values={"a": 1.5}))
    tracker.flush()
    tracker.close()
    assert (tmp_path / "run" / "mine.txt").read_text().splitlines()[0] == "3 a 1.5"
    assert read_jsonl(tmp_path / "run").scalars["a", 3] == 1.5


@pytest.mark.parametrize(
    ("code", "reason"),
    [("import no_such_module_of_theirs", "no_such_module_of_theirs"), ("", "open_lines"), ("open_lines = 3", "3|not")],
)
def test_a_backend_that_cannot_be_loaded_is_named_with_its_package(install, code: str, reason: str) -> None:
    install("broken_package", "lines = broken_package:open_lines", code)
    sys.modules.pop("broken_package", None)
    with pytest.raises(ValueError, match=rf"(?s)'lines' of the package broken_package 1\.2 .*({reason}).* Fix: "):
        check_backends(["tensorboard", "lines"])


def test_the_check_of_a_factory_is_asked_before_training(install) -> None:
    install(
        "checking_package",
        "checked = checking_package:factory",
        "class Factory:\n    def check(self): raise ValueError('no licence. Fix: buy one')\n"
        "    def __call__(self, directory, run): raise AssertionError\nfactory = Factory()",
    )
    with pytest.raises(ValueError, match="no licence"):
        check_backends("checked")


def test_two_packages_with_one_name_are_refused_and_ours_cannot_be_replaced(install, tmp_path: Path) -> None:
    install("lines_package", "lines = lines_package:open_lines\njsonl = lines_package:open_lines", CODE)
    install("twin_package", "lines = lines_package:open_lines", "")
    with pytest.raises(ValueError, match=r"package \w+ 1\.2 and the package \w+ 1\.2"):
        check_backends("lines")
    tracker = open_tracker("jsonl", directory=tmp_path / "run", run=RunInfo(name="mine"))
    tracker.emit(Scalars(step=3, values={"a": 1.5}))
    tracker.close()
    assert read_jsonl(tmp_path / "run").scalars["a", 3] == 1.5


def test_report_to_may_be_text() -> None:
    assert backend_names("wandb") == ("wandb",)
    assert backend_names("tensorboard,jsonl,tensorboard") == ("tensorboard", "jsonl")
    assert backend_names(["both"]) == ("tensorboard", "wandb")
    assert backend_names("none") == backend_names([]) == backend_names("") == ()
    with pytest.raises(ValueError, match="'w' is not a backend"):
        check_backends(["w"])


def test_with_strict_an_error_of_a_backend_is_raised_where_the_event_is_emitted(install, tmp_path: Path) -> None:
    install("raising_package", "raising = raising_package:open_lines", CODE.replace("writelines", "no_such_method"))
    tracker = open_tracker("raising", directory=tmp_path / "run", run=RunInfo(name="mine"), strict=True)
    with pytest.raises(AttributeError, match="no_such_method"):
        tracker.emit(Scalars(step=3, values={"a": 1.5}))


def scalars_of_tensorboard(directory: Path) -> Iterator[tuple[str, int, float]]:
    for step, value in tensorboard_values(directory):
        if not value.metadata.plugin_data.plugin_name:
            yield value.tag, step, value.simple_value


def scalars_of_jsonl(directory: Path) -> Iterator[tuple[str, int, float]]:
    for event in recorded_events(directory):
        if isinstance(event, Scalars):
            yield from ((tag, event.step, value) for tag, value in event.values.items())


NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # as W&B writes them in JSON


def scalars_of_wandb(directory: Path) -> Iterator[tuple[str, int, float]]:
    for run in run_directories(directory):
        for row in history(run):
            given = {
                key: NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in row.items()
            }
            numbers = {key: value for key, value in given.items() if isinstance(value, int | float)}
            yield from ((key, row[STEP], value) for key, value in numbers.items() if key[0] != "_" and key != STEP)


@pytest.mark.parametrize(
    ("module", "read"),
    [(tensorboard, scalars_of_tensorboard), (jsonl, scalars_of_jsonl), (wandb, scalars_of_wandb)],
    ids=["tensorboard", "jsonl", "wandb"],
)
def test_our_backends_pass_the_suite(module, read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert check_backend(module.open_backend, read=read) == []


class Forgetful(MemoryTracker):
    """A backend in memory whose values `read` finds, to be broken in one way at a time."""

    runs: dict[Path, list[tuple[str, int, float]]] = {}  # noqa: RUF012

    def __init__(self, directory: Path, run: RunInfo) -> None:
        super().__init__()
        kept = self.runs.get(directory, []) if run.purge_step is not None else []
        self.values = self.runs[directory] = [value for value in kept if value[1] < (run.purge_step or 0)]

    def emit(self, event) -> None:
        with self._lock:
            if isinstance(event, Scalars) and not self._closed:
                self.values += [(tag, event.step, value) for tag, value in event.values.items()]

    @classmethod
    def read(cls, directory: Path) -> list[tuple[str, int, float]]:
        return cls.runs[directory]


class WithoutFlush:
    def __init__(self, directory: Path, run: RunInfo) -> None:
        self.emit = self.close = lambda *event: None


class RaisesOnUnknown(Forgetful):
    def emit(self, event) -> None:
        if type(event).__name__ == "LaterEvent":
            raise TypeError("what is this?")
        super().emit(event)


class Normalises(Forgetful):
    def emit(self, event) -> None:
        if isinstance(event, Audio):
            for clip in event.clips.values():
                clip.samples[:] = 0
        super().emit(event)


class RaisesOnSecondClose(Forgetful):
    def close(self) -> None:
        assert not self._closed
        super().close()


class WritesAfterClose(Forgetful):
    def close(self) -> None:
        pass


class DropsOfThreads(Forgetful):
    def emit(self, event) -> None:
        if isinstance(event, Scalars) and "thread_3" in event.values and event.step == 5:
            return
        super().emit(event)


class DrawsRandomNumbers(Forgetful):
    def emit(self, event) -> None:
        import random

        random.random()
        super().emit(event)


class WritesBeside(Forgetful):
    def __init__(self, directory: Path, run: RunInfo) -> None:
        super().__init__(directory, run)
        (directory.parent / "beside").touch()


class SortsOutLateSteps(Forgetful):
    def emit(self, event) -> None:
        if isinstance(event, Scalars) and event.step >= max((step for _, step, _ in self.values), default=0):
            super().emit(event)


class LosesNaN(Forgetful):
    @staticmethod
    def read(directory: Path):
        return [(tag, step, value) for tag, step, value in Forgetful.read(directory) if value == value]


class IgnoresPurge(Forgetful):
    def __init__(self, directory: Path, run: RunInfo) -> None:
        before = list(self.runs.get(directory, []))
        super().__init__(directory, run)
        if run.purge_step is not None:
            self.values[:] = before


def test_the_suite_passes_a_sound_backend() -> None:
    assert check_backend(Forgetful, read=Forgetful.read) == []


@pytest.mark.parametrize(
    ("backend", "part", "what"),
    [
        (WithoutFlush, "members", "without flush"),
        (RaisesOnUnknown, "events", "ignore the kinds"),
        (Normalises, "events", "emit changes a Audio"),
        (RaisesOnSecondClose, "closing", "a second close raised"),
        (WritesAfterClose, "closing", "emitted after close is written"),
        (DropsOfThreads, "threads", "24 of 25 values of thread 3"),
        (DrawsRandomNumbers, "side effects", "random state of Python"),
        (WritesBeside, "side effects", "beside"),
        (SortsOutLateSteps, "values", "may go back"),
        (LosesNaN, "values", "nan is read as nothing"),
        (IgnoresPurge, "resume", "purge_step=6"),
    ],
)
def test_the_suite_finds_what_is_wrong(backend, part: str, what: str) -> None:
    problems = check_backend(backend, read=None if backend is WithoutFlush else backend.read)
    assert [problem for problem in problems if problem.part == part and what in problem.what], problems


def test_the_example_runs_and_is_as_short_as_the_document_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "custom_backend.py", tmp_path / "out"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "open_csv is a backend" in done.stdout and "3 values" in done.stdout
    assert (tmp_path / "out" / "scalars.csv").read_text().split() == [
        "1,train/loss,4.0",
        "2,train/loss,2.0",
        "3,train/loss,1.3333333333333333",
    ]
    code = (EXAMPLES / "custom_backend.py").read_text()
    backend = code[code.index("class CsvTracker") : code.index("def read_csv")]
    assert len(backend.splitlines()) <= 60
