"""Codes in a plane: principal components, t-SNE, their figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcam.inside import Codes, _map, _projection
from gradcam.inside._picture_set import PictureSet
from gradcam.inside._projection import principal

pytest.importorskip("sklearn", reason="PCA and t-SNE are scikit-learn's")


def some_codes(count=30, classes=3, width=12, seed=0):
    """Codes of groups far apart, and their small pictures."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % classes
    centres = 10 * rng.normal(size=(classes, width))
    values = (centres[numbers] + rng.normal(size=(count, width))).astype(np.float32)
    pixels = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = tuple(f"class_{n}" for n in numbers)
    pictures = PictureSet((None,) * count, labels, pixels)
    return Codes(values, pictures, "relu7", "net", (), "", (64, 64), "", None)


@pytest.fixture(scope="module")
def codes():
    return some_codes()


@pytest.mark.parametrize("large", [False, True])
def test_principal_components_are_those_of_a_singular_value_decomposition(monkeypatch, large):
    if large:
        monkeypatch.setattr(_projection, "_SMALL", 1)
    codes = some_codes(60, 4)
    found = codes.project("pca")
    values = codes.values.astype(np.float64)
    u, s, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
    expected = (u * s)[:, :2]
    signs = np.sign((found.points * expected).sum(0))
    tolerance = 1e-4 if large else 1e-9
    np.testing.assert_allclose(found.points, expected * signs, atol=tolerance * s[0])
    np.testing.assert_allclose(found.explained, s[:2] ** 2 / (s**2).sum(), rtol=tolerance)
    assert found.divergence is None and found.perplexity is None
    assert principal(codes.values, 5, 0)[0].shape == (60, 5)


@pytest.mark.parametrize("scale", [1e-24, 1e19, 1e37])
@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("large", [False, True])
def test_very_small_and_very_large_codes(scale, method, large, monkeypatch):
    monkeypatch.setattr(_projection, "_SMALL", 1 if large else 1 << 22)
    usual = some_codes()
    made = replace(usual, values=usual.values * np.float32(scale))
    found, expected = made.project(method, seed=2**32 + 1), usual.project(method, seed=1)
    assert np.isfinite(found.points).all() and len(np.unique(found.points, axis=0)) == 30
    if method == "pca":
        np.testing.assert_allclose(found.explained, expected.explained, rtol=1e-4)
    found.plot()


def test_a_grid_is_found_once(codes, monkeypatch):
    found = codes.project("pca")
    chosen, cells = found.grid()
    monkeypatch.setattr(_map, "snapped", None)
    for again in (found.grid(), found.grid(40)):
        np.testing.assert_array_equal(again[0], chosen)
        np.testing.assert_array_equal(again[1], cells)


def test_classes_that_are_not_listed_are_said():
    figure = some_codes(90, 85).project("pca").plot()
    words = " ".join(each.get_text() for each in figure.texts).replace("\n", " ")
    assert "The names of the 85 classes are too many" in words


def test_equal_points_can_be_drawn():
    np.testing.assert_array_equal(_map._fitted(np.ones((3, 2))), 0.5)


def test_a_perplexity_that_is_too_large_for_a_float(codes):
    with pytest.raises(ValueError, match="too large"):
        codes.project("tsne", perplexity=10**400)


def test_tsne_keeps_groups_apart_and_depends_on_the_seed_alone(codes):
    found = codes.project("tsne", seed=3)
    assert found.points.shape == (30, 2) and found.divergence >= 0
    assert found.perplexity == pytest.approx(29 / 3)
    np.testing.assert_array_equal(found.points, codes.project("tsne", seed=3).points)
    assert found.precision()["plane"].mean > 0.9
    assert codes.project("tsne", perplexity=4).perplexity == 4


def test_the_precision_in_the_plane_is_that_of_its_neighbours(codes):
    found = codes.project("pca")
    precision = found.precision(4)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, 1)[:, :4]
    labels = np.array(codes.labels)
    same = labels[nearest] == labels[:, None]
    np.testing.assert_array_equal(precision.shares["plane"], same.mean(1))
    assert precision["code"] == codes.precision(4)["code"]
    assert precision.chance == pytest.approx(9 / 29)
    assert "in the plane" in found.finding and "of the codes' variance" in found.finding


