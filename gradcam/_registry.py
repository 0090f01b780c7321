"""The registry of explanation methods: one object for each, in one place.

A method is a function with a name, a title, a source and a kind of view. Everything that lists,
finds, runs or draws methods reads this registry, so a method that is registered anywhere appears
everywhere: in ``tape.explain``, as ``tape.<name>``, in ``compare``, on the command line and in the
help. This module imports nothing of gradcam.

A package offers its methods through the entry point group ``gradcam.methods``::

    [project.entry-points."gradcam.methods"]
    squared_gradient = "my_package.my_module"
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import GenericAlias, NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

ENTRY_POINTS = "gradcam.methods"

View = Literal["map", "range", "signed", "magnitude", "contribution"]
"""How a method's raw values are shown.

map
    One value for each position, (h, w). The positive values are the evidence, drawn as a heat map
    over the picture.
range
    As map, but all values are drawn, from the smallest to the largest.
signed
    One value for each value of the input, (C, h, w). The largest absolute value over the channels
    is the evidence; drawn as colours around mid-grey.
magnitude
    As signed, but drawn as the evidence in grey.
contribution
    As signed, for values that add up: they are summed over the channels, and the positive sums are
    the evidence. Drawn in red where the sum is positive, blue where it is negative.
"""

OVER_PICTURE = ("map", "range")
"""The views with one value for each position, which are drawn over the picture."""

_GIVEN = ("layer", "resize")
"""Parameters that the tape fills in if a method's function has them; all others are its options."""

_TAKEN = ("method", "target", "on", "title")
"""Parameters of `explain` and :meth:`Method.with_options`, which cannot be names of options."""


