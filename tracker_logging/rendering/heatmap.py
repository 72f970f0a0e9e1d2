"""Draws a `Heatmap`: title, axes, labels, colour bar, named regions; a pure function from values to pixels.

Guarantees
- No state, no plotting library; safe on any thread. 4 × 75 values take a few milliseconds.
- NaN is drawn as a grey hatch, never as a colour; infinite values take the end of the scale.
- The picture is at least 640 pixels wide; crowded labels are thinned out, long ones cut.
- A small matrix shows its numbers in its cells.

    pixels = draw_heatmap(Heatmap(values=mass, title="Attention mass", row_axis="layer", column_axis="relation"))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tracker_logging.events import Heatmap
from tracker_logging.rendering.colours import VIRIDIS, colourise
from tracker_logging.rendering.ink import BLACK, DARK, MIDDLE, Sheet, fit, font, printable, text_width
from tracker_logging.rendering.ticks import nice_ticks, thinned, written

_SMALL, _NORMAL, _TITLE = 14, 14, 18
_PLOT_WIDTH = (490, 1400)
_PLOT_HEIGHT = (120, 900)
_CELL = (6, 44)
_LABEL_WIDTH = 170
_BAR_WIDTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where the plot is and how large, in pixels."""

    left: int
    top: int
    width: int
    height: int
    sheet_width: int
    sheet_height: int
    turned: bool


def draw_heatmap(heatmap: Heatmap) -> npt.NDArray[np.uint8]:
    """Pixels [height, width, 3] uint8 of a heatmap. Raises ValueError unless its values are [rows, columns]."""
    values = np.asarray(heatmap.values, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"a heatmap is [rows, columns], not {values.shape}: {heatmap.title!r}")
    layout = _lay_out(heatmap, *values.shape)
    sheet = Sheet(layout.sheet_width, layout.sheet_height)
    sheet.text(10, 8, fit(heatmap.title, size=_TITLE, width=layout.sheet_width - 20), size=_TITLE)
    if values.size == 0:
        sheet.text(layout.left, layout.top, "nothing was measured", size=_NORMAL, grey=MIDDLE)
        return sheet.pixels()
    low, high = _scale(heatmap, values)
    cells = _cells(values, layout, low, high)
    _rule(cells, heatmap, values.shape)
    sheet.block(layout.left, layout.top, cells)
    sheet.frame(layout.left, layout.top, layout.width, layout.height)
    _row_labels(sheet, heatmap, layout, values.shape[0])
    _column_labels(sheet, heatmap, layout, values.shape[1])
    _regions(sheet, heatmap, layout, values.shape)
    _colour_bar(sheet, heatmap, layout, low, high)
    pixels = sheet.pixels()
    return _with_numbers(pixels, values, layout, low, high)


def _lay_out(heatmap: Heatmap, rows: int, columns: int) -> _Layout:
    size = _SMALL
    widest_row = max(
        (text_width(fit(label, size=size, width=_LABEL_WIDTH), size) for label in heatmap.row_labels), default=24
    )
    left = 40 + widest_row
    width = _span(columns, _PLOT_WIDTH)
    height = _span(rows, _PLOT_HEIGHT)
    top = 38 + (20 if heatmap.column_boundaries else 0)
    widest_column = max(
        (text_width(fit(label, size=size, width=_LABEL_WIDTH), size) for label in heatmap.column_labels), default=0
    )
    turned = bool(heatmap.column_labels) and widest_column + 8 > width / max(1, columns)
    below = (min(widest_column, _LABEL_WIDTH) if turned else 14) + 36
    right = (26 if heatmap.row_boundaries else 10) + _BAR_WIDTH + 84
    return _Layout(
        left=left,
        top=top,
        width=width,
        height=height,
        sheet_width=left + width + right,
        sheet_height=top + height + below,
        turned=turned,
    )


