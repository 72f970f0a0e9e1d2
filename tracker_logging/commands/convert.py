"""Write training data in another format.

    tracker-logging convert train.json train.jsonl --to chatml
    tracker-logging convert my_folder pairs.tsv --to manifest
    tracker-logging convert shards/ train.jsonl --to native
    tracker-logging convert table.csv train.jsonl --to chatml --columns audio=wav,text=sentence,speaker=who

IN is a file or directory in any format that training reads (see docs/data.md). OUT is written as ChatML (`chatml`), as
a conversation for the processor of transformers (`native`), or as one row per pair (`manifest`). Its ending selects
`.json`, `.jsonl`, `.csv` or `.tsv`. Audio that is not a file (bytes, base64, tar members) is written to a folder beside
OUT.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tracker_logging.commands.base import CommandError

TARGETS = ("chatml", "native", "manifest")
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a data file or directory")
    parser.add_argument("output", type=Path, metavar="OUT", help="the new file; must not exist")
    parser.add_argument("--to", choices=TARGETS, required=True)
    parser.add_argument("--allow_download", action="store_true", help="download audio given by http(s) URL")
    parser.add_argument(
        "--columns", metavar="audio=…,text=…", help="names of a table's columns by role, see docs/data.md"
    )
    parser.add_argument("--skip_bad_samples", action="store_true", help="leave out bad samples, and list them")


def run(args: argparse.Namespace) -> int:
    from tracker_logging.data.convert import convert
    from tracker_logging.data.formats.columns import parse_columns
    from tracker_logging.data.sample import DataError

    try:
        done = convert(
            args.input,
            args.output,
            to=args.to,
            skip_bad=args.skip_bad_samples,
            allow_download=args.allow_download,
            columns=parse_columns(args.columns) if args.columns else None,
        )
    except DataError as error:
        raise CommandError(str(error)) from error
    for bad in done.skipped[:_SHOWN]:
        print(f"skipped: {bad}", file=sys.stderr)
    if len(done.skipped) > _SHOWN:
        print(f"skipped: … and {len(done.skipped) - _SHOWN} more", file=sys.stderr)
    if done.left_out:
        names = ", ".join(done.left_out)
        print(
            f"left out, because a text table has no column for it: {names}. A .jsonl file keeps it.",
            file=sys.stderr,
        )
    print(f"Wrote {done.written} samples of {args.input} to {args.output}; skipped {len(done.skipped)}.")
    return 0
