"""The sheet of the most probable classes: its numbers against NumPy, its files, the command."""

from __future__ import annotations

import ast
import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import annotation_files as files
import numpy as np
import pytest
import small_pictograms
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import pictograms
from gradcam._annotations.truth import AnnotationError
from gradcam._sheet.content import ordinal
from gradcam._sheet.shares import Share, Totals, in_words
from gradcam._sheet.summary import summarised
from gradcam._sheet.words import cells as words_of
from gradcam._text import percent


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network(3)


@pytest.fixture(scope="module")
def scenes():
    """Scenes of several sizes, upright and wide."""
    sizes = [(64, 64), (96, 64), (64, 100), (200, 80)]
    return [pictograms.scene(n, objects=1 + n % 4, size=sizes[n % 4]) for n in range(8)]


@pytest.fixture(scope="module")
def sheet(network, scenes):
    return gradcam.class_sheet(network, scenes)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- numbers ---


def test_shares_of_scenes_are_those_of_numpy(network, scenes, sheet):
    assert len(sheet) == len(scenes) and not sheet.skipped
    for scene, row in zip(scenes, sheet.rows, strict=True):
        tape = network.forward(scene.picture)
        assert row.top == tape.top(3)
        assert row.size == scene.picture.shape[:2]
        ground = ~np.any([each.mask for each in scene.objects], axis=0)
        assert row.ground_area == pytest.approx(ground.mean())
        for rank, found in enumerate(row.maps, 1):
            energy = tape.grad_cam(found.target.index).map.astype(np.float64)
            energy /= energy.sum()
            inside = {each.label: energy[each.mask].sum() for each in scene.objects}
            shares = {each.name: each.share for each in found.shares}
            for label, share in inside.items():
                assert shares[label.replace("_", " ")] == pytest.approx(share, abs=1e-6)
            assert shares["ground"] == pytest.approx(energy[ground].sum(), abs=1e-6)
            assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
            objects = [each.share for each in found.shares if each.kind == "object"]
            assert objects == sorted(objects, reverse=True) and len(objects) == len(inside)
            assert found.rank == rank and found.totals.present == (found.target.label in inside)
            own = inside.get(found.target.label, 0)
            assert found.totals.own == pytest.approx(own, abs=1e-6)
            assert found.totals.others == pytest.approx(sum(inside.values()) - own, abs=1e-6)
            assert found.totals.ground == pytest.approx(energy[ground].sum(), abs=1e-6)


def test_the_summary_is_the_mean_over_the_pictures(sheet):
    assert [each.rank for each in sheet.summary] == [1, 2, 3]
    for each in sheet.summary:
        sums = [row.maps[each.rank - 1].totals for row in sheet.rows]
        assert each.pictures == each.known == len(sums) and each.flat == 0
        assert each.present == each.own.size == sum(one.present for one in sums)
        assert each.ground.size == each.others.size == len(sums)
        for name in ("own", "others", "ground"):
            of = [one for one in sums if one.present] if name == "own" else sums
            found = getattr(each, name)
            if not of:
                assert math.isnan(found.mean)
                continue
            assert found.mean == pytest.approx(np.mean([getattr(one, name) for one in of]))
            assert math.isnan(found.low) and math.isnan(found.high)  # of 8 pictures
        areas = [row.ground_area for row in sheet.rows]
        assert each.ground_area == pytest.approx(np.mean(areas))
    assert f"{100 * sheet.summary[0].ground.mean:.1f} %" in sheet.finding
    assert f"{100 * sheet.summary[2].ground.mean:.1f} %" in sheet.finding


def test_the_third_map_lies_on_the_ground_more_than_the_first():
    """As in a student's report; the pictogram network, on scenes that it was not trained on."""
    drawn = (pictograms.scene(100_000 + n, objects=2) for n in range(16))
    first, second, third = gradcam.class_sheet(pictograms.model(), drawn).summary
    assert first.present == second.present == 16 and third.present <= 2
    assert third.ground.mean > first.ground.mean + 0.05
    assert first.own.mean > 0.3


def test_decoded_is_a_list_for_python(sheet):
    for row in sheet.rows:
        read = ast.literal_eval(row.decoded)
        assert [each[:2] for each in read] == [each[:2] for each in row.top]
        assert [np.float32(each[2]) for each in read] == [np.float32(p) for _, _, p in row.top]
    assert re.fullmatch(r"\[\('n\d{8}', .+, 0\.\d+\), .+\]", sheet.rows[0].decoded)


