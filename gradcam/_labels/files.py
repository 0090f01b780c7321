"""Read files of labels: the index, synset and label of each class.

The form of a file is recognised by its content, not by its name; :meth:`gradcam.Labels.read` lists
the forms. An ambiguous file is refused, not guessed.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_BYTES = 1 << 22
"""The size of the largest file that is read, 4 MB: ImageNet's 21,841 classes take 1 to 2 MB."""

_INDEX = re.compile(r"[0-9]{1,9}")
_SYNSET = re.compile(r"n[0-9]{8}")
_NUMBERED = re.compile(r"([0-9]{1,9})(?:\s*:\s*|\s+)(.*)")
_SYNSET_LINE = re.compile(r"(n[0-9]{8})(?:\s+(.*))?")
# An entry of a printed Python dict, and such a dict: a widespread file of ImageNet's labels; and a
# printed list of labels.
_QUOTED = r"""'[^'\\\n]*(?:\\['"\\][^'\\\n]*)*'|"[^"\\\n]*(?:\\['"\\][^"\\\n]*)*\""""
_ENTRY = rf"\s*([0-9]{{1,9}})\s*:\s*({_QUOTED})\s*"
_PYTHON_ENTRY = re.compile(_ENTRY)
_PYTHON_DICT = re.compile(rf"\{{(?:{_ENTRY},)*(?:{_ENTRY}|\s*)\}}")
_PYTHON_LABEL = re.compile(_QUOTED)
_PYTHON_LIST = re.compile(rf"\[(?:\s*(?:{_QUOTED})\s*,)*(?:\s*(?:{_QUOTED})\s*|\s*)\]")
# Not in labels: tabs, line ends, terminal sequences, halves of surrogate pairs.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_COLUMNS = {
    "index": ("index", "id", "class_id", "class_index", ""),  # pandas writes it without a name
    "synset": ("synset", "wnid"),
    "label": ("label", "name", "class", "class_name"),
}
"""The names of columns in the first line of a table."""


class _Entry(NamedTuple):
    """One class in the file; without a number, its position in the file is its index."""

    place: str
    number: int | None
    synset: str
    label: str


def read(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """Return labels and synsets in the order of the indices; missing synsets are empty.

    Raises
    ------
    ValueError
        If the file has no known form, or contradicts itself; the message is one sentence that
        names the file and the line.
    OSError
        If the file cannot be opened.
    """
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return _ordered(_entries(_text(content)))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def parse(text: str) -> tuple[list[str], list[str]]:
    """Return the labels and synsets in a text, as :func:`read` does of a file.

    Raises
    ------
    ValueError
        As :func:`read`.
    """
    return _ordered(_entries(_text(text.encode(errors="replace"))))


def _text(content: bytes) -> str:
    """Check that the content is text; line ends become ``\\n``."""
    if not content.strip():
        raise ValueError("the file is empty, not a list of labels")
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MB, not a list of labels")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the text is in UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not text in UTF-8") from None
    if "\0" in text:
        raise ValueError("a binary file, not a list of labels")
    start = text.lstrip()[:64].casefold()
    if start.startswith(("<!doctype", "<html", "<?xml")):
        raise ValueError("a web page, not a list of labels; download the file itself")
    if start.startswith("version https://git-lfs"):
        raise ValueError("a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _entries(text: str) -> list[_Entry]:
    if text.lstrip().startswith(("{", "[")):
        return _from_json(text)
    lines = text.rstrip().split("\n")
    if "" in map(str.strip, lines):
        line = next(number for number, line in enumerate(lines, 1) if not line.strip())
        raise ValueError(f"line {line} is empty: each line must hold a class")
    delimiter = _delimiter(lines[0])
    return _from_lines(lines) if delimiter is None else _from_table(text.rstrip(), delimiter)


# --- JSON, and dicts and lists as Python prints them ---


def _from_json(text: str) -> list[_Entry]:
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats, parse_int=_json_index)
    except json.JSONDecodeError as error:
        if _PYTHON_DICT.fullmatch(text.strip()):
            return _from_python(text)
        if _PYTHON_LIST.fullmatch(text.strip()):
            labels = map(_unquoted, _PYTHON_LABEL.findall(text))
            return [_Entry(f"entry {i}", None, "", label) for i, label in enumerate(labels)]
        raise ValueError(
            f"not valid JSON: line {error.lineno}, column {error.colno} ({error.msg})"
        ) from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply for a list of labels") from None
    if isinstance(content, list):
        named = enumerate(content)
        return [_json_entry(f"entry {number}", None, value) for number, value in named]
    for key in ("id2label", "label2id"):  # a config.json of Hugging Face
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    if all(type(value) is int for value in content.values()):  # torchvision's class_to_idx
        return [_json_entry(f"the entry {k!r}", v, k) for k, v in content.items()]
    for key in content:
        if not _INDEX.fullmatch(key):
            raise ValueError(
                f"the JSON object maps neither indices to labels nor labels to indices: "
                f"{key[:40]!r} is not an index"
            )
    return [_json_entry(f"the entry {k!r}", int(k), v) for k, v in content.items()]


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        [(repeated, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the JSON key {repeated[:40]!r} is used twice")
    return content


def _json_index(digits: str) -> int:
    """Parse an integer; the time for a long one would grow with the square of its length."""
    if len(digits) > 20:
        raise ValueError(f"the number {digits[:20]}... is not an index")
    return int(digits)


def _json_entry(place: str, index: int | None, value: Any) -> _Entry:
    """Parse a label, or a pair of synset and label as in ``imagenet_class_index.json``."""
    pair = ["", value] if isinstance(value, str) else value
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(t, str) for t in pair)):
        raise ValueError(f"{place} is neither a label nor a pair of synset and label")
    return _Entry(place, index, *pair)


