"""`check-data --prompts`: a list of voice prompts is judged as training judges it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_examples import write_clip

from tracker_logging.cli import main
from tracker_logging.data.formats import open_samples
from tracker_logging.data.sample import DataError
from tracker_logging.voices.prompt import choose_samples
from tracker_logging.voices.settings import VoiceSettings


def seed_tts(folder: Path, count: int, *, more: str = "") -> Path:
    for number in range(count):
        write_clip(folder / f"prompt-wavs/{number}.wav", seed=number)
    rows = [f"en_{at}|The prompt number {at}.|prompt-wavs/{at}.wav|A sentence number {at}." for at in range(count)]
    path = folder / "meta.lst"
    path.write_text("\n".join(rows) + f"\n{more}", encoding="utf-8")
    return path


def check(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, int], str]:
    """Exit status, counts of findings by name, and the text of the report."""
    code = main(["check-data", str(path), "--prompts", *options, "--json"])
    counts = json.loads(capsys.readouterr().out)["counts"]
    main(["check-data", str(path), "--prompts", *options])
    return code, counts, capsys.readouterr().out


def test_a_list_of_prompts_needs_no_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = seed_tts(tmp_path, 4)
    page = tmp_path / "report.html"
    code, counts, text = check(path, capsys, "--html", str(page), "--decode")
    assert code == 0 and set(counts) <= {"speaker_missing"}
    assert text.startswith(f"{path}: 4 samples, 4 usable\n") and "target" not in text
    assert "4, 4 of them usable" in page.read_text() and "<th>targets</th>" not in page.read_text()
    assert main(["check-data", str(path)]) == 2  # as training data it has no targets


def test_a_chat_that_ends_with_the_text_to_say_is_a_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The layout of ChatMLSample in public projects."""
    write_clip(tmp_path / "a.wav")
    spoken = {"role": "assistant", "content": {"type": "audio", "audio_url": "a.wav"}}
    turns = [{"role": "user", "content": "The reference."}, spoken, {"role": "user", "content": "The text to say."}]
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{"messages": turns, "speaker": "a", "start_index": 3}]))
    assert check(path, capsys)[:2] == (0, {})


def test_prompts_that_are_not_generated_are_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = VoiceSettings().max_clips + 2
    path = seed_tts(tmp_path, count, more="en_99|The prompt number 5.|prompt-wavs/5.wav|A sentence number 5.\n")
    code, counts, text = check(path, capsys)
    assert code == 1 and counts["prompt_unused"] == counts["prompts_left_out"] == 1
    assert f"meta.lst[{count}]  reference audio  the same recording and text as meta.lst[5]" in text
    chosen = choose_samples(open_samples(path), count=100)
    assert [sample.sample_id for sample in chosen] == [f"en_{at}" for at in range(count)]


def test_a_prompt_without_a_reference_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "a.wav")
    path = tmp_path / "prompts.jsonl"
    rows = [{"audio": "a.wav", "text": "One."}, {"audio": "a.wav", "text": "Two.", "ref_audio": "a.wav"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    code, counts, text = check(path, capsys)
    assert (code, counts["prompt_unused"]) == (1, 1) and "prompts.jsonl[0]  reference audio  no reference" in text
    assert "reference_missing" not in counts and "references_mixed" not in counts


def test_a_missing_recording_is_told_as_training_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = seed_tts(tmp_path, 2, more="en_2|Words.|prompt-wavs/none.wav|A sentence.\n")
    with pytest.raises(DataError) as refused:
        open_samples(path)
    code, counts, text = check(path, capsys)
    assert (code, counts["audio_missing"]) == (1, 1)
    assert (
        "'prompt-wavs/none.wav', which does not exist" in text
        and "'prompt-wavs/none.wav', which does not exist" in str(refused.value)
    )


def test_prompts_are_checked_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = seed_tts(tmp_path, 2)
    assert main(["check-data", str(path), "--prompts", "--eval", str(path)]) == 2
    assert "leave --eval and --losses out" in capsys.readouterr().err
