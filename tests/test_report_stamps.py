"""The report on stamps: its options, how much is measured, and what its columns mean."""

from __future__ import annotations

import sys

import pytest
import report_stamps

from gradcam import METHODS
from gradcam.pictograms._evaluate import Plan
from gradcam.pictograms._measuring import NotServedError


def test_all_methods_are_measured_by_default_with_the_options_of_the_table():
    chosen = report_stamps.chosen_methods(None)
    assert [each.name for each in chosen] == list(METHODS)
    assert "samples 1000" in chosen[-1].title
    (alone,) = report_stamps.chosen_methods("rise")
    assert alone.title == chosen[-1].title


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--methods", "grad_cam,foo"], "no method is called 'foo'"),
        (["--passes", "0"], "--passes: expected at least 1, got 0"),
        (["--pairs", "0"], "--pairs: expected at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused_before_any_work(options, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["report_stamps.py", *options])
    monkeypatch.setattr(report_stamps, "fetch", lambda: pytest.fail("it has begun"))
    with pytest.raises(SystemExit):
        report_stamps.main()
    assert words in capsys.readouterr().err


def test_methods_of_many_passes_get_fewer_pairs(monkeypatch):
    asked = {}

    def measured(method, subject, pairs, passes, steps):
        asked[method.name] = (pairs, passes)
        if method.name == "cam":
            raise NotServedError("CAM needs global average pooling")
        return method.name

    monkeypatch.setattr(report_stamps, "measured_row", measured)
    methods = report_stamps.chosen_methods("grad_cam,cam,rise")
    rows, skipped = report_stamps.rows_of(methods, None, Plan(60, 10, 20))
    assert asked["grad_cam"] == (60, 10) and asked["rise"] == (4, 3)
    assert rows == ["grad_cam", "rise"]
    assert skipped == {"cam": "CAM needs global average pooling"}


def test_the_notes_are_those_of_two_objects():
    text = report_stamps.notes(Plan(60, 10, 20), {"cam": "no"})
    assert "both has 50 if" in text.replace("\n", " ") and "four" not in text
    assert "20 steps" in text and text.endswith("cam was left out: no")
    assert "pointing: " in text and "random weights: " in text
