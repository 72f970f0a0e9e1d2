"""Check a data file for problems before training on it.

Reads every sample as training does. Of audio files only the headers are read; --decode reads the samples
as well, and --listen compares the voices of references and targets.
Exit status: 0 no finding above info, 1 findings, 2 the file cannot be used.

    tracker-logging check-data train.json --eval eval.json --model_path MODEL
    tracker-logging check-data train.json --decode --listen --html report.html
    tracker-logging check-data train.json --json
    tracker-logging check-data train.json --losses outputs/logs
    tracker-logging check-data meta.lst --prompts
    tracker-logging check-data metadata.csv --columns audio=wav,text=sentence,speaker=who --pair_references
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError, open_run_or_fail, progress_bar

if TYPE_CHECKING:
    from tracker_logging.doctor.data_checks.checks import DataFinding
    from tracker_logging.doctor.data_checks.listened import Embed
    from tracker_logging.doctor.data_checks.losses import Losses
    from tracker_logging.doctor.data_checks.pace import Positions
    from tracker_logging.doctor.data_checks.report import Report

SEED = 42  # the default of training
EVERY = 100  # samples between two updates of the progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="training data, in any format that training accepts")
    parser.add_argument("--eval", type=Path, metavar="FILE", help="evaluation data; also checks the two for overlap")
    parser.add_argument("--model_path", type=Path, help="directory of a model; also checks sequence lengths")
    parser.add_argument("--columns", metavar="audio=…,text=…", help="columns of a table by role, see docs/data.md")
    parser.add_argument(
        "--pair_references", action="store_true", help="pair samples with references as training does with this option"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the training; it decides the pairs (%(default)s)")
    parser.add_argument(
        "--prompts", action="store_true", help="FILE is a list of voice prompts (--voice_prompts of training)"
    )
    parser.add_argument("--losses", type=Path, metavar="RUN", help="list the samples that were hard in a training")
    parser.add_argument("--decode", action="store_true", help="also check for silence, clipping and damaged audio")
    parser.add_argument("--allow_download", action="store_true", help="download audio given as an http(s) URL")
    parser.add_argument(
        "--listen", action="store_true", help="also compare the voices, speed, level and noise of up to 500 samples"
    )
    parser.add_argument("--html", type=Path, metavar="OUT.html", help="write the report as a page with players")
    parser.add_argument(
        "--findings", type=Path, metavar="OUT.jsonl", help="write each finding as a line of JSON when it is found"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON (see schema check-data)")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.data.audio_sources import AudioShelf
    from tracker_logging.data.formats.columns import parse_columns
    from tracker_logging.data.references import Pairing
    from tracker_logging.data.sample import DataError
    from tracker_logging.doctor.data_checks.reading import ReadingOptions
    from tracker_logging.doctor.data_checks.report import check_files
    from tracker_logging.doctor.data_checks.report_text import as_json, as_text

    if args.prompts and (args.eval or args.losses):
        raise CommandError("--prompts checks one list of prompts: leave --eval and --losses out.")
    positions = _positions(args.model_path) if args.model_path else None
    try:
        columns = parse_columns(args.columns) if args.columns else None
    except DataError as error:
        raise CommandError(str(error)) from error
    with _findings_file(args.findings) as sink:
        report = check_files(
            args.file,
            evaluation=args.eval,
            positions=positions,
            losses=_losses(args.losses) if args.losses else None,
            decode=args.decode,
            embed=_encoder() if args.listen else None,
            options=ReadingOptions(
                shelf=AudioShelf(allow_download=args.allow_download),
                columns=columns,
                pairing=Pairing(seed=args.seed) if args.pair_references else None,
                prompts=_prompts_of_a_round() if args.prompts else None,
            ),
            progress=progress_bar("samples", every=EVERY),
            sink=sink,
        )
    if args.html:
        _write_page(report, args.html)
    print(json.dumps(as_json(report), indent=1, allow_nan=False) if args.json else as_text(report))
    return report.exit_code


def _prompts_of_a_round() -> int:
    from tracker_logging.voices.settings import VoiceSettings  # loads torch

    return VoiceSettings().max_clips


def _positions(model_path: Path) -> Positions:
    from tracker_logging.doctor.data_checks.pace import read_positions

    try:
        positions = read_positions(model_path)
    except (OSError, ValueError) as error:
        raise CommandError(f"--model_path {model_path}: its config.json cannot be read ({error}).") from error
    if positions is None:
        raise CommandError(f"--model_path {model_path}: config.json names no max_position_embeddings, or it is of a "
                           "model whose codec is not known. Leave --model_path out.")  # fmt: skip
    return positions


def _losses(path: Path) -> Losses:
    """The hard samples of the run, by their texts."""
    from tracker_logging import tags
    from tracker_logging.doctor.data_checks.losses import losses_by_text

    tables = open_run_or_fail(path).tables.get(tags.HARD_SAMPLES())
    if not tables:
        fix = "Train with OutputLoggerCallback and a processor that has a tokenizer."
        raise CommandError(f"--losses {path}: the run has no {tags.HARD_SAMPLES()}. {fix}")
    last = tables[max(tables)]
    return losses_by_text(last.columns, last.rows)


@contextmanager
def _findings_file(path: Path | None) -> Iterator[Callable[[DataFinding], None] | None]:
    """A function that writes a finding to `path` as a line of JSON; None without a path."""
    from tracker_logging.doctor.data_checks.report_text import finding_json

    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", buffering=1)  # whole lines, for those who read along
    except OSError as error:
        raise CommandError(f"--findings {path}: cannot be written ({error.strerror}).") from error
    with file:
        yield lambda finding: print(json.dumps(finding_json(finding)), file=file)


def _write_page(report: Report, path: Path) -> None:
    from tracker_logging.doctor.data_checks.page import write_page

    try:
        write_page(report, path)
    except OSError as error:
        raise CommandError(f"--html {path}: cannot be written ({error.strerror}).") from error
    print(f"{path}: the report as a page.", file=sys.stderr)


def _encoder() -> Embed:
    from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder

    return GE2ESpeakerEncoder().embed
