"""The file of the live page: what is in it, what it may load; the command."""

from __future__ import annotations

import base64
import json
import re
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

import gradcam
from gradcam import _cli as cli
from gradcam import _page
from gradcam._page.data import contents
from gradcam.pictograms import CLASSES

FOLDER = Path(gradcam.__file__).parent / "_page"
BINARY = ("core-simd128", "core-relaxed", "pixels", "network-pictograms")


class Parts(HTMLParser):
    """The elements of a page: their attributes, and the text of scripts by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", "main") if tag == "script" else None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def handle_endtag(self, tag):
        self._script = None


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _page.write(tmp_path_factory.mktemp("page") / "live.html")


@pytest.fixture(scope="module")
def parts(page: Path) -> Parts:
    return Parts(page.read_text("utf-8"))


def test_everything_is_in_the_file(parts):
    for name in BINARY[:2]:
        core = base64.b64decode(parts.scripts[name])
        assert core == (FOLDER / f"{name}.wasm").read_bytes() and core[:4] == b"\0asm"
    data = json.loads(parts.scripts["data"])
    assert data["version"] == gradcam.__version__
    assert [each["label"] for each in data["contents"]["classes"]] == [
        label for _, label in CLASSES
    ]
    assert len(bytes.fromhex(data["colours"])) == 3 * 256
    weights = base64.b64decode(parts.scripts["network-pictograms"])
    assert len(weights) > 5e6
    assert data["networks"]["pictograms"]["target_layer"] == "relu5_3"
    for name in ("worker", "main"):
        assert parts.scripts[name].count('"use strict"') == 1


def test_an_unable_browser_shows_a_sentence():
    """It stands in the page; the script, which such a browser may not understand, removes it."""
    for name in ("index.html", "photograph.html"):
        text = " ".join((FOLDER / "page" / name).read_text("utf-8").split())
        assert (
            '<p id="opening" role="status">Opening the network. If this stays, the browser is '
            "too old: open this page in a current version of Firefox, Chrome, Edge or Safari.</p>"
        ) in text


def test_nothing_is_loaded(page, parts):
    for tag, attributes in parts.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert not {"src", "href", "srcset", "action", "onclick"} & {*attributes}, (tag, attributes)
    (policy,) = (
        attributes["content"]
        for _, attributes in parts.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["worker-src"] == "blob:"
    assert rules["script-src"] == "'unsafe-inline' 'wasm-unsafe-eval' blob:"
    assert "connect-src" not in rules  # so that the default holds
    text = page.read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`)<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a language, not loaded
    used = "".join((parts.scripts["main"], parts.scripts["worker"]))
    for name in ("fetch", "XMLHttpRequest", "WebSocket", "eval"):
        assert not re.search(rf"\b{name}\b\s*\(|\b{name}\.|new {name}\b", used), name


def test_nothing_is_stored():
    for path in (FOLDER / "page").glob("*.js"):
        found = re.search(r"localStorage|sessionStorage|indexedDB|caches|cookie", path.read_text())
        assert found is None, path.name


def test_the_same_bytes_each_time(page, tmp_path):
    again = _page.write(tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()
    assert 6e6 < again.stat().st_size < 12e6


def test_a_page_is_replaced_and_nothing_else(page, tmp_path):
    ours, other, link = (tmp_path / name for name in ("ours.html", "other.html", "link.html"))
    ours.write_bytes(page.read_bytes()[:2000])
    assert _page.write(ours).read_bytes() == page.read_bytes()
    other.write_text("<p>mine</p>")
    link.symlink_to(tmp_path / "nothing")
    for path in (other, link, tmp_path):
        with pytest.raises(
            FileExistsError, match="it is not of gradcam page and would be replaced"
        ):
            _page.write(path)
    assert other.read_text() == "<p>mine</p>" and link.is_symlink()
    with pytest.raises(ValueError, match=r"expected one of pictograms.*, got 'vgg16'"):
        _page.write(tmp_path / "new.html", model="vgg16")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        _page.write(tmp_path / "missing/new.html")
    assert not (tmp_path / "new.html").exists()


def test_the_backgrounds_and_pictograms_are_named():
    found = contents()
    assert found["grounds"][0] == "plain" and len(set(found["grounds"])) == len(found["grounds"])
    cells = [cell for each in found["classes"] for cell in each["cells"]]
    assert sorted(cells) == cells and max(cells) < len(found["cells"])
    assert all(" " not in name and "/" not in name for name in found["grounds"])


# --- the command ---


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(cli.main, ["page", *arguments], catch_exceptions=False)


def test_the_command_writes_the_page(here, page, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    told = run("--out", "new/live.html", "--open")
    assert told.exit_code == 0 and "MB: open new/live.html" in told.stdout
    assert opened == [(here / "new/live.html").as_uri()]
    assert Path("new/live.html").read_bytes() == page.read_bytes()
    record = json.loads(run("--json").stdout)
    size = page.stat().st_size
    assert record == {"page": "live.html", "model": "pictograms", "bytes": size}


def test_a_home_folder_is_named_by_a_tilde(here, page, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    (here / "home").mkdir()
    assert run("--out", "~/new/live.html").exit_code == 0
    assert (here / "home/new/live.html").read_bytes() == page.read_bytes()
    assert not Path("~").exists()


def test_no_folder_is_made_for_a_page_that_fails(here, monkeypatch):
    def fail(kind):
        raise OSError("no weights")

    monkeypatch.setattr(_page, "_page", fail)
    told = run("--out", "new/live.html")
    assert told.exit_code == 2 and "no weights" in told.stderr
    assert not Path("new").exists()


def test_the_command_refuses_before_it_writes(here):
    Path("mine.html").write_text("mine")
    told = run("--out", "mine.html")
    assert told.exit_code == 2 and "mine.html: it is not of gradcam page" in told.stderr
    Path("file").touch()
    assert run("--out", "file/live.html").exit_code == 2
    assert run("--model", "vgg16").exit_code == 2
    assert {path.name for path in here.iterdir()} == {"mine.html", "file"}
    assert Path("mine.html").read_text() == "mine"
