"""Numbers of the voices in the metrics of an evaluation: names, the rule for late scores, and the best voice."""

import json
import math

import pytest

from tracker_logging.events import Scalars
from tracker_logging.voices.evaluation import BestVoice, EvaluationNumbers, known_metrics


def row(margin: float, low: float | None = None, wer: float | None = None, gap: float = 0.3) -> dict[str, float]:
    values = {"voices/sim_margin/mean": margin, "voices/sim_margin/low": low, "voices/wer": wer}
    known = {tag: value for tag, value in values.items() if value is not None}
    return known | {"conditioning/gap/mean": gap}


def chosen(*rows: dict[str, float]) -> list[bool]:
    best = BestVoice()
    return [best.consider(each) for each in rows]


def test_metrics_have_names_that_the_trainer_can_read_and_a_direction() -> None:
    known = known_metrics()
    assert known["voice_sim_margin"] == known["voice_spk_top1"] == known["conditioning_gap"] == "higher"
    assert known["voice_wer"] == known["voice_spk_eer"] == known["voice_mcd_db"] == "lower"
    assert "voice_dur_ratio" not in known and not any("/" in name for name in known)


def test_within_the_interval_of_the_best_margin_the_words_decide() -> None:
    assert chosen(row(0.23, 0.19, 0.08), row(0.20, 0.15, 0.05), row(0.19, 0.15, 0.06)) == [True, True, False]


def test_fewer_word_errors_do_not_excuse_another_voice() -> None:
    assert chosen(row(0.23, 0.19, 0.08), row(0.18, 0.10, 0.0)) == [True, False]


def test_small_losses_of_the_voice_do_not_add_up() -> None:
    """Each is within the interval of the one before, but the last is not within that of the best."""
    rows = [row(0.23, 0.19, 0.08), row(0.20, 0.16, 0.07), row(0.17, 0.13, 0.06)]
    assert chosen(*rows) == [True, True, False]


def test_a_clearly_better_voice_replaces_one_with_fewer_word_errors() -> None:
    assert chosen(row(0.23, 0.19, 0.02), row(0.40, 0.35, 0.08)) == [True, True]


def test_without_a_transcriber_and_without_an_interval_the_highest_margin_is_best() -> None:
    assert chosen(row(0.20), row(0.21), row(0.205), row(0.22, 0.1), row(0.21, 0.1)) == [True, True, False, True, False]


def test_without_scores_the_gap_decides_and_never_against_a_checkpoint_with_scores() -> None:
    gaps = [{"conditioning/gap/mean": gap} for gap in (0.2, 0.1, 0.3)]
    assert chosen(*gaps, row(0.1), {"conditioning/gap/mean": 0.9}) == [True, False, True, True, False]


def test_a_resumed_training_continues_the_choice() -> None:
    first, second = BestVoice(), BestVoice()
    assert first.consider(row(0.23, 0.19, 0.08))
    second.restore(json.loads(json.dumps(first.state())))
    assert not second.consider(row(0.18, 0.1, 0.0)) and second.consider(row(0.22, 0.18, 0.05)) and second.count == 2


def test_late_scores_never_make_a_checkpoint_the_best_one(caplog: pytest.LogCaptureFixture) -> None:
    numbers = EvaluationNumbers()
    numbers.add(Scalars(step=0, values={"voices/sim_margin/mean": 0.9}))  # of no evaluation
    wanted = ("voice_sim_margin",)
    assert math.isnan(numbers.at(10, wanted=wanted)["voice_sim_margin"])
    numbers.add(Scalars(step=20, values={"voices/sim_margin/mean": 0.2, "voices/sim_o/n": 12.0}))
    assert numbers.at(20, wanted=wanted) == {"voice_sim_margin": 0.2, "voice": 1.0}
    numbers.add(Scalars(step=10, values={"voices/sim_margin/mean": 0.95}))  # the late scores
    assert numbers.at(30, wanted=wanted) == {"voice_sim_margin": 0.2, "voice": 0.0}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1 and "after step 10" in messages[0] and "voice_sim_margin" in messages[0]


def test_without_voices_an_evaluation_has_the_gap_alone() -> None:
    numbers = EvaluationNumbers()
    numbers.add(Scalars(step=5, values={"conditioning/gap/mean": 0.1, "conditioning/gap/low": 0.05}))
    assert numbers.at(5, with_voices=False) == {"conditioning_gap": 0.1}
