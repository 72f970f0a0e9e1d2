"""List the clips of a run's voices, and copy them with -o.

A clip is copied to OUT/VOICE/NAME.wav or OUT/VOICE/step-00000500.wav, as WAV or FLAC, as it was stored.

    tracker-logging clips outputs/runs/a
    tracker-logging clips outputs/runs/a --voice ab12-slt --step 500 -o clips
    tracker-logging clips outputs/runs/a --json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.commands.base import CommandError, add_run_argument, open_run_or_fail, print_json, print_table
from tracker_logging.runs import Clip, Run, Voice, VoiceStep
from tracker_logging.runs.as_json import Json, clip_row, document


@dataclass(frozen=True)
class _Recording:
    voice: Voice
    name: str
    clip: Clip
    step: VoiceStep | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser)
    parser.add_argument("--voice", metavar="ID", action="append", help="only this voice; may be given several times")
    parser.add_argument("--step", type=int, metavar="N", help="generated clips of step N only")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="copy the clips there")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    opened = open_run_or_fail(args.run)
    recordings = list(_recordings(opened, args.voice, args.step))
    if not recordings:
        at_step = "" if args.step is None else f" of step {args.step}"
        raise CommandError(f"{opened.name} has no clips{at_step}.")
    rows = []
    failed = 0
    for recording in recordings:
        try:
            written = None if args.output is None else str(_copy(recording, args.output))
        except OSError as error:
            failed += 1
            written = None
            print(f"{recording.voice.id}, {recording.name}: not copied ({error}).", file=sys.stderr)
        rows.append(clip_row(recording.voice, recording.name, recording.clip, recording.step, written=written))
    if args.json:
        print_json(document("clips", run=opened.name, clips=rows))
    else:
        _print_rows(rows)
    return int(failed > 0)


def _recordings(run: Run, voices: Sequence[str] | None, step: int | None) -> Iterator[_Recording]:
    """Fixed clips, then generated ones, voice by voice. Raises `CommandError` for an unknown voice."""
    unknown = [voice for voice in voices or () if voice not in run.voices]
    if unknown:
        raise CommandError(f"{run.name} has no voice {unknown[0]!r}. It has: {', '.join(run.voices) or 'none'}.")
    for voice in run.voices.values():
        if voices and voice.id not in voices:
            continue
        if step is None:
            for name in ("reference", "target", "codec"):
                if name in voice.clips:
                    yield _Recording(voice, name, voice.clips[name])
        for generated in voice.steps.values():
            if generated.clip is not None and step in (None, generated.step):
                yield _Recording(voice, "generated", generated.clip, generated)


def _copy(recording: _Recording, output: Path) -> Path:
    """Raises `OSError`."""
    data = recording.clip.encoded()
    name = recording.name if recording.step is None else f"step-{recording.step.step:08d}"
    path = output / recording.voice.id / f"{name}.{'flac' if data.startswith(b'fLaC') else 'wav'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _print_rows(rows: Sequence[Json]) -> None:
    cells = [
        (
            row["voice"],
            row["name"],
            "" if row["step"] is None else str(row["step"]),
            "" if row["seconds"] is None else f"{row['seconds']:.2f}",
            f"{row['scores']['sim_o']:.3f}" if "sim_o" in row["scores"] else "",
            row["written"] or row["file"] or "in the event file",
        )
        for row in rows
    ]
    print_table(("voice", "clip", "step", "seconds", "sim_o", "file"), cells, width=None)
