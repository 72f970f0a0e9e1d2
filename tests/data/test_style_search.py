"""The style of a clip is found by what it changes in spectra, and the metric of voices measures that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracker_logging.demo.kokoro import STYLE_SIZE
from tracker_logging.demo.pretrain.audibility import ALIKE, voice_metric
from tracker_logging.demo.pretrain.codec_examples import CodecClip
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.demo.spectra import levelled
from tracker_logging.demo.style_search import MOST_ROWS, most_likely_style
from tracker_logging.demo.voice_codec import FILE_NAME, SOUND_NET, SPECTRUM_NET, VoiceCodec, opened
from tracker_logging.demo.voice_net import SoundNet, SoundOutput, SpectrumNet


@pytest.fixture(scope="module")
def nets() -> tuple[SoundNet, SpectrumNet]:
    with np.load(pretrained_demo().codec / FILE_NAME) as arrays:
        return opened(SoundNet, SOUND_NET, arrays), opened(SpectrumNet, SPECTRUM_NET, arrays)


def sounds_of(clip: CodecClip, net: SoundNet) -> SoundOutput:
    with torch.no_grad():
        return net(torch.from_numpy(levelled(clip.spectra))[None])


def spectra_of(net: SpectrumNet, sounds: SoundOutput, style: np.ndarray) -> torch.Tensor:
    coordinates = net.coordinates(torch.from_numpy(style.astype(np.float32))[None])
    with torch.no_grad():
        return net(sounds, coordinates)[0]


def test_a_style_is_found_from_the_spectra_that_it_makes(
    nets: tuple[SoundNet, SpectrumNet], codec_clips: list[CodecClip]
) -> None:
    mean = nets[1].style_mean.numpy()
    for clip in codec_clips[::3]:
        sounds = sounds_of(clip, nets[0])
        spectra = spectra_of(nets[1], sounds, clip.style)
        style = most_likely_style(nets[1], spectra, sounds)
        assert style.shape == (STYLE_SIZE,) and style.dtype == np.float64
        errors = [float((spectra_of(nets[1], sounds, each) - spectra).square().mean()) for each in (style, mean)]
        assert errors[0] < 0.1 * errors[1]


def test_the_mode_of_gradients_of_the_caller_does_not_matter(
    nets: tuple[SoundNet, SpectrumNet], codec_clips: list[CodecClip]
) -> None:
    clip = codec_clips[0]
    sounds = sounds_of(clip, nets[0])
    spectra = spectra_of(nets[1], sounds, clip.style)
    styles = [most_likely_style(nets[1], spectra, sounds)]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            styles.append(most_likely_style(nets[1], spectra + 0, sounds))
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    assert np.array_equal(styles[0], styles[1]) and np.array_equal(styles[0], styles[2])


def test_a_long_clip_is_searched_in_its_first_seconds(
    nets: tuple[SoundNet, SpectrumNet], codec_clips: list[CodecClip]
) -> None:
    clip = codec_clips[0]
    copies = MOST_ROWS // len(clip.spectra) + 2
    sounds = SoundOutput(*(torch.cat([each] * copies, dim=1) for each in sounds_of(clip, nets[0])))
    spectra = spectra_of(nets[1], sounds, clip.style)
    changed = spectra.clone()
    changed[:, MOST_ROWS:] = 5.0
    assert np.array_equal(*(most_likely_style(nets[1], each, sounds) for each in (spectra, changed)))


def test_the_metric_measures_what_a_change_of_style_does_to_spectra(
    nets: tuple[SoundNet, SpectrumNet], codec_clips: list[CodecClip]
) -> None:
    metric = voice_metric(*nets, codec_clips, seed=0)
    assert np.allclose(np.diag(metric)[STYLE_SIZE:], 1 / np.array(ALIKE))
    of_styles = metric[:STYLE_SIZE, :STYLE_SIZE]
    directions = np.linalg.svd(of_styles)[2][[0, 3, 10, 30, 80]]  # from the most to the least audible
    measured, predicted = [], []
    for direction in directions:
        change = 0.05 * direction / np.linalg.norm(np.linalg.solve(nets[1].style_basis.numpy(), direction))
        predicted.append(np.linalg.norm(of_styles @ change))
        measured.append(np.mean([deviations(nets, clip, change) for clip in codec_clips[::2]]))
    assert np.allclose(np.log(measured), np.log(predicted), atol=0.5)
    assert predicted[0] > 5 * predicted[-1]


def deviations(nets: tuple[SoundNet, SpectrumNet], clip: CodecClip, change: np.ndarray) -> float:
    """By how many the change moves a row's spectrum: root of the sum of squares, of the mean row."""
    sounds = sounds_of(clip, nets[0])
    first, second = (nets[1].coordinates(torch.from_numpy((clip.style + each)[None]).float()) for each in (0, change))
    with torch.no_grad():
        (mean, log_variance), (moved, _) = nets[1](sounds, first), nets[1](sounds, second)
    return float(((moved - mean).square() * (-log_variance).exp()).sum(dim=2).mean().sqrt())


def test_the_identity_depends_on_the_search(voice_codec: VoiceCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker_logging.demo.voice_codec.SEARCH", (1, 2))
    assert VoiceCodec.load(pretrained_demo().codec).identity != voice_codec.identity
