"""Scenes of the live page under node: their text, their pictures, what is true of a map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import run_node
from numpy.typing import NDArray
from PIL import Image

from gradcam import Tape, measures, pictograms
from gradcam._page.data import SIZE, contents, pixels
from gradcam.pictograms._drawing import OPAQUE, sprites

TEXTS = [
    "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:cat:relu5_3/b:saliency:top:input",
    "v1/plain/dog.5=112,112,130,0",
    "v1/sea",
    "v1/street/jack-o'-lantern=0,224,30,180/dog=1,2,200,-180/dog.2=50,60,70,80/cat=9,9,99,9",
    "v1/leaves/tiger=90,100,96,30/tiger.2=97,104,120,-40",
]
UPRIGHT, CELL = 1, 9
"""The number of a text with one object that is not turned, and that of its pictogram."""

DAMAGED = {
    "": "begins with “”, not with “v1”",
    "v2/meadow": "begins with “v2”",
    "v1": "no background “”: known are plain, meadow,",
    "v1/moon": "no background “moon”",
    "v1/sea/kat=1,2,50,0": "no class “kat”",
    "v1/sea/cat=1,2,50": "“cat=1,2,50” is not an object: expected such as “cat=80,120,96,0”",
    "v1/sea/cat=1,2,50,1e1": "is not an object",
    "v1/sea/cat=1,2,50,0.5": "is not an object",
    "v1/sea/cat.9=1,2,50,0": "cat has 4 pictograms, and no number 9",
    "v1/sea/cat.0=1,2,50,0": "no number 0",
    "v1/sea/cat=-1,2,50,0": "the x of cat is -1, and must be from 0 to 224",
    "v1/sea/cat=1,225,50,0": "the y of cat is 225",
    "v1/sea/cat=1,2,29,0": "the length of cat is 29, and must be from 30 to 200",
    "v1/sea/cat=1,2,50,181": "the turn of cat is 181",
    "v1/sea" + "/cat=1,2,50,0" * 5: "5 objects, and a scene has at most 4",
    "v1/sea/a:grad_cam:cat:relu5_3": "the page shows two maps, and it has 1",
    "v1/sea/a:grad_cam:cat:relu5_3/a:saliency:cat:input": "neither an object nor a map",
    "v1/sea/a:cam:cat:relu5_3/b:saliency:cat:input": "no method “cam”: known are grad_cam,",
    "v1/sea/a:grad_cam:kat:relu5_3/b:saliency:cat:input": "no class “kat”",
    "v1/sea/a:grad_cam:cat:input/b:saliency:cat:input": "grad_cam has no layer “input”",
    "v1/sea/a:saliency:cat:relu5_3/b:saliency:cat:input": "saliency has no layer “relu5_3”",
    "v1/sea/<b>": "“<b>” is neither an object nor a map",
    "v1/sea/%E0%A4%A": "is not readable text",
    "v1/sea/" + 60 * "x": f"“{40 * 'x'}…” is neither",
    "v1/constructor": "no background “constructor”",
    "v1/sea/__proto__=1,2,50,0": "no class “__proto__”",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "contents.json").write_text(json.dumps(contents()))
    (folder / "pixels.bin").write_bytes(pixels())
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> Any:
    return run_node("web_scene.mjs", folder, given={"texts": TEXTS, "damaged": [*DAMAGED]})


@pytest.fixture(scope="module")
def drawn(folder: Path, told: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pictures, RGBA, and the owners of their pixels."""
    shape = (-1, SIZE, SIZE)
    pictures = np.fromfile(folder / "pictures.bin", np.uint8).reshape(*shape, 4)
    return pictures, np.fromfile(folder / "owners.bin", np.uint8).reshape(shape)


def test_text_is_read_and_written(told):
    assert told["again"] == [*TEXTS, *(lesson["text"] for lesson in told["lessons"])]
    assert told["names"][0] == ["cat", "dog"]
    assert told["names"][3] == ["jack-o'-lantern", "dog 1", "dog 2", "cat"]


def test_damaged_text_is_refused_in_one_sentence(told):
    for (text, expected), why in zip(DAMAGED.items(), told["why"], strict=True):
        assert why is not None and expected in why, (text, why)
        assert why.endswith(".") and "\n" not in why and len(why) < 200


