"""The record of one forward pass: outputs of layers, backward passes and derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam._engine import curvature, relevance_pass, rule_pass
from gradcam._engine import tangent as forward_mode
from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, NONLINEAR, OPS
from gradcam._labels.classes import Labels
from gradcam._results import notes
from gradcam._results.objectives import (
    Objectives,
    probability_layer,
)
from gradcam._results.relevance import Composite, LayerRule
from gradcam._results.rules import Rule, RuleLike, find_rule

_F32 = NDArray[np.float32]


class ForwardPass:
    """What one forward pass of N pictures recorded.

    It never changes: methods and threads can read from one pass in any order.

    Attributes
    ----------
    graph : Graph
        The network: layers, labels, preset.
    core : gradcam._core.Tape
    input : (N, ...) array of float32
        The output of the layer `start`: usually the network's input, (N, C, H, W). Read-only.
    start : str
        The layer that the pass started from, usually ``"input"``.
    size : (height, width)
        Of the network's input.
    """

    def __init__(
        self,
        graph: Graph,
        core: _core.Tape,
        input: _F32,
        *,
        start: str = INPUT,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.graph = graph
        self.core = core
        self.input = input
        self.start = start
        self._latest: tuple[int, _core.Tape] | None = None
        self._kept: tuple[str, _core.Tape] | None = None
        self.size = (input.shape[2], input.shape[3]) if size is None else size

    def __len__(self) -> int:
        return len(self.input)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied: pickle the network and run "
            f"network.forward again, or pickle the explanations"
        )

    def __repr__(self) -> str:
        height, width = self.size
        return f"<{type(self).__name__} of {self.graph.name}: {len(self)} of {height} x {width}>"

    @property
    def labels(self) -> Labels:
        """The network's classes."""
        return self.graph.labels

    @property
    def score_layer(self) -> str:
        """The layer of the class scores."""
        return self.graph.score_layer

    @property
    def probability_layer(self) -> str | None:
        """The layer of the probabilities, if there is one."""
        return self.graph.probability_layer

    @property
    def log_probabilities(self) -> bool:
        """Whether the output of that layer is the logarithm of the probabilities."""
        layer = self.probability_layer
        return layer is not None and self.graph.layers[layer].op == "log_softmax"

    @cached_property
    def scores(self) -> _F32:
        """(N, K) class scores, before the softmax; read-only."""
        scores = self.activation(self.score_layer)
        if scores.ndim != 2:
            raise ValueError(
                f"the output of the last layer {self.score_layer!r} has the shape "
                f"{scores.shape[1:]}: these are not class scores; end the network with a flatten "
                f"layer"
            )
        if scores.shape[1] != len(self.labels):
            raise ValueError(
                f"the network has {scores.shape[1]} scores, but {len(self.labels)} labels"
            )
        if not np.isfinite(scores).all():
            raise ValueError(
                f"the scores of {self.graph.name} are not finite: its values are too large for "
                f"float32 on this input"
            )
        scores.flags.writeable = False
        return scores

    @cached_property
    def probabilities(self) -> _F32:
        """(N, K) class probabilities, 0 to 1; read-only.

        Raises
        ------
        ValueError
            If the network does not end in a softmax, log-softmax or sigmoid.
        """
        probabilities = self.activation(probability_layer(self))
        if self.log_probabilities:
            np.exp(probabilities, out=probabilities)
        probabilities.flags.writeable = False
        return probabilities

    def shape(self, layer: str) -> tuple[int, ...]:
        """Return the shape of one picture's output of `layer`: (C, H, W) or (F,)."""
        return self.graph.shape(layer, self.size)

    def activation(self, layer: str) -> _F32:
        """Return the output of `layer`, (N, C, H, W) or (N, F).

        A map that was not kept is computed again, up to that layer, and the last such map is kept;
        pass ``keep=[layer]`` to :meth:`Network.forward` to keep more.
        """
        if self.graph.names(layer)[0] == self.start:
            return np.array(self.input)
        number = self.graph.index(layer)
        if number in self.core.kept:
            return self.core.activation(number)
        latest = self._latest  # another thread may replace it
        if latest is None or latest[0] != number:
            latest = number, self._again([layer], until=layer, record=False)
            self._latest = latest
        return latest[1].activation(number)

    def backward(
        self,
        layer: str,
        seeds: ArrayLike,
        wanted: Sequence[str],
        rule: RuleLike = "gradient",
    ) -> list[_F32]:
        """Return gradients of ``sum(seeds[s, n] * output of layer[n])`` by the layers wanted.

        Parameters
        ----------
        layer : str
            The layer that the backward pass starts from.
        seeds : (S, N, C, H, W) or (S, N, F) array
            S seeds: each the shape of the batch's output of `layer`.
        wanted : sequence of str
            The pass ends at the lowest of them.
        rule : str, Rule, LayerRule or Composite
            What each layer passes back, see :mod:`gradcam.rules`: "gradient", "guided",
            "deconvnet", or a rule of relevance, under which seeds and results are relevances. The
            latter need the inputs of layers: the forward pass runs again and keeps them, for
            pictures of up to 256 MB at a time. If that is all pictures, the next rule uses them.

        Returns
        -------
        list of (S, N, ...) arrays
            One for each layer wanted; zero if that layer does not feed `layer`.
        """
        names = [wanted] if isinstance(wanted, str) else wanted
        numbers = [self.graph.index(name) for name in names]
        found = find_rule(rule)
        if not isinstance(found, Rule):
            return self._relevance_backward(layer, seeds, names, found)
        if found.core is not None:
            self._note_derivatives(layer, names, found)
            self.graph.prepare_backward(layer, names)
            with self.graph.named_errors():
                return self.core.backward(self.graph.index(layer), seeds, numbers, found.core)
        unknown = ", ".join(op for op in found.steps if op not in OPS)
        if unknown:
            raise ValueError(
                f"rule {found.name!r} names unknown operations, {unknown}; the operations are "
                f"{', '.join(OPS)}"
            )
        return self._python_backward(layer, seeds, names, found)

    def _relevance_backward(
        self, layer: str, seeds: ArrayLike, wanted: Sequence[str], rule: LayerRule | Composite
    ) -> list[_F32]:
        """Run a backward pass under rules of relevance, some pictures at a time."""
        layers, index = self.graph.layers, self.graph.index
        start, *ends = (self.graph.names(name)[0] for name in (layer, *wanted))
        relevance_pass.check_start(self.graph, start, rule)
        rules = relevance_pass.core_rules(self.graph, rule, self.size)
        relevance_pass.add_notes(layers, start, ends)
        given = _shaped("seeds", seeds, (len(self), *self.shape(start)))
        keep = relevance_pass.read_layers(layers, start, ends)
        groups = relevance_pass.pictures_at_a_time(len(self), [self.shape(name) for name in keep])
        parts = []
        for group in groups:
            tape = self._keeping(keep, start, None if len(groups) == 1 else group)
            with self.graph.named_errors():
                parts.append(
                    tape.backward(index(start), given[:, group], list(map(index, ends)), rules)
                )
        return [np.concatenate(part, axis=1) for part in zip(*parts, strict=True)]

    def _keeping(self, keep: Sequence[str], until: str, group: slice | None) -> _core.Tape:
        """Return a pass, up to `until`, of a group of pictures that has kept some outputs.

        That of all pictures (None) is kept for the next rule.
        """
        numbers = {self.graph.index(name) for name in keep}
        latest = self._kept  # another thread may replace it
        for tape in (self.core, latest[1] if latest is not None and latest[0] == until else None):
            if group is None and tape is not None and numbers <= set(tape.kept):
                return tape
        size = None if self.start == INPUT else self.size
        tape = self.graph.run_core(
            self.input if group is None else self.input[group],
            keep,
            until=until,
            start=self.start,
            size=size,
        )
        if group is None:
            self._kept = until, tape
        return tape

    def _note_derivatives(self, layer: str, wanted: Sequence[str], rule: Rule) -> None:
        """Note at which layers a rule of rectifiers does not apply, besides `layer` itself."""
        if rule.core == "gradient" or not self.graph.nonlinear_between(layer, wanted):
            return
        start, *ends = (self.graph.names(name)[0] for name in (layer, *wanted))
        active = rule_pass.between(self.graph.layers, start, ends) - {start}
        ops = {self.graph.layers[name].op for name in active if self.graph.layers[name].inputs}
        taken = [op for op in NONLINEAR if op in ops]
        if taken:
            notes.add(
                f"The rule {rule.name!r} is for rectifiers: at {', '.join(taken)} layers the "
                f"derivative was taken."
            )

    def jvp(self, tangents: ArrayLike, layer: str, start: str = INPUT) -> _F32:
        """Return the Jacobian-vector product: how `layer` changes if `start` changes.

        It is exact for the decisions of this pass (which ReLUs are active, where the maxima are),
        as :meth:`backward` is, whose transpose it is.

        Parameters
        ----------
        tangents : (S, N, ...) array
            S directions: each the shape of the batch's output of `start`.
        layer : str
        start : str
            By default the network's input.

        Returns
        -------
        (S, N, ...) array
            The derivative of the output of `layer` along each direction; zero if `start` does not
            feed `layer`.
        """
        source, end = (self.graph.names(name)[0] for name in (start, layer))
        layers = self.graph.layers
        given = _shaped("tangents", tangents, (len(self), *self.shape(source)))
        needed = rule_pass.needed(layers, end, [source, end])
        groups = self._groups(needed, len(given))
        if len(groups) > 1:
            parts = [self._part(group).jvp(given[:, group], layer, start) for group in groups]
            return np.concatenate(parts, axis=1)
        outputs = self._outputs(needed)
        moved = forward_mode.tangents(layers, outputs, source, given, {end})
        if end in moved:
            return moved[end]
        return np.zeros((len(given), *outputs[end].shape), np.float32)

    def hessian_products(self, objectives: Objectives, direction: ArrayLike) -> _F32:
        """Return the second derivatives of objectives along a direction at the input.

        Parameters
        ----------
        objectives : Objectives
            S for each picture.
        direction : (N, C, H, W) array
            At the input of each picture.

        Returns
        -------
        (S, N, C, H, W) array
            The Hessian of each objective times the direction, exact for the decisions of this pass.

        Raises
        ------
        ValueError
            If the direction does not have the shape of the input, or an objective's second
            derivatives are not known.
        """
        layers, seeds = self.graph.layers, self._by_first_name(objectives.seeds(self))
        wanted = [each for name in seeds for each in rule_pass.needed(layers, name, [self.start])]
        needed = [name for name in layers if name in {*wanted, *seeds, self.start}]
        given = _shaped("direction", np.asarray(direction)[None], self.input.shape)
        shape = (objectives.count, *self.input.shape)
        groups = self._groups(needed, 1 + objectives.count)
        if len(groups) > 1:
            products = np.zeros(shape, np.float32)
            for group in groups:
                some = objectives.part(group)
                part = self._part(group).hessian_products(some, given[0, group])
                products[: some.count, group] = part
            return products
        outputs = self._outputs(needed)
        moved = forward_mode.tangents(layers, outputs, self.start, given, outputs)
        by_layer = {
            alias: each[0] for name, each in moved.items() for alias in self.graph.names(name)
        }
        changes = self._by_first_name(objectives.seed_changes(self, by_layer))
        found = curvature.hessian_products(layers, outputs, self.start, seeds, changes, moved)
        return np.zeros(shape, np.float32) if found is None else found

    def _groups(self, needed: Sequence[str], copies: int) -> list[slice]:
        """Divide the pictures: the outputs needed, and so many changes of each, bound memory."""
        shapes = [self.shape(name) for name in needed]
        return relevance_pass.pictures_at_a_time(len(self), shapes * (1 + copies))

    def _part(self, group: slice) -> ForwardPass:
        """Run the network again on some of the pictures."""
        if self.start == INPUT:
            return self.run(self.input[group])
        return self.run_from(self.start, self.input[group])

    def _by_first_name(self, parts: Mapping[str, _F32]) -> dict[str, _F32]:
        """Return arrays by their layers' first names; those of one layer are added."""
        found: dict[str, _F32] = {}
        for alias, part in parts.items():
            name = self.graph.names(alias)[0]
            found[name] = found[name] + part if name in found else part
        return found

    def _python_backward(
        self, layer: str, seeds: ArrayLike, wanted: Sequence[str], rule: Rule
    ) -> list[_F32]:
        """Run a backward pass under a rule that is written in Python."""
        layers = self.graph.layers
        start, *ends = (self.graph.names(name)[0] for name in (layer, *wanted))
        needed, index = rule_pass.needed(layers, start, [start, *ends]), self.graph.index
        again = self._again(needed)
        outputs = self._read(again, needed)

        def derivative(name: str, gradient: _F32) -> _F32:
            (source,) = layers[name].inputs
            return again.backward(index(name), gradient, [index(source)])[0]

        given = _shaped("seeds", seeds, outputs[start].shape)
        return rule_pass.backward(layers, outputs, start, given, ends, rule, derivative)

    def _outputs(self, layers: Sequence[str]) -> dict[str, _F32]:
        """Return the outputs of several layers from one more forward pass; read-only."""
        return self._read(self._again(layers, record=False), layers)

    def _read(self, core: _core.Tape, layers: Sequence[str]) -> dict[str, _F32]:
        """Return outputs that a pass has kept; read-only."""
        outputs = {name: core.activation(self.graph.index(name)) for name in layers}
        for values in outputs.values():
            values.flags.writeable = False
        return outputs

    def pooled_gradient(
        self, layer: str, seeds: ArrayLike, wanted: str, rule: RuleLike = "gradient"
    ) -> _F32:
        """Return the gradient by one map, averaged over its positions: (S, N, K).

        Parameters
        ----------
        layer, seeds, rule
            As of :meth:`backward`.
        wanted : str
            The layer of the map.
        """
        found = find_rule(rule)
        if not isinstance(found, Rule) or found.core is None:
            return _core.channel_mean(self.backward(layer, seeds, [wanted], found)[0])
        self._note_derivatives(layer, [wanted], found)
        index = self.graph.index
        self.graph.prepare_backward(layer, [wanted], pooled=True)
        with self.graph.named_errors():
            return self.core.pooled_gradient(index(layer), seeds, index(wanted), found.core)

    def run(
        self, input: ArrayLike, keep: str | Sequence[str] = (), *, record: bool = True
    ) -> ForwardPass:
        """Run the same network on other input.

        Parameters
        ----------
        input : (N, C, H, W) array
            Preprocessed.
        keep : sequence of str
            Further layers whose output is kept.
        record : bool
            Whether backward passes are possible.
        """
        values = np.array(input, np.float32, order="C")
        if values.ndim != 4:
            raise ValueError(f"input must be (N, C, H, W), got the shape {values.shape}")
        return ForwardPass(self.graph, run(self.graph, values, listed(keep), record), values)

    def run_from(
        self, layer: str, output: ArrayLike, keep: str | Sequence[str] = (), *, record: bool = True
    ) -> ForwardPass:
        """Run the network from a middle layer on, as if `output` were that layer's output.

        Layers below cannot be read from the new pass, and gradients end at `layer`.

        Parameters
        ----------
        layer : str
            A layer through which everything above it is reached.
        output : (N, C, H, W) or (N, F) array
            Of any number of pictures.
        keep : sequence of str
            Layers above whose output is kept, besides the scores and probabilities.
        record : bool
            Whether backward passes are possible.

        Raises
        ------
        ValueError
            If `output` does not have the layer's shape, or a layer above reads another one below.
        """
        start = self.graph.names(layer)[0]
        values = np.array(output, np.float32, order="C")
        values.flags.writeable = False
        last = list(self.graph.layers)[-1]
        kept = list(dict.fromkeys([*listed(keep), self.score_layer, last]))
        core = self.graph.run_core(values, kept, record=record, start=start, size=self.size)
        return ForwardPass(self.graph, core, values, start=start, size=self.size)

    def _again(
        self, keep: Sequence[str], *, until: str | None = None, record: bool = True
    ) -> _core.Tape:
        """Run the same pass again and keep other layers."""
        size = None if self.start == INPUT else self.size
        return self.graph.run_core(
            self.input, keep, until=until, record=record, start=self.start, size=size
        )


def _shaped(name: str, given: ArrayLike, shape: tuple[int, ...]) -> _F32:
    """Return (S, *shape) values as float32.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    values = np.asarray(given, np.float32)
    if values.shape[1:] != shape:
        raise ValueError(f"{name} must have the shape (S, *{shape}), got {values.shape}")
    return values


def listed(names: str | Sequence[str]) -> list[str]:
    """Return names of layers as a list; a single name is one.

    Raises
    ------
    TypeError
        If it is neither a name nor a sequence.
    """
    if not isinstance(names, Iterable):
        raise TypeError(f"a layer is given by its name (str), or a list of names; got {names!r}")
    return [names] if isinstance(names, str) else list(names)


def run(graph: Graph, input: _F32, keep: Sequence[str] = (), record: bool = True) -> _core.Tape:
    """Run the whole network and keep some outputs.

    Besides `keep`, these are the target layer, the scores, and every layer without a spatial map.
    """
    graph.check_size(input.shape[2:])
    vectors = graph.vectors((input.shape[2], input.shape[3]))
    kept = [graph.target_layer, graph.score_layer, *vectors, *keep]
    input.flags.writeable = False
    return graph.run_core(input, kept, record=record)
