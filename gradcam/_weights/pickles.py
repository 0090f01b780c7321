"""Python's pickle format, as far as a file of tensors needs it, read without executing anything.

A pickle is a program for a small stack machine. Python's own Unpickler, subclassed so that it
finds only harmless classes, would still obey the rest of it: allocate a memo of 16 GB for one
index, hash tuples that hold themselves twice, fifty levels deep, until the end of time, call
``__setstate__``. So this is a machine of its own, of the forty instructions that torch.save has
written since 2017 (protocols 2 to 5). It builds None, numbers, strings, bytes, tuples and lists;
:class:`Pairs` for a dictionary, so that nothing is ever hashed or compared; and what the caller's
table has for a global's name. All else is refused by its name.

Time and memory are bounded: by :data:`MOST_BYTES` and :data:`MOST_STEPS`, since each instruction
takes constant time or time in proportion to its own length and to what it takes off the stack.
What comes out may hold one thing many times over, and so be a large tree, or hold itself: the
caller walks it with care.

Instructions: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gradcam._weights.tensors import WeightsError

MOST_BYTES = 1 << 24
"""The longest pickle; one of VGG-16 with its optimiser takes about 10,000 bytes."""

MOST_STEPS = 1 << 20
"""The most instructions; a tensor takes about 25."""


class Refused(WeightsError):
    """A pickle that is damaged or asks for what is not given; the message names no file."""


class RefusedGlobal(Refused):
    """It asks for a class or function that is not in the table.

    Attributes
    ----------
    name : str
        With its module, "posix.system".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"asks for {name}")


class Placeholder:
    """What stands for an object that a pickle describes."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Take the state that follows the object in the pickle."""
        raise NotImplementedError


