"""Write the wire format of Protocol Buffers for tests, so that every field can be wrong.

Written from the format's description (https://protobuf.dev/programming-guides/encoding),
independently of gradcam's reader.
"""

from __future__ import annotations

import struct

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)


def varint(value: int) -> bytes:
    """Seven bits in each byte, the lowest first; negative numbers as 64 bits."""
    value %= 1 << 64
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def field(number: int, value: int | float | str | bytes) -> bytes:
    """An integer as a varint, a float as float32, text and bytes with their length."""
    if isinstance(value, int):
        return tag(number, VARINT) + varint(value)
    if isinstance(value, float):
        return tag(number, FIXED32) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return tag(number, BYTES) + varint(len(data)) + data


def message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)
