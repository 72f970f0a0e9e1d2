"""The style of a clip: the one in which Kokoro's decoder would most likely make its spectra.

A network that reads a style from spectra knows only voices like those that it was trained on. Which spectra a style
makes is easier to learn, and holds for other styles. So a style is searched for with the gradients of a model of that,
`SpectrumNet`. Of the styles that explain a clip equally well, the one nearest to the average is taken.

    style = most_likely_style(spectrum_net, spectra, sounds)        # [STYLE_SIZE] float64
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.demo.kokoro import STYLE_SIZE
from tracker_logging.demo.voice_net import SoundOutput, SpectrumNet

ITERATIONS, HISTORY = 40, 20  # of L-BFGS
INDEPENDENT = 0.05  # share of the values of spectra: neighbours err alike
MOST_ROWS = 800  # 10 seconds tell a style
SEARCH = (ITERATIONS, HISTORY, INDEPENDENT, MOST_ROWS)  # what the result depends on


def most_likely_style(net: SpectrumNet, spectra: torch.Tensor, sounds: SoundOutput) -> npt.NDArray[np.float64]:
    """`spectra` [1, T, SPECTRUM_SIZE], levelled, T > 0, and their sounds. `net` without gradients. In any mode of
    gradients of the caller."""
    with torch.inference_mode(False), torch.enable_grad():
        spectra = spectra[:, :MOST_ROWS].clone()
        sounds = SoundOutput(*(values[:, :MOST_ROWS].clone() for values in sounds))
        coordinates = torch.zeros(1, STYLE_SIZE, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [coordinates], max_iter=ITERATIONS, history_size=HISTORY, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            losses = net.losses(spectra, sounds, coordinates)
            loss: torch.Tensor = INDEPENDENT * losses.sum() + 0.5 * coordinates.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return net.style(coordinates.detach())[0].double().numpy()
