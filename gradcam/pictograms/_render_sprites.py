"""Render the sprite sheet, which contains the pictograms of all scenes.

    python gradcam/pictograms/_render_sprites.py NotoColorEmoji.ttf

Writes ``sprites.png``, with one cell of 136 x 128 pixels per glyph, and ``sprites.json``, the
contents of the cells. Both files ship with the package, which does not need the font. The glyphs
are from Noto Color Emoji (SIL Open Font License 1.1, see ``LICENSE-NOTO.txt``; Debian packages the
font as ``fonts-noto-color-emoji``). Needs Pillow with Raqm, because some glyphs are ligatures.

Synsets and labels are ImageNet's if one of its 1000 classes matches the glyph. ``dog``, ``cat``
and ``elephant`` are broader synsets of WordNet, because the glyphs do not show a single breed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL = (136, 128)
COLUMNS = 10
FONT_SIZE = 109  # the only size of the font's bitmaps

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

# Shapes that belong to no class, which the network must learn to ignore.
DISTRACTORS = "⭐ 🎲 💎 🔑 🎁 ⚓ 🪨 🍁 🌵 🧲 🎩 🪑 🔔 🎈"

# These glyphs also show a runway or drops of rain: only their largest segment is kept.
LARGEST_SEGMENT_ONLY = {"🛫", "🛬", "☔"}


def largest_segment(glyph: Image.Image) -> Image.Image:
    """Return `glyph` with all but its largest connected segment transparent."""
    segments = glyph.getchannel("A").point(lambda a: 1 if a >= 64 else 0)
    last = 1  # the number of the last segment; 0 is transparent, 1 not yet in a segment
    for y in range(segments.height):
        for x in range(segments.width):
            if segments.getpixel((x, y)) == 1:
                last += 1
                ImageDraw.floodfill(segments, (x, y), last)
    counts = segments.histogram()
    largest = max(range(2, last + 1), key=lambda segment: counts[segment])
    mask = segments.point(lambda segment: 255 if segment == largest else 0)
    result = Image.new("RGBA", glyph.size)
    result.paste(glyph, mask=mask)
    return result


def render(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Return one glyph as an RGBA picture of the size of a cell."""
    # A ligature that is missing in the font would be drawn as two glyphs.
    if font.getlength(glyph) > CELL[0] + 1:
        raise SystemExit(
            f"the font (or a Pillow built without Raqm) cannot draw {glyph!r} as one glyph; "
            "use Noto Color Emoji 2.042 or newer and a Pillow with Raqm (features.check('raqm'))"
        )
    picture = Image.new("RGBA", CELL)
    ImageDraw.Draw(picture).text((0, 0), glyph, font=font, embedded_color=True)
    return largest_segment(picture) if glyph in LARGEST_SEGMENT_ONLY else picture


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
    distractors = len(DISTRACTORS.split())
    print(f"{len(glyphs)} glyphs: {len(CLASSES)} classes and {distractors} distractors")


if __name__ == "__main__":
    main()
