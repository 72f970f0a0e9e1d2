"""docs/data.md: every example on the page is read, and means the same sample."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tracker_logging.data.formats import find_format, read_samples

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BLOCK = re.compile(r"^```(?:json|text|python) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QWEN3_TTS = "qwen3_tts.jsonl"  # of F9, with a reference in the system message
WITHOUT_REFERENCE = {"F6", "F9", "F10", "F11", "F13", "F15", "F16", "F17", "F18"}
NAMES = {
    "F1": "ChatML JSON",
    "F2": "boson ChatMLSample",
    "F3": "transformers conversation",
    "F4": "directory with metadata.json",
    "F5": "directory with metadata.json",
    "F6": "directory of audio and text files",
    "F7": "ms-swift JSONL",
    "F8": "pair manifest",
    "F9": "audio table",
    "F10": "text-only ChatML",
    "F11": "table without header",
    "F12": "table without header",
    "F13": "audio table",
    "F14": "audio table",
    "F15": "Kaldi data directory",
    "F16": "Lhotse cuts",
    "F17": "directory with a data file",
    "F18": "directory of audio and text files",
    "Tar": "tar shards",
}


def sections() -> dict[str, str]:
    """The text of each section that holds a named block, by the first word of its heading."""
    parts = re.split(r"^## (\S+).*\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if BLOCK.search(text)}


def build(directory: Path, text: str) -> list[Path]:
    """Write the blocks of a section, with a recording wherever one is named; returns the paths to give."""
    for name in {"clips/reference.wav", "clips/target.wav", *re.findall(r"[\w/]+\.(?:wav|mp3)", text)}:
        for folder in (directory, directory / "my_voices", directory / "dialogues"):
            clip = folder / name
            clip.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(clip, np.linspace(-0.1, 0.1, 2400, dtype=np.float32), 24_000)
    given = []
    for name, content in BLOCK.findall(text):
        file = directory / name
        if file.suffix in (".wav", ".mp3"):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        if file.suffix == ".py":
            before = set(directory.iterdir())
            subprocess.run([sys.executable, name], cwd=directory, check=True)
            given += sorted(set(directory.iterdir()) - before)
        else:
            given.append(directory / Path(name).parts[0])
    return list(dict.fromkeys(given))


def test_every_format_has_a_section_with_an_example() -> None:
    assert sections().keys() == NAMES.keys() | {"Several"}


def test_the_dialogue_of_the_page_has_two_references_and_two_targets(tmp_path: Path) -> None:
    (path,) = build(tmp_path, sections()["Several"])
    (sample,) = read_samples(path)
    assert [clip.name for clip in sample.clips] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert (sample.references_in, sample.voices, sample.scene, len(sample.targets)) == ("system", 2, "A quiet room.", 2)


@pytest.mark.parametrize("section", NAMES)
def test_an_example_of_the_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    if section == "F9":
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    given = build(tmp_path, sections()[section])
    assert given
    for path in given:
        assert find_format(path).name == NAMES[section], path
        for sample in read_samples(path):
            assert sample.target_text == "We meet at 10:30."
            assert (sample.target_audio is None) == (section in ("F10", "F12"))
            if sample.reference_audio is not None:
                in_turns = sample.references_in == "turns"
                assert sample.reference_text == ("The old man painted a red boat." if in_turns else "")
        first = read_samples(path)[0]
        assert (first.reference_audio is None) == (section in WITHOUT_REFERENCE and path.name != QWEN3_TTS), path
    if section in ("F2", "F3", "F4"):
        assert first.scene == "A quiet room."
    if section in ("F1", "F2", "F4", "F5", "F8", "F11", "F13", "F14", "F15", "F16"):
        assert first.speaker == "slt"
