"""How often the doctor and `check-data` name the right cause: faults and healthy variations of a small training.

    python benchmarks/doctor.py            # prints the table
    python benchmarks/doctor.py --write    # and writes it into docs/doctor.md

Each fault is a small edit of a healthy training (a small Higgs Audio v2 in a real Trainer, with all loggers) or of a
healthy data file (sentences of the demo's voices). A fault is *named* if one of its expected findings is reported, and
*noticed* if any finding above info is. All samples, texts and clips are drawn with another seed than in tests.

Half of the faults that are in no test are *held back*: they have seeds of their own, and nobody may change a rule
because of one of them. To tune rules, run `--half tune`.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer

ROOT = Path(__file__).parents[1]
# This file has the name of the tests' folder, so its own folder must not be searched.
sys.path = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "doctor"), *sys.path[1:]]

from data_examples import write_items  # noqa: E402
from doctor.small_run import SAMPLES, Batch, diagnose, mean_loss_model, sound_model, spoiled  # noqa: E402
from doctor.test_false_findings import target_copied  # noqa: E402
from doctor.test_faulty_batches import BATCHES  # noqa: E402
from doctor.test_faulty_trainings import (  # noqa: E402
    NeverBackward,
    Unshifted,
    adapted,
    one_code,
    one_placeholder_less,
    one_placeholder_moved,
    only,
    with_adapters,
)
from probes.small_model import EOS, K, sample, small_model  # noqa: E402
from speech_examples import Wave, speech_items  # noqa: E402

from benchmarks.doctor_data import DATA_FAULTS, HEALTHY_DATA, Edit  # noqa: E402
from tracker_logging.doctor.data_checks.report import check_files  # noqa: E402
from tracker_logging.families import IGNORE  # noqa: E402
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder  # noqa: E402

PAGE = ROOT / "docs" / "doctor.md"
_BLOCK = re.compile(r"<!-- benchmark -->.*<!-- end benchmark -->", re.DOTALL)

SEED = 11  # of speech and samples; tests use 0
HELD_BACK_SEED = 31
DATA_SAMPLES = 24

Options = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """`expected`: the findings that name the cause. `options` of `diagnose`, or an edit of a data file. `tested`: a
    test has the same fault."""

    name: str
    expected: frozenset[str]
    options: Callable[[], Options] | None = None
    data: Edit | None = None
    tested: bool = False

    @property
    def is_held_back(self) -> bool:
        """By its name, so that the halves stay what they are when faults are added."""
        return not self.tested and zlib.crc32(self.name.encode()) % 2 == 1

    @property
    def seed(self) -> int:
        return HELD_BACK_SEED if self.is_held_back else SEED


@dataclass(frozen=True)
class Result:
    """`found`: findings above info. `named_at`: the first step of an expected finding; None for data."""

    fault: Fault
    found: frozenset[str]
    reported: frozenset[str]
    named_at: int | None

    @property
    def is_named(self) -> bool:
        return bool(self.fault.expected & self.reported)


def batch_fault(name: str, expected: str, spoil: Callable[[Batch], None], **options: Any) -> Fault:
    tested = spoil in BATCHES or spoil in (one_placeholder_less, one_placeholder_moved)
    return training_fault(name, expected, lambda: {"collate": spoiled(spoil), **options}, tested=tested)


def training_fault(name: str, expected: str, options: Callable[[], Options], *, tested: bool = False) -> Fault:
    return Fault(name, frozenset(expected.split()), options=options, tested=tested)


def _labels(change: Callable[[torch.Tensor, Batch], torch.Tensor]) -> Callable[[Batch], None]:
    def spoil(made: Batch) -> None:
        made["audio_labels"] = change(made["audio_labels"], made)

    return spoil


def _codes(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Batch], None]:
    """Changes codes and the labels that are the same code."""

    def spoil(made: Batch) -> None:
        codes = change(made["audio_input_ids"])
        made["audio_labels"] = torch.where(made["audio_labels"] == IGNORE, IGNORE, codes)
        made["audio_input_ids"] = codes

    return spoil


def _first_half_masked(labels: torch.Tensor, made: Batch) -> torch.Tensor:
    masked = labels.clone()
    for row in masked:
        positions = (row != IGNORE).any(dim=-1).nonzero().squeeze(-1)
        row[positions[: len(positions) * 3 // 4]] = IGNORE
    return masked


def _set(name: str, value: Callable[[Batch], torch.Tensor]) -> Callable[[Batch], None]:
    def spoil(made: Batch) -> None:
        made[name] = value(made)

    return spoil


SPOILERS = {spoil.__name__: spoil for spoil in BATCHES}
UNLABELLED = [own | {"audio_labels": torch.full_like(own["audio_labels"], IGNORE)} for own in SAMPLES]
HALF = [UNLABELLED[at] if at % 2 else own for at, own in enumerate(SAMPLES)]
LONG = {"max_steps": 30, "lr_scheduler_type": "constant"}


class _Loss(Trainer):
    """A loss of its own: `change` of the model's."""

    @staticmethod
    def change(loss: torch.Tensor) -> torch.Tensor:
        return loss

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        outputs.loss = self.change(outputs.loss)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def loss_times(factor: float) -> type[Trainer]:
    return type("ScaledLoss", (_Loss,), {"change": staticmethod(lambda loss: factor * loss)})


