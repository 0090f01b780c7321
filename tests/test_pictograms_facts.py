"""The facts about scenes that the picture's code tells."""

from __future__ import annotations

import numpy as np

from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._described import NOUNS
from gradcam.pictograms._described_maps import VALIDATION, numbered_scene
from gradcam.pictograms._facts import COUNTS, FACTS, facts


def test_facts_are_what_is_true_of_the_scene():
    states = set()
    for number in range(60):
        scene = numbered_scene(number, VALIDATION)
        found = dict(zip(FACTS, facts(scene).tolist(), strict=True))
        assert [found[name] for name in ATTRIBUTES] == attributes(scene).tolist()
        for noun in NOUNS:
            group = scene.group(noun.word)
            for count in range(1, 5):
                assert found[f"{count} {noun.word}"] == (group is not None and group.count == count)
        for one in scene.groups:
            for other in scene.groups:
                for relation in ("left of", "above"):
                    if one is not other:
                        value = found[f"{one.noun.word} {relation} {other.noun.word}"]
                        true = scene.stands(one, relation, other)
                        unclear = scene.may_stand(one, relation, other) and not true
                        assert np.isnan(value) if unclear else value == true
                        states.add("unclear" if unclear else true)
    assert states == {True, False, "unclear"}


def test_all_names_differ_and_counts_stand_where_they_are_said_to():
    assert len(set(FACTS)) == len(FACTS) == 694
    assert FACTS[COUNTS][:2] == ("1 " + NOUNS[0].word, "2 " + NOUNS[0].word)
    assert "left of" in FACTS[COUNTS.stop]
