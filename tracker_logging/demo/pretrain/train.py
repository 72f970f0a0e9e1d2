"""Pretrains the demo's model on pairs of clips, for a given time, as a run of this library. Resumable.

Evaluations log losses in nats per code: `eval/seen` and `eval/unseen` of content codes, and `eval/gap`, by how much the
unseen speakers' loss of all codes is larger with another speaker's reference. Voices of trained and of unseen speakers
are generated every `voice_steps` steps. The last model is the one to take: the learning rate falls to almost 0 at the
end, and words get better long after the loss on unseen speakers has stopped to fall.

Under `torchrun` each process draws pairs of its own, and gradients are averaged.

    pretrain(clips, codec, directory, Schedule(minutes=30))     # directory / "training"
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tracker_logging import watch
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.groups import GROUP
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.model import HEADS, demo_config, demo_model
from tracker_logging.demo.open_tokenizer import open_tokenizer
from tracker_logging.demo.pretrain.lean import lean_losses
from tracker_logging.demo.pretrain.pairs import CALIBRATION, NOISE, Clip, Noise, PairSource
from tracker_logging.demo.pretrain.voices import KEPT
from tracker_logging.demo.pretrain.voices import UNSEEN as UNSEEN_SPEAKERS
from tracker_logging.demo.voice_codec import VoiceCodec
from tracker_logging.families import adapter_for
from tracker_logging.families.base import IGNORE, Features
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.tags import TRAINED, UNSEEN
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings
from tracker_logging.whole_file import whole_file

WARMUP_STEPS = 100
CONTENT_WEIGHT, VOICE_WEIGHT, PROSODY_WEIGHT = 2.0, 1.0, 0.5  # of each codebook's loss
LAST_RATE = 0.03  # of the learning rate, at the end; it falls over the second half of the time
ONE_PART = ((320, 0.9), (575, 0.4), (925, 0.15))  # until which step which share of the pairs: `Noise.one_part`
CALIBRATED = 0.15  # share of the time, at the end, in which pairs are drawn with `CALIBRATION`
TEMPERATURE = 0.3  # of the voices in the run
_SEEN_SPEAKERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how to train. `batch_size`: pairs of a process."""

    minutes: float
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    evaluation_seconds: float = 180.0
    logging_steps: int = 250
    voice_steps: int = 500
    bf16: bool = False
    """Autocast: faster on CPUs with AMX, slower without (0.85 against 0.6 s a step)."""
    transcriber: str | None = None
    """As `--voice_transcriber`."""
    weights: Path | None = None
    """A directory of weights to begin with, where there is no `last.pt`; the codec must be theirs."""
    seed: int = 0


def pretrain(clips: Mapping[str, Clip], codec: VoiceCodec, directory: Path, schedule: Schedule) -> Any:
    """Train on from `training/last.pt`, if it exists. Returns the model; it is also in `training/last.pt`."""
    (directory / "training").mkdir(parents=True, exist_ok=True)
    training = _Training(clips, codec, directory, schedule)
    session = training.session()
    started = last_evaluation = time.monotonic()
    with session:
        while (done := _agreed((time.monotonic() - started) / (60 * schedule.minutes))) < 1:
            training.step(done, session)
            if _agreed(time.monotonic() - last_evaluation) > schedule.evaluation_seconds:
                training.evaluate(session)
                last_evaluation = time.monotonic()
        training.evaluate(session)
    return training.model


