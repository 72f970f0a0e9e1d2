"""Hooks that a capture registers on a model, with error containment and removal.

Guarantees
- No exception of a probe reaches the model: the part that failed is off until the hooks are made anew (one logged
  step) and its exception is in `errors`. The owner of the capture reports them with `ErrorGuard.failed`.
- Probe code runs without gradients, returns nothing to the model, and is skipped when gradient checkpointing
  recomputes a forward.
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

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

Result = TypeVar("Result")

_INSTANCES: weakref.WeakSet[Hooks] = weakref.WeakSet()


def detach_all() -> None:
    """Remove the hooks of every instance in this process."""
    for hooks in tuple(_INSTANCES):
        hooks.detach()


def recomputing() -> bool:
    """Whether autograd is running: a forward hook that fires now belongs to a recomputation."""
    return torch._C._current_graph_task_id() != -1


class Hooks:
    """See the module. `errors` holds (part, exception) in the order of occurrence.

    `compiled`: the model runs through `torch.compile`, which must not trace our functions.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self._compiled = compiled
        self.errors: list[tuple[str, Exception]] = []
        self.with_gradients = True  # whether autograd recorded where the hook that runs now was called
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

    def run(self, part: str, function: Callable[..., Result], *args: Any) -> Result | None:
        """`function(*args)` without gradients, contained; None if the part is off or fails."""
        if self.is_on(part):
            with self.contain(part), torch.no_grad():
                return function(*args)
        return None

    def before(
        self, module: nn.Module, part: str, function: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
    ) -> None:
        """Call `function(arguments, keyword arguments)` before each forward of `module`."""

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not recomputing():
                self.with_gradients = torch.is_grad_enabled()
                self.run(part, function, args, kwargs)

        self._undo.append(module.register_forward_pre_hook(self._opaque(hook), with_kwargs=True).remove)

    def after(self, module: nn.Module, part: str, function: Callable[[Any], None]) -> None:
        """Call `function(output)` after each forward of `module`."""

        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not recomputing():
                self.run(part, function, output)

        self._undo.append(module.register_forward_hook(self._opaque(hook)).remove)

    def during(self, module: nn.Module, part: str, begin: Callable[[], Callable[[], object] | None]) -> None:
        """Call `begin()` before each forward of `module`, and what it returned after it, even if it raises."""
        begun: list[Callable[[], object]] = []

        def enter(*_: Any) -> None:
            if not recomputing() and (undo := self.run(part, begin)) is not None:
                begun.append(undo)

        def leave(*_: Any) -> None:
            self._undo_all(begun)

        self._undo.append(module.register_forward_pre_hook(self._opaque(enter)).remove)
        self._undo.append(module.register_forward_hook(self._opaque(leave), always_call=True).remove)
        self._undo.append(leave)

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
