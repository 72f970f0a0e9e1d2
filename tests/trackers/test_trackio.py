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
from tracker_examples import comparison, one_of_each, voice_round
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
tracker = TrackioTracker(folder, project="p", name="rounds", config={})
for step in (3, 5):
    for event in voice_round(step, "001"):
        tracker.emit(event)
tracker.close()
rounds = trackio.SQLiteStorage.get_logs("p", "rounds")
tables = [row["voices/table"]["_value"] for row in rounds if "voices/table" in row]
(drawn,) = [row["voices/001/mel"]["file_path"] for row in rounds if "voices/001/mel" in row and row["step"] == 3]
mel = tables[0][0]["mel"]
pictures = [(folder / "media" / path).read_bytes() for path in (mel["file_path"], drawn)]
sample = next(row["inputs/samples"] for row in rows if "inputs/samples" in row)
found = {
    "steps": steps,
    "same": same,
    "user": str(tracker._run.config.get("_Username")),
    "tables": tables,
    "mel": [mel["_type"], pictures[0] == pictures[1]],
    "clips": [key for row in rounds for key in row if row["step"] == 3 and key.startswith("voices/001/")],
    "sample": sample["_value"],
    "alerts": trackio.SQLiteStorage.get_alerts("p", "a"),
}
print(json.dumps(found))
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
    first, second = (table[0] for table in found["tables"])
    names = ("reference", "target", "codec", "generated")
    assert [*first] == ["step", "voice", *names, "mel", "sim_o", "target text"]
    assert (first["step"], second["step"], first["voice"], first["sim_o"]) == (3, 5, "001", 0.5)
    assert {first[name] for name in names} <= set(found["clips"])
    assert found["mel"] == ["trackio.image", True]
    hostile, long, last = found["sample"]
    assert last == {"text": "ok", "n|m": True, "share": -1.5}
    assert "\x1b" not in hostile["text"] and (long["n|m"], long["share"]) == (None, "NaN")
    alerts = [(alert["title"], alert["text"], alert["level"], alert["step"]) for alert in found["alerts"]]
    assert sorted(alerts) == sorted(("Loss is NaN!", "Lower the rate.", "warn", step) for step in (1, 2, 3, 4))
