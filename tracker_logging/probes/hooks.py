"""Everything that a capture puts on a model, the fence around it, and its undoing.

Guarantees
- No exception of a probe reaches the model: the part that failed is switched off and kept in `errors`.
- Probe code runs without gradients, returns nothing to the model, and not again when checkpointing recomputes.
- `detach` undoes everything in reverse order; calling it again does nothing. `detach_all` does so for every instance:
  a training that dies in the middle of a step leaves its hooks on the model, and the next one must not run them.

    hooks = Hooks()
    hooks.after(model.audio_lm_head, "tokens", lambda arguments, output: ...)
    hooks.detach()
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

Result = TypeVar("Result")

_INSTANCES: weakref.WeakSet[Hooks] = weakref.WeakSet()


def detach_all() -> None:
    """Take off what every instance in this process has put on."""
    for hooks in tuple(_INSTANCES):
        hooks.detach()


def recomputing() -> bool:
    """Whether autograd is running: then a forward hook fires because gradient checkpointing recomputes."""
    return torch._C._current_graph_task_id() != -1


class Hooks:
    """See the module. `errors` holds (part, exception) in the order in which they happened.

    `compiled`: the model is run through `torch.compile`, which must not look into our functions.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self._compiled = compiled
        self.errors: list[tuple[str, Exception]] = []
        self._off: set[str] = set()
        self._undo: list[Callable[[], object]] = []
        _INSTANCES.add(self)

    def run(self, part: str, function: Callable[..., Result], *args: Any) -> Result | None:
        """`function(*args)`, fenced: None if the part is off or fails now."""
        if part in self._off:
            return None
        try:
            with torch.no_grad():
                return function(*args)
        except Exception as error:
            self._off.add(part)
            self.errors.append((part, error))
            return None

    def is_on(self, part: str) -> bool:
        """False once the part has failed."""
        return part not in self._off

    def before(
        self, module: nn.Module, part: str, function: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
    ) -> None:
        """Call `function(arguments, keyword arguments)` before each forward of `module`."""

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not recomputing():
                self.run(part, function, args, kwargs)

        self._undo.append(module.register_forward_pre_hook(self._opaque(hook), with_kwargs=True).remove)

    def after(self, module: nn.Module, part: str, function: Callable[[Any], None]) -> None:
        """Call `function(output)` after each forward of `module`."""

        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not recomputing():
                self.run(part, function, output)

        self._undo.append(module.register_forward_hook(self._opaque(hook)).remove)

    def during(self, module: nn.Module, part: str, begin: Callable[[], Callable[[], object] | None]) -> None:
        """Call `begin()` before each forward of `module`, and what it returned after it, even if the forward raises."""
        begun: list[Callable[[], object]] = []

        def enter(*_: Any) -> None:
            if not recomputing() and (undo := self.run(part, begin)) is not None:
                begun.append(undo)

        def leave(*_: Any) -> None:
            self._undo_all(begun)

        self._undo.append(module.register_forward_pre_hook(self._opaque(enter)).remove)
        self._undo.append(module.register_forward_hook(self._opaque(leave), always_call=True).remove)
        self._undo.append(leave)

    def _opaque(self, hook: Callable[..., None]) -> Callable[..., None]:
        return torch.compiler.disable(hook) if self._compiled else hook

    def detach(self) -> None:
        """Take everything off. What cannot be undone is kept in `errors`; the rest still is."""
        self._undo_all(self._undo)

    def _undo_all(self, functions: list[Callable[[], object]]) -> None:
        while functions:
            undo = functions.pop()
            try:
                undo()
            except Exception as error:
                self.errors.append(("detach", error))
