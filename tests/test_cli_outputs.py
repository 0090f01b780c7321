"""No command replaces a file that it reads; what cannot be written is found before any work."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gradcam import _cli as cli
from gradcam._cli.outputs import (
    check_not_replaced,
    check_outside,
    check_pictures_kept,
    check_writable,
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_files_that_are_read():
    Path("a").mkdir()
    for name in ("a/x.png", "y.png", "units-1.png"):
        Path(name).write_bytes(b"x")
    Path("to_y.png").symlink_to("y.png")
    Path("b").symlink_to("a")
    check_not_replaced([Path("a/z.png"), None, Path("x.png")], [Path("a/x.png"), Path("y.png")])
    check_not_replaced([Path("a/units-*.png")], [Path("units-1.png")])
    for written, read in (
        ("a/x.png", "a/../a/x.png"),
        ("b/x.png", "a/x.png"),
        ("y.png", "to_y.png"),
        ("to_y.png", "to_y.png"),  # the link would be lost
        ("units-*.png", "units-1.png"),
    ):
        with pytest.raises(click.UsageError, match="is read, and what is written would replace it"):
            check_not_replaced([Path(written)], [Path(read)])


def test_folders_that_are_read():
    Path("a/b").mkdir(parents=True)
    check_outside(Path("c"), Path("a"))
    check_outside(Path("a"), Path("a/b"))
    check_outside(Path("a/gradcam-out"), Path("a"))  # which is not read
    for out in ("a", "a/b", "a/new/more", "c/../a"):
        with pytest.raises(click.UsageError, match="it is in a, so that"):
            check_outside(Path(out), Path("a"))


def test_what_cannot_be_written(monkeypatch):
    Path("file").touch()
    Path("folder").mkdir()
    check_writable([Path("new/more/x.png"), Path("file")])
    assert not Path("new").exists()
    with pytest.raises(IsADirectoryError, match="a folder has the name"):
        check_writable([Path("folder")])
    with pytest.raises(NotADirectoryError):
        check_writable([Path("file/x.png")])

    def refuse(dir):
        raise PermissionError(errno.EACCES, "Permission denied", "a temporary name")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError, match="nothing can be written here"):
        check_writable([Path("folder/x.png")])


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["inside", "patches"], "patches-relu5_3.png"),
        (["inside", "units", "--annotations", "t.csv"], "units-relu5_3.png"),
        (["sheet"], "sheet.png"),
        (["visualise", "--class", "cat", "--real"], "visualise-cat.png"),
        (["critique"], "cross_saliency.png"),
    ],
)
def test_no_command_replaces_a_picture_that_it_reads(command, name):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(name)
    Path("t.csv").write_text(f"picture,class,x0,y0,x1,y1\n{name},cat,0,0,9,9\n")
    before = Path(name).read_bytes()
    options = [*command, name, "--out", ".", "--model", "pictograms"]
    done = CliRunner().invoke(cli.main, options, catch_exceptions=False)
    assert done.exit_code == 2 and "what is written would replace it" in done.stderr
    assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "-m", "grad_cam", "-m", "saliency", "-f", "png", "-f", "jpeg"],
        ["compare", "-m", "grad_cam"],
        ["check", "--steps", "1"],
        ["critique", "-q", "score_and_probability", "-q", "cross_saliency"],
        ["inside", "activations"],
        ["edit", "--steps", "1"],
        ["adversarial", "--steps", "1", "-c", "cat"],
        ["invert", "--steps", "1"],
    ],
)
def test_no_command_replaces_a_picture_beside_those_that_it_explains(command):
    """What a first run has written is given to a second one, together with the first picture."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save("x.png")
    options = [*command, "x.png", "--model", "pictograms", "--out", "."]
    first = CliRunner().invoke(cli.main, options, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    made = [file for file in Path().glob("x?*.*") if file.suffix in (".png", ".jpg")]
    assert made
    for file in made:
        before = file.read_bytes()
        again = CliRunner().invoke(cli.main, [*options, str(file)], catch_exceptions=False)
        assert again.exit_code == 2 and f"{file} is read, and what is written" in again.stderr
        assert file.read_bytes() == before


def test_pictures_whose_names_look_like_outputs():
    Path("a/b").mkdir(parents=True)
    Path("a/b/x-new-1.png").touch()
    Path("link.png").symlink_to("a/b/x-new-1.png")
    ends = ["-new-*.png"]
    kept = {Path("x.png"): "x", Path("a/x-new-1.png"): "x-new-1", Path("x-newer.png"): "x-newer"}
    check_pictures_kept(Path(), ends, kept)  # it is in another folder, or not of that name
    check_pictures_kept(Path("a/b"), ends, {Path("a/b/x-new-1.png"): "x-new-1"})  # x is not read
    for file in ("a/b/x-new-1.png", "link.png", "a/../a/b/X-NEW-1.png"):
        for out, name in (("a/b", "x"), ("a", "b/x"), (".", "a/b/x")):
            names = {Path("x.png"): name, Path(file): "other"}
            with pytest.raises(click.UsageError, match=r"is read, and what is written would"):
                check_pictures_kept(Path(out), ends, names)


@pytest.mark.parametrize(
    "command",
    [
        ["failures", "a"],
        ["inside", "neighbours", "a"],
        ["inside", "patches", "a"],
        ["inside", "units"],
        ["sheet", "a"],
        ["demo"],
    ],
)
def test_a_folder_that_cannot_be_made_is_found_before_the_first_pass(command, monkeypatch):
    monkeypatch.setattr("gradcam._engine.stream.run", None)
    monkeypatch.setattr("gradcam._engine.network.Network.forward", None)
    Path("a/cat").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("a/cat/x.png")
    Path("file").touch()
    model = [] if command == ["demo"] else ["--model", "pictograms"]
    done = CliRunner().invoke(
        cli.main, [*command, *model, "--out", "file/new"], catch_exceptions=False
    )
    assert done.exit_code == 2 and "file: Not a directory" in done.stderr


def test_figures_of_codes_are_not_written_among_the_pictures():
    Path("a/cat").mkdir(parents=True)
    options = ["inside", "neighbours", "a", "--out", "a/cat", "--model", "pictograms"]
    done = CliRunner().invoke(cli.main, options, catch_exceptions=False)
    assert done.exit_code == 2 and "it is in a, so that" in done.stderr


def test_the_table_does_not_replace_the_annotations():
    Path("a").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("a/x.png")
    Path("t.csv").write_text("picture,class,x0,y0,x1,y1\nx.png,cat,0,0,9,9\n")
    before = Path("t.csv").read_bytes()
    options = ["inside", "units", "a", "-a", "t.csv", "--table", "t.csv", "--model", "pictograms"]
    done = CliRunner().invoke(cli.main, options, catch_exceptions=False)
    assert done.exit_code == 2 and "what is written would replace it" in done.stderr
    assert Path("t.csv").read_bytes() == before
