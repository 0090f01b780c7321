"""Draw the example pictures of the package, and write a file of their objects.

    python -m gradcam.pictograms._render_examples

Each example is a scene whose classes, seed and size were chosen by hand. For each file name,
``examples/examples.json`` contains the seed, the size, and the class and box of every object, from
the back to the front.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from gradcam.pictograms._scenes import scene

EXAMPLES: dict[str, tuple[int, tuple[str, ...], tuple[int, int]]] = {
    # name: (seed, classes from the back to the front, (height, width))
    "airliner_and_space_shuttle": (636, ("airliner", "space_shuttle"), (224, 320)),
    "cat_and_dog": (195, ("dog", "cat"), (224, 224)),
    "cat_dog_and_ladybug": (362, ("cat", "dog", "ladybug"), (240, 320)),
    "elephant_and_zebra": (1019, ("elephant", "zebra"), (320, 480)),
    "fire_engine_and_ambulance": (55, ("fire_engine", "ambulance"), (300, 400)),
    "flamingo": (263, ("flamingo",), (224, 224)),
    "goose_and_yawl": (103, ("yawl", "goose"), (240, 360)),
    "lion_and_camel": (623, ("Arabian_camel", "lion"), (240, 320)),
    "mushroom_and_jack_o_lantern": (16, ("mushroom", "jack-o'-lantern"), (224, 224)),
    "panda_monarch_pineapple_and_umbrella": (
        1233,
        ("umbrella", "giant_panda", "monarch", "pineapple"),
        (224, 224),
    ),
    "penguin_and_snail": (524, ("king_penguin", "snail"), (224, 224)),
    "pizza_and_cheeseburger": (256, ("pizza", "cheeseburger"), (224, 224)),
    "steam_locomotive_and_truck": (34, ("steam_locomotive", "trailer_truck"), (320, 240)),
    "tiger_and_leopard": (199, ("tiger", "leopard"), (224, 224)),
    "volcano_and_pickup": (1528, ("volcano", "pickup"), (240, 320)),
}


def render(folder: Path) -> None:
    """Write the pictures and ``examples.json`` into `folder`."""
    truth = {}
    for name, (seed, classes, size) in EXAMPLES.items():
        drawn = scene(seed, classes=classes, size=size)
        Image.fromarray(drawn.picture).save(folder / f"{name}.png", optimize=True)
        truth[f"{name}.png"] = {
            "seed": seed,
            "size": size,
            "objects": [{"index": o.index, "label": o.label, "box": o.box} for o in drawn.objects],
        }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(t)}" for name, t in truth.items())
    (folder / "examples.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    render(Path(__file__).parent / "examples")