@dataclass(frozen=True)
class Method:
    """An explanation method.

    Attributes
    ----------
    name : str
        As in ``tape.explain(name)`` and ``tape.<name>``.
    title : str
        The usual name in figures: ``"Grad-CAM"``.
    source : str
        The paper: ``"Selvaraju et al. 2017"``.
    view : str
        How the raw values are shown, see :data:`View`.
    function : callable
        ``function(tape, objective)`` with keyword-only options. It returns the raw values, or an
        :class:`gradcam.Evidence`; see :func:`gradcam.method`.
    against : bool
        Whether the evidence speaks against what is explained: what it marks lowers the score.
    """

    name: str
    title: str
    source: str
    view: View
    function: Callable[..., object]
    against: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name.startswith("_"):
            raise ValueError(f"a method's name must be a public Python name, got {self.name!r}")
        if self.view not in get_args(View):
            raise ValueError(
                f"method {self.name}: view must be one of {', '.join(get_args(View))}, "
                f"got {self.view!r}"
            )
        for name in _TAKEN:
            if name in self.parameters:
                raise ValueError(f"method {self.name}: an option cannot be called {name!r}")
        layer = self._signature.parameters.get("layer")
        if layer is not None and layer.default is not layer.empty:
            raise ValueError(
                f"method {self.name}: layer has no default, because the network's target_layer is "
                f"the default for all methods"
            )

        for name in self.options:
            if self._signature.parameters[name].default is inspect.Parameter.empty:
                raise ValueError(f"method {self.name}: the option {name!r} needs a default")

    def __call__(self, *arguments: object, **options: object) -> object:
        """Call the function."""
        return self.function(*arguments, **options)

    @cached_property
    def _signature(self) -> inspect.Signature:
        """The function's signature."""
        return inspect.signature(self.function)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's keyword-only parameters."""
        found = self._signature.parameters.values()
        return tuple(each.name for each in found if each.kind is each.KEYWORD_ONLY)

    @cached_property
    def options(self) -> tuple[str, ...]:
        """The names of the method's own options."""
        return tuple(name for name in self.parameters if name not in _GIVEN)

    def default(self, name: str) -> object:
        """Return the default of an option.

        Raises
        ------
        TypeError
            If the method has no such option.
        """
        self.check_options([name])
        return self._signature.parameters[name].default

    def check_options(self, options: Iterable[str]) -> None:
        """Raise TypeError if the method does not have all of these options."""
        self._check(options, (*self.options, *("layer",) * self.takes_layer, "on", "resize"))

    def _check(self, options: Iterable[str], named: tuple[str, ...]) -> None:
        """Raise TypeError if the method does not have all of these options; it names others."""
        unknown = [name for name in options if name not in self.options]
        if unknown:
            raise TypeError(
                f"{self.name} has no option {', '.join(map(repr, unknown))}; its options are "
                f"{', '.join(named) or 'none'}"
            )

    def with_options(self, *, title: str | None = None, **options: object) -> Method:
        """Return this method with other defaults of its options.

        ``gradcam.METHODS["occlusion"].with_options(patch=32)`` can be given to
        :meth:`gradcam.Tape.explain` and :func:`gradcam.compare` wherever a method's name can.

        Parameters
        ----------
        title : str, optional
            For figures; by default this method's title with the options, those of an earlier
            call included.
        **options
            As the method takes them.

        Raises
        ------
        TypeError
            If the method has no such option.
        """
        self._check(options, self.options)
        before = self.function.keywords if isinstance(self.function, partial) else {}
        plain = self.title.removesuffix(_in_brackets(before))
        named = plain + _in_brackets({**before, **options})
        if plain == self.title and before:  # a title that was given
            named = self.title + _in_brackets(options)
        return replace(self, title=title or named, function=partial(self.function, **options))

    def read_option(self, name: str, text: str) -> object:
        """Return the value of an option that was written as text, as on a command line.

        Numbers, ``true`` and ``false``, ``none``, words, and numbers separated by commas are read
        as the annotation of the function's parameter says. Arrays cannot be given as text.

        Raises
        ------
        TypeError
            If the method has no such option.
        ValueError
            If the text is not a value of the option's type.
        """
        self.check_options([name])
        kind = self._kind(name)
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        for each in sorted(kinds, key=lambda one: one is str):  # words last: any text is one
            with contextlib.suppress(ValueError):
                return _value(text.strip(), each)
        wanted = " or ".join(filter(None, map(_kind_words, kinds)))
        raise ValueError(f"{self.name}: {name} must be {wanted}, got {text!r}")

    def _kind(self, name: str) -> object:
        """Return the type of an option: the annotation's, or else the default's."""
        with contextlib.suppress(NameError):  # of a name that only a type checker imports
            hints = get_type_hints(self._unbound)
            if name in hints:
                return hints[name]
        default = inspect.signature(self._unbound).parameters[name].default
        if isinstance(default, tuple):
            return GenericAlias(tuple, tuple(map(type, default)))
        return str if default is None else type(default)

    @property
    def _unbound(self) -> Callable[..., object]:
        """The function as it was written, without the options of :meth:`with_options`."""
        function = self.function
        while isinstance(function, partial):
            function = function.func
        return function

    @property
    def takes_layer(self) -> bool:
        """Whether a layer can be chosen."""
        return "layer" in self.parameters

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature of ``tape.<name>``."""
        parameters = [
            inspect.Parameter("target", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
        ]
        for name, default in (("layer", None), ("on", "score"), ("resize", "half_pixel")):
            if name != "layer" or self.takes_layer:
                parameters.append(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                )
        own = self._signature.parameters
        return inspect.Signature([*parameters, *(own[name] for name in self.options)])

    @cached_property
    def documentation(self) -> str:
        """The function's documentation, or else the title."""
        return inspect.getdoc(self._unbound) or self.title

    @property
    def summary(self) -> str:
        """The first sentence of the function's documentation, or an empty string."""
        text = " ".join((inspect.getdoc(self._unbound) or "").split("\n\n")[0].split())
        return re.split(r"(?<=\.)\s", text)[0]


