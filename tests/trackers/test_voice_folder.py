import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from tracker_logging.events import Clip, Scalars, VoiceComparison
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


def tone(hz: float, level: float = 0.25) -> Clip:
    t = np.arange(4800, dtype=np.float32) / 24_000
    return Clip(samples=(level * np.sin(2 * np.pi * hz * t)).astype(np.float32), sample_rate=24_000)


def comparison(step: int) -> VoiceComparison:
    return VoiceComparison(
        step=step,
        voice_id="ab12-slt",
        clips={"reference": tone(200), "generated": tone(100 + step)},
        reference_text="The old man",
        target_text="painted a <red> boat",
        speaker="slt",
        scores={"sim_o": 0.5, "mcd": float("nan")},
        pitch_hz={"generated": np.array([100.0, np.nan], dtype=np.float32)},
        stop_reason="eos",
        sampling={"temperature": 0.8, "seed": 3},
    )


def test_a_voice_is_clips_and_sidecars_with_relative_names(tmp_path: Path) -> None:
    tracker = VoiceFolderTracker(tmp_path)
    tracker.emit(Scalars(step=1, values={"a": 1.0}))
    tracker.emit(comparison(5))
    tracker.emit(comparison(10))
    folder = tmp_path / "voices" / "ab12-slt"
    assert sorted(path.name for path in folder.iterdir()) == [
        "reference.flac", "step-00000005.flac", "step-00000005.json", "step-00000010.flac", "step-00000010.json",
        "voice.json",
    ]  # fmt: skip
    voice = json.loads((folder / "voice.json").read_text())
    assert voice["clips"]["reference"] == {"file": "reference.flac", "sample_rate": 24_000, "seconds": 0.2}
    sidecar = json.loads((folder / "step-00000010.json").read_text())
    assert sidecar["scores"] == {"sim_o": 0.5}
    assert sidecar["sampling"] == {"temperature": 0.8, "seed": 3}
    assert sidecar["pitch_hz"]["generated"] == [100.0, None]
    samples, rate = soundfile.read(folder / sidecar["clip"]["file"], dtype="float32")
    assert rate == 24_000
    assert np.abs(samples - tone(110).samples).max() < 1 / 32767


def test_a_voice_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    VoiceFolderTracker(tmp_path / "run").emit(replace(comparison(1), voice_id="../../evil"))
    assert [path.parent.parent.name for path in tmp_path.rglob("voice.json")] == ["voices"]
