"""Fits the `VoiceCodec`: classes of sounds, the networks that encode, and the codebooks.

Guarantees
- The same clips, steps and `seed` give the same codec on the same machine and number of threads.

    codec = fit_voice_codec([codec_clip("af_sky", wave, source), ...])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tracker_logging.demo.pretrain.audibility import voice_metric
from tracker_logging.demo.pretrain.codec_examples import VOICED_HZ, CodecClip, CodecExamples, SoundBatch
from tracker_logging.demo.quantizer import fit_residual
from tracker_logging.demo.spectra import ROWS
from tracker_logging.demo.voice_codec import (
    ENERGIES,
    PITCHES,
    SILENCES,
    SOUND_NET,
    SOUND_VECTORS,
    SPECTRUM_NET,
    Array,
    Speech,
    VoiceCodec,
    recognised,
    speech_of,
)
from tracker_logging.demo.voice_net import SOUND_CLASSES, SoundNet, SpectrumNet
from tracker_logging.demo.voice_parts import CODEBOOK_SIZE, fit_parts

SOUND_STEPS, SPECTRUM_STEPS = 3_500, 14_500  # about 8 and 35 minutes on two cores
SOUND_BATCH, SPECTRUM_BATCH = 24, 24
LEARNING_RATE = 1.5e-3
WARM_UP = 100
PRINTED_STEPS = 500
VECTORS = 20_000  # of which sound classes are fitted
PROSODY_FRAMES = 15_000
SMOOTHING = 0.05  # of the styles' variances


def fit_voice_codec(
    clips: Sequence[CodecClip], *, sound_steps: int = SOUND_STEPS, spectrum_steps: int = SPECTRUM_STEPS, seed: int = 0
) -> VoiceCodec:
    """`clips` of many speakers."""
    draw = np.random.default_rng(seed)
    vectors = fit_residual(_content(clips, draw), codebooks=1, size=SOUND_CLASSES, seed=seed)[0]
    examples = CodecExamples(clips, vectors, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sound_net = SoundNet().train()
        _train("sounds", sound_net, sound_steps, lambda: _loss_of_sounds(sound_net, examples.sounds(SOUND_BATCH)))
        sound_net.eval()
        spectrum_net = SpectrumNet().train()
        _set_styles(spectrum_net, clips)
        loss_of = partial(_loss_of_spectra, sound_net, spectrum_net, examples)
        _train("spectra", spectrum_net, spectrum_steps, loss_of)
        spectrum_net.eval()
    return codec_of(clips, vectors, sound_net, spectrum_net, seed=seed)


def codec_of(
    clips: Sequence[CodecClip], sound_vectors: Array, sound_net: SoundNet, spectrum_net: SpectrumNet, *, seed: int
) -> VoiceCodec:
    """The codec of trained networks, in evaluation mode: codebooks are fitted on what clips have in it."""
    draw = np.random.default_rng(seed)
    speech = [_known_speech(sound_net, clip) for clip in _of_each_speaker(clips)]
    metric = voice_metric(sound_net, spectrum_net, clips, seed=seed)
    return VoiceCodec(
        {
            SOUND_VECTORS: sound_vectors.astype(np.float16),
            SILENCES: _silences(clips),
            PITCHES: _prosody([each.pitch for each in speech], draw, seed),
            ENERGIES: _prosody([each.energy for each in speech], draw, seed),
            **fit_parts(np.stack([each.voice for each in speech]), metric, seed=seed),
            **_stored(SOUND_NET, sound_net),
            **_stored(SPECTRUM_NET, spectrum_net),
        }
    )


def _known_speech(sound_net: SoundNet, clip: CodecClip) -> Speech:
    """In the style that the clip was made of."""
    rows = clip.spectra.astype(np.float32)
    return speech_of(rows, recognised(sound_net, rows), clip.style)


def _of_each_speaker(clips: Sequence[CodecClip]) -> list[CodecClip]:
    """One clip of each."""
    return list({clip.speaker: clip for clip in clips}.values())


def _set_styles(net: SpectrumNet, clips: Sequence[CodecClip]) -> None:
    """Mean and covariance of the speakers' styles. Variances are a little larger, so that no combination of dimensions
    is fixed."""
    styles = np.stack([clip.style for clip in _of_each_speaker(clips)]).astype(np.float64)
    covariance = np.cov(styles.T) + SMOOTHING * np.diag(styles.var(axis=0))
    net.style_mean.copy_(torch.from_numpy(styles.mean(axis=0)))
    net.style_basis.copy_(torch.from_numpy(np.linalg.cholesky(covariance)))


def _content(clips: Sequence[CodecClip], draw: np.random.Generator) -> Array:
    """[VECTORS, CONTENT_SIZE]: those of rows, drawn from all."""
    numbers = draw.integers(0, len(clips), VECTORS)
    rows = [clips[number].content[draw.choice(clips[number].places)] for number in numbers]
    return np.stack(rows).astype(np.float64)


def _silences(clips: Sequence[CodecClip]) -> npt.NDArray[np.float16]:
    """The mean vectors of the silence before and after speech. The last vector of a clip is that of the end."""
    vectors = np.stack([clip.content[[0, -2]] for clip in clips])
    silences: npt.NDArray[np.float16] = vectors.mean(axis=0, dtype=np.float64).astype(np.float16)
    return silences


def _train(name: str, net: torch.nn.Module, steps: int, loss_of: Callable[[], torch.Tensor]) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=0.03)
    total = 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * max(0.01, 1 - step / steps)
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % PRINTED_STEPS == PRINTED_STEPS - 1:
            print(f"codec: {name}, step {step + 1} of {steps}, loss {total / PRINTED_STEPS:.3f}", flush=True)
            total = 0.0


def _loss_of_sounds(net: SoundNet, batch: SoundBatch) -> torch.Tensor:
    output, is_speech = net(batch.spectra), batch.is_speech
    is_voiced = (batch.pitch > VOICED_HZ) & is_speech
    classes = functional.cross_entropy(output.classes[is_speech], batch.classes[is_speech])
    voicing = functional.binary_cross_entropy_with_logits(output.voicing[is_speech], is_voiced[is_speech].float())
    pitch = (output.pitch[is_voiced] - batch.pitch[is_voiced].log()).abs().mean()
    energy = (output.energy - batch.energy)[is_speech].abs().mean()
    loss: torch.Tensor = classes + voicing + 3 * pitch + 0.25 * energy
    return loss


def _loss_of_spectra(sound_net: SoundNet, net: SpectrumNet, examples: CodecExamples) -> torch.Tensor:
    batch = examples.spectra(SPECTRUM_BATCH)
    with torch.no_grad():
        sounds = sound_net(batch.spectra)
    return net.losses(batch.spectra, sounds, net.coordinates(batch.style)).mean()


def _prosody(clips: Sequence[Array], draw: np.random.Generator, seed: int) -> npt.NDArray[np.float32]:
    """Rows of each clip [N] -> a codebook [CODEBOOK_SIZE, ROWS] of frames."""
    frames = np.concatenate([rows.reshape(-1, ROWS) for rows in clips])
    chosen = frames[draw.permutation(len(frames))[:PROSODY_FRAMES]]
    codebook: npt.NDArray[np.float32] = fit_residual(chosen, codebooks=1, size=CODEBOOK_SIZE, seed=seed)[0].astype("f4")
    return codebook


def _stored(prefix: str, net: torch.nn.Module) -> dict[str, Any]:
    """Weights in half precision, statistics in float32."""
    statistics = dict(net.named_buffers())
    return {
        prefix + name: value.detach().to(torch.float32 if name in statistics else torch.float16).numpy()
        for name, value in net.state_dict().items()
    }
