"""The answers of votes on the live page: their files, and the tables of a class.

The page saves one file for each session, a row for each answer (``page/results.js``).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcam._methods.bootstrap import Interval, bootstrap, share
from gradcam._text import brief, counted

DISCRIMINATION = ("guided_grad_cam", "deconv_grad_cam", "deconvnet", "guided_backprop", "saliency")
"""The methods of the question which of two objects a map explains."""

TRUST = ("guided_grad_cam", "guided_backprop")
"""The methods of the question which of two networks is more reliable."""

PAPER_SHARES: Mapping[str, float] = {
    "guided_grad_cam": 0.6123,
    "deconv_grad_cam": 0.6037,
    "deconvnet": 0.5333,
    "guided_backprop": 0.4444,
}
"""Shares of right answers of Selvaraju et al. (2017), section 5.1; there is none for saliency."""

PAPER_MEANS: Mapping[str, float] = {"guided_grad_cam": 1.27, "guided_backprop": 1.0}
"""Mean ratings of the better network there, section 5.2, -2 to 2."""

CHANCE = 0.5
"""The share of right answers of who guesses."""

COLUMNS = (
    *("session", "seed", "question", "kind", "method", "scene", "target", "answer"),
    *("right", "score", "milliseconds"),
)
"""Of a file of answers."""

TABLE = ("kind", "method", "answers", "value", "low", "high", "paper")
"""The columns of a file with the table of a class."""

SCORES = (-2, -1, 0, 1, 2)

RATINGS: Mapping[str, int] = {
    "clearly left": -2,
    "slightly left": -1,
    "equal": 0,
    "slightly right": 1,
    "clearly right": 2,
}
"""The answers about two networks, and what each counts for the one on the right."""

_START = 4096
"""Bytes of a file that tell what it is."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes
    ----------
    session : str
        A random name of whoever answered.
    seed : int
        From which the questions were made.
    question : int
        Its number in the session, from 1 on.
    kind : "discrimination" or "trust"
    method, scene : str
    target, answer : str
        "discrimination": classes. "trust": the side of the better network, and one of five ratings.
    value : int
        "discrimination": 1 if the answer is right, else 0. "trust": the rating of the better
        network, -2 to 2.
    milliseconds : int
    line : int
        Where it stands in its file, from 1 on.
    """

    session: str
    seed: int
    question: int
    kind: str
    method: str
    scene: str
    target: str
    answer: str
    value: int
    milliseconds: int
    line: int = field(compare=False)


@dataclass(frozen=True)
class Row:
    """What a class answered about one method.

    Attributes
    ----------
    kind : "discrimination" or "trust"
    method : str
    answers : int
    value : Interval
        "discrimination": the share of right answers with its 95 % interval (Wilson 1927). "trust":
        the mean rating of the better network with its 95 % bootstrap interval. NaN without answers.
    counts : tuple of int
        How often each value was given, from the lowest to the highest.
    paper : float or None
        The figure of Selvaraju et al. (2017); None if they have none.
    """

    kind: str
    method: str
    answers: int
    value: Interval
    counts: tuple[int, ...]
    paper: float | None


class Votes:
    """The answers of several files; each is counted once.

    Attributes
    ----------
    repeated : list of str
        Sentences about answers that were in an earlier file already.
    """

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self._answers: dict[tuple[str, int], tuple[Answer, str]] = {}

    def add(self, file: str, answers: Sequence[Answer]) -> None:
        """Add the answers of a file, all of them or, if it raises, none.

        Raises
        ------
        ValueError
            If a question of a session was answered in another way in an earlier file, or line.
        """
        new: dict[tuple[str, int], tuple[Answer, str]] = {}
        again: dict[tuple[str, str], int] = {}
        for each in answers:
            key = each.session, each.question
            known = self._answers.get(key) or new.get(key)
            if known is None:
                new[key] = each, file
            elif known[0] == each:
                place = each.session, known[1]
                again[place] = again.get(place, 0) + 1
            else:
                raise ValueError(
                    f"{file}, line {each.line}: question {each.question} of session {each.session} "
                    f"is answered in another way in {known[1]}, line {known[0].line}: keep one of "
                    f"them"
                )
        self._answers |= new
        for (session, other), count in again.items():
            self.repeated.append(
                f"{file}: {counted(count, 'answer')} of session {session} {_is(count)} in {other} "
                f"already, and {_is(count)} counted once"
            )

    @property
    def answers(self) -> list[Answer]:
        """All answers, in the order of the files."""
        return [answer for answer, _ in self._answers.values()]

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len({session for session, _ in self._answers})

    @property
    def discrimination(self) -> list[Row]:
        """How well the explained object was recognised, by method."""
        rows = []
        for method in DISCRIMINATION:
            counts = self._counts("discrimination", method, (0, 1))
            value = share(counts[1], sum(counts))
            paper = PAPER_SHARES.get(method)
            rows.append(Row("discrimination", method, sum(counts), value, counts, paper))
        return rows

    @property
    def trust(self) -> list[Row]:
        """How the better network was rated, by method."""
        rows = []
        for method in TRUST:
            counts = self._counts("trust", method, SCORES)
            value = bootstrap([s for s, n in zip(SCORES, counts, strict=True) for _ in range(n)])
            rows.append(Row("trust", method, sum(counts), value, counts, PAPER_MEANS[method]))
        return rows

    def _counts(self, kind: str, method: str, values: Sequence[int]) -> tuple[int, ...]:
        found = [each.value for each in self.answers if (each.kind, each.method) == (kind, method)]
        return tuple(found.count(value) for value in values)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def is_table(path: Path) -> bool:
    """Return whether a file is the table of a class (:func:`table_text`)."""
    return _first_line(path) == ",".join(TABLE)


def table_text(rows: Sequence[Row]) -> str:
    """Return a table of a class as comma-separated values; empty where there is no number."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(TABLE)
    for row in rows:
        numbers = [row.value.mean, row.value.low, row.value.high, row.paper]
        cells = ["" if each is None or each != each else repr(each) for each in numbers]
        writer.writerow([row.kind, row.method, row.answers, *cells])
    return out.getvalue()


