"""Folders of pictures by class."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from gradcam._annotations.by_class import pictures_by_class
from gradcam._annotations.truth import AnnotationError


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.new("RGB", (4, 4)).save(path)
        else:
            path.write_text("no picture")


def test_classes_are_folders_in_order(tmp_path):
    fill(tmp_path, "pear/b.png", "pear/a.png", "apple/red/1.png", "apple/notes.txt", ".x/y.png")
    found = pictures_by_class(tmp_path)
    assert found.classes == ("apple", "pear")
    assert [str(path.relative_to(tmp_path)) for path in found.paths] == [
        *("apple/red/1.png", "pear/a.png", "pear/b.png")
    ]
    np.testing.assert_array_equal(found.numbers, [0, 1, 1])
    assert found.counts == {"apple": 1, "pear": 2}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "b.png"], "found no folders"),
        (["notes.txt"], "found no folders"),
        (["apple/a.png", "b.png"], "found b.png beside the folders"),
        (["apple/a.png", "pear/x.txt", "lime/y.txt"], "no pictures in the folders lime, pear"),
        (["train/apple/a.png", "test/apple/b.png"], "test, train seem to be the parts"),
    ],
)
def test_other_folders_are_refused(tmp_path, names, message):
    fill(tmp_path, *names)
    with pytest.raises(AnnotationError, match=message):
        pictures_by_class(tmp_path)


def test_what_is_no_folder(tmp_path):
    fill(tmp_path, "a.png")
    with pytest.raises(NotADirectoryError):
        pictures_by_class(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        pictures_by_class(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
def test_folders_that_cannot_be_read(tmp_path):
    fill(tmp_path, "apple/a.png", "pear/closed/b.png")
    (tmp_path / "pear/closed").chmod(0)
    try:
        with pytest.raises(PermissionError):
            pictures_by_class(tmp_path)
    finally:
        (tmp_path / "pear/closed").chmod(0o700)
