"""The report on what networks look for: what it counts, and its options."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import report_inside as report
from report_stamps import SIDE, Pair, Stamp

from gradcam import inside
from gradcam._pictures.image import Geometry


def pair():
    masks = np.zeros((2, SIDE, SIDE), bool)
    masks[0, : SIDE // 2, : SIDE // 2] = masks[1, SIDE // 2 :, SIDE // 2 :] = True
    stamps = Stamp("birds/hen", None, (8,)), Stamp("food/fruit/lemon", None, (951,))
    return Pair(None, tuple(masks), stamps, None)


def patch(row, column):
    geometry = Geometry.straight((SIDE, SIDE), (SIDE, SIDE))
    return inside.Patch(3, 1.0, (row, column), 0, None, (0, 0, 9, 9), geometry)


def test_the_stamp_at_a_place():
    found = {
        (row, column): report.stamp_at([pair()], patch(row, column), 4, 4)
        for row in (1, 2)
        for column in (1, 2)
    }
    assert found[1, 1] == "birds/hen" and found[2, 2] == "food/fruit/lemon"
    assert found[1, 2] is found[2, 1] is None


def test_the_most_frequent_stamp_of_each_unit():
    rows = [["a", "b", "a", None, None, None], ["b", "a", "c"], [None, None]]
    assert report.most_frequent(rows) == pytest.approx((2 + 1 + 0) / 3)


def test_kinds():
    assert report.kind("birds/hen") == "birds"
    assert report.kind("food/fruit/lemon") == "fruit"


def test_what_neighbours_share():
    names = ["birds/hen", "birds/duck", "food/lemon", "cats/lion"]
    every = [
        report.Single(None, name, report.kind(name), ground)
        for name, ground in zip(names * 2, "aaaabbbb", strict=True)
    ]
    places = np.array([[n for n in range(8) if n != m] for m in range(8)])
    words = report.others(every, places)
    # Of the five nearest, three are on ground a for pictures on a, and one for those on b.
    assert "on the same ground: 40.0 %" in words
    # Of the three nearest other stamps, those of a hen are duck, lemon, lion; two of six by chance.
    assert "the same kind: 33.3 % (33.3 % to 33.3 %, 2 stamps; by chance 33.3 %)" in words


def test_labels_are_unique():
    labels = [report.Single(None, name, "", "").label for name in report.stamps.STAMPS]
    assert len(labels) == len(set(labels))


def test_names_of_figures(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(report, "plot", SimpleNamespace(save=lambda _, path: written.append(path)))
    report.save(None, tmp_path, "imagenet", "patches", "_blocks.5")
    assert written == [tmp_path / "imagenet-patches-blocks.5.png"]


def test_wrong_options_are_refused_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["report_inside.py", "--pairs", "0"])
    monkeypatch.setattr(report.stamps, "fetch", lambda: pytest.fail("it has begun"))
    with pytest.raises(SystemExit):
        report.main()
    assert "--pairs: expected at least 1, got 0" in capsys.readouterr().err
