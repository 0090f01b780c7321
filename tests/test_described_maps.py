"""Stored maps of described scenes, and what the scenes show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import random_attributes

from gradcam import Network
from gradcam.pictograms import _described_maps as stored
from gradcam.pictograms._attribute_networks import feature_layers, preset

SCENES = 3


def test_maps_and_arrangements_are_those_of_the_numbered_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_attributes.use(monkeypatch)
    maps = stored.stored_maps(tmp_path, SCENES, stored.TESTS, 1, "pool5")
    arrangements = stored.stored_arrangements(tmp_path, SCENES, stored.TESTS, 1, "pool5")
    scenes = [stored.numbered_scene(number, stored.TESTS) for number in range(SCENES)]
    network = Network.from_layers(feature_layers(), preset=preset())
    last = network.forward([scene.picture for scene in scenes]).activation("relu5_3")
    pooled = last.reshape(SCENES, 128, 7, 2, 7, 2).max((3, 5))
    np.testing.assert_allclose(maps, pooled, rtol=2e-3, atol=1e-3)
    for scene, found in zip(scenes, arrangements, strict=True):
        assert found.groups == scene.groups and found.layout == scene.layout
        assert np.array_equal(found.centres, scene.centres)


def test_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_attributes.use(monkeypatch)
    first = np.array(stored.stored_maps(tmp_path, SCENES, stored.VALIDATION, workers=1))
    monkeypatch.setattr(stored, "_computed", None)
    assert np.array_equal(stored.stored_maps(tmp_path, SCENES, stored.VALIDATION), first)
    assert len(stored.stored_arrangements(tmp_path, SCENES, stored.VALIDATION)) == SCENES


def test_scenes_of_training_and_of_tests_have_different_layouts() -> None:
    for use in (stored.TRAINING, stored.VALIDATION, stored.TESTS):
        layouts = [stored.numbered_scene(number, use) for number in range(4)]
        assert all(each.is_for_tests == (use == stored.TESTS) for each in layouts)
