"""Which adapter fits a model, whatever it is wrapped in.

Guarantees
- Adapters that installed packages register for the model (`plugins.py`) come first, then the families in this folder,
  then the text adapter for a class with the shape of a causal language model.
- No layout is guessed silently: the text adapter and a package's adapter are named in the log. Any other class is
  refused, and the error tells what can be done.

    adapter = adapter_for(model)          # model may be DDP, FSDP, compiled, a PeftModel or a trainer's wrapper
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import ModelAdapter, missing_members
from tracker_logging.families.codec_tokens.presets import layout_of
from tracker_logging.families.plugins import FAMILIES, call_plugin, origin, plugins
from tracker_logging.families.processors import ProcessorParts
from tracker_logging.families.text.adapter import TextAdapter
from tracker_logging.families.unsupported import refusal_of

logger = logging.getLogger("tracker_logging")

HOW_TO = "docs/adapters.md tells how to write an adapter in 100 lines"
_WRAPPERS = ("_orig_mod", "module", "pretrained_model")
# model_type -> (folder, class); imported when needed, because versions of transformers differ in the models they have
_ADAPTERS = {
    "csm": ("csm", "CsmAdapter"),
    "dia": ("dia", "DiaAdapter"),
    "gradium_phonon_tts": ("pocket_tts", "PocketTTSAdapter"),
    "higgs_audio": ("boson", "BosonAdapter"),
    "higgs_audio_v2": ("higgs_v2", "HiggsV2Adapter"),
    "pocket_tts": ("pocket_tts", "PocketTTSAdapter"),
    "vibevoice": ("vibevoice", "VibeVoiceAdapter"),
}
_OUTSIDE_TRANSFORMERS = {"higgs_audio"}  # families whose classes need not be a `PreTrainedModel`


class UnknownModelError(ValueError):
    """No adapter knows this model's family."""


def unwrap(model: Any) -> Any:
    """The model itself, out of `torch.compile`, DDP / FSDP1 / DeepSpeed wrappers, PEFT and trainers' own wrappers.

    FSDP2 and accelerate change a model in place, which needs no unwrapping. A `PreTrainedModel` is not opened. Another
    module is opened if it holds a module under a name that wrappers use (`module`, trl's `pretrained_model`), or, under
    any name, exactly one `PreTrainedModel` of a family in this folder.
    """
    from transformers import PreTrainedModel  # seconds, which a process that only scores or reads need not spend

    visited: set[int] = set()
    while id(model) not in visited:
        visited.add(id(model))
        if isinstance(model, PreTrainedModel):
            break
        if callable(getattr(model, "get_base_model", None)):
            model = model.get_base_model()
            continue
        named = (getattr(model, name, None) for name in _WRAPPERS)
        inner = next((module for module in named if isinstance(module, nn.Module)), None)
        model = inner if inner is not None else _only_model_within(model)
    return model


def outermost(wrapper: nn.Module, accepts: Callable[[nn.Module], bool]) -> dict[str, nn.Module]:
    """By name, the modules inside `wrapper` that are accepted and lie in no other accepted one."""
    accepted: dict[str, nn.Module] = {}
    for name, module in wrapper.named_modules():
        if name and not any(name.startswith(f"{outer}.") for outer in accepted) and accepts(module):
            accepted[name] = module
    return accepted


def _only_model_within(wrapper: Any) -> Any:
    """The one model of a known family that a module holds, as trainers' own wrappers do; else the module itself."""
    from transformers import PreTrainedModel

    def accepts(module: nn.Module) -> bool:
        family = _family(module)
        return family in _ADAPTERS and (isinstance(module, PreTrainedModel) or family in _OUTSIDE_TRANSFORMERS)

    models = list(outermost(wrapper, accepts).values()) if isinstance(wrapper, nn.Module) else []
    return models[0] if len(models) == 1 else wrapper


