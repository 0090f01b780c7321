"""People of two professions, and networks that learnt a prejudice about their hair.

>>> from gradcam.pictograms import bias
>>> cook = bias.person(3, profession="cook", hair="long")
>>> cook
<Person 3: a cook with long hair>
>>> painter = cook.with_other_tool()  # everything else is the same, pixel by pixel
>>> bool((cook.picture != painter.picture).any(axis=2).mean() < 0.02)
True
"""

from __future__ import annotations

from gradcam.pictograms.bias._people import HAIRS, PROFESSIONS, Person, person

__all__ = ["HAIRS", "PROFESSIONS", "Person", "person"]
