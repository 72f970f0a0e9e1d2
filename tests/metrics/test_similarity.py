import numpy as np
import pytest

from tracker_logging.metrics.similarity import (
    chance_of_own,
    cosines,
    equal_error_rate,
    nearest_is_own,
    own_margins,
    within_and_between,
)

SIMILARITY = np.array([[0.9, 0.5, 0.3], [0.2, 0.4, 0.6], [0.1, 0.3, 0.8]])


def test_cosines_of_known_angles() -> None:
    found = cosines([[1, 0], [0, 2]], [[1, 1], [0, -3]])
    assert found == pytest.approx(np.array([[np.sqrt(0.5), 0], [np.sqrt(0.5), -1]]))


def test_a_vector_without_length_has_no_cosine() -> None:
    assert np.isnan(cosines([[0, 0]], [[1, 0]])).all()


def test_the_margin_is_own_minus_the_mean_of_other_speakers() -> None:
    margins = own_margins(SIMILARITY, own=[0, 1, 2], speakers=["a", "b", "c"])
    assert margins == pytest.approx([0.9 - 0.4, 0.4 - 0.4, 0.8 - 0.2])


def test_another_prompt_of_the_own_speaker_is_neither_own_nor_other() -> None:
    margins = own_margins(SIMILARITY, own=[0, 1, 2], speakers=["a", "a", "c"])
    assert margins == pytest.approx([0.9 - 0.3, 0.4 - 0.6, 0.8 - 0.2])
    assert nearest_is_own(SIMILARITY, own=[0, 1, 2], speakers=["a", "b", "b"]).tolist() == [1, 1, 1]


def test_top1_counts_clips_nearest_to_their_own_speaker() -> None:
    assert nearest_is_own(SIMILARITY, own=[0, 1, 2], speakers=["a", "b", "c"]).tolist() == [1, 0, 1]


def test_one_speaker_has_no_margin_and_no_top1() -> None:
    assert np.isnan(own_margins(SIMILARITY, own=[0, 1, 2], speakers=["a"] * 3)).all()
    assert np.isnan(nearest_is_own(SIMILARITY, own=[0, 1, 2], speakers=["a"] * 3)).all()


def test_chance_is_the_share_of_prompts_of_the_own_speaker() -> None:
    assert chance_of_own(own=[0, 2], speakers=["a", "a", "b", "c"]) == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_equal_error_rate_of_separate_equal_and_reversed_scores() -> None:
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2, 0.3]) == 0
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 1
    scores = np.random.default_rng(0).normal(size=4000)
    assert equal_error_rate(scores[:2000], scores[2000:]) == pytest.approx(0.5, abs=0.03)
    assert equal_error_rate([0.1, 0.6, 0.7, 0.8], [0.65, 0.2, 0.3, 0.4]) == pytest.approx(0.25)


def test_within_and_between_take_each_pair_once() -> None:
    similarity = np.array([[1.0, 0.9, 0.2], [0.9, 1.0, 0.4], [0.2, 0.4, 1.0]])
    assert within_and_between(similarity, speakers=["a", "a", "b"]) == pytest.approx((0.9, 0.3))
    assert np.isnan(within_and_between(similarity, speakers=["a", "b", "c"])[0])
