"""Readers of ground truth: PASCAL VOC's XML, COCO's JSON, masks, CSV; damaged and wrong ones."""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
import types
from pathlib import Path

import annotation_files as files
import matplotlib.path
import numpy as np
import pytest
from PIL import Image

from gradcam import pictograms
from gradcam._annotations import outlines, tables
from gradcam._annotations.reading import open_annotations
from gradcam._annotations.truth import Annotated, Annotation, AnnotationError, placed

SIZE = (64, 64)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of scenes, and the scenes."""
    folder = tmp_path_factory.mktemp("pictures")
    return folder, files.scenes(folder, 4)


def truth(annotations, picture, size=SIZE, **options):
    found = annotations.of(Path(picture))
    return None if found is None else list(placed(found, size, **options))


def boxes(annotations, picture, **options):
    return [each.box for each in truth(annotations, picture, **options)]


WRITERS = {
    "voc": (files.voc, "xml"),
    "coco": (files.coco, "a.json"),
    "masks": (files.masks, "masks"),
    "csv": (files.table, "a.csv"),
    "kaggle": (files.kaggle, "k.csv"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format(kind, drawn, tmp_path):
    folder, scenes = drawn
    write, name = WRITERS[kind]
    found = open_annotations(write(tmp_path / name, scenes), [folder])
    assert found.format == ("csv" if kind == "kaggle" else kind)
    for name, scene in scenes.items():
        objects = truth(found, folder / f"{name}.png")
        synsets = dict(map(reversed, pictograms.CLASSES))
        expected = {(synsets[each.label], each.box) for each in scene.objects}
        assert {(synsets.get(each.label, each.label), each.box) for each in objects} == expected
        if kind in ("coco", "masks"):
            of = {each.label: each.mask for each in objects}
            assert all((of[each.label] == each.mask).all() for each in scene.objects)
    assert found.of(folder / "other.png") is None


def test_the_digest_follows_the_content(drawn, tmp_path):
    path = files.voc(tmp_path / "xml", drawn[1])
    before = open_annotations(path).digest
    assert open_annotations(path).digest == before
    (path / "00.xml").write_text("<annotation/>")
    assert open_annotations(path).digest != before


# --- names ---


def write_csv(path, *rows, header="picture,class,x0,y0,x1,y1"):
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8", "surrogateescape")
    return path


def test_names_and_folders(tmp_path):
    rows = ["dog/1.jpg,dog,0,0,2,2", "cat/1.jpg,cat,0,0,3,3", "2,cat,0,0,4,4", "3.png,a,0,0,5,5"]
    file = write_csv(tmp_path / "a.csv", *rows, "3.jpg,b,0,0,6,6")
    found = open_annotations(file, [tmp_path / "p"])
    assert boxes(found, tmp_path / "p/dog/1.png") == [(0, 0, 2, 2)]
    assert boxes(found, tmp_path / "p/cat/1.jpg") == [(0, 0, 3, 3)]
    assert boxes(found, tmp_path / "p/any/2.jpeg") == [(0, 0, 4, 4)]
    assert boxes(found, tmp_path / "p/3.jpg") == [(0, 0, 6, 6)]
    assert boxes(found, tmp_path / "p/3.png") == [(0, 0, 5, 5)]
    assert found.of(tmp_path / "p/fish/1.jpg") is None
    with pytest.raises(AnnotationError, match="2 annotations have the name"):
        found.of(tmp_path / "p/1.jpg")


@pytest.mark.parametrize("kind", ("csv", "voc", "masks", "classes"))
def test_pictures_of_several_folders_do_not_share_an_annotation(kind, tmp_path):
    path = tmp_path / "truth"
    path.mkdir()
    if kind == "csv":
        path = write_csv(path / "a.csv", "1.png,cat,0,0,2,2", "b/2.png,cat,0,0,2,2")
    elif kind == "voc":
        (path / "1.xml").write_text(one())
        (path / "b").mkdir()
        (path / "b/2.xml").write_text(one())
    else:
        names = ("a/1", "b/1", "b/2") if kind == "classes" else ("1", "b/2")
        for name in names:
            (path / name).parent.mkdir(exist_ok=True)
            Image.new("L", SIZE, 1).save(path / f"{name}.png")
        write_csv(path / "classes.csv", "1,cat", "b/2,cat", header="picture,class")
    found = open_annotations(path, [tmp_path])
    pictures = [tmp_path / name for name in ("a/1.png", "b/1.png", "b/1.jpg", "a/2.png", "b/2.png")]
    found.expect(pictures)
    for _ in range(2):
        for picture in pictures[:3]:
            message = "3 pictures have the name of this annotation, among them .*a.1.png"
            with pytest.raises(AnnotationError, match=message):
                found.of(picture)
        assert found.of(pictures[3]) is None and found.of(pictures[4]) is not None
    found.expect([*pictures[1:3], pictures[1]])  # of one folder
    assert found.of(pictures[1]) is not None


def test_names_that_are_not_unicode(tmp_path):
    name = "caf\udce9.png"
    found = open_annotations(write_csv(tmp_path / "a.csv", f"{name},cat,0,0,2,2"))
    assert boxes(found, tmp_path / name) == [(0, 0, 2, 2)]


def test_masks_take_the_class_of_a_table_a_folder_or_the_picture(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = np.zeros(SIZE, np.uint8)
    mask[3:7, 10:20] = 2
    Image.fromarray(mask, "P").save(folder / "a.png")
    found = open_annotations(folder, [tmp_path / "p"])
    [each] = truth(found, tmp_path / "p/dog/a.jpg")
    assert (each.label, each.box) == ("dog", (10, 3, 20, 7)) and (each.mask == (mask > 0)).all()
    with pytest.raises(AnnotationError, match="class of the mask is unknown"):
        found.of(tmp_path / "p/a.jpg")
    write_csv(folder / "classes.csv", "a.png,cat", header="picture,class")
    [each] = truth(open_annotations(folder, [tmp_path / "p"]), tmp_path / "p/a.jpg")
    assert each.label == "cat"


@pytest.mark.parametrize(
    ("write", "message"),
    (
        (lambda path: Image.new("L", (64, 64)).save(path), "mask is empty"),
        (lambda path: Image.new("L", (60, 64), 1).save(path), "60 x 64 pixels, the picture 64"),
        (lambda path: Image.new("RGBA", (64, 64)).save(path), "transparent"),
        (lambda path: Image.new("L", (64, 64), 1).save(path, "JPEG"), "JPEG"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n..."), "cannot be read"),
    ),
)
def test_wrong_masks(write, message, tmp_path):
    (tmp_path / "cat").mkdir()
    write(tmp_path / "cat/a.png")
    with pytest.raises(AnnotationError, match=message):
        truth(open_annotations(tmp_path), "a.png")


# --- boxes ---


@pytest.mark.parametrize(
    ("row", "message"),
    (
        ("5,5,5,9", "empty"),
        ("9,5,4,9", "inverted"),
        ("-2,0,9,9", "reaches beyond the picture of 64 x 32"),
        ("0,0,9,33.5", "reaches beyond"),
        ("64.5,0,65,9", "reaches beyond"),
        ("nan,0,9,9", "finite"),
        ("0,0,inf,9", "finite"),
        ("a,0,9,9", "line 2: x0: expected a number, got 'a'"),
        ("0,0,1_0,9", "line 2: x1: expected a number, got '1_0'"),
    ),
)
def test_boxes_that_are_wrong(row, message, tmp_path):
    found = open_annotations(write_csv(tmp_path / "a.csv", f"a.png,cat,{row}"))
    with pytest.raises(AnnotationError, match=message):
        truth(found, "a.png", (32, 64))


def test_boxes_are_rounded_and_clipped_by_at_most_a_pixel(tmp_path):
    rows = ["a.png,cat,-1,0.4,9.5,33", "a.png,cat,3.2,3.2,3.4,3.4"]
    found = truth(open_annotations(write_csv(tmp_path / "a.csv", *rows)), "a.png", (32, 64))
    assert [each.box for each in found] == [(0, 0, 10, 32), (3, 3, 4, 4)]
    assert sum(each.clipped for each in found) == 1


# --- XML ---


def write_voc(path, text, name="a.xml"):
    (path / name).write_text(text)
    return open_annotations(path)


def one(text="", size="<size><width>64</width><height>64</height></size>", box=(1, 1, 9, 9)):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"<annotation>{size}<object><name> cat </name>{text}<bndbox>{inside}</bndbox>"
        f"<part><bndbox><xmin>1</xmin></bndbox></part></object></annotation>"
    )


def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path):
    [each] = truth(write_voc(tmp_path, one(box=(1, 2, 64, 3))), "a.png")
    assert (each.label, each.box, each.mask) == ("cat", (0, 1, 64, 3), None)


def test_voc_of_another_size(tmp_path):
    found = write_voc(tmp_path, one(size="<size><width>50</width><height>64</height></size>"))
    with pytest.raises(
        AnnotationError, match="describes a picture of 50 x 64 pixels, but this one"
    ):
        truth(found, "a.png")
    assert boxes(found, "a.png", ignore_size=True) == [(0, 0, 9, 9)]
    for size in ("", "<size><width>0</width><height>0</height></size>"):
        found = write_voc(tmp_path, one(size=size))
        assert boxes(found, "a.png") == [(0, 0, 9, 9)] and found.of(Path("a.png")).no_size


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("", "is empty"),
        (one()[:-30], "not complete, valid XML"),
        ('<!DOCTYPE a [<!ENTITY e "x">]>' + one("&e;"), "DTD or entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + one(), "DTD or entities"),
        ('<?xml version="1.0" encoding="nonsense"?>' + one(), "cannot be decoded|valid XML"),
        ("<html></html>", "begins with <html>"),
        (one().replace(" cat ", ""), "object 1 has no name"),
        (one().replace("bndbox", "box"), "'cat', has no bndbox"),
        (one().replace("<ymin>1", "<ymin>one"), "ymin: expected a number, got 'one'"),
        (one().replace("<xmax>9", "<xmax>1_0"), "xmax: expected a number, got '1_0'"),
        (one(size="<size><width>x</width><height>3</height></size>"), "size: expected a number"),
        (one(size="<size><width>1.5</width><height>3</height></size>"), "not a number of pixels"),
        (one(box=(1, 1, "1e999", 2)), "finite"),
    ),
)
def test_voc_that_is_wrong(text, message, tmp_path):
    found = write_voc(tmp_path, text)
    with pytest.raises(AnnotationError, match=message) as caught:
        truth(found, "a.png")
    assert str(caught.value).startswith(str(tmp_path / "a.xml"))


def test_a_file_that_is_far_too_large(tmp_path):
    found = write_voc(tmp_path, one() + " " * (1 << 22))
    with pytest.raises(AnnotationError, match="larger than 4 MB"):
        found.of(Path("a.png"))


# --- COCO ---


def coco(tmp_path, annotation, **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 64, "width": 64}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, **annotation}],
        **changes,
    }
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return open_annotations(path)


def test_coco_polygons(tmp_path):
    square, triangle = [10, 20, 30, 20, 30, 40, 10, 40], [40, 40, 60, 40, 40, 60]
    found = coco(tmp_path, {"segmentation": [square, triangle]})
    [each] = truth(found, "a.jpg")
    y, x = np.mgrid[:64, :64] + 0.5
    expected = (x > 10) & (x < 30) & (y > 20) & (y < 40) | (x > 40) & (y > 40) & (x + y < 100)
    assert (each.mask | (x + y == 100) == expected | (x + y == 100)).all()
    assert each.box[:2] == (10, 20)


def test_polygons_against_matplotlib(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 65, (9, 2))  # with edges that cross
    found = coco(tmp_path, {"segmentation": [points.ravel().tolist()]})
    centres = np.mgrid[:64, :64][::-1].reshape(2, -1).T + 0.5
    path = matplotlib.path.Path(np.concatenate([points, points[:1]]))
    [each] = truth(found, "a.jpg")
    assert (each.mask == path.contains_points(centres).reshape(64, 64)).all()


def test_polygons_are_filled_in_parts_of_bounded_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    draw = outlines.outline([rng.uniform(20, 200, (800, 2)).ravel().tolist()])
    whole = draw((210, 230))
    monkeypatch.setattr(outlines, "_PART", 500)
    tracemalloc.start()
    try:
        parts = draw((210, 230))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (parts == whole).all() and whole.any()
    assert peak < 1 << 20  # about 50,000 crossings of edges and rows, of some 100 bytes each


def test_objects_are_drawn_one_at_a_time_and_only_if_they_are_needed():
    drawn = []

    def draw(size):
        drawn.append(size)
        return np.ones(size, bool)

    objects = tuple(Annotated(label, None, draw) for label in ("cat", "dog", "cat"))
    found = placed(Annotation("a", None, objects), SIZE, labels={"cat"})
    assert next(found).label == "cat" and len(drawn) == 1
    assert [each.label for each in found] == ["cat"] and len(drawn) == 2


def test_a_crowd_with_a_box_alone_is_left_out(tmp_path):
    found = coco(tmp_path, {"bbox": [0, 0, 9, 9], "iscrowd": 1})
    assert truth(found, "a.jpg") == [] and not found.of(Path("a.jpg")).objects[0].has_place


def test_coco_box_crowd_and_annotations_of_other_pictures(tmp_path):
    crowd = {"bbox": [0, 0, 64, 64], "segmentation": {"size": [64, 64], "counts": [0, 64, 4032]}}
    several = [
        {"image_id": 7, "category_id": 3, "bbox": [1.6, 2, 3, 4.4]},
        {"image_id": 7, "category_id": 3, "iscrowd": 1, **crowd},
        {"image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4]},
    ]
    first, second = truth(coco(tmp_path, {}, annotations=several), "a.jpg")
    assert first.box == (2, 2, 5, 6) and first.mask is None
    assert second.box is None and second.mask[:, 0].all() and second.mask.sum() == 64


def test_coco_compressed_run_lengths(tmp_path, monkeypatch):
    found = coco(tmp_path, {"segmentation": {"size": [64, 64], "counts": "abc"}})
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(AnnotationError, match=r"compressed.*pip install pycocotools"):
        truth(found, "a.jpg")
    mask = types.SimpleNamespace(decode=lambda given: np.ones(given["size"], np.uint8))
    monkeypatch.setitem(sys.modules, "pycocotools", types.SimpleNamespace(mask=mask))
    assert truth(found, "a.jpg")[0].mask.all()


@pytest.mark.parametrize(
    ("annotation", "message"),
    (
        ({}, "neither a bbox nor a segmentation"),
        ({"bbox": [1, 2, 3]}, "expected the bbox"),
        ({"bbox": [1, 2, 3, "4"]}, "expected the bbox"),
        ({"bbox": [1, 2, 0, 4]}, "empty"),
        ({"bbox": [1, 2, -1, 4]}, "inverted"),
        ({"bbox": [60, 2, 6, 4]}, "reaches beyond"),
        ({"category_id": 4, "bbox": [1, 2, 3, 4]}, "no category with the id 4"),
        ({"segmentation": [[1, 2, 3, 4]]}, "three points or more"),
        ({"segmentation": [[1, 2, 3, 4, 5, None]]}, "coordinate None"),
        ({"segmentation": [[1, 2, 3, 4, 90, 5]]}, "polygon reaches beyond"),
        ({"segmentation": "text"}, "neither a list of polygons nor run lengths"),
        ({"segmentation": {"size": [64], "counts": []}}, "expected the size"),
        ({"segmentation": {"size": [1 << 20, 1 << 20], "counts": []}}, "expected the size"),
        ({"segmentation": {"size": [64, 64], "counts": [5]}}, "add up to 5 pixels"),
        ({"segmentation": {"size": [64, 64], "counts": [-1, 4097]}}, "integers of 0 or more"),
        ({"segmentation": {"size": [2, 2], "counts": [1, 3]}}, "mask has 2 x 2 pixels"),
    ),
)
def test_coco_annotations_that_are_wrong(annotation, message, tmp_path):
    found = coco(tmp_path, annotation)
    with pytest.raises(AnnotationError, match=message):
        truth(found, "a.jpg")


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"images": None}, "images: expected a list"),
        ({"categories": [3]}, "categories: expected a list of objects"),
        ({"images": [{"id": 7}]}, r"images\[0\]: expected a file_name"),
        ({"images": 2 * [{"id": 7, "file_name": "a"}]}, "id 7 is used twice"),
        ({"categories": 2 * [{"id": 7, "name": "a"}]}, "id 7 is used twice"),
        ({"categories": [{"id": 7, "name": ""}]}, r"categories\[0\]: expected a name"),
        ({"annotations": [{}]}, r"annotations\[0\]: expected image_id"),
    ),
)
def test_coco_files_that_are_wrong(changes, message, tmp_path):
    with pytest.raises(AnnotationError, match=message):
        coco(tmp_path, {}, **changes)


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ('{"images": [', "not complete, valid JSON: line 1"),
        ("[" * 100_000, "nested too deeply|not complete"),
        ("[1, 2]", "expected a JSON object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": ' + "9" * 5000 + "}", "the number 9999"),
        ('{"a": "\udcff"}', "UTF-8"),
    ),
)
def test_json_that_is_damaged(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(AnnotationError, match=message):
        open_annotations(tmp_path / "a.json")


# --- CSV ---


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("picture,class,x0,y0,x1\na,b,1,1,2\n", "column y1 is missing.*picture, class, x0"),
        ("picture,class,x0,y0,x1,y1,x0\n", "column x0 is there twice"),
        ("picture,class,x0,y0,x1,y1\na,b,1,1,2\n", "line 2 has 5 columns"),
        ('picture,class,x0,y0,x1,y1\n"a,b,1,1,2\n', "cannot be split"),
        ("picture,class,x0,y0,x1,y1\n,b,1,1,2,2\n", "line 2 names no picture"),
        ("picture,class\0,x0\n", "not text in UTF-8"),
        ("a list\nof things", "neither COCO's JSON"),
        (" ", "is empty"),
    ),
)
def test_csv_that_is_wrong(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        open_annotations(tmp_path / "a.csv")


def test_csv_with_other_columns_order_and_separator(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("\ufeffx1;y1;note;x0;y0;class;picture\r\n\r\n5;6;;1;2;cat;a.jpg\r\n", "utf-8")
    assert boxes(open_annotations(file), "a.jpg") == [(1, 2, 5, 6)]


def test_a_large_csv_takes_little_memory(tmp_path):
    rows = [f"n02106662/n02106662_{n}.JPEG,n02106662,{n % 50},10,300,250" for n in range(4000)]
    path = write_csv(tmp_path / "a.csv", *rows)
    tracemalloc.start()
    try:
        found = open_annotations(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert boxes(found, "n02106662/n02106662_51.JPEG", size=(300, 300)) == [(1, 10, 300, 250)]
    assert peak < 16 * path.stat().st_size


def test_a_csv_that_is_far_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_BYTES", 50)
    with pytest.raises(AnnotationError, match="larger than"):
        open_annotations(write_csv(tmp_path / "a.csv", "a.png,cat,0,0,2,2", "b.png,cat,0,0,2,2"))


def test_csv_without_a_class(tmp_path):
    with pytest.raises(AnnotationError, match="line 2 names no class"):
        open_annotations(write_csv(tmp_path / "a.csv", "a.png,,0,0,2,2")).of(Path("a.png"))


def test_kaggle_that_is_cut_off(tmp_path):
    file = write_csv(tmp_path / "a.csv", "a,n01 1 2 3", header="ImageId,PredictionString")
    with pytest.raises(AnnotationError, match="for each box, got 4 words"):
        open_annotations(file).of(Path("a.JPEG"))


# --- any ---


def test_folders_and_formats(tmp_path):
    with pytest.raises(AnnotationError, match="neither XML files nor masks"):
        open_annotations(tmp_path)
    write_csv(tmp_path / "a.csv")
    with pytest.raises(AnnotationError, match=r"of a \.csv file, give the path of the file"):
        open_annotations(tmp_path)
    with pytest.raises(AnnotationError, match="no XML files"):
        open_annotations(tmp_path, format="voc")
    with pytest.raises(AnnotationError, match="format coco are a file"):
        open_annotations(tmp_path, format="coco")
    with pytest.raises(AnnotationError, match="format masks are a folder"):
        open_annotations(tmp_path / "a.csv", format="masks")
    with pytest.raises(FileNotFoundError):
        open_annotations(tmp_path / "none.csv")


def mutated(content, rng):
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 1, 8, 40)))
        other = rng.randrange(len(content))
        data[start:end] = rng.choice(
            (b"", bytes([rng.randrange(256)]), content[other : other + 20], b"-1", b"1e400", b"\0")
        )
    return bytes(data)


@pytest.mark.parametrize("kind", ("voc", "coco", "csv", "kaggle"))
def test_mutated_files_raise_only_the_named_error(kind, drawn, tmp_path):
    folder, scenes = drawn
    write, name = WRITERS[kind]
    path = write(tmp_path / name, {"00": scenes["00"], "01": scenes["01"]})
    file = path / "00.xml" if path.is_dir() else path
    content, rng, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(150):
        file.write_bytes(mutated(content, rng))
        try:
            found = open_annotations(path, [folder])
            for name in ("00", "01"):
                truth(found, folder / f"{name}.png")
        except AnnotationError as error:
            refused += 1
            assert str(error)
    assert refused > 30
