"""Modules of JavaScript as one script."""

from __future__ import annotations

import subprocess

import pytest
from helpers import program

from gradcam._page.bundle import BundleError, bundle


def run(script: str) -> str:
    """What a script writes on the console."""
    command = [program("node"), "--input-type=commonjs", "-e", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


MODULES = {
    "main.js": 'import {twice, NAME} from "./a.js";\n'
    'import { Point } from "./in-b.js";\n'
    "async function start() {\n  return await twice(4);\n}\n"
    "start().then((n) => console.log(n, NAME, new Point(1).x, hidden()));\n"
    'function hidden() {\n  return "of main";\n}\n',
    "a.js": '// The first.\nimport {Point} from "./in-b.js";\n'
    "const hidden = 2; // a name that another module has, too\n"
    'export const NAME = "a";\n'
    "export async function twice(n) {\n  return hidden * new Point(n).x;\n}\n",
    "in-b.js": "export class Point {\n  constructor(x) {\n    this.x = x;\n  }\n}\n"
    "/** @type {import('./a.js')} a comment */\n",
    "unused.js": "throw new Error('this is not part of the script');\n",
}


def test_the_script_does_what_the_modules_do():
    script = bundle(MODULES, "main.js")
    assert run(script).split() == ["8", "a", "1", "of", "main"]
    assert script == bundle(dict(reversed(MODULES.items())), "main.js")
    places = [script.index(f"// {name}") for name in ("in-b.js", "a.js", "main.js")]
    assert places == sorted(places) and "this is not part" not in script


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('import {lost} from "./b.js";', r"a\.js imports lost, which b\.js does not export"),
        ('import {b} from "./c.js";', r"there is no module c\.js, which a\.js imports"),
        ('import {b as c} from "./b.js";', "line 1: an import or export of this form"),
        ('import * as b from "./b.js";', "an import or export of this form"),
        ('import {\n  b,\n} from "./b.js";', "an import or export of this form"),
        ('import "./b.js";', "an import or export of this form"),
        ("export default function f() {}", "an import or export of this form"),
        ("export {b};", "an import or export of this form"),
        ("export let b = 1;", "an import or export of this form"),
        ('export {b} from "./b.js";', "an import or export of this form"),
        ('// why\nconst b = import("./b.js");', r"a\.js, line 2: import\(\) cannot"),
        ("const at = import.meta.url;", "import.meta"),
        ("const b = await 1;", "await outside functions"),
        ("await 1;", "await outside functions"),
        ('const end = "</script>";', "would end the script"),
        ('const end = "<!-- ";', "would end the script"),
    ],
)
def test_what_cannot_be_part_of_a_script_is_refused(source, why):
    with pytest.raises(BundleError, match=why):
        bundle({"a.js": source, "b.js": "export const b = 1;\n"}, "a.js")


def test_a_circle_and_a_missing_first_module_are_refused():
    modules = {"a.js": 'import {b} from "./b.js";', "b.js": 'import {a} from "./a.js";'}
    with pytest.raises(BundleError, match=r"each other: a\.js -> b\.js -> a\.js"):
        bundle(modules, "a.js")
    with pytest.raises(BundleError, match=r"there is no module c\.js$"):
        bundle(modules, "c.js")