def test_regions_that_overlap(network):
    picture = noise(64, 64)
    boxes = [("cat", (0, 0, 32, 64)), ("dog", (16, 0, 48, 64)), ("dog", (16, 0, 20, 8))]
    row = gradcam.class_sheet(network, picture, truth=[boxes]).rows[0]
    energy = network.forward(picture).grad_cam().map.astype(np.float64)
    energy /= energy.sum()
    shares = {(each.name, each.kind): each.share for each in row.maps[0].shares}
    expected = {
        ("cat", "object"): energy[:, :16].sum(),
        ("dog 1", "object"): 0,  # the small box, whose centre is further left
        ("dog 2", "object"): energy[:, 32:48].sum(),
        ("several objects", "overlap"): energy[:, 16:32].sum(),
        ("ground", "ground"): energy[:, 48:].sum(),
    }
    assert shares == {name: pytest.approx(share, abs=1e-6) for name, share in expected.items()}
    assert len(row.notes) == 2 and "boxes" in row.notes[0] and "from the left" in row.notes[1]
    assert row.ground_area == 0.25
    assert "% where objects overlap" in row.maps[0].words


def test_what_is_on_an_object_of_the_class_is_own(network):
    picture = noise(64, 64)
    top = network.forward(picture).top(1)[0][1]
    other = network.forward(picture).top(2)[1][1]
    truth = [(top, (0, 0, 32, 64)), (other, (16, 0, 48, 64))]
    found = gradcam.class_sheet(network, picture, truth=[truth]).rows[0].maps[0]
    energy = network.forward(picture).grad_cam().map.astype(np.float64)
    energy /= energy.sum()
    assert found.totals.present
    assert found.totals.own == pytest.approx(energy[:, :32].sum(), abs=1e-6)
    assert found.totals.others == pytest.approx(energy[:, 32:48].sum(), abs=1e-6)
    assert found.totals.own + found.totals.others + found.totals.ground == pytest.approx(1)


def test_the_ground_is_that_of_what_the_network_saw():
    """A preset that crops: what it removed is no ground."""
    preset = gradcam.Preset("cropped", size=32, shorter_side=32)
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=3, seed=1)
    network = gradcam.vgg11(tensors, labels=["a", "b", "c"], preset=preset)
    picture = noise(64, 128)  # the middle, 64 x 64, is seen
    row = gradcam.class_sheet(network, picture, truth=[[("a", (0, 0, 64, 64))]]).rows[0]
    assert row.maps[0].explanation.region == (0, 32, 64, 96)
    assert row.ground_area == 0.5


@pytest.mark.filterwarnings("error::gradcam.FlatMapWarning")
def test_flat_maps_lie_nowhere(network):
    scene = pictograms.scene(0, objects=1, size=(64, 64))
    black = pictograms.Scene(np.zeros((64, 64, 3), np.uint8), scene.objects)
    sheet = gradcam.class_sheet(network, black)
    flat = [each for each in sheet.rows[0].maps if math.isnan(each.totals.ground)]
    assert len(flat) == 3 and {each.words for each in flat} == {"The map is flat: it lies nowhere."}
    assert "flat" in sheet.finding and sheet.plot() and "flat" in sheet.to_html()


def share(name, value, kind="object"):
    return Share(name, kind, value)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([0.72, 0.20], ["72 % on the a", "20 % on the b", "8 % on the ground"]),
        ([0.335, 0.335], ["34 % on the a", "33 % on the b", "33 % on the ground"]),
        ([0.997, 0.0], ["more than 99 % on the a", "less than 1 % on the ground"]),
        ([1.0, 0.0], ["100 % on the a"]),
        ([0.0, 0.0], ["100 % on the ground"]),
    ],
)
def test_words(shares, words):
    parts = [share(name, value) for name, value in zip("ab", shares, strict=True)]
    assert in_words([*parts, share("ground", 1 - sum(shares), "ground")]) == words


def test_ranks_in_words():
    named = {1: "first", 2: "second", 3: "third", 6: "sixth", 10: "tenth"}
    assert {rank: ordinal(rank) for rank in named} == named


def test_words_of_many_objects():
    parts = [share(f"thing {n}", 0.1) for n in range(9)]
    found = in_words([*parts, share("ground", 0.1, "ground")])
    named = [f"10 % on thing {n}" for n in range(4)]
    assert found == [*named, "50 % on 5 other objects", "10 % on the ground"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda values: sum(values) > 1e-3))
def test_percents_add_up(values):
    values = [value / sum(values) for value in values]
    found = in_words([share(f"x{n}", value, "ground") for n, value in enumerate(values)])
    assert len(found) == sum(value > 0 for value in values)
    known = [int(each.split(" %")[0]) for each in found if each[0].isdigit()]
    left = 100 - sum(known)
    if "more than" not in " ".join(found):
        assert left == 0


