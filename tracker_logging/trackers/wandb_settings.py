"""How a W&B run of ours is begun: what the user's W&B environment says wins over our defaults.

    check_environment()                     # before training: refuse a misspelt WANDB_MODE, ask for a missing key
    run = begin_run(Path("runs/a"), project=None, name=None, run_id=None)

Guarantees
- `WANDB_*` variables and W&B's settings files win over our defaults (entity, id, resume, directory, and each of
  `_settings`) and over the tags, group and notes of the run; a project or name that was asked for wins over them.
- Without a key the run is offline; `WANDB_MODE` overrides. `WANDB_DISABLED` switches W&B off.
- By default a run of ours collects no source, console output, git state, host, script path or command line.
"""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb

from tracker_logging.trackers.base import DEFAULT_PROJECT

INIT_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 45.0
LOG_INTERVAL_S = 0.2
DATA_DIRECTORY = "WANDB_DATA_DIR"
MODES = ("online", "offline", "shared", "disabled", "dryrun", "run")
_TRUE = ("1", "true", "yes", "on")
logger = logging.getLogger(__name__)


def check_environment() -> None:
    """Raise `ValueError`, with the fix, for a mode that W&B does not know; ask for a key where there is a terminal."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None and mode not in MODES:  # W&B refuses an empty one, too
        raise ValueError(
            f"WANDB_MODE={mode!r} is not a mode of W&B. Fix: unset it, or set it to one of {', '.join(MODES)}."
        )
    _ask_for_key()


@cache
def _ask_for_key() -> None:
    """Let W&B ask before training rather than during it; once per process, on rank 0, and not if a mode is set."""
    is_wanted = wandb.run is None and wandb_mode() == "offline" and not os.environ.get("WANDB_MODE")
    can_answer = os.environ.get("RANK", "0") == "0" and sys.stdin is not None and sys.stdin.isatty()
    if is_wanted and can_answer:
        wandb.login()


def wandb_mode() -> Any:
    """The mode of a run: None is W&B's own default, online."""
    if os.environ.get("WANDB_DISABLED", "").lower() in _TRUE:
        return "disabled"
    return os.environ.get("WANDB_MODE") or (None if has_key() else "offline")


def has_key() -> bool:
    """Whether there is a key for the W&B server, in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    try:
        return host is not None and netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def chosen_run_id() -> str | None:
    """The id that `WANDB_RUN_ID` gives the run."""
    return os.environ.get("WANDB_RUN_ID") or None


def run_root(directory: Path) -> Path:
    """The directory that holds W&B's folder `wandb`: `WANDB_DIR`, or else that of the run."""
    return Path(os.environ.get("WANDB_DIR") or directory)


def offline_records(directory: Path) -> Path | None:
    """Where the run of `directory` keeps its offline W&B record; None if it is online or W&B is switched off."""
    return run_root(directory) / "wandb" if wandb_mode() in ("offline", "dryrun") else None


def enter_data_directory(directory: Path) -> str | None:
    """Let W&B stage the files of tables below the run's folder `wandb`, unless `WANDB_DATA_DIR` says where.

    W&B sends the path of a staged file with the manifest of an artifact. Where it may send something it is therefore
    given a link in the directory for temporary files. Returns what `leave_data_directory` takes.
    """
    if os.environ.get(DATA_DIRECTORY):
        return None
    chosen = (run_root(directory) / "wandb" / "data").absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    if wandb_mode() not in ("offline", "disabled"):
        with contextlib.suppress(OSError, NotImplementedError):  # a system without links
            link = Path(tempfile.mkdtemp(prefix="wandb-data-")) / "data"
            link.symlink_to(chosen, target_is_directory=True)
            chosen = link
    os.environ[DATA_DIRECTORY] = str(chosen)
    return str(chosen)


def leave_data_directory(chosen: str | None) -> None:
    """Undo `enter_data_directory`, where another run has not chosen its own since."""
    if chosen is not None and os.environ.get(DATA_DIRECTORY) == chosen:
        del os.environ[DATA_DIRECTORY]
    if chosen is not None and Path(chosen).is_symlink():
        Path(chosen).unlink()
        Path(chosen).parent.rmdir()


def begin_run(
    directory: Path,
    *,
    project: str | None,
    name: str | None,
    run_id: str | None,
    tags: Sequence[str] = (),
    group: str | None = None,
    notes: str | None = None,
) -> Any:
    """A new `wandb` run, or the one of `run_id` continued; offline where the server takes none.

    `project`, `name`: None for the environment's, or else our defaults. `tags`, `group`, `notes`: where the environment
    has none. Raises what `wandb.init` raises.
    """
    root = run_root(directory)
    root.mkdir(parents=True, exist_ok=True)
    chosen = wandb.setup().settings  # of W&B's environment and settings files
    arguments: dict[str, Any] = {
        "project": project or (None if chosen.project else DEFAULT_PROJECT),
        "name": name or (None if chosen.run_name else directory.name),
        "id": None if chosen_run_id() else run_id,
        "resume": "allow" if run_id and not os.environ.get("WANDB_RESUME") else None,
        "tags": None if chosen.run_tags else tuple(tags) or None,
        "group": None if chosen.run_group else group,
        "notes": None if chosen.run_notes else notes,
        "dir": str(root),
        "settings": _settings(),
    }
    try:
        return wandb.init(mode=wandb_mode(), **arguments)
    except wandb.errors.CommError as error:
        logger.warning(
            "W&B: no run could be begun on the server (%s). It is written offline; upload it later with: "
            "tracker-logging sync %s",
            str(error).partition("\n")[0],  # what follows is advice on a setting that is ours
            shlex.quote(str(root)),
        )
        return wandb.init(mode="offline", **arguments)


def _settings() -> wandb.Settings:
    defaults = {
        "console": "off",
        "silent": True,
        "host": "",
        "program": Path(sys.argv[0]).name or "python",
        "disable_git": True,
        "save_code": False,
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": FINISH_TIMEOUT_S,
        "finish_timeout_raises": True,
        "x_disable_meta": True,
        "x_disable_machine_info": True,
        "x_transaction_log_flush_interval": LOG_INTERVAL_S,
    }
    is_ours = {name: value for name, value in defaults.items() if not os.environ.get(_variable(name))}
    return wandb.Settings(**{name: value for name, value in is_ours.items() if name in wandb.Settings.model_fields})


def _variable(setting: str) -> str:
    """The environment variable of a W&B setting (`x_…` is private to W&B: `WANDB__…`)."""
    return f"WANDB_{setting.removeprefix('x').upper()}" if setting.startswith("x_") else f"WANDB_{setting.upper()}"