class Pairs(Placeholder):
    """A dictionary: its keys and values in order, a key maybe more than once."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[tuple[Any, Any]] = []

    def build(self, state: Any) -> None:
        """Attributes of a dictionary (an OrderedDict's ``_metadata``) are left out."""


def load(
    data: memoryview,
    start: int,
    admitted: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """Read one pickle.

    Parameters
    ----------
    data : memoryview of bytes
    start : int
        Where in it the pickle begins.
    admitted : mapping of str to any
        By a global's name with its module. Where it is called, it is called with one tuple.
    persistent : callable, optional
        What a persistent identifier stands for.

    Returns
    -------
    Any
        What the pickle holds.
    int
        Where it ends.

    Raises
    ------
    Refused
        Where it is damaged, too long, or asks for what is not admitted.
    """
    machine = _Machine(data[start : start + MOST_BYTES], admitted, persistent)
    return machine.run(), start + machine.at


class _Machine:
    def __init__(
        self,
        data: memoryview,
        admitted: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        self.data = data
        self.at = 0
        self.admitted = admitted
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        try:
            for _ in range(MOST_STEPS):
                code = self.data[self.at]
                self.at += 1
                if code == _STOP:
                    return self.stack.pop()
                step = _STEPS.get(code)
                if step is None:
                    self._refuse(code)
                step(self)
        except (IndexError, KeyError, struct.error):  # of an empty stack, the memo, the data's end
            if self.at >= len(self.data):
                raise Refused("the pickle in it is cut off") from None
            raise Refused(f"the pickle in it is damaged near its byte {self.at}") from None
        except UnicodeDecodeError:
            raise Refused("a name in its pickle is no text: damaged") from None
        raise Refused(f"the pickle in it has more than {MOST_STEPS} instructions")

    def _refuse(self, code: int) -> NoReturn:
        name = _OTHERS.get(code)
        if name is None:
            raise Refused(f"the pickle in it is damaged: no instruction 0x{code:02x} exists")
        raise Refused(f"its pickle uses the instruction {name}, which no state dict needs")

    # Reading the program.

    def take(self, count: int) -> memoryview:
        part = self.data[self.at : self.at + count]
        self.at += count
        if len(part) != count:
            raise IndexError
        return part

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        text = bytes(self.data[self.at : self.at + 300])
        end = text.index(b"\n") if b"\n" in text else -1
        if end < 0:
            raise Refused("a name in its pickle does not end: damaged")
        self.at += end + 1
        return text[:end].decode()

    # Instructions. Each takes what it needs off the stack and leaves its result there.

    def protocol(self) -> None:
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            raise Refused(f"a pickle of protocol {version}, which torch.save does not write")

    def frame(self) -> None:
        self.take(8)  # how much to read ahead: no concern of ours

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def constant(self, value: Any) -> None:
        self.stack.append(value)

    def unsigned(self, layout: str) -> None:
        self.stack.append(self.number(layout))

    def long(self) -> None:
        self.stack.append(int.from_bytes(self.take(self.take(1)[0]), "little", signed=True))

    def text(self, layout: str) -> None:
        self.stack.append(str(self.take(self.number(layout)), "utf-8"))

    def old_text(self, layout: str) -> None:
        """Python 2's strings: text, or bytes that nothing here looks at."""
        count = self.number(layout)
        if count < 0:
            raise IndexError
        self.stack.append(str(self.take(count), "latin-1"))

    def raw(self, layout: str) -> None:
        self.stack.append(bytes(self.take(self.number(layout))))

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def tuple_to_mark(self) -> None:
        items = tuple(self.to_mark())
        self.stack.append(items)

    def empty_list(self) -> None:
        self.stack.append([])

    def empty_dict(self) -> None:
        self.stack.append(Pairs())

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise Refused("its pickle appends to what is no list: damaged, or made to harm")
        target.extend(items)

    def append(self) -> None:
        self.extend([self.stack.pop()])

    def appends(self) -> None:
        self.extend(self.to_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not Pairs or len(items) % 2:
            raise Refused("its pickle adds to what is no dictionary: damaged, or made to harm")
        target.items.extend(zip(items[::2], items[1::2], strict=True))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def set_items_to_mark(self) -> None:
        self.set_items(self.to_mark())

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def put_short(self) -> None:
        self.put(self.number("<B"))

    def put_long(self) -> None:
        self.put(self.number("<I"))

    def memoize(self) -> None:
        self.put(len(self.memo))

    def get(self, layout: str) -> None:
        self.stack.append(self.memo[self.number(layout)])

    # Instructions that would import and call, were this not the machine that it is.

    def find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self.admitted:
            raise RefusedGlobal(full[:200] if full.isprintable() else ascii(full[:200]))
        self.stack.append(self.admitted[full])

    def global_line(self) -> None:
        module = self.line()
        self.find(module, self.line())

    def global_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("its pickle asks for a class without a name: damaged, or made to harm")
        self.find(module, name)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not callable(function):
            raise Refused("its pickle calls what is no function: damaged, or made to harm")
        self.stack.append(function(arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Placeholder):
            raise Refused("its pickle changes what cannot be changed: damaged, or made to harm")
        target.build(state)

    def persistent_id(self) -> None:
        if self.persistent is None:
            raise Refused("its pickle refers to a storage where none can be: damaged")
        self.stack.append(self.persistent(self.stack.pop()))


_STOP = ord(".")

_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("N"): lambda m: m.constant(None),
    0x88: lambda m: m.constant(True),
    0x89: lambda m: m.constant(False),
    ord("J"): lambda m: m.unsigned("<i"),
    ord("K"): lambda m: m.unsigned("<B"),
    ord("M"): lambda m: m.unsigned("<H"),
    ord("G"): lambda m: m.unsigned(">d"),
    0x8A: _Machine.long,
    ord("X"): lambda m: m.text("<I"),
    0x8C: lambda m: m.text("<B"),
    0x8D: lambda m: m.text("<Q"),
    ord("U"): lambda m: m.old_text("<B"),
    ord("T"): lambda m: m.old_text("<i"),
    ord("B"): lambda m: m.raw("<I"),
    ord("C"): lambda m: m.raw("<B"),
    0x8E: lambda m: m.raw("<Q"),
    ord(")"): lambda m: m.constant(()),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("t"): _Machine.tuple_to_mark,
    ord("]"): _Machine.empty_list,
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("}"): _Machine.empty_dict,
    ord("s"): _Machine.set_item,
    ord("u"): _Machine.set_items_to_mark,
    ord("q"): _Machine.put_short,
    ord("r"): _Machine.put_long,
    0x94: _Machine.memoize,
    ord("h"): lambda m: m.get("<B"),
    ord("j"): lambda m: m.get("<I"),
    ord("c"): _Machine.global_line,
    0x93: _Machine.global_stack,
    ord("R"): _Machine.call,
    0x81: _Machine.call,  # an object made by its class: the same here
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent_id,
}

_OTHERS = {
    **{ord("0"): "POP", ord("1"): "POP_MARK", ord("2"): "DUP", ord("F"): "FLOAT", ord("I"): "INT"},
    **{ord("L"): "LONG", ord("P"): "PERSID", ord("S"): "STRING", ord("V"): "UNICODE"},
    **{ord("d"): "DICT", ord("g"): "GET", ord("i"): "INST", ord("l"): "LIST", ord("o"): "OBJ"},
    **{ord("p"): "PUT", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x8B: "LONG4"},
    **{0x8F: "EMPTY_SET", 0x90: "ADDITEMS", 0x91: "FROZENSET", 0x92: "NEWOBJ_EX"},
    **{0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER"},
}
"""The other instructions that exist, by name: for messages."""
