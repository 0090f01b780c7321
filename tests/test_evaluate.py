"""``gradcam evaluate localization`` on scenes, against a plain twin; damaged and resumed runs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import annotation_files as files
import numpy as np
import pytest
from click.testing import CliRunner
from helpers import peer

import gradcam
from gradcam import _cli as cli
from gradcam import pictograms
from gradcam._cli.localization import best_box

pytestmark = [
    pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of the twin
]

CLASSES = ["cat", "dog", "pizza", "zebra", "teapot", "yawl", "goose"]
METHODS = ("grad_cam", "saliency")


@pytest.fixture(scope="module")
def network():
    """An untrained network for seven of the pictograms' classes."""
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=7, seed=5)
    synsets = [dict(map(reversed, pictograms.CLASSES))[label] for label in CLASSES]
    labels = gradcam.Labels(CLASSES, synsets)
    return gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=32))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of twelve scenes, and the scenes, with larger objects than were drawn.

    The maps of an untrained network are broad: some of their boxes shall fit.
    """
    folder = tmp_path_factory.mktemp("pictures")
    scenes = files.scenes(folder, 12, classes=CLASSES)
    return folder, {name: pictograms.Scene(s.picture, grown(s)) for name, s in scenes.items()}


def grown(scene):
    """The objects of a scene with a margin of 16 pixels, without two corners."""
    found = []
    for each in scene.objects:
        x0, y0, x1, y1 = each.box
        box = (max(x0 - 16, 0), max(y0 - 16, 0), min(x1 + 16, 64), min(y1 + 16, 64))
        mask = np.zeros((64, 64), bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        mask[box[1], box[0]] = mask[box[3] - 1, box[2] - 1] = False
        found.append(replace(each, box=box, mask=mask))
    return found


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch, network):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictograms, "model", lambda: network)


def run(*arguments, code=0):
    command = ["evaluate", "localization", *map(str, arguments), "--model", "pictograms"]
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    run.errors = result.stderr
    return result.stdout


def summary(out="gradcam-out"):
    return json.loads((Path(out) / "localization.json").read_text())


def rows(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- a plain twin ---


def overlap(a, b):
    """Intersection over union, by counting pixels."""
    shape = (max(a[3], b[3]), max(a[2], b[2]))
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    for mask, (x0, y0, x1, y1) in ((first, a), (second, b)):
        mask[y0:y1, x0:x1] = True
    return (first & second).sum() / (first | second).sum()


def expected(network, folder, scenes, method, masks, tolerance=15):
    """Each picture's errors and measures, as the definitions say them."""
    found = []
    for name, scene in scenes.items():
        tape = network.forward(folder / f"{name}.png")
        order = np.argsort(-tape.scores[0], kind="stable").tolist()
        true = dict.fromkeys(CLASSES.index(each.label) for each in scene.objects)
        values = []
        for index in true:
            objects = [each for each in scene.objects if CLASSES.index(each.label) == index]
            explanation = tape.explain(method, index)
            box = explanation.box()
            map = explanation.map.astype(np.float64)
            inside = np.zeros(map.shape, bool)
            for each in objects:
                x0, y0, x1, y1 = each.box
                inside |= each.mask if masks else False
                inside[y0:y1, x0:x1] |= not masks
            iou = 0 if box is None else max(overlap(box, each.box) for each in objects)
            y, x = np.unravel_index(map.argmax(), map.shape)
            near = (np.argwhere(inside) - (y, x)) ** 2
            flat, outside = map.min() == map.max(), map[~inside].mean()
            ratio = np.nan if flat else np.divide(map[inside].mean(), outside)
            values.append(
                {
                    "rank": order.index(index) + 1,
                    "iou": iou,
                    "pointing": not flat and (near.sum(1) <= tolerance**2).any(),
                    "energy_inside": np.nan if flat else map[inside].sum() / map.sum(),
                    "inside_outside": np.nan if np.isinf(ratio) else ratio,
                    "infinite": np.isinf(ratio),
                    "flat": flat,
                }
            )
        found.append(values)
    return found


def mean(pictures, name):
    """The mean over the pictures of the mean over their classes."""
    return np.nanmean([np.nanmean([float(each[name]) for each in of]) for of in pictures])


