"""Scores voices in another process: measuring holds the GIL for tens of milliseconds at a time, so that a thread would
slow training down.

Guarantees
- One process, started on rank 0 before the first step, ended by `close`, by the end of its parent or by an error.
- It sees no accelerator, uses one core at lower priority, and imports what the training process can import.
- If it dies, the clips of the current round are logged without scores, the error is raised, and the next round starts
  another process.
- If no process can be used (a codec that cannot be pickled, a scorer defined in the script itself), voices are scored
  on the caller's thread, with a warning.

    scorer = open_scorer(prompts, processor, ScorerChoice())
    for event in scorer.score(step=500, generated=results):
        tracker.emit(event)
    scorer.close()
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tracker_logging.events import Event
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import Scorer, VoiceScorer
from tracker_logging.voices.scoring_worker import Answer, Round, Work

logger = logging.getLogger("tracker_logging")

_COMMAND = "from tracker_logging.voices.scoring_worker import main; main()"
_START_TIMEOUT_S = 120.0
_POLL_S = 0.5


class ScoringError(RuntimeError):
    """The scoring process did not score a round, or could not be started."""


def open_scorer(prompts: Sequence[VoicePrompt], processor: SpeechProcessor, choice: ScorerChoice) -> Scorer:
    """Called on the training thread. Raises `ValueError` for a chosen scorer that is not available."""
    try:
        return ScoringProcess(prompts, processor, choice)
    except ScoringError as reason:
        scorer = VoiceScorer(prompts, processor, choose_instruments(choice))
        logger.warning(
            "Voices are scored on a thread of the training process, which slows training a little: %s", reason
        )
        return scorer


class ScoringProcess:
    """`VoiceScorer` in another process. `score` is called from one thread at a time, `close` from any.

    Raises `ScoringError` if the process cannot be started or cannot build the scorers.
    """

    def __init__(self, prompts: Sequence[VoicePrompt], processor: SpeechProcessor, choice: ScorerChoice) -> None:
        self._unscored = VoiceScorer(prompts, processor, Instruments())
        # Scoring needs no tokenizer, and loading a large one takes a second.
        self._work = Work(prompts=tuple(prompts), processor=replace(processor, tokenizer=None), choice=choice)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = False
        self._start()

    @property
    def process_id(self) -> int | None:
        """The id of the running process, or None."""
        return None if self._process is None else self._process.pid

    def score(self, *, step: int, generated: Sequence[Generated], swapped: Sequence[Generated] = ()) -> Iterator[Event]:
        """As `VoiceScorer.score`. Raises `ScoringError` after the events of a round that could not be scored."""
        try:
            if self._process is None:
                self._start()
            yield from self._ask(Round(step=step, generated=tuple(generated), swapped=tuple(swapped)))
        except ScoringError:
            if not self._closed:
                yield from self._unscored.score(step=step, generated=generated)
            raise

    def close(self) -> None:
        """End the process at once. The scores of the current round are lost."""
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
            self._ask(self._work, within_s=_START_TIMEOUT_S)
        except ScoringError:
            self._stop()
            raise

    def _ask(self, message: Work | Round, *, within_s: float = float("inf")) -> list[Event]:
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
                f"the scoring process died (exit code {process.returncode}): the clips of this round have no scores; "
                "another process is started for the next round."
            ) from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ScoringError(f"its inputs cannot be sent to another process ({error}).") from error

    def _stop(self) -> None:
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
