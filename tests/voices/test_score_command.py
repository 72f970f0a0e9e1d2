"""`tracker-logging score` on runs whose last round was not scored."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from read_back import read_jsonl, read_tensorboard

from tracker_logging.cli import main
from tracker_logging.events import Event, Scalars, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.voices.clips import ClipDecoder, GeneratedClip, clip_event
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.unscored import unscored_rounds

CHOICE = ScorerChoice(encoder="ge2e", pitch="off", cepstrum="off", speech="off", quality=())


@pytest.fixture(scope="module")
def rounds(demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> dict[int, list[GeneratedClip]]:
    """Step -> clips: copies of the targets, then targets of other prompts, an empty clip and a failed prompt."""
    prompts = demo_prompts[:4]
    decoder = ClipDecoder(prompts, demo_processor)
    codes = [demo_processor.codes(prompt.sample.target_audio) for prompt in prompts]
    ids = [prompt.voice_id for prompt in prompts]
    first = [Generated(voice_id=i, codes=c, stop_reason="eos") for i, c in zip(ids, codes, strict=True)]
    second = [
        Generated(voice_id=ids[0], codes=codes[0], stop_reason="eos", first_frame_s=0.25),
        Generated(voice_id=ids[1], codes=np.tile(codes[2], 2), stop_reason="max_length"),
        Generated(voice_id=ids[2], codes=codes[2][:, :0], stop_reason="eos"),
        Generated(voice_id=ids[3], error="out of memory"),
    ]
    return {1: decoder.decode(first), 2: decoder.decode(second)}


@pytest.fixture(scope="module")
def expected(rounds: dict[int, list[GeneratedClip]]) -> list[Event]:
    """What the second round would have logged, had its clips as they are stored been scored in the training."""
    return list(VoiceScorer(choose_instruments(CHOICE)).score(step=2, clips=[stored(clip) for clip in rounds[2]]))


def stored(clip: GeneratedClip) -> GeneratedClip:
    """The same in 16 bits, with overshoots cut off."""
    waves = {name: to_pcm16(wave).astype(np.float32) / 32768 for name, wave in clip.voice.waves.items()}
    wave = None if clip.wave is None else to_pcm16(clip.wave).astype(np.float32) / 32768
    return replace(clip, wave=wave, voice=replace(clip.voice, waves=waves))


@pytest.fixture(scope="module")
def template(rounds: dict[int, list[GeneratedClip]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first round is scored and whose second is not."""
    directory = tmp_path_factory.mktemp("run") / "a"
    tracker = open_tracker(["tensorboard", "jsonl"], directory=directory, run=RunInfo(name="a"))
    scorer = VoiceScorer(choose_instruments(CHOICE))
    for step, clips in rounds.items():
        for clip in clips:
            tracker.emit(clip_event(clip, step=step, scorers=CHOICE.to_text(), new_fixed_clips=step == 1))
        for event in scorer.score(step=step, clips=clips) if step == 1 else ():
            tracker.emit(event)
    tracker.close()
    return directory


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "a"))


def sidecars(run: Path, step: int) -> dict[str, dict]:
    found = {path.parent.name: json.loads(path.read_text()) for path in run.glob(f"voices/*/step-{step:08d}.json")}
    assert len(found) == 4
    return found


def test_a_clip_without_scores_is_in_the_run_once_in_each_backend(
    run: Path, rounds: dict[int, list[GeneratedClip]]
) -> None:
    for read in (read_tensorboard(run), read_jsonl(run)):
        voice = rounds[2][0].voice.voice_id
        assert read.sounds[f"voices/{voice}/generated", 2] == to_pcm16(rounds[2][0].wave).tobytes()
        assert (f"voices/{voice}/mel", 1) in read.pictures and (f"voices/{voice}/mel", 2) not in read.pictures
        assert ("voices/sim_o/mean", 1) in read.scalars and ("voices/sim_o/mean", 2) not in read.scalars
        assert read.doubles == []
        assert not [tag for tag in read.tags if "reference_codec" in tag]
    rows = sidecars(run, 2)
    assert all(
        row["scored"] is False and row["scores"].keys() <= {"repetition", "first_frame_s"} for row in rows.values()
    )
    assert all(row["scored"] is True for row in sidecars(run, 1).values())
    assert (run / "voices" / rounds[2][0].voice.voice_id / "step-00000002.flac").is_file()