def test_classes_that_the_network_does_not_know(network, tmp_path):
    """Whether a map lies on its own object is not known if an object may be of any class."""
    pictures = [noise(64, 64, 1), noise(64, 64, 2)]
    top = network.forward(pictures[1]).top(1)[0][1]
    left = (0, 0, 32, 64)
    truth = [[("unicorn", left), ("griffin", (32, 0, 40, 64))], [(top, left)]]
    sheet = gradcam.class_sheet(network, pictures, truth=truth, top=1)
    (summary,) = sheet.summary
    unknown, known = (row.maps[0].totals for row in sheet.rows)
    assert unknown.present is None and math.isnan(unknown.own) and math.isnan(unknown.others)
    assert 0 < unknown.ground < 1 and known.present
    assert (summary.pictures, summary.known, summary.present) == (2, 1, 1)
    assert summary.own.mean == known.own and summary.own.size == 1
    assert summary.others.size == 1 and summary.ground.size == 2
    assert sheet.rows[0].unknown == ("unicorn", "griffin") and not sheet.rows[1].unknown
    assert sheet.unknown == {"unicorn": 1, "griffin": 1}
    words = " ".join(each.get_text().replace("\n", " ") for each in sheet.plot().texts)
    for text in (sheet.to_html(), words):
        assert "does not know" in text and "unicorn (1), griffin (1)" in text
    alone = gradcam.class_sheet(network, pictures[:1], truth=truth[:1], top=1)
    assert words_of(alone.summary[0])[1:4] == ("–", "–", "–")


def test_own_is_of_pictures_that_have_such_an_object(network):
    pictures = [noise(64, 64, n) for n in range(3)]
    labels = [network.forward(each).top(1)[0][1] for each in pictures]
    other = next(each.label for each in network.labels if each.label not in labels)
    truth = [[(label, (0, 0, 32, 64))] for label in (labels[0], other, other)]
    sheet = gradcam.class_sheet(network, pictures, truth=truth, top=1)
    (summary,) = sheet.summary
    assert summary.present == summary.own.size == 1 and summary.others.size == 3
    assert summary.own.mean == sheet.rows[0].maps[0].totals.own > 0
    assert words_of(summary)[1:3] == ("1 of 3", f"{percent(summary.own.mean)}, n = 1")
    none = gradcam.class_sheet(network, pictures[1:], truth=truth[1:], top=1).summary[0]
    assert math.isnan(none.own.mean) and words_of(none)[2] == "–"


@pytest.mark.filterwarnings("error::gradcam.FlatMapWarning")
def test_the_area_is_of_the_pictures_whose_maps_are_not_flat(network):
    scene = pictograms.scene(0, objects=1, size=(64, 64))
    black = pictograms.Scene(np.zeros((64, 64, 3), np.uint8), pictograms.scene(1).objects[:1])
    black = pictograms.Scene(np.zeros((224, 224, 3), np.uint8), black.objects)
    sheet = gradcam.class_sheet(network, [scene, black])
    assert sheet.rows[0].ground_area != sheet.rows[1].ground_area
    flat = [each for each in sheet.summary if each.flat]
    assert flat
    for each in flat:
        assert each.flat == 1 and each.ground.size == 1
        assert each.ground_area == sheet.rows[0].ground_area
    assert "Flat maps, left out of the shares: first class 1" in sheet.to_html()


@pytest.mark.parametrize(("count", "shown"), [(19, False), (20, True)])
def test_intervals_need_twenty_pictures(count, shown):
    rng = np.random.default_rng(0)
    grounds = rng.random(count).tolist()
    found = summarised(1, [(Totals(1 - each, 0.0, each, True), 0.5) for each in grounds])
    assert found.ground.mean == pytest.approx(np.mean(grounds)) and found.ground.size == count
    assert (" to " in words_of(found)[4]) == shown == (found.ground.low < found.ground.high)


# --- what is given ---


@pytest.mark.parametrize("format", ["voc", "coco", "masks", "table"])
def test_annotations(network, tmp_path, format):
    drawn = files.scenes(tmp_path / "pictures", 5)
    if format in ("voc", "masks"):
        place = getattr(files, format)(tmp_path / "truth", drawn)
    else:
        place = getattr(files, format)(
            tmp_path / f"truth.{'json' if format == 'coco' else 'csv'}", drawn
        )
    found = gradcam.class_sheet(network, tmp_path / "pictures", truth=place)
    boxes = format in ("voc", "table")
    listed = [
        [(each.label, each.box if boxes else each.mask) for each in scene.objects]
        for scene in drawn.values()
    ]
    pictures = sorted((tmp_path / "pictures").iterdir())
    expected = gradcam.class_sheet(network, pictures, truth=listed)
    for a, b in zip(found.rows, expected.rows, strict=True):
        assert a.name == b.name and a.notes == b.notes and a.ground_area == b.ground_area
        for one, other in zip(a.maps, b.maps, strict=True):
            assert sorted(one.shares, key=str) == sorted(other.shares, key=str)
    assert bool(found.rows[0].notes) == boxes


