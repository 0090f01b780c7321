"""The networks that ship, the figures of all trainings, the figure and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gradcam.pictograms import __main__, bias
from gradcam.pictograms.bias import _measuring, _results, _story


def values(kind, name):
    return np.array([getattr(t.measured, name) for t in bias.trained() if t.kind == kind])


def test_five_networks_of_each_kind_were_trained():
    rows = [(each.kind, each.number) for each in bias.trained()]
    assert sorted(rows) == sorted((kind, n) for kind in bias.KINDS for n in range(5))


def test_balancing_helps_in_every_training():
    biased, balanced = (values(kind, "accuracy") for kind in bias.KINDS)
    assert 0.75 < biased.mean() < 0.9 and balanced.mean() > 0.92
    assert balanced.mean() - biased.mean() > 0.05 and (balanced - biased > 0.03).all()
    assert (values("balanced", "on_hair") < values("biased", "on_hair") * 0.7).all()
    assert (values("balanced", "hair_of_both") < values("biased", "hair_of_both") - 0.1).all()
    for name in ("hair_pointing", "hair_flips", "hair_effect"):
        assert values("balanced", name).mean() <= values("biased", name).mean() / 2, name
    assert (values("biased", "as_biased") > biased + 0.05).all()


def test_the_mean_is_that_of_numpy():
    for name in ("accuracy", "on_hair", "tool_effect"):
        expected = values("biased", name).mean()
        assert getattr(_results.mean("biased"), name) == pytest.approx(expected)


@pytest.mark.parametrize("kind", bias.KINDS)
def test_the_networks_tell_professions_apart(kind):
    network = bias.model(kind)
    assert network is bias.model(kind) and network.name == f"people-{kind}"
    assert [network.labels[n].label for n in range(2)] == list(bias.PROFESSIONS)
    assert network.target_layer == "relu4_3" and "photographs" in network.about
    person = bias.person(3, profession="cook", hair="short")
    tape = network.forward(person.picture)
    assert tape.activation("relu4_3").shape == (1, 128, 14, 14)
    assert tape.grad_cam("cook").map.shape == (224, 224)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind: expected 'biased' or 'balanced', got 'fair'"):
        bias.model("fair")


@pytest.mark.slow
def test_stored_figures_are_those_of_the_networks_that_ship():
    found = _measuring.seen_by([bias.model(kind) for kind in bias.KINDS])
    for kind, seen in zip(bias.KINDS, found, strict=True):
        measured = _measuring.measured(seen)
        stored = next(t.measured for t in bias.trained() if (t.kind, t.number) == (kind, 0))
        assert measured.accuracy == pytest.approx(stored.accuracy, abs=0.01)
        assert measured.hair_of_both == pytest.approx(stored.hair_of_both, abs=0.01)


def test_misjudged_people_have_unusual_hair_and_only_the_biased_network_is_wrong():
    people = bias.misjudged(2)
    assert [each.profession for each in people] == ["cook", "painter"]
    for each in people:
        assert each.hair != bias.USUAL[each.profession]
        tapes = [bias.model(kind).forward(each.picture) for kind in bias.KINDS]
        (_, biased, _), (_, balanced, _) = (tape.top(1)[0] for tape in tapes)
        assert biased != each.profession and balanced == each.profession
    with pytest.raises(ValueError, match="count"):
        bias.misjudged(0)


def test_the_figure_shows_people_and_both_networks_maps():
    people = [bias.person(seed) for seed in (1, 2)]
    figure = bias.figure(people)
    assert len(figure.axes) == 6
    texts = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert f"{people[0].profession}, {people[0].hair} hair" in texts
    assert "Grad-CAM for the answer" in texts and "they are the first" not in texts
    figure.canvas.draw()
    with pytest.raises(ValueError, match="people: expected at least one"):
        bias.figure([])


def test_the_heading_says_what_the_maps_show():
    found = _story._heading({"biased": (0.8, 0.7), "balanced": (0.1, 0.5)})
    assert "80.0 % and 10.0 % of the energy on hair and tool" in found
    assert "70.0 % and 50.0 % of all energy is on neither" in found


def test_the_shares_of_the_heading_are_those_of_a_plain_sum():
    people = [bias.person(seed) for seed in (1, 2)]
    maps = [bias.model("biased").forward(each.picture).grad_cam(None) for each in people]
    found = np.mean([bias.energies(m.map, p) for m, p in zip(maps, people, strict=True)], axis=0)
    expected = (found[0] / (found[0] + found[1]), found[2] + found[3])
    assert _story._shares(maps, people) == pytest.approx(expected)


def test_the_command_prints_a_table_and_json(capsys):
    assert __main__.main(["bias", "--looks=1"]) == 0
    text = capsys.readouterr().out
    assert "cooks with short hair, as usual" in text and "4 people: 1 look" in text
    assert __main__.main(["bias", "--looks=1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["trained"]) == 10 and set(content["shipped"]) == set(bias.KINDS)
    with pytest.raises(SystemExit):
        __main__.main(["bias", "--looks=0"])
    assert "--looks: expected" in capsys.readouterr().err
