"""`load_codec` opens the codecs that packages register; the demo's is one of them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import released
from test_processor_parts import OriginalCodec

from tracker_logging.data.sample import DataError
from tracker_logging.demo.composed.world_codec import WorldCodec
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.boson.codec import BosonCodec
from tracker_logging.families.load_codec import load_codec

PACKAGE = """
from tracker_logging.data.sample import DataError

class TheirCodec:
    sample_rate, frame_rate, num_codebooks, codebook_size, identity = 8000, 10.0, 1, 4, "theirs"
    def encode(self, wave): ...
    def decode(self, codes): ...

def open_codec(path):
    return TheirCodec() if path.endswith(".their") else None

def broken(path):
    raise RuntimeError("defect")

def wrong(path):
    return object()

def refuses(path):
    raise DataError(f"{path}: a damaged codec")
"""


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Registers one function of a third party's package, as pip would install it."""

    def add(function: str) -> None:
        (tmp_path / "their_codecs.py").write_text(PACKAGE)
        info = tmp_path / "their_codecs-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-codecs\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[tracker_logging.codecs]\ntheirs = their_codecs:{function}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield add
    sys.modules.pop("their_codecs", None)


def test_the_demos_codec_is_opened_through_its_entry_point(demo: Path) -> None:
    path = DemoPaths(demo).codec
    codec = load_codec(str(path))
    assert isinstance(codec, WorldCodec) and codec.identity == WorldCodec.load(path).identity


def test_a_codec_of_another_package_is_opened_and_logged(
    register: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    register("open_codec")
    caplog.set_level(logging.INFO, logger="tracker_logging")
    assert load_codec("some.their").identity == "theirs"
    assert "their_codecs:open_codec (their-codecs 2.0)" in caplog.text


@pytest.mark.parametrize(("function", "reason"), [("broken", "RuntimeError: defect"), ("wrong", "no AudioCodec")])
def test_a_broken_codec_plugin_is_named_and_skipped(
    function: str, reason: str, register: Callable[[str], None], demo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(function)
    assert isinstance(load_codec(str(DemoPaths(demo).codec)), WorldCodec)
    assert f"their_codecs:{function} (their-codecs 2.0) cannot be used" in caplog.text and reason in caplog.text


def test_a_data_error_of_a_codec_plugin_reaches_the_user(register: Callable[[str], None]) -> None:
    register("refuses")
    with pytest.raises(DataError, match="a damaged codec"):
        load_codec("anything")


def test_the_released_codec_in_bosons_layout_is_refused_with_the_native_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(released.CODEC_CONFIG))
    with pytest.raises(DataError, match=r"boson's layout.*boson_multimodal.*eustlb/higgs-audio-v2-tokenizer"):
        load_codec(str(tmp_path))


def test_the_released_codec_is_opened_with_bosons_code_if_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a substitute for the package, whose codec cannot be installed beside this torch."""
    opened: list[tuple[str, str]] = []

    def load_higgs_audio_tokenizer(name: str, device: str) -> OriginalCodec:
        opened.append((name, device))
        return OriginalCodec()

    package = "boson_multimodal.audio_processing.higgs_audio_tokenizer"
    for name in (package.split(".")[0], package.rpartition(".")[0], package):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[package], "load_higgs_audio_tokenizer", load_higgs_audio_tokenizer, raising=False)
    (tmp_path / "config.json").write_text(json.dumps(released.CODEC_CONFIG))
    codec = load_codec(str(tmp_path))
    assert isinstance(codec, BosonCodec) and codec.num_codebooks == 2
    assert [name for name, _ in opened] == [str(tmp_path)]


def test_a_path_without_a_codec_is_refused_with_the_option_to_check(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        load_codec(str(tmp_path))
