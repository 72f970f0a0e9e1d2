"""The process in which voices are scored. Started by `scoring_process.py`, which says what is sent to and fro.

Guarantees
- Lower scheduling priority than training, one thread per library, no accelerator.
- What a round raises is answered in words; the next round is scored.
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
from tracker_logging.voices.generation import Spoken
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import VoiceScorer

NICE = 19
_LOOKS_AFTER_ITS_PARENT_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """The first message: what `VoiceScorer` is made of."""

    prompts: Sequence[VoicePrompt]
    processor: SpeechProcessor
    choice: ScorerChoice


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Every further message: what `VoiceScorer.score` is given."""

    step: int
    spoken: Sequence[Spoken]
    swapped: Sequence[Spoken] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """Any number of `event` (an `Event`) and `said` (log level, text), then `done`, or `failed` with the reason."""

    kind: Literal["event", "said", "done", "failed"]
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
            asked = pickle.loads(message)
            if scorer is None:
                scorer = VoiceScorer(asked.prompts, asked.processor, choose_instruments(asked.choice))
            else:
                events = list(scorer.score(step=asked.step, spoken=asked.spoken, swapped=asked.swapped))
        except Exception as error:
            last = Answer("failed", f"{type(error).__name__}: {error}")
        for event in events:
            send(Answer("event", event))
        send(last)


class _Forward(logging.Handler):
    """What is said here is said by the parent, which knows where its user reads."""

    def __init__(self, send: Any) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Answer("said", (record.levelno, record.getMessage())))


def _end_with(parent: int) -> None:
    """A parent that is killed closes no connection that a process forked from it holds open as well."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_AFTER_ITS_PARENT_EVERY_S)
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for training, which then ends this process
    with contextlib.suppress(OSError):
        os.nice(NICE)
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])))