def test_pictures_without_an_annotation(network, tmp_path):
    drawn = files.scenes(tmp_path / "pictures", 3)
    drawn.pop("01")
    place = files.masks(tmp_path / "truth", drawn)
    rows = gradcam.class_sheet(network, tmp_path / "pictures", truth=place).rows
    assert [bool(row.maps[0].shares) for row in rows] == [True, False, True]
    assert [row.ground_area is None for row in rows] == [False, True, False]


def test_pictures_are_given_as_everywhere(network, tmp_path):
    pixels = noise(40, 60)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    one = gradcam.class_sheet(network, pixels)
    assert one.rows[0].name == "picture 1" and one.summary == () and not one.has_truth
    assert "probability" in one.finding
    for given_ in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        tmp_path,
        [Image.fromarray(pixels)],
    ):
        other = gradcam.class_sheet(network, given_)
        assert [row.top for row in other.rows] == [one.rows[0].top]
    assert gradcam.class_sheet(network, tmp_path).rows[0].name == str(tmp_path / "a.png")
    batch = np.stack([pixels, pixels[::-1]])
    assert [row.name for row in gradcam.class_sheet(network, batch).rows] == [
        "picture 1",
        "picture 2",
    ]
    named = gradcam.class_sheet(network, [pixels], names=["mine"], top=10)
    assert named.rows[0].name == "mine" and len(named.rows[0].maps) == 10


def test_an_iterator_is_read_during_the_passes(network):
    drawn = []

    def endless():
        n = 0
        while True:
            drawn.append(n)
            yield pictograms.scene(n, objects=1, size=(64, 64))
            n += 1

    with pytest.raises(RuntimeError, match="enough"):
        gradcam.class_sheet(network, endless(), batch=2, names=stopping(10))
    assert 10 <= len(drawn) < 30


def stopping(count):
    yield from map(str, range(count))
    raise RuntimeError("enough")


def test_a_sheet_does_not_hold_large_pictures(network):
    row = gradcam.class_sheet(network, noise(1500, 900)).rows[0]
    assert row.size == (1500, 900) and row.picture.shape == (480, 288, 3)
    assert row.picture.base is None
    for each in row.maps:
        assert each.explanation.origin is None and each.explanation.picture is row.picture
        assert each.image.shape == (480, 288, 3)
        assert "map" not in vars(each.explanation)


def test_what_cannot_be_read(network, tmp_path):
    drawn = files.scenes(tmp_path / "p", 3)
    (tmp_path / "p" / "01.png").write_bytes(b"no picture")
    with pytest.raises(gradcam.PictureError, match="01"):
        gradcam.class_sheet(network, tmp_path / "p")
    sheet = gradcam.class_sheet(network, tmp_path / "p", on_error="skip")
    assert [Path(row.name).name for row in sheet.rows] == ["00.png", "02.png"]
    assert [Path(name).name for name, _ in sheet.skipped] == ["01.png"]
    assert "01.png" in sheet.to_html()
    failed = []
    gradcam.class_sheet(network, tmp_path / "p", on_error=lambda *each: failed.append(each))
    assert [Path(path).name for path, _ in failed] == ["01.png"]

    place = files.voc(tmp_path / "voc", drawn, lambda text: text.replace("<width>64", "<width>65"))
    with pytest.raises(AnnotationError, match="65 x 64"):
        gradcam.class_sheet(network, tmp_path / "p" / "00.png", truth=place)
    sheet = gradcam.class_sheet(network, tmp_path / "p", truth=place, on_error="skip")
    assert not sheet.rows and len(sheet.skipped) == 3
    for draw in (sheet.plot, sheet.to_html, lambda: sheet.save(tmp_path / "s.png")):
        with pytest.raises(ValueError, match="empty"):
            draw()
    assert not (tmp_path / "s.png").exists()
    assert sheet.finding == "No picture could be read." and "3 skipped" in repr(sheet)


