"""The table of all methods: what is measured, how it is stored and printed."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_pictograms

import gradcam
from gradcam import Labels, Network, measures
from gradcam._registry import METHODS, Method
from gradcam.pictograms import CLASSES, _evaluate, _measuring, _stored, agreement, effects, scene
from gradcam.pictograms._columns import COLUMNS, figures
from gradcam.pictograms._evaluate import FULL, QUICK, Plan, evaluate
from gradcam.pictograms._measuring import NotServedError, Subject, measured_row
from gradcam.pictograms._table import causal_ranks, cell, to_text

CHOSEN = ["saliency", "grad_cam", "eigen_cam"]
TABLE = """
                           loc.  pointing   inside/   causal   causal  causal                                   classes     random  ms a
method               n  error %         %   outside  order %  share %    rank  occlusion   deletion  insertion   told %    weights   map
Simonyan saliency  2/2     5 ±1     10 ±1  0.2 ±0.0    25 ±1    30 ±1       2  0.35 ±.01  0.40 ±.01  0.45 ±.01    50 ±1  0.55 ±.01   0.6
Counterfactual *   2/2   50 ±25    50 ±25  1.6 ±0.4   50 ±25   50 ±25       1  0.50 ±.25  0.50 ±.25  0.50 ±.25   50 ±25  0.50 ±.25   0.5
"""  # noqa: E501

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


def row_of(method, *_):
    """A row as `_measure` makes it, at once."""
    return {
        "method": method.name,
        "title": method.title,
        "network": "network",
        "scenes": 2,
        "passes": 2,
        "seconds": 1.5,
        "figures": figures({key: [0.25, 0.75] for key in COLUMNS}),
    }


@pytest.fixture
def measured(monkeypatch):
    """The names of what is measured; nothing is."""
    names = []

    def measure(method, *_):
        names.append(method.name)
        return row_of(method)

    def accuracy(network, scenes):
        names.append("accuracy")
        return {"scenes": scenes, "one": 1.0, "two": 0.5, "seconds": 2.0}

    monkeypatch.setattr(_evaluate, "_measure", measure)
    monkeypatch.setattr(_evaluate, "_accuracy", accuracy)
    return names


def test_a_second_run_measures_nothing(network, monkeypatch, cache, measured):
    first = evaluate(network=network, methods=["saliency", "grad_cam"], quick=True)
    assert measured == ["saliency", "grad_cam", "accuracy"] and first["seconds"] == 1.5 * 2 + 2
    assert len(list(cache.iterdir())) == 3
    measured.clear()
    assert evaluate(network=network, methods=["saliency", "grad_cam"], quick=True) == first
    assert not measured
    evaluate(2, network=network, methods=["saliency"], quick=True)  # another number of scenes
    assert measured == ["saliency", "accuracy"]
    evaluate(network=small_pictograms.network(seed=1), methods=["saliency"], quick=True)
    assert measured == ["saliency", "accuracy"] * 2
    monkeypatch.setattr(_stored, "_code", lambda _: "other")
    evaluate(network=network, methods=["saliency"], quick=True)
    assert measured == ["saliency", "accuracy"] * 3


def key(method, network=None):
    return _stored.key("row", method, network or small_pictograms.network(), {})


def test_methods_are_told_apart_by_the_values_of_their_options(network):
    occlusion, grey = METHODS["occlusion"], np.full((3, 64, 64), 0.5, np.float32)
    other = grey.copy()
    other[1, 20, 30] += 1e-6
    made = [
        occlusion,
        occlusion.with_options(patch=20),
        occlusion.with_options(patch=20, title="T"),
        occlusion.with_options(patch=10, title="T"),
        occlusion.with_options(patch=(10, 10), title="T"),
        occlusion.with_options(baseline=grey, title="T"),
        occlusion.with_options(baseline=other, title="T"),
    ]
    keys = [key(each, network) for each in made]
    assert None not in keys and len(set(keys)) == len(keys)
    again = occlusion.with_options(baseline=grey.copy(), title="T")
    assert key(again, network) == keys[5]


def test_methods_from_outside_are_not_stored(network, cache, measured):
    def own(tape, objective):
        return np.abs(tape.input)

    outside = Method("saliency", "Simonyan saliency", "Nobody 2026", "map", own)
    assert key(outside, network) is None
    assert (
        key(replace(METHODS["saliency"], function=METHODS["deconvnet"].function), network) is None
    )
    assert key(METHODS["lrp"].with_options(rule={"conv": object()}), network) is None
    for _ in range(2):
        evaluate(network=network, methods=[outside], quick=True)
    assert measured == ["saliency", "accuracy", "saliency"]
    assert [each.name.split("-")[0] for each in cache.iterdir()] == ["accuracy"]


def test_networks_are_told_apart_by_all_that_they_compute(network):
    layers = list(network.layers.values())[1:]
    conv = layers[0]
    weight = np.asarray(conv.weights["weight"])

    def other(**changes):
        changed = {**layers_of, **changes}
        return type("Other", (), changed)()

    names = ("name", "preset", "score_layer", "probability_layer", "target_layer", "layers")
    layers_of = {name: getattr(network, name) for name in names}
    rest = {each.name: each for each in layers[1:]}
    changed = [
        other(),
        other(layers={"conv": conv, **rest}),
        other(target_layer="pool"),
        other(probability_layer=None),
        other(preset=replace(network.preset, size=65)),
        other(layers={"conv": replace(conv, inputs=("elsewhere",)), **rest}),
        other(layers={"conv": replace(conv, weights={"weight": weight.view(np.int32)}), **rest}),
        other(
            layers={"conv": replace(conv, weights={"weight": weight.reshape(3, 6, 5, 5)}), **rest}
        ),
        other(layers={"conv": replace(conv, attributes={"padding": 1}), **rest}),
    ]
    keys = [key(METHODS["saliency"], each) for each in changed]
    assert len(set(keys)) == len(keys)


def test_times_of_other_machines_are_not_used(network, monkeypatch):
    before = key(METHODS["saliency"], network)
    assert key(METHODS["saliency"], network) == before
    monkeypatch.setattr(_stored, "processor", lambda: "another processor")
    another = key(METHODS["saliency"], network)
    monkeypatch.undo()
    threads = gradcam.get_num_threads()
    gradcam.set_num_threads(threads + 1)
    try:
        assert len({before, another, key(METHODS["saliency"], network)}) == 3
    finally:
        gradcam.set_num_threads(threads)


def test_the_digest_of_the_code_changes_with_each_file_that_computes(tmp_path):
    for name in ("measures/_order.py", "pictograms/_table.py", "_cli/app.py", "pictograms/s.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    shutil.copy(_stored.__file__, tmp_path / "pictograms")

    def digest():
        _stored._code.cache_clear()
        return _stored._code(tmp_path)

    try:
        before = digest()
        for name in ("pictograms/_table.py", "_cli/app.py"):
            (tmp_path / name).write_text("2")
            assert digest() == before
        for name in ("measures/_order.py", "pictograms/s.png", "pictograms/_stored.py"):
            (tmp_path / name).write_text("2")
            assert digest() != before, name
            before = digest()
        (tmp_path / "measures/_order.py").rename(tmp_path / "measures/_other.py")
        assert digest() != before
    finally:
        _stored._code.cache_clear()


def test_a_run_that_was_stopped_goes_on_and_says_what_is_stored(network, monkeypatch, cache):
    done = []

    def stopped(method, *others):
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(method.name)
        return row_of(method)

    monkeypatch.setattr(_evaluate, "_measure", stopped)
    monkeypatch.setattr(_evaluate, "_share_right", lambda *_: 1.0)
    monkeypatch.setattr(_evaluate, "model", lambda: network)
    monkeypatch.setattr(_evaluate, "gap_model", lambda: network)
    command, stop = ["--quick", "--methods", ",".join(CHOSEN)], 0
    with pytest.raises(SystemExit, match="stopped before the first method was measured"):
        _evaluate.main(command)
    stop = 2
    with pytest.raises(SystemExit, match="2 results that were measured are stored, and the same"):
        _evaluate.main(command)
    assert done == CHOSEN[:2]
    assert [each.name.split("-")[0] for each in sorted(cache.iterdir())] == sorted(CHOSEN[:2])
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    done.clear()
    with pytest.raises(KeyboardInterrupt, match="2 of 2 results that were measured could not be"):
        evaluate(network=network, methods=CHOSEN, quick=True)
    monkeypatch.setenv("GRADCAM_CACHE", str(cache.parent))
    done, stop = CHOSEN[:2], 3
    found = evaluate(network=network, methods=CHOSEN, quick=True)
    assert done == CHOSEN and [row["method"] for row in found["rows"]] == CHOSEN


def test_storing_says_whether_there_was_space(monkeypatch, cache):
    assert _stored.store("a-1.json", {"a": 1}) and _stored.find("a-1.json") == {"a": 1}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_stored, "atomic_write", full)
    assert not _stored.store("b-1.json", {"a": 1}) and _stored.find("b-1.json") is None
    assert not _stored.store(None, {"a": 1})


def test_damaged_results_are_measured_again_and_others_are_not_read(network, cache, measured):
    evaluate(network=network, methods=["saliency"], quick=True)
    for path in cache.iterdir():
        path.write_text("{")
    evaluate(network=network, methods=["saliency"], quick=True)
    assert measured == ["saliency", "accuracy"] * 2
    for path in cache.iterdir():
        assert json.loads(path.read_text())
    os.chmod(cache, 0o777)
    name = next(cache.iterdir()).name
    assert _stored.find(name) is None and not _stored.store(name, {})
    os.chmod(cache, 0o700)
    assert _stored.find(name) is not None


def test_nothing_is_stored_if_the_cache_is_off(network, monkeypatch, cache, measured):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    evaluate(network=network, methods=["eigen_cam"], quick=True)
    assert not cache.exists()


def method_of(function):
    return Method("picky", "Picky", "Nobody 2026", "map", function)


def test_a_method_that_serves_no_network_is_listed_with_the_reason(network, monkeypatch):
    def picky(tape, objective):
        raise ValueError("Picky needs another network")

    monkeypatch.setattr(_evaluate, "_accuracy", lambda *_: row_of(METHODS["saliency"]))
    found = evaluate(1, network=network, methods=[method_of(picky)], quick=True)
    assert found["skipped"] == {"picky": "Picky needs another network"} and not found["rows"]


def test_an_error_after_the_first_map_is_no_refusal(network):
    """The first map of `measured_row` says whether a method serves a network, and nothing else."""
    calls = []

    def broken(tape, objective):
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("broken")
        return np.ones((objective.count, len(tape), 4, 4), np.float32)

    with pytest.raises(ValueError, match="broken") as error:
        evaluate(1, network=network, methods=[method_of(broken)], quick=True)
    assert not isinstance(error.value, NotServedError)


def test_the_first_pass_is_not_timed(network, monkeypatch):
    seen = []
    plain = type(network).forward

    def forward(self, *arguments, **options):
        seen.append("pass")
        return plain(self, *arguments, **options)

    def by_maps(*_):
        seen.append("timed")
        raise RuntimeError

    monkeypatch.setattr(Network, "forward", forward)
    monkeypatch.setattr(_measuring, "by_maps", by_maps)
    with pytest.raises(RuntimeError):
        measured_row(METHODS["eigen_cam"], Subject(network), 1, 1, 2)
    assert seen == ["pass", "timed"]


def test_memory_for_scenes_is_bounded(network, monkeypatch):
    monkeypatch.setattr(_measuring, "KEPT", 1)
    subject = Subject(network)
    assert subject.scene(0) is subject.scene(0)
    assert subject.scene(1) is not subject.scene(1)
    assert subject.scene(0)._recipe is None  # it holds the background
    np.testing.assert_array_equal(subject.scene(0).picture, scene(100_000, objects=2).picture)


def test_a_flat_map_finds_nothing(network):
    def flat(tape, objective):
        return np.ones((objective.count, len(tape), 4, 4), np.float32)

    row = measured_row(method_of(flat), Subject(network), 2, 1, 1)
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
    with pytest.raises(ValueError, match="at least one method, got none"):
        evaluate(methods=[])
    with pytest.raises(TypeError, match="expected a list of methods, got one, 'saliency'"):
        evaluate(methods="saliency")
    with pytest.raises(ValueError, match="'grad_cam' is given twice"):
        evaluate(methods=["grad_cam", "saliency", "Grad-CAM"])
    for methods, message in (("salience", "did you mean 'saliency'"), ("", "no method is called")):
        with pytest.raises(SystemExit):
            _evaluate.main(["--methods", methods])
        assert message in capsys.readouterr().err


def test_networks_with_other_classes_are_refused(network):
    layers = list(network.layers.values())[1:]

    def built(labels=network.labels, preset=network.preset, layers=layers):
        return Network.from_layers(layers, labels=labels, preset=preset)

    names, synsets = [label for _, label in CLASSES], [synset for synset, _ in CLASSES]
    evaluations = (
        (Labels(names[::-1], synsets[::-1]), f"class 0 is {names[0]!r}, got {names[-1]!r}"),
        (None, f"class 0 is {names[0]!r}, got "),
    )
    for labels, message in evaluations:
        with pytest.raises(ValueError, match=message):
            evaluate(network=built(labels))
    few = small_pictograms.network()
    few.labels = Labels(names[:3])
    with pytest.raises(ValueError, match="36, got 3"):
        evaluate(network=few)
    with pytest.raises(ValueError, match="without an input preset"):
        evaluate(network=built(preset=None))
    with pytest.raises(ValueError, match="ends in a softmax"):
        evaluate(network=built(layers=layers[:-1]))
    with pytest.raises(TypeError, match=r"expected a gradcam\.Network, got str"):
        evaluate(network="pictograms")
    _evaluate._check_network(built(Labels(names)))  # without synsets
    _evaluate._check_network(built(Labels([f"another {name}" for name in names], synsets)))


def test_the_command_prints_a_table_or_json(network, monkeypatch, capsys, measured):
    monkeypatch.setattr(_evaluate, "model", lambda: network)
    monkeypatch.setattr(_evaluate, "gap_model", lambda: network)
    _evaluate.main(["--quick", "--methods", "saliency,cam", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in found["rows"]] == ["saliency", "cam"]
    _evaluate.main(["--quick", "--methods", "saliency,cam"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("network: accuracy on 2 scenes of one object ")
    assert lines == to_text(found).splitlines()


def test_each_value_stands_under_its_title():
    made = row_of(METHODS["saliency"])
    made["figures"] = {
        key: {"mean": n / 20, "low": n / 20 - 0.01, "high": n / 20 + 0.01, "scenes": 2}
        for n, key in enumerate(COLUMNS, 1)
    }
    other = row_of(METHODS["counterfactual"]) | {"network": "another"}
    accuracy = {"scenes": 4, "one": 1.0, "two": 0.5, "seconds": 2.0}
    text = to_text(
        {
            "scenes": 2,
            "passes": 2,
            "steps": 4,
            "accuracy": {"network": accuracy, "another": accuracy},
            "rows": [made, other],
            "skipped": {"cam": "CAM needs another network"},
            "seconds": 5.0,
        }
    )
    lines = text.splitlines()
    assert lines[3:7] == TABLE.strip("\n").splitlines()
    assert "cam was left out: CAM needs another network" in lines
    assert "* on the network another, not network." in lines
    assert "Counterfactual shows what lowers the score" in text
    for column in COLUMNS.values():
        title = column.title.replace("/\n", "/").replace("\n", " ").removesuffix(" %")
        assert (f"\n{title}: " in text) == bool(column.note)


def test_the_causal_rank_is_that_of_the_mean_of_both_figures():
    rows = []
    for order, share in ((0.9, 0.5), (0.8, 0.9), (None, None), (1.0, 0.4), (0.5, 0.5)):
        made = row_of(METHODS["saliency"])
        made["figures"] |= {"order": figure(order), "overlap": figure(share)}
        rows.append(made)
    assert causal_ranks(rows) == [2, 1, None, 2, 4]


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


def test_of_times_the_median_is_taken():
    values = {key: [0.0, 1.0, 5.0] for key in COLUMNS} | {"milliseconds": [10.0, 900.0, 12.0]}
    found = figures(values)["milliseconds"]
    assert found == {"mean": 12, "low": 10, "high": 900, "scenes": 3}
    alone = figures({key: [3.0] for key in COLUMNS})["milliseconds"]
    assert alone == {"mean": 3, "low": None, "high": None, "scenes": 1}


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
