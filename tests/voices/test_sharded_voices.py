"""Voices of a model that FSDP2 has sharded over two processes."""

import json
from pathlib import Path
from typing import Any

import pytest
from forked_ranks import TESTS, run_on_two_ranks

BROKEN = "RuntimeError: this rank is broken"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("sharded")
    run_on_two_ranks(
        Path(__file__).parent / "sharded_ranks.py", str(demo), str(output), output=output, paths=[TESTS / "probes"]
    )
    return json.loads((output / "found.json").read_text())


def test_a_sharded_model_generates_and_measures_the_same_as_the_whole_model(found: dict[str, Any]) -> None:
    alone, gaps = found["alone"]["waves"], found["alone"]["gaps"]
    assert [len(voices) for voices in alone.values()] == [3, 3, 3, 3]
    lengths = {len(wave) for voices in alone.values() for wave in voices.values()}
    assert len(lengths) > 1, "clips of one length would let ranks stay in step by chance"
    assert found["waves"]["watched"] == alone
    assert all(gaps.values()) and found["gaps"]["watched"] == gaps


@pytest.mark.parametrize("run", ["watched", "decoding", "conditioning"])
def test_training_is_bit_identical_and_parameters_are_sharded_again(found: dict[str, Any], run: str) -> None:
    for rank in found["ranks"]:
        assert rank["identical"][run] and rank["sharded"][run] == [True] * 5


def test_a_rank_that_raises_while_generating_hangs_no_rank_and_its_rows_have_the_reason(
    found: dict[str, Any],
) -> None:
    for step, voices in found["waves"]["decoding"].items():
        alone = found["alone"]["waves"][step]
        of_rank_0 = list(alone)[::2]  # ranks take turns in the order of the prompts
        assert sorted(voice for voice, wave in voices.items() if wave == alone[voice]) == sorted(of_rank_0)
        assert [wave for wave in voices.values() if isinstance(wave, str)] == [BROKEN]
    assert [rank["open"]["decoding"] for rank in found["ranks"]] == [True, True]


def test_a_rank_whose_conditioning_fails_turns_voices_off_on_both(found: dict[str, Any]) -> None:
    assert [rank["open"]["conditioning"] for rank in found["ranks"]] == [False, False]
