"""Fits the `VoiceCodec`: trains its networks and codebooks for voice conversion.

Content codes of a clip and the voice of another make the frames of a third: the same sentence by the other speaker. So
the content codes need no information on the speaker, and the voice codes need all of it. Voices are quantised in the
last part of the training, in which their network does not change. At the end `fit_sounds.py` fits the codebooks of what
the networks' frames lack.

Guarantees
- The same clips, `steps` and `seed` give the same codec on the same machine and number of threads.

    codec = fit_voice_codec([CodecClip("af_sky", "12", rows), ...])
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tracker_logging.demo.pretrain.codec_examples import CodecBatch, CodecClip, CodecExamples
from tracker_logging.demo.pretrain.fit_sounds import with_sounds
from tracker_logging.demo.quantizer import fit_residual, quantise, without
from tracker_logging.demo.voice_codec import CONTENT, FIRST, NETWORK, OF_DETAIL, VoiceCodec
from tracker_logging.demo.voice_net import VOICING, VoiceNet
from tracker_logging.demo.voice_parts import CODEBOOK_SIZE, FIRST_CODES, OF_NETWORK
from tracker_logging.demo.world_features import CEPSTRUM, SUB_FEATURES

CONTENT_CODEBOOKS, VOICE_CODEBOOKS = 2, 4
STEPS = 9_000  # about 12 minutes on two cores
BATCH = 32
LEARNING_RATE = 1e-3
WARM_UP = 100
UNQUANTISED = 300  # first steps, in which content is not quantised
VOICES_QUANTISED = 0.6  # share of the steps after which voices are
FEWER_CODEBOOKS = 0.3  # share of the steps with the first content codebooks alone
VOICE_NOISE = 0.35  # at most, before voices are quantised
VOICE_BATCHES = 1 / 15  # of the steps: on their voices the voice codebooks are fitted
LARGEST_GAIN = 1.6
GAIN_BATCHES = 8
CLIPS_OF_SOUNDS = 4 / 45  # of the steps: clips on which the codebooks of what frames lack are fitted
PRINTED_STEPS = 500
_WEIGHTS = {0: 1.5, VOICING: 0.7, **dict.fromkeys(range(CEPSTRUM.stop, SUB_FEATURES), 0.3)}  # of features; others 1
_UNVOICED = 0.3  # weight of an unvoiced frame; a voiced one has 1.3
_DECAY = 0.99  # of the codebooks' averages


def fit_voice_codec(clips: Sequence[CodecClip], *, steps: int = STEPS, seed: int = 0) -> VoiceCodec:
    """`clips`: at least two of each speaker. Sentences of several speakers are what separates voice and speech."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fit = _Fit(CodecExamples(clips, seed=seed), steps, seed)
        for step in range(steps):
            loss = fit.step(step)
            if step % PRINTED_STEPS == PRINTED_STEPS - 1:
                print(f"codec: step {step + 1} of {steps}, loss {loss:.3f}", flush=True)
        return fit.codec()


