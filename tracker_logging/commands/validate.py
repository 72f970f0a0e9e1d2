"""Check that logging does not change training and writes every promised tag.

Trains two steps without logging, twice, then with each callback alone and with all of them, and reads the files back.
Without arguments it trains the demo. Exit status: 0 passed, 1 failed, 2 the check could not run.

tracker-logging validate
tracker-logging validate --model_path MODEL --audio_tokenizer_path CODEC --train_data_file train.json
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError

if TYPE_CHECKING:
    from tracker_logging.validation.material import Material
    from tracker_logging.validation.validate import Verdict

OWN = ("model_path", "audio_tokenizer_path", "train_data_file")
ROW = "{:<16}{:<16}{:<12}{:<9}{:>6}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_path", metavar="MODEL", help="directory or hub name of a Higgs Audio v2 checkpoint")
    parser.add_argument("--audio_tokenizer_path", metavar="CODEC", help="directory or hub name of its audio codec")
    parser.add_argument("--train_data_file", type=Path, metavar="FILE", help="training data; four samples are used")


def run(args: argparse.Namespace) -> int:
    from transformers.utils.logging import disable_progress_bar

    from tracker_logging.data.sample import DataError
    from tracker_logging.validation.validate import validate

    disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            material = _material(args, Path(scratch))
            print(f"Training two steps each, on {material.where}.\n", flush=True)
            print(ROW.format("logging", "same training", "tags", "errors", "s"), flush=True)
            verdicts = []
            for verdict in validate(material, scratch=Path(scratch)):
                print(_row(verdict), flush=True)
                verdicts.append(verdict)
        except DataError as error:
            raise CommandError(str(error)) from error
    print("\n" + _summary(verdicts))
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _material(args: argparse.Namespace, scratch: Path) -> Material:
    from tracker_logging.validation.material import demo_material, own_material

    given = [name for name in OWN if getattr(args, name) is not None]
    if not given:
        return demo_material(scratch)
    if missing := [f"--{name}" for name in OWN if name not in given]:
        raise CommandError(f"{', '.join(missing)} missing. Name model, codec and data, or none to use the demo.")
    return own_material(args.model_path, args.audio_tokenizer_path, args.train_data_file, codes=scratch / "codes")


def _row(verdict: Verdict) -> str:
    tags = f"{verdict.owed - len(verdict.missing)} of {verdict.owed}" if verdict.owed else ""
    same = "NO" if verdict.differing else "yes"
    return ROW.format(verdict.name, same, tags, verdict.errors if verdict.owed else "", f"{verdict.seconds:.1f}")


def _summary(verdicts: Sequence[Verdict]) -> str:
    twice = verdicts[0]
    if twice.differing:
        return (
            f"INCONCLUSIVE: training is not deterministic here even without logging ({', '.join(twice.differing)} "
            "differ), so an effect of logging cannot be measured. Try one GPU or the CPU (CUDA_VISIBLE_DEVICES=)."
        )
    failures = []
    for verdict in verdicts:
        if verdict.differing:
            failures.append(f"{verdict.name}: {', '.join(verdict.differing)} differ from training without logging")
        if verdict.missing:
            failures.append(f"{verdict.name}: missing {', '.join(verdict.missing)}")
        if verdict.errors:
            failures.append(f"{verdict.name}: {verdict.errors} errors in logging; see the messages above")
    if failures:
        return "\n".join(["FAILED", *failures])
    return "PASSED: training is bit-identical, and every promised tag was written."
