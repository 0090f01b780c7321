"""Read Python pickles of tensors without executing anything.

A pickle is a program for a small stack machine. Python's own Unpickler, even if it is subclassed to
find only harmless classes, would obey the rest of the program: allocate a memo of 16 GB for one
index, hash tuples that contain themselves twice, fifty levels deep, in exponential time, or call
``__setstate__``. So this module has its own machine, for the fifty instructions that torch.save has
written since 2017 (protocols 2 to 5); `pickletools` decodes them. The machine builds None, numbers,
strings, bytes, tuples and lists; :class:`Pairs` for a dictionary, so that nothing is hashed or
compared; the entries of the caller's table for globals; and an :class:`Opaque` for an object of any
other class, which is neither imported nor made. Other instructions are refused by their names.

:data:`MAX_BYTES` and :data:`MAX_STEPS` bound time and memory, since each instruction takes constant
time, or time in proportion to its own length and to the items that it takes off the stack. The
result can contain one object many times, and so be a large tree, or contain itself: the caller must
bound its traversal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import IO, Any, NoReturn, cast

from gradcam._weights.tensors import WeightsError

MAX_BYTES = 1 << 24
"""Maximum length of a pickle; that of VGG-16 with its optimiser takes about 10,000 bytes."""

MAX_STEPS = 1 << 22
"""Maximum number of instructions; a tensor takes about 25, a NumPy scalar in the history of a
training 14."""

_MAX_LINE = 300
"""Maximum length of the name of a module or a class."""


class Refused(WeightsError):
    """A pickle is damaged or asks for something that is not admitted; no file is named."""


class RefusedGlobal(Refused):
    """A pickle asks for a class or function that no good file contains.

    Attributes
    ----------
    name : str
        With its module, "posix.system".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"asks for {name}")


class Placeholder:
    """Represents an object that a pickle describes."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Set the state that follows the object in the pickle."""
        raise NotImplementedError