class OtherOptimizer(Trainer):
    """The optimizer was made before the model was replaced."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer = torch.optim.AdamW(sound_model().parameters(), lr=1e-3)
        return self.optimizer


class RateEnds(Trainer):
    """A schedule of a tenth of the steps: resumed with fewer epochs, say."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        chosen = optimizer or self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            chosen, lambda step: float(step < num_training_steps / 10)
        )
        return self.lr_scheduler


def broken_weight(name: str, value: float) -> nn.Module:
    model = sound_model()
    with torch.no_grad():
        model.get_parameter(name)[0, 0] = value
    return model


def in_bf16() -> nn.Module:
    return sound_model().to(torch.bfloat16)


TRAINING_FAULTS = (
    batch_fault("labels one position late", "labels_shifted", SPOILERS["labels_shifted"]),
    batch_fault("labels one position early", "labels_shifted", _labels(lambda labels, made: labels.roll(-1, dims=1))),
    batch_fault("labels of another sample", "labels_shifted", _labels(lambda labels, made: labels.roll(1, dims=0))),
    batch_fault("labels are a copy of the codes", "reference_trained begin_codes_trained", SPOILERS["labels_copied"]),
    batch_fault("reference is trained", "reference_trained", SPOILERS["prompt_trained"]),
    batch_fault("end codes masked", "end_codes_masked", SPOILERS["ends_masked"]),
    batch_fault("codes not delayed", "delay_pattern_off", SPOILERS["not_delayed"]),
    batch_fault("codebooks in reverse order", "delay_pattern_off", _codes(lambda codes: codes.flip(-1))),
    batch_fault("one codebook without labels", "codebook_without_labels", SPOILERS["codebook_masked"]),
    batch_fault("labels of first codebook only", "codebook_without_labels",
                _labels(lambda labels, made: labels.where(torch.arange(labels.shape[-1]) == 0, IGNORE))),
    batch_fault("most of each target masked", "targets_partly_labelled", _labels(_first_half_masked)),
    training_fault("no labels at all", "samples_without_labels", lambda: {"samples": UNLABELLED}),
    training_fault("half of the samples without labels", "samples_without_labels", lambda: {"samples": HALF}),
    batch_fault("no token between two clips", "clips_cross", SPOILERS["clips_joined"]),
    batch_fault("samples cut at 30 tokens", "samples_cut", SPOILERS["cut_at_maximum_length"]),
    batch_fault("end codes removed from the data", "samples_cut end_codes_masked",
                _codes(lambda codes: codes.masked_fill(codes == EOS, 0))),
    batch_fault("one placeholder too few", "placeholders_do_not_match", one_placeholder_less),
    batch_fault("a placeholder in another sample", "placeholders_do_not_match", one_placeholder_moved),
    training_fault("references dropped", "reference_missing trained_without_reference",
                   lambda: {"samples": [sample(0, 4 + at % 5, seed=at) for at in range(24)]}),
    training_fault("text of the prompt is trained", "prompt_text_trained",
                   lambda: {"collate": spoiled(lambda made: None, text_labels=True),
                            "model": mean_loss_model(text_head=True)}),
    training_fault("audio loss divided by text labels", "loss_wrongly_scaled",
                   lambda: {"collate": spoiled(lambda made: None, text_labels=True), "model": small_model()}),
    training_fault("loss times 100", "loss_wrongly_scaled loss_out_of_scale", lambda: {"trainer": loss_times(100.0)}),
    training_fault("loss of the wrong sign", "does_not_learn loss_wrongly_scaled loss_out_of_scale",
                   lambda: {"trainer": loss_times(-1.0), **LONG}),
    training_fault("loss times 0", "no_gradient", lambda: {"trainer": loss_times(0.0)}),
    training_fault("backward is never called", "no_gradient", lambda: {"trainer": NeverBackward}, tested=True),
    training_fault("own loss without shift", "copies_its_input",
                   lambda: {"trainer": Unshifted, "max_steps": 40, "learning_rate": 1e-2}, tested=True),
    training_fault("optimizer of another model", "no_update", lambda: {"trainer": OtherOptimizer}),
    training_fault("learning rate 0", "learning_rate_zero",
                   lambda: {"learning_rate": 0.0, "lr_scheduler_type": "constant"}, tested=True),
    training_fault("learning rate 10,000 times too low", "update_too_small does_not_learn",
                   lambda: {"learning_rate": 1e-7, "max_steps": 6, "lr_scheduler_type": "constant"}),
    training_fault("warm-up longer than any training", "update_too_small does_not_learn learning_rate_zero",
                   lambda: {"warmup_steps": 10_000_000, "max_steps": 6}),
    training_fault("learning rate 300 times too high", "update_too_large", lambda: {"learning_rate": 0.3}, tested=True),
    training_fault("learning rate 1,000 times too low", "update_too_small does_not_learn",
                   lambda: {"learning_rate": 1e-6, "max_steps": 60, "every": 2, "lr_scheduler_type": "constant"},
                   tested=True),
    training_fault("weight decay 100", "weights_shrink", lambda: {"weight_decay": 100.0}),
    training_fault("weight decay 2", "weights_shrink", lambda: {"weight_decay": 2.0, **LONG}),
    training_fault("gradients clipped to 1e-12", "gradient_clipped_away",
                   lambda: {"max_grad_norm": 1e-12, "max_steps": 6, "lr_scheduler_type": "constant"}),
    training_fault("gradients clipped to 1e-4", "gradient_clipped_away", lambda: {"max_grad_norm": 1e-4}),
    training_fault("bf16 weights, low learning rate", "updates_rounded_to_zero update_too_small no_update",
                   lambda: {"model": in_bf16(), "learning_rate": 1e-6, "max_steps": 6,
                            "lr_scheduler_type": "constant"}),
    training_fault("only norms trained", "frozen_by_mistake", lambda: {"model": only("norm")}, tested=True),
    training_fault("audio path frozen", "audio_path_frozen", lambda: {"model": only(".mlp.", "self_attn")},
                   tested=True),
    training_fault("head frozen", "audio_path_frozen", lambda: {"model": only("mlp", "self_attn")}),
    training_fault("only embeddings trained", "audio_path_frozen", lambda: {"model": only("embed")}),
    training_fault("adapters on the text FFN only", "audio_path_frozen",
                   lambda: {"model": adapted(r"\.mlp\.(up|down|gate)_proj")}, tested=True),
    training_fault("adapters on the attention only", "audio_path_frozen",
                   lambda: {"model": adapted("q_proj", "v_proj")}),
    training_fault("NaN in a weight", "non_finite_values",
                   lambda: {"model": broken_weight("model.layers.0.self_attn.o_proj.weight", float("nan"))},
                   tested=True),
    training_fault("infinity in a weight", "non_finite_values",
                   lambda: {"model": broken_weight("model.layers.1.mlp.up_proj.weight", float("inf"))}),
    training_fault("one codebook constant", "dead_codebook",
                   lambda: {"samples": [one_code(20, seed=at, codebook=2) for at in range(4)], "max_steps": 60,
                            "every": 3, "learning_rate": 1e-2}, tested=True),
    training_fault("targets are their own references", "reference_is_target",
                   lambda: {"samples": [sample(6, 6, seed=at) for at in range(24)],
                            "collate": spoiled(target_copied)}, tested=True),
    batch_fault("text replaced by one token", "texts_of_batch_equal",
                _set("input_ids", lambda made: made["input_ids"].where(
                    (made["input_ids"] >= 60) | (made["input_ids"] < 8), 9))),
    batch_fault("labels two positions late", "labels_shifted", _labels(lambda labels, made: labels.roll(2, dims=1))),
    batch_fault("last codebook without labels", "codebook_without_labels",
                _labels(lambda labels, made: labels.where(torch.arange(labels.shape[-1]) < K - 1, IGNORE))),
    training_fault("loss divided by 100", "loss_wrongly_scaled loss_out_of_scale",
                   lambda: {"trainer": loss_times(0.01)}),
    training_fault("adapters on the keys only, long", "audio_path_frozen does_not_learn",
                   lambda: {"model": adapted("k_proj"), **LONG}),
    training_fault("adapters at a rate 1,000 times too low", "does_not_learn update_too_small",
                   lambda: {"model": with_adapters(), "learning_rate": 1e-7, **LONG}),
    training_fault("learning rate 0 after a tenth of the steps", "learning_rate_zero",
                   lambda: {"max_steps": 12, "lr_scheduler_type": "constant", "trainer": RateEnds}),
    training_fault("infinity in a head", "non_finite_values",
                   lambda: {"model": broken_weight("audio_lm_head.weight", float("inf"))}),
    training_fault("gradients clipped to 1e-6, adapters", "gradient_clipped_away",
                   lambda: {"model": with_adapters(), "max_grad_norm": 1e-6, "max_steps": 6}),
    training_fault("the same sample in every row", "samples_repeated",
                   lambda: {"samples": [SAMPLES[0]] * 24}),
)  # fmt: skip


