"""How often the names of units say which class of a scene is explained."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_pictograms

from gradcam import inside, pictograms
from gradcam.pictograms import _report_names
from gradcam.pictograms.__main__ import main
from gradcam.pictograms._naming import FIRST_EXPLAINED, _absent


@pytest.fixture(scope="module")
def dissected() -> inside.Dissection:
    return pictograms.dissect(scenes=60)


def test_scenes_are_dissected_as_pictures_with_masks(dissected: inside.Dissection) -> None:
    scenes = [pictograms.scene(seed) for seed in range(60)]
    same = inside.dissect(
        pictograms.model(),
        [each.picture for each in scenes],
        [pictograms.concepts(each) for each in scenes],
    )
    np.testing.assert_array_equal(dissected.scores, same.scores)
    assert dissected.concepts == same.concepts
    other = pictograms.dissect(
        small_pictograms.network(), "relu", scenes=5, first=3, quantile=0.9, iou=0.01
    )
    assert (other.network.name, other.layer, other.pictures) == ("network", "relu", 5)


def test_the_class_is_named_far_more_often_than_by_chance(dissected: inside.Dissection) -> None:
    found = pictograms.naming(dissected, scenes=40)
    assert found.share.low > found.control.high
    assert found.right.mean() > 0.9 and len(found.classes) == 40
    assert f"{100 * found.named.mean():.1f} %" in found.finding


def test_what_is_counted(dissected: inside.Dissection) -> None:
    found = pictograms.naming(dissected, scenes=6, count=3)
    for n in range(6):
        tape = pictograms.model().forward(pictograms.scene(FIRST_EXPLAINED + n).picture)
        explanation = tape.grad_cam()
        said = dissected.sentence(explanation, count=3)
        label = explanation.target.label
        assert found.classes[n] == label
        assert found.named[n] == any(each.concept.name == label for each in said.highest)
        assert found.against[n] == any(each.concept.name == label for each in said.lowest)
    assert found.absent.shape == (6,)


def test_a_class_that_is_not_in_the_scene_is_asked_for(dissected: inside.Dissection) -> None:
    found = pictograms.naming(dissected, scenes=20)
    labels = pictograms.model().labels
    counted = []
    for n in range(20):
        scene = pictograms.scene(FIRST_EXPLAINED + n)
        other = _absent(scene, labels, FIRST_EXPLAINED + n)
        assert other not in {each.label for each in scene.objects}
        tape = pictograms.model().forward(scene.picture)
        said = dissected.sentence(tape.grad_cam(other))
        counted.append(any(each.concept.name == other for each in said.highest))
    np.testing.assert_array_equal(found.absent, counted)
    assert found.absent_share.mean == np.mean(counted)


def test_chance_is_that_of_shuffled_names(dissected: inside.Dissection) -> None:
    found = pictograms.naming(dissected, scenes=4)
    rng = np.random.default_rng(0)
    names = np.array([each.name for each in dissected.names])
    for n, label in enumerate(found.classes):
        drawn = [label in rng.permutation(names)[:5] for _ in range(4000)]
        assert abs(np.mean(drawn) - found.by_chance[n]) < 0.03


def test_bad_input_is_refused(dissected: inside.Dissection) -> None:
    for options in ({"scenes": 0}, {"first": -1}, {"quantile": 2.0}):
        with pytest.raises(ValueError):
            pictograms.dissect(**options)
    for options in ({"scenes": 0}, {"first": -1}, {"count": 0}):
        with pytest.raises(ValueError):
            pictograms.naming(dissected, **options)
    with pytest.raises(TypeError, match="dissection: expected that of"):
        pictograms.naming(None)
    with pytest.raises(TypeError, match="scene: expected that of"):
        pictograms.concepts(None)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["names", "--dissected", "20", "--scenes", "4", "--network", "weak_model"]
    assert main([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["network"] == "pictograms-weak" and record["scenes"] == 4
    assert record["units"] == 64
    assert main(arguments) == 0
    assert "the most probable class of 4 other scenes" in capsys.readouterr().out.lower()
    assert main(["names", *arguments[1:3], "--scenes", "1", *arguments[5:], "--json"]) == 0
    record = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # no NaN
    assert record["named"]["low"] is None
    monkeypatch.setattr(_report_names, "dissect", pytest.fail)  # it is too early for this
    with pytest.raises(SystemExit):
        main(["names", "--scenes", "0"])
    assert "scenes: expected 1 or more" in capsys.readouterr().err