def _from_python(text: str) -> list[_Entry]:
    entries = _PYTHON_ENTRY.findall(text)
    return [_Entry(f"the entry {i}", int(i), "", _unquoted(quoted)) for i, quoted in entries]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


# --- tables ---


def _delimiter(first: str) -> str | None:
    """Return what separates the columns of the first line; None if it is not a table."""
    if "\t" in first.strip():
        return "\t"
    for delimiter in ",;":
        fields = [field.strip().strip('"') for field in first.split(delimiter)]
        begins = _INDEX.fullmatch(fields[0]) or _SYNSET.fullmatch(fields[0])
        if len(fields) > 1 and (begins or _is_header(fields)):
            return delimiter
    return None


def _is_header(fields: Sequence[str]) -> bool:
    """Return whether the fields are names of columns, with at least a label or a synset."""
    if any(_INDEX.fullmatch(field) or _SYNSET.fullmatch(field) for field in fields):
        return False
    return any(_role(field) in ("label", "synset") for field in fields)


def _role(field: str) -> str | None:
    return next((role for role, names in _COLUMNS.items() if field.casefold() in names), None)


def _from_table(text: str, delimiter: str) -> list[_Entry]:
    import csv

    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            rows.append((reader.line_num, [field.strip() for field in row]))
    except csv.Error:
        line = rows[-1][0] + 1 if rows else 1
        raise ValueError(
            f"line {line} cannot be split into columns: a double quote is not closed or has text "
            f"after it, or a field is too long"
        ) from None
    first = rows[0][1]
    header = _is_header(first)
    roles = _header_roles(first) if header else _content_roles(first)
    entries = []
    for line, row in rows[1:] if header else rows:
        if len(row) != len(roles):
            raise ValueError(
                f"line {line} has {len(row)} columns, but the first line has {len(roles)}; put "
                f"labels that contain the separator in double quotes"
            )
        fields = dict(zip(roles, row, strict=True))
        entries.append(_table_entry(f"line {line}", fields, header))
    return entries


def _header_roles(names: Sequence[str]) -> list[str]:
    roles: list[str] = []
    for name in names:
        role = _role(name)
        if role is None or role in roles:
            wrong = "is unknown" if role is None else "has the same meaning as another"
            raise ValueError(
                f"line 1: the column {name[:40]!r} {wrong}; expected index, synset and label"
            )
        roles.append(role)
    return roles


