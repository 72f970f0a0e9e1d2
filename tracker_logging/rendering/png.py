"""PNG bytes of pixels, with a palette where there are at most 256 colours, as in our heatmaps.

    encode_png(draw_heatmap(heatmap))[:4] == b"\\x89PNG"

Lossless either way; the same pixels always give the same bytes.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE = 2, 3


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of `pixels` [height, width, 3] uint8. Raises ValueError for another shape or type, or no pixels."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"encode_png takes uint8 [height, width, 3], not {pixels.dtype} {pixels.shape}")
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    colours = picture.getcolors(256)
    if colours is None:
        return _png(np.asarray(picture).reshape(pixels.shape[0], -1), pixels.shape[1], kind=_RGB)
    palette = np.array(sorted(colour for _, colour in colours), dtype=np.uint8)
    return _png(_indices(picture, palette), pixels.shape[1], kind=_PALETTE, palette=palette.tobytes())


def decode_png(data: bytes) -> npt.NDArray[np.uint8]:
    """The pixels [height, width, 3] uint8 of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _indices(picture: Image.Image, palette: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """For each pixel the row of `palette` [n, 3] that is its colour; through a table of all 24-bit colours."""
    place = np.array([1, 1 << 8, 1 << 16], dtype=np.uint32)
    table = np.zeros(1 << 24, dtype=np.uint8)  # the kernel allocates only the few pages that are used
    table[palette @ place] = np.arange(len(palette))
    packed = np.asarray(picture.convert("RGBX")).view("<u4")[:, :, 0] & 0xFFFFFF
    indices: npt.NDArray[np.uint8] = table[packed]
    return indices


def _png(rows: npt.NDArray[np.uint8], width: int, *, kind: int, palette: bytes = b"") -> bytes:
    """The file of unfiltered `rows` [height, bytes]. `zlib` releases the interpreter lock, Pillow does not."""
    height = len(rows)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    before = [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"PLTE", palette) if palette else b""]
    return b"".join([*before, _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 6)), _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
