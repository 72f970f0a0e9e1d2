"""The checks, one per part of an adapter, from its view of a batch to its voices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tracker_logging.families import (
    COMPONENTS,
    IGNORE,
    AudioHead,
    BatchView,
    ModelAdapter,
    Prompt,
    Role,
    Segment,
)
from tracker_logging.families.base import missing_members
from tracker_logging.families.heads import head_outputs, mean_nll, scored_rows
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.metrics.tokens import shift_labels
from tracker_logging.probes.audit import keeps_pattern
from tracker_logging.probes.isolation import isolated
from tracker_logging.testing.running import Inputs, generated_prompts, loss_of, watched_step


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and its part: `members`, `view`, `segments`, `with_codes`, `layers`, `components`, `heads`,
    `first_sample`, `audio_nll`, `step` or `voices`."""

    part: str
    what: str


def assert_adapter(adapter: ModelAdapter, inputs: Inputs, *, prompts: Sequence[Prompt] = ()) -> None:
    """Raises `AssertionError` with all problems that `check_adapter` finds."""
    problems = check_adapter(adapter, inputs, prompts=prompts)
    assert not problems, "\n".join(f"{problem.part}: {problem.what}" for problem in problems)


def check_adapter(adapter: ModelAdapter, inputs: Inputs, *, prompts: Sequence[Prompt] = ()) -> list[Problem]:
    """All problems; empty for a correct adapter.

    `inputs`: a training batch as keyword arguments of the model's forward, with labels, of two samples or more.
    `prompts`: two or more to generate; empty for a family that does not generate audio (yet).
    """
    if missing := missing_members(adapter):
        return [Problem("members", f"lacks {', '.join(missing)}")]
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "view": lambda: _view(adapter, inputs),
        "segments": lambda: _segments(adapter, inputs),
        "with_codes": lambda: _with_codes(adapter, inputs),
        "layers": lambda: _layers(adapter),
        "components": lambda: _components(adapter),
        "heads": lambda: _heads(adapter, inputs),
        "first_sample": lambda: _first_sample(adapter, inputs),
        "audio_nll": lambda: _audio_nll(adapter, inputs),
        "step": lambda: watched_step(adapter, inputs),
        "voices": lambda: generated_prompts(adapter, prompts),
    }
    problems: list[Problem] = []
    for part, check in parts.items():
        try:
            problems += [Problem(part, what) for what in check()]
        except Exception as error:
            problems.append(Problem(part, f"raised {type(error).__name__}: {error}"))
    return problems


