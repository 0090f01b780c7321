"""Grids and mosaics of pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gradcam._pictures.grids import Cell, grid, mosaic


def plain(height, width, value=90):
    return np.full((height, width, 3), value, np.uint8)


def twin(tiles, columns, zoom, gap):
    """The same, pixel by pixel."""
    height, width = tiles[0].shape[:2]
    down, across = height * zoom + gap, width * zoom + gap
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * down + gap, columns * across + gap, 3), 255, np.uint8)
    for n, tile in enumerate(tiles):
        for y in range(height * zoom):
            for x in range(width * zoom):
                row, column = gap + n // columns * down + y, gap + n % columns * across + x
                whole[row, column] = tile[y // zoom, x // zoom]
    return whole


@pytest.mark.parametrize(("columns", "zoom", "gap"), [(3, 1, 2), (4, 3, 1), (2, 2, 0)])
def test_mosaic(columns, zoom, gap):
    tiles = np.random.default_rng(1).integers(0, 256, (7, 3, 5, 3), np.uint8)
    found = mosaic(tiles, columns=columns, zoom=zoom, gap=gap)
    np.testing.assert_array_equal(found, twin(tiles, columns, zoom, gap))


def test_a_mosaic_is_about_square():
    assert mosaic([plain(10, 10)] * 64, gap=0).shape == (80, 80, 3)
    height, width = mosaic([plain(10, 30)] * 48, gap=0).shape[:2]
    assert 0.7 < height / width < 1.4
    assert mosaic([plain(4, 4)], columns=9, gap=1).shape == (6, 6, 3)


def test_long_titles_of_columns_do_not_overlap():
    titles = ["Guided Grad-CAM: American chameleon", "Guided Grad-CAM: fire engine", "short"]
    cells = [[Cell(np.zeros((224, 224, 3), np.uint8)) for _ in titles] for _ in range(4)]
    figure = grid(cells, heading="A heading", columns=titles)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [each for each in figure.texts if each.get_text()]
    words = [" ".join(each.get_text().split()) for each in texts]
    assert all(title in words for title in titles)
    boxes = [each.get_window_extent(canvas.get_renderer()) for each in texts]
    boxes += [each.get_window_extent(canvas.get_renderer()) for each in figure.axes]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_pictures_of_different_sizes_do_not_overlap():
    cells = [
        [Cell(plain(40, 80), "wide", boxes=[(3, 3, 20, 20)]), Cell(plain(80, 40), frame="red")],
        [Cell(plain(20, 20), "small and with more words than fit into one line")],
    ]
    figure = grid(cells, heading="Pictures", columns=["a", "b"], rows=["first", "second"])
    figure.canvas.draw()
    places = [ax.get_position() for ax in figure.axes]
    assert len(places) == 3
    for n, one in enumerate(places):
        assert 0 <= one.x0 < one.x1 <= 1
        assert 0 <= one.y0 < one.y1 <= 1
        assert not any(one.overlaps(other) for other in places[n + 1 :])
    wide, high, _ = (place.width / place.height for place in places)
    across, up = figure.get_size_inches()
    assert wide * across / up == pytest.approx(2)
    assert high * across / up == pytest.approx(0.5)


@pytest.mark.parametrize(
    "words",
    ["W" * 40, "wwwwww mmmmmmm WWWWWW", "MWMW_" * 9, "Ш" * 40, "97.2 % on the dog", "i" * 60],
)
def test_words_stay_below_their_picture(words):
    figure = grid([[Cell(plain(40, 40), words) for _ in range(6)]], heading="")
    figure.canvas.draw()
    texts = [each for each in figure.texts if each.get_text()]
    edges = [each.get_window_extent().bounds for each in texts]
    assert len(edges) == 6
    for (left, _, width, _), (following, *_) in itertools.pairwise(edges):
        assert left + width < following
    assert "".join(texts[0].get_text().split()) == "".join(words.split())
