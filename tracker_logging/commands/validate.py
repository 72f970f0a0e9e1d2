"""Prove on this machine that logging changes nothing in training and that every promised tag arrives.

Trains two steps without us, twice, then with each callback alone and with all together, and reads the files back. Exit
status: 0 all is well, 1 something is not, 2 nothing could be tried. Without arguments the demo is trained.

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
            print(f"Two steps each, on {material.where}.\n", flush=True)
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
    if absent := [f"--{name}" for name in OWN if name not in given]:
        raise CommandError(f"{', '.join(absent)} missing. Give model, codec and data, or none of them for the demo.")
    return own_material(args.model_path, args.audio_tokenizer_path, args.train_data_file, codes=scratch / "codes")


def _row(verdict: Verdict) -> str:
    tags = f"{verdict.owed - len(verdict.missing)} of {verdict.owed}" if verdict.owed else ""
    same = "NO" if verdict.differing else "yes"
    return ROW.format(verdict.name, same, tags, verdict.errors if verdict.owed else "", f"{verdict.seconds:.1f}")


def _summary(verdicts: Sequence[Verdict]) -> str:
    twice = verdicts[0]
    if twice.differing:
        return (
            f"NOT SHOWN: training does not repeat itself here even without us ({', '.join(twice.differing)} differ), "
            "so no difference can be told from noise. Try one GPU or the CPU (CUDA_VISIBLE_DEVICES=)."
        )
    said = []
    for verdict in verdicts:
        if verdict.differing:
            said.append(f"{verdict.name}: {', '.join(verdict.differing)} differ from training without us")
        if verdict.missing:
            said.append(f"{verdict.name}: no {', '.join(verdict.missing)}")
        if verdict.errors:
            said.append(f"{verdict.name}: {verdict.errors} errors of ours; the messages above say which")
    if said:
        return "\n".join(["FAILED", *said])
    return "PASSED: the same training to the bit, and every promised tag is there."
