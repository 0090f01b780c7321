"""What reaches a terminal: no control characters from files, and the words of the command line."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import with_a_network
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import pictograms
from gradcam._cli import terminal
from gradcam._cli.app import sentence
from gradcam._cli.wording import for_commands
from gradcam._profile import profile
from gradcam._text import brief, printable, shortened

pty = pytest.importorskip("pty")

ESCAPES = "\x1b]52;c;ZXZpbA==\x1b\\\x1b[2J"
HIDDEN = [
    *(chr(n) for n in (*range(32), *range(0x7F, 0xA0))),
    *"\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2066\u2067\u2068\u2069\u206f\u3164\ufe0f\ufeff\uffa0\ufff9\U000e0041\U000e0100\ud800\udcff",
]


def harmful(text: str) -> list[str]:
    """The characters of a text that a terminal obeys or does not show."""
    return [each for each in text if each in HIDDEN and each != "\n"]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_hidden_characters_are_escaped(character):
    found = printable(f"a{character}b")
    assert found.isascii() and found.startswith("a\\") and found.endswith("b")
    assert found.encode().decode("unicode_escape") == f"a{character}b"
    assert printable(f"a{character}b", keep=character) == f"a{character}b"


def test_letters_of_all_scripts_are_shown():
    letters = ["größer", "кран", "提灯", "カニ", "기린", "שלום", "नमस्ते", "cafe\u0301", "🐈"]
    for text in (*letters, "a\u3000b\xa0c", ""):
        assert printable(text) == text


def test_long_texts_are_shortened():
    assert brief("cat") == "'cat'" and len(brief("x" * 10**8)) < 200
    assert len(brief(np.zeros((500, 500)))) < 400 and len(brief(list(range(10**6)))) < 200
    assert shortened("x" * 100, 100) == "x" * 100
    assert shortened("a" * 50 + "b" * 50, 10) == "aaaaa ... (90 characters) ... bbbbb"


# --- on a terminal ---


def run_here(arguments):
    """The command in this process, which has imported everything; its streams are a terminal."""
    warnings.simplefilter("ignore")
    sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, (0, 1, 2), "rww")
    try:
        cli.main(arguments, prog_name="gradcam")
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def on_a_terminal(arguments, folder, new_process=False):
    """What a command writes to a terminal of 200 columns, without the sequences of rich.

    It runs in a copy of this process, or in a new one as from a shell.
    """
    process, terminal_side = pty.fork()
    if process == 0:  # the child
        os.chdir(folder)
        root = str(Path(gradcam.__file__).parent.parent)
        os.environ.update(TERM="xterm-256color", COLUMNS="200", PYTHONPATH=root)
        if not new_process:
            run_here(arguments)
        os.execv(sys.executable, [sys.executable, "-W", "ignore", "-m", "gradcam", *arguments])
    written = b""
    while True:
        try:
            piece = os.read(terminal_side, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.waitpid(process, 0)
    return written.decode("utf-8", "replace")


def write_safetensors(path, name, metadata=None):
    header = {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(header | ({"__metadata__": metadata} if metadata else {})).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))


BAD = f"bad{ESCAPES}\u202e.png"
ODD = f"odd{ESCAPES}\u202e\u200b.png"

COMMANDS = {
    "a tensor": ["info", "e.safetensors"],
    "a weight file": ["info", f"{ESCAPES}.safetensors"],
    "a missing file": ["info", f"{ESCAPES}.npz"],
    "weights": ["predict", ODD, "--weights", "e.safetensors"],
    "bad pictures": ["predict", BAD, ODD, "--json"],
    "a bad picture": ["explain", BAD],
    "a good picture": ["predict", ODD],
    "two good pictures": ["explain", ODD, "good.png", "-o", f"out{ESCAPES}"],
    "a class": ["explain", ODD, "--class", ESCAPES],
    "a layer": ["explain", ODD, "--layer", ESCAPES],
    "a method": ["explain", ODD, "--method", ESCAPES],
    "a colour map": ["explain", ODD, "--cmap", ESCAPES],
    "an option": ["explain", ODD, f"--{ESCAPES}"],
    "a command": [ESCAPES],
    "labels": ["predict", ODD, "--weights", "e.safetensors", "--labels", f"{ESCAPES}.txt"],
    "a conversion": ["convert", "e.safetensors", f"{ESCAPES}.safetensors"],
}
IN_A_NEW_PROCESS = {"two good pictures", "an option"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("names")
    write_safetensors(path / "e.safetensors", f"w{ESCAPES}\u202e", {f"k{ESCAPES}": f"v{ESCAPES}"})
    write_safetensors(path / f"{ESCAPES}.safetensors", "w")
    (path / BAD).write_bytes(b"garbage")
    for name in (ODD, "good.png"):
        shutil.copy(pictograms.example("flamingo"), path / name)
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_a_name_is_obeyed_by_a_terminal(folder, name):
    command = with_a_network(COMMANDS[name])
    written = on_a_terminal(command, folder, name in IN_A_NEW_PROCESS)
    assert written.strip() and "Traceback" not in written
    for sequence in ("\x1b]", "\x1b[2J", "\x1b\\", "\u202e", "\u200b"):
        assert sequence not in written, written
    assert "\\x1b]52" in written or "\\u001b]52" in written


def test_a_network_and_its_layers_as_text():
    layers = [gradcam.Layer(f"conv{ESCAPES}", "conv", weights={"weight": np.ones((2, 3, 1, 1))})]
    layers.append(gradcam.Layer("pool", "global_average_pool"))
    network = gradcam.Network.from_layers(layers, name=f"net{ESCAPES}")
    for text in (repr(network), repr(layers[0])):
        assert "\x1b" not in text
        assert "\\x1b]52" in text


def test_labels_on_a_terminal(tmp_path):
    labels = gradcam.Labels([f"cat{ESCAPES}\u202e", "dog\u2066", "e\nError: f", "g"])
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=4)
    gradcam.weights.save(tensors, tmp_path / "w.safetensors", labels.to_metadata())
    shutil.copy(pictograms.example("flamingo"), tmp_path / "a.png")
    for command in (["predict"], ["explain", "-k", "4"], ["info"]):
        pictures = [] if command == ["info"] else ["a.png"]
        written = on_a_terminal([*command, *pictures, "--weights", "w.safetensors"], tmp_path)
        assert "cat\\x1b]52" in written and "dog\\u2066" in written
        assert "e\\nError: f" in written
        for sequence in ("\x1b]", "\x1b[2J", "\u202e", "\u2066"):
            assert sequence not in written


def test_json_stays_exact(folder):
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "gradcam",
            *with_a_network(["predict", ODD, "--json"]),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(gradcam.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["picture"] == ODD


def test_styled_text_and_progress_bars(monkeypatch, capsys):
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal.console()
    terminal.show(console, Text(f"name{ESCAPES}\u202e", "bold"))
    table = terminal.table("Name")
    table.add_row(f"cell{ESCAPES}\u202e")
    terminal.show(console, table)
    with terminal.progress(2, False) as advance:
        advance(f"file{ESCAPES}\u202e")
        advance("last")
    written = "".join(capsys.readouterr())
    assert "name\\x1b]52" in written and "cell\\x1b]52" in written
    for sequence in ("\x1b]", "\x1b[2J", "\x1b\\", "\u202e"):
        assert sequence not in written


def test_tables_of_a_profile(capsys):
    name = f"conv{ESCAPES}"
    layers = [
        gradcam.Layer(
            name,
            "conv",
            weights={"weight": np.ones((2, 3, 3, 3), np.float32)},
            attributes={"padding": 1},
        ),
        gradcam.Layer("pool", "global_average_pool"),
        gradcam.Layer("scores", "flatten"),
    ]
    net = gradcam.Network.from_layers(layers)
    text = str(profile(net.forward(np.ones((3, 8, 8), np.float32))))
    assert "conv\\x1b]52" in text and not harmful(text)


# --- the words of the command line ---


def run(*arguments, code=2):
    command = with_a_network([str(a) for a in arguments])
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=3)
    gradcam.weights.save(tensors, "w.safetensors")
    shutil.copy(pictograms.example("flamingo"), "a.png")
    Image.new("F", (8, 8)).save("f.tif")
    return tmp_path


PYTHON = ("gradcam.", "network.", "tape.", "forward(", "labels=", "preset=", "input=", "urllib")

ERRORS = {
    "another architecture": (
        ["predict", "a.png", "--weights", "w.safetensors", "--model", "vgg19"],
        "use --model vgg11, or leave --model out",
    ),
    "a class": (["explain", "a.png", "-c", "zzzzzz"], "gradcam info lists all of them"),
    "a URL": (["predict", "https://example.org/cat.jpg"], "curl -O URL"),
    "a weight file": (["predict", "w.safetensors"], "a file of weights, not a picture"),
    "float values": (["predict", "f.tif"], "convert the picture to uint8"),
    "published weights": (["info", "imagenet"], "--model vgg16"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_speak_of_commands(in_a_folder, name):
    command, words = ERRORS[name]
    written = "".join(each for each in run(*command).splitlines() if "Error: " in each)
    assert words in written
    assert not [each for each in PYTHON if each in written], written


def test_arguments_become_options():
    assert for_commands("cannot infer the number; pass labels=") == (
        "cannot infer the number; pass --labels FILE"
    )
    assert (
        for_commands("files of Caffe2 need preset='caffe'") == "files of Caffe2 need --preset caffe"
    )
    assert for_commands("no softmax: use tape.scores and on='score', or add a softmax layer") == (
        "no softmax: use --on score"
    )
    for words, option in {
        "size=(32, 48): wrong": "--size 32x48: wrong",
        "give size=224": "give --size 224",
        "output='': none": "--output '': none",
        "choose one with output=NAME, one of": "choose one with --output NAME, one of",
        "output=... ('a', 'b')": "--output NAME ('a', 'b')",
        "head='relu': unknown": "--head relu: unknown",
        "target_layer=: unknown": "--layer: unknown",
    }.items():
        assert for_commands(words) == option
    unchanged = "a=b.png: No such file or directory"
    assert for_commands(unchanged) == unchanged


def test_very_long_errors_are_shortened():
    assert len(sentence(ValueError("x" * 10**7))) < 5000


def test_warnings_are_one_line(in_a_folder):
    deep = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(deep).save("deep.png")
    written = run("predict", "deep.png", "--weights", "w.safetensors", code=0)
    (line,) = written.splitlines()
    assert line.startswith("Warning: deep.png: a picture of 16 bits whose maximum is 4095")
    assert not [each for each in PYTHON if each in written]


def test_the_pictograms_network_says_what_it_knows(in_a_folder):
    words = f"Note: the built-in model knows {len(pictograms.CLASSES)} pictograms and was not"
    for command in (["predict"], ["explain"], ["compare", "-m", "saliency", "-k", "1"]):
        written = run(*command, "a.png", "a.png", code=0)
        assert written.count(words) == 1
        assert "Note" not in run(*command, "a.png", "--weights", "w.safetensors", code=0)
    assert "Note" not in run("predict", pictograms.example("flamingo"), code=0)
    network = pictograms.model()
    assert "pictograms" in network.about
    assert network.forward("a.png").grad_cam().about == network.about
    assert gradcam.load("w.safetensors").about == ""


def test_very_long_names_of_pictures(in_a_folder):
    name = "n" * 250
    shutil.copy("a.png", f"{name}.png")
    run("explain", f"{name}.png", "-m", "guided_grad_cam", "-f", "png", "-f", "npz", code=0)
    run("compare", f"{name}.png", "-m", "saliency", "-k", "1", code=0)
    made = [path.name for path in Path("gradcam-out").iterdir() if path.name[0] != "."]
    assert len(made) == 3 and all(len(each) <= 255 for each in made)
