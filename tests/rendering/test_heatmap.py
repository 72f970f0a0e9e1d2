"""A heatmap shows its values: colours are read back from the picture."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tracker_logging.events import Heatmap
from tracker_logging.rendering import ink
from tracker_logging.rendering.colours import INFERNO, VIRIDIS, colourise
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.png import encode_png
from tracker_logging.rendering.ticks import nice_ticks, thinned, written


def example(values, **more):
    return Heatmap(values=np.asarray(values, np.float32), title="T", row_axis="row", column_axis="column", **more)


def lightness(table):
    linear = np.where(table / 255 <= 0.04045, table / 255 / 12.92, ((table / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("table", [VIRIDIS, INFERNO])
def test_lightness_rises_evenly_along_a_colour_table(table):
    steps = np.diff(lightness(table.astype(float)))
    assert steps.min() > 0
    assert steps.max() < 2.5 * steps.mean()


def test_every_value_has_its_colour():
    values = np.linspace(0, 1, 200, dtype=np.float32).reshape(4, 50)
    colours = {tuple(pixel) for pixel in draw_heatmap(example(values)).reshape(-1, 3)}
    wanted = {tuple(pixel) for pixel in colourise(values, low=0, high=1, table=VIRIDIS).reshape(-1, 3)}
    assert wanted <= colours


def test_not_measured_is_grey_and_not_the_colour_of_zero():
    values = np.zeros((4, 50), np.float32)
    values[:, 25:] = np.nan
    values[0, 0] = 1.0
    pixels = draw_heatmap(example(values))
    row = pixels[100]
    zero = (row == VIRIDIS[0]).all(axis=1)
    assert 200 < zero.sum() < pixels.shape[1] * 0.6
    after = row[np.flatnonzero(zero)[-1] + 3 :][:200]
    assert (after.max(axis=1) == after.min(axis=1)).all()


def test_first_row_is_on_top():
    values = np.zeros((2, 60), np.float32)
    values[0] = 1.0
    pixels = draw_heatmap(example(values))
    bright = np.flatnonzero((pixels[:, 200] == VIRIDIS[-1]).all(axis=1))
    dark = np.flatnonzero((pixels[:, 200] == VIRIDIS[0]).all(axis=1))
    assert bright.max() < dark.min()


@pytest.mark.parametrize("shape", [(1, 1), (4, 75), (36, 3000), (1500, 2), (180, 180), (0, 5), (5, 0)])
def test_any_shape_gives_a_picture_that_a_dashboard_can_show(shape):
    pixels = draw_heatmap(example(np.ones(shape)))
    assert pixels.dtype == np.uint8
    assert 640 <= pixels.shape[1] <= 1800
    assert 150 <= pixels.shape[0] <= 1300


def test_strange_values_and_labels_are_drawn():
    strange = example([[np.inf, -np.inf, np.nan], [1e30, -1e-30, 0.0]])
    labels = ("\x1b[31m\x00\u202e", "\ud800" * 3, "x" * 10_000)
    draw_heatmap(replace(strange, column_labels=labels, row_labels=("→", "<|AUDIO_OUT|>"), title="\n" * 50))
    draw_heatmap(example(np.full((3, 3), np.nan)))
    draw_heatmap(replace(strange, column_boundaries=((0, "a"), (99, "far"), (-4, "before")), low=5.0, high=5.0))


def test_the_same_values_give_the_same_bytes_with_a_palette(tmp_path):
    values = np.random.default_rng(0).random((4, 75))
    first, again = (encode_png(draw_heatmap(example(values))) for _ in range(2))
    assert first == again
    (tmp_path / "a.png").write_bytes(first)
    assert Image.open(tmp_path / "a.png").mode == "P"
    assert len(first) < 20_000


def test_only_a_matrix_is_drawn():
    with pytest.raises(ValueError, match="heatmap"):
        draw_heatmap(example(np.zeros(3)))


def test_ticks_are_round_and_within_the_scale():
    assert nice_ticks(0.0, 0.93, count=5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert nice_ticks(3.0, 3.0, count=5) == [3.0]
    assert [written(tick, [0.0, 0.25, 0.5]) for tick in (0.0, 0.25, 0.5)] == ["0", "0.25", "0.50"]
    assert list(thinned(10, pitch=20, room=10)) == list(range(10))
    assert list(thinned(10, pitch=4, room=13)) == [0, 5]


def test_without_the_wide_font_text_is_ascii(monkeypatch):
    real = ink.ImageFont.truetype

    def missing(font, *args, **more):
        if isinstance(font, str):
            raise OSError("no font")
        return real(font, *args, **more)

    monkeypatch.setattr(ink.ImageFont, "truetype", missing)
    try:
        ink.font.cache_clear()
        ink._covers_only_ascii.cache_clear()
        assert ink.printable("text → target é") == "text -> target ?"
        assert draw_heatmap(example(np.eye(3), column_labels=("a→b", "Ġx", "你"))).shape[1] >= 640
    finally:
        monkeypatch.undo()
        ink.font.cache_clear()
        ink._covers_only_ascii.cache_clear()
