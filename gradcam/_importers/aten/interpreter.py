"""Run a program of PyTorch on values of the network to be, so that it writes layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradcam._importers.aten import activations as _activations  # noqa: F401
from gradcam._importers.aten import arithmetic as _arithmetic  # noqa: F401
from gradcam._importers.aten import constants, response_norm, scalars
from gradcam._importers.aten import layers as _layers  # noqa: F401
from gradcam._importers.aten import pooling as _pooling  # noqa: F401
from gradcam._importers.aten import shapes as _shapes  # noqa: F401
from gradcam._importers.aten.arguments import Arguments
from gradcam._importers.aten.names import Names
from gradcam._importers.aten.table import OPERATIONS, VIEWS, Function, Site
from gradcam._importers.aten.tensors import OfSize, Size, SizeFloat, Squares, Tensor, items_in
from gradcam._importers.builder import Builder
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.program import Scope
from gradcam._weights.tensors import WeightsError

MAX_CALLS = 100_000
"""Operations that a program may call: hundreds of times those of the deepest networks."""

_NOTHING = {
    *("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range"),
    *("sym_constrain_range_for_size", "_guards_fn", "warn"),
}
"""Operations that check something and compute nothing."""

_MAX_ITEMS = 5_000_000
"""Arguments and items of lists of all operations."""

_NO_SIZES = {"len", "__len__", "list", "append", "extend", "copy", "getitem", "__getitem__"}
"""Operations on lists whose results keep the sizes in them, or have none."""

_ARRANGED = {
    *("view", "reshape", "_unsafe_view", "_reshape_alias", "view_as", "reshape_as"),
    *("unflatten", "expand", "size", "sym_size"),
}
"""Operations that take sizes and give the same for all sizes of the picture."""

_ADVICE = "gradcam.Network.from_layers can make a network from a list of layers that you write"


class Interpreter:
    """Runs the operations of one program.

    Parameters
    ----------
    builder : Builder
        Takes the layers.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.names = Names()
        self._calls = 0
        self._items = 0

    def call(
        self, op: str, arguments: Mapping[str, object], scopes: Sequence[Scope] = ()
    ) -> object:
        """Call an operation; return a :class:`Tensor`, a number or string, or a list of these.

        Parameters
        ----------
        op : str
            Its name without the overload: "aten.conv2d", "_operator.getitem".
        arguments : mapping of str to object
            By the names of its schema.
        scopes : sequence of Scope
            The calls of modules that it is in, the outermost first.

        Raises
        ------
        WeightsError
            If it cannot become layers; the message names the module and the operation.
        """
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise WeightsError(f"it calls more than {MAX_CALLS} operations")
        library, _, name = op.rpartition(".")
        path = scopes[-1].path if scopes else ""
        try:
            return self._call(library, name, arguments, path, scopes)
        except WeightsError as error:
            if getattr(error, "has_place", False):
                raise
            where = f"module {path!r}: " if path else ""
            error.args = (f"{where}{name} {error}",)
            error.has_place = True  # type: ignore[attr-defined]
            raise
        except (ValueError, LookupError, TypeError, AssertionError, ArithmeticError) as error:
            where = f"module {path!r}: " if path else ""
            words = printable(f"{error!s:.100}") or type(error).__name__
            raise WeightsError(f"{where}{name} cannot be followed ({words})") from error

    def _call(
        self,
        library: str,
        name: str,
        arguments: Mapping[str, object],
        path: str,
        scopes: Sequence[Scope],
    ) -> object:
        if name in _NOTHING:
            return None
        items = [each for value in arguments.values() for each in items_in(value)]
        self._items += len(items)
        if self._items > _MAX_ITEMS:
            raise WeightsError(f"is one of operations on more than {_MAX_ITEMS} items")
        of_size = any(isinstance(each, OfSize) or _is_of_size(each) for each in items)
        tensors = [each for each in items if isinstance(each, Tensor)]
        depends = any(not tensor.is_constant for tensor in tensors)
        first = next(iter(arguments.values()), None)
        if (
            library in ("_operator", "math", "torch")
            or name in scalars.ALWAYS
            or (name in scalars.LISTS and isinstance(first, (list, dict)))
            or not (tensors or name in constants.MAKE)
        ):
            found = scalars.call(name, list(arguments.values()))
            return _marked(found) if of_size and name not in _NO_SIZES else found
        if not depends:
            found = constants.call(name, arguments)
            return _marked(found) if of_size else found
        if of_size and name not in _ARRANGED:
            self.builder.fixed = True
        function, in_place = _function(library, name)
        base = name.rstrip("_") if in_place else name
        return self._written(base, function, Arguments(arguments), in_place, path, scopes)

    def _written(
        self,
        name: str,
        function: Function,
        arguments: Arguments,
        in_place: bool,
        path: str,
        scopes: Sequence[Scope],
    ) -> object:
        site = Site(self.builder, f"{path}.{name}" if path else name)
        subject = arguments.get("self", "input", "tensor")
        arguments = Arguments(arguments.given)
        squares = subject.read() if isinstance(subject, Tensor) else None
        found: object
        if isinstance(squares, Squares):
            arguments.get("self", "input", "tensor")
            found = response_norm.step(name, squares, arguments)
        else:
            found = function(site, arguments)
        arguments.check_all_read()
        for value in _values_in(found):
            self.names.made(value.layer, scopes)
        if found is subject:
            return subject
        if in_place:
            if not isinstance(subject, Tensor) or not isinstance(found, (Value, Squares)):
                raise WeightsError("changes something in place that is not a tensor")
            subject.write(found)
            return subject
        base = subject if name in VIEWS and isinstance(subject, Tensor) else None
        return _wrapped(found, base)


def _function(library: str, name: str) -> tuple[Function, bool]:
    """Return the function of an operation, and whether it changes its first argument in place."""
    if library == "aten" and name in OPERATIONS:
        return OPERATIONS[name], False
    base = name.rstrip("_")
    if library == "aten" and base != name and base in OPERATIONS:
        return OPERATIONS[base], True
    foreign = "" if library == "aten" else f" of {library}"
    raise WeightsError(f"is an operation{foreign} that is not supported; {_ADVICE}")


def _is_of_size(item: object) -> bool:
    return isinstance(item, Tensor) and item.of_size


def _marked(found: object) -> object:
    """Return what was computed from the size of the picture, so that this is known."""
    if isinstance(found, Tensor):
        found.of_size = True
    if isinstance(found, (list, tuple)):
        return [_marked(each) for each in found]
    if isinstance(found, float):
        return SizeFloat(found)
    return Size(found) if isinstance(found, int) else found


def _values_in(found: object) -> list[Value]:
    items = found if isinstance(found, list) else [found]
    contents = [each.read() if isinstance(each, Tensor) else each for each in items]
    return [each for each in contents if isinstance(each, Value)]


def _wrapped(found: object, base: Tensor | None) -> object:
    """Return the result of an operation with its contents as tensors."""
    if isinstance(found, list):
        return [_wrapped(each, base) for each in found]
    if isinstance(found, (Value, Squares)):
        return Tensor(found, base)
    return found
