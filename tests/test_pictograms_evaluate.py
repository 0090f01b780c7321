"""The table of all methods: what is measured, how it is stored and printed."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import small_pictograms

import gradcam
from gradcam import measures
from gradcam._registry import METHODS, Registry
from gradcam.pictograms import _evaluate, _stored, agreement, effects, scene
from gradcam.pictograms._columns import COLUMNS, figures
from gradcam.pictograms._evaluate import FULL, QUICK, Plan, evaluate
from gradcam.pictograms._table import cell, to_text

CHOSEN = ["saliency", "grad_cam", "eigen_cam"]
LIGHT = Plan(scenes=1, passes=1, steps=2, accuracy=2)


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Results are stored in a folder of each test; one scene is measured."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_evaluate, "QUICK", LIGHT)
    return tmp_path / "cache" / "evaluation"


def test_the_figures_are_those_of_plain_loops(network, monkeypatch):
    monkeypatch.setattr(_evaluate, "QUICK", Plan(scenes=2, passes=2, steps=4, accuracy=1))
    found = evaluate(network=network, methods=["saliency"], quick=True)
    assert not found["skipped"]
    wanted = {key: [] for key in COLUMNS}
    untrained = measures.randomised(network, "scores")
    for n in range(2):
        two, four = scene(100_000 + n, objects=2), scene(200_000 + n, objects=4)
        tape = network.forward(two.picture)
        maps = [tape.saliency(each.index) for each in two.objects]
        first = int(tape.scores[0].argmax())
        box = next((m.box() for m, o in zip(maps, two.objects, strict=True) if o.index == first), 0)
        own = next((o.box for o in two.objects if o.index == first), 0)
        wanted["localization"].append(not (box and own) or measures.iou(box, own) <= 0.5)
        pairs = list(zip(maps, two.objects, two.objects[::-1], strict=True))
        ratios = [m.map[o.mask].mean() / m.map[~o.mask].mean() for m, o, _ in pairs]
        wanted["inside"].append(np.log(ratios).mean())
        wanted["pointing"].append(np.mean([measures.pointing(m, o.mask) for m, o, _ in pairs]))
        wanted["on_object"].append(np.mean([o.mask.flat[m.map.argmax()] for m, o, _ in pairs]))
        told = [m.map[o.mask].sum() > m.map[p.mask].sum() for m, o, p in pairs]
        wanted["classes"].append(np.mean(told))
        true = effects(four, network)
        compared = agreement(network.forward(four.picture).saliency(four.objects[n].index), true)
        wanted["order"].append(compared.order)
        wanted["overlap"].append(compared.overlap)
        occlusion = tape.occlusion(two.objects[0].index, patch=32, stride=16)
        correlation = measures.occlusion_correlation(tape, maps[0], occlusion=occlusion)
        wanted["occlusion"].append(correlation)
        wanted["deletion"].append(measures.deletion(tape, maps[0], steps=4).auc)
        wanted["insertion"].append(measures.insertion(tape, maps[0], steps=4).auc)
        other = untrained.forward(two.picture).saliency(two.objects[0].index)
        wanted["sanity"].append(measures.spearman(maps[0].evidence, other.evidence))
    row = found["rows"][0]
    assert set(row["figures"]) == set(COLUMNS) and (row["scenes"], row["passes"]) == (2, 2)
    for key, values in wanted.items():
        figure = row["figures"][key]
        if key == "milliseconds":
            assert figure["mean"] > 0
            continue
        mean = np.nanmean(values)
        wanted_mean = math.exp(mean) if COLUMNS[key].kind == "ratio" else mean
        assert figure["mean"] == pytest.approx(wanted_mean, abs=1e-6), key
        if figure["scenes"] == 2:
            assert figure["low"] - 1e-9 <= figure["mean"] <= figure["high"] + 1e-9


def test_accuracy_is_the_share_of_scenes_with_the_right_classes_first(network, monkeypatch):
    monkeypatch.setattr(_evaluate, "QUICK", Plan(scenes=1, passes=1, steps=1, accuracy=4))
    (accuracy,) = evaluate(network=network, methods=["saliency"], quick=True)["accuracy"].values()
    assert accuracy["scenes"] == 4
    for key, objects, first in (("one", 1, 0), ("two", 2, 100_000)):
        right = 0
        for n in range(4):
            drawn = scene(first + n, objects=objects)
            order = np.argsort(-network.forward(drawn.picture).scores[0])[:objects]
            right += set(order.tolist()) == {each.index for each in drawn.objects}
        assert accuracy[key] == right / 4


def test_a_second_run_measures_nothing(network, monkeypatch, cache):
    first = evaluate(network=network, methods=["saliency", "grad_cam"], quick=True)
    assert len(list(cache.iterdir())) == 3  # two methods and the accuracy

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(_evaluate, "_measure", fail)
    monkeypatch.setattr(_evaluate, "_share_right", fail)
    assert evaluate(network=network, methods=["saliency", "grad_cam"], quick=True) == first
    with pytest.raises(AssertionError, match="measured again"):  # another number of scenes
        evaluate(2, network=network, methods=["saliency"], quick=True)
    with pytest.raises(AssertionError, match="measured again"):  # other weights
        other = small_pictograms.network(seed=1)
        evaluate(network=other, methods=["saliency"], quick=True)
    with pytest.raises(AssertionError, match="measured again"):  # other options
        absolute = METHODS["grad_cam"].with_options(gradient="absolute")
        evaluate(network=network, methods=[absolute], quick=True)
    with pytest.raises(AssertionError, match="measured again"):  # other code
        monkeypatch.setattr(_stored, "_code", lambda: "other")
        evaluate(network=network, methods=["saliency"], quick=True)


def test_a_run_that_was_stopped_goes_on(network, monkeypatch, cache):
    plain, measured = _evaluate._measure, []

    def stopped(method, *others):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(method.name)
        return plain(method, *others)

    monkeypatch.setattr(_evaluate, "_measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(network=network, methods=CHOSEN, quick=True)
    assert measured == CHOSEN[:2]
    with pytest.raises(SystemExit, match="the same command goes on"):
        _evaluate.main(["--quick"])
    assert [each.name.split("-")[0] for each in sorted(cache.iterdir())] == sorted(CHOSEN[:2])
    monkeypatch.setattr(_evaluate, "_measure", lambda *a: measured.append(a[0].name) or plain(*a))
    found = evaluate(network=network, methods=CHOSEN, quick=True)
    assert measured == CHOSEN and [row["method"] for row in found["rows"]] == CHOSEN


def test_damaged_results_are_measured_again_and_others_are_not_read(network, cache):
    first = evaluate(network=network, methods=["saliency"], quick=True)
    for path in cache.iterdir():
        path.write_text("{")
    again = evaluate(network=network, methods=["saliency"], quick=True)
    assert again["rows"][0]["figures"]["order"] == first["rows"][0]["figures"]["order"]
    for path in cache.iterdir():
        assert json.loads(path.read_text())
    os.chmod(cache, 0o777)
    name = next(cache.iterdir()).name
    assert _stored.find(name) is None
    os.chmod(cache, 0o700)
    assert _stored.find(name) is not None


def test_nothing_is_stored_if_the_cache_is_off(network, monkeypatch, cache):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    evaluate(network=network, methods=["eigen_cam"], quick=True)
    assert not cache.exists()


def test_a_method_that_serves_no_network_is_listed_with_the_reason(network, monkeypatch):
    registry = Registry("none")
    monkeypatch.setattr("gradcam._registry.METHODS", registry)

    @gradcam.method(title="Picky", source="Nobody 2026", view="map")
    def picky(tape, objective):
        """None."""
        raise ValueError("Picky needs another network")

    found = evaluate(network=network, methods=[picky, "eigen_cam"], quick=True)
    assert found["skipped"] == {"picky": "Picky needs another network"}
    assert [row["method"] for row in found["rows"]] == ["eigen_cam"]
    assert "picky was left out: Picky needs another network" in to_text(found)


def test_a_flat_map_finds_nothing(network, monkeypatch):
    monkeypatch.setattr(_evaluate, "QUICK", Plan(scenes=2, passes=1, steps=1, accuracy=1))

    @gradcam.method(title="Flat", source="Nobody 2026", view="map", name="flat_for_a_test")
    def flat(tape, objective):
        return np.ones((objective.count, len(tape), 4, 4), np.float32)

    try:
        (row,) = evaluate(network=network, methods=[flat], quick=True)["rows"]
    finally:
        del METHODS._methods["flat_for_a_test"]
    means = {key: figure["mean"] for key, figure in row["figures"].items()}
    assert means["localization"] == 1 and means["pointing"] == means["on_object"] == 0
    assert means["inside"] == 1 and means["occlusion"] == 0 and means["classes"] == 0
    assert means["sanity"] is None and row["figures"]["sanity"]["scenes"] == 0
    assert means["overlap"] == 0


def test_methods_of_many_passes_get_fewer_scenes():
    assert FULL.counts(METHODS["grad_cam"]) == (80, 20)
    assert FULL.counts(METHODS["rise"]) == (6, 5)
    assert QUICK.counts(METHODS["rise"]) == (2, 1)
    assert Plan(1, 1, 4, 4).counts(METHODS["rise"]) == (1, 1)
    assert FULL.with_scenes(8) == Plan(8, 2, 20, 80)
    assert _evaluate._light(METHODS["rise"]).default("samples") == 1000


def test_what_cannot_be_measured_is_refused(network, capsys):
    with pytest.raises(ValueError, match="scenes: expected 1 or more, got 0"):
        evaluate(0)
    with pytest.raises(ValueError, match="did you mean 'saliency'"):
        evaluate(methods=["salience"])
    with pytest.raises(SystemExit):
        _evaluate.main(["--methods", "salience"])
    assert "did you mean 'saliency'" in capsys.readouterr().err


def test_the_command_prints_a_table_or_json(network, monkeypatch, capsys):
    monkeypatch.setattr(_evaluate, "model", lambda: network)
    monkeypatch.setattr(_evaluate, "gap_model", lambda: network)
    _evaluate.main(["--quick", "--methods", "saliency,cam", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in found["rows"]] == ["saliency", "cam"]
    _evaluate.main(["--quick", "--methods", "saliency,cam"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("network: accuracy on 2 scenes of one object ")
    assert lines[4].startswith("Simonyan saliency  1/1")
    assert lines == to_text(found).splitlines()


def figure(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "scenes": 4}


@pytest.mark.parametrize(
    ("key", "given", "text"),
    [
        ("pointing", figure(0.934, 0.9, 0.96), "93 ±3"),
        ("occlusion", figure(-0.254, -0.27, -0.23), "-0.25 ±.02"),
        ("inside", figure(5.25, 4.0, 6.0), "5.2 ±1.0"),
        ("milliseconds", figure(12.34, 11, 13), "12.3"),
        ("milliseconds", figure(1234.4, 1100, 1300), "1234"),
        ("order", figure(0.5), "50"),
        ("sanity", figure(None), "-"),
    ],
)
def test_cells_hold_the_mean_and_half_the_interval(key, given, text):
    assert cell(COLUMNS[key], given) == text


def test_ratios_are_averaged_by_their_logarithms():
    values = {key: [0.0, 1.0] for key in COLUMNS} | {"inside": [math.log(2), math.log(8)]}
    found = figures(values)
    assert found["inside"]["mean"] == pytest.approx(4)
    assert 2 - 1e-9 <= found["inside"]["low"] <= found["inside"]["high"] <= 8 + 1e-9
    assert found["order"]["mean"] == 0.5 and found["order"]["scenes"] == 2


@pytest.mark.slow
def test_a_short_evaluation_of_the_built_in_networks():
    found = evaluate(10, methods=["grad_cam", "saliency", "cam"])
    accuracy = found["accuracy"]["pictograms"]
    assert accuracy["one"] >= 0.95 and accuracy["two"] >= 0.9
    assert found["accuracy"]["pictograms-gap"]["two"] >= 0.9
    rows = {row["method"]: row["figures"] for row in found["rows"]}
    assert [row["network"] for row in found["rows"]] == ["pictograms"] * 2 + ["pictograms-gap"]
    means = {name: {k: f["mean"] for k, f in row.items()} for name, row in rows.items()}
    for name in ("grad_cam", "cam"):
        assert means[name]["pointing"] >= 0.9 and means[name]["classes"] >= 0.9
        assert means[name]["overlap"] >= 0.8
    assert means["saliency"]["overlap"] < 0.6 and means["saliency"]["sanity"] > 0.5
    fits = []
    for n in range(10):
        drawn = scene(100_000 + n, objects=2)
        tape = gradcam.pictograms.model().forward(drawn.picture)
        first = int(tape.scores[0].argmax())
        (own,) = [each.box for each in drawn.objects if each.index == first] or [(0, 0, 1, 1)]
        fits.append(measures.iou(tape.grad_cam(first).box(), own) > 0.5)
    assert means["grad_cam"]["localization"] == pytest.approx(1 - np.mean(fits))
    assert 0 < np.mean(fits) < 1  # else this tests nothing
