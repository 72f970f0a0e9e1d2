"""Run by `forked_ranks.py` on two gloo processes: `sharded_ranks.py DEMO_DIRECTORY OUTPUT`. Rank 0 writes the results.

A small model is trained under FSDP2 for five steps: without voices, with them, and with a rank 1 whose layers raise
while it generates or is conditioned. The results are compared with one process and the whole model.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from short_demo import small_model
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from training import fingerprint_of
from transformers import TrainerControl, TrainerState, TrainingArguments

from tracker_logging.data.formats import read_samples
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.events import Scalars
from tracker_logging.families import SamplingSettings, adapter_for
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.integrations.hf_trainer import LoggingSession, ZeroShotVerificationLoggerCallback
from tracker_logging.observers import zero_shot
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.exchange import SingleProcess
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.settings import VoiceSettings

STEPS, PROMPTS, VOICE_STEPS = 5, 3, (0, 2, 4, 5)
SETTINGS = VoiceSettings(
    max_clips=PROMPTS, conditioning_clips=PROMPTS, batch_size=1, sampling=SamplingSettings(temperature=0.9)
)


class Recorder:
    """A scorer that keeps the waveforms."""

    def __init__(self) -> None:
        self.waves: dict[int, dict[str, Any]] = {}

    def score(self, *, step, clips):
        self.waves[step] = {
            clip.voice.voice_id: clip.error if clip.wave is None else clip.wave.tolist() for clip in clips
        }
        return iter(())

    def hurry(self) -> None: ...

    def close(self) -> None: ...


class Run:
    """One training. `broken`: on rank 1 a layer raises while it is `decoding` or `conditioning`."""

    def __init__(self, demo: DemoPaths, output: Path, *, voices: bool, broken: str | None = None) -> None:
        self.rank = distributed.get_rank()
        self.processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
        self.samples = read_samples(demo.eval)
        self.model = small_model()
        if broken is not None and self.rank == 1:
            self.model.model.layers[1].register_forward_pre_hook(lambda _, given: _raise(broken, given))
        for layer in self.model.model.layers:
            fully_shard(layer)
        fully_shard(self.model)
        self.recorder, self.tracker = Recorder(), MemoryTracker()
        zero_shot.open_scorer = lambda *_: self.recorder
        session = LoggingSession(tracker=self.tracker, processor=self.processor, every=2, voice_steps=2, budget_pct=1e9)
        made = ZeroShotVerificationLoggerCallback(session, samples=self.samples, settings=SETTINGS)
        self.callbacks = [made] if voices else []
        self.open = lambda: session.current.guard.is_on("zero_shot forwards")
        self.weights: dict[int, dict[str, torch.Tensor]] = {0: self._whole()}
        self.sharded: list[bool] = []
        self.fingerprint = self._train(output)

    def _train(self, output: Path) -> str:
        state, control = TrainerState(), TrainerControl()
        arguments = TrainingArguments(output_dir=str(output), use_cpu=True, report_to="none")
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        torch.manual_seed(self.rank)

        def tell(handler: str) -> None:
            for callback in self.callbacks:
                getattr(callback, handler)(arguments, state, control, model=self.model, optimizer=optimizer)

        tell("on_train_begin")
        for step in range(1, STEPS + 1):
            tell("on_step_begin")
            row = self.processor.features(self.samples[2 * step + self.rank])
            self.model(**self.processor.collator()([row])).loss.backward()
            tell("on_pre_optimizer_step")
            optimizer.step()
            tell("on_optimizer_step")
            optimizer.zero_grad()
            state.global_step = step
            control.should_training_stop = step == STEPS
            tell("on_step_end")
            self.sharded.append(all(isinstance(own, DTensor) for own in self.model.parameters()))
            if step in VOICE_STEPS:
                self.weights[step] = self._whole()
        tell("on_train_end")
        return fingerprint_of(self.model, optimizer)

    def _whole(self) -> dict[str, torch.Tensor]:
        return {name: weight.full_tensor() for name, weight in self.model.state_dict().items()}

    def conditioning(self) -> dict[int, dict[str, float]]:
        return conditioning_of(self.tracker)

    def alone(self) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, float]]]:
        """The same rounds in one process, by the whole model with the weights of each voice step."""
        recorder, tracker = Recorder(), MemoryTracker()
        rounds = VoiceRounds(
            self.samples, self.processor, SETTINGS,
            exchange=SingleProcess(), scorer=lambda _: recorder, emit=tracker.emit,
        )  # fmt: skip
        whole: nn.Module = small_model(seed=1).eval()
        for step, weights in self.weights.items():
            whole.load_state_dict(weights)
            rounds.measure_conditioning(adapter_for(whole), device=torch.device("cpu"), step=step)
            rounds.generate(adapter_for(whole), step=step)
        rounds.close()
        return recorder.waves, conditioning_of(tracker)


def conditioning_of(tracker: MemoryTracker) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for event in tracker.events:
        if isinstance(event, Scalars):
            found.setdefault(event.step, {}).update(
                {tag: value for tag, value in event.values.items() if tag.startswith("conditioning/")}
            )
    return {step: values for step, values in found.items() if step in VOICE_STEPS}


def _raise(broken: str, given: tuple[torch.Tensor, ...]) -> None:
    decodes = given[0].shape[1] == 1
    if not torch.is_grad_enabled() and decodes == (broken == "decoding"):
        raise RuntimeError("this rank is broken")


def main(demo: DemoPaths, output: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    plain = Run(demo, output, voices=False)
    watched = Run(demo, output, voices=True)
    decoding = Run(demo, output, voices=True, broken="decoding")
    conditioning = Run(demo, output, voices=True, broken="conditioning")
    runs = {"watched": watched, "decoding": decoding, "conditioning": conditioning}
    mine = {
        "identical": {name: run.fingerprint == plain.fingerprint for name, run in runs.items()},
        "sharded": {name: run.sharded for name, run in runs.items()},
        "open": {name: run.open() for name, run in runs.items()},
    }
    ranks: list[Any] = [None, None]
    distributed.all_gather_object(ranks, mine)
    if distributed.get_rank() == 0:
        waves, gaps = watched.alone()
        found = {
            "ranks": ranks,
            "waves": {name: run.recorder.waves for name, run in runs.items()},
            "gaps": {name: run.conditioning() for name, run in runs.items()},
            "alone": {"waves": waves, "gaps": gaps},
        }
        (output / "found.json").write_text(json.dumps(found))
    distributed.barrier()
    os._exit(0)  # as in tests/probes/two_ranks.py


if __name__ == "__main__":
    main(DemoPaths(Path(sys.argv[1])), Path(sys.argv[2]))