class Pairs(Placeholder):
    """A dictionary: its keys and values in order; a key can occur more than once."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[tuple[Any, Any]] = []

    def build(self, state: Any) -> None:
        """Ignore the attributes of a dictionary (an OrderedDict's ``_metadata``)."""


class Opaque(Placeholder):
    """An object that a pickle describes, of a class that is not in the table; it does nothing.

    Attributes
    ----------
    name : str
        Of its class, with the module: "argparse.Namespace".
    parts : list
        What it was made of: its arguments, its state, its items.
    """

    __slots__ = ("name", "parts")

    def __init__(self, name: str, *parts: Any) -> None:
        self.name = name
        self.parts: list[Any] = list(parts)

    def build(self, state: Any) -> None:
        """Keep the state."""
        self.parts.append(state)

    def __call__(self, arguments: tuple[Any, ...]) -> Opaque:
        """Return the result of a call of what is not known: it is not known either."""
        return Opaque(self.name, self, arguments)


class OpaqueClass:
    """A class or function that a pickle names and that is not in the table.

    Attributes
    ----------
    name : str
        With its module.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, arguments: tuple[Any, ...]) -> Opaque | OpaqueClass:
        """Return an object of the class; of ``getattr``, the class inside another one."""
        if self.name in _GETATTR and len(arguments) == 2:
            outer, name = arguments
            if isinstance(outer, OpaqueClass) and type(name) is str:
                return OpaqueClass(_shown(f"{outer.name}.{name}"))
        return Opaque(self.name, arguments)


_GETATTR = ("__builtin__.getattr", "builtins.getattr")
"""How protocols below 4 find a class inside another one."""


def _shown(name: str) -> str:
    """Return the name of a class for a message."""
    return name[:200] if name.isprintable() else ascii(name[:200])


def contents(value: Any) -> Iterator[Any]:
    """Yield a value of a pickle and all that is in it, each object once, whatever the nesting."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        yield found
        if isinstance(found, Pairs):
            seen.add(id(found))
            waiting.extend(part for pair in found.items for part in pair)
        elif isinstance(found, (list, tuple, Opaque)):
            seen.add(id(found))
            waiting.extend(found.parts if isinstance(found, Opaque) else found)


def load(
    data: memoryview,
    start: int,
    admitted: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    refused: re.Pattern[str] | None = None,
) -> tuple[Any, int]:
    """Read one pickle.

    Parameters
    ----------
    data : memoryview of bytes
    start : int
        The position in `data` at which the pickle begins.
    admitted : mapping of str to any
        The objects for the globals that a pickle may ask for, by name with module. Those that a
        pickle may call take one tuple.
    persistent : callable, optional
        Returns the object for a persistent identifier.
    refused : pattern, optional
        The names of other globals that are refused; the others become :class:`OpaqueClass`. By
        default all are refused.

    Returns
    -------
    Any
        The content of the pickle.
    int
        The position at which it ends.

    Raises
    ------
    Refused
        If it is damaged, too long, or asks for something that is refused.
    """
    machine = _Machine(_Source(data[start : start + MAX_BYTES]), admitted, persistent, refused)
    return machine.run(), start + machine.source.position


class _Source:
    """The binary file that pickletools reads; copies from the data only the parts that are read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    @property
    def at_end(self) -> bool:
        """Whether all bytes were read, or more were asked for."""
        return self.position >= len(self._data)

    def code(self) -> int:
        """Read one byte; IndexError at the end."""
        code = self._data[self.position]
        self.position += 1
        return code

    def read(self, count: int) -> bytes:
        part = bytes(self._data[self.position : self.position + count])
        self.position += count
        return part

    def readline(self) -> bytes:
        """Read a line of bounded length; pickletools would interpret escapes in it."""
        line = bytes(self._data[self.position : self.position + _MAX_LINE])
        line = line[: line.find(b"\n") + 1]
        if not line or b"\\" in line:
            raise Refused("a name in its pickle does not end, or contains a backslash: damaged")
        self.position += len(line)
        return line


class _Machine:
    """The state of the stack machine, and the effect of each instruction on it.

    The methods for instructions take the instruction's argument, or None.
    """

    def __init__(
        self,
        source: _Source,
        admitted: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
        refused: re.Pattern[str] | None,
    ) -> None:
        self.source = source
        self.admitted = admitted
        self.persistent = persistent
        self.refused = refused
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        source, instructions = self.source, _instructions()
        try:
            for _ in range(MAX_STEPS):
                code = source.code()
                if code == _STOP:
                    return self.stack.pop()
                step, read = instructions.get(code) or _refuse(code)
                step(self, read(cast(IO[bytes], source)))
        except Refused:
            raise
        except UnicodeError:
            raise Refused("a name in its pickle is not text: damaged") from None
        except (IndexError, KeyError, ValueError):  # an empty stack, an unknown memo, a bad length
            raise self.damaged() from None
        raise Refused(f"the pickle in it has more than {MAX_STEPS} instructions")

    def damaged(self) -> Refused:
        if self.source.at_end:
            return Refused("the pickle in it is cut off")
        return Refused(f"the pickle in it is damaged near its byte {self.source.position}")

    # Values.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_text(self, value: str) -> None:
        value.encode()  # UnicodeError for surrogates, which pickletools accepts
        self.stack.append(value)

    def protocol(self, version: int) -> None:
        if not 2 <= version <= 5:
            raise Refused(f"a pickle of protocol {version}, which torch.save does not write")

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """Return the items above the last mark."""
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def pop(self) -> None:
        """Remove the last item, or the mark if there is none above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def drop_to_mark(self) -> None:
        """Remove the items above the last mark."""
        self.pop_mark()

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def tuple_to_mark(self) -> None:
        items = tuple(self.pop_mark())
        self.stack.append(items)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list and not isinstance(target, Opaque):
            raise Refused("its pickle uses APPEND on a non-list: damaged or malicious")
        (target.parts if isinstance(target, Opaque) else target).extend(items)

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, Opaque):
            raise Refused("its pickle uses ADDITEMS on a non-set: damaged or malicious")
        target.parts.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, (Pairs, Opaque)) or len(items) % 2:
            raise Refused("its pickle uses SETITEM on a non-dictionary: damaged or malicious")
        if isinstance(target, Opaque):
            target.parts.extend(items)
        else:
            target.items.extend(zip(items[::2], items[1::2], strict=True))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    # Instructions that import and call in Python's Unpickler.

    def find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        found = self.admitted.get(full)
        if found is None:
            shown = _shown(full)
            if self.refused is None or self.refused.fullmatch(full):
                raise RefusedGlobal(shown)
            found = OpaqueClass(shown)
        self.stack.append(found)

    def find_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("its pickle asks for a class without a name: damaged or malicious")
        self.find(module, name)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not callable(function):
            raise Refused("its pickle calls an object that is not a function: damaged or malicious")
        self.stack.append(function(arguments))

    def call_with_keywords(self) -> None:
        keywords = self.stack.pop()
        self.call()
        if isinstance(self.stack[-1], Opaque):
            self.stack[-1].build(keywords)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Placeholder):
            raise Refused("its pickle sets the state of a non-object: damaged or malicious")
        target.build(state)

    def persistent_id(self) -> None:
        if self.persistent is None:
            raise Refused("its pickle refers to a storage in a part without storages: damaged")
        self.stack.append(self.persistent(self.stack.pop()))


