"""The cost of voices: seconds per round, the share on the training thread, and how much scoring slows training down.

    python benchmarks/voice_scoring.py [--whisper DIRECTORY] [--blocks 6]

Training steps of the demo run in blocks: alone, while 12 clips are scored on a thread of the same process, and while
they are scored in another process, as in a run. Prints medians. Other work on the machine adds noise, so compare
several runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.probes.isolation import isolated
from tracker_logging.voices.clips import ClipDecoder
from tracker_logging.voices.conditioning import conditioning_losses, conditioning_rows
from tracker_logging.voices.generation import Generated, generate
from tracker_logging.voices.prompt import build_prompt, choose_samples
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scoring import Scorer, VoiceScorer
from tracker_logging.voices.scoring_process import ScoringProcess
from tracker_logging.worker import WorkerThread

BATCH, STEPS, LIMIT_S = 8, 8, 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whisper", help="a Whisper directory; without it no clip is transcribed")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--demo", type=Path, help="the directory of a built demo; default: build one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(DemoPaths(args.demo) if args.demo else build_demo(Path(folder) / "demo"), args)


def measure(paths: DemoPaths, args: argparse.Namespace) -> None:
    processor = SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)
    samples = choose_samples(read_samples(paths.eval), count=12)
    prompts = [build_prompt(sample, processor, SamplingSettings(), seed=0) for sample in samples]
    collate = VoiceCloningCollator.of(processor)
    model = demo_model(seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    batch = collate([processor.features(sample) for sample in read_samples(paths.train)[:BATCH]])
    choice = ScorerChoice(transcriber=f"whisper={args.whisper}" if args.whisper else None)
    scorers: dict[str, Scorer] = {
        "a thread": VoiceScorer(choose_instruments(choice)),
        "a process": ScoringProcess(choice),
    }
    # The codes of the real targets, so that all clips are valid and scored in full.
    results = [
        Generated(voice_id=p.voice_id, codes=processor.codes(p.sample.target_audio), stop_reason="eos") for p in prompts
    ]

    clips = ClipDecoder(prompts, processor).decode(results)

    def step() -> float:
        start = time.perf_counter()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - start

    for which in ("first round, with the recordings", "later round"):
        for where, scorer in scorers.items():
            busy, start = time.process_time(), time.perf_counter()
            list(scorer.score(step=0, clips=clips))
            busy, wall = time.process_time() - busy, time.perf_counter() - start
            print(f"scoring 12 clips in {where}, {which}: {wall:.1f} s, {busy:.1f} CPU-s of the training process")
    with isolated(model):
        adapter, rows = adapter_for(model), conditioning_rows(prompts[:8], processor)
        device = torch.device("cpu")
        gap_s = timed(lambda: conditioning_losses(adapter, rows, collate, device=device, batch_size=16))
        generation_s = timed(lambda: generate(adapter, prompts, SamplingSettings(), batch_size=16))
    print(
        f"on the training thread: generation {generation_s:.2f} s a round, conditioning gap {gap_s:.2f} s a logged step"
    )
    step()
    ratios: dict[str, list[float]] = {where: [] for where in scorers}
    for _ in range(args.blocks):
        for where, scorer in scorers.items():
            alone = statistics.median(step() for _ in range(STEPS))
            worker = WorkerThread(depth=1)
            worker.submit(lambda scorer=scorer: list(scorer.score(step=0, clips=clips)))
            ratios[where].append(statistics.median(step() for _ in range(STEPS)) / alone)
            worker.close(timeout_s=LIMIT_S)
    for where, values in ratios.items():
        spread = f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"step time while scoring in {where} / alone, {args.blocks} blocks: {spread}")
    for scorer in scorers.values():
        scorer.close()


def timed(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
