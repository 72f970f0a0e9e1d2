"""Colour tables: dark is low, bright is high, and equal steps of value are equal steps of lightness.

Guarantees
- Lightness rises evenly from one end to the other, so that a picture is readable in grey and with colour blindness.
- Only `LEVELS` colours, so that a heatmap with its grey text fits into a palette of 256.

The anchors are ten points of the tables `viridis` and `inferno` (Smith and van der Walt, SciPy 2015, CC0).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 192
_VIRIDIS = "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725"
_INFERNO = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"


def _table(anchors: str) -> npt.NDArray[np.uint8]:
    points = np.array([[int(anchor[i : i + 2], 16) for i in (0, 2, 4)] for anchor in anchors.split()])
    at = np.linspace(0, len(points) - 1, LEVELS)
    channels = [np.interp(at, np.arange(len(points)), points[:, channel]) for channel in range(3)]
    table: npt.NDArray[np.uint8] = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return table


VIRIDIS = _table(_VIRIDIS)
INFERNO = _table(_INFERNO)


def colourise(
    values: npt.NDArray[np.float32], *, low: float, high: float, table: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """RGB [rows, columns, 3] uint8 of `values` [rows, columns]; values outside [low, high] take the end colours.

    NaN becomes a light hatch: `no_data(rows, columns)`.
    """
    span = high - low if high > low else 1.0
    scaled = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / span, 0.0, 1.0)
    pixels: npt.NDArray[np.uint8] = table[np.rint(scaled * (len(table) - 1)).astype(np.intp)]
    missing = np.isnan(values)
    if missing.any():
        pixels[missing] = no_data(*values.shape)[missing]
    return pixels


def no_data(rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Pixels for "not measured" [rows, columns, 3] uint8: light grey with a thin diagonal hatch."""
    diagonal = (np.arange(rows)[:, None] + np.arange(columns)[None, :]) % 8 == 0
    grey = np.where(diagonal, 200, 232).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
