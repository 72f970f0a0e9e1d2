from itertools import permutations

import numpy as np
import pytest
import torch

from tracker_logging.metrics import tokens
from tracker_logging.metrics.tokens import IGNORE, score, shift_labels, statistics

N, K, V = 70, 3, 11


def logits_and_labels() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(N, K * V, generator=generator) * 3
    labels = torch.randint(0, V, (N, K), generator=generator)
    labels[torch.rand(N, K, generator=generator) < 0.4] = IGNORE
    return logits, labels, labels.roll(-1, 0)


def measure(logits: torch.Tensor, labels: torch.Tensor, next_labels: torch.Tensor) -> tokens.TokenStatistics:
    sums, histogram = score(logits, labels=labels, next_labels=next_labels)
    return statistics(sums.numpy(), histogram.numpy())


def test_every_statistic_equals_a_loop_over_positions() -> None:
    logits, labels, next_labels = logits_and_labels()
    found = measure(logits, labels, next_labels)
    for codebook in range(K):
        rows = [row for row in range(N) if next_labels[row, codebook] != IGNORE]
        own = logits.view(N, K, V)[rows, codebook].double().numpy()
        truth = next_labels[rows, codebook].numpy()
        p = np.exp(own) / np.exp(own).sum(axis=1, keepdims=True)
        ranks = np.array([int(sum(values > values[right])) for values, right in zip(own, truth, strict=True)])
        counts = np.bincount(own.argmax(axis=1), minlength=V) / len(rows)
        spread = -sum(share * np.log(share) for share in counts if share > 0)
        assert found.rows[codebook] == len(rows)
        assert found.nll[codebook] == pytest.approx(-np.log(p[np.arange(len(rows)), truth]).mean(), rel=1e-5)
        assert found.accuracy[codebook] == pytest.approx((own.argmax(axis=1) == truth).mean())
        assert found.top5[codebook] == pytest.approx((ranks < 5).mean())
        assert found.entropy[codebook] == pytest.approx(-(p * np.log(p)).sum(axis=1).mean(), rel=1e-5)
        assert found.usage[codebook] == pytest.approx(np.exp(spread) / V, rel=1e-6)
        assert found.perplexity[codebook] == pytest.approx(np.exp(found.nll[codebook]))


def test_the_unshifted_loss_is_against_the_label_of_the_same_row() -> None:
    logits, labels, next_labels = logits_and_labels()
    expected = torch.nn.functional.cross_entropy(
        logits.view(N, K, V).transpose(1, 2), labels, ignore_index=IGNORE, reduction="none"
    ).sum(dim=0) / (labels != IGNORE).sum(dim=0)
    assert measure(logits, labels, next_labels).nll_shift0 == pytest.approx(expected.numpy(), rel=1e-5)


def test_chunks_of_any_size_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score(*logits_and_labels()[:1], labels=logits_and_labels()[1], next_labels=logits_and_labels()[2])
    monkeypatch.setattr(tokens, "CHUNK_ELEMENTS", 7 * K * V)
    logits, labels, next_labels = logits_and_labels()
    chunked = score(logits, labels=labels, next_labels=next_labels)
    assert torch.allclose(whole[0], chunked[0], rtol=1e-9)
    assert torch.equal(whole[1], chunked[1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_row_with_a_non_finite_logit_is_counted_and_left_out(bad: float) -> None:
    logits, labels, next_labels = logits_and_labels()
    row = int((next_labels[:, 1] != IGNORE).nonzero()[0])
    without = next_labels.clone()
    without[row, 1] = IGNORE
    same_without = labels.clone()
    same_without[row, 1] = IGNORE
    expected = measure(logits, same_without, without)
    poisoned = logits.clone()
    poisoned.view(N, K, V)[row, 1, 2] = bad
    found = measure(poisoned, labels, next_labels)
    assert found.non_finite.tolist() == [0, 1, 0]
    for name in ("rows", "nll", "accuracy", "top5", "entropy", "usage", "nll_shift0"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


def test_a_codebook_without_labels_has_no_value() -> None:
    logits, labels, next_labels = logits_and_labels()
    labels[:, 2] = next_labels[:, 2] = IGNORE
    found = measure(logits, labels, next_labels)
    assert np.isnan([found.nll[2], found.accuracy[2], found.usage[2], found.nll_shift0[2]]).all()
    assert found.mean(found.nll) == pytest.approx((found.nll[:2] * found.rows[:2]).sum() / found.rows[:2].sum())


def test_codes_that_tie_with_the_label_share_the_places_in_the_top_five() -> None:
    """Against every order in which ties may be broken."""
    logits = torch.tensor([[2.0, 2.0, 2.0, 1.0, 1.0, 1.0], [3.0, 1.0, 1.0, 1.0, 1.0, 1.0], [0.0] * 6])
    labels = torch.tensor([[3], [1], [5]])
    expected = []
    for values, label in zip(logits.tolist(), labels.flatten().tolist(), strict=True):
        orders = [sorted(range(6), key=lambda code: -values[code] * 10 + order.index(code) / 10)
                  for order in permutations(range(6))]  # fmt: skip
        expected.append(np.mean([label in order[:5] for order in orders]))
    found = measure(logits, labels, labels)
    assert found.top5[0] == pytest.approx(np.mean(expected))
    untrained = measure(torch.zeros(4, 1026), torch.zeros(4, 1, dtype=torch.int64), torch.full((4, 1), 7))
    assert untrained.top5[0] == pytest.approx(5 / 1026)


def test_a_codebook_with_one_label_uses_one_code() -> None:
    logits, labels, next_labels = logits_and_labels()
    first = int((next_labels[:, 2] != IGNORE).nonzero()[0])
    for one in (labels, next_labels):
        one[first + 1 :, 2] = IGNORE
    found = measure(logits, labels, next_labels)
    assert found.rows[2] == 1
    assert found.usage[2] == pytest.approx(1 / V)


def test_labels_are_shifted_only_where_the_position_before_may_predict() -> None:
    labels = torch.tensor([[[1], [2], [3], [4]]])
    allowed = torch.tensor([[True, False, True, True]])
    assert shift_labels(labels, predicts_next=allowed).flatten().tolist() == [2, IGNORE, 4, IGNORE]
