"""The backends by name: ours, and those that other packages register.

    [project.entry-points."tracker_logging.trackers"]
    csv = "my_package.csv_tracker:open_csv"             # open_csv(directory: Path, run: RunInfo) -> Tracker

Guarantees
- Ours are entry points too and take the same way; another package cannot replace one of them.
- `load_backends` imports each backend, so that one that cannot work is refused before training, with the name of its
  package and the fix. A factory that has a method `check()` is asked too: it raises `ValueError` with the fix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from tracker_logging.config import SHORTHANDS, names
from tracker_logging.trackers.base import OpenBackend

GROUP = "tracker_logging.trackers"
_PACKAGES = {  # ours that need one
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "tracker-logging[mlflow]",
    "swanlab": "swanlab",
}
# Listed here and not in pyproject.toml: they must also be found where the package is not installed (PYTHONPATH).
_OURS = {
    name: EntryPoint(name, f"tracker_logging.trackers.{name}:open_backend", GROUP)
    for name in ("tensorboard", "wandb", "jsonl", "trackio", "mlflow", "swanlab")
}
BACKENDS = tuple(_OURS)


def backend_names(report_to: str | Sequence[str]) -> tuple[str, ...]:
    """The backends that `report_to` names, each once. Text may hold several, separated by commas.

    >>> backend_names("wandb")
    ('wandb',)
    >>> backend_names("tensorboard, jsonl")
    ('tensorboard', 'jsonl')
    >>> backend_names(["both", "jsonl"])
    ('tensorboard', 'wandb', 'jsonl')
    >>> backend_names("none")
    ()
    """
    return names(report_to, shorthands=SHORTHANDS)


def load_backends(names: Sequence[str]) -> dict[str, OpenBackend]:
    """The factory of each backend. Raises `ValueError` with the fix for one that is unknown or cannot be imported."""
    registered = _registered()
    return {name: _load(name, registered) for name in names}


def check_backends(report_to: str | Sequence[str]) -> None:
    """Raise `ValueError`, with the fix, unless every backend of `report_to` can be used."""
    load_backends(backend_names(report_to))


def _registered() -> dict[str, list[EntryPoint]]:
    entries = {name: [entry] for name, entry in _OURS.items()}
    for entry in entry_points(group=GROUP):
        if entry.name not in _OURS:
            entries.setdefault(entry.name, []).append(entry)
    return entries


def _load(name: str, registered: dict[str, list[EntryPoint]]) -> OpenBackend:
    entries = registered.get(name)
    if entries is None:
        raise ValueError(
            f"report_to: {name!r} is not a backend. Choose from {', '.join(registered)} (or none), or install the "
            f"package that registers it (entry point {GROUP})."
        )
    if len(entries) > 1:
        packages = " and ".join(_origin(entry) for entry in entries)
        raise ValueError(f"report_to: {name!r} is registered by {packages}. Fix: uninstall one of them.")
    (entry,) = entries
    try:
        backend: OpenBackend = entry.load()
        if not callable(backend):
            raise TypeError(f"{entry.value} is not a function (directory, run) -> Tracker")
    except Exception as error:
        raise ValueError(
            f"report_to: the backend {name!r} of {_origin(entry)} cannot be loaded ({type(error).__name__}: {error}). "
            f"{_fix(entry, error)}"
        ) from error
    check: Callable[[], None] = getattr(backend, "check", _nothing_to_check)
    check()
    return backend


def _nothing_to_check() -> None:
    """Most backends work in any environment."""


def _origin(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name} {entry.dist.version}" if entry.dist is not None else "tracker_logging"


def _fix(entry: EntryPoint, error: Exception) -> str:
    if entry.dist is not None:
        return f"Fix: repair or update {entry.dist.name}, or leave {entry.name!r} out of report_to."
    package = _PACKAGES.get(entry.name)
    is_missing = isinstance(error, ModuleNotFoundError) and package is not None
    return f"Fix: pip install {'' if is_missing else '--upgrade '}{package or 'tracker-logging'}"