@pytest.mark.parametrize(
    ("pictures", "options", "error", "message"),
    [
        ([], {}, ValueError, "no pictures"),
        (3, {}, TypeError, "pictures: expected"),
        ([noise(8, 8)], {"truth": []}, ValueError, "truth: expected one element"),
        ([noise(8, 8)], {"names": ["a", "b"]}, ValueError, "names: expected one element"),
        ([noise(8, 8)], {"truth": [["cat"]]}, TypeError, r"\(label, region\)"),
        ([noise(8, 8)], {"truth": [[("cat", (9, 0, 12, 8))]]}, ValueError, "outside the picture"),
        ([noise(8, 8)], {"top": 0}, ValueError, "top"),
        ([noise(8, 8)], {"top": 1.5}, TypeError, "top"),
        ([noise(8, 8)], {"method": "grad_kam"}, ValueError, "grad_cam"),
        ([noise(8, 8)], {"on_error": "ignore"}, ValueError, "on_error"),
        ([pictograms.scene(0)], {"truth": [None]}, ValueError, "a scene has its own truth"),
        ([noise(8, 8)], {"top": 11}, ValueError, "1 to 10"),
        ([noise(8, 8)], {"names": [3]}, TypeError, "names: expected a text"),
        ([noise(8, 8)] * 3, {"names": "abc"}, TypeError, "names: expected a list"),
        ([noise(8, 8)], {"names": 3}, TypeError, "names: expected a list"),
        ([noise(8, 8)], {"truth": 5}, TypeError, "truth: expected a list"),
        ([noise(8, 8)], {"truth": {"cat": (0, 0, 4, 4)}}, TypeError, "truth: expected a list"),
        ([noise(8, 8)], {"truth": [{"cat": (0, 0, 4, 4)}]}, TypeError, r"list of \(label"),
        ([noise(8, 8)], {"truth": [5]}, TypeError, r"list of \(label"),
        ([noise(8, 8)], {"truth": [("cat", (0, 0, 4, 4))]}, TypeError, r"\[\[\(label, region"),
        ([noise(8, 8)], {"truth": [[("", (0, 0, 4, 4))]]}, ValueError, "label .* is empty"),
        ([noise(8, 8)], {"truth": [[(3, (0, 0, 4, 4))]]}, TypeError, r"\(label, region\)"),
        (
            [noise(8, 8)],
            {"truth": [[("cat", np.ones((8, 8), np.uint8))]]},
            TypeError,
            "of uint8; expected bool",
        ),
    ],
)
def test_wrong_arguments(network, pictures, options, error, message):
    with pytest.raises(error, match=message):
        gradcam.class_sheet(network, pictures, **options)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    ("name", "values", "first"),
    [
        ("truth", [None] * 3, "truth"),
        ("truth", [None] * 7, "pictures"),
        ("names", ["a", "b"], "names"),
        ("names", "abcdef", "pictures"),
    ],
)
def test_no_picture_is_lost_for_a_list_of_another_length(network, on_error, name, values, first):
    pictures = iter([noise(8, 8)] * 5)
    values = iter(values)
    with pytest.raises(ValueError, match=f"{first}: expected one element for each picture"):
        gradcam.class_sheet(network, pictures, on_error=on_error, **{name: values})
    many = gradcam.class_sheet(network, iter([noise(8, 8)] * 2), names=iter("ab"))
    assert [row.name for row in many.rows] == ["a", "b"]


def test_annotations_of_other_pictures(network, tmp_path):
    drawn = files.scenes(tmp_path / "pictures", 2)
    place = files.masks(tmp_path / "truth", {f"x{name}": each for name, each in drawn.items()})
    with pytest.raises(AnnotationError, match=r"none of its .* names must agree"):
        gradcam.class_sheet(network, tmp_path / "pictures", truth=place)


def test_annotations_with_indices(network, tmp_path):
    Image.fromarray(noise(64, 64)).save(tmp_path / "a.png")
    (index,) = (
        each.target.index
        for each in gradcam.class_sheet(network, tmp_path / "a.png", top=1).rows[0].maps
    )
    table = tmp_path / "t.csv"
    table.write_text(f"picture,class,x0,y0,x1,y1\na.png,{index},0,0,32,64\n")
    label = gradcam.class_sheet(network, tmp_path / "a.png", truth=table).rows[0]
    assert label.unknown == (str(index),)
    row = gradcam.class_sheet(network, tmp_path / "a.png", truth=table, class_indices=True).rows[0]
    assert row.maps[0].totals.present and not row.unknown


