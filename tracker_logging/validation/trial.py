"""One short training, and what it left behind: fingerprints of all that training touches, and the tags in its files.

plain = run_trial(material, directory=Path("scratch/plain"), loggers=None)
watched = run_trial(material, directory=Path("scratch/all"), loggers=("inputs", "outputs"))
plain.fingerprints == watched.fingerprints      # the training was the same to the bit
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracker_logging import tags
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.families.higgs_v2.processor import VoiceCloningCollator
from tracker_logging.trackers.tensorboard_names import logged_name
from tracker_logging.validation.material import SEED, Material
from tracker_logging.voices.evaluation import known_metrics
from tracker_logging.voices.scorers.choose import OFF, ScorerChoice

STEPS = 2
_LIGHT_SCORERS = ScorerChoice(pitch=OFF, cepstrum=OFF, speech=OFF, quality=())  # no tag that is owed needs more
_NEVER_THINNED = 1e9  # per cent: two short steps say nothing of what logging costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`fingerprints`: SHA-256 of weights, optimizer, losses and each random generator, by name. `written`: every name
    in the event files (clips as `tag/clip`). `errors`: exceptions of ours, counted by the run itself."""

    fingerprints: Mapping[str, str]
    written: frozenset[str]
    errors: int
    seconds: float


def run_trial(material: Material, *, directory: Path, loggers: Sequence[str] | None) -> Trial:
    """Train `STEPS` steps with an evaluation at the end. `loggers` None: without anything of ours."""
    start = time.perf_counter()
    trainer = _trainer(material, directory=directory, loggers=loggers)
    trainer.train()
    fingerprints = {name: _digest(value) for name, value in _touched(trainer)}
    values = list(_written_values(directory / "runs"))
    errors = [value.simple_value for value in values if logged_name(value.tag) == tags.ERRORS()]
    return Trial(
        fingerprints=fingerprints,
        written=frozenset(logged_name(value.tag) for value in values),
        errors=int(max(errors, default=0.0)),
        seconds=time.perf_counter() - start,
    )


def _trainer(material: Material, *, directory: Path, loggers: Sequence[str] | None) -> Any:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    processor = material.processor
    arguments = TrainingArguments(
        output_dir=str(directory),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        learning_rate=1e-4,
        seed=SEED,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=STEPS,
        save_strategy="no",
        use_cpu=not torch.accelerator.is_available(),
        remove_unused_columns=False,
        label_names=["audio_labels"],
        prediction_loss_only=True,
        disable_tqdm=True,
        report_to="none",
    )
    trainer = Trainer(
        model=material.load_model(),
        args=arguments,
        train_dataset=VoiceCloningDataset(material.train, processor),
        eval_dataset=VoiceCloningDataset(material.train[:2], processor),
        data_collator=VoiceCloningCollator.of(processor),
        callbacks=None if loggers is None else _callbacks(material, loggers, runs=directory / "runs"),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _callbacks(material: Material, loggers: Sequence[str], *, runs: Path) -> list[Any]:
    from tracker_logging.integrations.hf_trainer import strategic_callbacks
    from tracker_logging.voices.settings import VoiceSettings

    return strategic_callbacks(
        processor=material.processor,
        report_to=["tensorboard"],
        every=1,
        voice_steps=STEPS,
        loggers=loggers,
        voice_samples=material.voices,
        voice_settings=VoiceSettings(max_clips=len(material.voices) or 1, scorers=_LIGHT_SCORERS),
        budget_pct=_NEVER_THINNED,
        logging_dir=runs,
    )


def _touched(trainer: Any) -> Iterator[tuple[str, Any]]:
    """Everything that training has changed, in plain values."""
    yield "weights", trainer.model.state_dict()
    yield "optimizer", trainer.optimizer.state_dict()
    yield "schedule", trainer.lr_scheduler.state_dict()
    of_no_training = {f"eval_{name}" for name in known_metrics()}  # what we add to the metrics of an evaluation
    yield (
        "losses",
        [
            {
                name: value
                for name, value in entry.items()
                if name not in of_no_training and not name.endswith(("runtime", "per_second"))
            }
            for entry in trainer.state.log_history
        ],
    )
    yield "python RNG", random.getstate()
    yield "numpy RNG", np.random.get_state()
    yield "torch RNG", torch.get_rng_state()
    if torch.cuda.is_available():
        yield "CUDA RNG", torch.cuda.get_rng_state_all()


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    for piece in _bytes_of(value):
        digest.update(piece)
    return digest.hexdigest()


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield repr((value.dtype, tuple(value.shape))).encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield value.tobytes()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _bytes_of(item)
    elif isinstance(value, list | tuple):
        yield repr(len(value)).encode()
        for item in value:
            yield from _bytes_of(item)
    else:
        yield repr(value).encode()


def _written_values(runs: Path) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event

    from tracker_logging.trackers.event_file import records

    for path in sorted(runs.rglob("events.out.tfevents.*")):
        for record in records(path):
            yield from Event.FromString(record).summary.value
