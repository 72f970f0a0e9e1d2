"""The process in which voices are scored, and the messages that it exchanges with `scoring_process.py`.

Guarantees
- Lower scheduling priority than training, chosen by what training leaves (`priority.py`); one thread per library; no
  accelerator.
- An error in a round is sent back as text; the next round is scored.
- Ends when the connection closes, and within a second after its parent has died.

    python -c "from tracker_logging.voices.scoring_worker import main; main()" CONNECTION PARENT
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal

from tracker_logging.events import Event
from tracker_logging.voices.clips import GeneratedClip
from tracker_logging.voices.priority import ScoringPriority
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer

HURRY = getattr(signal, "SIGUSR1", None)
"""The signal that asks for the priority of training; None where the system has no such signal."""
_PARENT_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Every message after the first, which is a `ScorerChoice`: the arguments of `VoiceScorer.score`."""

    step: int
    clips: Sequence[GeneratedClip]


@dataclass(frozen=True, eq=False)
class Answer:
    """Any number of `event` (an `Event`) and `log` (level, text), then `done`, or `failed` with the reason."""

    kind: Literal["event", "log", "done", "failed"]
    value: Any = None


def serve(connection: Connection, priority: ScoringPriority) -> None:
    """Answer messages until the connection closes. Raises `EOFError` or `ConnectionError` then."""
    scorer: VoiceScorer | None = None
    lock = threading.Lock()

    def send(answer: Answer) -> None:
        with lock:
            connection.send_bytes(pickle.dumps(answer))

    logger = logging.getLogger("tracker_logging")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Forward(send))
    logger.propagate = False
    while True:
        message = connection.recv_bytes()
        events: list[Event] = []
        last = Answer("done")
        try:
            request: ScorerChoice | Round = pickle.loads(message)
            if isinstance(request, ScorerChoice):
                scorer = VoiceScorer(choose_instruments(request), call=priority.run)
            elif scorer is not None:
                events = list(scorer.score(step=request.step, clips=request.clips))
        except Exception as error:
            last = Answer("failed", f"{type(error).__name__}: {error}")
        for event in events:
            send(Answer("event", event))
        send(last)


class _Forward(logging.Handler):
    """Log records go to the parent, whose logging the user has configured."""

    def __init__(self, send: Any) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Answer("log", (record.levelno, record.getMessage())))


def _end_with(parent: int) -> None:
    """End when the parent has died: the connection stays open if a process forked from the parent holds it too."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_S)
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for training, which then ends this process
    priority = ScoringPriority()
    if HURRY is not None:
        signal.signal(HURRY, lambda number, frame: priority.hurry())
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])), priority)