def test_pictograms_are_drawn_as_in_the_training_scenes(drawn):
    """What Pillow makes of the same pictogram; the page may be half a pixel away from it."""
    picture, owner = (each[UPRIGHT] for each in drawn)
    sprite = sprites()[CELL]
    small = sprite.resize(
        [round(side * 130 / max(sprite.size)) for side in sprite.size], Image.Resampling.BILINEAR
    )
    expected = Image.new("RGBA", (SIZE, SIZE), tuple(map(int, picture[0, 0])))
    layer = Image.new("RGBA", (SIZE, SIZE))
    layer.paste(small, [112 - side // 2 for side in small.size])
    expected.alpha_composite(layer)
    assert np.abs(np.asarray(expected, float) - picture).mean() < 4
    opaque = np.asarray(layer)[..., 3] >= OPAQUE
    assert (opaque != (owner == 1)).sum() < 0.03 * opaque.sum()


def test_the_network_knows_what_is_drawn(drawn):
    tape = pictograms.model().forward(drawn[0][0][..., :3])
    first, second = tape.probabilities[0].argsort()[::-1][:2]
    assert {pictograms.CLASSES[first][1], pictograms.CLASSES[second][1]} == {"cat", "dog"}


def test_objects_cover_those_behind_them(drawn):
    owners = drawn[1]
    assert set(np.unique(owners[2])) == {0} and set(np.unique(owners[0])) == {0, 1, 2}
    assert (owners[4] == 2).sum() > (owners[4] == 1).sum() > 0


def test_lessons_say_what_their_scenes_show(drawn, told):
    """The claims of each sentence, on the picture that the page draws."""
    lessons = {each["name"]: n for n, each in enumerate(told["lessons"], len(TEXTS))}
    for each in told["lessons"]:
        assert each["sentence"].endswith(".") and each["question"][-1] in "?."

    def shown(name: str) -> tuple[Tape, NDArray[np.uint8]]:
        picture, owner = (each[lessons[name]] for each in drawn)
        return model.forward(np.ascontiguousarray(picture[..., :3])), owner

    model = pictograms.model()
    tape, owner = shown("cat-and-dog")
    cat, dog = (tape.grad_cam(name).map for name in ("cat", "dog"))
    assert owner.flat[cat.argmax()] == 1 and owner.flat[dog.argmax()] == 2
    tape, owner = shown("saliency")
    maps = [tape.saliency(name).map for name in ("cat", "dog")]
    assert {owner.flat[each.argmax()] for each in maps} == {2}
    assert measures.spearman(*maps) > 0.8 > 0.5 > measures.spearman(cat, dog)
    tape, owner = shown("layers")
    early, last = (tape.grad_cam("dog", layer=name).map for name in ("relu2_2", "relu5_3"))
    assert owner.flat[early.argmax()] != 2 and owner.flat[last.argmax()] == 2
    assert measures.energy_inside(last, owner == 2) > 2 * measures.energy_inside(early, owner == 2)
    tape, owner = shown("wrong")
    assert (
        pictograms.CLASSES[tape.scores[0].argmax()][1] == "pizza" and tape.probabilities.max() > 0.8
    )
    assert owner.flat[tape.grad_cam("pizza").map.argmax()] == 1
    tape, owner = shown("relu")
    against = tape.counterfactual("cat").map
    assert owner.flat[against.argmax()] == 2
    assert measures.energy_inside(against, owner == 2) > 0.5


def test_the_truth_is_as_in_the_measures(folder, drawn, told):
    map_ = np.fromfile(folder / "map.bin", np.float32).reshape(SIZE, SIZE)
    owner = drawn[1][0]
    found = told["truth"]
    for number in (1, 2):
        assert found["energy"]["objects"][number - 1] == pytest.approx(
            measures.energy_inside(map_, owner == number), rel=1e-9
        )
        at = owner.flat[found["highest"]["at"]] == number
        assert at == measures.pointing(map_, owner == number, tolerance=0)
    assert found["energy"]["ground"] == pytest.approx(measures.energy_inside(map_, owner == 0))
    assert found["highest"]["at"] == map_.argmax()
    assert told["flat"] == [None, None]
    assert told["percents"] == [[34, 33, 33], [100, 0], [100]]
