"""A model as Keras describes it: a tree of layers, in which a nested model is a layer with layers.

What the classes and arguments mean is the importer's matter (:mod:`gradcam._importers.keras`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """A layer of a model, or a model.

    Attributes
    ----------
    class_name : str
        Empty if the configuration is damaged here.
    name : str
        Unique among the layers of its model.
    config : mapping of str to object
        The layer's arguments: numbers, strings, lists and dicts of JSON.
    module : str
        The Python module of its class, if the file says it.
    calls : tuple of object
        The ``inbound_nodes``: for each call of the layer, the outputs of other layers that it
        reads, as Keras 2 (a list) or Keras 3 (a dict) writes them.
    group : str
        Keras 3's group of the layer's variables: "layers/conv2d_1".
    layers : tuple of KerasLayer or None
        Of a model; None for any other layer.
    tensors : tuple of str
        The layer's variables in Keras's order: names in
        :attr:`gradcam._weights.tensors.Weights.tensors`.
    """

    class_name: str
    name: str
    config: Mapping[str, object]
    module: str = ""
    calls: tuple[object, ...] = ()
    group: str = ""
    layers: tuple[KerasLayer, ...] | None = None
    tensors: tuple[str, ...] = ()

    def leaves(self) -> Iterator[KerasLayer]:
        """Yield the layers that are not models, with those of nested models in their places."""
        for layer in self.layers or ():
            if layer.layers is None:
                yield layer
            else:
                yield from layer.leaves()

    def with_tensors(self, tensors: Mapping[str, tuple[str, ...]]) -> KerasLayer:
        """Return the layer with the tensors of each layer, given by the layers' groups."""
        layers = self.layers
        if layers is not None:
            layers = tuple(layer.with_tensors(tensors) for layer in layers)
        return replace(self, layers=layers, tensors=tensors.get(self.group, ()))


@dataclass(frozen=True, eq=False)
class KerasModel:
    """A Keras model as a file or a live model describes it.

    Attributes
    ----------
    root : KerasLayer
        The model itself.
    version : str
        Of Keras, "3.15.1"; empty if the file does not say it.
    external : bool
        Whether tensors are stored in other files; never for Keras.
    kind : str
        The importer's name.
    """

    root: KerasLayer
    version: str = ""
    external: bool = False
    kind: str = "keras"
