"""Captions of pictures, and why a captioner says them.

>>> from gradcam import captioning, pictograms
>>> captioner = captioning.model()
>>> tape = captioner.network.forward(pictograms.described(7).picture)
>>> caption = captioner.describe(tape)
>>> caption.text
'...'
>>> whole = tape.grad_cam(caption)  # of all its words
>>> word = tape.grad_cam(caption.word(-1))  # of the last one
>>> caption.plot_words(tape)
<Figure ...>

The network of pictures knows nothing of words: a caption, and each word of it, is an objective,
which the recurrent network gives its value and its gradient. The captioner is that of neuraltalk2
(Karpathy & Fei-Fei 2015), which the Grad-CAM paper explains (Selvaraju et al. 2017, section 7.1).
"""

from __future__ import annotations

from gradcam.captioning._caption import Caption
from gradcam.captioning._captioner import Captioner, load, model
from gradcam.captioning._words import Words

__all__ = ["Caption", "Captioner", "Words", "load", "model"]
