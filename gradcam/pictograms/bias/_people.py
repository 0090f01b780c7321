"""People with a profession and with hair, drawn from a seed, with exact masks.

All that a profession changes is the tool. The same seed yields the same picture; it can be drawn
again with another tool, with hair of another length or without one of the two, while everything
else stays exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import check_seed
from gradcam.pictograms.bias._drawing import BODY, HAIR, TOOL, draw
from gradcam.pictograms.bias._things import TOOLS

PROFESSIONS = tuple(TOOLS)
"""The classes in the order of the networks' scores. A cook has a spoon, a painter has a brush."""

HAIRS = ("short", "long")
"""The lengths of hair."""

_SECOND_WORD = 0x5045
"""Seeds have two words: they differ from all seeds of scenes."""


@dataclass(frozen=True, eq=False, repr=False)
class Person:
    """A picture of a person, and its ground truth.

    Attributes
    ----------
    picture : (224, 224, 3) array of uint8
        RGB.
    seed : int
    profession : str
        One of `PROFESSIONS`.
    hair : str
        "short" or "long".
    body_mask, hair_mask, tool_mask : (224, 224) array of bool
        The visible pixels of the person without hair, of the hair, and of the tool. No pixel
        belongs to two of them.
    """

    picture: NDArray[np.uint8]
    seed: int
    profession: str
    hair: str
    body_mask: NDArray[np.bool_]
    hair_mask: NDArray[np.bool_]
    tool_mask: NDArray[np.bool_]

    @property
    def index(self) -> int:
        """The index of the profession in `PROFESSIONS` and in the networks' scores."""
        return PROFESSIONS.index(self.profession)

    def with_other_hair(self) -> Person:
        """Draw the same person with long hair if it is short, or else with short hair."""
        return _drawn(self.seed, self.profession, _other(self.hair, HAIRS))

    def with_other_tool(self) -> Person:
        """Draw the same person with the tool of the other profession, which is then its own."""
        return _drawn(self.seed, _other(self.profession, PROFESSIONS), self.hair)

    def without_tool(self) -> Person:
        """Draw the same person with an empty hand. `tool_mask` is then empty."""
        return _drawn(self.seed, self.profession, self.hair, tool=False)

    def __repr__(self) -> str:
        return f"<Person {self.seed}: a {self.profession} with {self.hair} hair>"


def person(seed: int, *, profession: str | None = None, hair: str | None = None) -> Person:
    """Draw the person of this seed.

    Parameters
    ----------
    seed : int
        0 or more; the same arguments return the same bytes.
    profession : str, optional
        "cook", who has a spoon, or "painter", who has a brush. By default it is random.
    hair : str, optional
        "short" or "long". By default it is random, and both are as frequent in each profession.

    Returns
    -------
    Person

    Raises
    ------
    TypeError, ValueError
        If the seed is not an integer of 0 or more, or a name is unknown.

    Examples
    --------
    >>> from gradcam.pictograms import bias
    >>> p = bias.person(3, profession="cook", hair="long")
    >>> p, p.picture.shape, int(p.tool_mask.sum()) > 100
    (<Person 3: a cook with long hair>, (224, 224, 3), True)
    """
    check_seed(seed)
    rng = np.random.default_rng([int(seed), _SECOND_WORD, 0])
    chosen = [names[int(rng.integers(2))] for names in (PROFESSIONS, HAIRS)]
    if profession is not None:
        chosen[0] = _known("profession", profession, PROFESSIONS)
    if hair is not None:
        chosen[1] = _known("hair", hair, HAIRS)
    return _drawn(int(seed), *chosen)


def _known(what: str, name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise ValueError(f"{what}: expected {names[0]!r} or {names[1]!r}, got {name!r}")
    return name


def _other(name: str, names: tuple[str, ...]) -> str:
    return names[1 - names.index(name)]


def _drawn(seed: int, profession: str, hair: str, *, tool: bool = True) -> Person:
    """Draw a person; the arguments are not checked."""
    rng = np.random.default_rng([seed, _SECOND_WORD, 1])
    drawn, _ = draw(rng, TOOLS[profession] if tool else None, hair)
    masks = [drawn.owner == number for number in (BODY, HAIR, TOOL)]
    return Person(drawn.picture, seed, profession, hair, *masks)
