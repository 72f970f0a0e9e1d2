"""`tracker-logging validate` passes on the demo, and says so when something is wrong."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_demo import lay_out

from tracker_logging import tags
from tracker_logging.cli import main
from tracker_logging.config import LOGGERS
from tracker_logging.validation.material import Material, own_material
from tracker_logging.validation.promises import holding, missing, owed
from tracker_logging.validation.trial import run_trial

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def short(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of a few samples and a small model."""
    return lay_out(demo, tmp_path_factory.mktemp("short")) / "demo"


@pytest.fixture
def material(short: Path) -> Material:
    return own_material(
        str(short / "model"),
        str(short / "codec"),
        short / "train.json",
        eval_file=short / "eval.json",
        codes=short / "codes",
    )


class CarelessCodec:
    """Draws from the global random generator whenever it decodes, as a codec with dropout left on would."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, codes: Any) -> Any:
        torch.rand(1)
        return self._codec.decode(codes)


@pytest.mark.slow
def test_the_command_passes_on_a_model_and_data_of_ones_own(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--model_path", short / "model", "--audio_tokenizer_path", short / "codec", "--train_data_file"]
    status = main(["validate", *map(str, own), str(short / "train.json")])
    said = capsys.readouterr().out
    assert status == 0, said
    lines = {line[:16].strip(): line for line in said.splitlines()}
    assert {"nothing, twice", *LOGGERS, "all together"} <= lines.keys()
    assert all(" yes " in lines[name] for name in (*LOGGERS, "all together"))
    assert said.splitlines()[-1].startswith("PASSED")


def test_the_script_is_the_command() -> None:
    command = [sys.executable, ROOT / "validate_logging_callbacks.py", "--model_path", "somewhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("tracker-logging validate: --audio_tokenizer_path, --train_data_file missing")


@pytest.mark.slow
def test_a_codec_that_moves_the_random_state_is_found(material: Material, tmp_path: Path) -> None:
    careless = replace(material, processor=replace(material.processor, codec=CarelessCodec(material.processor.codec)))
    plain = run_trial(careless, directory=tmp_path / "plain", loggers=None)
    watched = run_trial(careless, directory=tmp_path / "watched", loggers=("inputs",))
    assert watched.fingerprints["torch RNG"] != plain.fingerprints["torch RNG"]
    assert watched.fingerprints["weights"] == plain.fingerprints["weights"]


def test_a_tag_that_did_not_arrive_is_named(material: Material, tmp_path: Path) -> None:
    promised = owed(owners=("outputs", "tracker"), material=material)
    trial = run_trial(material, directory=tmp_path, loggers=("outputs",))
    assert missing(trial, owed=promised) == []
    without = frozenset(name for name in trial.written if not name.startswith("outputs/nll/codebook"))
    assert missing(replace(trial, written=without), owed=promised) == ["outputs/nll/codebook_{codebook}"]


def test_what_depends_on_something_uncertain_is_not_asked_for(material: Material) -> None:
    promised = owed(owners=("inputs", "outputs", "zero_shot"), material=material)
    assert tags.NLL in promised and tags.CONDITIONING_GAP_MEAN in promised and tags.INPUT_AUDIO in promised
    assert not {tags.NLL_TEXT, tags.VIOLATION_TABLE, tags.WER, tags.VOICE} & set(promised)


def test_every_dependency_that_is_taken_to_hold_is_one_of_the_table_of_tags(material: Material) -> None:
    named = {part for tag in tags.ALL for part in tag.optional.split(", ")}
    assert holding(material) <= named


def test_prompts_with_references_in_different_places_owe_no_gap_between_them(material: Material) -> None:
    first, second = material.voices
    apart = replace(material, voices=(first, replace(second, references_in="system")))
    assert tags.CONDITIONING_GAP_MEAN not in owed(owners=("zero_shot",), material=apart)


def test_without_a_prompt_the_voices_owe_nothing(material: Material) -> None:
    assert owed(owners=("zero_shot",), material=replace(material, voices=())) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model_path", "somewhere"], "--audio_tokenizer_path, --train_data_file missing"),
        (["--model_path", "{tmp}", "--audio_tokenizer_path", "x", "--train_data_file", "x"], "no config.json there"),
        (["--model_path", "{tmp}/bert", "--audio_tokenizer_path", "x", "--train_data_file", "x"], "of type 'bert'"),
        (
            ["--model_path", "{demo}/model", "--audio_tokenizer_path", "x", "--train_data_file", "x"],
            "x: no such data file",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    arguments: Sequence[str], said: str, tmp_path: Path, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    assert main(["validate", *(argument.format(tmp=tmp_path, demo=demo) for argument in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tracker-logging validate: ") and said in line
