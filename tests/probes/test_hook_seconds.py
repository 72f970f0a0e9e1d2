"""The time that hooks add to the forward and backward of a step is measured, once."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_model import LAYERS, small_model, two_samples

from tracker_logging.families import adapter_for
from tracker_logging.probes import hooks as hooks_module
from tracker_logging.probes.attention import AttentionProbe
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.flow import FlowProbe
from tracker_logging.probes.hooks import Hooks

SLEEP_S = 0.1


def slow(method: Any) -> Any:
    def sleeping(*args: Any, **kwargs: Any) -> Any:
        time.sleep(SLEEP_S)
        return method(*args, **kwargs)

    return sleeping


def hook_seconds(*needs: str) -> tuple[float, float]:
    """(seconds in hooks, seconds of forward and backward)."""
    model, inputs = small_model().train(), two_samples()
    capture = StepCapture(adapter=adapter_for(model), needs=frozenset(needs))
    capture.attach(model)
    start = time.perf_counter()
    model(**inputs).loss.backward()
    seconds = time.perf_counter() - start
    before = capture.hook_seconds
    capture.before_update(None)
    capture.snapshot(1)
    assert capture.errors == []
    assert capture.hook_seconds == before, "the methods of the capture are timed by their caller"
    return before, seconds


def test_time_in_the_attention_kernel_and_in_backward_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AttentionProbe, "observe", slow(AttentionProbe.observe))
    monkeypatch.setattr(FlowProbe, "_read_gradients", slow(FlowProbe._read_gradients))
    seconds, whole = hook_seconds("attention", "gradients")
    assert SLEEP_S * (LAYERS + 1) <= seconds <= whole


def test_a_hook_inside_a_hook_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(hooks_module, "time", SimpleNamespace(perf_counter=lambda: clock["now"]))
    hooks, inner, outer = Hooks(), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    hooks.after(inner, "inner", lambda _: clock.update(now=clock["now"] + 1.0))
    hooks.after(outer, "outer", lambda _: inner(torch.zeros(1, 2)))
    outer(torch.zeros(1, 2))
    assert hooks.seconds == 1.0
    hooks.run("extra forward", inner, torch.zeros(1, 2))
    assert hooks.seconds == 1.0, "its caller times an extra forward"
    inner(torch.zeros(1, 2))
    assert hooks.seconds == 2.0


def test_on_cuda_the_larger_of_host_and_device_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        """Takes 2 s on the device between two records."""

        count = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            Event.count += 1
            self.at = Event.count

        def synchronize(self) -> None:
            pass

        def elapsed_time(self, end: "Event") -> float:
            return 2000.0 * (end.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    hooks, module = Hooks(device=torch.device("cuda")), torch.nn.Linear(2, 2)
    hooks.after(module, "part", lambda _: None)
    module(torch.zeros(1, 2))
    module(torch.zeros(1, 2))
    assert hooks.seconds == pytest.approx(4.0)
    assert hooks.seconds == pytest.approx(4.0)
