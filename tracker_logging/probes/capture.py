"""Captures one optimizer step: attach → forward, backward → before_update → after_update → snapshot.

    capture = StepCapture(adapter=adapter, needs=frozenset({"tokens", "attention"}))
    capture.attach(model)              # before the first forward of the step, on every rank
    capture.batch(inputs)              # optional: the batch of each forward, where the loss takes its labels out
    capture.before_update(optimizer)   # after the last backward: removes everything from the model
    capture.after_update(optimizer)    # after the optimizer step
    snapshot = capture.snapshot(step)  # on every rank: one collective

Guarantees
- No exception reaches the model: the part that fails is off for this step and in `errors`, the others continue.
- Random state, modes, config and gradients of the model are unchanged.
- `detach` leaves nothing on the model and may be called at any time.
- Every rank that calls `snapshot` takes part in one collective of the same size, whatever failed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import distributed, nn

from tracker_logging.families.base import BatchView, ModelAdapter, Segment
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.probes.assemble import assemble
from tracker_logging.probes.causality import causality_leak
from tracker_logging.probes.hooks import Hooks
from tracker_logging.probes.labels import NO_LABELS, has_labels, labelled_view
from tracker_logging.probes.parallelism import DATA_PARALLEL, Parallelism, parallelism_of
from tracker_logging.probes.probe_set import NEEDS, ProbeSet
from tracker_logging.probes.reduce import all_ranks, sum_over_ranks
from tracker_logging.probes.side_forward import gradient_cosine, run_quietly
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.probes.tensors import PendingSummaries, summarise
from tracker_logging.probes.tokens import target_losses
from tracker_logging.probes.training_gaps import SampleGaps, TrainingGaps

COMPILED = (
    "the step itself under torch.compile: predictions, attention and FFN paths are those of one sample per rank "
    "in an extra forward"
)
GAPS = "gaps of training samples"
GAPS_EVERY = 10  # logged steps
NO_LOSS = "loss ratio: the model returned no loss to compare with its predictions (the loss is computed outside of it)"
NO_FORWARD = (
    "everything but gradients: no forward of the model with gradients was seen in this step. The training calls parts "
    "of the model, or another module; pass the module whose forward gets the batch"
)


class StepCapture:
    """See the module. One instance serves all logged steps of a run; all calls are on the training thread.

    - `needs`: what to measure, of `NEEDS`
    - `special_ids`: the tokenizer's special tokens, which bound the text of the target
    - `attention_samples`: how many samples of the first micro-batch have their attention measured, on each rank
    - `compiled`: the model runs through `torch.compile`
    - `before_forward`: called with the first batch of a step, and with each that the model may reject, before the model
      gets it
    - `shared_count`: the labels of all ranks are counted together (`average_tokens_across_devices` of the Trainer)
    - `gaps_every`: the gaps of training samples are measured in the first logged step and in every n-th after it: their
      forwards take about as long as a training step of a small batch

    Causality is tested once, at the first logged step. Raises `ValueError` for an unknown need.
    """

    def __init__(
        self,
        *,
        adapter: ModelAdapter,
        needs: frozenset[str],
        special_ids: Collection[int] = (),
        attention_samples: int = 1,
        compiled: bool = False,
        before_forward: Callable[[BatchView], None] | None = None,
        shared_count: bool = True,
        gaps_every: int = GAPS_EVERY,
    ) -> None:
        if unknown := needs - NEEDS:
            raise ValueError(f"unknown needs {sorted(unknown)}; known are {sorted(NEEDS)}")
        self._adapter = adapter
        self._needs = needs
        self._special_ids = frozenset(special_ids)
        self._attention_samples = attention_samples
        self._compiled = compiled
        self._before_forward = before_forward
        self._shared_count = shared_count
        self._gaps_every = gaps_every
        self._logged_steps = 0
        self._causality_tested = False
        self._training_gaps: TrainingGaps | None = None
        if "gaps" in needs and (adapter.num_codebooks or isinstance(adapter, LatentAdapter)):
            self._training_gaps = TrainingGaps(adapter, special_ids=self._special_ids)
        self._hooks = Hooks()
        self._parallelism = Parallelism("unknown")
        self._model: nn.Module | None = None
        self.missing: tuple[str, ...] = ()

    @property
    def hook_seconds(self) -> float:
        """Time that hooks added to the forward and backward of this step: of the host, or of a CUDA device if more.

        It contains `before_forward`, but not the methods of this class, which the caller can time. Read it after
        `snapshot`; it synchronises with the device.
        """
        return self._hooks.seconds

    @property
    def errors(self) -> list[tuple[str, Exception]]:
        """(part, exception) of what failed since `attach`."""
        return self._hooks.errors

    def attach(self, model: nn.Module) -> None:
        """Register the probes on `model` (not wrapped by DDP or `torch.compile`) for the step that begins now."""
        self.detach()
        device = next(model.parameters()).device
        self._hooks = Hooks(compiled=self._compiled, device=device)
        self._parallelism = parallelism_of(model)
        self._active = self._needs - self._parallelism.not_shown.keys()
        if self._causality_tested:
            self._active -= {"causality"}
        if self._logged_steps % self._gaps_every:
            self._active -= {"gaps"}
        self._logged_steps += 1
        self._model = model
        self.missing = ()
        self._batch: Mapping[str, Any] | None = None
        self._reasons: set[str] = set()
        self._view: BatchView | None = None
        self._forward_view: BatchView | None = None
        self._inputs: PendingSummaries | None = None
        self._side_inputs: dict[str, Any] = {}
        self._gap_inputs: dict[str, Any] = {}
        self._gaps: dict[Segment, SampleGaps] = {}
        self._cosine: torch.Tensor | None = None
        self._leak: torch.Tensor | None = None
        self._losses: list[torch.Tensor] = []
        self._seen = torch.zeros(2, dtype=torch.int64, device=device)  # tokens, audio frames
        self._probes = ProbeSet(
            model,
            adapter=self._adapter,
            needs=self._active,
            hooks=self._hooks,
            special_ids=self._special_ids,
            attention_samples=self._attention_samples,
        )
        # These are the outermost hooks of a forward: the first before it and the last after it.
        self._hooks.before(model, "batch", self._forward_begins)
        if not self._compiled:
            self._hooks.run("attach", self._probes.attach, model)
        self._hooks.after(model, "loss", self._forward_ends)
        if self._probes.flow is not None:
            self._hooks.run("gradients", self._probes.flow.attach, self._hooks)

    def batch(self, inputs: Mapping[str, Any]) -> None:
        """The batch of the next forward as the data loader gave it, with labels. A loop that has it should pass it;
        without it, labels that the loss takes out of the batch are searched for in the callers (`labels.py`)."""
        self._batch = inputs

    def before_update(self, optimizer: Any, *, scaler: Any = None) -> None:
        """After the backward pass: remove the hooks, run extra forwards if needed, read gradients and weights.

        `scaler`: gradient scaler of an fp16 loop; not needed with an optimizer that accelerate prepared.
        """
        self.detach()
        if self._may_run_forwards():
            if self._compiled:
                self._hooks.run("extra forward", self._run_extra_forward)
            if "causality" in self._active:
                self._causality_tested = True
                self._leak = self._hooks.run("causality", causality_leak, self._model, self._adapter, self._side_inputs)
            if "conflict" in self._active:
                self._cosine = self._hooks.run("gradient conflict", gradient_cosine, self._adapter, self._side_inputs)
        if self._probes.flow is not None:
            self._hooks.run("gradients", self._probes.flow.before_update, optimizer, scaler)
        self._measure_gaps()

    def after_update(self, optimizer: Any) -> None:
        """After the optimizer: compare the weights."""
        if self._probes.flow is not None:
            self._hooks.run("gradients", self._probes.flow.after_update, optimizer)

    def detach(self) -> None:
        """Remove everything from the model. Safe at any time."""
        self._hooks.detach()

    def snapshot(self, step: int) -> StepSnapshot | None:
        """The measurements, summed over ranks; None if this rank had no batch. Every rank must call it.

        `missing` tells afterwards what could not be measured, with the reason, also where the result is None.
        """
        self.detach()
        if self._model is None:
            return None
        model, self._model = self._model, None
        sums = self._probes.sums() | {"seen": self._seen}
        if "conflict" in self._needs:
            sums["cosine"] = _with_count(self._cosine)
        if "causality" in self._needs:
            sums["causality"] = _of_this_rank(_with_count(self._leak))
        reduced = sum_over_ranks(sums, device=next(model.parameters()).device)
        self.missing = tuple(self._missing())
        if self._view is None or self._inputs is None:
            return None
        return self._hooks.run(
            "snapshot", assemble, step, self._view, self._inputs, self._losses, self._probes, reduced, self.missing,
            self._shared_count, self._gaps,
        )  # fmt: skip

    def _forward_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Pass the batch to the probes."""
        self._probes.end()
        self._forward_view = None
        if self._hooks.on_replica:
            self._reasons.add(DATA_PARALLEL)
        if not self._trains():
            return
        inputs, view = labelled_view(self._adapter, self._probes.named(args, kwargs), batch=self._batch)
        self._forward_view = view
        if "tokens" in self._active and not has_labels(self._adapter, view):
            self._reasons.add(NO_LABELS)
        frames = sum(segment.frames for segment in view.segments)
        self._seen += torch.stack(
            [view.attention_mask.sum(), view.attention_mask.new_tensor(frames, dtype=torch.int64)]
        )
        first = self._view is None
        if first:
            self._view, self._inputs = view, summarise(inputs)
            # A batch whose frames do not fit its placeholders raises a device assert, so no extra forward is run on it.
            if (self._compiled or self._active & {"causality", "conflict"}) and not view.mismatched:
                self._side_inputs = self._adapter.first_sample(inputs)
            if "gaps" in self._active and not view.mismatched:
                self._gap_inputs = inputs
        if self._before_forward is not None and (first or view.mismatched):
            self._before_forward(view)
        if not self._compiled:
            self._probes.begin(view, inputs, first=first)
            if self._probes.loss is not None:
                self._probes.loss.begin(inputs)

    def _forward_ends(self, output: Any) -> None:
        view, self._forward_view = self._forward_view, None
        if view is not None and not self._compiled:
            self._probes.forward_done(view)
        self._probes.end()
        if not self._trains():
            return
        loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())
            if self._probes.loss is not None and not self._compiled:
                self._hooks.run("loss check", self._probes.loss.end, loss)
        elif self._probes.loss is not None:
            self._reasons.add(NO_LOSS)
        if self._probes.flow is not None:
            for tensor in _differentiable(output):
                self._probes.flow.watch(tensor, self._hooks)

    def _trains(self) -> bool:
        """Whether the forward that runs now is one of the step: not of a copy, in training mode and with gradients (one
        without them computes metrics, or the reference of a preference loss)."""
        hooks = self._hooks
        training = self._model is not None and self._model.training
        return training and hooks.with_gradients and not hooks.on_replica

    def _run_extra_forward(self) -> None:
        self._probes.attach(self._adapter.core)
        try:
            view = self._adapter.view(self._side_inputs)
            self._probes.begin(view, self._side_inputs, first=True)
            run_quietly(self._adapter, self._side_inputs)
            self._probes.forward_done(view)
        finally:
            self._probes.end()
            self.detach()

    def _measure_gaps(self) -> None:
        """Of the first micro-batch, on each rank alone. Not again in this training once it has failed."""
        inputs, self._gap_inputs = self._gap_inputs, {}
        losses = self._probes.losses
        if self._training_gaps is None or self._view is None or not inputs or not losses:
            return
        by_target = {target: nll for target, nll, _ in target_losses(*losses[0])}
        self._gaps = self._hooks.run(GAPS, self._training_gaps.measure, inputs, self._view, by_target) or {}
        if not self._hooks.is_on(GAPS):
            self._training_gaps = None

    def _may_run_forwards(self) -> bool:
        """Whether this step needs extra forwards and this rank may run them.

        With sharded parameters a forward waits for all ranks, so either all ranks run it or none. A rank without batch,
        or with a malformed one, is not ready.
        """
        due = self._parallelism.extra_forwards and (self._compiled or bool(self._active & {"causality", "conflict"}))
        ready = due and bool(self._side_inputs)
        return all_ranks(ready, device=self._seen.device) if due and self._parallelism.gathers else ready

    def _missing(self) -> list[str]:
        missing = [reason for need, reason in self._parallelism.not_shown.items() if need in self._needs]
        missing += [*self._probes.missing, *sorted(self._reasons)]
        if self._view is None and not self._reasons and self._hooks.is_on("batch"):
            missing.append(NO_FORWARD)
        if self._probes.skipped is not None:
            missing += sorted(self._probes.skipped.missing)
        if self._training_gaps is not None:
            missing += self._training_gaps.missing
        if self._compiled:
            name = self._parallelism.name
            missing.append(
                COMPILED if self._parallelism.extra_forwards else f"all of the layers: torch.compile with {name}"
            )
        return list(dict.fromkeys(missing))


def _differentiable(output: Any) -> list[torch.Tensor]:
    """The tensors of a model output from which a loss may be computed outside the model."""
    if isinstance(output, torch.Tensor | tuple):
        values = output if isinstance(output, tuple) else (output,)
    else:
        values = tuple((output if isinstance(output, Mapping) else getattr(output, "__dict__", {})).values())
    return [value for value in values if isinstance(value, torch.Tensor) and value.requires_grad]


def _of_this_rank(values: torch.Tensor) -> torch.Tensor:
    """[ranks, N], zero except in the row of this rank: the sum over ranks then holds the values of every rank."""
    grouped = distributed.is_available() and distributed.is_initialized()
    ranks, rank = (distributed.get_world_size(), distributed.get_rank()) if grouped else (1, 0)
    rows = values.new_zeros(ranks, len(values))
    rows[rank] = values
    return rows


def _with_count(value: torch.Tensor | None) -> torch.Tensor:
    """[value, 1], or zeros without a value: from the sum follows the mean over the ranks that have one."""
    if value is None:
        return torch.zeros(2, dtype=torch.float64)
    return torch.stack([value.double(), torch.ones_like(value, dtype=torch.float64)])
