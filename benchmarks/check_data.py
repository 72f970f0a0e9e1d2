"""What `tracker-logging check-data` costs: rows per CPU second and peak memory, by format and number of rows.

    python benchmarks/check_data.py --rows 10000
    python benchmarks/check_data.py --rows 10000 100000 1000000 --formats jsonl pipe parquet

Each row has a clip of its own, a sentence and one of 200 speakers. Every run is a process of its own, without
`--decode`. Seconds are CPU seconds of that process, start included; memory is its high-water mark (`VmHWM` of
`/proc/self/status`, Linux; `ru_maxrss` would be that of the parent).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RATE, LENGTHS, SPEAKERS, PER_FOLDER = 16_000, 5_000, 200, 10_000
WORDS = ("river", "garden", "window", "harbour", "meadow", "lantern", "kettle", "saddle", "ribbon", "copper")
FORMATS = ("jsonl", "pipe", "parquet")


def make_clips(folder: Path, count: int) -> Iterator[str]:
    """`count` WAV files below `folder`, of about two seconds; yields their names. Their samples are a hole in the file
    but for one, so that a million of them takes 4 GB."""
    for number in range(count):
        name = f"{number // PER_FOLDER:03d}/utterance_{number:07d}.wav"
        if number % PER_FOLDER == 0:
            (folder / name).parent.mkdir()
        frames = 2 * RATE + 40 * (number % LENGTHS)
        sizes = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 2 * frames, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE,
                            2, 16, b"data", 2 * frames)  # fmt: skip
        with (folder / name).open("wb") as file:
            file.write(sizes)
            file.seek(len(sizes) + frames)  # the middle, by which clips of equal length are told apart
            file.write(struct.pack("<I", number))
            file.truncate(len(sizes) + 2 * frames)
        yield name


def rows(names: Iterator[str]) -> Iterator[dict[str, str]]:
    """One row per clip."""
    words = random.Random(0)
    for number, name in enumerate(names):
        text = f"They saw the {' and the '.join(words.choices(WORDS, k=4))} number {number}."
        yield {"audio": name, "text": text, "speaker": f"speaker{number % SPEAKERS:03d}"}


def write(path: Path, content: Sequence[dict[str, str]]) -> None:
    """`content` in the format that the ending of `path` names."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(content)), path)
        return
    with path.open("w") as file:
        if path.suffix == ".psv":
            file.write("|".join(content[0]) + "\n")
        for row in content:
            file.write((json.dumps(row) if path.suffix == ".jsonl" else "|".join(row.values())) + "\n")


def peak_mib() -> float:
    """The most memory that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def measure(path: Path) -> None:
    """Check `path` in this process and print what it cost."""
    from tracker_logging.cli import main

    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  the report itself
    status = main(["check-data", str(path)])
    sys.stdout = sys.__stdout__
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    print(json.dumps({"status": status, "cpu_s": seconds, "mib": peak_mib()}))


def run(path: Path) -> dict[str, float]:
    """`measure` in a process of its own."""
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(path)]
    done = subprocess.run(command, env=here, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.measure)
        return
    print(f"{'rows':>10}  {'format':8}  {'CPU s':>8}  {'rows per CPU s':>15}  {'peak MiB':>9}  status")
    for count in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            content = list(rows(make_clips(Path(folder), count)))
            for name in args.formats:
                path = Path(folder) / ("rows.psv" if name == "pipe" else f"rows.{name}")
                write(path, content)
                cost = run(path)
                rate = count / cost["cpu_s"]
                numbers = f"{cost['cpu_s']:8.1f}  {rate:15,.0f}  {cost['mib']:9,.0f}  {cost['status']:.0f}"
                print(f"{count:10,}  {name:8}  {numbers}", flush=True)


if __name__ == "__main__":
    main()
