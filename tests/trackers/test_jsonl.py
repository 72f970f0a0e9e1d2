"""The record: complete lines, relative paths, exact media, and a run that can be told again."""

import json
import os

import pytest
from read_back import read_jsonl, read_tensorboard, same_scalars
from tracker_examples import comparison, one_of_each

from tracker_logging.commands.replay import replay
from tracker_logging.events import Heatmap, Image, Scalars
from tracker_logging.runs.json_lines import recorded_events, recorded_run
from tracker_logging.trackers.jsonl import JsonLinesTracker
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.tensorboard import TensorBoardTracker


def write(directory, steps=(1, 2)):
    tracker = JsonLinesTracker(directory, name="a", project="p", config={"rate": 0.1})
    for step in steps:
        for event in one_of_each(step):
            tracker.emit(event)
    tracker.close()
    return directory / "record"


def test_events_are_read_in_order_and_written_again_give_the_same_lines(tmp_path):
    first = write(tmp_path / "a")
    again = JsonLinesTracker(tmp_path / "b", name="a", project="p", config={"rate": 0.1})
    count = replay(tmp_path / "a", again)
    again.close()
    assert count == 2 * len(one_of_each())
    assert (first / "events.jsonl").read_bytes() == (tmp_path / "b/record/events.jsonl").read_bytes()
    media = {path.name: path.read_bytes() for path in (first / "media").iterdir()}
    assert media == {path.name: path.read_bytes() for path in (tmp_path / "b/record/media").iterdir()}


def heatmaps(events):
    return [event.picture for event in events if isinstance(event, Image) and isinstance(event.picture, Heatmap)]


def test_the_labels_of_a_heatmap_survive(tmp_path):
    write(tmp_path, steps=(1,))
    (drawn,) = heatmaps(one_of_each(1))
    (read,) = heatmaps(recorded_events(tmp_path))
    for name in ("row_labels", "column_labels", "row_boundaries", "column_boundaries"):
        assert getattr(read, name) == getattr(drawn, name), name


def test_every_line_is_strict_json_with_relative_paths(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    folder = write(tmp_path)
    lines = (folder / "events.jsonl").read_text("ascii").splitlines()
    kinds = [json.loads(line, parse_constant=refuse)["kind"] for line in lines]
    assert kinds[:2] == ["run", "Scalars"]
    assert str(tmp_path) not in "".join(lines)


def test_the_same_sound_is_stored_once(tmp_path):
    tracker = JsonLinesTracker(tmp_path)
    for step in (1, 2, 3):
        tracker.emit(comparison(step))
    tracker.close()
    names = [path.name for path in (tmp_path / "record/media").iterdir()]
    assert sum("reference" in name for name in names) == 1
    assert sum("generated" in name for name in names) == 3


def test_a_lost_backend_is_restored_from_the_record(tmp_path):
    write(tmp_path / "run")
    tracker = TensorBoardTracker(tmp_path / "filled")
    replay(tmp_path / "run", tracker)
    tracker.close()
    recorded, filled = read_jsonl(tmp_path / "run"), read_tensorboard(tmp_path / "filled")
    assert same_scalars(recorded, filled)
    assert recorded.pictures == filled.pictures
    assert filled.sounds.items() <= recorded.sounds.items()


def test_a_torn_last_line_is_ignored_and_a_resumed_record_has_no_duplicates(tmp_path):
    folder = write(tmp_path, steps=(1, 2, 3, 4))
    lines = folder / "events.jsonl"
    lines.write_bytes(lines.read_bytes()[:-20])
    assert {event.step for event in recorded_events(tmp_path)} == {1, 2, 3, 4}
    again = JsonLinesTracker(tmp_path, purge_step=3)
    for step in (3, 4, 5):
        again.emit(Scalars(step=step, values={"a": 1.0}))
    again.close()
    steps = [event.step for event in recorded_events(tmp_path)]
    assert steps == [1] * len(one_of_each()) + [2] * len(one_of_each()) + [3, 4, 5]
    assert recorded_run(tmp_path)["name"] == "a"


def test_an_invalid_record_is_refused_with_the_line_number(tmp_path):
    with pytest.raises(FileNotFoundError, match="no record"):
        list(recorded_events(tmp_path))
    lines = write(tmp_path) / "events.jsonl"
    good = lines.read_text()
    for bad, message in [
        ("{not json}\n", "line 1 is not JSON"),
        ('{"kind": "Hologram", "step": 1}\n', "Hologram"),
        ('{"kind": "Text", "step": 1}\n', "line 1: no field 'tag'"),
        ('{"kind": "Image", "step": 1, "tag": "t", "caption": "", "picture": "../../secret.png"}\n', "leads out"),
    ]:
        lines.write_text(bad + good)
        with pytest.raises(ValueError, match=message):
            list(recorded_events(tmp_path))


def test_who_computed_a_number_is_part_of_the_record(tmp_path):
    tracker = JsonLinesTracker(tmp_path)
    for source in ("loop", "ours"):
        tracker.emit(Scalars(step=1, values={"a": 1.0}, source=source))
    tracker.close()
    assert [event.source for event in recorded_events(tmp_path)] == ["loop", "ours"]


def test_a_closed_record_ignores_events(tmp_path):
    tracker = JsonLinesTracker(tmp_path)
    tracker.close()
    tracker.close()
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    assert list(recorded_events(tmp_path)) == []
    empty = MemoryTracker()
    assert replay(tmp_path, empty) == 0


def test_a_record_that_is_removed_or_cut_during_the_run_goes_on(tmp_path, caplog):
    tracker = JsonLinesTracker(tmp_path, name="a")
    lines = tmp_path / "record/events.jsonl"
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    lines.unlink()
    tracker.emit(Scalars(step=2, values={"a": 2.0}))
    assert "was removed during the run" in caplog.text
    assert [event.step for event in recorded_events(tmp_path)] == [2]
    assert recorded_run(tmp_path)["name"] == "a"
    for step in (3, 4):
        tracker.emit(Scalars(step=step, values={"a": 1.0}))
    os.truncate(lines, lines.stat().st_size - 7)  # within the line of step 4
    tracker.emit(Scalars(step=5, values={"a": 5.0}))
    assert "was changed by another program" in caplog.text
    assert [event.step for event in recorded_events(tmp_path)] == [2, 3, 5]
    os.truncate(lines, 0)
    tracker.emit(Scalars(step=6, values={"a": 6.0}))
    tracker.close()
    assert [event.step for event in recorded_events(tmp_path)] == [6]
    assert recorded_run(tmp_path)["name"] == "a"


@pytest.mark.parametrize("damage", ["{not json}", "[" * 100_000, "\x00\x00", '{"kind": "Text"}', "3"])
def test_a_damaged_line_does_not_keep_a_run_from_being_resumed(tmp_path, caplog, damage):
    lines = write(tmp_path, steps=(1, 2)) / "events.jsonl"
    good = lines.read_text().splitlines()
    lines.write_text("\n".join([*good[:3], damage, *good[3:]]) + "\n")
    again = JsonLinesTracker(tmp_path, purge_step=2)
    again.emit(Scalars(step=2, values={"a": 1.0}))
    again.close()
    assert [event.step for event in recorded_events(tmp_path)] == [1] * len(one_of_each()) + [2]
    assert "1 lines are damaged" in caplog.text
    assert damage in (tmp_path / "record/events.jsonl.damaged").read_text()
