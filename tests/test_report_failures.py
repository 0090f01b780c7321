"""The report on failures: similarities, and that all of it runs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import report_failures

from gradcam.pictograms import CLASSES, class_index


def test_ranks_are_those_of_cosines():
    means = np.random.default_rng(0).normal(size=(5, 8))
    found = report_failures.ranks(means)
    centred = means - means.mean(0)
    for row, one in enumerate(centred):
        cosines = [one @ other / np.linalg.norm(one) / np.linalg.norm(other) for other in centred]
        order = [n for n in np.argsort(cosines)[::-1] if n != row]
        assert found[row].tolist() == [0 if n == row else 1 + order.index(n) for n in range(5)]


def test_pictograms_that_look_alike_have_similar_pixels():
    found = report_failures.ranks(report_failures.by_pixels())
    assert found.shape == (len(CLASSES), len(CLASSES)) and not found.diagonal().any()
    for one, other in (("racer", "pickup"), ("cat", "jack-o'-lantern")):
        assert found[class_index(one), class_index(other)] <= report_failures.ALIKE


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_the_report(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(report_failures, "PER_CLASS", 1)
    figure = tmp_path / "figure.png"
    options = ["--scenes", "4", "--shares", "0,0.9", "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["report_failures.py", *options])
    report_failures.main()
    text = capsys.readouterr().out
    assert "0%" in text and "90%" in text and "hidden by more than half" in text
    assert "codes of pictograms" in text and figure.exists()
