"""PNG bytes of pixels: with a palette where the picture has at most 256 colours, which our heatmaps do.

    encode_png(draw_heatmap(heatmap))[:4] == b"\\x89PNG"

Lossless either way; the same pixels always give the same bytes.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of `pixels` [height, width, 3] uint8. Raises ValueError for another shape or type, or no pixels."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"encode_png takes uint8 [height, width, 3], not {pixels.dtype} {pixels.shape}")
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    colours = picture.getcolors(256)
    if colours is not None:
        picture = _with_palette(pixels, np.array(sorted(colour for _, colour in colours), dtype=np.uint32))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode_png(data: bytes) -> npt.NDArray[np.uint8]:
    """The pixels [height, width, 3] uint8 of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _with_palette(pixels: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint32]) -> Image.Image:
    """The same picture in mode P; `colours` [n, 3] ascending are all that occur in it."""
    keys = colours @ np.array([65536, 256, 1], dtype=np.uint32)
    wide = pixels.astype(np.uint32)
    indices = np.searchsorted(keys, wide[:, :, 0] << 16 | wide[:, :, 1] << 8 | wide[:, :, 2]).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(colours.astype(np.uint8).tobytes())
    return picture