def _span(count: int, limits: tuple[int, int]) -> int:
    """Pixels for `count` cells: a whole number per cell where that fits between the limits."""
    if count == 0:
        return limits[0]
    per_cell = max(_CELL[0], min(_CELL[1], -(-limits[0] // count)))
    if per_cell * count <= limits[1]:
        return max(per_cell * count, limits[0])
    return max(count * (limits[1] // count), limits[0]) if count <= limits[1] else limits[1]


def _scale(heatmap: Heatmap, values: npt.NDArray[np.float32]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low = heatmap.low if heatmap.low is not None else float(finite.min()) if finite.size else 0.0
    high = heatmap.high if heatmap.high is not None else float(finite.max()) if finite.size else 1.0
    return low, high


def _cells(values: npt.NDArray[np.float32], layout: _Layout, low: float, high: float) -> npt.NDArray[np.uint8]:
    """The plot's pixels: each cell is a rectangle; more cells than pixels are averaged in blocks first."""
    values = _pooled(_pooled(values, layout.height).T, layout.width).T
    rows = np.arange(layout.height) * values.shape[0] // layout.height
    columns = np.arange(layout.width) * values.shape[1] // layout.width
    return colourise(values[rows][:, columns], low=low, high=high, table=VIRIDIS)


def _pooled(values: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.float32]:
    """Mean over blocks of rows so that at most `limit` rows are left; NaN is ignored."""
    block = -(-values.shape[0] // limit)
    if block <= 1:
        return values
    short = -values.shape[0] % block
    padded = np.concatenate([values, np.full((short, values.shape[1]), np.nan, np.float32)])
    grouped = padded.reshape(-1, block, values.shape[1])
    known = ~np.isnan(grouped)
    count = known.sum(axis=1)
    total = np.where(known, grouped, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _rule(cells: npt.NDArray[np.uint8], heatmap: Heatmap, shape: tuple[int, ...]) -> None:
    """White lines between regions, and thin gaps between cells that are large enough."""
    height, width = cells.shape[:2]
    for row in range(1, shape[0]) if height / shape[0] >= 16 else ():
        cells[-(-row * height // shape[0])] = 255
    for column in range(1, shape[1]) if width / shape[1] >= 16 else ():
        cells[:, -(-column * width // shape[1])] = 255
    for row, _ in heatmap.row_boundaries:
        if 0 < row < shape[0]:
            at = -(-row * height // shape[0])
            cells[max(0, at - 1) : at + 1] = 255
    for column, _ in heatmap.column_boundaries:
        if 0 < column < shape[1]:
            at = -(-column * width // shape[1])
            cells[:, max(0, at - 1) : at + 1] = 255


def _row_labels(sheet: Sheet, heatmap: Heatmap, layout: _Layout, rows: int) -> None:
    pitch = layout.height / rows
    for row in thinned(rows, pitch, 17):
        label = heatmap.row_labels[row] if heatmap.row_labels else str(row)
        y = layout.top + (row + 0.5) * pitch
        sheet.text(layout.left - 6, y, fit(label, size=_SMALL, width=_LABEL_WIDTH), size=_SMALL, anchor="rm", grey=DARK)
    sheet.upright(
        14, layout.top + layout.height / 2, fit(heatmap.row_axis, size=_NORMAL, width=layout.height), size=_NORMAL
    )


def _column_labels(sheet: Sheet, heatmap: Heatmap, layout: _Layout, columns: int) -> None:
    pitch = layout.width / columns
    bottom = layout.top + layout.height
    labels = heatmap.column_labels or tuple(str(column) for column in range(columns))
    room = 17 if layout.turned else max(text_width(printable(labels[-1][:40]), _SMALL), 8) + 12
    for column in thinned(columns, pitch, room):
        x = layout.left + (column + 0.5) * pitch
        label = fit(labels[column], size=_SMALL, width=_LABEL_WIDTH if layout.turned else max(30, int(pitch)))
        sheet.line(x, bottom + 1, x, bottom + 4, grey=MIDDLE)
        if layout.turned:
            sheet.upright(x, bottom + 7, label, size=_SMALL, anchor="mt", grey=DARK)
        else:
            sheet.text(x, bottom + 6, label, size=_SMALL, anchor="ma", grey=DARK)
    axis = fit(heatmap.column_axis, size=_NORMAL, width=layout.width)
    sheet.text(layout.left + layout.width / 2, layout.sheet_height - 8, axis, anchor="ms", size=_NORMAL)


def _regions(sheet: Sheet, heatmap: Heatmap, layout: _Layout, shape: tuple[int, ...]) -> None:
    """The names of the regions: of columns above the plot, of rows at its right, each with a bracket line."""
    for start, stop, name in _named(heatmap.column_boundaries, shape[1]):
        x0 = layout.left + start * layout.width / shape[1]
        x1 = layout.left + stop * layout.width / shape[1]
        sheet.line(x0 + 2, layout.top - 5, x1 - 2, layout.top - 5, grey=MIDDLE)
        label = fit(name, size=_NORMAL, width=int(x1 - x0) - 4)
        sheet.text((x0 + x1) / 2, layout.top - 8, label, size=_NORMAL, anchor="ms")
    x = layout.left + layout.width + 5
    for start, stop, name in _named(heatmap.row_boundaries, shape[0]):
        y0 = layout.top + start * layout.height / shape[0]
        y1 = layout.top + stop * layout.height / shape[0]
        sheet.line(x, y0 + 2, x, y1 - 2, grey=MIDDLE)
        sheet.upright(x + 11, (y0 + y1) / 2, fit(name, size=_NORMAL, width=int(y1 - y0) - 4), size=_NORMAL)


def _named(boundaries: tuple[tuple[int, str], ...], count: int) -> list[tuple[int, int, str]]:
    """(start, stop, name) of each region."""
    ordered = sorted((min(max(start, 0), count), name) for start, name in boundaries)
    stops = [start for start, _ in ordered[1:]] + [count]
    return [(start, stop, name) for (start, name), stop in zip(ordered, stops, strict=False) if stop > start]


def _colour_bar(sheet: Sheet, heatmap: Heatmap, layout: _Layout, low: float, high: float) -> None:
    x = layout.left + layout.width + (34 if heatmap.row_boundaries else 18)
    ramp = np.linspace(high, low, layout.height, dtype=np.float32)[:, None]
    sheet.block(x, layout.top, colourise(np.repeat(ramp, _BAR_WIDTH, axis=1), low=low, high=high, table=VIRIDIS))
    sheet.frame(x, layout.top, _BAR_WIDTH, layout.height)
    ticks = nice_ticks(low, high, count=min(8, max(4, layout.height // 40)))
    for tick in ticks:
        y = layout.top + (1.0 if high <= low else (high - tick) / (high - low)) * (layout.height - 1)
        sheet.line(x + _BAR_WIDTH + 1, y, x + _BAR_WIDTH + 4, y, grey=MIDDLE)
        sheet.text(x + _BAR_WIDTH + 7, y, written(tick, ticks), size=_SMALL, anchor="lm", grey=DARK)
    unit = fit(heatmap.unit, size=_SMALL, width=layout.sheet_width - x - 4)
    sheet.text(x, layout.top - 10, unit, size=_SMALL, anchor="ls", grey=DARK)


def _with_numbers(
    pixels: npt.NDArray[np.uint8], values: npt.NDArray[np.float32], layout: _Layout, low: float, high: float
) -> npt.NDArray[np.uint8]:
    """Each cell's value in its middle, where cells are large enough; dark on bright and bright on dark."""
    cell_width, cell_height = layout.width / values.shape[1], layout.height / values.shape[0]
    if cell_width < 42 or cell_height < 16:
        return pixels
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    middle = (low + high) / 2
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            place = (layout.left + (column + 0.5) * cell_width, layout.top + (row + 0.5) * cell_height)
            ink = (BLACK,) * 3 if value > middle else (255,) * 3
            pen.text(place, _number(float(value)), font=font(_SMALL), fill=ink, anchor="mm")
    return np.asarray(picture)


def _number(value: float) -> str:
    """At most six characters: 0.404, 12.3, 4e-05."""
    return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.0e}"
