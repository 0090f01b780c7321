"""The command line: ``gradcam explain``, ``predict``, ``compare``, ``ask``, ``caption``,
``sheet``, ``critique``, ``check``, ``evaluate``, ``failures``, ``inside``, ``visualise``, ``edit``,
``adversarial``, ``invert``, ``train-head``, ``methods``, ``demo``, ``page``, ``vote``,
``photographs``, ``scenes``, ``notebooks``, ``info``, ``convert``.

Results go to standard output as soon as they are known, as tables for people or JSON for programs;
warnings and errors go to standard error. matplotlib, Pillow and rich are imported by the commands
that need them, so that ``gradcam --help`` answers at once.
"""

from __future__ import annotations

from gradcam._cli.app import main
from gradcam._cli.ask import ask
from gradcam._cli.caption import caption
from gradcam._cli.check import check
from gradcam._cli.copies import notebooks, photographs
from gradcam._cli.critique import critique
from gradcam._cli.demo import demo
from gradcam._cli.evaluate import evaluate
from gradcam._cli.failures import failures
from gradcam._cli.files import convert, info
from gradcam._cli.inside import inside
from gradcam._cli.inside_activations import activations
from gradcam._cli.inside_filters import filters
from gradcam._cli.inside_map import map_
from gradcam._cli.inside_neighbours import neighbours
from gradcam._cli.inside_patches import patches
from gradcam._cli.inside_units import units
from gradcam._cli.methods import methods
from gradcam._cli.page import page
from gradcam._cli.pictures import compare, explain, predict
from gradcam._cli.scenes import scenes
from gradcam._cli.sheet import sheet
from gradcam._cli.synthesis import adversarial, edit, invert, visualise
from gradcam._cli.train_head import train_head
from gradcam._cli.vote import vote

_INSIDE = (activations, filters, map_, neighbours, patches, units)
"""Commands of the group ``inside``, which they add themselves to."""

_ABOUT_PICTURES = (
    *(predict, explain, compare, ask, caption, sheet, critique, check, evaluate, failures),
    inside,
)
_MAKING_PICTURES = (visualise, edit, adversarial, invert)
_OTHERS = (train_head, methods, demo, page, vote, photographs, scenes, notebooks, info, convert)
for _command in (*_ABOUT_PICTURES, *_MAKING_PICTURES, *_OTHERS):
    main.add_command(_command)

__all__ = ["main"]
