"""Python's side of the comparison with the live page's core: ``python web_reference.py FOLDER``.

Runs in a process of its own, whose environment chooses the level, and writes networks, pictures and
results for web_core.mjs.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import random_networks
from PIL import Image

import gradcam
from gradcam import FlatMapWarning, Network, imagenet, pictograms
from gradcam._engine.layers import OPS
from gradcam._page.networks import describe
from gradcam._pictures.image import read_picture

METHODS = (
    *("saliency", "deconvnet", "guided_backprop"),
    *("grad_cam", "guided_grad_cam", "counterfactual"),
)
OF_A_LAYER = METHODS[3:]
SCENES, RANDOM = 10, 40


class Folder:
    """The files of all cases."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: list[dict[str, Any]] = []
        self.count = 0

    def add_network(self, name: str, network: Network) -> None:
        described = describe(network)
        (self.path / f"{name}.json").write_text(json.dumps(described.description))
        (self.path / f"{name}.bin").write_bytes(described.weights)

    def file(self, values: np.ndarray) -> str:
        self.count += 1
        name = f"{self.count}.bin"
        values.tofile(self.path / name)
        return name

    def add_case(self, name: str, network: str, picture: np.ndarray, **rest: Any) -> None:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        rgba = np.concatenate([picture, opaque], axis=2)
        files = {key: self.file(value) for key, value in rest.pop("results").items()}
        case = {"name": name, "network": network, "picture": self.file(rgba), "files": files}
        self.cases.append(case | rest)


def results(tape: gradcam.Tape, target: int, methods: Any, layer: str) -> dict[str, np.ndarray]:
    """Return what the page is to find of one picture, by name."""
    found = {"scores": np.asarray(tape.scores), f"activation {layer}": tape.activation(layer)}
    if tape.graph.probability_layer is not None:
        found["probabilities"] = np.asarray(tape.probabilities)
    for method in methods:
        options = {"layer": layer} if method in OF_A_LAYER else {}
        explanation = tape.explain(method, target, **options)
        found[f"map {method}"] = explanation.map
        found[f"raw {method}"] = explanation.raw
        if method == "grad_cam":
            found["alphas"] = explanation.weights
    return found


def add_picture(
    folder: Folder,
    name: str,
    network: Network,
    picture: np.ndarray,
    layer: str,
    also: tuple[str, ...] = (),
) -> None:
    """Add a case of all methods, of the class with the highest score.

    The page keeps the layers `also`; another one is computed again when it is asked for.
    """
    key = name.split()[0]
    tape = network.forward(picture, size="original")
    target = int(np.argmax(tape.scores))
    found = results(tape, target, METHODS, layer)
    folder.add_case(name, key, picture, target=target, layer=layer, results=found, also=also)


def add_built_in(folder: Folder) -> None:
    """Add the networks of the page, on stored scenes and photographs."""
    scenes = sorted(Path(pictograms.__file__).parent.glob("examples/*.png"))[:SCENES]
    layers = ["pool3", "conv4_2", "relu1_1", "relu5_1"]
    strong, weak = pictograms.model(), pictograms.weak_model()
    folder.add_network("pictograms", strong)
    folder.add_network("weak", weak)
    for number, path in enumerate(scenes):
        scene = np.asarray(Image.open(path).convert("RGB").resize((224, 224)))
        layer = layers[number - SCENES] if number >= SCENES - len(layers) else strong.target_layer
        also = (layer,) if number % 2 else ()
        add_picture(folder, f"pictograms {path.stem} {layer}", strong, scene, layer, also)
        if number < 2:
            add_picture(folder, f"weak {path.stem}", weak, scene, weak.target_layer)
    if imagenet.is_installed():
        network = imagenet.model()
        folder.add_network("imagenet", network)
        photograph = Image.fromarray(read_picture(imagenet.example("cat"))).resize((224, 224))
        picture = np.asarray(photograph)
        add_picture(folder, "imagenet cat", network, picture, network.target_layer)


def add_random(folder: Folder) -> set[str]:
    """Add small networks that have every operation; return the operations."""
    operations: set[str] = set()
    seed = count = 0
    while count < RANDOM:
        seed += 1
        case = random_networks.random_case(seed)
        if case.shape[1] != 3 or len(network_shape(case)) != 1:
            continue
        count += 1
        operations |= case.operations
        classes = network_shape(case)[0]
        network = Network.from_layers(
            case.layers, labels=[f"class {i}" for i in range(classes)], preset="0..1"
        )
        network.size = case.shape[2:]
        folder.add_network(f"random {seed}", network)
        pixels = np.random.default_rng(seed).integers(0, 256, (*case.shape[2:], 3), np.uint8)
        tape = network.forward(pixels, size="original")
        found = {"scores": np.asarray(tape.scores)}
        for method in METHODS[:3]:
            found[f"raw {method}"] = tape.explain(method, 0).raw
        folder.add_case(
            f"random {seed}",
            f"random {seed}",
            pixels,
            target=0,
            layer="input",
            results=found,
            also=[],
        )
    return operations


def network_shape(case: random_networks.Case) -> tuple[int, ...]:
    """Return the shape of a random network's scores."""
    assembled = case.assemble()
    return assembled.core.shapes(*case.shape[2:])[assembled.names.index(assembled.score_layer)]


def main() -> None:
    warnings.simplefilter("ignore", FlatMapWarning)
    folder = Folder(Path(sys.argv[1]))
    add_built_in(folder)
    missing = set(OPS) - add_random(folder)
    if missing:
        raise SystemExit(f"no random network has {', '.join(sorted(missing))}: take more of them")
    (folder.path / "cases.json").write_text(json.dumps(folder.cases))


if __name__ == "__main__":
    main()
