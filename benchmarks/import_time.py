"""What importing costs, in CPU seconds of a new process over `import torch`: the median of several.

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 5
CASES = {
    "import tracker_logging": "import tracker_logging",
    "events and the TensorBoard tracker": "import tracker_logging.events, tracker_logging.trackers.tensorboard",
    "transformers.Trainer": "from transformers import Trainer",
    "transformers.Trainer and strategic_callbacks": (
        "from transformers import Trainer; from tracker_logging import strategic_callbacks"
    ),
}


def cpu_s(statement: str) -> float:
    """CPU seconds of a process that imports torch and then does `statement`, counted from before torch."""
    code = f"import time; start = time.process_time(); import torch; {statement}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    measured = {
        name: [cpu_s(statement) for _ in range(ROUNDS)] for name, statement in {"torch": "pass", **CASES}.items()
    }
    torch_s = statistics.median(measured.pop("torch"))
    print(f"import torch: {torch_s:.2f} CPU-s")
    for name, seconds in measured.items():
        print(f"+ {statistics.median(seconds) - torch_s:5.2f}  {name}")


if __name__ == "__main__":
    main()