class _Fit:
    def __init__(self, examples: CodecExamples, steps: int, seed: int) -> None:
        self._examples, self._steps, self._seed = examples, steps, seed
        self._choice = random.Random(seed)
        self._net = VoiceNet().train()
        rows = np.concatenate([clip.rows for clip in examples.clips[::3]])
        scale = rows.std(axis=0) + 1e-6
        scale[OF_DETAIL] = scale[3:9].mean()  # one for the spectrum's shape, so that errors count as in spectra
        statistics = {
            "mean": rows.mean(axis=0),
            "scale": scale,
            "voice_mean": examples.speaker_means.mean(axis=0),
            "voice_scale": examples.speaker_means.std(axis=0) + 1e-6,
        }
        for name, values in statistics.items():
            getattr(self._net, name).copy_(torch.from_numpy(values))
        self._within = torch.from_numpy(examples.deviation_within).float() + 1e-6
        self._feature_weights = torch.tensor([_WEIGHTS.get(index, 1.0) for index in range(SUB_FEATURES)])
        self._content: _Codebooks | None = None
        self._voices: list[list[torch.Tensor]] | None = None  # residual codebooks [size, VOICE_SIZE] of each part
        self._optimizer = torch.optim.AdamW(self._net.parameters(), LEARNING_RATE, betas=(0.9, 0.98), weight_decay=1e-2)

    def step(self, step: int) -> float:
        """Returns the loss."""
        done = step / self._steps
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * min(1.0, max(0.02, 2 * (1 - done)))
        if self._content is None and step >= min(UNQUANTISED, self._steps // 4):
            self._content = _Codebooks(self._content_vectors())
        if self._voices is None and done >= VOICES_QUANTISED:
            self._voices = self._fitted_voices()
        batch = self._examples.batch(BATCH)
        loss = self._loss(batch)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimizer.step()
        return loss.item()

    def _loss(self, batch: CodecBatch) -> torch.Tensor:
        vectors = self._net.content(batch.source, batch.source_means, batch.mask)
        content, commitment = self._quantised(vectors, batch.mask > 0)
        voices = self._voices_of(batch)
        frames = self._net.decode(content, voices[:, None].expand(-1, content.shape[1], -1), batch.mask)
        voiced = batch.target[..., VOICING].clamp(0, 1) * batch.mask[..., None]
        weights = (_UNVOICED * batch.mask[..., None] + voiced)[..., None]
        errors = ((frames - batch.target) / self._net.scale).square().add(0.01).sqrt() - 0.1
        errors = errors * self._feature_weights
        pitch = (errors[..., 0] * voiced).sum() / voiced.sum().clamp(min=1)
        others = (errors[..., 1:] * weights).sum() / weights.sum()
        means = ((self._net.means_of(voices) - batch.voice_means) / self._within).square().mean()
        return 0.5 * pitch + 0.125 * others + 0.1 * commitment + 0.03 * means

    def _quantised(self, vectors: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The content vectors as the codec decodes them, and by how much the network's differ."""
        if self._content is None:
            return vectors + 0.1 * torch.randn_like(vectors), 0.01 * vectors[valid].square().mean()
        few = self._choice.random() < FEWER_CODEBOOKS
        used = self._choice.randint(1, CONTENT_CODEBOOKS) if few else CONTENT_CODEBOOKS
        quantised, commitment = self._content.quantised(vectors[valid], used)
        return torch.zeros_like(vectors).masked_scatter(valid[..., None].expand_as(vectors), quantised), commitment

    def _voices_of(self, batch: CodecBatch) -> torch.Tensor:
        """[B, VOICE_SIZE]: noisy at first, later quantised."""
        if self._voices is None:
            voices = self._net.voice(batch.voice, batch.voice_means, batch.voice_mask)
            return voices + VOICE_NOISE * torch.rand(len(voices), 1) * torch.randn_like(voices)
        with torch.no_grad():
            voices = self._net.voice(batch.voice, batch.voice_means, batch.voice_mask)
            return _nearest_sum(voices, chain(*self._voices))

    @torch.no_grad()
    def _content_vectors(self) -> torch.Tensor:
        parts = []
        for _ in range(8):
            batch = self._examples.batch(BATCH)
            parts.append(self._net.content(batch.source, batch.source_means, batch.mask)[batch.mask > 0])
        return torch.cat(parts)

    @torch.no_grad()
    def _fitted_voices(self) -> list[list[torch.Tensor]]:
        """Residual codebooks of many voices; from here on their network is constant."""
        self._net.voice_norm.eval()
        batches = [self._examples.batch(BATCH) for _ in range(max(8, int(VOICE_BATCHES * self._steps)))]
        voices = torch.cat([self._net.voice(batch.voice, batch.voice_means, batch.voice_mask) for batch in batches])
        lacking, fitted = voices.double().numpy(), []
        for _ in range(OF_NETWORK):
            codebooks = []
            for size in (FIRST_CODES, *[CODEBOOK_SIZE] * (VOICE_CODEBOOKS - 1)):
                codebook = fit_residual(lacking, codebooks=1, size=size, seed=self._seed)
                lacking = without(lacking, codebook)
                codebooks.append(torch.from_numpy(codebook[0]).float())
            fitted.append(codebooks)
        return fitted

    @torch.no_grad()
    def codec(self) -> VoiceCodec:
        self._net.eval()
        self._restore_deviations()
        assert self._content is not None and self._voices is not None
        arrays: dict[str, Any] = {name: _stored(name, value) for name, value in self._net.state_dict().items()} | {
            CONTENT: self._content.codebooks.numpy(),
            FIRST: np.stack([codebooks[0].numpy() for codebooks in self._voices]),
            NETWORK: np.stack([torch.stack(codebooks[1:]).numpy() for codebooks in self._voices]),
        }
        clips = [self._examples.changed() for _ in range(max(40, int(CLIPS_OF_SOUNDS * self._steps)))]
        return with_sounds(arrays, clips, use=self._content.use[0].numpy(), seed=self._seed)

    def _restore_deviations(self) -> None:
        """Set the gains that restore the deviation of each cepstral coefficient: quantisation makes it smaller."""
        assert self._content is not None and self._voices is not None
        made: list[torch.Tensor] = []
        real: list[torch.Tensor] = []
        for _ in range(GAIN_BATCHES):
            batch = self._examples.batch(BATCH)
            vectors = self._net.content(batch.source, batch.source_means, batch.mask)
            content = _nearest_sum(vectors.flatten(0, 1), self._content.codebooks).view_as(vectors)
            voices = _nearest_sum(
                self._net.voice(batch.voice, batch.voice_means, batch.voice_mask), chain(*self._voices)
            )
            frames = self._net.decode(content, voices[:, None].expand(-1, content.shape[1], -1), batch.mask)
            is_voiced = (batch.target[..., VOICING] > 0.5) & (batch.mask > 0)[..., None]
            made.append(_centred(frames, is_voiced))
            real.append(_centred(batch.target, is_voiced))
        gain = torch.cat(real).std(dim=0) / torch.cat(made).std(dim=0).clamp(min=1e-6)
        self._net.gain[CEPSTRUM] = gain[CEPSTRUM].clamp(1, LARGEST_GAIN)


class _Codebooks:
    """Residual codebooks that follow the vectors they quantise, by moving averages."""

    def __init__(self, vectors: torch.Tensor) -> None:
        """`vectors` [N, CONTENT_SIZE]: to begin with."""
        rows = vectors.double().numpy()
        fitted = fit_residual(rows, codebooks=CONTENT_CODEBOOKS, size=CODEBOOK_SIZE, seed=0)
        counts = [np.bincount(codes, minlength=CODEBOOK_SIZE) for codes in quantise(rows, fitted)]
        self.codebooks = torch.from_numpy(fitted).float()
        self.use = torch.from_numpy(np.stack(counts)).float().clamp(min=1) / 8  # of each code, lately
        self._sums = self.codebooks * self.use[..., None]

    def quantised(self, vectors: torch.Tensor, used: int) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, CONTENT_SIZE] by the first `used` codebooks, with the vectors' gradient; and how far vectors are from
        their codes."""
        residual, total = vectors, torch.zeros_like(vectors)
        commitment = vectors.new_zeros(())
        for index in range(used):
            chosen = _nearest(residual.detach(), self.codebooks[index])
            codes = self.codebooks[index][chosen]
            self._follow(index, chosen, residual.detach())
            commitment = commitment + functional.mse_loss(residual, codes)
            total, residual = total + codes, residual - codes
        return vectors + (total - vectors).detach(), commitment

    def _follow(self, index: int, chosen: torch.Tensor, vectors: torch.Tensor) -> None:
        counts, sums = self.use[index], self._sums[index]
        counts.mul_(_DECAY).index_add_(0, chosen, torch.full((len(chosen),), 1 - _DECAY))
        sums.mul_(_DECAY).index_add_(0, chosen, vectors * (1 - _DECAY))
        unused = counts < 0.02 * counts.mean()
        if unused.any():  # begin again at vectors of this batch
            counts[unused] = counts.mean()
            sums[unused] = vectors[torch.randint(len(vectors), (int(unused.sum()),))] * counts.mean()
        self.codebooks[index] = sums / counts[:, None].clamp(min=1e-4)


def _nearest_sum(vectors: torch.Tensor, codebooks: Iterable[torch.Tensor]) -> torch.Tensor:
    """The vectors after residual quantisation."""
    residual = vectors
    for centroids in codebooks:
        residual = residual - centroids[_nearest(residual, centroids)]
    return vectors - residual


def _nearest(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    return (centroids.square().sum(dim=1) - 2 * vectors @ centroids.T).argmin(dim=1)


def _centred(frames: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The chosen rows of each clip, less their mean."""
    rows = [clip[of_clip] for clip, of_clip in zip(frames, chosen, strict=True) if of_clip.any()]
    return torch.cat([clip - clip.mean(dim=0) for clip in rows])


def _stored(name: str, value: torch.Tensor) -> Any:
    """Weights in half precision, statistics in float32."""
    is_weight = name.endswith((".weight", ".bias"))
    return value.detach().to(torch.float16 if is_weight else value.dtype).numpy()