def varied(seed: int) -> list[Batch]:
    return [sample(3 + (at + seed) % 5, 4 + (at * 3 + seed) % 7, seed=100 * seed + at) for at in range(24)]


HEALTHY: dict[str, Callable[[], Options]] = {
    **{f"seed {seed}": (lambda seed=seed: {"samples": varied(seed), "seed": seed}) for seed in range(1, 6)},
    "bf16 autocast": lambda: {"bf16": True},
    "accumulation": lambda: {"gradient_accumulation_steps": 2},
    "accumulation and bf16": lambda: {"gradient_accumulation_steps": 2, "bf16": True},
    "checkpointing": lambda: {"gradient_checkpointing": True},
    "no clipping of gradients": lambda: {"max_grad_norm": 0.0},
    "LoRA": lambda: {"model": with_adapters()},
    "only the audio parts": lambda: {"model": only("audio")},
    "batches of 1": lambda: {"per_device_train_batch_size": 1},
    "batches of 8": lambda: {"per_device_train_batch_size": 8},
    "learning rate 1e-5": lambda: {"learning_rate": 1e-5},
    "learning rate 3e-3": lambda: {"learning_rate": 3e-3},
    "warm-up": lambda: {"warmup_steps": 2},
    "cosine schedule": lambda: {"lr_scheduler_type": "cosine"},
    "weight decay 0.1": lambda: {"weight_decay": 0.1},
    "single-turn samples": lambda: {"samples": [sample(0, 4 + at % 5, seed=at) for at in range(24)]},
}


