"""Mutations of Protocol Buffers: damage within a message, with correct lengths around it."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

from fuzz_weights import INTERESTING, mutated

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import wire

Field = tuple[int, int, int | bytes]
"""Number, wire type, value."""


def split(data: bytes) -> list[Field] | None:
    """Return the fields of a message, or None if it is not a message."""
    found: list[Field] = []
    position = 0
    try:
        while position < len(data):
            tag, position = _varint(data, position)
            number, kind = tag >> 3, tag & 7
            value: int | bytes
            if kind == wire.VARINT:
                value, position = _varint(data, position)
            elif kind == wire.BYTES:
                length, position = _varint(data, position)
                value, position = data[position : position + length], position + length
            elif kind in (wire.FIXED32, wire.FIXED64):
                width = 4 if kind == wire.FIXED32 else 8
                value, position = data[position : position + width], position + width
            else:
                return None
            if position > len(data) or number == 0:
                return None
            found.append((number, kind, value))
    except IndexError:
        return None
    return found


def join(fields: list[Field]) -> bytes:
    parts = []
    for number, kind, value in fields:
        if isinstance(value, int):
            parts.append(wire.tag(number, kind) + wire.varint(value))
        else:
            length = wire.varint(len(value)) if kind == wire.BYTES else b""
            parts.append(wire.tag(number, kind) + length + value)
    return b"".join(parts)


def mutate(rng: random.Random, data: bytes, others: object) -> bytes:
    """Damage one field at a random depth of the message."""
    fields = split(data)
    if not fields:
        return mutated(rng, data, [data])
    place = rng.randrange(len(fields))
    number, kind, value = fields[place]
    if isinstance(value, bytes) and kind == wire.BYTES and rng.random() < 0.75:
        fields[place] = (number, kind, mutate(rng, value, others))
    else:
        rng.choice(_CHANGES)(rng, fields, place)
    return join(fields)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _delete(rng: random.Random, fields: list[Field], place: int) -> None:
    del fields[place]


def _repeat(rng: random.Random, fields: list[Field], place: int) -> None:
    fields[place:place] = [fields[place]] * rng.choice((1, 1, 2, 30))


def _swap(rng: random.Random, fields: list[Field], place: int) -> None:
    other = rng.randrange(len(fields))
    fields[place], fields[other] = fields[other], fields[place]


def _replace(rng: random.Random, fields: list[Field], place: int) -> None:
    """Replace the value by that of another field: another name, another shape."""
    alike = [field for field in fields if field[1] == fields[place][1]]
    fields[place] = (fields[place][0], *rng.choice(alike)[1:])


def _renumber(rng: random.Random, fields: list[Field], place: int) -> None:
    fields[place] = (rng.randrange(1, 24), *fields[place][1:])


def _value(rng: random.Random, fields: list[Field], place: int) -> None:
    number, kind, value = fields[place]
    if isinstance(value, int):
        fields[place] = (number, kind, rng.choice([*INTERESTING, value + 1, value - 1]))
    elif kind == wire.BYTES:
        fields[place] = (number, kind, mutated(rng, value, [value]))
    else:
        fields[place] = (number, kind, rng.randbytes(len(value)))


def _unpack(rng: random.Random, fields: list[Field], place: int) -> None:
    """Convert packed numbers to fields, or a field to another type."""
    number, kind, value = fields[place]
    if kind == wire.BYTES and isinstance(value, bytes) and len(value) % 4 == 0:
        pieces = [value[i : i + 4] for i in range(0, len(value), 4)]
        fields[place : place + 1] = [(number, wire.FIXED32, piece) for piece in pieces]
    else:
        fields[place] = (number, wire.FIXED64, struct.pack("<d", rng.random()))


_CHANGES = (_delete, _repeat, _swap, _replace, _renumber, _value, _value, _value, _unpack)