def test_annotations_need_paths(network, tmp_path):
    place = files.masks(tmp_path, files.scenes(tmp_path / "p", 1))
    with pytest.raises(TypeError, match="paths"):
        gradcam.class_sheet(network, noise(8, 8), truth=place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture in this folder"):
        gradcam.class_sheet(network, tmp_path / "empty")


def test_example_scenes_are_the_example_pictures():
    for path in pictograms.examples():
        scene = pictograms.example_scene(path.stem)
        assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), scene.picture)
    with pytest.raises(ValueError, match="cat_and_dog"):
        pictograms.example_scene("cat")


# --- figures and pages ---


class Page(HTMLParser):
    """The elements of a page, having checked that they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "link", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_needs_nothing_else(sheet):
    text = sheet.to_html()
    page = Page(text)
    assert not {"script", "link", "iframe", "a"} & {tag for tag, _ in page.found}
    assert "url(" not in text and "http" not in text and "@import" not in text
    images = page.all("img")
    assert len(images) == 4 * len(sheet) + 1  # and the scale
    for each in images:
        assert each["alt"]
        kind, data = each["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (int(each["width"]), int(each["height"]))
    assert len(page.all("section")) == len(sheet)
    assert [each["lang"] for each in page.all("html")] == ["en"]
    for row in sheet.rows:
        assert row.decoded in page.text
        for each in row.maps:
            assert each.words in page.text.replace("\xa0", " ")
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    assert len(page.all("h1")) == 1 and len(page.all("h2")) == len(sheet)


def test_names_from_elsewhere_are_escaped(network):
    name = "<script>alert('\u202e&\x07')</script>\".png"
    page = Page(gradcam.class_sheet(network, noise(8, 8), names=[name]).to_html())
    assert not page.all("script") and "\\u202e" in page.text and "\\x07" in page.text


def test_many_pictures(network, tmp_path):
    sizes = [(40, 300), (300, 40), (64, 64)]
    drawn = [noise(*sizes[n % 3], n) for n in range(103)]
    sheet = gradcam.class_sheet(network, drawn)
    assert sheet.pages == 21
    few = gradcam.class_sheet(network, drawn[:7])
    found = few.save(tmp_path / "sheet.png")
    assert [each.name for each in found] == ["sheet.png", "sheet-2.png"]
    widths = [Image.open(each).size for each in found]
    assert all(400 < width < 2000 and 200 < height < 3000 for width, height in widths)

    found = sheet.save(tmp_path / "sheet.html")
    assert [each.name for each in found] == ["sheet.html", "sheet-2.html"]
    pages = [Page(each.read_text("utf-8")) for each in found]
    assert [len(page.all("section")) for page in pages] == [100, 3]
    assert [{a["href"] for a in page.all("a")} for page in pages] == [
        {"sheet-2.html"},
        {"sheet.html"},
    ]
    sides = [max(int(each["width"]), int(each["height"])) for each in pages[0].all("img")[1:]]
    assert max(sides) == 280  # smaller, since there are many
    assert max(int(each["height"]) for each in pages[1].all("img")) == 300
    for page in (0, 22, True, 1.0):
        with pytest.raises((ValueError, TypeError), match="page"):
            sheet.plot(page)
    with pytest.raises(ValueError, match=r"\.png or \.html"):
        sheet.save(tmp_path / "sheet.pdf")


def test_the_figure_says_what_is_seen(sheet):
    figure = sheet.plot(2)
    words = " ".join(each.get_text().replace("\n", " ") for each in figure.texts)
    for row in sheet.rows[5:]:
        for each in row.maps:
            for part in (*str(each.target).split(), *each.words.replace(",", "").split()):
                assert part in words
    assert "page 2 of 2" in words and "Third class" in words
    pictures = [each.images[0].get_array().shape[:2] for each in figure.axes]
    expected = [row.picture.shape[:2] for row in sheet.rows[5:] for _ in range(4)]
    assert pictures == expected


def test_pages_of_an_earlier_sheet_are_named(network, tmp_path):
    few = gradcam.class_sheet(network, [noise(16, 16)] * 6)
    few.save(tmp_path / "sheet.png")
    (tmp_path / "sheet-3.png").write_bytes(b"of the user")
    with pytest.warns(UserWarning, match=r"sheet-3\.png is not of this sheet.* 2 such files"):
        few.save(tmp_path / "sheet.png")
    with pytest.warns(UserWarning, match=r"sheet-2\.png to sheet-3\.png are not of this sheet"):
        gradcam.class_sheet(network, noise(16, 16)).save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet-3.png").read_bytes() == b"of the user"


def test_a_note_about_some_pictures_says_so(network):
    mask = np.zeros((64, 64), bool)
    mask[:9] = True
    truth = [[("dog", (0, 0, 32, 64))], [("dog", mask)], None]
    sheet = gradcam.class_sheet(network, [noise(64, 64)] * 3, truth=truth)
    words = " ".join(each.get_text().replace("\n", " ") for each in sheet.plot().texts)
    assert "1 of 3 pictures: Objects are boxes here" in words
    assert "It is not known what is where in 1 of 3 pictures" in words
    assert sheet.to_html().count("Objects are boxes here") == 1
    boxes = gradcam.class_sheet(network, noise(64, 64), truth=truth[:1])
    words = " ".join(each.get_text().replace("\n", " ") for each in boxes.plot().texts)
    assert "pictures: Objects" not in words and "Objects are boxes here" in words


def test_tall_and_small_pictures(network):
    sheet = gradcam.class_sheet(network, [noise(2000, 20), noise(20, 2000), noise(16, 20)])
    text = sheet.to_html()
    assert "drawn 12 times as wide" in text and "drawn 12 times as high" in text
    assert [each.picture.shape[:2] for each in sheet.rows[:2]] == [(480, 5), (5, 480)]
    shown = [axes.images[0].get_array().shape[:2] for axes in sheet.plot().axes]
    assert set(shown) == {(480, 60), (60, 480), (16, 20)}
    assert "--most: min(100%, 40px)" in text and "max-height: 30rem; object-fit" in text


@pytest.mark.parametrize(("top", "title"), [(1, "The most probable class, and"), (2, "The two ")])
def test_titles(network, sheet, top, title):
    assert gradcam.class_sheet(network, noise(8, 8), top=top).to_html().count(title) == 2
    assert "what their maps lie on" in sheet.to_html()


# --- the command ---


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.main, ["sheet", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def small(monkeypatch, tmp_path, network):
    """The command with a small network, in a folder of its own."""
    monkeypatch.setattr(pictograms, "model", lambda: network)
    monkeypatch.chdir(tmp_path)
    return network


def test_command(small):
    files.scenes("photos", 7)
    Path("photos/notes.txt").write_text("no picture")
    done = run("photos", "--model", "pictograms", "--top", 2, "--method", "saliency")
    assert sorted(each.name for each in Path("gradcam-out").iterdir()) == [
        *("sheet-2.png", "sheet.html", "sheet.png")
    ]
    top = small.forward("photos/00.png").top(2)
    for synset, label, _ in top:
        assert synset in done.stdout and label in done.stdout
    assert "Written to gradcam-out: sheet.html, sheet.png to sheet-2.png" in done.stdout
    assert "ground" not in done.stdout and ".txt: 1" in done.stderr
    assert f"({gradcam.METHODS['saliency'].title})" in Path("gradcam-out/sheet.html").read_text(
        "utf-8"
    )


def test_command_with_truth(small):
    place = files.masks("truth", files.scenes("photos", 4))
    Path("photos/03.png").write_bytes(b"")
    options = ("photos", "--model", "pictograms", "-a", place, "--out", "o")
    text = run(*options, code=1)
    assert "03.png" in text.stderr and "on the ground" in text.stdout
    *records, failed, last = map(json.loads, run(*options, "--json", code=1).stdout.splitlines())
    assert [each["picture"] for each in records] == [
        "photos/00.png",
        "photos/01.png",
        "photos/02.png",
    ]
    sheet = gradcam.class_sheet(small, [each["picture"] for each in records], truth=place)
    for record, row in zip(records, sheet.rows, strict=True):
        for each, found in zip(record["classes"], row.maps, strict=True):
            assert each["index"] == found.target.index and each["text"] == found.words
            assert [one["share"] for one in each["shares"]] == [s.share for s in found.shares]
            assert each["totals"]["ground"] == found.totals.ground
        assert record["decoded"] == row.decoded and record["size"] == list(row.size)
        assert record["ground_area"] == row.ground_area
    assert failed["picture"] == "photos/03.png" and failed["error"]
    assert last["files"] == ["o/sheet.html", "o/sheet.png"]
    assert last["summary"][2]["ground"]["mean"] == sheet.summary[2].ground.mean
    assert last["summary"][2]["ground_area"] == sheet.summary[2].ground_area


def test_command_for_scenes(small):
    *records, last = map(
        json.loads, run("--scenes", 3, "--seed", 7, "--objects", 1, "--json").stdout.splitlines()
    )
    for seed, record in enumerate(records, 7):
        (thing,) = pictograms.scene(seed, objects=1).objects
        assert thing.label.replace("_", " ") in record["picture"]
        assert record["picture"].startswith(f"scene {seed}: ")
        assert record["scene"] == {"seed": seed, "objects": 1}
    assert len(records) == 3 and last["summary"][0]["pictures"] == 3
    records = run("--examples", "--json", "--top", 1).stdout.splitlines()[:-1]
    names = [path.stem.replace("_", " ") for path in pictograms.examples()]
    assert [json.loads(each)["picture"] for each in records] == names


def test_command_refuses(small):
    files.masks("truth", files.scenes("photos", 1))
    network = ("--model", "pictograms")
    for arguments, message in [
        ((), "name pictures"),
        (("photos", "--examples"), "name pictures"),
        (("--examples", "-a", "truth"), "goes with pictures"),
        (("photos", "--out", "photos", *network), "cannot be read and written at once"),
        (("photos", "-a", "truth", "--out", "truth", *network), "another folder"),
        ((".", "-a", "truth", *network), "the masks are in"),
        (("photos", "-m", "nothing", *network), "nothing"),
        (("photos", "-l", "nothing", *network), "nothing"),
        (("photos", "-l", "conv", "-m", "saliency", *network), "has no effect"),
        (("missing.png", *network), "missing.png"),
        (("photos", "-a", "photos/missing", *network), "does not exist"),
        (("photos", "--objects", 3), "--objects has no effect without --scenes"),
        (("--examples", "--seed", 1), "--seed has no effect without --scenes"),
        (("photos", "--class-indices"), "--class-indices has no effect without --annotations"),
        (("photos", "--format", "csv"), "--format has no effect without --annotations"),
        (("photos", "--top", 11), "1<=x<=10"),
        (("photos", "-a", "truth", "--out", "truth/new", *network), "another folder"),
        (("photos", "--out", "photos/00.png/out", *network), "Not a directory"),
    ]:
        assert message in run(*arguments, code=2).stderr
    assert not Path("gradcam-out").exists()
    Path("bad.png").write_bytes(b"bad")
    run("bad.png", *network, code=2)
    Path("empty").mkdir()
    assert "empty: there is no picture" in run("empty", *network, code=2).stderr
    assert not Path("gradcam-out").exists()
    done = run("empty", "photos", *network, code=1)
    assert "empty: there is no picture" in done.stderr and "00.png" in done.stdout


def test_command_keeps_pictures_that_it_reads(small):
    files.scenes("photos", 6)
    network = ("--model", "pictograms")
    for name, others in [("sheet.png", []), ("sheet-2.png", ["photos"]), ("sheet.html", [])]:
        before = Path("photos/00.png").read_bytes()
        Path(name).write_bytes(before)
        told = run(name, *others, "--out", ".", *network, code=2).stderr
        assert f"{name} is read, and what is written would replace it" in told
        assert Path(name).read_bytes() == before
    Path("link.png").symlink_to("sheet.png")
    assert "would replace it" in run("link.png", "--out", ".", *network, code=2).stderr


def test_command_checks_the_files_before_the_first_pass(small, monkeypatch):
    files.scenes("photos", 1)
    Path("out/sheet.png").mkdir(parents=True)
    monkeypatch.setattr(small, "stream", None)  # not reached
    told = run("photos", "--model", "pictograms", "--out", "out", code=2).stderr
    assert "out/sheet.png: a folder has the name of this file" in told
    assert [each.name for each in Path("out").iterdir()] == ["sheet.png"]


def test_command_prints_pictures_at_once(small, monkeypatch):
    """Those before one that stops the command."""
    drawn = pictograms.scene

    def scene(seed, objects):
        if seed == 30:
            raise RuntimeError("enough")
        return drawn(seed, objects=objects, size=(64, 64))

    monkeypatch.setattr(pictograms, "scene", scene)
    arguments = ["sheet", "--scenes", "40", "--seed", "0", "--json", "--batch", "2"]
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code != 0
    assert "scene 0: " in json.loads(done.stdout.splitlines()[0])["picture"]


def test_command_says_what_is_known_of_the_truth(small):
    files.scenes("photos", 3)
    Path("t.csv").write_text(
        "picture,class,x0,y0,x1,y1\n00.png,unicorn,0,0,9,9\n01.png,17,0,0,9,9\n"
    )
    text = run("photos", "--model", "pictograms", "-a", "t.csv").stdout
    assert "2 of 3 pictures: Objects are boxes here" in text
    assert "It is not known what is where in 1 of 3 pictures" in text
    assert "unicorn (1), 17 (1)" in text and "--class-indices" in text
    text = run("photos", "--model", "pictograms", "-a", "t.csv", "--class-indices").stdout
    assert "unicorn (1)." in text and "17" not in text
    told = run("photos/02.png", "--model", "pictograms", "-a", "t.csv", code=2).stderr
    assert "t.csv: none of its 2 annotations" in told