@pytest.mark.parametrize("kind", ("voc", "coco", "masks", "csv", "kaggle"))
def test_every_format_against_the_twin(kind, drawn, network):
    folder, scenes = drawn
    write = {"csv": files.table}.get(kind) or getattr(files, kind)
    path = write(Path("truth") if kind in ("voc", "masks") else Path("truth.txt"), scenes)
    methods = METHODS if kind in ("voc", "coco") else METHODS[:1]
    options = [part for method in methods for part in ("-m", method)]
    text = run(folder, "-a", path, *options, "--table", "t.csv", "--tolerance", 4)
    assert "12 pictures" in text and "grad_cam" in text and "Flat maps" in text
    found = summary()
    assert found["pictures"] == 12 and found["failed"] == found["without_ground_truth"] == 0
    table = rows("t.csv")
    for method, of in zip(methods, found["methods"], strict=True):
        pictures = expected(network, folder, scenes, method, kind in ("coco", "masks"), 4)
        errors = {
            "localization_top1": lambda each: each["rank"] == 1 and each["iou"] > 0.5,
            "localization_top5": lambda each: each["rank"] <= 5 and each["iou"] > 0.5,
        }
        for name, right in errors.items():
            error = np.mean([not any(map(right, each)) for each in pictures])
            assert of[name]["mean"] == pytest.approx(error)
        for name in ("pointing", "energy_inside", "inside_outside"):
            assert of[name]["mean"] == pytest.approx(mean(pictures, name), rel=1e-5)
        flat = [each["flat"] for picture in pictures for each in picture]
        assert (of["flat"], of["maps"]) == (sum(flat), len(flat))
        infinite = [each["infinite"] for picture in pictures for each in picture]
        assert of["infinite_inside_outside"] == sum(infinite)
        ious = [each["iou"] for picture in pictures for each in picture]
        written = [float(row["iou"]) for row in table if row["method"] == method]
        np.testing.assert_allclose(sorted(written), sorted(ious), rtol=1e-6)
    for name, limit in (("classification_top1", 1), ("classification_top5", 5)):
        error = np.mean([min(each["rank"] for each in of) > limit for of in pictures])
        assert found[name]["mean"] == pytest.approx(error)


def test_the_twin_has_something_to_tell_apart(drawn, network):
    pictures = expected(network, *drawn, "grad_cam", False)
    maps = [each for of in pictures for each in of]
    fits = [each["rank"] for each in maps if each["iou"] > 0.5]
    assert 1 in fits and any(1 < rank <= 5 for rank in fits) and max(fits) > 5
    assert any(each["flat"] for each in maps) and any(each["iou"] <= 0.5 for each in maps)


# --- options ---


def test_threshold_and_segments_change_boxes(drawn):
    folder, scenes = drawn
    path = files.table("a.csv", scenes)
    found = []
    for options in ((), ("--threshold", 0.9), ("--threshold", "otsu"), ("--segments", "all")):
        lines = run(folder, "-a", path, "-m", "saliency", "--json", *options).splitlines()
        found.append([json.loads(line)["results"][0] for line in lines[:-1]])
    boxes = [[each["box"] for each in of] for of in found]
    assert boxes[0] != boxes[1] and boxes[0] != boxes[2]
    assert [max(each["boxes"] for each in of) > 1 for of in found] == [False] * 3 + [True]
    assert all(b["iou"] >= a["iou"] for a, b in zip(found[0], found[3], strict=True))
    assert "summary" in json.loads(lines[-1])
    assert "otsu, got '2'" in (run(folder, "-a", path, "--threshold", 2, code=2) or run.errors)


def test_the_box_that_fits_best():
    boxes = [(0, 0, 9, 9), (20, 20, 30, 30), (40, 0, 50, 10)]
    assert best_box(boxes, [(90, 90, 95, 95), (20, 20, 30, 25)]) == (boxes[1], 0.5)
    assert best_box(boxes, []) == (boxes[0], None)
    assert best_box([], [(0, 0, 9, 9)]) == (None, 0.0) and best_box([], []) == (None, None)


def test_grabcut_is_for_maps_of_pixels(drawn):
    peer("cv2")
    folder, scenes = drawn
    path = files.table("a.csv", {"00": scenes["00"]})
    plain, cut = (
        json.loads(
            run(
                folder / "00.png", "-a", path, "-m", "grad_cam", "-m", "saliency", "--json", *more
            ).splitlines()[0]
        )["results"]
        for more in ((), ("--grabcut",))
    )
    assert plain[0]["box"] == cut[0]["box"] and plain[1]["box"] != cut[1]["box"]
    picture = gradcam.explain(
        folder / "00.png", "cat", method="saliency", network=pictograms.model()
    )
    assert cut[1]["box"] == list(gradcam.measures.grabcut_box(picture))