_Step = Callable[[_Machine, Any], None]

_STEPS: dict[str, _Step] = {
    "PROTO": _Machine.protocol,
    "FRAME": lambda m, _: None,  # how much to read ahead
    "MARK": lambda m, _: m.mark(),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "BINFLOAT": _Machine.push,
    "LONG1": _Machine.push,
    "LONG4": _Machine.push,
    "BINUNICODE": _Machine.push_text,
    "SHORT_BINUNICODE": _Machine.push_text,
    "BINUNICODE8": _Machine.push_text,
    "SHORT_BINSTRING": _Machine.push,  # Python 2's strings, decoded as Latin-1
    "BINSTRING": _Machine.push,
    "BINBYTES": _Machine.push,
    "SHORT_BINBYTES": _Machine.push,
    "BINBYTES8": _Machine.push,
    "BYTEARRAY8": _Machine.push,
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": lambda m, _: m.tuple_to_mark(),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_mark()),
    "EMPTY_DICT": lambda m, _: m.push(Pairs()),
    "SETITEM": lambda m, _: m.set_item(),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "EMPTY_SET": lambda m, _: m.push(Opaque("builtins.set")),
    "ADDITEMS": lambda m, _: m.add_items(m.pop_mark()),
    "FROZENSET": lambda m, _: m.push(Opaque("builtins.frozenset", *m.pop_mark())),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.drop_to_mark(),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda m, names: m.find(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.find_from_stack(),
    "REDUCE": lambda m, _: m.call(),
    "NEWOBJ": lambda m, _: m.call(),  # creates an object of a class
    "NEWOBJ_EX": lambda m, _: m.call_with_keywords(),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.persistent_id(),
}
"""The admitted instructions, by pickletools' names."""

_STOP = ord(".")


@cache
def _instructions() -> dict[int, tuple[_Step, Callable[[IO[bytes]], Any]]]:
    """Return the effect of each admitted instruction, and the reader of its argument, by code."""
    import pickletools  # takes a millisecond

    return {
        ord(info.code): (_STEPS[info.name], info.arg.reader if info.arg else lambda file: None)
        for info in pickletools.opcodes
        if info.name in _STEPS
    }


def _refuse(code: int) -> NoReturn:
    """Raise the error for an instruction that is not admitted, before its argument is read."""
    import pickletools

    for info in pickletools.opcodes:
        if ord(info.code) == code:
            raise Refused(f"its pickle uses the instruction {info.name}, which no state dict needs")
    raise Refused(f"the pickle in it is damaged: no instruction 0x{code:02x} exists")
