"""The command group: its help, and how errors end."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

import gradcam

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
            code = run(*args, standalone_mode=False, **kwargs)
        except (click.Abort, KeyboardInterrupt):
            _leave("Interrupted.", INTERRUPTED)
        except click.ClickException as error:
            error.show()
            raise SystemExit(NOTHING_DONE) from None
        except (ValueError, IndexError, OSError, MemoryError, ImportError) as error:
            _leave(f"Error: {sentence(error)}", NOTHING_DONE)
        raise SystemExit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(code)


def sentence(error: BaseException) -> str:
    """Return what an exception says, without the number of an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    return str(error) or type(error).__name__


@click.group(
    cls=_Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(gradcam.__version__, message="gradcam %(version)s")
def main() -> None:
    """See why a convolutional network decided what it did.

    \b
    gradcam demo --open                          the built-in scenes, explained, in a browser
    gradcam explain cat.jpg                      a heat map of the most probable class
    gradcam explain cat.jpg --class dog -m grad_cam -m saliency
    gradcam compare cat.jpg                      one figure: the top classes x five methods

    The model is the built-in one, which knows three dozen pictograms, unless --weights names
    another: a VGG in a file of PyTorch, Keras, Caffe, ONNX, safetensors or NumPy.

    \b
    Exit status:
      0    everything was done
      1    some pictures failed and are named on standard error; the others are done
      2    nothing was done: an error in the command, or every picture failed
      130  interrupted
    """
