"""The people that networks are trained on, and those that they are tested on.

Training, as in section 6.3 of Grad-CAM (Selvaraju et al., 2017): 250 pictures of each profession.
In the biased set the hair goes with the profession in 78 % of the cooks and 93 % of the painters,
the shares of men among the doctors and of women among the nurses in that paper. In the balanced set
both are half. Both sets of one number show the same looks: only hair differs.

The test is balanced. Each look is drawn four times, as cook and as painter with short and with long
hair, so that the effects of tool and hair are known exactly. Its looks do not occur in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from gradcam._methods.passes import integer, one_of, positive
from gradcam.pictograms.bias._people import HAIRS, PROFESSIONS, Person, person

Kind = Literal["biased", "balanced"]
"""What a network was trained on."""

KINDS: tuple[Kind, ...] = get_args(Kind)

USUAL = {"cook": "short", "painter": "long"}
"""The hair that most people of a profession have in the biased set."""

SHARES = {"biased": {"cook": 0.78, "painter": 0.93}, "balanced": {"cook": 0.5, "painter": 0.5}}
"""How many people of a profession have its usual hair, by the kind of set."""

PER_CLASS = 250
"""Training pictures of each profession."""

LOOKS = 200
"""Of the test, each in four pictures."""

_TRAINING, _TEST = 1_000_000, 2_000_000
"""The first seeds."""

_ROOM = 10_000
"""Seeds that belong to a training set: each number has its own looks."""


def training_people(kind: Kind, *, number: int = 0, per_class: int = PER_CLASS) -> Iterator[Person]:
    """Draw the people of a training set, cooks and painters in turn.

    Parameters
    ----------
    kind : "biased" or "balanced"
    number : int
        Sets of different numbers have different looks, 0 to 99.
    per_class : int
        People of each profession, 1 to 5000.

    Yields
    ------
    Person

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range. It is raised when the first person is drawn.
    """
    one_of("kind", kind, KINDS)
    if not 0 <= integer("number", number) < 100:
        raise ValueError(f"number: expected 0 to 99, got {number}")
    if not 1 <= integer("per_class", per_class) <= _ROOM // 2:
        raise ValueError(f"per_class: expected 1 to {_ROOM // 2}, got {per_class}")
    for place in range(per_class):
        for index, profession in enumerate(PROFESSIONS):
            # Whether the hair is usual is spread evenly over the set.
            share, usual = SHARES[kind][profession], USUAL[profession]
            is_usual = round((place + 1) * share) > round(place * share)
            hair = usual if is_usual else HAIRS[1 - HAIRS.index(usual)]
            seed = _TRAINING + number * _ROOM + 2 * place + index
            yield person(seed, profession=profession, hair=hair)


def people_for_test(looks: int = LOOKS) -> Iterator[dict[tuple[str, str], Person]]:
    """Draw the people of the test.

    Parameters
    ----------
    looks : int
        1 or more.

    Yields
    ------
    dict from (profession, hair) to Person
        The four pictures of one look.

    Raises
    ------
    TypeError, ValueError
        If `looks` is not a positive integer. It is raised when the first look is drawn.
    """
    for number in range(positive("looks", looks)):
        yield {
            (profession, hair): person(_TEST + number, profession=profession, hair=hair)
            for profession in PROFESSIONS
            for hair in HAIRS
        }
