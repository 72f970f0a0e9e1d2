"""Run by `forked_ranks.py` on two gloo processes: `two_ranks.py MODE OUTPUT`. Rank 0 writes the results as JSON.

- `ddp`: a real Trainer with and without everything on, under DistributedDataParallel
- `fsdp`: steps under FSDP2 with and without a capture, beside the same steps under DDP
- `fsdp1`: steps under FSDP1 beside the same steps under DDP
- `unready`: steps under FSDP2 where rank 1 has no batch for the extra forwards
- `failing`: steps under DDP with a probe that raises on rank 1 alone
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from small_model import batch, sample, small_model
from torch import distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from training import fingerprint_of, train, values_of, watched_callbacks

from tracker_logging.families import adapter_for
from tracker_logging.probes.attention import AttentionProbe
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.probe_set import NEEDS
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.trackers.memory import MemoryTracker


def ddp(output: Path) -> dict[str, Any]:
    tracker = MemoryTracker()
    settings: dict[str, Any] = {"ddp_backend": "gloo", "eval_strategy": "steps", "eval_steps": 3}
    _, plain = train(output / "plain", **settings)
    trainer, watched = train(output / "watched", callbacks=watched_callbacks(tracker), **settings)
    norms = [(entry["step"], entry["grad_norm"]) for entry in trainer.state.log_history if "grad_norm" in entry]
    events = [len(tracker.events)] * 2
    distributed.all_gather_object(events, len(tracker.events))
    return {"identical": plain == watched, "values": values_of(tracker), "norms": norms, "events": events}


def fsdp(output: Path) -> dict[str, Any]:
    def sharded(dropout: float) -> nn.Module:
        model = small_model(dropout=dropout).train()
        for layer in model.model.layers:
            fully_shard(layer)
        return fully_shard(model)

    model = sharded(0.1)
    _, plain = steps(model, run=model, capture=None)
    model = sharded(0.1)
    _, watched = steps(model, run=model, capture=capture_of(model))
    model = sharded(0.0)
    shards, _ = steps(model, run=model, capture=capture_of(model))
    whole = small_model().train()
    wrapped = DistributedDataParallel(whole, find_unused_parameters=True)
    copies, _ = steps(whole, run=wrapped, capture=capture_of(whole))
    return {
        "identical": plain == watched,
        "sharded": [numbers(own) for own in shards],
        "replicated": [numbers(own) for own in copies],
        "missing": shards[0].missing,
    }


def fsdp1(output: Path) -> dict[str, Any]:
    def trained(*, use_orig_params: bool, captured: bool) -> tuple[list[StepSnapshot], str]:
        model = small_model().train()
        run = FullyShardedDataParallel(model, use_orig_params=use_orig_params, device_id=torch.device("cpu"))
        return steps(run, run=run, capture=capture_of(run) if captured else None)

    _, plain = trained(use_orig_params=True, captured=False)
    shards, watched = trained(use_orig_params=True, captured=True)
    flat, _ = trained(use_orig_params=False, captured=True)
    whole = small_model().train()
    copies, _ = steps(whole, run=DistributedDataParallel(whole, find_unused_parameters=True), capture=capture_of(whole))
    return {
        "identical": plain == watched,
        "sharded": [numbers(own) for own in shards],
        "replicated": [numbers(own) for own in copies],
        "flat": {"flow": flat[0].flow is not None, "nll": flat[0].tokens.nll.tolist(), "missing": flat[0].missing},
    }


def unready(output: Path) -> dict[str, Any]:
    model = small_model().train()
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    capture = capture_of(model)
    if distributed.get_rank() == 1:
        capture._adapter.first_sample = lambda inputs: {}
    snapshots, _ = steps(model, run=model, capture=capture)
    return {"leaks": [own.causality_leak for own in snapshots], "rows": snapshots[0].tokens.rows.tolist()}


def failing(output: Path) -> dict[str, Any]:
    model = small_model().train()
    if distributed.get_rank() == 1:
        AttentionProbe.observe = lambda *_: 1 / 0  # type: ignore[method-assign]
    wrapped = DistributedDataParallel(model, find_unused_parameters=True)
    capture = capture_of(model)
    (snapshot, *_), _ = steps(model, run=wrapped, capture=capture, count=1)
    alone = torch.tensor(float(snapshot.attention.mass[0, 0, 2].sum()))
    return {"target_row": float(alone), "rows": snapshot.tokens.rows.tolist()}


def capture_of(model: nn.Module) -> StepCapture:
    return StepCapture(adapter=adapter_for(model), needs=NEEDS)


def steps(
    model: nn.Module, *, run: nn.Module, capture: StepCapture | None, count: int = 3
) -> tuple[list[StepSnapshot], str]:
    """Optimizer steps, each rank on a sample of its own; the snapshots and a fingerprint of the end."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    snapshots = []
    rank = distributed.get_rank()
    torch.manual_seed(rank)
    for step in range(count):
        if capture is not None:
            capture.attach(model)
        run(**batch(sample(4 + rank, 5, seed=step * 2 + rank))).loss.backward()
        if capture is not None:
            capture.before_update(optimizer)
        optimizer.step()
        if capture is not None:
            capture.after_update(optimizer)
        optimizer.zero_grad()
        if capture is not None:
            snapshots.append(capture.snapshot(step + 1))
    return snapshots, fingerprint_of(model, optimizer)


def numbers(snapshot: StepSnapshot) -> dict[str, list[float]]:
    flow = snapshot.flow
    return {
        "nll": snapshot.tokens.nll.tolist(),
        "rows": snapshot.tokens.rows.tolist(),
        "mass": snapshot.attention.mass.flatten().tolist(),
        "entropy": snapshot.attention.entropy.flatten().tolist(),
        "rms": snapshot.activations.rms.flatten().tolist(),
        "gradient norms": [flow.gradient_norm[key] for key in sorted(flow.gradient_norm, key=str)],
        "update ratios": [flow.update_ratio[key] for key in sorted(flow.update_ratio, key=str)],
    }


def main(mode: str, output: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    found = globals()[mode](output)
    same = [found.get("identical")] * 2
    distributed.all_gather_object(same, found.get("identical"))
    if distributed.get_rank() == 0:
        (output / "found.json").write_text(json.dumps(found | {"identical": same}))
    distributed.barrier()
    os._exit(0)  # gloo's threads may abort while the interpreter ends ("terminate called without an active exception")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
