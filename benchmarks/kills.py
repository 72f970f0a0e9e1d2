"""`kill -9` at random moments of a real training, resumed each time from its last whole checkpoint: what is left of it?

    python benchmarks/kills.py --kills 20 --seed 1 [--report_to tensorboard,jsonl,wandb]

Prints the moments, the steps that are missing or there twice in each backend, and whether the weights and the
optimizer's state at the end equal those of a training that nobody disturbed or watched. Exit status 1 if anything is
amiss. A training is a fork of this process, which has imported everything, so that a start takes no seconds. A kill
comes up to `MOST_STEPS` steps after a start, plus a random part of a step, so also while a checkpoint is written.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true")

import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments
from workload import SIZES, build_batch, build_model

from tracker_logging import strategic_callbacks
from tracker_logging.runs import json_lines, tensorboard, wandb
from tracker_logging.runs.entries import Logged
from tracker_logging.trackers.wandb_record import run_directories

SAVE_STEPS, MOST_STEPS, STEPS_A_KILL = 3, 6, 3
TAGS = ("outputs/nll/mean", "train/loss", "gradients/norm/attention_q")
SIZES["tiny"] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "intermediate_size": 64,
}  # fmt: skip


class ReportSteps(TrainerCallback):
    """Tells the parent of each step."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        os.write(self._pipe, b".")


def train(output: Path, *, steps: int, backends: list[str], reporter: TrainerCallback) -> None:
    """From the last whole checkpoint to the end; without backends, without us."""
    model = build_model("tiny", device="cpu", dtype=torch.float32, attention="sdpa")
    rows = build_batch(96, samples=8, device="cpu")
    data = [{name: value[at] for name, value in rows.items()} for at in range(8)]
    ours = strategic_callbacks(
        report_to=backends,
        every=1,
        loggers=("outputs", "attention"),
        budget_pct=1e6,
        logging_dir=output,
        run_name="run",
    )
    arguments = TrainingArguments(
        output_dir=str(output), max_steps=steps, per_device_train_batch_size=2, report_to="none", use_cpu=True,
        save_steps=SAVE_STEPS, logging_steps=1, disable_tqdm=True, learning_rate=1e-3, dataloader_pin_memory=False,
    )  # fmt: skip
    callbacks = [reporter, *(ours if backends else [])]
    trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=last_checkpoint(output))


def last_checkpoint(output: Path) -> str | None:
    """The newest that was written to its end: the Trainer writes its state last."""
    whole = [path.parent for path in output.glob("checkpoint-*/trainer_state.json") if is_json(path)]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def start(output: Path, *, steps: int, backends: list[str]) -> tuple[int, int]:
    """Process id of a training, and the pipe that carries a byte per step."""
    progress, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            train(output, steps=steps, backends=backends, reporter=ReportSteps(write_end))
            atexit._run_exitfuncs()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write_end)
    return process, progress


def killed(output: Path, *, steps: int, backends: list[str], dice: random.Random) -> int | None:
    """Steps after the start at which it was killed; None if it had ended by then."""
    process, progress = start(output, steps=steps, backends=backends)
    wanted, began, done = dice.randint(1, MOST_STEPS), time.monotonic(), 0
    while done < wanted and os.read(progress, 1):
        began, before, done = time.monotonic(), began, done + 1
        step_s = began - before
    time.sleep(dice.random() * min(step_s, 1.0))
    os.kill(process, signal.SIGKILL)
    os.close(progress)
    _, status = os.waitpid(process, 0)
    if last_checkpoint(output) is None:
        shutil.rmtree(output)  # nothing to go on from: a new run
    return done if os.WIFSIGNALED(status) else None


def finish(output: Path, *, steps: int, backends: list[str]) -> None:
    """Train to the end. Raises `RuntimeError` if that fails."""
    process, progress = start(output, steps=steps, backends=backends)
    while os.read(progress, 1):
        pass
    os.close(progress)
    if os.waitpid(process, 0)[1] != 0:
        raise RuntimeError("The training failed.")


def scalars(run: Path, backend: str) -> Iterator[tuple[str, int]]:
    """(tag, step) of every scalar that the backend holds, as often as it is there."""
    match backend:
        case "tensorboard":
            entries = tensorboard.entries(run)
        case "jsonl":
            entries = json_lines.entries(run / "record/events.jsonl")
        case _:
            entries = wandb.entries(run_directories(run))
    yield from (
        (entry.tag, entry.step) for entry in entries if isinstance(entry, Logged) and isinstance(entry.value, float)
    )


def amiss(run: Path, *, steps: int, backends: list[str]) -> list[str]:
    """Holes and doubles, one line per backend and tag."""
    faults = []
    for backend in backends:
        counted = Counter(scalars(run, backend))
        for tag in TAGS:
            times = {step: counted[tag, step] for step in range(1, steps + 1)}
            holes = [step for step, count in times.items() if count == 0]
            doubles = [step for step, count in times.items() if count > 1]
            if holes or doubles:
                faults.append(f"{backend} {tag}: missing {holes}, twice {doubles}")
    return faults


def equal(first: Path, second: Path) -> bool:
    """Are weights and optimizer state of two checkpoints the same to the bit?"""
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    states = [torch.load(folder / "optimizer.pt")["state"] for folder in (first, second)]
    same = [torch.equal(weights[0][name], weights[1][name]) for name in weights[0]]
    same += [torch.equal(states[0][at][name], states[1][at][name]) for at in states[0] for name in states[0][at]]
    return all(same)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report_to", default="tensorboard,jsonl")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dice, backends, began = random.Random(args.seed), args.report_to.split(","), time.monotonic()
    steps = -(-(STEPS_A_KILL * args.kills + MOST_STEPS) // SAVE_STEPS) * SAVE_STEPS
    folder = Path(tempfile.mkdtemp())  # a TemporaryDirectory would be removed by the first fork that exits
    try:
        undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
        finish(undisturbed, steps=steps, backends=[])
        moments = [killed(disturbed, steps=steps, backends=backends, dice=dice) for _ in range(args.kills)]
        finish(disturbed, steps=steps, backends=backends)
        faults = amiss(disturbed / "run", steps=steps, backends=backends)
        if not equal(undisturbed / f"checkpoint-{steps}", disturbed / f"checkpoint-{steps}"):
            faults.append("the weights or the optimizer's state differ from those of the undisturbed training")
    finally:
        shutil.rmtree(folder)
    print(f"{steps} steps, killed after these steps from each start: {moments}; {time.monotonic() - began:.0f} s")
    print("\n".join(faults) or f"nothing missing, nothing twice in {args.report_to}; weights and optimizer are equal")
    return 1 if faults or None in moments else 0


if __name__ == "__main__":
    raise SystemExit(main())
