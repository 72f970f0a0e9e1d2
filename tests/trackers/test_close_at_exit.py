"""A script that never closes its tracker loses nothing: it is closed when the interpreter ends."""

import subprocess
import sys
from pathlib import Path

from read_back import read_tensorboard

SCRIPT = """
import atexit, sys
from pathlib import Path
from tracker_logging.events import Scalars
from tracker_logging.trackers.open import RunInfo, open_tracker

tracker = open_tracker(["tensorboard"], directory=Path(sys.argv[1]), run=RunInfo(name="a"))
atexit.register(tracker.close)
tracker.emit(Scalars(step=1, values={"a": 1.0}))
"""


def test_a_tracker_can_be_closed_while_the_interpreter_ends(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "run")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_tensorboard(tmp_path / "run").scalars["a", 1] == 1.0
