"""Open a run in TensorBoard: start it, wait until it answers and open the browser. Ctrl-C ends it.

tracker-logging open outputs/runs/a
tracker-logging open outputs/runs/a --print
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from pathlib import Path

from tracker_logging.commands.base import CommandError

START_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--port", type=int, default=6006, help="default: 6006, or a free one where that is taken")
    parser.add_argument("--print", action="store_true", help="only print the command and the links")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.dashboards.open_run import how_to_open, pinned_link
    from tracker_logging.runs.tensorboard import shown_tags

    directory = args.run.resolve()
    if not any(directory.glob("*.tfevents.*")) and not (directory / "voices").is_dir():
        raise CommandError(f"{args.run}: no event files and no voices in it. Name the directory of a run.")
    try:
        known = shown_tags(directory)
    except OSError as error:
        raise CommandError(f"{args.run}: its event files cannot be read ({error}).") from error
    if args.print:
        print(how_to_open(directory, known, port=args.port))
        return 0
    place = "#voices" if (directory / "voices").is_dir() else pinned_link(directory.name, known)
    return _show(place, directory, port=_free_port(args.port))


def _show(place: str, directory: Path, *, port: int) -> int:
    """Run TensorBoard, opened at `place`, until it ends or Ctrl-C."""
    from tracker_logging.dashboards.open_run import SAMPLES

    address = f"http://localhost:{port}"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(directory.parent), "--port", str(port)]
    with subprocess.Popen([*command, *SAMPLES.split()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        errors: list[bytes] = []
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reader.start()
        try:
            if not _answers(address, process):
                reader.join(1.0)
                last = errors[-1].decode(errors="replace").strip() if errors else "it does not answer"
                raise CommandError(f"TensorBoard cannot be started: {last}. Fix: tracker-logging open RUN --print")
            opened = webbrowser.open(f"{address}/{place}")
            print(f"{directory.name}: {address}/{place if opened else '#voices'}\nCtrl-C ends TensorBoard.", flush=True)
            return process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            process.terminate()


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether TensorBoard answers within `START_S`; False once it has ended."""
    pause = threading.Event()
    for _ in range(int(START_S / 0.2)):
        if process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{address}/data/environment", timeout=2.0):
                return True
        except OSError:
            pause.wait(0.2)
    return False


def _free_port(wanted: int) -> int:
    """`wanted`, or another one where something listens there."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wanted
