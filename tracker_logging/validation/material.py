"""What is trained on: a model that can be loaded again and again, its processor, and a few samples.

    material = demo_material(Path("scratch"))
    material = own_material("MODEL", "CODEC", Path("train.json"), scratch=Path("scratch"))

Every complaint is a `DataError` that says what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.families.higgs_v2.checkpoint import check_model_directory
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.prompt import choose_samples

SEED = 42
TRAINED = 4
"""Samples in the training set: two steps of two."""
SPOKEN = 2
"""Prompts for the voices, of two speakers where the data has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """`load_model` gives the same model each time. `where` says what it is, for a person."""

    load_model: Callable[[], Any]
    processor: SpeechProcessor
    train: Sequence[VoiceSample]
    voices: Sequence[VoiceSample]
    where: str


def demo_material(scratch: Path) -> Material:
    """The demo with few sentences, built below `scratch`: about 10 CPU-seconds."""
    from tracker_logging.demo.composed.build import build_demo
    from tracker_logging.demo.composed.recipe import DemoRecipe

    recipe = DemoRecipe(
        max_steps=1, per_device_train_batch_size=TRAINED, sentences_per_speaker=2, eval_pairs_per_speaker=1
    )
    paths = build_demo(scratch / "demo", recipe=recipe)
    return own_material(
        str(paths.model), str(paths.codec), paths.train, eval_file=paths.eval, codes=paths.codes, where="the demo"
    )


def own_material(
    model_path: str,
    audio_tokenizer_path: str,
    train_file: Path,
    *,
    codes: Path,
    eval_file: Path | None = None,
    where: str = "your model and data",
) -> Material:
    """A checkpoint, its codec and a data file; the codes of the clips are kept in `codes`."""
    check_model_directory(model_path)
    samples = read_samples(train_file)
    train = [sample for sample in samples if sample.target_audio is not None][:TRAINED]
    if not train:
        raise DataError(f"{shown(train_file)}: no sample has target audio, so there is nothing to train on. Add it.")
    return Material(
        load_model=lambda: _load(model_path),
        processor=SpeechProcessor.from_pretrained(model_path, audio_tokenizer_path, cache_directory=codes),
        train=train,
        voices=choose_samples(samples if eval_file is None else read_samples(eval_file), count=SPOKEN),
        where=where,
    )


def _load(model_path: str) -> Any:
    from transformers import HiggsAudioV2ForConditionalGeneration, set_seed

    set_seed(SEED)  # weights that a checkpoint lacks are drawn
    try:
        model = HiggsAudioV2ForConditionalGeneration.from_pretrained(model_path, dtype="float32")
    except (OSError, ValueError) as error:
        raise DataError(f"{model_path}: no model can be loaded from there ({error}). Check --model_path.") from error
    normalise_loss_by_audio_labels(model)
    return model
