"""Two machines, as network namespaces with a wire between them: one run directory, one W&B run, no event twice."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dying import dies_at
from short_demo import lay_out
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracker_logging.trackers.tensorboard_names import shown_name

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "train_v2_ddp.py"
ADDRESSES = ("10.77.0.1", "10.77.0.2")


@contextmanager
def two_nodes() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces of this test's own, joined by a wire `veth0` with `ADDRESSES` at its ends."""
    names = (f"tl{os.getpid()}a", f"tl{os.getpid()}b")
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", "veth0", "netns", names[0], "type", "veth", "peer", "name", "veth0", "netns", names[1])
        for name, address in zip(names, ADDRESSES, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "veth0")
            _ip("-n", name, "link", "set", "veth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def start(node: int, name: str, output: Path, *flags: str, script: Path = SCRIPT) -> "subprocess.Popen[bytes]":
    """The demo's training on one node, as a user would start it there."""
    command = [
        "ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
        "--node_rank", str(node), "--nproc_per_node", "1", "--master_addr", ADDRESSES[0], "--master_port", "29777",
        str(script), "--demo=composed", "--output_dir", str(output), "--per_device_train_batch_size", "2",
        "--enable_strategic_logging", "--strategic_logging_steps", "2", "--report_to", "both", *flags,
    ]  # fmt: skip
    environment = os.environ | {
        "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "veth0",
    }  # fmt: skip
    with said_by(node, output).open("w") as said:
        return subprocess.Popen(command, cwd=output, env=environment, stdout=said, stderr=said)


def said_by(node: int, output: Path) -> Path:
    return output / f"node{node}.log"


@pytest.fixture
def nodes() -> Iterator[tuple[str, str]]:
    try:
        with two_nodes() as names:
            yield names
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces cannot be made here (needs root and iproute2)")


@pytest.mark.slow
def test_two_nodes_write_one_run(nodes: tuple[str, str], tmp_path: Path, demo: Path) -> None:
    lay_out(demo, tmp_path)
    flags = ("--max_steps", "4", "--eval_steps", "4", "--voice_steps", "4", "--voice_max_clips", "2")
    running = [start(node, name, tmp_path, *flags, "--voice_quality", "off") for node, name in enumerate(nodes)]
    codes = [process.wait(timeout=400) for process in running]
    assert codes == [0, 0], "\n".join(said_by(node, tmp_path).read_text()[-2000:] for node in (0, 1))

    assert len(list(tmp_path.rglob("run-*.wandb"))) == 1
    (event_file,) = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(event_file.parent))
    events.Reload()
    assert [event.step for event in events.Scalars(shown_name("outputs/nll/mean"))] == [1, 2, 4]
    assert [event.step for event in events.Scalars(shown_name("voices/failed"))] == [0, 4]


@pytest.mark.slow
def test_when_a_node_dies_the_other_says_so_and_its_logs_can_be_read(
    nodes: tuple[str, str], tmp_path: Path, demo: Path
) -> None:
    lay_out(demo, tmp_path)
    dies = tmp_path / "dies.py"
    dies.write_text(dies_at(3))
    flags = ("--max_steps", "10000", "--strategic_loggers", "outputs")
    alive = start(0, nodes[0], tmp_path, *flags)
    dying = start(1, nodes[1], tmp_path, *flags, script=dies)
    assert alive.wait(timeout=400) != 0
    assert dying.wait(timeout=400) != 0

    said = said_by(0, tmp_path).read_text()
    assert "by peer" in said  # gloo: closed, or reset
    assert said.count("Training ended before its last step") == 1
    assert "wandb: emit failed" not in said
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.tfevents.*")).parent))
    events.Reload()
    assert [event.step for event in events.Scalars(shown_name("outputs/nll/mean"))] == [1, 2]