def read(path: Path) -> list[Answer]:
    """Read a file of answers.

    Raises
    ------
    ValueError
        If it is another kind of file, or a row is damaged; the message names file and line.
    OSError
        If it cannot be read.
    """
    first = _first_line(path)
    if first != ",".join(COLUMNS):
        separated = first.replace(";", ",").replace("\t", ",").replace('"', "")
        hint = (
            "a spreadsheet saved it in another form: take the file as the page saved it"
            if separated == ",".join(COLUMNS)
            else "the first line is another one"
        )
        raise ValueError(f"{path}: expected answers of a vote on the page of gradcam, but {hint}")
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    found = []
    try:
        for cells in reader:
            if reader.line_num > 1 and cells:
                found.append(_answer(cells, reader.line_num))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    return found


def _first_line(path: Path) -> str:
    """Return the first line, of which only so much is read as tells what the file is."""
    with open(path, "rb") as file:
        lines = file.read(_START).decode("utf-8-sig", "replace").splitlines()
    return lines[0] if lines else ""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is not text in UTF-8 ({error})") from None


def _answer(cells: Sequence[str], line: int) -> Answer:
    """Return the answer of a row. Raise ValueError that says what is damaged."""
    if len(cells) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} values, got {len(cells)}")
    row = dict(zip(COLUMNS, cells, strict=True))
    _match(row, "session", r"s[0-9a-f]{12}", "a name such as s0123456789ab")
    _match(row, "scene", r"v1/.+", "a scene such as v1/meadow/cat=80,120,96,0")
    check = {"discrimination": _discrimination, "trust": _trust}.get(row["kind"])
    if check is None:
        raise ValueError(f"kind: expected discrimination or trust, got {brief(row['kind'])}")
    return Answer(
        session=row["session"],
        seed=_whole(row, "seed", 0, 2**32 - 1),
        question=_whole(row, "question", 1, 10**6),
        kind=row["kind"],
        method=row["method"],
        scene=row["scene"],
        target=row["target"],
        answer=row["answer"],
        value=check(row),
        milliseconds=_whole(row, "milliseconds", 0, 10**12),
        line=line,
    )


def _discrimination(row: Mapping[str, str]) -> int:
    """Return 1 if the class that was chosen is the explained one, else 0."""
    _one_of(row, "method", DISCRIMINATION)
    for name in ("target", "answer"):
        _match(row, name, r"\S+", "a class")
    return _stated(row, "right", int(row["target"] == row["answer"]), "score")


def _trust(row: Mapping[str, str]) -> int:
    """Return the rating of the better network, -2 to 2."""
    _one_of(row, "method", TRUST)
    _one_of(row, "target", ("left", "right"))
    _one_of(row, "answer", tuple(RATINGS))
    sign = 1 if row["target"] == "right" else -1
    return _stated(row, "score", sign * RATINGS[row["answer"]], "right")


def _stated(row: Mapping[str, str], name: str, value: int, empty: str) -> int:
    """Return a value that follows from target and answer, having compared it with the row's."""
    if row[name] != str(value):
        raise ValueError(
            f"{name}: expected {value}, which follows from target and answer, got "
            f"{brief(row[name])}"
        )
    if row[empty]:
        raise ValueError(f"{empty}: expected nothing for this kind, got {brief(row[empty])}")
    return value


def _match(row: Mapping[str, str], name: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, row[name]):
        raise ValueError(f"{name}: expected {expected}, got {brief(row[name])}")


def _one_of(row: Mapping[str, str], name: str, known: Sequence[str]) -> None:
    if row[name] not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {brief(row[name])}")


def _whole(row: Mapping[str, str], name: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,13}", row[name]) or not low <= int(row[name]) <= high:
        expected = f"a whole number from {low} to {high}"
        raise ValueError(f"{name}: expected {expected}, got {brief(row[name])}")
    return int(row[name])
