"""The best checkpoint, early stopping and the loaded weights follow the voice where the loss prefers another one."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from forked_ranks import run_on_two_ranks
from read_back import read_jsonl
from voice_choice import CASES, GivenScores, outcome, trained, trainer_for

from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter
from tracker_logging.observers import zero_shot
from tracker_logging.runs import open_run

# Of ranks, the order of callbacks, and late scores each pair is tested.
TWO_RANKS = ("stopping after ours", "late, stopping before ours", "stops early")
ONE_RANK = [case for case in CASES if case != "late, stopping before ours"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_shot, "open_scorer", zero_shot.open_scorer)
    monkeypatch.setattr(HiggsV2Adapter, "generate", HiggsV2Adapter.generate)


def holds(case: str, found: dict[str, Any]) -> None:
    """The given margins are 0.2, 0.4, 0.3, 0.2 at steps 1 to 4, and the loss falls."""
    assert found["loaded"]
    losses = found["losses"]
    assert losses == sorted(losses, reverse=True)
    match case:
        case "by the loss":
            assert found["best"] == 4
        case "scores of the best step are late" | "late, stopping before ours":
            assert (found["best"], found["margins"]) == (3, ["0.2", "0.2", "0.3", "0.2"])
        case "a round fails":
            assert (found["best"], found["margins"]) == (2, ["nan", "0.4", "0.3", "0.2"])
        case "stops early":
            assert (found["best"], found["steps"], found["margins"]) == (2, 3, ["0.2", "0.4", "0.3"])
        case _:
            assert found["best"] == 2 and len(losses) == 4
    assert all(isinstance(gap, float) for gap in found["gaps"]) or case == "a copy is logged"


@pytest.mark.parametrize("case", ONE_RANK)
def test_the_right_checkpoint_is_loaded(
    case: str, demo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tracker_logging"):
        holds(case, outcome(DemoPaths(demo), tmp_path, case))
    (summary,) = tmp_path.glob("runs/run/summary.json")
    text = json.loads(summary.read_text())["text"]
    assert "Its weights are loaded." in text and "base (step 0)" in text
    assert ("logs a copy of its metrics" in caplog.text) == (case == "a copy is logged")
    assert ("Scores of voices failed or were not there in time" in caplog.text) == (
        case in ("a round fails", "scores of the best step are late")
    )


def test_a_resumed_training_has_no_voices_of_the_one_that_was_given_up(demo: Path, tmp_path: Path) -> None:
    """Of four steps with voices two are kept, and only the last of the next three has voices."""
    trained(DemoPaths(demo), tmp_path, scorer=GivenScores())
    (run,) = (tmp_path / "runs").iterdir()
    assert list(next(iter(open_run(run).voices.values())).steps) == [0, 1, 2, 3, 4]
    resumed = trainer_for(DemoPaths(demo), tmp_path, scorer=GivenScores(), eval_strategy="no", max_steps=5, **SEARCH)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert list((tmp_path / "runs").iterdir()) == [run]
    voices = open_run(run).voices
    assert len(voices) == 2 and all(list(voice.steps) == [0, 1, 2, 5] for voice in voices.values())
    assert all(step.clip is not None for voice in voices.values() for step in voice.steps.values())


def test_two_ranks_choose_the_same_checkpoint(demo: Path, tmp_path: Path) -> None:
    script = Path(__file__).parent / "voice_choice.py"
    run_on_two_ranks(script, str(demo), str(tmp_path), *TWO_RANKS, output=tmp_path, timeout_s=500.0)
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    for case in TWO_RANKS:
        for found in ranks:
            holds(case, found[case])
        assert ranks[0][case]["gaps"] == ranks[1][case]["gaps"]


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("eval_voice_sim_margn", {}, "Did you mean eval_voice_sim_margin?"),
        ("voice_wer", {"greater_is_better": False}, "no transcriber"),
        ("eval_voice_spk_eer", {"greater_is_better": True}, "Pass greater_is_better=False"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_before_the_first_step(
    metric: str, options: dict[str, Any], message: str, demo: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        trained(DemoPaths(demo), tmp_path, scorer=GivenScores(), metric=metric, **options)
    assert not list(tmp_path.glob("checkpoint-*"))


def searched(trainer: Any, objective: str, steps: tuple[int, ...]) -> Any:
    """The best trial by `objective`; trial N has as many steps as `steps` says."""
    pytest.importorskip("optuna")
    return trainer.hyperparameter_search(
        backend="optuna", n_trials=len(steps), direction="maximize",
        hp_space=lambda trial: {"max_steps": steps[trial.number]},
        compute_objective=lambda metrics: metrics[objective],
    )  # fmt: skip


SEARCH: dict[str, Any] = {"metric": None, "load_best_model_at_end": False, "save_strategy": "no", "patience": None}


@pytest.mark.parametrize("evaluates", ["steps", "no"])
@pytest.mark.setting("Trainer", "`compute_objective` by a score of the voices", "the scores are in its metrics")
def test_a_search_chooses_the_trial_with_the_best_voice(evaluates: str, demo: Path, tmp_path: Path) -> None:
    """The loss prefers the longest trial. Without evaluations in it, the Trainer evaluates each trial at its end."""
    trainer = trainer_for(
        DemoPaths(demo), tmp_path, scorer=GivenScores(), eval_strategy=evaluates,
        options={"voice_at_eval": evaluates == "steps"}, **SEARCH,
    )  # fmt: skip
    best = searched(trainer, "eval_voice_sim_margin", (2, 3))
    assert (best.run_id, best.objective) == ("0", 0.4)


def test_a_search_by_the_conditioning_gap_needs_no_scores(demo: Path, tmp_path: Path) -> None:
    trainer = trainer_for(DemoPaths(demo), tmp_path, scorer=GivenScores(), eval_strategy="no", **SEARCH)
    best = searched(trainer, "eval_conditioning_gap", (1, 2))
    gaps = [read_jsonl(path).scalars for path in sorted((tmp_path / "runs").iterdir())]
    expected = [gaps[0]["conditioning/gap/mean", 1], gaps[1]["conditioning/gap/mean", 2]]
    assert best.objective == max(expected) != min(expected)


def test_a_search_goes_on_when_a_round_fails(demo: Path, tmp_path: Path) -> None:
    """The trial has no score, which is NaN for the search, and is not the best."""
    scorer = GivenScores(failing=(1,))
    trainer = trainer_for(
        DemoPaths(demo), tmp_path, scorer=scorer, eval_strategy="steps", options={"voice_at_eval": True}, **SEARCH
    )
    best = searched(trainer, "eval_voice_sim_margin", (1, 2))
    assert (best.run_id, best.objective) == ("1", 0.4)