def test_bad_input(codes):
    with pytest.raises(ValueError, match="method: expected 'pca' or 'tsne', got 'umap'"):
        codes.project("umap")
    with pytest.raises(ValueError, match=r"perplexity: expected 1 to 9\.667 for 30 pictures"):
        codes.project("tsne", perplexity=10)
    for wrong in (0.5, float("nan"), -1):
        with pytest.raises(ValueError, match="perplexity: expected 1 to"):
            codes.project("tsne", perplexity=wrong)
    with pytest.raises(TypeError, match="perplexity: expected a number"):
        codes.project("tsne", perplexity="30")
    with pytest.raises(ValueError, match="PCA has none"):
        codes.project("pca", perplexity=5)
    with pytest.raises(ValueError, match="4 pictures or more"):
        some_codes(3).project()
    with pytest.raises(ValueError, match="seed"):
        codes.project(seed=-1)
    dead = some_codes()
    dead.values[:] = 0
    for method in ("pca", "tsne"):
        with pytest.raises(ValueError, match="codes of all 30 pictures are equal"):
            dead.project(method)


def test_precision_needs_two_classes(codes):
    one = some_codes(8, 1)
    found = one.project()
    assert "variance" in found.finding
    with pytest.raises(ValueError, match="two classes"):
        found.precision()
    with pytest.raises(ValueError, match="30 neighbours were asked for"):
        codes.project().precision(30)


# --- figures ---


def test_a_grid_gives_each_picture_the_cell_that_is_nearest_on_the_whole(codes):
    chosen, cells = codes.project("pca").grid()
    np.testing.assert_array_equal(chosen, np.arange(30))
    assert len({tuple(cell) for cell in cells.tolist()}) == 30
    assert cells.min() >= 0 and cells.max() <= 5  # 6 x 6 cells
    # Points that are a grid, in any order, keep their places; the first row is at the top.
    rows, columns = np.divmod(np.random.default_rng(0).permutation(25), 5)
    points = np.stack([7.0 * columns, -3.0 * rows], 1)
    np.testing.assert_array_equal(_map.snapped(points), np.stack([rows, columns], 1))


def test_a_large_set_is_drawn_at_random_for_the_grid(codes):
    found = codes.project("pca", seed=1)
    chosen, cells = found.grid(10)
    assert len(cells) == 10 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, found.grid(10)[0])
    assert chosen.tolist() != codes.project("pca", seed=2).grid(10)[0].tolist()


def test_the_grid_shows_all_pictures(codes):
    pytest.importorskip("matplotlib", reason="figures")
    figure = codes.project("pca").plot(grid=True)
    (ax,) = figure.axes
    shown = np.asarray(ax.images[0].get_array())
    step = shown.shape[0] // 6
    _, cells = codes.project("pca").grid()
    margin = (step - 32) // 2
    for n, (row, column) in enumerate(cells):
        top, left = row * step + margin, column * step + margin
        tile = shown[top : top + 32, left : left + 32]
        np.testing.assert_array_equal(tile, codes.pictures.pixels[n])
    words = [text.get_text() for text in figure.texts]
    assert {"class_0", "class_1", "class_2"} <= set(words)
    assert words[0] == "Code of relu7 of net: principal components"


def test_pictures_at_their_points_do_not_overlap(codes):
    pictures = codes.pictures
    points = codes.project("pca").points
    places = _map._fitted(points)
    assert places.min() >= 0 and places.max() <= 1
    np.testing.assert_allclose(np.ptp(places, 0) / np.ptp(points, 0), 1 / np.ptp(points, 0).max())
    order = np.random.default_rng(0).permutation(30)
    colours = _map.class_colours(3)
    whole, left_out = _map._pasted(pictures, places, order, 32, colours)
    drawn = (whole[..., 3] == 255).sum() / (32 + 2 * _map._FRAME) ** 2
    assert drawn == 30 - len(left_out) and order[0] not in left_out and len(left_out) > 0


def test_the_figure_at_points(codes, tmp_path):
    pytest.importorskip("matplotlib", reason="figures")
    figure = codes.project("pca").plot()
    (ax,) = figure.axes
    assert "of the variance" in ax.get_xlabel()
    left_out = len(ax.collections[0].get_offsets())
    words = " ".join(figure.texts[1].get_text().split())
    assert f"{left_out} pictures that would cover others are dots" in words
    figure.savefig(tmp_path / "figure.png")


def test_figures_without_labels(codes, tmp_path):
    pytest.importorskip("matplotlib", reason="figures")
    pictures = PictureSet(codes.sources, None, codes.pictures.pixels)
    plain = Codes(codes.values, pictures, "relu7", "net", (), "", (64, 64), "", None)
    for grid in (False, True):
        figure = plain.project("pca").plot(grid=grid)
        assert len(figure.texts) == 2
        figure.savefig(tmp_path / "figure.png")
    with pytest.raises(TypeError, match="grid: expected True or False"):
        plain.project("pca").plot(grid="yes")


def test_class_colours_differ():
    assert len({tuple(colour) for colour in _map.class_colours(40).tolist()}) == 40
