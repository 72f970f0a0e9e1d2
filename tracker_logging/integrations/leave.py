"""How a training script ends when it is one of several processes.

if __name__ == "__main__":
    leave(main())
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End the process with `status`; under `torchrun` right after the exit handlers, which close the trackers.

    What comes after them there, the end of the C++ libraries, may be aborted by gloo's threads ("terminate called
    without an active exception"), and `torchrun` would then call a training failed that is done.
    """
    if "LOCAL_RANK" not in os.environ:
        sys.exit(status)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