class _Training:
    def __init__(self, clips: Mapping[str, Clip], codec: VoiceCodec, directory: Path, schedule: Schedule) -> None:
        self._tokenizer = open_tokenizer()
        self._codec, self._directory, self._schedule = codec, directory, schedule
        weights = codec.content_codebooks * [CONTENT_WEIGHT] + codec.voice_codebooks * [VOICE_WEIGHT]
        self._weights = torch.tensor(weights + (codec.num_codebooks - len(weights)) * [PROSODY_WEIGHT])
        self.model = demo_model(schedule.seed, demo_config(self._tokenizer, codebooks=codec.num_codebooks, heads=HEADS))
        self._adapter = adapter_for(self.model)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.98), weight_decay=schedule.weight_decay, fused=True
        )
        self._steps, self._run = 0, dict[str, Any]()
        last = directory / "training/last.pt"
        if last.exists():
            state = torch.load(last, weights_only=True)
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._steps, self._run = state["steps"], state["run"]
        elif schedule.weights is not None:
            weights = type(self.model).from_pretrained(schedule.weights, dtype=torch.float32)
            self.model.load_state_dict(weights.state_dict())
        self._pairs = PairSource(clips, codec, self._tokenizer, seed=1_000 * (schedule.seed + self._steps) + _rank())
        speakers = sorted({clip.speaker for clip in clips.values()})
        self._trained = [speaker for speaker in speakers if speaker not in KEPT]
        self._unseen = self._pairs.fixed_pairs([name for name in UNSEEN_SPEAKERS if name in speakers], each=2)
        self._seen = self._pairs.fixed_pairs(self._trained[:_SEEN_SPEAKERS], each=1)
        self._first = self._steps

    def session(self) -> Any:
        """The run: logged steps, and voices that it was and was never trained on."""
        seen = [self._voice(*pair, TRAINED) for pair in self._seen[:: max(1, len(self._seen) // 4)]]
        unseen = [self._voice(*pair, UNSEEN) for pair in self._unseen[::2]]
        session = watch(
            self.model,
            self._optimizer,
            processor=SpeechProcessor(
                self._tokenizer, self._codec, CodeCache(self._directory / "voice-codes", self._codec)
            ),
            voice_samples=[*seen, *unseen],
            voice_settings=VoiceSettings(
                sampling_changes={"temperature": TEMPERATURE},
                scorers=ScorerChoice(transcriber=self._schedule.transcriber),
            ),
            logging_dir=self._directory / "training/runs",
            run_name="pretraining",
            every=self._schedule.logging_steps,
            voice_steps=self._schedule.voice_steps,
            budget_pct=50.0,
        )
        if self._run:
            session.load_state_dict(self._run)
        return session

    def _voice(self, reference: str, target: str, group: str) -> VoiceSample:
        sample = self._pairs.sample(reference, target)
        clips = self._directory / "clips"
        return replace(
            sample,
            reference_audio=clips / f"{reference}.flac",
            target_audio=clips / f"{target}.flac",
            extra={GROUP: group},
        )

    def step(self, done: float, session: Any) -> None:
        """One step; `done` is the share of the time that has passed."""
        rate = min(1.0, (self._steps - self._first + 1) / WARMUP_STEPS) * min(1.0, max(LAST_RATE, 2 * (1 - done)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate * rate
        self._pairs.noise = noise_of(self._steps, done)
        batch = self._pairs.batch(self._schedule.batch_size, speakers=self._trained)
        with session.step() as number:
            is_logged = number == self._first + 1 or number % self._schedule.logging_steps == 0
            losses = self._losses_of(batch, through_the_model=is_logged)
            ((losses * self._weights).sum() / self._weights.sum()).backward()
            _average([parameter.grad for parameter in self.model.parameters() if parameter.grad is not None])
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        self._steps = number
        if is_logged:
            codebooks = {f"train/codebook_{index}": loss for index, loss in enumerate(losses.tolist())}
            session.log({"loss": losses.detach().mean(), **codebooks})

    def evaluate(self, session: Any) -> None:
        """Log the losses and write the checkpoint."""
        references = [reference for reference, _ in self._unseen]
        half = len(references) // 2
        others = references[half:] + references[:half]
        wrong = [(other, target) for other, (_, target) in zip(others, self._unseen, strict=True)]
        content = slice(self._codec.content_codebooks)
        of_unseen = self._evaluated(self._unseen)
        values = {
            "seen": float(self._evaluated(self._seen)[content].mean()),
            "unseen": float(of_unseen[content].mean()),
            "gap": float((self._evaluated(wrong) - of_unseen).mean()),
        }
        session.log({f"eval_{name}": value for name, value in values.items()})
        run = session.state_dict()  # on every rank
        if _rank():
            return
        print(f"step {self._steps}: " + ", ".join(f"{name} {value:.3f}" for name, value in values.items()), flush=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
            "run": run,
        }
        with whole_file(self._directory / "training/last.pt") as part:
            torch.save(state, part)

    @torch.no_grad()
    def _evaluated(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """[K]: mean over batches."""
        size = self._schedule.batch_size
        losses = [
            self._losses_of(self._pairs.clean_batch(pairs[first : first + size]))
            for first in range(0, len(pairs), size)
        ]
        return torch.stack(losses).mean(dim=0)

    def _losses_of(self, batch: Features, *, through_the_model: bool = False) -> torch.Tensor:
        """[K]: each codebook's mean cross-entropy over its labels. A logged step goes through the model's `forward`,
        which is what the run observes."""
        with torch.autocast("cpu", torch.bfloat16) if self._schedule.bf16 else nullcontext():
            if not through_the_model:
                return lean_losses(self.model, batch)
            logits = self.model(**batch, use_cache=False).logits.float()
        labels = self._adapter.view(batch).audio_labels
        assert labels is not None
        codebooks = labels.shape[-1]
        logits = logits.reshape(*logits.shape[:2], codebooks, -1)[:, :-1]
        return torch.stack(
            [
                torch.nn.functional.cross_entropy(
                    logits[:, :, codebook].flatten(0, 1), labels[:, 1:, codebook].flatten(), ignore_index=IGNORE
                )
                for codebook in range(codebooks)
            ]
        )


def noise_of(step: int, done: float) -> Noise:
    """What the pairs of a step are drawn with when the share `done` of the time has passed."""
    if done > 1 - CALIBRATED:
        return CALIBRATION
    return replace(NOISE, one_part=next((share for until, share in ONE_PART if step < until), 0.0))


def _rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def _agreed(value: float) -> float:
    """Rank 0's, so that all ranks stop and evaluate at the same step."""
    if not distributed.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(shared, src=0)
    return float(shared)


def _average(gradients: Sequence[torch.Tensor]) -> None:
    """Replace each by its mean over the ranks."""
    if not distributed.is_initialized():
        return
    flat = parameters_to_vector(gradients)
    distributed.all_reduce(flat)
    vector_to_parameters(flat / distributed.get_world_size(), gradients)
