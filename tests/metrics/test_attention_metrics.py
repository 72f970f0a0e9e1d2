import math

import pytest
import torch

from tracker_logging.metrics.attention import alignment_head, distance_from_diagonal, entropy, mass_sums


def diagonality_of(weights: torch.Tensor) -> float:
    """`weights` [F, N]: attention of frames on text tokens."""
    frames, tokens = weights.shape
    times = (torch.arange(frames) + 0.5) / frames
    positions = (torch.arange(tokens) + 0.5) / tokens
    distance = distance_from_diagonal(mass=weights.sum(dim=1)[None], moment=(weights @ positions)[None], times=times)
    return 1.0 - float(distance.mean())


def test_diagonality_is_one_in_step_a_half_backwards_and_three_quarters_when_even() -> None:
    straight = torch.eye(12).repeat_interleave(5, dim=0)
    assert diagonality_of(straight) == pytest.approx(1.0, abs=0.03)
    assert diagonality_of(straight.flip(0)) == pytest.approx(0.5, abs=0.03)
    assert diagonality_of(torch.full((60, 12), 1 / 12)) == pytest.approx(0.75, abs=0.01)


def test_diagonality_does_not_depend_on_the_mass_on_the_text() -> None:
    straight = torch.eye(12).repeat_interleave(5, dim=0)
    assert diagonality_of(0.1 * straight) == pytest.approx(diagonality_of(straight), abs=1e-5)


def test_entropy_of_one_key_is_zero_and_of_n_keys_log_n() -> None:
    rows = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25] * 4])
    assert entropy(rows).tolist() == pytest.approx([0.0, math.log(4)])


def test_masses_between_groups_are_sums_over_their_queries() -> None:
    weights = torch.rand(2, 6, 6).softmax(dim=-1)
    members = [[0, 1], [2, 3, 4], [5]]
    pooled = torch.stack([torch.stack([weights[:, q][:, :, k].sum(2).mean(1) for k in members], 1) for q in members], 1)
    sums = mass_sums(pooled, sizes=torch.tensor([2.0, 3.0, 1.0]), groups=torch.eye(3))
    for query, rows in enumerate(members):
        for key, columns in enumerate(members):
            assert torch.allclose(sums[:, query, key], weights[:, rows][:, :, columns].sum((1, 2)), atol=1e-6)


def test_the_alignment_head_must_attend_to_the_text() -> None:
    diagonality = torch.tensor([[0.7, 0.95], [0.8, float("nan")]])
    mass = torch.tensor([[0.5, 0.001], [0.3, 0.4]])
    assert alignment_head(diagonality, mass, floor=0.02) == (1, 0)
    assert alignment_head(diagonality, mass * 0, floor=0.02) is None