def run_training(
    options: Options, folder: Path, *, seed: int = SEED
) -> tuple[frozenset[str], frozenset[str], dict[str, int]]:
    found = diagnose(folder, **({"max_steps": 4, "samples": varied(seed)} | options))
    since = {name: finding.since or 0 for name, finding in found.findings.items()}
    return frozenset(found.bad), frozenset(found.findings), since


def run_fault(fault: Fault) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if fault.options is not None:
            found, reported, since = run_training(fault.options(), folder, seed=fault.seed)
            named = [since[own] for own in fault.expected & reported]
            return Result(fault, found, reported, min(named, default=None))
        assert fault.data is not None
        above_info, reported = run_data(fault.data, folder, seed=fault.seed)
        return Result(fault, above_info, reported, None)


@cache
def encoder() -> GE2ESpeakerEncoder:
    return GE2ESpeakerEncoder()


_EMBEDDED: dict[tuple[int, bytes], Wave] = {}


def embed(wave: Wave, rate: int) -> Wave:
    """Each different clip once: most faults change one."""
    key = (rate, wave.tobytes())
    if key not in _EMBEDDED:
        _EMBEDDED[key] = encoder().embed(wave, rate)
    return _EMBEDDED[key]


def run_data(edit: Edit, folder: Path, *, seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the findings above info, and of all, in an edited file of healthy speech."""
    items = speech_items(folder, DATA_SAMPLES, seed=seed)
    edit(items, folder)
    findings = check_files(write_items(folder / "train.json", items), decode=True, embed=embed).findings
    return frozenset(own.name for own in findings if own.level != "info"), frozenset(own.name for own in findings)


def table(results: Sequence[Result], alarms: dict[str, frozenset[str]]) -> str:
    """The Markdown of all results."""
    kinds = {
        "trainings": [result for result in results if result.fault.options is not None],
        "data files": [result for result in results if result.fault.data is not None],
        "to tune with": [result for result in results if not result.fault.is_held_back],
        "held back": [result for result in results if result.fault.is_held_back],
        "all": results,
    }
    lines = ["| | faults | right cause | any warning |", "|---|---|---|---|"]
    for kind, own in ((kind, own) for kind, own in kinds.items() if own):
        named, noticed = sum(result.is_named for result in own), sum(bool(result.found) for result in own)
        lines.append(f"| {kind} | {len(own)} | {named} ({_pct(named, own)}) | {noticed} ({_pct(noticed, own)}) |")
    steps = [result.named_at for result in results if result.named_at is not None]
    false = {name: found for name, found in alarms.items() if found}
    lines += [
        "",
        f"False alarms in {len(alarms)} healthy variations: {len(false)}"
        + "".join(f"; {name}: {', '.join(sorted(found))}" for name, found in false.items())
        + ".",
        f"Steps to the finding, over the trainings: median {int(np.median(steps))}, largest {max(steps)}."
        if steps
        else "",
        "",
        "| fault | half | expected | found | |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        verdict = "named" if result.is_named else "noticed" if result.found else "missed"
        expected, found = (", ".join(sorted(own)) or "none" for own in (result.fault.expected, result.found))
        half = "held back" if result.fault.is_held_back else "tune"
        lines.append(f"| {result.fault.name} | {half} | {expected} | {found} | {verdict} |")
    return "\n".join(lines)


def _pct(count: int, results: Iterable[Result]) -> str:
    return f"{100 * count / len(list(results)):.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into docs/doctor.md")
    parser.add_argument("--only", default="", help="faults and variations whose name has this part; not with --write")
    parser.add_argument("--half", choices=["tune", "held-back"], help="only this half of the faults; not with --write")
    parser.add_argument("--json", type=Path, help="write the findings of every fault and variation to a file")
    args = parser.parse_args()
    logging.disable(logging.ERROR)
    results = []
    data_faults = [
        Fault(own.name, frozenset(own.expected.split()), data=own.edit, tested=own.tested) for own in DATA_FAULTS
    ]
    for fault in (*TRAINING_FAULTS, *data_faults):
        if args.only not in fault.name or args.half == ("tune" if fault.is_held_back else "held-back"):
            continue
        results.append(run_fault(fault))
        print(f"{fault.name}: {'named' if results[-1].is_named else sorted(results[-1].found)}", file=sys.stderr)
    alarms = {}
    for name, options in HEALTHY.items():
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            alarms[name] = run_training(options(), Path(folder))[0]
        print(f"healthy, {name}: {sorted(alarms[name])}", file=sys.stderr)
    for number, (name, edit) in enumerate(HEALTHY_DATA.items()):
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            alarms[name] = run_data(edit, Path(folder), seed=SEED + 1 + number)[0]
        print(f"healthy, {name}: {sorted(alarms[name])}", file=sys.stderr)
    text = table(results, alarms)
    print(text)
    if args.json:
        rows = {result.fault.name: sorted(result.found) for result in results}
        args.json.write_text(json.dumps(rows | {name: sorted(own) for name, own in alarms.items()}, indent=1))
    if args.write:
        page = PAGE.read_text(encoding="utf-8")
        block = f"<!-- benchmark -->\n\n{text}\n\n<!-- end benchmark -->"
        PAGE.write_text(_BLOCK.sub(lambda _: block, page), encoding="utf-8")


if __name__ == "__main__":
    main()
