"""Kaldi segments and Lhotse cuts are cut out of their recordings, at their times and in their channel."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_corpora import RATE, TEXTS, clip, own_cache, seconds, write  # noqa: F401 - `own_cache` is a fixture

from tracker_logging.data.audio import load_audio
from tracker_logging.data.formats import find_format, read_samples
from tracker_logging.data.sample import DataError, VoiceSample


def test_kaldi_directories_are_read_with_segments(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train"
    clip(tmp_path / "wav" / "rec1.wav", seconds=5.0)
    write(folder / "wav.scp", ["rec1 wav/rec1.wav", "rec2 sph2pipe -f wav rec2.sph |", "rec3 dump/a.ark:12"])
    write(folder / "segments", ["u1 rec1 0.50 2.00", "u2 rec1 2.00 4.00", "u3 rec2 0 1", "u4 rec3 0 1", "u5 rec9 0 1"])
    write(folder / "text", [f"u{n} {TEXTS[n % 3]}" for n in range(1, 6)])
    write(folder / "utt2spk", [f"u{n} slt" for n in range(1, 6)])
    first, second, *bad = find_format(folder).read(folder)
    assert isinstance(first, VoiceSample) and isinstance(second, VoiceSample)
    assert [(one.sample_id, one.target_text, one.speaker) for one in (first, second)] == [
        ("u1", TEXTS[1], "slt"),
        ("u2", TEXTS[2], "slt"),
    ]
    assert (seconds(first.target_audio), seconds(second.target_audio)) == pytest.approx((1.5, 2.0))
    for outcome, message in zip(
        bad, ["is a command", "position in an archive", "no line 'rec9' in wav.scp"], strict=True
    ):
        assert message in str(outcome)
    (folder / "segments").unlink()
    write(folder / "wav.scp", ["u1 wav/rec1.wav"])
    write(folder / "text", [f"u1 {TEXTS[0]}"])
    assert seconds(read_samples(folder)[0].target_audio) == 5.0


def two_voices(path: Path) -> list[np.ndarray]:
    """Write 4 s of two channels, and each channel as a file beside it (`rec-0.wav`, `rec-1.wav`); the channels."""
    channels = [(0.2 * np.sin(np.arange(4 * RATE) / pace)).astype(np.float32) for pace in (9, 31)]
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype="FLOAT")
    for number, wave in enumerate(channels):
        soundfile.write(path.with_stem(f"{path.stem}-{number}"), wave, RATE, subtype="FLOAT")
    return channels


def test_kaldi_segments_name_the_channel_from_zero(tmp_path: Path) -> None:
    channels = two_voices(tmp_path / "call.wav")
    write(tmp_path / "wav.scp", ["call call.wav", "mono call-0.wav"])
    segments = ["u0 call 0.5 2.0 0", "u1 call 0.5 2.0 1", "u2 call 0 -1 1", "u3 mono 0 -1 0"]
    bad = ["u4 call 0 1 2", "u5 mono 0 1 1", "u6 call 0 1 A", "u7 call 0 1 -1", "u8 call 0 1 0 left"]
    write(tmp_path / "segments", [*segments, *bad])
    write(tmp_path / "text", [f"u{n} {TEXTS[n % 3]}" for n in range(9)])
    samples = [one for one in find_format(tmp_path).read(tmp_path) if isinstance(one, VoiceSample)]
    assert [sample.sample_id for sample in samples] == ["u0", "u1", "u2", "u3"]
    whole, part = slice(None), slice(RATE // 2, 2 * RATE)
    for sample, (channel, times) in zip(samples, [(0, part), (1, part), (1, whole), (0, whole)], strict=True):
        np.testing.assert_array_equal(load_audio(sample.target_audio, RATE), channels[channel][times])
    assert samples[3].target_audio == tmp_path / "call-0.wav"
    errors = [str(one) for one in find_format(tmp_path).read(tmp_path) if isinstance(one, DataError)]
    for error, message in zip(
        errors,
        [
            "text[4].offset is cut from channel 2, but the recording has 2, counted from 0",
            "text[5].offset is cut from channel 1, but the recording has 1, counted from 0",
            "text[6].u6 has the channel 'A' in segments; write its number, from 0",
            "text[7].u7 has the channel '-1' in segments",
            "text[8].u8 has no line `recording start end [channel]` in segments",
        ],
        strict=True,
    ):
        assert message in error


def cut(**changes: Any) -> dict[str, Any]:
    return {
        "id": "cut-1", "start": 0.5, "duration": 2.0, "channel": 0, "type": "MonoCut", "custom": {"snr": 30},
        "supervisions": [{"id": "s", "recording_id": "r", "start": 0, "duration": 2.0, "channel": 0,
                          "text": TEXTS[0], "speaker": "slt", "language": "en"}],
        "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "rec.wav"}],
                      "sampling_rate": RATE, "num_samples": 4 * RATE, "duration": 4.0, "channel_ids": [0]},
    } | changes  # fmt: skip


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_lhotse_cuts_are_cut(tmp_path: Path, ending: str) -> None:
    clip(tmp_path / "rec.wav", seconds=4.0)
    two = [{"text": "A.", "speaker": "a"}, {"text": "B.", "speaker": "b"}]
    content = "".join(f"{json.dumps(row)}\n" for row in (cut(), cut(supervisions=two)))
    path = tmp_path / f"cuts{ending}"
    path.write_bytes(gzip.compress(content.encode()) if ending.endswith(".gz") else content.encode())
    first, second = find_format(path).read(path)
    assert isinstance(first, VoiceSample)
    assert (first.sample_id, first.target_text, first.speaker, first.language) == ("cut-1", TEXTS[0], "slt", "en")
    assert seconds(first.target_audio) == pytest.approx(2.0)
    assert first.extra["custom"] == {"snr": 30}
    assert "has 2 speakers" in str(second)
    assert len(read_samples(tmp_path, skip_bad=True)) == 1


BOTH = [{"type": "file", "channels": [0, 1], "source": "rec.wav"}]
ONE_EACH = [{"type": "file", "channels": [n], "source": f"rec-{n}.wav"} for n in (0, 1)]
OTHER_NAMES = [{"type": "file", "channels": [7, 3], "source": "rec.wav"}]


@pytest.mark.parametrize(
    ("sources", "channel", "spoken", "expected"),
    [
        (BOTH, 0, 0, 0),
        (BOTH, 1, 1, 1),
        (ONE_EACH, 0, 0, 0),
        (ONE_EACH, 1, 1, 1),
        (OTHER_NAMES, 3, 3, 1),
        (BOTH, [1], [1], 1),
        (BOTH, [0, 1], 1, 1),
        (ONE_EACH, [0, 1], [1], 1),
        (BOTH, [0, 1], [0, 1], None),
        (BOTH, None, None, None),
        (ONE_EACH[1:], None, None, 1),
        (ONE_EACH, 2, 2, r"recording\.sources have no file of channel 2 alone"),
        (ONE_EACH, [0, 1], [0, 1], r"recording\.sources have no file of channel 0 and 1 alone"),
        (ONE_EACH, None, None, r"recording\.sources are 2 files, and the cut names no `channel`"),
        (BOTH, "left", None, r"channel is neither a number nor a list of numbers"),
    ],
)
def test_a_lhotse_cut_has_the_channel_that_it_names(
    tmp_path: Path, sources: list[Any], channel: Any, spoken: Any, expected: int | str | None
) -> None:
    channels = two_voices(tmp_path / "rec.wav")
    row = cut(channel=channel)
    row["supervisions"][0]["channel"] = spoken
    row["recording"]["sources"] = sources
    path = write(tmp_path / "cuts.jsonl", [json.dumps(row)])
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            read_samples(path)
        return
    (sample,) = read_samples(path)
    wave = np.mean(channels, axis=0) if expected is None else channels[expected]
    np.testing.assert_allclose(load_audio(sample.target_audio, RATE), wave[RATE // 2 : RATE * 5 // 2], atol=1e-7)


@pytest.mark.parametrize("name", ["Speed", "Tempo", "Volume", "ReverbWithImpulseResponse", "Resample"])
def test_a_lhotse_recording_is_not_read_without_its_transforms(tmp_path: Path, name: str) -> None:
    clip(tmp_path / "rec.wav", seconds=4.0)
    row = cut()
    row["recording"]["transforms"] = [{"name": name, "kwargs": {"factor": 1.1}}]
    path = write(tmp_path / "cuts.jsonl", [json.dumps(row)])
    if name == "Resample":  # every clip is resampled anyway
        assert seconds(read_samples(path)[0].target_audio) == pytest.approx(2.0)
        return
    with pytest.raises(DataError, match=rf"\[0\]\.recording\.transforms has {name}, which is not applied; save"):
        read_samples(path)
