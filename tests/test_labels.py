"""Classes by index, label and synset; the table of ImageNet; decoding as in Keras."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gradcam import Labels, imagenet
from gradcam._labels.classes import top_indices

ANIMALS = Labels(["cat", "tiger_cat", "dog", "dog"], ["n1", "n2", "n3", "n4"])


def test_imagenet():
    labels = imagenet.labels()
    assert len(labels) == 1000
    assert [target.index for target in labels] == list(range(1000))
    known = {0: "tench", 242: "boxer", 282: "tiger_cat", 388: "giant_panda", 999: "toilet_tissue"}
    assert {index: labels[index].label for index in known} == known
    assert len({target.synset for target in labels}) == 1000
    assert all(target.synset.startswith("n") and len(target.synset) == 9 for target in labels)


@pytest.mark.parametrize(
    "given", [1, np.int32(1), "tiger_cat", "Tiger Cat", "tiger-cat", "n2", "N2"]
)
def test_find(given):
    assert ANIMALS.find(given).index == 1


def test_ambiguous_labels_raise():
    with pytest.raises(ValueError, match=r"2 \(n3\).*3 \(n4\)"):
        ANIMALS.find("dog")
    assert ANIMALS.find("n4").index == 3


def test_every_imagenet_class_is_found_by_its_synset_and_its_label():
    labels = imagenet.labels()
    names = [target.label.lower() for target in labels]
    shared = {name for name in names if names.count(name) > 1}
    assert shared == {"crane", "maillot", "cardigan"}, "a bird, swimsuits, a dog"
    for target in labels:
        assert labels.find(target.synset) is target
        if target.label not in ("crane", "maillot"):
            assert labels.find(target.label) is target
        if target.label.lower() not in shared:
            assert labels.find(target.label.replace("_", " ").upper()) is target


@pytest.mark.parametrize(
    "name, choices",
    [
        ("crane", r"134 \(n02012849\) or 517 \(n03126707\)"),
        ("maillot", r"638 \(n03710637\) or 639 \(n03710721\)"),
    ],
)
def test_the_ambiguous_labels_of_imagenet_raise_with_both_choices(name, choices):
    labels = imagenet.labels()
    for spelling in (name, name.upper(), f" {name} "):
        with pytest.raises(ValueError, match=f"names 2 classes.*{choices}"):
            labels.find(spelling)
    for chosen in re.findall(r"n\d+|\b\d+", choices):
        found = labels.find(int(chosen) if chosen.isdecimal() else chosen)
        assert found.label == name


@pytest.mark.parametrize("name", ["tiger_cat", "tiger cat", "TIGER CAT", "Tiger_Cat", "N02123159"])
def test_imagenet_by_any_spelling(name):
    assert imagenet.labels().find(name).index == 282


@pytest.mark.parametrize(
    "error, given",
    [
        (IndexError, 4),
        (IndexError, -1),
        (TypeError, True),
        (TypeError, np.bool_(True)),
        (TypeError, 1.0),
        (TypeError, None),
        (ValueError, "cow"),
        (ValueError, ""),
    ],
    ids=str,
)
def test_find_raises(error, given):
    with pytest.raises(error):
        ANIMALS.find(given)


def test_decode_like_keras():
    found = ANIMALS.decode([0.1, 0.4, 0.4, 0.1], top=3)
    assert found == [("n2", "tiger_cat", 0.4), ("n3", "dog", 0.4), ("n1", "cat", 0.1)]
    assert all(type(value) is float for _, _, value in found)
    with pytest.raises(ValueError):
        ANIMALS.decode([0.5, 0.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_top_indices_keep_the_order_of_equal_values(dtype):
    values = np.array([1, 3, 2, 3, 0], dtype)
    assert top_indices(values, 3) == [1, 3, 2]
    assert top_indices(values.tolist(), 99) == [1, 3, 2, 0, 4]
    assert top_indices(values, 0) == []


def test_labels_that_differ_only_in_case():
    labels = imagenet.labels()
    assert labels.find("Cardigan").index == 264
    assert labels.find("cardigan").index == 474
    with pytest.raises(ValueError, match=r"264.*474"):
        labels.find("CARDIGAN")


def test_labels_are_stored_as_metadata():
    again = Labels.from_metadata(ANIMALS.to_metadata())
    assert list(again) == list(ANIMALS)
    assert Labels.from_metadata({}) is None


def test_labels_without_synsets():
    assert Labels(["a", "b"]).decode([0, 1], top=1) == [("", "b", 1.0)]
    assert Labels.numbered(3)[2].label == "class_2"


@pytest.mark.parametrize(
    "error, arguments",
    [
        (ValueError, ([],)),
        (ValueError, (["a"], ["n1", "n2"])),
        (TypeError, ("abc",)),
        (TypeError, ([1, 2],)),
        (TypeError, (["a"], [1])),
    ],
    ids=str,
)
def test_bad_labels_are_refused(error, arguments):
    with pytest.raises(error):
        Labels(*arguments)


def test_labels_that_share_a_word_are_suggested_first():
    with pytest.raises(ValueError, match=r"similar labels: .*tiger_cat"):
        imagenet.labels().find("cats")
    with pytest.raises(ValueError, match=r"similar labels: .*fire_engine"):
        imagenet.labels().find("fire truck")


def test_hints_do_not_repeat_labels_and_may_point_to_network_labels():
    with pytest.raises(ValueError) as error:
        imagenet.labels().find("cran")
    assert str(error.value).count("'crane'") == 1
    with pytest.raises(ValueError, match="lists all of them"):
        imagenet.labels().find("qqqqq")


def test_labels_behave_as_a_sequence_of_names():
    labels = imagenet.labels()
    assert "goose" in labels and "n01855672" in labels and 99 in labels
    assert "no such thing" not in labels and 1000 not in labels and "crane" not in labels
    assert labels.index("goose") == 99
