import pytest

from tracker_logging.session import cost
from tracker_logging.session.cost import CostMeter


class Clock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cost.time, "perf_counter", clock)
    return clock


def test_parts_add_up_to_the_share_of_wall_time(clock: Clock) -> None:
    meter = CostMeter()
    with meter.part("attach", component="capture"):
        clock.now += 1
    with meter.part("snapshot", component="capture"), meter.part("inner", component="voices"):
        clock.now += 3
    clock.now = 100
    spent = meter.since_last_report()
    assert spent.parts_s == {"attach": 1.0, "snapshot": 3.0}
    assert spent.components_s == {"capture": 4.0}
    assert spent.pct == pytest.approx(4.0)


def test_each_window_has_its_own_beginning(clock: Clock) -> None:
    meter = CostMeter()
    with meter.part("attach", component="capture"):
        clock.now += 1
    meter.since_last_report()
    clock.now = 10
    assert meter.since_last_report().parts_s == {}
    assert meter.since_last_cycle().pct == pytest.approx(10.0)
    assert meter.run.spent().pct == pytest.approx(10.0)
