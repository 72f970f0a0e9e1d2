"""A training in which the loss prefers the last checkpoint and the voice an earlier one; also run on two ranks.

python voice_choice.py DEMO_DIRECTORY OUTPUT CASE...

The clips are half a second of noise codes and their scores are given, step by step: what is tested is the choice.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from short_demo import small_model
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from tracker_logging import strategic_callbacks
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.events import Event, Scalars
from tracker_logging.families import GeneratedCodes
from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.observers import zero_shot
from tracker_logging.voices.settings import VoiceSettings

MARGINS = {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.3, 4: 0.2}
SOON_S = 60.0


class GivenScores:
    """A scorer with known answers; at steps in `late` it waits for the checkpoint, at `failing` it raises."""

    def __init__(self, *, late: tuple[int, ...] = (), failing: tuple[int, ...] = ()) -> None:
        self.late, self.failing = late, failing
        self.saved = threading.Event()

    def score(self, *, step: int, clips: Any) -> Iterator[Event]:
        if step in self.late:
            assert self.saved.wait(SOON_S)
        if step in self.failing:
            raise OSError("broken on purpose")
        yield Scalars(step=step, values={"voices/sim_margin/mean": MARGINS[step], "voices/valid_clips": 2.0})

    def hurry(self) -> None: ...

    def close(self) -> None: ...


class Saved(TrainerCallback):
    """Lets late scores go on when the checkpoint that they are too late for was saved."""

    def __init__(self, scorer: GivenScores) -> None:
        self.scorer = scorer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.scorer.late:
            self.scorer.saved.set()


def half_a_second(self: HiggsV2Adapter, prompts: list[Any], settings: Any) -> list[GeneratedCodes]:
    return [GeneratedCodes(codes=np.full((4, 12), 3), stop_reason="eos") for _ in prompts]


def model() -> Any:
    made = small_model()
    made.accepts_loss_kwargs = False
    return made


class CopyingTrainer(Trainer):
    """Logs a copy of its metrics, as some subclasses do."""

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        super().log(dict(logs), *args, **kwargs)


def trained(demo: DemoPaths, output: Path, **options: Any) -> Trainer:
    """The Trainer after its training."""
    trainer = trainer_for(demo, output, **options)
    trainer.train()
    return trainer


def trainer_for(
    demo: DemoPaths, output: Path, *, scorer: GivenScores, metric: str | None = "eval_voice_sim_margin",
    order: Callable[[list[Any], Any], list[Any]] = lambda ours, stop: [*ours, stop], kind: type[Trainer] = Trainer,
    patience: int | None = 9, timeout_s: float = 60.0, options: dict[str, Any] | None = None, **arguments: Any,
) -> Trainer:  # fmt: skip
    """Four steps with an evaluation and a checkpoint after each. Without `patience` nothing stops the training."""
    zero_shot.open_scorer = lambda choice: scorer
    HiggsV2Adapter.generate = half_a_second
    processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
    samples = read_samples(demo.eval)
    settings = {
        "output_dir": str(output), "max_steps": 4, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
        "remove_unused_columns": False, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "seed": 1,
        "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1, "logging_steps": 1,
        "load_best_model_at_end": True, "metric_for_best_model": metric, "label_names": ["audio_labels"],
        "prediction_loss_only": True,
    }  # fmt: skip
    ours = strategic_callbacks(
        processor=processor, loggers="outputs,zero_shot", report_to="jsonl", every=100, voice_samples=samples,
        voice_settings=VoiceSettings(max_clips=2, conditioning_clips=2, timeout_s=timeout_s), **(options or {}),
    )  # fmt: skip
    torch.manual_seed(5)
    return kind(
        model_init=model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=VoiceCloningDataset(samples[:8], processor),
        eval_dataset=VoiceCloningDataset(samples[:4], processor),
        data_collator=processor.collator(),
        callbacks=[*(ours if patience is None else order(ours, EarlyStoppingCallback(patience))), Saved(scorer)],
    )


CASES: dict[str, dict[str, Any]] = {
    "stopping after ours": {},
    "stopping before ours": {"order": lambda ours, stop: [stop, *ours]},
    "scores of the best step are late": {"scorer": {"late": (2,)}, "timeout_s": 15.0},
    "late, stopping before ours": {
        "scorer": {"late": (2,)}, "timeout_s": 15.0, "order": lambda ours, stop: [stop, *ours],
    },
    "a round fails": {"scorer": {"failing": (1,)}},
    "the best voice": {"metric": "eval_voice"},
    "by the loss": {"metric": "eval_loss", "greater_is_better": False, "options": {"voice_at_eval": True}},
    "stops early": {"patience": 1, "order": lambda ours, stop: [stop, *ours]},
    "a copy is logged": {"kind": CopyingTrainer},
}  # fmt: skip


def outcome(demo: DemoPaths, output: Path, case: str) -> dict[str, Any]:
    """Which checkpoint was chosen, whether its weights are loaded, and what each evaluation saw."""
    options = dict(CASES[case])
    trainer = trained(demo, output, scorer=GivenScores(**options.pop("scorer", {})), **options)
    state = trainer.state
    from safetensors.torch import load_file

    best = load_file(output / f"checkpoint-{state.best_global_step}" / "model.safetensors")
    weights = trainer.model.state_dict()
    evaluations = [entry for entry in state.log_history if "eval_loss" in entry]
    return {
        "best": state.best_global_step,
        "loaded": all(torch.equal(weights[name], value) for name, value in best.items()),
        "steps": state.global_step,
        "losses": [entry["eval_loss"] for entry in evaluations],
        "margins": [str(entry.get("eval_voice_sim_margin")) for entry in evaluations],
        "gaps": [entry.get("eval_conditioning_gap") for entry in evaluations],
    }


def main() -> None:
    torch.set_num_threads(1)
    demo, output = DemoPaths(Path(sys.argv[1])), Path(sys.argv[2])
    from accelerate import PartialState

    rank = PartialState(cpu=True).process_index
    found = {case: outcome(demo, output / case.replace(" ", "-"), case) for case in sys.argv[3:]}
    (output / f"rank-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