def test_missing_scores_are_those_that_the_training_would_have_logged(
    run: Path, expected: list[Event], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.glob("voices/*/*00000001*")}
    assert main(["score", str(run)]) == 0
    assert "4 clips of 1 steps are scored now" in capsys.readouterr().out
    (scalars,) = (event for event in expected if isinstance(event, Scalars))
    for read in (read_tensorboard(run), read_jsonl(run)):
        values = {tag: value for (tag, step), value in read.scalars.items() if step == 2 and tag.startswith("voices/")}
        assert set(values) ^ set(scalars.values) == set()
        # The ends of an interval may depend on the order of the voices, which the folder does not keep.
        means = {tag: value for tag, value in scalars.values.items() if not tag.endswith(("/low", "/high"))}
        assert {tag: values[tag] for tag in means} == pytest.approx(means, rel=1e-4, abs=1e-4)
        assert read.doubles == []
    rows = sidecars(run, 2)
    for event in (event for event in expected if isinstance(event, VoiceComparison)):
        row = rows[event.voice_id]
        assert row["scored"] is True and row["error"] == event.error and row["stop_reason"] == event.stop_reason
        assert row["scores"] == pytest.approx(dict(event.scores), rel=1e-4, abs=1e-4)
        assert row["scorers"] == CHOICE.to_text()
        assert (row["clip"] is not None) == ("generated" in event.clips)
    assert {path: path.read_bytes() for path in before} == before


def test_a_second_run_of_the_command_changes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(run)]) == 0
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["score", str(run)]) == 0
    assert "All clips of this run have scores" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


def test_another_choice_takes_the_place_of_the_run_and_a_torn_sidecar_is_left_out(
    run: Path, rounds: dict[int, list[GeneratedClip]], caplog: pytest.LogCaptureFixture
) -> None:
    torn = run / "voices" / rounds[2][1].voice.voice_id / "step-00000002.json"
    torn.write_text("{")
    assert main(["score", str(run), "--voice_encoder", "off"]) == 1
    row = json.loads((run / "voices" / rounds[2][0].voice.voice_id / "step-00000002.json").read_text())
    assert row["scored"] and "sim_o" not in row["scores"] and "silence_pct" in row["scores"]
    assert "step-00000002.json cannot be read and is left out" in caplog.text and torn.read_text() == "{"


def truncated(folder: Path) -> None:
    clip = folder / "step-00000002.flac"
    clip.write_bytes(clip.read_bytes()[:20])


def without_clip(folder: Path) -> None:
    (folder / "step-00000002.flac").unlink()


def without_texts(folder: Path) -> None:
    (folder / "voice.json").write_text("{}")


def without_voice(folder: Path) -> None:
    (folder / "voice.json").unlink()


def without_reference(folder: Path) -> None:
    (folder / "reference.flac").unlink()


def without_fields(folder: Path) -> None:
    (folder / "step-00000002.json").write_text('{"step": 2, "scored": false}')


def of_another_form(folder: Path) -> None:
    (folder / "step-00000002.json").write_text("[2]")


@pytest.mark.parametrize(
    "damage",
    [truncated, without_clip, without_texts, without_voice, without_reference, without_fields, of_another_form],
)
def test_a_voice_that_cannot_be_read_is_left_out_and_counted(
    run: Path,
    rounds: dict[int, list[GeneratedClip]],
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    voice, *others = (clip.voice.voice_id for clip in rounds[2])
    damage(run / "voices" / voice)
    for scored in ("3 clips of 1 steps are scored now.", "0 clips of 0 steps are scored now."):
        caplog.clear()
        assert main(["score", str(run), "--voice_encoder", "off"]) == 1
        assert capsys.readouterr().out.endswith(f"{scored}\n1 clip is left out: see the warnings above.\n")
        (warning,) = caplog.messages
        assert voice in warning and "cannot be read and is left out" in warning
    assert all(sidecars(run, 2)[other]["scored"] for other in others)


def test_a_run_of_an_earlier_version_counts_as_scored(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in run.glob("voices/*/step-*.json"):
        row = json.loads(path.read_text())
        del row["scored"], row["scorers"]
        path.write_text(json.dumps(row))
    assert main(["score", str(run)]) == 0
    assert "All clips of this run have scores" in capsys.readouterr().out


def test_the_tag_of_a_voice_in_a_stored_text_is_no_word(run: Path, rounds: dict[int, list[GeneratedClip]]) -> None:
    words = rounds[2][0].voice.target_text

    class Transcriber:
        name = "fixed"

        def transcribe(self, wave: np.ndarray, sample_rate: int, *, language: str | None) -> str:
            return words

    def scores() -> dict[str, dict[str, float]]:
        (unscored,) = unscored_rounds(run, [])
        events = unscored.score(VoiceScorer(Instruments(transcriber=Transcriber())))
        return {event.voice_id: dict(event.scores) for event in events if isinstance(event, VoiceComparison)}

    before = scores()
    for path in run.glob("voices/*/voice.json"):
        about = json.loads(path.read_text())
        tagged = {name: f"[SPEAKER0] {about[name]}" for name in ("reference_text", "target_text")}
        path.write_text(json.dumps(about | tagged))
    assert before[rounds[2][0].voice.voice_id]["wer"] == 0.0
    assert scores() == before


def test_a_choice_that_is_not_available_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(run), "--voice_encoder", "wavlm=nowhere"]) == 2
    assert "this path does not exist" in capsys.readouterr().err
