"""Extra forwards without a trace in training: everything that a forward or `generate` could change is restored.

- torch RNG of the CPU and of every visible device, Python's and NumPy's global RNG
- the training flag of each module (`model.train()` would also change modules that the user set to evaluation mode)
- `config.use_cache`, which `generate` and gradient checkpointing write
- no gradient is recorded
- parameters that FSDP2 gathered are resharded: the FSDP root would otherwise keep them until a backward pass that never
  comes, and the next step would read freed memory

    with isolated(model):
        clip = adapter.generate(prompts, settings)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def isolated(model: nn.Module) -> Iterator[None]:
    """Run the body in evaluation mode and restore all state, also if it raises. Runs on the calling thread."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    modes = [(module, module.training) for module in model.modules()]
    config: Any = getattr(model, "config", None)
    use_cache = getattr(config, "use_cache", None)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            for module, _ in modes:
                module.training = False
            yield
    finally:
        for module, training in modes:
            module.training = training
            if isinstance(module, FSDPModule):
                module.reshard()
        if use_cache is not None:
            config.use_cache = use_cache
        random.setstate(python_state)
        np.random.set_state(numpy_state)
