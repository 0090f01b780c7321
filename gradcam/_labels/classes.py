"""The classes of a network: number, WordNet synset and label, and finding one by any of them."""

from __future__ import annotations

import difflib
import json
import operator
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike

Decoded = list[tuple[str, str, float]]
"""``(synset, label, probability)``, most probable first: Keras's decode_predictions' order."""


@dataclass(frozen=True)
class Target:
    """One class of a network.

    Attributes
    ----------
    index : int
        Position in the network's scores, from 0.
    synset : str
        WordNet synset (``n02123159``), empty where the class has none.
    label : str
        Name for people (``tiger_cat``).
    """

    index: int
    synset: str
    label: str

    def __str__(self) -> str:
        return self.label.replace("_", " ")


class Labels(Sequence[Target]):
    """The classes of a network, in the order of its scores.

    Parameters
    ----------
    labels : sequence of str
        A name for each class.
    synsets : sequence of str, optional
        A synset for each class; empty where a class has none.

    Raises
    ------
    ValueError
        Where the two differ in length or there is no class at all.
    TypeError
        Where a label or a synset is no string.
    """

    def __init__(self, labels: Sequence[str], synsets: Sequence[str] | None = None) -> None:
        if isinstance(labels, str):
            raise TypeError(f"labels: expected a list of names, got the string {labels!r}")
        if synsets is None:
            synsets = [""] * len(labels)
        if not labels or len(labels) != len(synsets):
            raise ValueError(
                f"labels: expected at least one label and as many synsets as labels, "
                f"got {len(labels)} labels and {len(synsets)} synsets"
            )
        for text in (*labels, *synsets):
            if not isinstance(text, str):
                raise TypeError(f"labels and synsets are strings, got {text!r}")
        self._targets = tuple(map(Target, range(len(labels)), synsets, labels))
        self._by_name: defaultdict[str, list[Target]] = defaultdict(list)
        for target in self._targets:
            for name in {_key(target.label), _key(target.synset)} - {""}:
                self._by_name[name].append(target)
        # "tench, Tinca tinca" is found by each of its names, where no class has it for its whole.
        self._by_part: defaultdict[str, list[Target]] = defaultdict(list)
        for target in self._targets:
            for name in {_key(part) for part in target.label.split(",")} - {""}:
                self._by_part[name].append(target)

    @classmethod
    def numbered(cls, count: int) -> Labels:
        """Labels ``class_0``, ``class_1``, ... for `count` classes of which no names are known."""
        return cls([f"class_{index}" for index in range(count)])

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Labels:
        """Read a file of labels: text in UTF-8, recognised by its content.

        - a label a line, in the order of the scores, or after an index (``0 tench``, ``0: tench``)
          and a synset (Caffe's ``synset_words.txt``: ``n01440764 tench, Tinca tinca``);
        - columns parted by tabs, commas or semicolons: a label with an index or a synset or both;
          a first line may name them (index, synset, label, in any order), and has to where the
          label cannot be told from the others;
        - JSON: a list of labels, or of pairs (synset, label); an object from indices to either
          (Keras's ``imagenet_class_index.json``) or from labels to indices (torchvision's
          ``class_to_idx``); a ``config.json`` of Hugging Face with ``id2label``; a Python dict of
          labels as it is printed.

        Indices run from 0 without a hole, in any order. Two classes may have one label, as two
        pairs of ImageNet's have, but not one synset.

        Raises
        ------
        ValueError
            Where the file is none of these or contradicts itself; the message says in which line.
        OSError
            Where it cannot be opened.
        """
        from gradcam._labels import (
            files as label_files,  # not needed where labels come with the weights
        )

        return cls(*label_files.read(path))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Labels | None:
        """Read the labels that :meth:`to_metadata` wrote; None where there are none.

        Raises
        ------
        ValueError
            Where the entry ``classes`` is no JSON list of pairs (synset, label) of strings.
        """
        if "classes" not in metadata:
            return None
        try:
            pairs = json.loads(metadata["classes"])
            if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
                raise ValueError("something else stands there")  # a string of two would unpack
            return cls([label for _, label in pairs], [synset or "" for synset, _ in pairs])
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"metadata: 'classes' is to be a JSON list of pairs (synset, label) ({error})"
            ) from error

    def to_metadata(self) -> dict[str, str]:
        """Return the labels as an entry of a weight file's metadata: JSON pairs."""
        return {"classes": json.dumps([(target.synset, target.label) for target in self])}

    def find(self, target: SupportsIndex | str) -> Target:
        """The class that an index, a label or a synset names.

        Parameters
        ----------
        target : int or str
            Index from 0, or label, or synset. Upper and lower case, spaces, underscores,
            hyphens and apostrophes make no difference in a label, unless they alone tell two
            classes apart. Of a label that lists several names with commas, any one will do.

        Raises
        ------
        IndexError
            Where there is no class of that index (negative ones are not counted from the end).
        ValueError
            Where no class has that name (the message names the nearest), or several have it
            (the message lists them).
        TypeError
            For anything that is neither an integer nor a string: a bool or a float too.
        """
        if isinstance(target, str):
            return self._named(target)
        if isinstance(target, (bool, np.bool_)) or not hasattr(target, "__index__"):
            raise TypeError(
                f"a class is an index (int), a label or a synset (str), "
                f"got {target!r} of type {type(target).__name__}"
            )
        index = operator.index(target)
        if not 0 <= index < len(self):
            raise IndexError(
                f"class index {index} is out of range: there are {len(self)} classes, "
                f"0 to {len(self) - 1}"
            )
        return self._targets[index]

    def decode(self, probabilities: ArrayLike, top: int = 5) -> Decoded:
        """The most probable classes, as Keras's ``decode_predictions`` lists them.

        Parameters
        ----------
        probabilities : (K,) array
            One value for each class, in the order of the labels.
        top : int
            How many to list; all of them where there are fewer.

        Returns
        -------
        list of (synset, label, probability)
            Falling probability; equals stay in the order of the classes.
        """
        values = np.asarray(probabilities)
        if values.ndim == 2:
            raise ValueError(
                f"expected the {len(self)} probabilities of one picture, got shape {values.shape}; "
                f"network.predict and tape.top decode batches"
            )
        if values.shape != (len(self),):
            raise ValueError(f"expected {len(self)} probabilities, got shape {values.shape}")
        if operator.index(top) < 1:
            raise ValueError(f"top: expected at least 1, got {top}")
        order = np.argsort(-values, kind="stable")[:top]
        return [(self[i].synset, self[i].label, float(values[i])) for i in order.tolist()]

    def _named(self, name: str) -> Target:
        key = _key(name)
        found = self._by_name.get(key) or self._by_part.get(key, [])
        if len(found) > 1:  # ImageNet's Cardigan is a dog, its cardigan is not
            found = [target for target in found if target.label == name] or found
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"{t.index} ({t.synset or t.label})" for t in found)
            raise ValueError(
                f"{name!r} names {len(found)} classes: give the index or synset, {choices}"
            )
        near = ", ".join(repr(label) for label in self._nearest(name))
        hint = f"the nearest: {near}" if near else "network.labels lists them"
        raise ValueError(f"no class is called {name!r} among the {len(self)}; {hint}")

    def _nearest(self, name: str, limit: int = 4) -> list[str]:
        """Labels that share a word with `name`, then those that are spelt alike."""
        asked = _words(name)
        shared = [t.label for t in self if asked & _words(t.label)]
        alike = difflib.get_close_matches(_key(name), list(self._by_name), n=limit)
        shared += [target.label for key in alike for target in self._by_name[key]]
        return list(dict.fromkeys(shared))[:limit]

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Target, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._targets[index]

    def __len__(self) -> int:
        return len(self._targets)

    def __contains__(self, target: object) -> bool:
        """Whether :meth:`find` finds it; a :class:`Target` counts where it is one of these."""
        if isinstance(target, Target):
            return target in self._targets
        try:
            return self.find(target) is not None  # type: ignore[arg-type]
        except (ValueError, IndexError, TypeError):
            return False

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Index of the class that :meth:`find` finds; `start` and `stop` are a list's."""
        found = (value if isinstance(value, Target) else self.find(value)).index
        if not start <= found < (len(self) if stop is None else stop):
            raise ValueError(f"{value!r} is class {found}, outside {start} to {stop}")
        return found

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets)

    def __repr__(self) -> str:
        return f"<Labels: {len(self)} classes, {self[0].label} ... {self[-1].label}>"


def _words(name: str) -> set[str]:
    """The words of a name; of "dogs" and "dog" alike."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", name.casefold())}


def _key(name: str) -> str:
    """What two spellings of one name have in common."""
    return re.sub(r"[\s_'’-]+", "", unicodedata.normalize("NFC", name)).casefold()


def top_indices(values: ArrayLike, k: int) -> list[int]:
    """Return the indices of the `k` largest values, largest first; equal ones stay in order."""
    order: list[int] = np.argsort(-np.asarray(values), kind="stable")[:k].tolist()
    return order