class Registry(Mapping[str, Method]):
    """Methods by name, in the order in which they were registered.

    Parameters
    ----------
    group : str
        The entry point group whose modules are imported when a name is not found, or when all
        names are listed.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._methods: dict[str, Method] = {}
        self._reserved: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._loading = self._loaded = False

    def reserve(self, names: Iterator[str] | list[str]) -> None:
        """Refuse these names from now on: they are attributes of a tape."""
        self._reserved |= frozenset(names)

    def register(self, method: Method) -> Method:
        """Add a method.

        A function that is defined again, as in a notebook's cell, replaces the earlier one.

        Raises
        ------
        ValueError
            If another function has this name, or a tape has an attribute of this name.
        """
        known = self._methods.get(method.name)
        if known is not None and _place(known) != _place(method):
            raise ValueError(
                f"a method is called {method.name!r} already ({'.'.join(_place(known))}): choose "
                f"another name"
            )
        if method.name in self._reserved:
            raise ValueError(f"tapes have an attribute {method.name!r}: choose another name")
        self._methods[method.name] = method
        return method

    def find(self, name: str | Method) -> Method:
        """Return the method of that name; case, spaces and hyphens are ignored (``"Grad-CAM"``).

        A :class:`Method` is returned as it is.

        Raises
        ------
        ValueError
            If the name is unknown; the message lists the methods.
        """
        if isinstance(name, Method):
            return name
        key = re.sub(r"[\s-]+", "_", str(name).strip().lower())
        found = self.get(key)
        if found is not None:
            return found
        near = difflib.get_close_matches(key, self, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"no method is called {name!r}{hint}; the methods are {', '.join(self)}")

    def __getitem__(self, name: str) -> Method:
        if name not in self._methods:
            self._load()
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(tuple(self._methods))

    def __len__(self) -> int:
        self._load()
        return len(self._methods)

    def __repr__(self) -> str:
        return f"<methods: {', '.join(self)}>"

    def _load(self) -> None:
        """Import the modules of the entry point group, once."""
        if self._loaded:
            return
        with self._lock:
            if self._loading:  # this thread is importing one of the modules
                return
            self._loading = True
            from importlib.metadata import entry_points  # slow to import

            for entry in entry_points(group=self._group):
                try:
                    entry.load()
                except Exception as error:  # another package's fault must not stop all methods
                    warnings.warn(
                        f"the method {entry.name!r} of {entry.value!r} cannot be loaded: {error!r}",
                        stacklevel=4,
                    )
            self._loaded = True


METHODS = Registry(ENTRY_POINTS)
"""Every method by its name."""


def method(
    *, title: str, source: str, view: View, name: str | None = None, against: bool = False
) -> Callable[[Callable[..., object]], Method]:
    """Register a function as an explanation method.

    The function is called as ``function(tape, objective, **options)``. `tape` holds a batch of N
    pictures; `objective` is what to explain: S objectives for each picture. The function returns
    raw values with the axes (S, N) in front: (S, N, h, w) for the views "map" and "range",
    (S, N, C, h, w) for the others; or an :class:`gradcam.Evidence`. NumPy's broadcasting does the
    rest: ``tape.input`` is (N, C, h, w), ``objective.gradient(tape, layer)`` is (S, N, ...).

    If the function has a keyword-only parameter ``layer``, users can choose a layer, by default
    the network's ``target_layer``. If it has one called ``resize``, it gets the way to resize maps.
    All other keyword-only parameters are options of the method.

    Parameters
    ----------
    title : str
        For figures: ``"Grad-CAM"``.
    source : str
        The paper: ``"Selvaraju et al. 2017"``.
    view : "map", "range", "signed", "magnitude" or "contribution"
        How the raw values are shown, see :data:`gradcam.View`.
    name : str, optional
        By default the function's name.
    against : bool
        Whether the evidence speaks against what is explained: what it marks lowers the score.

    Returns
    -------
    Method
        In place of the function.

    Raises
    ------
    ValueError
        If the name is taken or cannot be used, or the view is unknown.

    Examples
    --------
    >>> import gradcam
    >>> @gradcam.method(title="Squared gradient", source="Somebody 2026", view="map")
    ... def squared_gradient(tape, objective):
    ...     return (objective.gradient(tape, "input") ** 2).sum(2)
    >>> tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
    >>> tape.squared_gradient("cat").raw.shape
    (224, 224)
    """

    def register(function: Callable[..., object]) -> Method:
        made = Method(name or function.__name__, title, source, view, function, against)
        return METHODS.register(made)

    return register


_LONGEST = 40
"""Characters of an option's value in a title."""


def _in_brackets(options: Mapping[str, object]) -> str:
    """Return options in words, as the end of a title; long values are cut in the middle."""
    words = ", ".join(f"{name.replace('_', ' ')} {_brief(each)}" for name, each in options.items())
    return f" ({words})" if words else ""


def _brief(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def _value(text: str, kind: object) -> object:
    """Read a value of one type from text.

    Raises
    ------
    ValueError
        If the text is not one.
    """
    if kind is NoneType and text.lower() == "none":
        return None
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if kind is str:
        return text
    if get_origin(kind) is Literal and text in get_args(kind):
        return text
    if get_origin(kind) is tuple:
        parts, kinds = text.split(","), get_args(kind)
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(parts)
        if len(parts) == len(kinds):
            return tuple(
                _value(part.strip(), each) for part, each in zip(parts, kinds, strict=True)
            )
    raise ValueError(text)


def _kind_words(kind: object) -> str:
    """Return in words what values a type has; nothing for types that cannot be written as text."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        count = "" if kinds[-1] is Ellipsis else f" ({len(kinds)} of them)"
        return f"numbers separated by commas{count}"
    words = {bool: "true or false", int: "an integer", float: "a number", NoneType: "none"}
    return words.get(kind, "a word") if isinstance(kind, type) else ""


def _place(method: Method) -> tuple[str, str]:
    """Return the file and the name of a method's function, which a module that runs twice keeps."""
    function = method.function
    code = getattr(function, "__code__", None)
    place = getattr(function, "__module__", "") if code is None else code.co_filename
    return str(place), getattr(function, "__qualname__", repr(function))
