"""What step 0 and voices at evaluations cost a training: whole runs of the demo, one after the other in turn.

    python benchmarks/voice_rounds.py --steps 12 --evaluations 2 --rounds 2

Prints, relative to the same training with all loggers but the voices, the CPU time of the training process (scoring is
in another one) and the wall time, in which it waits for the scores of evaluations. Voices are always generated at the
end; what step 0 and a round at an evaluation add to that is also printed in steps without voices.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainingArguments

from tracker_logging import strategic_callbacks
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.settings import VoiceSettings

CASES: dict[str, dict[str, Any]] = {
    "without voices": {"loggers": "inputs,outputs,attention"},
    "at the end": {"voice_at_start": False},
    "also step 0": {"voice_at_start": True},
    "also evaluations": {"voice_at_start": False, "voice_at_eval": True},
}


def run(demo: DemoPaths, output: Path, *, steps: int, evaluations: int, **options: Any) -> tuple[float, float]:
    """CPU seconds of this process and wall seconds of one training, from its first step to its end."""
    processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
    samples = read_samples(demo.eval)
    model = demo_model(seed=0)
    normalise_loss_by_audio_labels(model)
    arguments = TrainingArguments(
        output_dir=str(output), max_steps=steps, per_device_train_batch_size=8, eval_strategy="steps",
        eval_steps=steps // evaluations, save_strategy="no", logging_steps=steps, report_to="none", use_cpu=True,
        disable_tqdm=True, remove_unused_columns=False, label_names=["audio_labels"], prediction_loss_only=True,
    )  # fmt: skip
    trainer = Trainer(
        model=model, args=arguments, data_collator=processor.collator(),
        train_dataset=VoiceCloningDataset(samples, processor), eval_dataset=VoiceCloningDataset(samples[:4], processor),
        callbacks=strategic_callbacks(
            processor=processor, voice_samples=samples, voice_settings=VoiceSettings(), report_to="jsonl",
            every=steps + 1, voice_steps=10 * steps, budget_pct=1e9, **options,
        ),
    )  # fmt: skip
    cpu, wall = time.process_time(), time.perf_counter()
    trainer.train()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--evaluations", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    demo = build_demo()
    with tempfile.TemporaryDirectory() as directory:
        for number in range(args.rounds):
            for case, options in CASES.items():
                output = Path(directory) / f"{case}-{number}"
                found[case].append(run(demo, output, steps=args.steps, evaluations=args.evaluations, **options))
    for at, kind in enumerate(("CPU", "wall")):
        seconds = {case: statistics.median(each[at] for each in runs) for case, runs in found.items()}
        plain, end = seconds["without voices"], seconds["at the end"]
        print(f"{kind}: " + ", ".join(f"{case} {value / plain:.2f}" for case, value in seconds.items()))
        a_step = plain / args.steps
        step_0, rounds = ((seconds[f"also {case}"] - end) / a_step for case in ("step 0", "evaluations"))
        # The round of the last evaluation is that of the end.
        print(f"  in steps of {a_step:.2f} s: step 0 {step_0:.1f}, a round {rounds / max(1, args.evaluations - 1):.1f}")


if __name__ == "__main__":
    main()
