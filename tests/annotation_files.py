"""Write the ground truth of scenes in each format that is read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from gradcam import pictograms


def scenes(folder, count=12, size=(64, 64), classes=None):
    """Write scenes of one or two objects as 00.png, 01.png, ...; return them by their names."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    found = {}
    for seed in range(count):
        chosen = None if classes is None else classes[seed % len(classes) :][: 1 + seed % 2]
        scene = pictograms.scene(seed, objects=chosen and len(chosen), classes=chosen, size=size)
        Image.fromarray(scene.picture).save(Path(folder) / f"{seed:02}.png")
        found[f"{seed:02}"] = scene
    return found


def voc(folder, scenes, changes=lambda text: text):
    """Write a file of XML for each scene; classes are synsets."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, scene in scenes.items():
        text = changes(voc_text(name, scene.picture.shape, objects_of(scene)))
        (Path(folder) / f"{name}.xml").write_text(text, "utf-8")
    return Path(folder)


def objects_of(scene):
    """Synset and box of each object."""
    return [(pictograms.CLASSES[each.index][0], each.box) for each in scene.objects]


def voc_text(name, shape, objects):
    def one(label, box):
        x0, y0, x1, y1 = box
        sides = (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1))
        inside = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
        return f"<object><name>{label}</name><bndbox>{inside}</bndbox></object>"

    return (
        f"<annotation><filename>{name}</filename><size><width>{shape[1]}</width>"
        f"<height>{shape[0]}</height><depth>3</depth></size>"
        + "".join(one(*each) for each in objects)
        + "</annotation>"
    )


def run_lengths(mask):
    """COCO's run lengths of a mask."""
    flat = mask.T.ravel()
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = np.diff([0, *ends]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def coco(file, scenes):
    """Write COCO's JSON; the classes are labels, and the pictures are said to be JPEG."""
    content = {
        "images": [
            {"id": int(name), "file_name": f"val/{name}.jpg", "height": h, "width": w}
            for name, scene in scenes.items()
            for h, w, _ in [scene.picture.shape]
        ],
        "categories": [
            {"id": index + 1, "name": label} for index, (_, label) in enumerate(pictograms.CLASSES)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": int(name),
                "category_id": each.index + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": run_lengths(each.mask),
                "iscrowd": 0,
            }
            for number, (name, each) in enumerate(
                (name, each) for name, scene in scenes.items() for each in scene.objects
            )
            for x0, y0, x1, y1 in [each.box]
        ],
    }
    Path(file).write_text(json.dumps(content), "utf-8")
    return Path(file)


def masks(folder, scenes):
    """Write a mask of each object, in a folder for each class."""
    for name, scene in scenes.items():
        for each in scene.objects:
            file = Path(folder) / each.label / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(each.mask.astype(np.uint8) * 255).save(file)
    return Path(folder)


def table(file, scenes):
    """Write a row for each object."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["picture", "class", "x0", "y0", "x1", "y1"])
        for name, scene in scenes.items():
            rows.writerows([f"{name}.png", each.label, *each.box] for each in scene.objects)
    return Path(file)


def kaggle(file, scenes):
    """Write the solution file of Kaggle's copy of ILSVRC."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["ImageId", "PredictionString"])
        for name, scene in scenes.items():
            boxes = [
                f"{label} {x0 + 1} {y0 + 1} {x1} {y1}"
                for label, (x0, y0, x1, y1) in objects_of(scene)
            ]
            rows.writerow([name, " ".join(boxes) + " "])
    return Path(file)
