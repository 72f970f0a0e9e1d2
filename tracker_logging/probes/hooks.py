"""Hooks that a capture registers on a model, with error containment and removal.

Guarantees
- No exception of a probe reaches the model: the part that failed is off until the hooks are made anew (one logged
  step) and its exception is in `errors`. The owner of the capture reports them with `ErrorGuard.failed`.
- Probe code runs without gradients, returns nothing to the model, and is skipped when gradient checkpointing
  recomputes a forward.
- `seconds` is the time spent in hooks during the model's forward and backward, of host and device.
- `detach` removes everything in reverse order and may be called again. `detach_all` does so for every instance in the
  process: a training that dies in the middle of a step leaves its hooks on the model, and the next one must not run
  them.

>>> hooks, model, shapes = Hooks(), nn.Linear(2, 3), []
>>> hooks.after(model, "shapes", lambda output: shapes.append(tuple(output.shape)))
>>> hooks.after(model, "broken", lambda output: 1 / 0)
>>> output = model(torch.zeros(4, 2))
>>> shapes, hooks.errors
([(4, 3)], [('broken', ZeroDivisionError('division by zero'))])
>>> hooks.detach()
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

Result = TypeVar("Result")

_INSTANCES: weakref.WeakSet[Hooks] = weakref.WeakSet()


def detach_all() -> None:
    """Remove the hooks of every instance in this process."""
    for hooks in tuple(_INSTANCES):
        hooks.detach()


def recomputing() -> bool:
    """Whether autograd is running: a forward hook that fires now belongs to a recomputation."""
    return torch._C._current_graph_task_id() != -1


class HookClock:
    """Time spent in hooks: of the host, or of the CUDA device if that is more. Nested hooks count once."""

    def __init__(self, device: torch.device | None) -> None:
        self._on_cuda = device is not None and device.type == "cuda"
        self._depth = 0
        self._host_s = 0.0
        self._device_s = 0.0
        self._events: list[tuple[Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the body, unless it runs inside another body of this clock."""
        if self._depth:
            yield
            return
        begin = self._event()
        start = time.perf_counter()
        with self.paused():
            yield
        self._host_s += time.perf_counter() - start
        if begin is not None:
            self._events.append((begin, self._event()))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing that runs inside of the body."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def seconds(self) -> float:
        """The larger of host and device time: they overlap. Synchronises with the device once per new event."""
        for begin, end in self._events:
            end.synchronize()
            self._device_s += begin.elapsed_time(end) / 1e3
        self._events.clear()
        return max(self._host_s, self._device_s)

    def _event(self) -> Any:
        if not self._on_cuda:
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


class Hooks:
    """See the module. `errors` holds (part, exception) in the order of occurrence.

    - `compiled`: the model runs through `torch.compile`, which must not trace our functions
    - `device`: of the model; on CUDA, time on the device is measured too
    """

    def __init__(self, *, compiled: bool = False, device: torch.device | None = None) -> None:
        self._compiled = compiled
        self._clock = HookClock(device)
        self.errors: list[tuple[str, Exception]] = []
        self.with_gradients = True  # whether autograd records in the forward whose pre-hook runs now
        self.on_replica = False  # whether that forward is of a copy that nn.DataParallel made
        self._in_hook = False  # a forward that begins now is called by a hook and none of the training
        self._off: set[str] = set()
        self._undo: list[Callable[[], object]] = []
        _INSTANCES.add(self)

    @contextmanager
    def contain(self, part: str) -> Iterator[None]:
        """Run the body; record what it raises and switch `part` off."""
        try:
            yield
        except Exception as error:
            self._off.add(part)
            self.errors.append((part, error))

    def is_on(self, part: str) -> bool:
        """False once the part has failed."""
        return part not in self._off

    @property
    def seconds(self) -> float:
        """Seconds spent in hooks so far, see `HookClock`. Synchronises with a CUDA device."""
        return self._clock.seconds()

    def run(self, part: str, function: Callable[..., Result], *args: Any) -> Result | None:
        """`function(*args)` without gradients, contained; None if the part is off or fails."""
        if self.is_on(part):
            # What the function calls is timed by its caller, as all work outside the model's forward and backward.
            with self._clock.paused(), self.contain(part), torch.no_grad():
                return function(*args)
        return None

    def run_in_step(self, part: str, function: Callable[..., Result], *args: Any) -> Result | None:
        """The same, for what the forward or backward of the model calls: its time counts in `seconds`."""
        if self.is_on(part):
            outer, self._in_hook = self._in_hook, True
            try:
                with self._clock.running(), self.contain(part), torch.no_grad():
                    return function(*args)
            finally:
                self._in_hook = outer
        return None

    def before(
        self, module: nn.Module, part: str, function: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
    ) -> None:
        """Call `function(arguments, keyword arguments)` before each forward of `module`."""

        def hook(called: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not recomputing():
                if not self._in_hook:
                    self.with_gradients = torch.is_grad_enabled()
                    self.on_replica = called is not module
                self.run_in_step(part, function, args, kwargs)

        self._undo.append(module.register_forward_pre_hook(self._opaque(hook), with_kwargs=True).remove)

    def after(self, module: nn.Module, part: str, function: Callable[[Any], None]) -> None:
        """Call `function(output)` after each forward of `module`."""

        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not recomputing():
                self.run_in_step(part, function, output)

        self._undo.append(module.register_forward_hook(self._opaque(hook)).remove)

    def during(self, module: nn.Module, part: str, begin: Callable[[], Callable[[], object] | None]) -> None:
        """Call `begin()` before each forward of `module`, and what it returned after it, even if it raises."""
        begun: list[Callable[[], object]] = []

        def enter(*_: Any) -> None:
            if not recomputing() and (undo := self.run_in_step(part, begin)) is not None:
                begun.append(undo)

        def leave(*_: Any) -> None:
            self._undo_all(begun)

        self._undo.append(module.register_forward_pre_hook(self._opaque(enter)).remove)
        self._undo.append(module.register_forward_hook(self._opaque(leave), always_call=True).remove)
        self._undo.append(leave)

    def before_optimizers(self, part: str, function: Callable[[Any], None]) -> None:
        """Call `function(optimizer)` before each step of any torch optimizer in the process."""

        def hook(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.run_in_step(part, function, optimizer)

        self._undo.append(register_optimizer_step_pre_hook(hook).remove)

    def detach(self) -> None:
        """Remove everything. A removal that raises is recorded in `errors`; the others still happen."""
        self._undo_all(self._undo)

    def _opaque(self, hook: Callable[..., None]) -> Callable[..., None]:
        return torch.compiler.disable(hook) if self._compiled else hook

    def _undo_all(self, functions: list[Callable[[], object]]) -> None:
        while functions:
            undo = functions.pop()
            with self.contain("detach"):
                undo()
