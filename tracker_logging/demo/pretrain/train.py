"""Pretrains the demo's model on pairs of clips, for a given time. Resumable; keeps the best checkpoint.

The best checkpoint is the one with the lowest loss on speakers that were never trained. `log.jsonl` gets a line for
each evaluation: `train`, `seen` and `unseen` are nats per code, `gap` is how much worse the unseen speakers' loss is
with another speaker's reference.

    pretrain(clips, codec, directory / "model", Schedule(minutes=30))
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tracker_logging.demo.model import demo_config, demo_model
from tracker_logging.demo.open_tokenizer import open_tokenizer
from tracker_logging.demo.pretrain.material import NOT_TRAINED
from tracker_logging.demo.pretrain.pairs import Clip, PairSource
from tracker_logging.demo.pretrain.voices import UNSEEN
from tracker_logging.demo.voice_codec import VoiceCodec
from tracker_logging.families import adapter_for
from tracker_logging.families.base import IGNORE, Features

WARMUP_STEPS = 40
FIRST_WEIGHTS = (3.0, 1.0)  # of the losses of the first content codebooks: they hold the words
LATER_WEIGHT = 0.3  # of each later content codebook's
SPEAKER_WEIGHT = 1.0  # of each speaker codebook's
LAST_RATE = 0.03  # of the learning rate, at the end; it falls over the second half of the time
_SEEN_SPEAKERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how to train."""

    minutes: float
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    evaluation_seconds: float = 150.0
    seed: int = 0


def pretrain(clips: Mapping[str, Clip], codec: VoiceCodec, directory: Path, schedule: Schedule) -> Any:
    """Train on from `directory / "last.pt"`, if it exists. Returns the best model so far; it is also `best.pt`."""
    directory.mkdir(parents=True, exist_ok=True)
    run = _Run(clips, codec, directory, schedule)
    started = last_evaluation = time.monotonic()
    while (done := (time.monotonic() - started) / (60 * schedule.minutes)) < 1:
        run.step(done)
        if time.monotonic() - last_evaluation > schedule.evaluation_seconds:
            run.evaluate()
            last_evaluation = time.monotonic()
    run.evaluate()
    run.model.load_state_dict(torch.load(directory / "best.pt", weights_only=True)["model"])
    return run.model


class _Run:
    def __init__(self, clips: Mapping[str, Clip], codec: VoiceCodec, directory: Path, schedule: Schedule) -> None:
        tokenizer = open_tokenizer()
        self._directory, self._schedule = directory, schedule
        later, speaker = codec.content_codebooks - len(FIRST_WEIGHTS), codec.num_codebooks - codec.content_codebooks
        self._weights = torch.tensor([*FIRST_WEIGHTS, *later * [LATER_WEIGHT], *speaker * [SPEAKER_WEIGHT]])
        self.model = demo_model(schedule.seed, demo_config(tokenizer, codebooks=codec.num_codebooks))
        self._adapter = adapter_for(self.model)
        self._steps, self._best, self._losses = 0, float("inf"), list[float]()
        if (directory / "last.pt").exists():
            state = torch.load(directory / "last.pt", weights_only=True)
            self.model.load_state_dict(state["model"])
            self._steps, self._best = state["steps"], state["best"]
        self._pairs = PairSource(clips, codec, tokenizer, seed=schedule.seed + self._steps)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.98), weight_decay=schedule.weight_decay
        )
        speakers = sorted({clip.speaker for clip in clips.values()})
        self._trained = [speaker for speaker in speakers if speaker not in NOT_TRAINED]
        self._unseen = self._pairs.fixed_pairs([name for name in UNSEEN if name in speakers], each=2)
        self._seen = self._pairs.fixed_pairs(self._trained[:_SEEN_SPEAKERS], each=1)
        self._first = self._steps

    def step(self, done: float) -> None:
        """One step; `done` is the share of the time that has passed."""
        rate = min(1.0, (self._steps - self._first + 1) / WARMUP_STEPS) * min(1.0, max(LAST_RATE, 2 * (1 - done)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate * rate
        losses = self._losses_of(self._pairs.batch(self._schedule.batch_size, speakers=self._trained))
        self._optimizer.zero_grad(set_to_none=True)
        ((losses * self._weights).sum() / self._weights.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._steps += 1
        self._losses.append(float(losses.detach().mean()))

    def evaluate(self) -> None:
        """Write a line to the log, and the checkpoints."""
        references = [reference for reference, _ in self._unseen]
        half = len(references) // 2
        others = references[half:] + references[:half]
        wrong = [(other, target) for other, (_, target) in zip(others, self._unseen, strict=True)]
        unseen = self._evaluated(self._unseen)
        record = {
            "step": self._steps,
            "train": sum(self._losses) / max(1, len(self._losses)),
            "seen": self._evaluated(self._seen),
            "unseen": unseen,
            "gap": self._evaluated(wrong) - unseen,
        }
        self._losses.clear()
        with (self._directory / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        is_best, self._best = unseen < self._best, min(unseen, self._best)
        state = {"model": self.model.state_dict(), "steps": self._steps, "best": self._best}
        for name in ("last.pt", "best.pt") if is_best else ("last.pt",):
            torch.save(state, self._directory / name)

    @torch.no_grad()
    def _evaluated(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Mean loss per code over batches."""
        size = self._schedule.batch_size
        self.model.eval()
        losses = [
            float(self._losses_of(self._pairs.clean_batch(pairs[first : first + size])).mean())
            for first in range(0, len(pairs), size)
        ]
        self.model.train()
        return sum(losses) / len(losses)

    def _losses_of(self, batch: Features) -> torch.Tensor:
        """[K]: each codebook's mean cross-entropy over its labels."""
        labels = self._adapter.view(batch).audio_labels
        assert labels is not None
        labels = labels[:, 1:]
        columns = (labels != IGNORE).any(dim=-1).any(dim=0).nonzero().squeeze(-1)
        inputs = {name: value for name, value in batch.items() if name != "audio_labels"}
        logits = self.model(**inputs, logits_to_keep=columns, use_cache=False).logits
        codebooks = labels.shape[-1]
        logits = logits.reshape(*logits.shape[:2], codebooks, -1)
        return torch.stack(
            [
                torch.nn.functional.cross_entropy(
                    logits[:, :, codebook].flatten(0, 1).float(), labels[:, columns, codebook].flatten()
                )
                for codebook in range(codebooks)
            ]
        )
