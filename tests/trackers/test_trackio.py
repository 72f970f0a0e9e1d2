"""Trackio, where it is installed: the same values, 16-bit sound, no doubles after a resume."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trackio")

_SCRIPT = """
import json, os, sys
from pathlib import Path
os.environ["TRACKIO_DIR"] = sys.argv[1]
sys.path[:0] = sys.argv[2:]
from tracker_examples import comparison, one_of_each
from tracker_logging.events import Scalars
from tracker_logging.rendering.pcm import decode_wav, to_pcm16
from tracker_logging.trackers.trackio import TrackioTracker
import trackio
folder = Path(sys.argv[1])
for resume, steps in ((False, (1, 2, 3)), (True, (3, 4))):
    tracker = TrackioTracker(folder, project="p", name="a", config={"rate": 0.1}, resume=resume)
    for step in steps:
        for event in one_of_each(step):
            tracker.emit(event)
    tracker.close()
rows = trackio.SQLiteStorage.get_logs("p", "a")
steps = {}
for row in rows:
    for key in row:
        steps.setdefault(key, []).append(row["step"])
sound = next(row["voices/rms_03/generated"] for row in rows if "voices/rms_03/generated" in row)
stored = decode_wav((folder / "media" / sound["file_path"]).read_bytes())[0]
same = stored.tolist() == to_pcm16(comparison(1).clips["generated"].samples).tolist()
print(json.dumps({"steps": steps, "same": same, "user": str(tracker._run.config.get("_Username"))}))
"""


def test_a_trackio_run_holds_every_value_once_and_unchanged_audio(tmp_path):
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), str(tests), str(tests.parent), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert found["same"]
    assert found["user"] == "None"
    for key in ("outputs/nll/mean", "voices/rms_03/generated", "voices/rms_03/mel", "inputs/samples", "sizes"):
        assert found["steps"][key] == [1, 2, 3, 4], key
