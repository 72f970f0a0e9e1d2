"""Compare a ChatML file of 100,000 samples with one of 1,000: time to open, time to the first step, and memory.

    python benchmarks/large_data.py                      # about four minutes on two CPU cores
    python benchmarks/large_data.py --steps 20 --ending json

The samples refer to the demo's clips. `train_v2_ddp.py` trains on each file with all callbacks on, each in a process of
its own. Seconds are CPU seconds of that process. Peak memory is its high-water mark. Growth is the lowest resident
memory in the second half of the steps divided by that in the first half, from the fifth step on (`/proc/self/status`,
Linux; proc(5)); the lowest, because a logged step and a round of voices hold more for a short time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETTLED = 5  # the step from which memory should not grow


def status_mib(name: str) -> float:
    """A line of `/proc/self/status`, such as VmHWM, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024


def write_data(path: Path, items: Sequence[dict[str, Any]], count: int) -> Path:
    """Write `count` samples like `items` with different ids; a list or one per line, by the ending of `path`."""
    lines, samples = path.suffix == ".jsonl", itertools.islice(itertools.cycle(items), count)
    with path.open("w") as file:
        file.write("" if lines else "[\n")
        for number, item in enumerate(samples):
            named = item | {"misc": item["misc"] | {"sample_id": f"sample-{number:06d}"}}
            file.write("" if lines or number == 0 else ",\n")
            file.write(json.dumps(named) + ("\n" if lines else ""))
        file.write("" if lines else "\n]\n")
    return path


def wrapped(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace the function `name` of `module` by `wrap(function)`."""
    setattr(module, name, wrap(getattr(module, name)))


def train(arguments: Sequence[str]) -> dict[str, float]:
    """Run `train_v2_ddp.py` in this process and measure it."""
    start = time.process_time()
    from transformers import TrainerCallback

    import train_v2_ddp as script
    from tracker_logging.data import formats
    from tracker_logging.doctor.data_checks import before_training

    result: dict[str, float] = {}
    resident: list[float] = []

    def timed(name: str) -> Callable[[Any], Any]:
        def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
            def measured(*args: Any, **kwargs: Any) -> Any:
                begin = time.process_time()
                result = call(*args, **kwargs)
                result[name] = result.get(name, 0.0) + time.process_time() - begin
                return result

            return measured

        return wrap

    class Gauge(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            result.setdefault("first_step_s", time.process_time() - start)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            resident.append(status_mib("VmRSS"))

    wrapped(formats, "open_samples", timed("open_s"))
    wrapped(before_training, "look_at_data", timed("look_s"))
    wrapped(script, "dataset_facts", timed("facts_s"))
    wrapped(script, "callbacks_from", lambda make: lambda *args, **kwargs: [*make(*args, **kwargs), Gauge()])
    script.train(script.parse_arguments(arguments))
    half = (SETTLED - 1 + len(resident)) // 2
    growth = min(resident[half:]) / min(resident[SETTLED - 1 : half])
    return result | {"peak_mib": status_mib("VmHWM"), "growth": growth}


def run(file: Path, *, demo: Any, steps: int, output: Path) -> dict[str, float]:
    """Train on `file` in a fresh process. Returns what `train` measured."""
    given = {
        "model_path": demo.model, "audio_tokenizer_path": demo.codec, "train_data_file": file, "output_dir": output,
        "code_cache": demo.codes, "max_steps": steps, "per_device_train_batch_size": 2, "logging_steps": 5,
        "strategic_logging_steps": 10, "voice_steps": 15, "voice_max_clips": 4,
        "voice_encoder": "off", "voice_pitch": "off", "voice_quality": "off",
        "logging_budget_pct": 100,
    }  # fmt: skip
    flags = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, str(Path(__file__).resolve()), "--train", *flags, "--enable_strategic_logging"]
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=here, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--ending", nargs="+", choices=("json", "jsonl"), default=["json", "jsonl"])
    parser.add_argument("--directory", type=Path, help="where the demo is, or is built; default: a temporary directory")
    arguments = parser.parse_args()
    from tracker_logging.demo.composed.build import build_demo

    with tempfile.TemporaryDirectory() as temporary:
        demo = build_demo((arguments.directory or Path(temporary)) / "demo")
        items = json.loads(demo.train.read_text())
        print("| file | MB | open, CPU-s | check | facts | first step | peak, MiB | second / first half |")
        print("|---|---|---|---|---|---|---|---|")
        for ending in arguments.ending:
            peaks = []
            for count in arguments.counts:
                file = write_data(demo.directory / f"many-{count}.{ending}", items, count)
                result = run(file, demo=demo, steps=arguments.steps, output=Path(temporary) / file.name)
                peaks.append(result["peak_mib"])
                times = " | ".join(f"{result[name]:.2f}" for name in ("open_s", "look_s", "facts_s", "first_step_s"))
                size = file.stat().st_size / 1e6
                print(
                    f"| {count:,} .{ending} | {size:.1f} | {times} | {peaks[-1]:.0f} | {result['growth']:.4f} |",
                    flush=True,
                )
                file.unlink()
            print(f"peak memory, .{ending}: {peaks[-1] / peaks[0]:.4f} times that of the smallest", flush=True)


if __name__ == "__main__":
    main()