@pytest.mark.parametrize(
    ("options", "message"),
    (
        (("--grabcut",), "--grabcut has no effect on grad_cam"),
        (("-m", "cam", "-m", "grad_cam", "--grabcut"), "no effect on cam, grad_cam"),
        (("-m", "saliency", "--grabcut", "--threshold", 0.5), "--threshold has no effect"),
        (("-m", "saliency", "--grabcut", "--segments", "all"), "--segments has no effect"),
        (("--tolerance", "nan"), "expected a number of pixels, got nan"),
        (("--tolerance", "inf"), "expected a number of pixels, got inf"),
        (("--threshold", "nan"), "got 'nan'"),
        (("--table", "a.csv"), "a.csv is read, and what is written would replace it"),
        (("--table", "t.txt"), "ends in .csv or .parquet"),
    ),
)
def test_options_without_effect_or_sense_are_refused_before_any_work(options, message, drawn):
    folder, scenes = drawn
    path = files.table("a.csv", scenes)
    before = path.read_bytes()
    run(folder, "-a", path, *options, code=2)
    assert message in " ".join(run.errors.split())
    assert path.read_bytes() == before and [each.name for each in Path().iterdir()] == ["a.csv"]


@pytest.mark.parametrize("kind", ("csv", "masks"))
def test_a_number_is_an_index_only_if_that_is_said(kind, drawn):
    folder, scenes = drawn
    if kind == "csv":
        path = Path("a.csv")
        path.write_text("picture,class,x0,y0,x1,y1\n00,1,0,0,20,20\n01,dog,0,0,20,20\n")
    else:
        path = files.masks(Path("masks"), {"00": scenes["00"]}).rename("truth")
        (path / "cat").rename(path / "1")
    run(folder / "00.png", "-a", path, code=2)
    assert "(for example '1')" in run.errors and "add --class-indices" in run.errors
    assert summary()["unknown_classes"] == {"1": 1}
    text = run(folder / "00.png", folder / "01.png", "-a", path, code=0 if kind == "csv" else 2)
    assert "add --class-indices" in text + run.errors
    run(folder / "00.png", "-a", path, "--class-indices", "--table", "t.csv")
    assert [row["label"] for row in rows("t.csv")] == ["dog"]


def test_labels_that_are_numbers(drawn, network, monkeypatch):
    labels = gradcam.Labels(["6", "5", "4", "3", "2", "1", "0"])
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=7, seed=5)
    other = gradcam.vgg11(tensors, labels=labels, preset=network.preset)
    monkeypatch.setattr(pictograms, "model", lambda: other)
    Path("a.csv").write_text("picture,class,x0,y0,x1,y1\n00,5,0,0,20,20\n")
    for options, index in (((), "1"), (("--class-indices",), "5")):
        run(drawn[0] / "00.png", "-a", "a.csv", "--table", "t.csv", *options)
        assert [row["class"] for row in rows("t.csv")] == [index]


def test_parquet(drawn):
    parquet = peer("pyarrow.parquet")
    folder, scenes = drawn
    run(folder, "-a", files.table("a.csv", scenes), "--table", "t.parquet")
    assert parquet.read_table("t.parquet").num_rows == sum(len(s.objects) for s in scenes.values())


# --- what is wrong ---


