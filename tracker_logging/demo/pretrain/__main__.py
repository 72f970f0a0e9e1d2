"""Pretrain a small zero-shot voice-cloning model for the demo.

    python -m tracker_logging.demo.pretrain speech DIRECTORY --voices V [--share 0 --shares 2]
    python -m tracker_logging.demo.pretrain codec DIRECTORY
    torchrun --nproc_per_node 2 -m tracker_logging.demo.pretrain train DIRECTORY --minutes 30
    python -m tracker_logging.demo.pretrain real DIRECTORY --packages P
    python -m tracker_logging.demo.pretrain export DIRECTORY

Each step continues what an earlier call began. `train` keeps the model in DIRECTORY/training/last.pt.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import distributed

from tracker_logging.data.sample import DataError
from tracker_logging.demo.pretrain.export import export
from tracker_logging.demo.pretrain.kokoro_speech import Kokoro, phonemes_of
from tracker_logging.demo.pretrain.material import coded_clips, fitted_codec
from tracker_logging.demo.pretrain.real import make_real_speech
from tracker_logging.demo.pretrain.speech import make_speech, planned_sentences
from tracker_logging.demo.pretrain.train import Schedule, pretrain


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tracker_logging.demo.pretrain", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    steps = parser.add_subparsers(dest="step", required=True)
    speech = steps.add_parser("speech", help="synthesise clips with Kokoro-82M; stop it when they are enough")
    speech.add_argument("--voices", type=Path, required=True, help="voices/ of the npm package kokoro-js")
    speech.add_argument("--share", type=int, default=0, help="which share of the clips this process makes")
    speech.add_argument("--shares", type=int, default=1, help="number of processes")
    codec = steps.add_parser("codec", help="fit the codec on the trained speakers and encode the clips")
    train = steps.add_parser("train", help="train the model")
    train.add_argument("--minutes", type=float, required=True)
    train.add_argument("--weights", type=Path, help="weights to begin with; copy their codec to DIRECTORY/codec first")
    train.add_argument("--bf16", action="store_true", help="bfloat16 autocast: faster on CPUs with AMX only")
    train.add_argument("--transcriber", help="as --voice_transcriber, for the voices of the run")
    real = steps.add_parser("real", help="make the references of real speakers")
    real.add_argument("--packages", type=Path, required=True, help="where the Debian packages are unpacked")
    export_step = steps.add_parser("export", help="write the model and the demo's clips into the package")
    for step in (speech, codec, train, real, export_step):
        step.add_argument("directory", type=Path)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    directory: Path = args.directory
    if args.step == "speech":
        phonemes = phonemes_of(planned_sentences())
        make_speech(directory, Kokoro(args.voices), phonemes, share=args.share, shares=args.shares)
    elif args.step == "codec":
        coded_clips(directory, fitted_codec(directory))
    elif args.step == "real":
        make_real_speech(directory / "real", args.packages)
    elif args.step == "export":
        export(directory)
    else:
        schedule = Schedule(minutes=args.minutes, bf16=args.bf16, transcriber=args.transcriber, weights=args.weights)
        train(directory, schedule)


def train(directory: Path, schedule: Schedule) -> None:
    """Pretrain, on all processes of `torchrun` where it started this one."""
    codec = fitted_codec(directory)
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    pretrain(coded_clips(directory, codec), codec, directory, schedule)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        run(parse_arguments(argv))
    except DataError as error:
        print(f"pretrain: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
