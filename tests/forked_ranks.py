"""Two ranks, as `torchrun --standalone --nproc_per_node 2` starts them, but as forks of one process that has imported
torch and transformers: the launcher's import and that of one rank are saved.

    python forked_ranks.py SCRIPT ARGUMENT...

A rank that fails ends the other one, and the status is 1. `torchrun` itself is held by the tests of `end_to_end/` and
by `voices/test_voices_command.py`.
"""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RANKS = 2
TESTS = Path(__file__).parent
DIGITS = 5  # of a port


def run_on_two_ranks(
    script: Path, *arguments: str, output: Path, paths: Sequence[Path] = (), timeout_s: float = 300.0
) -> None:
    """`paths`: where the script imports from, beside this repository, `tests` and its own folder."""
    command = [sys.executable, str(Path(__file__)), str(script), *arguments]
    places = [str(path) for path in (TESTS.parent, TESTS, *paths)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(command, env=environment, cwd=output, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr[-3000:]


def main(script: str, *arguments: str) -> int:
    from torch.distributed import TCPStore
    from transformers import HiggsAudioV2ForConditionalGeneration, Trainer  # noqa: F401  (imported for the ranks)

    read_end, write_end = os.pipe()
    ranks = []
    for rank in range(RANKS):
        if (process := os.fork()) == 0:
            _be(rank, port=os.read(read_end, DIGITS).decode())
            sys.argv = [script, *arguments]
            sys.path.insert(0, str(Path(script).parent))
            runpy.run_path(script, run_name="__main__")
            return 0
        ranks.append(process)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # after the forks, which inherit no thread
    for _ in ranks:
        os.write(write_end, f"{store.port:0{DIGITS}}".encode())
    failed = False
    while ranks:
        process, status = os.wait()
        ranks.remove(process)
        if status != 0:
            failed = True
            for other in ranks:
                os.kill(other, signal.SIGKILL)
    return int(failed)


def _be(rank: int, *, port: str) -> None:
    """As `torchrun` tells it: the environment of one rank, whose store the launcher holds."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RUN_ID": "forked",
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
