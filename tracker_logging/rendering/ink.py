"""Text and lines in few shades of grey.

Guarantees
- At most 48 greys, so that a picture with a colour table still fits into a PNG palette.
- A character that the font lacks is replaced where possible ("→" becomes "->") rather than drawn as an empty box.
- Text that does not fit is cut with "…", never drawn over its neighbour.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
BLACK, DARK, MIDDLE, LIGHT = 24, 72, 136, 208
_GREYS = 48
_REPLACEMENTS = str.maketrans(
    {"→": "->", "←": "<-", "×": "x", "…": "...", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "▁": "_", "Ġ": "_"}
)


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """DejaVu Sans where the system has it (wide coverage), else the small ASCII font inside Pillow."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


@lru_cache(maxsize=1)
def _covers_only_ascii() -> bool:
    named = font(12)
    return not (isinstance(named, ImageFont.FreeTypeFont) and named.getname()[0] == "DejaVu Sans")


def printable(text: str) -> str:
    """`text` on one line, without control characters and lone surrogates, in characters that the font has."""
    visible = "".join(char if char.isprintable() and not "\ud800" <= char <= "\udfff" else " " for char in text)
    if _covers_only_ascii():
        visible = visible.translate(_REPLACEMENTS).encode("ascii", "replace").decode("ascii")
    return visible


def text_width(text: str, size: int) -> int:
    """Width in pixels of printable `text`."""
    return int(np.ceil(font(size).getlength(text)))


def fit(text: str, *, size: int, width: int) -> str:
    """Printable `text`, cut with an ellipsis to `width` pixels ("" where not even that fits)."""
    text = printable(text[:400])
    if text_width(text, size) <= width:
        return text
    dots = printable("…")
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle] + dots, size) <= width else (low, middle - 1)
    return text[:low].rstrip() + dots if low else ""


class Sheet:
    """A white page [height, width] for grey text and lines, and coloured blocks over them."""

    def __init__(self, width: int, height: int) -> None:
        self._grey = Image.new("L", (width, height), 255)
        self._pen = ImageDraw.Draw(self._grey)
        self._blocks: list[tuple[int, int, npt.NDArray[np.uint8]]] = []

    def text(self, x: float, y: float, text: str, *, size: int = 12, anchor: str = "la", grey: int = BLACK) -> None:
        """Write already printable text; `anchor` as in Pillow ("la" = left top, "mm" = middle)."""
        self._pen.text((x, y), text, font=font(size), fill=grey, anchor=anchor)

    def upright(self, x: float, y: float, text: str, *, size: int = 12, anchor: str = "mm", grey: int = BLACK) -> None:
        """Write text rotated by 90° to read upwards; `anchor` is "mm" (middle) or "mt" (its end at the top, `y`)."""
        width, height = text_width(text, size), size + 4
        label = Image.new("L", (max(1, width), height), 255)
        ImageDraw.Draw(label).text((0, height / 2), text, font=font(size), fill=grey, anchor="lm")
        turned = label.rotate(90, expand=True)
        top = y if anchor == "mt" else y - width / 2
        self._grey.paste(turned, (round(x - height / 2), round(top)))

    def line(self, x0: float, y0: float, x1: float, y1: float, *, grey: int = DARK) -> None:
        """A line one pixel wide."""
        self._pen.line((x0, y0, x1, y1), fill=grey, width=1)

    def frame(self, x: int, y: int, width: int, height: int) -> None:
        """A thin frame around the block of that place and size."""
        self._pen.rectangle((x - 1, y - 1, x + width, y + height), outline=MIDDLE)

    def block(self, x: int, y: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Put coloured pixels [h, w, 3] with their top left corner at (x, y), over text and lines."""
        self._blocks.append((x, y, pixels))

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The finished picture [height, width, 3] uint8."""
        step = 255.0 / (_GREYS - 1)
        grey = np.asarray(self._grey.point([round(round(level / step) * step) for level in range(256)]))
        picture = np.repeat(grey[:, :, None], 3, axis=2)
        for x, y, block in self._blocks:
            picture[y : y + block.shape[0], x : x + block.shape[1]] = block
        return picture
