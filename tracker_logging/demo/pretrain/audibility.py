"""How unlike two voices sound: by how many deviations a difference of their styles changes spectra.

A style has dimensions that no one can tell from the wave, and few that change all of it. Codes of a voice are better
spent on the latter.

    metric = voice_metric(sound_net, spectrum_net, clips, seed=0)       # [VOICE_SIZE, VOICE_SIZE]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tracker_logging.demo.kokoro import STYLE_SIZE
from tracker_logging.demo.pretrain.codec_examples import CodecClip
from tracker_logging.demo.spectra import levelled
from tracker_logging.demo.voice_codec import VOICE_SIZE, Array
from tracker_logging.demo.voice_net import SoundNet, SpectrumNet

CLIPS, DIRECTIONS, ROWS = 24, 48, 120
ALIKE = (0.04, 0.4, 0.1)  # of mean log-F0, energy and log level: as audible as one deviation of one value of spectra
_FLOOR = 1e-4  # of the largest eigenvalue


def voice_metric(sound_net: SoundNet, spectrum_net: SpectrumNet, clips: Sequence[CodecClip], *, seed: int) -> Array:
    """The distance of two voices times this is the number of deviations, in the root of the sum of squares, by which
    rows of their spectra differ. Networks in evaluation mode; `clips` are of voices that are not at the average."""
    draw = np.random.default_rng(seed)
    chosen = [clips[number] for number in draw.permutation(len(clips))[:CLIPS]]
    gradients = np.concatenate([_gradients(sound_net, spectrum_net, clip, draw) for clip in chosen])
    values, vectors = np.linalg.eigh(gradients.T @ gradients / len(gradients))
    root = (vectors * np.sqrt(np.maximum(values, _FLOOR * values.max()))) @ vectors.T
    metric = np.zeros((VOICE_SIZE, VOICE_SIZE))
    metric[:STYLE_SIZE, :STYLE_SIZE] = root @ np.linalg.inv(spectrum_net.style_basis.double().numpy())
    metric[STYLE_SIZE:, STYLE_SIZE:] = np.diag(1 / np.array(ALIKE))
    return metric


def _gradients(sound_net: SoundNet, spectrum_net: SpectrumNet, clip: CodecClip, draw: np.random.Generator) -> Array:
    """[DIRECTIONS, STYLE_SIZE]: of random sums of the values of a row, each in its deviations. The mean of their outer
    products is the Fisher information of a row about the coordinates of a style."""
    spectra = torch.from_numpy(levelled(clip.spectra)[None, :ROWS])
    with torch.no_grad():
        sounds = sound_net(spectra)
    coordinates = spectrum_net.coordinates(torch.from_numpy(clip.style[None])).requires_grad_()
    gradients = []
    for _ in range(DIRECTIONS):
        mean, log_variance = spectrum_net(sounds, coordinates)
        signs = torch.from_numpy(draw.choice([-1.0, 1.0], size=mean.shape).astype(np.float32))
        total = (signs * mean * (-0.5 * log_variance.detach()).exp()).sum() / mean.shape[1] ** 0.5
        gradients.append(torch.autograd.grad(total, coordinates)[0][0].double().numpy())
    return np.stack(gradients)
