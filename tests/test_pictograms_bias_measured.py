"""Training and test sets of people; what is measured of a network that tells professions apart."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from gradcam import Layer, Network, measures
from gradcam._pictures import presets
from gradcam.pictograms import bias
from gradcam.pictograms.bias import _measured, _measuring, _results, _table


def network(seed=0, labels=bias.PROFESSIONS, preset="torchvision-straight"):
    """A small network with random weights."""
    rng = np.random.default_rng(seed)
    kernel, linear = rng.normal(size=(6, 3, 5, 5)), rng.normal(size=(len(labels), 6))
    layers = [
        Layer(
            "conv", "conv", weights={"weight": kernel.astype(np.float32)}, attributes={"stride": 4}
        ),
        Layer("relu", "relu"),
        Layer("mean", "global_average_pool"),
        Layer("flatten", "flatten"),
        Layer("scores", "linear", weights={"weight": linear.astype(np.float32)}),
        Layer("prob", "softmax"),
    ]
    preset = None if preset is None else presets.find(preset)
    return Network.from_layers(layers, labels=list(labels), preset=preset)


def seen(margins, empty=None, shares=None, points=False):
    """What a network says whose margins are these."""
    margins = np.asarray(margins, float)
    count = len(margins)
    shares = np.full((count, 2, 2, 4), 0.25) if shares is None else np.asarray(shares, float)
    empty = np.zeros((count, 2)) if empty is None else np.asarray(empty, float)
    areas = np.broadcast_to([0.2, 0.05, 0.25, 0.5], (count, 2, 2, 4))
    points = np.full((count, 2, 2, 2), points)
    return _measured.Seen(margins, empty, shares, points, areas)


@pytest.mark.parametrize(("kind", "cooks", "painters"), [("biased", 39, 46), ("balanced", 25, 25)])
def test_hair_goes_with_the_profession_as_often_as_said(monkeypatch, kind, cooks, painters):
    drawn = []
    monkeypatch.setattr(
        "gradcam.pictograms.bias._sets.person",
        lambda seed, profession, hair: drawn.append((seed, profession, hair)),
    )
    list(bias.training_people(kind, number=1, per_class=50))
    assert len({seed for seed, _, _ in drawn}) == len(drawn) == 100
    groups = [(profession, hair) for _, profession, hair in drawn]
    assert groups.count(("cook", "short")) == cooks
    assert groups.count(("painter", "long")) in (painters, painters + 1)  # 93 % of 50 is 46.5
    assert [profession for profession, _ in groups[:4]] == ["cook", "painter"] * 2


def test_sets_of_one_number_differ_in_hair_only():
    pairs = zip(
        bias.training_people("biased", per_class=8),
        bias.training_people("balanced", per_class=8),
        strict=True,
    )
    other_hair = 0
    for one, other in pairs:
        assert (one.seed, one.profession) == (other.seed, other.profession)
        if one.hair != other.hair:
            other_hair += 1
            other = other.with_other_hair()
        np.testing.assert_array_equal(one.picture, other.picture)
    assert 0 < other_hair < 16


def test_sets_of_different_numbers_and_the_test_share_no_seed():
    def seeds(number):
        return {p.seed for p in islice(bias.training_people("biased", number=number), 6)}

    of_test = {p.seed for people in bias.people_for_test(3) for p in people.values()}
    assert len(of_test) == 3 and not of_test & seeds(0) and not seeds(0) & seeds(1)


def test_the_test_shows_each_look_in_four_pictures():
    people = next(bias.people_for_test(1))
    assert set(people) == {(p, h) for p in bias.PROFESSIONS for h in bias.HAIRS}
    assert all((each.profession, each.hair) == key for key, each in people.items())
    assert len({each.seed for each in people.values()}) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "mixed"}, "kind: expected 'biased' or 'balanced'"),
        ({"kind": "biased", "number": 100}, "number: expected 0 to 99, got 100"),
        ({"kind": "biased", "per_class": 0}, "per_class: expected 1 to 5000, got 0"),
    ],
)
def test_wrong_sets_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        next(bias.training_people(**options))


def test_figures_of_a_network_that_looks_at_the_hair_only():
    found = _measured.measured(seen([[[-1, 1], [-1, 1]]] * 3, empty=[[-1, 1]] * 3))
    assert (found.cook_short, found.cook_long) == (1, 0)
    assert (found.painter_short, found.painter_long) == (0, 1)
    assert found.accuracy == 0.5
    assert found.as_biased == pytest.approx((0.78 + 0.93) / 2)
    assert (found.hair_flips, found.tool_flips) == (1, 0)
    assert (found.hair_effect, found.tool_effect) == (2, 0)
    assert (found.short_painters, found.long_painters) == (0, 1)


def test_figures_of_a_network_that_looks_at_the_tool_only():
    found = _measured.measured(seen([[[-1, -1], [3, 3]]] * 2, empty=[[-1, -1]] * 2))
    assert found.accuracy == found.as_biased == 1
    assert (found.hair_flips, found.tool_flips) == (0, 1)
    assert (found.hair_effect, found.tool_effect) == (0, 4)
    assert found.short_painters == found.long_painters == 0


def test_points_are_counted():
    found = _measured.measured(seen(np.ones((4, 2, 2)), points=[True, False]))
    assert (found.hair_pointing, found.tool_pointing) == (1, 0)


def test_flat_maps_are_counted_and_left_out():
    shares = np.full((2, 2, 2, 4), np.nan)
    shares[0] = [0.3, 0.1, 0.2, 0.4]
    found = _measured.measured(seen(np.ones((2, 2, 2)), shares=shares))
    assert found.flat == 0.5
    assert (found.on_hair, found.on_tool) == pytest.approx((0.3, 0.1))
    assert found.hair_of_both == pytest.approx(0.75)
    even = _measured.even(seen(np.ones((2, 2, 2))))
    assert even["hair_of_both"] == pytest.approx(0.8) and even["on_ground"] == pytest.approx(0.5)


def test_energies_are_those_of_a_plain_sum():
    person = bias.person(4)
    map = np.random.default_rng(0).normal(size=(224, 224)).astype(np.float32)
    positive = np.where(map > 0, map, 0).astype(float)
    masks = (person.hair_mask, person.tool_mask, person.body_mask)
    expected = [positive[mask].sum() / positive.sum() for mask in masks]
    found = bias.energies(map, person)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-12)
    assert found.sum() == pytest.approx(1)
    assert np.isnan(bias.energies(np.zeros((224, 224), np.float32), person)).all()


def test_what_is_seen_is_what_single_passes_say():
    net = network()
    found = _measuring.seen_by([net, network(1)], 2)
    assert len(found) == 2 and found[0].margins.shape == (2, 2, 2)
    for number, people in enumerate(bias.people_for_test(2)):
        for (profession, hair), person in people.items():
            place = (number, bias.PROFESSIONS.index(profession), bias.HAIRS.index(hair))
            tape = net.forward(person.picture)
            cook, painter = tape.scores[0]
            assert found[0].margins[place] == pytest.approx(painter - cook, abs=1e-4)
            expected = bias.energies(tape.grad_cam(None).map, person)
            np.testing.assert_allclose(found[0].shares[place], expected, atol=1e-4)
            map = tape.grad_cam(None)
            pointed = [
                measures.pointing(map, mask) for mask in (person.hair_mask, person.tool_mask)
            ]
            assert found[0].points[place].tolist() == pointed
        for hair in bias.HAIRS:
            empty = net.forward(people["painter", hair].without_tool().picture).scores[0]
            index = bias.HAIRS.index(hair)
            assert found[0].empty[number, index] == pytest.approx(empty[1] - empty[0], abs=1e-4)
    np.testing.assert_array_equal(found[0].areas, found[1].areas)
    np.testing.assert_allclose(found[0].areas.sum(axis=-1), 1)


def test_networks_of_other_kinds_are_refused():
    with pytest.raises(TypeError, match=r"network: expected a gradcam\.Network, got str"):
        bias.measure("biased", 1)
    with pytest.raises(ValueError, match="expected the classes cook, painter in this order, got a"):
        bias.measure(network(labels=("a", "b")), 1)
    with pytest.raises(ValueError, match="without an input preset"):
        bias.measure(network(preset=None), 1)
    with pytest.raises(ValueError, match="looks"):
        bias.measure(network(), 0)


def test_the_table_has_all_figures(monkeypatch):
    first = _measured.measured(seen([[[-1, 1], [-1, 1]]]))
    second = _measured.measured(seen([[[-1, -1], [3, 3]]]))
    rows = [_results.Trained(k, n, m) for n, m in ((0, first), (1, second)) for k in bias.KINDS]
    text = _table.to_text(rows, {"on_hair": 0.2}, dict.fromkeys(bias.KINDS, second), 7)
    assert "75.0 ± 35.4" in text  # accuracies of 50 % and 100 %
    assert "28 people: 7 looks" in text and "20.0" in text
    assert all(line == line.rstrip() and len(line) < 110 for line in text.splitlines())


def test_stored_figures_are_read_as_they_were_written(tmp_path, monkeypatch):
    found = [_results.Trained("biased", 3, _measured.measured(seen([[[-1, 1], [-1, 1]]])))]
    file = tmp_path / "evaluation.json"
    file.write_text(_results.to_json(5, found), "utf-8")
    assert json.loads(file.read_text("utf-8"))["looks"] == 5
    monkeypatch.setattr(_results, "_FILE", file)
    _results.trained.cache_clear()
    try:
        assert list(_results.trained()) == found
    finally:
        _results.trained.cache_clear()
