"""The classes of a network: index, WordNet synset and label, and finding one by any of them."""

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
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike

from gradcam._files import expanded
from gradcam._text import brief

Decoded = list[tuple[str, str, float]]
"""``(synset, label, probability)``, most probable first, as in Keras's ``decode_predictions``."""


@dataclass(frozen=True)
class Target:
    """One class of a network.

    Attributes
    ----------
    index : int
        Position in the network's scores, from 0.
    synset : str
        WordNet synset (``n02123159``); empty if the class has none.
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
        A synset for each class; empty if a class has none.

    Raises
    ------
    ValueError
        If the two differ in length, or are empty.
    TypeError
        If a label or a synset is not a string.
    """

    def __init__(self, labels: Sequence[str], synsets: Sequence[str] | None = None) -> None:
        for name, given in (("labels", labels), ("synsets", synsets or ())):
            if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
                raise TypeError(f"{name}: expected a list of strings, got {brief(given)}")
        if synsets is None:
            synsets = [""] * len(labels)
        if not labels or len(labels) != len(synsets):
            raise ValueError(
                f"labels: expected at least one label and as many synsets as labels, "
                f"got {len(labels)} labels and {len(synsets)} synsets"
            )
        for text in (*labels, *synsets):
            if not isinstance(text, str):
                raise TypeError(f"labels and synsets are strings, got {brief(text)}")
        self._targets = tuple(map(Target, range(len(labels)), synsets, labels))
        self._by_name: defaultdict[str, list[Target]] = defaultdict(list)
        for target in self._targets:
            for name in {spelling_key(target.label), spelling_key(target.synset)} - {""}:
                self._by_name[name].append(target)
        # "tench, Tinca tinca" is found by each of its names that is not the label of another class.
        self._by_part: defaultdict[str, list[Target]] = defaultdict(list)
        for target in self._targets:
            for name in {spelling_key(part) for part in target.label.split(",")} - {""}:
                self._by_part[name].append(target)

    @classmethod
    def numbered(cls, count: int) -> Labels:
        """Return the labels ``class_0``, ``class_1``, ... for `count` classes without names."""
        return cls([f"class_{index}" for index in range(count)])

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Labels:
        """Read a file of labels: text in UTF-8, recognised by its content.

        - one label per line, in the order of the scores, or after an index (``0 tench``,
          ``0: tench``) and a synset (Caffe's ``synset_words.txt``: ``n01440764 tench, Tinca
          tinca``);
        - columns separated by tabs, commas or semicolons: a label with an index or a synset or
          both. The first line may name the columns (index, synset, label, in any order), and must
          if the column of the labels is ambiguous;
        - JSON: a list of labels, or of pairs (synset, label); an object from indices to either
          (Keras's ``imagenet_class_index.json``) or from labels to indices (torchvision's
          ``class_to_idx``); a ``config.json`` of Hugging Face with ``id2label``; a dict or
          list of labels as Python prints it.

        Every index from 0 must be there, in any order. Two classes may have the same label, as two
        pairs of ImageNet classes have, but not the same synset.

        Raises
        ------
        ValueError
            If the file has none of these forms or contradicts itself; the message names the line.
        OSError
            If the file cannot be opened.
        """
        from gradcam._labels import files  # slow to import, and weight files may have the labels

        return cls(*files.read(expanded(path)))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Labels | None:
        """Read the labels that :meth:`to_metadata` wrote; return None if there are none.

        Else those of the entry ``names``, where other programs write a list of labels or a dict by
        index, as JSON or as Python prints it; one of another form means something else.

        Raises
        ------
        ValueError
            If the entry ``classes`` is not a JSON list of pairs (synset, label) of strings.
        """
        if "classes" not in metadata:
            return cls._named_by_others(metadata.get("names", ""))
        try:
            pairs = json.loads(metadata["classes"])
            if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
                raise ValueError("not a list of pairs")  # a string of two letters would unpack
            return cls([label for _, label in pairs], [synset or "" for synset, _ in pairs])
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"metadata: expected 'classes' to be a JSON list of pairs (synset, label) ({error})"
            ) from error

    @classmethod
    def _named_by_others(cls, text: str) -> Labels | None:
        if not text.lstrip().startswith(("{", "[")):
            return None
        from gradcam._labels import files  # slow to import

        try:
            return cls(*files.parse(text))
        except ValueError:
            return None

    def to_metadata(self) -> dict[str, str]:
        """Return the labels as an entry of a weight file's metadata: pairs as JSON."""
        return {"classes": json.dumps([(target.synset, target.label) for target in self])}

    def find(self, target: SupportsIndex | str | Target) -> Target:
        """Return the class with the given index, label or synset.

        Parameters
        ----------
        target : int, str or Target
            Index from 0, or label, or synset. Upper and lower case, spaces, underscores,
            hyphens and apostrophes make no difference in a label, unless two classes differ in
            nothing else. Any name in a label that lists several names with commas is enough.

        Raises
        ------
        IndexError
            If the index is out of range (negative indices are not counted from the end).
        ValueError
            If no class has that name (the message suggests similar ones), or several have it
            (the message lists them), or a Target is not one of these classes.
        TypeError
            If `target` is neither an integer nor a string; a bool or a float is neither.
        """
        if isinstance(target, Target):
            return self._own(target)
        given = as_python(target)
        if isinstance(given, str):
            return self._named(given)
        if isinstance(given, bool) or not hasattr(given, "__index__"):
            raise TypeError(
                f"a class is an index (int), a label or a synset (str), "
                f"got {brief(given)} of type {type(given).__name__}"
            )
        index = operator.index(given)
        if not 0 <= index < len(self):
            raise IndexError(
                f"class index {index} is out of range: there are {len(self)} classes, "
                f"0 to {len(self) - 1}"
            )
        return self._targets[index]

    def decode(
        self, probabilities: ArrayLike, top: int = 5, *, scores: ArrayLike | None = None
    ) -> Decoded:
        """Return the most probable classes, as Keras's ``decode_predictions`` does.

        Parameters
        ----------
        probabilities : (K,) array
            One value for each class, in the order of the labels.
        top : int
            How many to return; all classes if there are fewer.
        scores : (K,) array, optional
            What the classes are ordered by, by default the probabilities. The scores still differ
            where a confident network's probabilities are all rounded to 0.

        Returns
        -------
        list of (synset, label, probability)
            The most probable first; equal ones in the order of the labels.
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
        order = values if scores is None else np.asarray(scores)
        if order.shape != values.shape:
            raise ValueError(f"expected {len(self)} scores, got shape {order.shape}")
        chosen = [(self[index], float(values[index])) for index in top_indices(order, top)]
        return [(target.synset, target.label, value) for target, value in chosen]

    def _own(self, target: Target) -> Target:
        """Return a target of these labels; refuse one of another network."""
        index = target.index
        found = self._targets[index] if 0 <= index < len(self) else None
        if found == target:
            return target
        here = f"class {index} is {found.label!r} here" if found else f"there are {len(self)} here"
        raise ValueError(
            f"class {index}, {brief(target.label)}, is a class of another network ({here}): pass "
            f"the label or the index"
        )

    def _named(self, name: str) -> Target:
        found = self.called(name)
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"{t.index} ({t.synset or t.label})" for t in found)
            raise ValueError(
                f"{brief(name)} names {len(found)} classes: give the index or synset, {choices}"
            )
        near = ", ".join(repr(label) for label in self._nearest(name))
        hint = f"similar labels: {near}" if near else "network.labels lists all of them"
        raise ValueError(f"none of the {len(self)} classes is called {brief(name)}; {hint}")

    def called(self, name: str) -> list[Target]:
        """Return the classes with this label or synset: none, one, or several."""
        key = spelling_key(name)
        found = self._by_name.get(key) or self._by_part.get(key, [])
        if len(found) > 1:  # ImageNet's Cardigan is a dog, its cardigan is not
            found = [target for target in found if target.label == name] or found
        return found

    def _nearest(self, name: str, limit: int = 4) -> list[str]:
        """Return labels that share a word with `name`, then those with a similar spelling."""
        asked = _words(name)
        shared = [t.label for t in self if asked & _words(t.label)]
        alike = difflib.get_close_matches(spelling_key(name), list(self._by_name), n=limit)
        shared += [target.label for key in alike for target in self._by_name[key]]
        return list(dict.fromkeys(shared))[:limit]

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Target, ...]: ...
    def __getitem__(self, index: int | slice) -> Target | tuple[Target, ...]:
        return self._targets[index]

    def __len__(self) -> int:
        return len(self._targets)

    def __contains__(self, target: object) -> bool:
        """Return whether :meth:`find` finds it, or it is a :class:`Target` of these labels."""
        try:
            return self.find(target) is not None  # type: ignore[arg-type]
        except (ValueError, IndexError, TypeError):
            return False

    def index(
        self, value: SupportsIndex | str | Target, start: int = 0, stop: int | None = None
    ) -> int:
        """Return the index of the class that :meth:`find` finds.

        Raises
        ------
        ValueError
            If it is less than `start`, or not less than `stop`.
        IndexError, ValueError, TypeError
            As :meth:`find`.
        """
        found = self.find(value).index
        if not start <= found < (len(self) if stop is None else stop):
            raise ValueError(f"{brief(value)} is class {found}, not between {start} and {stop}")
        return found

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets)

    def __repr__(self) -> str:
        return f"<Labels: {len(self)} classes, {self[0].label} ... {self[-1].label}>"


def known_class(labels: Labels, name: str, *, class_indices: bool = False) -> Target | None:
    """Return the class with this label or synset; None if there is none, or two.

    A number is a label like any other, unless `class_indices` says that it is an index.
    """
    try:
        return labels.find(int(name) if class_indices and is_number(name) else name)
    except (ValueError, IndexError):
        return None


def why_not_known(labels: Labels, name: str, *, class_indices: bool = False) -> str:
    """Return why :func:`known_class` returns None, if it is not that no class has this name.

    That is that several have it, or that an index is out of range. Empty otherwise.
    """
    is_index = class_indices and is_number(name)
    if not is_index and not labels.called(name):
        return ""
    try:
        labels.find(int(name) if is_index else name)
    except (ValueError, IndexError) as error:
        return str(error)
    return ""


def is_number(name: str) -> bool:
    """Whether the name of a class is a number, as indices are."""
    return name.isascii() and name.isdecimal() and len(name) < 9


def top_indices(values: ArrayLike, k: int) -> list[int]:
    """Return the indices of the `k` highest values, highest first; all if there are fewer.

    Equal values stay in their order.
    """
    order: list[int] = np.argsort(-np.asarray(values, np.float64), kind="stable")[:k].tolist()
    return order


def as_python(value: object) -> object:
    """Return what an array holds as Python's own values: a number, a string, or lists of these.

    Arrays are those of NumPy, PyTorch, pandas and other packages, their scalars and 0-d arrays
    among them. Anything else is returned unchanged.
    """
    if isinstance(value, (str, int, float, type)):
        return value
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        found: object = tolist()
        return found
    return np.asarray(value).tolist() if hasattr(value, "__array__") else value


def _words(name: str) -> set[str]:
    """Return the words of a name, without the s of plurals."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", name.casefold())}


def spelling_key(name: str) -> str:
    """Return what all spellings of a name have in common."""
    return re.sub(r"[\s_'’-]+", "", unicodedata.normalize("NFC", name)).casefold()
