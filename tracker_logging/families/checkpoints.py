"""Checkpoints on this machine: those of a training's output directory, adapters on a base, merged models, the base.

    for checkpoint in find_checkpoints(["models/higgs", "outputs"]):
        model = open_checkpoint(checkpoint.path)        # on the CPU, in evaluation mode
    processor = open_processor(checkpoint.path, codec="models/codec", cache_directory=Path("codes"))

Opened are the families that `config.json` names: Higgs Audio v2 (also boson's layout), CSM, Dia, and causal language
models with codec tokens. The step of a checkpoint is the number at the end of its directory's name, 0 without one.
`PATH=STEP` gives another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import DataError, shown
from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.codec_tokens.processor import CodecTokenProcessor
from tracker_logging.families.csm.processor import CsmSpeechProcessor
from tracker_logging.families.detect import adapter_class
from tracker_logging.families.dia.processor import DiaSpeechProcessor
from tracker_logging.families.higgs_v2.checkpoint import NATIVE, ORIGINAL, open_model
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.families.load_codec import load_codec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.sampling import HIGGS_SAMPLING, sampling_of

_MODEL, _ADAPTERS = "config.json", "adapter_config.json"
CSM = "csm"
_HIGGS = (NATIVE, ORIGINAL)
_SPEECH = {CSM: "CsmForConditionalGeneration", "dia": "DiaForConditionalGeneration"}
"""The class of each other family with audio of its own; any other is a causal language model with codec tokens."""


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A directory with a model or adapters, and the step at which it was saved; 0: the base model."""

    step: int
    path: Path

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.path.resolve().name


def find_checkpoints(given: Sequence[str]) -> list[Checkpoint]:
    """The checkpoints that `given` names, by step. A directory with `checkpoint-N` in it stands for all of these.

    Raises `DataError` for a directory without a checkpoint, and for two checkpoints of one step.
    """
    checkpoints: list[Checkpoint] = []
    for text in given:
        path, equals, step = text.rpartition("=")
        if equals and step.isdigit():
            checkpoints.append(Checkpoint(int(step), _checked(Path(path))))
            continue
        directory = Path(text)
        inside = [each for each in sorted(directory.glob("checkpoint-*")) if _is_checkpoint(each)]
        checkpoints += [Checkpoint(_step(each), each) for each in inside or [_checked(directory)]]
    by_step: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        earlier = by_step.setdefault(checkpoint.step, checkpoint)
        if earlier.path.resolve() != checkpoint.path.resolve():
            raise DataError(
                f"{shown(earlier.path)} and {shown(checkpoint.path)} are both of step {checkpoint.step}. Give one of "
                f"them another step: {shown(checkpoint.path)}=STEP."
            )
    return [by_step[step] for step in sorted(by_step)]


def base_of_adapters(path: str | Path | None) -> str | None:
    """The base model that a directory of PEFT adapters names; None for a directory that is a model itself, or no path.

    Raises `DataError` for adapters that name none.
    """
    if path is None or not (description := Path(path) / _ADAPTERS).is_file():
        return None
    try:
        base = json.loads(description.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str):
        raise DataError(f"{shown(Path(path))}: {_ADAPTERS} names no base_model_name_or_path. Add it.")
    return base


def open_checkpoint(path: Path, *, base: str | None = None, **arguments: Any) -> Any:
    """A model in evaluation mode; adapters on `base`, by default on the model that they name.

    `arguments` go to `from_pretrained`. Raises `DataError` for what is no model of a known family.
    """
    named = base_of_adapters(path)
    if named is None:
        return _open(str(path), **arguments).eval()
    from peft import PeftModel

    return PeftModel.from_pretrained(_open(base or named, **arguments), str(path)).eval()


def open_processor(model: str | Path, *, codec: str | None, cache_directory: Path, tokenizer: str | None = None) -> Any:
    """The `Processor` of the family of `model`, a directory of a model, not of adapters.

    `codec`: where the codec is; CSM carries its own. `tokenizer`: where the tokenizer is, by default in `model`.
    Raises `DataError` for what is missing there.
    """
    kind, place = _model_type(str(model)), tokenizer or str(model)
    if codec is None and kind != CSM:
        raise DataError(
            f"{shown(Path(model))}: the codec is missing. Name its directory: --audio_tokenizer_path CODEC."
        )
    if kind in _HIGGS:
        return SpeechProcessor.from_pretrained(place, str(codec), cache_directory=cache_directory)
    if kind not in _SPEECH:
        return CodecTokenProcessor.from_pretrained(place, str(codec), cache_directory=cache_directory)
    from transformers import AutoConfig, AutoTokenizer

    opened = ModelCodec(_open(str(model)).codec_model) if codec is None else load_codec(codec)
    codes = CodeCache(cache_directory, opened)
    make = CsmSpeechProcessor if kind == CSM else DiaSpeechProcessor
    try:
        words = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise DataError(f"{place}: no tokenizer there ({error}). Name its directory: --tokenizer PATH.") from error
    return make(words, opened, codes, config=AutoConfig.from_pretrained(str(model)))


def published_sampling(model: str | Path) -> SamplingSettings:
    """How the adapter of `model` samples voices in training (`ModelAdapter.sampling`), without opening the model."""
    kind = _model_type(str(model))
    if kind in _HIGGS:
        return HIGGS_SAMPLING
    from transformers import GenerationConfig

    adapter = adapter_class(kind) or BaseAdapter
    try:
        config = GenerationConfig.from_pretrained(str(model))
    except (OSError, ValueError):
        config = None
    return sampling_of(config, adapter.published, lowest_temperature=adapter.lowest_temperature)


def _open(path: str, **arguments: Any) -> Any:
    kind = _model_type(path)
    if kind in _HIGGS:
        return open_model(path, **arguments)
    import transformers

    try:
        return getattr(transformers, _SPEECH.get(kind, "AutoModelForCausalLM")).from_pretrained(path, **arguments)
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(Path(path))}: its model of type {kind!r} cannot be opened ({error}).") from error


def _model_type(path: str) -> str:
    """As `config.json` names it; that of Higgs Audio v2 for a hub name and for what cannot be read."""
    try:
        return str(json.loads((Path(path) / _MODEL).read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return NATIVE


def _is_checkpoint(path: Path) -> bool:
    return (path / _MODEL).is_file() or (path / _ADAPTERS).is_file()


def _checked(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"{shown(path)}: no such directory. Name a checkpoint, or the output directory of a training.")
    if not _is_checkpoint(path):
        raise DataError(
            f"{shown(path)}: no {_MODEL}, {_ADAPTERS} or checkpoint-N there. Name the directory of a checkpoint."
        )
    return path


def _step(path: Path) -> int:
    number = re.search(r"(\d+)$", path.resolve().name) if path.name.startswith("checkpoint") else None
    return 0 if number is None else int(number[1])
