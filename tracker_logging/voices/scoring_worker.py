"""The process in which voices are scored, and the messages that it exchanges with `scoring_process.py`.

Guarantees
- Lower scheduling priority than training, one thread per library, no accelerator.
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
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer

NICE = 19
_PARENT_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """The first message: what `VoiceScorer` is built from."""

    prompts: Sequence[VoicePrompt]
    processor: SpeechProcessor
    choice: ScorerChoice


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Every further message: the arguments of `VoiceScorer.score`."""

    step: int
    generated: Sequence[Generated]
    swapped: Sequence[Generated] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """Any number of `event` (an `Event`) and `log` (level, text), then `done`, or `failed` with the reason."""

    kind: Literal["event", "log", "done", "failed"]
    value: Any = None


def serve(connection: Connection) -> None:
    """Answer messages until the connection closes. Raises `EOFError` or `ConnectionError` then."""
    scorer: VoiceScorer | None = None

    def send(answer: Answer) -> None:
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
            request = pickle.loads(message)
            if scorer is None:
                scorer = VoiceScorer(request.prompts, request.processor, choose_instruments(request.choice))
            else:
                events = list(scorer.score(step=request.step, generated=request.generated, swapped=request.swapped))
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
    with contextlib.suppress(OSError):
        os.nice(NICE)
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])))
