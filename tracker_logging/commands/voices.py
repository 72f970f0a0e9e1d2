"""Generate and score the same prompts with any number of saved checkpoints, and rank them.

CHECKPOINT is the output directory of a training (all its checkpoints), one checkpoint, adapters, a merged model or the
base model; PATH=STEP gives it a step (default: the number in its name, else 0). RUN is an ordinary run for every
dashboard and command; a RUN that was interrupted is continued. The training need not have used this library.
Higgs Audio v2, CSM, Dia and language models with codec tokens; one family at a time.

tracker-logging voices models/higgs outputs --data eval.json --audio_tokenizer_path CODEC -o outputs/runs/voices
torchrun --nproc_per_node 4 -m tracker_logging.cli voices outputs --data eval.json --audio_tokenizer_path CODEC -o RUN
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker_logging.commands.base import CommandError, open_run_or_fail, print_table
from tracker_logging.commands.compare import write_comparison
from tracker_logging.voices.arguments import add_voice_arguments, voice_samples, voice_settings

if TYPE_CHECKING:
    from tracker_logging.families.checkpoints import Checkpoint
    from tracker_logging.runs import Run

WAIT_S = 3600.0
COLUMNS = ("rank", "checkpoint", "step", "right speaker", "sim_margin", "sim_o", "word errors", "gap, nats")
NUMBERS = (
    ("voices/spk_top1", "voices/spk_top1"),
    ("voices/sim_margin/mean", "voices/sim_margin"),
    ("voices/sim_o/mean", "voices/sim_o"),
    ("voices/wer", "voices/wer"),
    ("conditioning/gap/mean", "conditioning/gap"),
)
"""The tag of each number of the table, and the prefix of the ends of its interval."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="directory of a checkpoint or of a training, or PATH=STEP")
    add("--data", type=Path, required=True, metavar="FILE", help="data file with the prompts, as in training")
    add("-o", "--output", type=Path, required=True, metavar="RUN", help="directory of the run")
    add("--audio_tokenizer_path", metavar="CODEC", help="directory or hub name of the audio codec; CSM has its own")
    add("--tokenizer", metavar="PATH", help="directory with the tokenizer; default: the first checkpoint that has one")
    add("--base", metavar="MODEL", help="base model of adapters; default: the one that they name")
    add("--code_cache", type=Path, metavar="PATH", help="keeps codes of clips; default: RUN/codes")
    add("--dtype", default="auto", help="of the weights; default: the checkpoint's own")
    add("--device", help="default: a GPU for each process, if there is one")
    add("--compare", action="store_true", help="also write RUN/compare.html: all checkpoints against the first one")
    add("--report_to", default="tensorboard", metavar="NAMES", help="backends, as in training")
    add("--wandb_project", metavar="NAME", help="W&B project")
    add_voice_arguments(parser)
    parser.set_defaults(voice_timeout_s=WAIT_S)


def run(args: argparse.Namespace) -> int:
    from tracker_logging.data.sample import DataError
    from tracker_logging.families.checkpoints import find_checkpoints
    from tracker_logging.integrations.checkpoint_voices import process_rank

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        checkpoints = find_checkpoints(args.checkpoints)
        if args.compare and len(checkpoints) < 2:
            raise CommandError("--compare needs two checkpoints. Name another one, such as the base model: PATH=0.")
        errors = _generate(args, checkpoints)
    except (DataError, ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    if process_rank()[0] == 0:
        _show(open_run_or_fail(args.output), checkpoints)
        if args.compare:
            _compare(args.output, checkpoints)
        if errors:
            raise CommandError(f"{errors} errors, see the messages above. Run it again to add what is missing.")
    return 0


def _generate(args: argparse.Namespace, checkpoints: Sequence[Checkpoint]) -> int:
    from tracker_logging.data.formats import open_samples
    from tracker_logging.families.checkpoints import (
        base_of_adapters,
        open_checkpoint,
        open_processor,
        published_sampling,
    )
    from tracker_logging.integrations.checkpoint_voices import CheckpointVoices

    device, first = _device(args.device), checkpoints[0].path
    model = args.base or base_of_adapters(first) or str(first)
    voices = CheckpointVoices(
        samples=voice_samples(args, open_samples(args.data)),
        processor=open_processor(
            model,
            codec=args.audio_tokenizer_path,
            tokenizer=args.tokenizer or _tokenizer_of(checkpoints, model),
            cache_directory=args.code_cache or args.output / "codes",
        ),
        settings=voice_settings(args),
        sampling=published_sampling(model),
        load=lambda checkpoint: open_checkpoint(checkpoint.path, base=args.base, dtype=args.dtype).to(device),
    )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    shown = {name: value for name, value in settings.items() if isinstance(value, str | int | float | bool)}
    return voices.run(
        checkpoints, directory=args.output, report_to=args.report_to, project=args.wandb_project, run_config=shown
    )


def _tokenizer_of(checkpoints: Sequence[Checkpoint], model: str) -> str:
    """Where the tokenizer is: checkpoints of a Trainer without `processing_class` have none."""
    places = [*(str(checkpoint.path) for checkpoint in checkpoints), model]
    place_of_tokenizer = next((place for place in places if (Path(place) / "tokenizer_config.json").is_file()), None)
    if place_of_tokenizer is None and Path(model).is_dir():
        raise CommandError("no checkpoint holds a tokenizer. Name the directory of the base model: --tokenizer PATH.")
    return place_of_tokenizer or model


def _device(given: str | None) -> str:
    import os

    import torch

    if given is not None:
        return given
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def _show(run: Run, checkpoints: Sequence[Checkpoint]) -> None:
    """All checkpoints, the best voice first, and where the run is."""
    from tracker_logging.voices.evaluation import ranked

    names = {checkpoint.step: checkpoint.name for checkpoint in checkpoints}
    values = {step: _values_at(run, step) for step in names}
    rows = [
        (str(rank), names[step], str(step), *(_cell(values[step], *number) for number in NUMBERS))
        for rank, step in enumerate(ranked(values), start=1)
    ]
    print_table(COLUMNS, rows)
    print(f"\nSee and hear them: tracker-logging open {run.path}")


def _compare(run: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Print which checkpoints differ from the first one, and write the page."""
    from tracker_logging.dashboards.compare import compare_checkpoints

    report = compare_checkpoints(run, {checkpoint.step: checkpoint.path for checkpoint in checkpoints})
    lines = write_comparison(report, run / "compare.html")
    print("\n" + "\n\n".join([*report.answers, *lines]))


def _values_at(run: Run, step: int) -> dict[str, float]:
    return {tag: value for tag, series in run.scalars.items() for at, value in series if at == step}


def _cell(values: Mapping[str, float], tag: str, prefix: str) -> str:
    if tag not in values:
        return "-"
    low, high = values.get(f"{prefix}/low"), values.get(f"{prefix}/high")
    return f"{values[tag]:.3g}" + ("" if low is None or high is None else f" [{low:.2g}, {high:.2g}]")
