"""The public interface as text: every public name with its signature, methods and fields.

python tests/house/api_listing.py > tests/house/public_api.txt
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import tracker_logging

BASES = (tracker_logging.StrategicCallback, tracker_logging.Tracker, tracker_logging.BaseAdapter)


class Bare(str):
    """An annotation as it is written in the source, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def listing() -> str:
    """One line per name; below a class that is there to be called or written anew, one line per member."""
    lines = []
    for name in sorted(tracker_logging.__all__):
        value = getattr(tracker_logging, name)
        if isinstance(value, str):
            lines.append(name)
        elif inspect.isclass(value):
            lines += [f"class {name}{_signature(value)}", *(f"    {line}" for line in _members(value))]
        elif inspect.isfunction(value):
            lines.append(f"def {name}{_signature(value)}")
        else:
            lines.append(f"{name} = {' | '.join(one.__name__ for one in typing.get_args(value))}")
    return "\n".join(lines) + "\n"


def _members(owner: type) -> Iterator[str]:
    """What the class defines itself: no field that its signature names, and nothing that its base or protocol has."""
    # A session is made by a user and called by the callbacks; an exception is only caught.
    if owner is tracker_logging.LoggingSession or issubclass(owner, Exception):
        return
    known: set[str] = set()
    if not getattr(owner, "_is_protocol", False):
        known = {name for base in BASES if base is not owner for name in dir(base)}
        known |= set(inspect.signature(owner).parameters)
    found: dict[str, Any] = dict.fromkeys(inspect.get_annotations(owner)) | dict(vars(owner))
    for name, value in sorted(found.items()):
        if name.startswith(("_", "on_")) or name in known:
            continue
        function = value.__func__ if isinstance(value, classmethod) else value
        yield f"def {name}{_signature(function)}" if inspect.isfunction(function) else name


def _signature(value: Any) -> str:
    if getattr(value, "_is_protocol", False):
        return ""
    if inspect.isclass(value) and issubclass(value, Exception):
        return f"({value.__base__.__name__})"
    signature = inspect.signature(value)
    parameters = [
        one.replace(annotation=_bare(one.annotation), default=_readable(one.default))
        for one in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_bare(signature.return_annotation)))


def _readable(default: Any) -> Any:
    """The default itself, or `…` for one that is written with addresses of this process."""
    return Bare("…") if default is not inspect.Parameter.empty and " at 0x" in repr(default) else default


def _bare(annotation: Any) -> Any:
    return Bare(annotation) if isinstance(annotation, str) else annotation


if __name__ == "__main__":
    print(listing(), end="")
