"""Scores voices in another process: measuring holds the GIL for tens of milliseconds at a time, so that a thread would
slow training down.

Guarantees
- One process, started on rank 0 before the first step, ended by `close`, by the end of its parent or by an error.
- It sees no accelerator, uses one core at a priority below that of training (`priority.py`), and imports what the
  training process can import. It is sent waveforms, so it needs neither the codec nor the model.
- If it dies, `ScoringError` is raised for that round, and the next round starts another process.
- If no process can be used (a scorer defined in the script itself), voices are scored on the caller's thread, with a
  warning.

    scorer = open_scorer(ScorerChoice())
    for event in scorer.score(step=500, clips=clips):
        tracker.emit(event)
    scorer.close()
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tracker_logging.events import Event
from tracker_logging.voices.clips import GeneratedClip
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import Scorer, VoiceScorer
from tracker_logging.voices.scoring_worker import HURRY, Answer, Round

logger = logging.getLogger("tracker_logging")

_COMMAND = "from tracker_logging.voices.scoring_worker import main; main()"
_START_TIMEOUT_S = 120.0
_POLL_S = 0.5


class ScoringError(RuntimeError):
    """The scoring process did not score a round, or could not be started."""


def open_scorer(choice: ScorerChoice) -> Scorer:
    """Called on the training thread. Raises `ValueError` for a chosen scorer that is not available."""
    try:
        return ScoringProcess(choice)
    except ScoringError as reason:
        scorer = VoiceScorer(choose_instruments(choice))
        logger.warning(
            "Voices are scored on a thread of the training process, which slows training a little: %s", reason
        )
        return scorer


class ScoringProcess:
    """`VoiceScorer` in another process. `score` is called from one thread at a time, `hurry` and `close` from any.

    Raises `ScoringError` if the process cannot be started or cannot build the scorers.
    """

    def __init__(self, choice: ScorerChoice) -> None:
        self._choice = choice
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = self._is_ready = self._hurried = False
        self._start()

    @property
    def process_id(self) -> int | None:
        """The id of the running process, or None."""
        return None if self._process is None else self._process.pid

    def score(self, *, step: int, clips: Sequence[GeneratedClip]) -> Iterator[Event]:
        """As `VoiceScorer.score`. Raises `ScoringError` for a round that could not be scored."""
        if self._process is None:
            self._start()
        yield from self._ask(Round(step=step, clips=tuple(clips)))

    def hurry(self) -> None:
        """Score the following voices at the priority of training."""
        self._hurried = True
        process = self._process
        if process is not None and self._is_ready and HURRY is not None:
            with contextlib.suppress(OSError):
                process.send_signal(HURRY)

    def close(self) -> None:
        """End the process at once. The current round is not scored."""
        self._closed = True
        self._stop()

    def _start(self) -> None:
        ours, theirs = Pipe()
        search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": search_path}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, str(theirs.fileno()), str(os.getpid())],
                env=os.environ | settings,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        except (OSError, ValueError) as error:
            raise ScoringError(f"no process could be started ({error}).") from error
        finally:
            theirs.close()
        self._connection = ours
        try:
            self._ask(self._choice, within_s=_START_TIMEOUT_S)
        except ScoringError:
            self._stop()
            raise
        self._is_ready = True  # before that the signal would end the process
        if self._hurried:
            self.hurry()

    def _ask(self, message: ScorerChoice | Round, *, within_s: float = float("inf")) -> list[Event]:
        process, connection = self._process, self._connection
        if self._closed or process is None or connection is None:
            raise ScoringError("the scoring process was ended with the training.")
        events: list[Event] = []
        deadline = time.monotonic() + within_s
        try:
            connection.send_bytes(pickle.dumps(message))
            while True:
                answer = _next(connection, process, deadline)
                if answer.kind == "event":
                    events.append(answer.value)
                elif answer.kind == "log":
                    logger.log(*answer.value)
                elif answer.kind == "failed":
                    raise ScoringError(f"scoring failed: {answer.value}")
                else:
                    return events
        except (OSError, EOFError) as error:
            self._stop()
            raise ScoringError(
                f"the scoring process died (exit code {process.returncode}); another is started for the next round."
            ) from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ScoringError(f"its inputs cannot be sent to another process ({error}).") from error

    def _stop(self) -> None:
        self._is_ready = False
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.wait()
        if connection is not None:
            connection.close()


def _next(connection: Connection, process: subprocess.Popen[bytes], deadline: float) -> Answer:
    """The next answer. Raises `EOFError` if the process has ended, `TimeoutError` after the deadline."""
    # The connection does not close while a process forked from this one holds the other end, so poll the process too.
    while not connection.poll(_POLL_S):
        if process.poll() is not None and not connection.poll():
            raise EOFError
        if time.monotonic() > deadline:
            raise TimeoutError
    answer: Answer = pickle.loads(connection.recv_bytes())
    return answer