def _view(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    before = {name: value.clone() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    view = adapter.view(inputs)
    if not all(torch.equal(inputs[name], value) for name, value in before.items()):
        yield "changes the batch"
    shape = tuple(view.token_ids.shape)
    shapes = {"token_ids": shape, "attention_mask": shape, "roles": shape, "codes": (*shape, adapter.num_codebooks)}
    shapes |= {"audio_labels": shapes["codes"], "text_labels": shape}
    for name, expected in shapes.items():
        value = getattr(view, name)
        if value is None:
            continue
        dtype = torch.bool if name == "attention_mask" else torch.int64
        if tuple(value.shape) != expected or value.dtype != dtype or value.requires_grad:
            yield f"{name} must be {dtype} {list(expected)} without gradient, is {value.dtype} {list(value.shape)}"
            return
    if view.audio_labels is None and view.text_labels is None and view.frame_labels is None:
        yield "finds no label in the batch: give one that trains something"
    if not torch.equal(view.roles == Role.PADDING, ~view.attention_mask):
        yield "roles must be PADDING exactly where attention_mask is False"
    audio = _is_audio(view)
    if ((view.codes >= 0).any(dim=-1) & ~audio).any():
        yield "there are codes (other than -1) outside audio positions"
    if view.codes.numel() and int(view.codes.max()) >= adapter.codebook_vocabulary:
        yield f"a code is not below codebook_vocabulary ({adapter.codebook_vocabulary})"
    labels = view.audio_labels
    if labels is not None:
        if ((labels != IGNORE).any(dim=-1) & ~audio).any():
            yield "there are audio labels outside audio positions"
        if ((labels != IGNORE) & ((labels < 0) | (labels >= adapter.codebook_vocabulary))).any():
            yield f"an audio label is neither {IGNORE} nor a code"


def _segments(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    view = adapter.view(inputs)
    covered = torch.zeros_like(view.attention_mask)
    for segment in view.segments:
        roles = view.roles[segment.sample, segment.start : segment.stop]
        if not (0 <= segment.start < segment.stop <= view.roles.shape[1]) or not (roles == segment.role).all():
            yield f"{segment} does not have its role at its positions"
        if covered[segment.sample, segment.start : segment.stop].any():
            yield f"{segment} overlaps another"
        if not 0 <= segment.frames <= segment.stop - segment.start:
            yield f"{segment} has more frames than positions"
        if (lead := _lead(view, segment, bos_code=adapter.bos_code)) not in (None, segment.lead):
            yield f"{segment} has {lead} positions before its first code or frame, not {segment.lead}"
        if adapter.pattern is not None and not keeps_pattern(view, segment, adapter.pattern):
            yield f"{segment} is not in {adapter.pattern.name}: {adapter.pattern.advice}"
        covered[segment.sample, segment.start : segment.stop] = True
    if not torch.equal(covered, _is_audio(view)):
        yield "the segments do not cover exactly the positions of role REFERENCE and TARGET"
    if adapter.num_codebooks and not view.targets:
        yield "no segment is a target: give a batch with audio labels"
    if adapter.num_codebooks and (adapter.pattern is None or len(adapter.pattern.delays) != adapter.num_codebooks):
        yield "pattern must have one delay per codebook"


def _lead(view: BatchView, segment: Segment, *, bos_code: int) -> int | None:
    """Positions before the first code, or before the first trained frame; None where neither is given."""
    span = (segment.sample, slice(segment.start, segment.stop))
    if view.codes.shape[-1]:
        codes = view.codes[span]
        is_first = ((codes >= 0) & (codes != bos_code)).any(dim=-1)
    elif view.frame_labels is not None and segment.role == Role.TARGET:
        is_first = view.frame_labels[span]
    else:
        return None
    return int((~is_first).int().cumprod(dim=0).sum())


def _with_codes(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    """Codes that trade places within their codebook are those of the new batch's view."""
    view, with_codes = adapter.view(inputs), getattr(adapter, "with_codes", None)
    if with_codes is None or not view.codes.numel():
        return
    codes = view.codes.clone()
    in_layers = codes[:, view.in_layers]  # the others are no input
    for codebook in in_layers.unbind(-1):
        is_audio = (codebook >= 0) & (codebook != adapter.bos_code) & (codebook != adapter.eos_code)
        codebook[is_audio] = codebook[is_audio].roll(1)
    given = with_codes(inputs, codes.clone())
    if given is None:
        return
    other = (adapter.view(given).codes != codes)[:, view.in_layers]
    if other.any():
        yield f"the view of this batch has other codes than those given at {int(other.sum())} of {other.numel()} places"


def _layers(adapter: ModelAdapter) -> Iterator[str]:
    modules = set(adapter.core.modules())
    parts = list(adapter.layers())
    indices = [layer.index for layer in parts]
    if indices != sorted(set(indices)):
        yield "indices must increase"
    for layer in parts:
        for name in ("layer", "attention", "text_ffn", "audio_ffn", "cross_attention"):
            module = getattr(layer, name)
            if module is not None and module not in modules:
                yield f"{name} of layer {layer.index} is no module of core"


def _components(adapter: ModelAdapter) -> Iterator[str]:
    names = [name for name, _ in adapter.core.named_parameters()]
    components = {name: adapter.component(name) for name in names}
    wrong: dict[str, list[str]] = {}
    for name, (component, layer) in components.items():
        if component.removeprefix("lora_") not in COMPONENTS:
            wrong.setdefault(f"{component!r}: the components are {', '.join(COMPONENTS)}", []).append(name)
        if not (layer is None or isinstance(layer, int)):
            wrong.setdefault(f"layer {layer!r}: a layer is a number or None", []).append(name)
    for what, of_wrong in wrong.items():
        yield f"{len(of_wrong)} parameters ({of_wrong[0]}, …) belong to {what}"
    parts = {part for name in names for part in name.split(".")}
    for key in getattr(adapter, "prefixes", {}):
        is_optional = any(hasattr(module, key) for module in adapter.core.modules())  # a part that this model has not
        if key not in parts and not is_optional:
            yield f"prefixes: {key!r} is in no parameter's name. A key is one whole part between dots of the name"
    for layer_parts in adapter.layers():
        of_layer = {component for component, layer in components.values() if layer == layer_parts.index}
        if not any(component.removeprefix("lora_").startswith("attention") for component in of_layer):
            yield f"no parameter belongs to the attention of layer {layer_parts.index}"


def _heads(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    view, heads, text_head = adapter.view(inputs), list(adapter.audio_heads()), adapter.text_head()
    if [k for head in heads for k in head.codebooks] != list(range(adapter.num_codebooks)):
        yield f"audio_heads must predict each of the {adapter.num_codebooks} codebooks once, in order"
    trains_text = text_head is not None and view.text_labels is not None
    if text_head is None and view.text_labels is not None and (view.text_labels != IGNORE).any():
        yield "the view has text labels and text_head is None: predictions of text are not logged"
    modules = [*(head.module for head in heads), *([text_head] if text_head is not None and trains_text else [])]
    if isinstance(adapter, LatentAdapter):
        modules = [adapter.flow_head(), adapter.eos_head()]
        if not {*modules} <= {*adapter.core.modules()}:
            yield "the flow head or the end-of-speech head is no module of core"
        return
    if not modules:
        return
    loss: list[torch.Tensor] = []
    handle = adapter.core.register_forward_hook(lambda _, __, output: loss.append(loss_of(output)))
    try:
        with isolated(adapter.core), torch.enable_grad():
            outputs = head_outputs(adapter.core, modules, inputs, use_cache=False)
            has_loss = loss[0].requires_grad
            gradients = torch.autograd.grad(loss[0], outputs, allow_unused=True) if has_loss else []
    except KeyError:
        yield "a head does not run in a training forward of core"
        return
    finally:
        handle.remove()
    for number, gradient in enumerate(gradients):
        name = f"audio head {number}" if number < len(heads) else "the text head"
        if gradient is None:
            yield f"{name}: the loss of the model does not reach it"
            continue
        rows = (
            _audio_rows(adapter, heads[number], gradient, view) if number < len(heads) else _text_rows(gradient, view)
        )
        columns = heads[number].columns if number < len(heads) else _text_columns(heads, gradient, modules[number])
        if rows is not None:
            yield from (f"{name}: {what}" for what in _trained_as_labelled(*rows, columns=columns))


def _trained_as_labelled(
    gradient: torch.Tensor, labels: torch.Tensor, of_padding: torch.Tensor, *, columns: torch.Tensor | None
) -> Iterator[str]:
    """`gradient` [N, k, V] of the loss by the logits, `labels` [N, k] that score them according to the view, and
    `of_padding` [N] bool: whether they predict padding.

    The gradient of a cross-entropy is negative at the label alone. `columns`: those of the logits that may be labels of
    this head; None: all.
    """
    of_head = gradient if columns is None else gradient[..., columns[columns >= 0]]
    trained, labelled = of_head.amin(dim=-1) < 0, labels != IGNORE
    if extra := int((trained & ~labelled).sum()):
        padded = int((trained & ~labelled & of_padding.unsqueeze(-1)).sum())
        reason = f", {padded} of them at padding: set the labels of padding to {IGNORE}" if padded else ""
        yield f"the loss trains {extra} predictions that the view does not label{reason}"
    if untrained := int((labelled & ~trained).sum()):
        yield f"the view labels {untrained} predictions that the loss does not train"
    both = trained & labelled
    if wrong := int((gradient.argmin(dim=-1) != labels)[both].sum()):
        yield f"the loss trains another label than that of the view at {wrong} of {int(both.sum())} predictions"


def _audio_rows(
    adapter: ModelAdapter, head: AudioHead, gradient: torch.Tensor, view: BatchView
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    rows = scored_rows(head, gradient, view, vocabulary=adapter.codebook_vocabulary, bos_code=adapter.bos_code)
    if rows is None:
        return None
    of_padding = _predicts_padding(view) if rows.at is None else _predicts_padding(view)[rows.at]
    return rows.logits.unflatten(-1, (len(head.codebooks), -1)), rows.next_labels, of_padding


def _predicts_padding(view: BatchView) -> torch.Tensor:
    """[B · T] bool: whether the position after is padding; for the last one, whether it is padding itself."""
    mask = view.attention_mask
    return ~torch.cat([mask[:, 1:], mask[:, -1:]], dim=1).flatten()


def _text_columns(heads: Sequence[AudioHead], gradient: torch.Tensor, text_head: nn.Module) -> torch.Tensor:
    """The columns of the text head, with this `gradient` [B, T, V], that no audio head has too."""
    is_text = torch.ones(gradient.shape[-1], dtype=torch.bool)
    for head in heads:
        if head.columns is not None and head.module is text_head:
            is_text[head.columns[head.columns >= 0]] = False
    return is_text.nonzero().squeeze(-1)


def _text_rows(gradient: torch.Tensor, view: BatchView) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    assert view.text_labels is not None
    labels = shift_labels(view.text_labels.unsqueeze(-1), predicts_next=view.attention_mask)
    return gradient.flatten(0, 1).unsqueeze(1), labels.flatten(0, 1), _predicts_padding(view)


def _first_sample(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    batch, first = adapter.view(inputs), adapter.view(adapter.first_sample(inputs))
    if len(batch.token_ids) < 2:
        yield "the batch has one sample: give two or more, of different lengths"
    if len(first.token_ids) != 1:
        yield f"gives {len(first.token_ids)} samples"
    expected = [(segment.role, segment.frames) for segment in batch.segments if segment.sample == 0]
    if [(segment.role, segment.frames) for segment in first.segments] != expected:
        yield "has other segments than the first sample of the batch"


def _audio_nll(adapter: ModelAdapter, inputs: Inputs) -> Iterator[str]:
    if adapter.num_codebooks == 0:
        return
    with isolated(adapter.core):
        actual, expected = adapter.audio_nll(inputs), mean_nll(adapter, inputs)
    if tuple(actual.shape) != tuple(expected.shape) or actual.requires_grad:
        yield f"must be {list(expected.shape)} without gradient, is {list(actual.shape)}"
    elif not torch.allclose(actual.float(), expected.float(), rtol=1e-3, atol=1e-4, equal_nan=True):
        yield f"is not the mean over labels of the heads' nll: {actual.tolist()} instead of {expected.tolist()}"


def _is_audio(view: BatchView) -> torch.Tensor:
    return (view.roles == Role.REFERENCE) | (view.roles == Role.TARGET)
