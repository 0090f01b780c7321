"""The sheet that users get: its numbers, its figures and its page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

from gradcam._methods.passes import integer
from gradcam._sheet import figure, files, web
from gradcam._sheet.content import Content

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class ClassSheet(Content):
    """Pictures with their most probable classes and a map for each; of `gradcam.class_sheet`.

    Attributes
    ----------
    network, method : str
        Their names, for people.
    rows : tuple of SheetRow
        In the order of the pictures.
    skipped : tuple of (name, exception)
        The pictures that could not be read, or whose truth is wrong.
    about : str
        What the network knows, if users should be told.
    """

    @property
    def pages(self) -> int:
        """How many figures :meth:`plot` draws: one for each five pictures."""
        return figure.pages(len(self))

    def plot(self, page: SupportsIndex = 1) -> Figure:
        """Draw five pictures: a row for each, with the picture and a map for each class.

        Parameters
        ----------
        page : int
            1 to :attr:`pages`.

        Raises
        ------
        ValueError, TypeError
            If there is no such page.
        """
        return figure.draw(self, _checked(page, self.pages))

    def to_html(self, page: SupportsIndex = 1) -> str:
        """Return the sheet as a page of HTML that needs no other file.

        It has no scripts and loads nothing; pictures are part of it, smaller if there are many. Of
        each picture the classes are given as a list that can be copied, :attr:`SheetRow.decoded`.

        Parameters
        ----------
        page : int
            Of more than 100 pictures, which hundred: from 1 on.

        Raises
        ------
        ValueError, TypeError
            If there is no such page.
        """
        return web.page(self, _checked(page, web.pages(len(self))))

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the sheet as .png or .html: each file whole or not at all.

        Parameters
        ----------
        path : path
            ``sheet.png`` holds five pictures, and ``sheet-2.png`` the next five; ``sheet.html``
            holds 100. Earlier files are replaced; a warning names further pages of an earlier,
            longer sheet, which stay.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        ValueError
            If the suffix is another one, or the sheet is empty.
        """
        return files.save(self, Path(path))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"<ClassSheet of {self.network}, {self.method}: {len(self.rows)} pictures{skipped}>"


def _checked(page: SupportsIndex, pages: int) -> int:
    """Return the number of a page, having checked it."""
    number = integer("page", page)
    if not pages:
        raise ValueError("the sheet is empty: no picture could be read")
    if not 1 <= number <= pages:
        raise ValueError(f"page: expected 1 to {pages}, got {number}")
    return number
