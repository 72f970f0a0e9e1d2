"""One training step of one batch, measured; the same function serves both classes and both versions of transformers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tracker_logging.families import ModelAdapter
from tracker_logging.probes.capture import StepCapture

NEEDS = frozenset({"inputs", "tokens", "attention", "activations", "gradients", "updates", "causality"})
SPECIAL = frozenset({0, 1, 2, 58, 59, 60, 61, 62})


def measure(model: nn.Module, adapter: ModelAdapter, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers by name, as tensors or plain values; the model is trained one step."""
    capture = StepCapture(adapter=adapter, needs=NEEDS, special_ids=SPECIAL, attention_samples=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    capture.attach(model)
    output = model(**inputs)
    loss = output["loss"]
    loss.backward()
    capture.before_update(optimizer)
    optimizer.step()
    capture.after_update(optimizer)
    snapshot = capture.snapshot(1)
    assert capture.errors == [], capture.errors
    assert snapshot is not None
    view = snapshot.batch
    tokens, text, attention, flow = snapshot.tokens, snapshot.text, snapshot.attention, snapshot.flow
    numbers = {f"tokens.{name}": getattr(tokens, name) for name in ("nll", "accuracy", "top5", "entropy", "usage")}
    numbers |= {f"attention.{name}": getattr(attention, name) for name in ("mass", "entropy", "diagonality")}
    numbers |= {f"gradient.{component}.{layer}": value for (component, layer), value in flow.gradient_norm.items()}
    numbers |= {f"update.{component}.{layer}": value for (component, layer), value in flow.update_ratio.items()}
    numbers |= {
        "loss": float(loss.detach()),
        "text.nll": text.nll,
        "text.accuracy": text.accuracy,
        "rms": snapshot.activations.rms,
        "before_clipping": float(flow.before_clipping),
        "tokens_seen": snapshot.tokens_seen,
        "frames_seen": snapshot.frames_seen,
        "missing": len(snapshot.missing),
        "segments": torch.tensor([[s.sample, int(s.role), s.stop - s.start, s.frames] for s in view.segments]),
    }
    numbers |= {f"roles.{at}": row[view.attention_mask[at]] for at, row in enumerate(view.roles)}
    return {name: torch.as_tensor(value) for name, value in numbers.items()}
