import torch

from tracker_logging.families import Role
from tracker_logging.probes.attention_plan import make_bins, plan_sample, target_text

T, R, G, P = int(Role.TEXT), int(Role.REFERENCE), int(Role.TARGET), int(Role.PADDING)


def test_bins_never_mix_roles_and_cover_all_but_padding() -> None:
    roles = torch.tensor([P] * 3 + [T] * 10 + [R] * 40 + [T] * 12 + [G] * 60 + [T] + [P] * 5)
    bins = make_bins(roles, texts=[(55, 60)], limit=20)
    covered = [at for one in bins for at in range(one.start, one.stop)]
    assert covered == (roles != P).nonzero().flatten().tolist()
    assert all(int(roles[at]) == one.role for one in bins for at in range(one.start, one.stop))
    assert len(bins) <= 20
    assert {one.start for one in bins} >= {3, 13, 53, 55, 60, 65, 125}


def test_a_short_sample_has_a_bin_for_each_position() -> None:
    roles = torch.tensor([T] * 4 + [G] * 6)
    assert [(one.start, one.stop) for one in make_bins(roles, texts=(), limit=32)] == [(at, at + 1) for at in range(10)]


def test_the_targets_text_is_the_longest_stretch_between_special_tokens_before_it() -> None:
    roles = torch.tensor([T, T, R, R, T, T, T, T, T, T, G, G])
    tokens = torch.tensor([1, 7, 0, 0, 99, 20, 99, 31, 32, 33, 0, 0])
    assert target_text(roles, tokens, before=10, special_ids={99}) == (7, 10)
    assert target_text(roles, tokens, before=10, special_ids=()) == (4, 10)


def test_a_sample_without_target_has_no_alignment_and_no_entropy_rows() -> None:
    plan = plan_sample(torch.tensor([T] * 4 + [R] * 5), torch.zeros(9), sample=0, bins=8, special_ids=())
    assert len(plan.readings) == len(plan.entropy_rows) == 0
    assert plan.groups.sum(dim=1).tolist()[2] == 0
