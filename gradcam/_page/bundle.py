"""JavaScript modules as one script that needs no other file.

Browsers do not load modules from files on disk, so a page that is opened from disk needs one
classic script. The modules may use a small part of the language of modules, which is checked:

- ``import {a, b} from "./other.js";`` on one line;
- ``export`` before ``function``, ``async function``, ``class`` or ``const``, with a name.

Each module becomes a function that returns what it exports, in an order in which all that a
module imports stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_$][\w$]*"
_IMPORT = re.compile(rf'import \{{ ?({_NAME}(?:, {_NAME})*) ?\}} from "\./([\w-]+\.js)";')
_EXPORT = re.compile(rf"export ((?:async )?function|class|const) ({_NAME})\b")
_COMMENT = re.compile(r"\s*(//|/\*|\*)")
_FORBIDDEN = (
    (re.compile(r"(import|export)\b"), "an import or export of this form"),
    (re.compile(r".*\bimport\.meta\b"), "import.meta"),
    (re.compile(r".*\bimport\("), "import()"),
    (re.compile(r"(?!async\b|function\b)(?!.*=>)\S.*\bawait\b|await\b"), "await outside functions"),
)
_ENDS_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)


class BundleError(ValueError):
    """Modules that cannot become one script; the message says where and why."""


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """Return one classic script that does what the module `entry` does.

    Parameters
    ----------
    modules : mapping of str to str
        The source of each module by the name of its file, such as ``"main.js"``. Those that
        `entry` does not need are left out.
    entry : str
        The name of the module that is run.

    Returns
    -------
    str
        The same for the same modules.

    Raises
    ------
    BundleError
        If a module is missing, imports what another does not export, uses another form of import or
        export than those above, or would end the element ``script`` of a page; or if modules import
        each other in a circle.
    """
    parsed: dict[str, _Module] = {}
    _add(entry, modules, parsed, ())
    text = "\n".join(
        ["(() => {", '"use strict";', *(each.text for each in parsed.values()), "})();"]
    )
    if found := _ENDS_SCRIPT.search(text):
        raise BundleError(f"{found[0]!r} in a module would end the script of a page")
    return text + "\n"


class _Module:
    """One module: what it imports and exports, and its text as part of the script."""

    def __init__(self, name: str, source: str) -> None:
        self.imports: list[tuple[list[str], str]] = []
        self.exports: list[str] = []
        lines = [
            self._line(name, number, line) for number, line in enumerate(source.split("\n"), 1)
        ]
        head = (f"// {name}", f"const {_variable(name)} = (() => {{")
        tail = (f"return {{{', '.join(self.exports)}}};", "})();")
        self.text = "\n".join([*head, *lines, *tail])

    def _line(self, name: str, number: int, line: str) -> str:
        """Return a line without import and export, and note what it imports and exports."""
        if match := _IMPORT.fullmatch(line):
            self.imports.append((match[1].split(", "), match[2]))
            return f"const {{{match[1]}}} = {_variable(match[2])};"
        if match := _EXPORT.match(line):
            self.exports.append(match[2])
            line = line[len("export ") :]
        for pattern, what in _FORBIDDEN:
            if pattern.match(line) and not _COMMENT.match(line):
                raise BundleError(f"{name}, line {number}: {what} cannot be part of one script")
        return line


def _variable(name: str) -> str:
    """Return the name of the variable that holds what a module exports."""
    return "$" + name.removesuffix(".js").replace("-", "_")


def _add(
    name: str, modules: Mapping[str, str], parsed: dict[str, _Module], importing: tuple[str, ...]
) -> None:
    """Parse a module after those that it imports, unless that was done."""
    if name in importing:
        raise BundleError(f"modules import each other: {' -> '.join([*importing, name])}")
    if name in parsed:
        return
    if name not in modules:
        by = f", which {importing[-1]} imports" if importing else ""
        raise BundleError(f"there is no module {name}{by}")
    module = _Module(name, modules[name])
    for wanted, other in module.imports:
        _add(other, modules, parsed, (*importing, name))
        if missing := [each for each in wanted if each not in parsed[other].exports]:
            raise BundleError(f"{name} imports {', '.join(missing)}, which {other} does not export")
    parsed[name] = module