def damaged(folder, scenes, into):
    """The scenes with a broken picture, and annotations of which some are wrong."""
    pictures, truth = into / "pictures", into / "xml"
    pictures.mkdir()
    for file in folder.iterdir():
        (pictures / file.name).write_bytes(file.read_bytes())
    (pictures / "03.png").write_text("hello")
    files.voc(truth, scenes)

    def change(name, old, new):
        text = (truth / f"{name}.xml").read_text()
        assert old in text
        (truth / f"{name}.xml").write_text(text.replace(old, new))

    (truth / "04.xml").unlink()
    (truth / "05.xml").write_text((truth / "05.xml").read_text()[:200])
    for label, _ in files.objects_of(scenes["06"]):
        change("06", label, "unicorn")
    change("07", "<width>64", "<width>500")
    change("08", "<xmax>", "<xmax>3")
    change("09", "<width>64</width><height>64", "<width>0</width><height>0")
    change("10", "<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>')
    return pictures, truth


def test_what_is_wrong_is_counted_and_the_run_goes_on(drawn, tmp_path):
    pictures, truth = damaged(*drawn, tmp_path)
    text = run(pictures, "-a", truth, code=1)
    found = summary()
    assert found["pictures"] == 5 and found["failed"] == 5
    assert found["without_ground_truth"] == found["unknown_class"] == 1
    assert found["annotations_without_size"] == 1 and found["unknown_classes"] == {"unicorn": 1}
    assert "Classes that the network does not know, or not for certain: unicorn (1)" in text
    for name, reason in (
        ("03.png", "cannot be read as a picture"),
        ("05.xml", "not complete, valid XML"),
        ("07.xml", "500 x 64"),
        ("08.xml", "reaches beyond"),
        ("10.xml", "DTD or entities"),
    ):
        assert any(name in line and reason in line for line in run.errors.splitlines())
    run(pictures, "-a", truth, "--ignore-size", code=1)
    assert summary()["pictures"] == 6


def test_nothing_to_evaluate(drawn, tmp_path):
    folder, scenes = drawn
    (tmp_path / "empty").mkdir()
    path = files.table("a.csv", scenes)
    run("empty", "-a", path, code=2)
    assert "no picture in this folder" in run.errors
    Path("b.csv").write_text("picture,class,x0,y0,x1,y1\nother.jpg,cat,0,0,2,2\n")
    run(folder, "-a", "b.csv", code=2)
    assert "12 without ground truth in b.csv (which has 1, for example 'other.jpg')" in run.errors
    Path("c.csv").write_text("picture,class,x0,y0,x1,y1\n00,unicorn,0,0,2,2\n")
    run(folder / "00.png", "-a", "c.csv", code=2)
    assert (
        "1 whose classes the network does not know, or not for certain (for example 'unicorn')"
        in run.errors
    )
    run(folder, "-a", "empty", code=2)
    assert "neither XML files nor masks" in run.errors


def test_masks_among_the_pictures(drawn, tmp_path):
    folder, scenes = drawn
    for name in scenes:
        (tmp_path / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes())
    files.masks(tmp_path / "masks", scenes)
    run(tmp_path, "-a", "masks", code=2)
    assert "would be taken for pictures" in run.errors


def test_a_crowd_has_no_box_but_a_place(drawn):
    folder, scenes = drawn
    path = files.coco("a.json", {name: scenes[name] for name in ("00", "02")})
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    run(folder, "-a", path, "--table", "t.csv")
    [found] = summary()["methods"]
    assert found["localization_top5"]["size"] == 1 and found["pointing"]["size"] == 2
    assert [row["iou"] == "" for row in rows("t.csv")] == [True, False]


def test_a_crowd_with_a_box_alone_has_no_place(drawn):
    folder, scenes = drawn
    path = files.coco("a.json", {name: scenes[name] for name in ("00", "01")})
    content = json.loads(path.read_text())
    for each in content["annotations"][:2]:  # the only object of 00, and one of two of 01
        each["iscrowd"] = 1
        del each["segmentation"]
    path.write_text(json.dumps(content))
    text = run(folder / "00.png", folder / "01.png", "-a", path, "--table", "t.csv")
    found = summary()
    assert (found["pictures"], found["without_ground_truth"]) == (1, 1)
    assert found["crowds_without_segmentation"] == 2 and len(rows("t.csv")) == 1
    assert "Crowds without a segmentation, whose place is not known, left out: 2." in text
    run(folder / "00.png", "-a", path, code=2)
    assert "Crowds without a segmentation, left out: 1." in run.errors


def test_the_object_of_an_unknown_class_is_not_drawn(drawn):
    folder, scenes = drawn
    path = files.coco("a.json", {"01": scenes["01"]})
    content = json.loads(path.read_text())
    first, _ = content["annotations"]
    content["categories"].append({"id": 99, "name": "unicorn"})
    first["category_id"], first["bbox"] = 99, [0, 0, 500, 500]
    path.write_text(json.dumps(content))
    run(folder / "01.png", "-a", path)
    assert summary()["unknown_classes"] == {"unicorn": 1} and summary()["pictures"] == 1


def test_pictures_that_would_share_an_annotation(drawn):
    folder, _ = drawn
    for name in ("q/train/00.png", "q/val/00.png", "q/val/01.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes((folder / "00.png").read_bytes())
    Path("a.csv").write_text("picture,class,x0,y0,x1,y1\n00.png,cat,0,0,9,9\n01,cat,0,0,9,9\n")
    for resume in ((), ("--resume",)):
        run("q", "-a", "a.csv", *resume, code=1)
        errors = [line for line in run.errors.splitlines() if "have the name of this" in line]
        assert [name for name in ("train/00.png: 2", "val/00.png: 2") if name in "".join(errors)]
        assert len(errors) == 2 and summary()["pictures"] == 1
    Path("a.csv").write_text("picture,class,x0,y0,x1,y1\nval/00.png,cat,0,0,9,9\n")
    run("q", "-a", "a.csv")
    assert summary()["pictures"] == 1 and summary()["without_ground_truth"] == 2


def test_flat_maps_are_errors_and_are_counted(drawn):
    folder, scenes = drawn
    try:

        @gradcam.method(title="Flat", source="-", view="map")
        def flat(tape, objective):
            return 0 * objective.gradient(tape, "input").sum(2)

        text = run(folder, "-a", files.table("a.csv", scenes), "-m", "flat")
    finally:
        del gradcam.METHODS._methods["flat"]
    [found] = summary()["methods"]
    assert found["flat"] == found["maps"] == sum(len(s.objects) for s in scenes.values())
    assert found["localization_top5"]["mean"] == 1 and found["pointing"]["mean"] == 0
    assert found["energy_inside"]["mean"] is None
    assert "counts as an error" in text and "Warning" not in run.errors


def test_names_that_are_not_unicode(drawn):
    folder, _ = drawn
    name = "caf\udce9"
    Path("p").mkdir()
    Path("p", f"{name}.png").write_bytes((folder / "00.png").read_bytes())
    row = f"{name}.png,cat,0,0,30,30"
    text = f"picture,class,x0,y0,x1,y1\n{row}\n"
    Path("a.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    run("p", "-a", "a.csv", "--table", "t.csv")
    assert summary()["pictures"] == 1 and len(rows("t.csv")) == 1


# --- resumed ---


def test_a_run_that_was_killed_is_resumed(drawn, tmp_path):
    pictures, truth = damaged(*drawn, tmp_path)
    arguments = (pictures, "-a", truth, *("-m", "grad_cam", "-m", "saliency"), "--table", "t.csv")
    run(*arguments, code=1)
    whole, table = summary(), Path("t.csv").read_bytes()
    history = Path("gradcam-out/.gradcam-run.jsonl")
    lines = history.read_text().splitlines()
    assert len(lines) == 8  # the options, and all pictures that did not fail
    Path("gradcam-out/localization.json").unlink()
    for kept in (0, 1, 4, 6):
        history.write_text("\n".join(lines[: kept + 1]) + "\n" + lines[-1][:100])
        run(*arguments, "--resume", code=1)
        assert f"{kept} of 12 pictures were complete already" in run.errors or not kept
        assert summary() == whole and Path("t.csv").read_bytes() == table


def test_a_run_with_other_annotations_is_not_resumed(drawn):
    folder, scenes = drawn
    path = files.table("a.csv", scenes)
    run(folder, "-a", path, "--table", "t.csv")
    written = [Path("t.csv"), Path("gradcam-out/localization.json")]
    before = [file.read_bytes() for file in written]
    path.write_text(path.read_text() + "99.png,cat,0,0,5,5\n")
    run(folder, "-a", path, "--resume", "--table", "t.csv", code=2)
    assert "content of --annotations was" in run.errors
    assert [file.read_bytes() for file in written] == before


def test_the_summary_is_always_that_of_the_last_run(drawn):
    folder, scenes = drawn
    run(folder / "00.png", "-a", files.table("a.csv", scenes))
    Path("b.csv").write_text("picture,class,x0,y0,x1,y1\nother.jpg,cat,0,0,2,2\n")
    lines = run(folder / "00.png", "-a", "b.csv", "--json", code=2).splitlines()
    assert summary()["pictures"] == 0 and summary()["without_ground_truth"] == 1
    assert json.loads(lines[-1])["summary"] == summary()


def test_the_record_of_a_run_keeps_one_box_of_each_map(drawn):
    folder, scenes = drawn
    run(folder, "-a", files.table("a.csv", scenes), "-m", "saliency", "--segments", "all")
    for line in Path("gradcam-out/.gradcam-run.jsonl").read_text().splitlines()[1:]:
        for each in json.loads(line)["record"]["results"]:
            assert isinstance(each["boxes"], int) and (each["box"] is None or len(each["box"]) == 4)


def test_help():
    result = CliRunner().invoke(cli.main, ["evaluate", "--help"])
    assert result.exit_code == 0 and "localization" in result.output
    result = CliRunner().invoke(cli.main, ["evaluate", "localization", "--help"])
    assert result.exit_code == 0 and "--annotations" in result.output
