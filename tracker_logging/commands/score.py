"""Add the voice scores that are missing from a run, because scoring was late or its process died.

Reads the clips in RUN/voices, scores them with the scorers of the run, and completes the voices folder, the TensorBoard
files and the JSON-lines record; a W&B run is left as it is. Run it after the training. cond_gain stays missing: its
clips are not kept. A clip that cannot be read is left out.
Exit status: 0 all clips have scores, 1 some were left out, 2 the command failed.

tracker-logging score outputs/runs/a
tracker-logging score outputs/runs/a --voice_transcriber whisper=models/whisper-large-v3
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError

if TYPE_CHECKING:
    from tracker_logging.trackers.base import Tracker
    from tracker_logging.voices.measurement import Instruments
    from tracker_logging.voices.scorers.choose import ScorerChoice

FLUSH_TIMEOUT_S = 60.0
_ONE_OF = ("encoder", "pitch", "transcriber")
_SEVERAL_OF = ("quality", "similarity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the directory of a run, which has a folder `voices`")
    for name in _ONE_OF:
        parser.add_argument(f"--voice_{name}", metavar="CHOICE", help="in place of the run's own, as in training")
    for name in _SEVERAL_OF:
        parser.add_argument(f"--voice_{name}", metavar="CHOICES", help="comma-separated, in place of the run's own")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.trackers.ended_run import tracker_of
    from tracker_logging.voices.scorers.choose import ScorerChoice
    from tracker_logging.voices.scoring import VoiceScorer
    from tracker_logging.voices.unscored import unscored_rounds

    if not (args.run / "voices").is_dir():
        raise CommandError(f"{args.run}: no folder `voices` there. Give the directory of a run that generated voices.")
    given = {name: getattr(args, f"voice_{name}") for name in (*_ONE_OF, *_SEVERAL_OF)}
    given = {name: text for name, text in given.items() if text is not None}
    tracker: Tracker | None = None
    scorer: VoiceScorer | None = None
    steps = clips = 0
    left_out: list[Path] = []
    try:
        for unscored in unscored_rounds(args.run, left_out):
            if tracker is None or scorer is None:
                choice = ScorerChoice.from_text(unscored.choice.to_text() | given)
                scorer = VoiceScorer(_instruments(choice))
                tracker = tracker_of(args.run)
            for event in unscored.score(scorer):
                tracker.emit(event)
            steps, clips = steps + 1, clips + len(unscored.missing)
            print(f"step {unscored.step}: {len(unscored.missing)} clips scored", flush=True)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    finally:
        if tracker is not None:
            tracker.flush(timeout_s=FLUSH_TIMEOUT_S)
            tracker.close()
    if errors := getattr(tracker, "errors", 0):
        raise CommandError(f"{errors} errors while writing the scores; the messages above name them.")
    is_whole = not clips and not left_out
    print("All clips of this run have scores." if is_whole else f"{clips} clips of {steps} steps are scored now.")
    if clips and (args.run / "wandb").is_dir():
        print(
            "The W&B run is left as it is: its scores are in the voices folder, and in the other backends of the run."
        )
    if left_out:
        print(f"{len(left_out)} clip{' is' if len(left_out) == 1 else 's are'} left out: see the warnings above.")
    return int(bool(left_out))


def _instruments(choice: ScorerChoice) -> Instruments:
    """The scorers of the run. A path among them may be wrong here: the run does not keep absolute paths."""
    from tracker_logging.voices.scorers.choose import choose_instruments

    try:
        return choose_instruments(choice)
    except ValueError as error:
        raise CommandError(f"{error} Give it here with --voice_encoder, --voice_transcriber and the like.") from error
