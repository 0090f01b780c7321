"""Render the sprite sheet that every scene is composed from.

    python gradcam/pictograms/_render_sprites.py NotoColorEmoji.ttf

Writes ``sprites.png``, one cell of 136 x 128 pixels a glyph, and ``sprites.json``, which
says what stands in which cell. Both are shipped, so nobody needs the font to use the
package; this script records where the sheet came from. The glyphs are those of Noto Color
Emoji (SIL Open Font License 1.1, see ``LICENSE-NOTO.txt``; Debian packages the font as
``fonts-noto-color-emoji``). Needs Pillow with Raqm, for the glyphs that are ligatures.

Synsets and labels are ImageNet's where one of its 1000 classes fits the glyph. ``dog``,
``cat`` and ``elephant`` are WordNet's broader synsets: the glyphs show no single breed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL = (136, 128)
COLUMNS = 10
FONT_SIZE = 109  # the one size of the font's bitmaps

CLASSES: list[tuple[str, str, str]] = [
    ("n01855672", "goose", "\U0001fabf"),
    ("n01944390", "snail", "🐌"),
    ("n01983481", "American_lobster", "🦞"),
    ("n02007558", "flamingo", "🦩"),
    ("n02056570", "king_penguin", "🐧"),
    ("n02084071", "dog", "🐕 🐶 🦮 🐩 🐕‍🦺"),
    ("n02121808", "cat", "🐈 🐱 😸 🐈‍⬛"),
    ("n02128385", "leopard", "🐆"),
    ("n02129165", "lion", "🦁"),
    ("n02129604", "tiger", "🐅 🐯"),
    ("n02165456", "ladybug", "🐞"),
    ("n02279972", "monarch", "🦋"),
    ("n02391049", "zebra", "🦓"),
    ("n02437312", "Arabian_camel", "🐪"),
    ("n02503517", "elephant", "🐘"),
    ("n02510455", "giant_panda", "🐼"),
    ("n02690373", "airliner", "✈️ 🛫 🛬"),
    ("n02701002", "ambulance", "🚑"),
    ("n03272010", "electric_guitar", "🎸"),
    ("n03345487", "fire_engine", "🚒"),
    ("n03590841", "jack-o'-lantern", "🎃"),
    ("n03594945", "jeep", "🚙"),
    ("n03792782", "mountain_bike", "🚲"),
    ("n03930630", "pickup", "🛻"),
    ("n04037443", "racer", "🏎️"),
    ("n04266014", "space_shuttle", "🚀"),
    ("n04310018", "steam_locomotive", "🚂"),
    ("n04398044", "teapot", "\U0001fad6"),
    ("n04467665", "trailer_truck", "🚛"),
    ("n04507155", "umbrella", "☂️ ☔"),
    ("n04612504", "yawl", "⛵"),
    ("n07697313", "cheeseburger", "🍔"),
    ("n07734744", "mushroom", "🍄"),
    ("n07753275", "pineapple", "🍍"),
    ("n07873807", "pizza", "🍕"),
    ("n09472597", "volcano", "🌋"),
]

# Shapes that belong to no class: the network must learn to give them nothing.
DISTRACTORS = "⭐ 🎲 💎 🔑 🎁 ⚓ 🪨 🍁 🌵 🧲 🎩 🪑 🔔 🎈"

# A runway, or drops of rain, stand beside these: keep the glyph's largest piece alone.
LARGEST_PIECE = {"🛫", "🛬", "☔"}


def largest_piece(glyph: Image.Image) -> Image.Image:
    """Return `glyph` with all but its largest connected piece made transparent."""
    pieces = glyph.getchannel("A").point(lambda a: 1 if a >= 64 else 0)
    found = 1
    for y in range(pieces.height):
        for x in range(pieces.width):
            if pieces.getpixel((x, y)) == 1:
                found += 1
                ImageDraw.floodfill(pieces, (x, y), found)
    counts = pieces.histogram()
    largest = max(range(2, found + 1), key=lambda piece: counts[piece])
    keep = pieces.point(lambda piece: 255 if piece == largest else 0)
    alone = Image.new("RGBA", glyph.size)
    alone.paste(glyph, mask=keep)
    return alone


def render(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Return one glyph as an RGBA picture of `CELL`'s size."""
    # A ligature that the font lacks would come out as two glyphs side by side.
    if font.getlength(glyph) > CELL[0] + 1:
        raise SystemExit(
            f"the font (or a Pillow built without Raqm) cannot draw {glyph!r} as one glyph; "
            "use Noto Color Emoji 2.042 or newer and a Pillow where features.check('raqm') holds"
        )
    picture = Image.new("RGBA", CELL)
    ImageDraw.Draw(picture).text((0, 0), glyph, font=font, embedded_color=True)
    return largest_piece(picture) if glyph in LARGEST_PIECE else picture


def main() -> None:
    """Render the sheet and its index."""
    parser = argparse.ArgumentParser(description="Render the sprite sheet of gradcam.pictograms.")
    parser.add_argument("font", type=Path, help="path of NotoColorEmoji.ttf")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write")
    arguments = parser.parse_args()
    font = ImageFont.truetype(str(arguments.font), FONT_SIZE)

    glyphs: list[str] = []

    def cells(text: str) -> list[int]:
        first = len(glyphs)
        glyphs.extend(text.split())
        return list(range(first, len(glyphs)))

    index = {
        "cell": CELL,
        "columns": COLUMNS,
        "classes": [
            {"synset": synset, "label": label, "cells": cells(text)}
            for synset, label, text in CLASSES
        ],
        "distractors": cells(DISTRACTORS),
    }
    rows = -(-len(glyphs) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * CELL[0], rows * CELL[1]))
    for cell, glyph in enumerate(glyphs):
        row, column = divmod(cell, COLUMNS)
        sheet.paste(render(glyph, font), (column * CELL[0], row * CELL[1]))
    sheet.save(arguments.out / "sprites.png", optimize=True)
    (arguments.out / "sprites.json").write_text(json.dumps(index, indent=1) + "\n")
    print(f"{len(glyphs)} glyphs of {len(CLASSES)} classes and {len(DISTRACTORS.split())} others")


if __name__ == "__main__":
    main()
