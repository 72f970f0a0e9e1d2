"""A training script that kills its own process, as a machine that goes away would."""


def dies_at(step: int) -> str:
    """`train_v2_ddp.py` as the source of a script that ends by SIGKILL after `step` optimizer steps."""
    return f"""
import os, signal, sys
import train_v2_ddp
from transformers import TrainerCallback

class Die(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == {step}:
            os.kill(os.getpid(), signal.SIGKILL)

callbacks = train_v2_ddp.callbacks_from
train_v2_ddp.callbacks_from = lambda *args, **options: [*callbacks(*args, **options), Die()]
train_v2_ddp.main(sys.argv[1:])
"""