def adapter_for(
    model: nn.Module, *, given: ModelAdapter | None = None, parts: ProcessorParts | None = None
) -> ModelAdapter:
    """The adapter of the model's family, or the one that is `given`.

    `parts` of the user's processor: a language model whose tokenizer has the codec tokens of a known layout, or whose
    processor has a layout, is one of `codec_tokens`.

    Raises `UnknownModelError`, which names the class and what can be done, and `ValueError` for a given adapter that
    lacks a member.
    """
    if given is not None:
        if missing := missing_members(given):
            raise ValueError(f"adapter: {type(given).__name__} has no {', '.join(missing)}; {HOW_TO}.")
        return given
    core = unwrap(model)
    family = _family(core)
    if (registered := _registered_adapter(core)) is not None:
        return registered
    if family in _ADAPTERS:
        known: ModelAdapter = _load(*_ADAPTERS[family])(core)
        return known
    name = f"{type(core).__name__} (model_type {family!r})"
    if (refusal := refusal_of(*_class_names(core))) is not None:
        raise UnknownModelError(
            f"{name} is not shown: {refusal.why}. What you can do: {refusal.instead}. "
            "With `loggers=()` only the loop's own numbers are logged, for any model."
        )
    if TextAdapter.fits(core):
        layout = None if parts is None else getattr(parts.voices, "layout", None) or layout_of(parts.tokenizer)
        if layout is not None and parts is not None:
            logger.info("%s is logged as a model of codec tokens in layout '%s'.", name, layout.name)
            of_tokens: ModelAdapter = _load("codec_tokens", "CodecTokenAdapter")(core, layout.ids(parts.tokenizer))
            return of_tokens
        logger.warning(
            "%s has no adapter of its own and is logged as a text model: inputs, text predictions, attention and "
            "gradients. Codebooks, audio and voices are not logged. If its vocabulary holds audio codes, pass a "
            "processor that knows them (docs/adapters.md, codec tokens); if it generates audio otherwise, %s.",
            name, HOW_TO,
        )  # fmt: skip
        return TextAdapter(core)
    raise UnknownModelError(
        f"{name} is not a model family that tracker_logging knows ({', '.join(sorted(_ADAPTERS))}, or a text model "
        f"…ForCausalLM without codebooks), and how it lays out text and audio is not guessed. "
        f"{HOW_TO[0].upper()}{HOW_TO[1:]}; pass it as `adapter=…` or register it as entry point "
        f"of `{FAMILIES}`. With `loggers=()` only the loop's own numbers are logged, for any model."
    )


def is_known(model: nn.Module) -> bool:
    """Whether `adapter_for` has an adapter for the model. It warns of nothing."""
    core = unwrap(model)
    if _family(core) in _ADAPTERS or _registered_adapter(core) is not None:
        return True
    return TextAdapter.fits(core) and refusal_of(*_class_names(core)) is None


def adapter_class(model_type: str) -> type[BaseAdapter] | None:
    """The adapter of a family in this folder that its `model_type` tells; None for another."""
    return _load(*_ADAPTERS[model_type]) if model_type in _ADAPTERS else None


def _load(folder: str, name: str) -> type[Any]:
    loaded: type[Any] = getattr(import_module(f"tracker_logging.families.{folder}.adapter"), name)
    return loaded


def _class_names(core: Any) -> list[str]:
    """The name of the class and those of its bases."""
    return [base.__name__ for base in type(core).__mro__]


def _registered_adapter(core: Any) -> ModelAdapter | None:
    """The first adapter that an installed package registers for the model's type or for one of its classes."""
    names = [_family(core), *_class_names(core)]
    registered = [entry for entry in plugins(FAMILIES) if entry.name in names]
    for entry in sorted(registered, key=lambda entry: names.index(entry.name)):
        adapter: ModelAdapter | None = call_plugin(
            entry, core, check=_reject, instead="The adapters of tracker_logging are tried."
        )
        if adapter is not None:
            logger.info("The adapter for %s comes from %s.", entry.name, origin(entry))
            return adapter
    return None


def _reject(adapter: Any) -> str | None:
    missing = missing_members(adapter)
    return f"it has no {', '.join(missing)}" if missing else None


def _family(model: Any) -> str | None:
    return getattr(getattr(model, "config", None), "model_type", None)
