"""``gradcam methods``: every method with its options."""

from __future__ import annotations

import json
from typing import TypedDict

import click

import gradcam
from gradcam._cli import terminal
from gradcam._registry import Method


class MethodRecord(TypedDict):
    """A method; `options` are the defaults as ``--option`` takes them."""

    name: str
    title: str
    source: str
    view: str
    summary: str
    layer: bool
    options: dict[str, str]


@click.command(short_help="List the methods of explanation with their options.")
@click.argument("names", nargs=-1, metavar="[METHOD]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def methods(names: tuple[str, ...], as_json: bool) -> int:
    """List the methods of explanation with the options that --option NAME=VALUE sets."""
    for name in names or gradcam.METHODS:
        record = _record(gradcam.METHODS.find(name))
        if as_json:
            click.echo(json.dumps(record))
        else:
            _show(record)
    return 0


def _record(method: Method) -> MethodRecord:
    return {
        "name": method.name,
        "title": method.title,
        "source": method.source,
        "view": method.view,
        "summary": method.summary,
        "layer": method.takes_layer,
        "options": {name: option_text(method.default(name)) for name in method.options},
    }


def option_text(value: object) -> str:
    """Return the value of an option as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(option_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show(record: MethodRecord) -> None:
    """Print a method in three or four lines."""
    from rich.text import Text

    console = terminal.console()
    heading = Text(record["name"], "bold").append(
        f"  {record['title']} ({record['source']})", "not bold"
    )
    terminal.show(console, heading, soft_wrap=True)
    lines = [record["summary"]]
    given = [f"{name}={value}" for name, value in record["options"].items()]
    given += ["--layer"] * record["layer"]
    if given:
        lines.append(f"options: {'  '.join(given)}")
    for line in filter(None, lines):
        terminal.show(console, f"    {line}", soft_wrap=True)