def _content_roles(fields: Sequence[str]) -> list[str]:
    """Return the columns of a table without a header, from its first line."""
    roles = [
        "index" if _INDEX.fullmatch(field) else "synset" if _SYNSET.fullmatch(field) else "label"
        for field in fields
    ]
    if len(set(roles)) < len(roles) or not {"label", "synset"} & set(roles):
        raise ValueError(
            f"line 1 has {len(fields)} columns, and it is not clear which one is the label: add a "
            f"first line with the names of the columns (index, synset, label)"
        )
    return roles


def _table_entry(place: str, fields: dict[str, str], header: bool) -> _Entry:
    index, synset = fields.get("index"), fields.get("synset", "")
    if index is not None and not _INDEX.fullmatch(index):
        raise ValueError(f"{place}: {index[:40]!r} is not an index")
    if not header and "synset" in fields and not _SYNSET.fullmatch(synset):
        raise ValueError(f"{place}: {synset[:40]!r} is not a synset as in the first line")
    label = fields.get("label", synset)
    return _Entry(place, None if index is None else int(index), synset, label)


# --- one class per line ---


def _from_lines(lines: Sequence[str]) -> list[_Entry]:
    """Parse lines of ``label``, ``index label``, ``index: label``, with or without a synset."""
    texts = [line.strip() for line in lines]
    indices: list[int | None] = [None] * len(texts)
    numbered = [_NUMBERED.fullmatch(text) for text in texts]
    if all(numbered) or (numbered[0] and int(numbered[0][1]) == 0):
        for number, match in enumerate(numbered):
            if match is None:
                raise ValueError(f"line {number + 1} has no index, but the first line has one")
            indices[number], texts[number] = int(match[1]), match[2]
    elif len(texts) > 1 and _end_in_indices(texts):
        raise ValueError(
            "each line seems to end with an index: put it first, or write a table with the names "
            "of the columns in the first line"
        )
    matches = [_SYNSET_LINE.fullmatch(text) for text in texts]
    expected = any(matches)
    entries = []
    for number, (index, text, match) in enumerate(zip(indices, texts, matches, strict=True)):
        place = f"line {number + 1}"
        if match is None and expected:
            raise ValueError(f"{place} has no synset, but other lines have one")
        synset, label = ("", text) if match is None else (match[1], match[2] or match[1])
        entries.append(_Entry(place, index, synset, label))
    return entries


def _end_in_indices(texts: Sequence[str]) -> bool:
    """Return whether the last words of the lines are 0, 1, ... in any order."""
    ends = [re.fullmatch(r".*[\s,;:]([0-9]{1,9})", text) for text in texts]
    found = {int(end[1]) for end in ends if end}
    return len(found) == len(texts) and max(found) == len(texts) - 1


# --- all forms ---


def _ordered(entries: Sequence[_Entry]) -> tuple[list[str], list[str]]:
    """Return labels and synsets by index; two classes may share a label, but nothing else."""
    if not entries:
        raise ValueError("the file contains no class")
    by_index: dict[int, _Entry] = {}
    by_synset: dict[str, _Entry] = {}
    for number, entry in enumerate(entries):
        index = number if entry.number is None else entry.number
        if not entry.label.strip():
            raise ValueError(f"{entry.place} has no label")
        if _UNPRINTABLE.search(entry.label + entry.synset):
            raise ValueError(f"{entry.place} contains a character that cannot be printed")
        if index in by_index:
            raise ValueError(f"{by_index[index].place} and {entry.place} both have index {index}")
        if entry.synset and entry.synset in by_synset:
            other = by_synset[entry.synset]
            raise ValueError(f"{other.place} and {entry.place} both have synset {entry.synset}")
        by_index[index] = by_synset[entry.synset] = entry
    count = len(by_index)
    missing = next((index for index in range(count) if index not in by_index), None)
    if missing is not None:
        raise ValueError(
            f"no class has index {missing}: {count} classes are numbered 0 to {count - 1} "
            f"(if the numbers are part of the labels, write a JSON list)"
        )
    ordered = [by_index[index] for index in range(count)]
    return [entry.label for entry in ordered], [entry.synset for entry in ordered]
