"""gradcam.from_torch: a network from a live module of PyTorch.

The module is exported by ``torch.export``, which runs it once without computing numbers, and the
exported program becomes layers (:mod:`gradcam._importers.aten`). Then both are run on the example
and on random pictures, and a network that differs from its module is refused.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.assembly import Convolution
from gradcam._engine.network import Network
from gradcam._importers.aten import live
from gradcam._importers.aten.outputs import chosen
from gradcam._importers.imported import DEFAULT_SIZE, SIZE_ASSUMED, SIZES_ASSUMED, Imported
from gradcam._importers.importing import import_graph
from gradcam._labels.classes import Labels
from gradcam._models.live import LOW_PRECISION, TOLERANCE, difference, output_of, random_input
from gradcam._models.loading import Head, Options, network_of
from gradcam._models.recognition import recognised
from gradcam._pictures.presets import Preset
from gradcam._text import printable
from gradcam._weights.program import Program, Script
from gradcam._weights.storage import Storage
from gradcam._weights.tensors import Weights, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn

_OWN_HOOKS = "torch.nn.utils"
"""Hooks of this package compute weights (weight_norm, spectral_norm); they stay in use."""

_MODELS = "torchvision.models"
"""Where the classes are that have torchvision's usual preset."""

_LARGER = 17
"""Pixels by which the input of the second comparison is larger, so that sizes become odd."""


def from_torch(
    module: nn.Module | torch.export.ExportedProgram,
    example: torch.Tensor | NDArray[np.generic] | Sequence[int] | tuple[torch.Tensor] | None = None,
    *,
    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
    preset: str | Preset | None = None,
    conv: Convolution | None = None,
    fc_dtype: Storage = "float32",
    head: Head | None = None,
    name: str | None = None,
    output: str | None = None,
    target_layer: str | None = None,
) -> Network:
    """Return the network that a module of PyTorch computes, in evaluation mode.

    The module is left as it is: its mode, its hooks, its device and its gradients. The network
    shares the memory of parameters that are contiguous float32 tensors of the CPU; others are
    copied. Convolutions and batch normalisations are combined when the network is made: after
    training has gone on, make a new one.

    Parameters
    ----------
    module : torch.nn.Module
        Any module of convolutions, poolings, activations and the like whose forward pass does not
        depend on the values of the picture; also a module of TorchScript, or an ExportedProgram.
    example : tensor, array, or shape
        Pictures as the module takes them, (N, C, H, W), also in a tuple; or the shape alone:
        (1, 3, 224, 224). An ExportedProgram has its own: leave it out.
    labels, conv, fc_dtype, head
        As of :func:`gradcam.load`.
    preset : str or Preset, optional
        How pictures become input. By default what the module says (models of timm do), and the
        usual one for classes of torchvision.models and for an ExportedProgram of the structure of
        one, which ``network.about`` says; else unknown: the network takes arrays of input values,
        and pictures need a preset.
    name : str, optional
        For messages; by default the name of the module's class.
    output : str, optional
        Which result holds the class scores, if there are several: a key, or a number as a string.
        By default "logits", if there is one.
    target_layer : str, optional
        Grad-CAM's layer. By default the last map with more than one position before global pooling
        or flattening. Layers have the paths of their modules: "layer4.1.conv2".

    Returns
    -------
    Network

    Raises
    ------
    gradcam.WeightsError
        If the module uses an operation that is not supported, is not a classifier of pictures, or
        cannot be exported; the message names the module and the operation. Also if the module
        refuses the example, or the network gives other scores than the module. It is a ValueError.
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If the example or an option is invalid.

    Notes
    -----
    Module and network are compared on the example, on two random pictures of its size, and on two
    that are 17 pixels larger. If they agree on these too, other sizes than the example's are
    accepted. An ExportedProgram is compared on random pictures of its size. Where PyTorch cannot
    run the module or the program here, nothing is compared, and ``network.about`` says so.
    """
    options = Options(labels, preset, conv, fc_dtype, head, True, name, None, output, target_layer)
    options.check()
    try:
        import torch
    except ImportError:
        raise ImportError("gradcam.from_torch needs PyTorch: pip install torch") from None
    if isinstance(module, torch.export.ExportedProgram):
        if example is not None:
            raise TypeError("example: an ExportedProgram has its own; leave it out")
        return _of_program(module, options)
    module = _unwrapped(module)
    title = name or type(module).__name__
    x = _example(example, module)
    with _in_evaluation(module) as dropped, torch.no_grad():
        try:
            return _network(module, x, options, title, dropped)
        except WeightsError as error:
            raise WeightsError(f"{title}: {error}") from error


def _of_program(program: Any, options: Options) -> Network:
    import torch

    weights = live.weights_of(program, "a program of torch.export")
    imported = recognised(import_graph(weights, options.choices()))
    network = network_of(imported, options)
    assert isinstance(weights.graph, Program)
    (shape,) = weights.graph.inputs.values()
    height, width = shape[2:]
    usual = network.size or DEFAULT_SIZE
    values = random_input(imported, (height or usual[0], width or usual[1]))
    module = program.module()
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    x = _like(np.resize(values, (shape[0] or 2, *values.shape[1:])), like)
    comparison = _Comparison(network, imported, module, options)
    with torch.no_grad():
        try:
            module(x.clone())
        except Exception as error:  # it may take other sizes only
            _say_not_compared(network, "program", error)
        else:
            _compare(comparison, x)
    return network


def _network(module: Any, x: Any, options: Options, title: str, dropped: Sequence[str]) -> Network:
    size = (x.shape[2], x.shape[3])
    options = replace(options, size=size)
    _run_once(module, x)
    weights, notes = _weights(module, x)
    imported = import_graph(weights, options.choices())
    if dropped:
        notes.append(f"The forward hooks of {', '.join(map(repr, dropped))} were not followed.")
    own = not type(module).__module__.startswith(_MODELS)
    assumed = (SIZE_ASSUMED.format(*size), SIZES_ASSUMED)  # other sizes are compared too
    imported = replace(
        imported,
        name=title,
        title=f"a live module of PyTorch, {type(module).__name__}",
        library="" if own else imported.library,
        preset=_preset(module),
        labels=_labels(module, imported.classes),
        size=size,
        notes=(*(note for note in imported.notes if note not in assumed), *notes),
    )
    imported = recognised(imported)
    network = network_of(imported, options)
    comparison = _Comparison(network, imported, module, options)
    if _compare(comparison, x) and _compare(comparison, _like(random_input(imported, size), x)):
        network.fixed = False
        network.fixed = not _fits_other_sizes(comparison, x)
    return network


def _run_once(module: Any, x: Any) -> None:
    """Raise WeightsError if the module does not take the example."""
    try:
        module(x.clone())
    except NotImplementedError:  # of operations that PyTorch lacks for 16 bits on a CPU
        return
    except Exception as error:  # of PyTorch and the module, of many types
        raise WeightsError(
            f"example: the module refuses two pictures of shape {tuple(x.shape[1:])}: "
            f"{_sentence(error)}"
        ) from error


# ------------------------------------------------------------------------ the module


def _unwrapped(module: object) -> Any:
    """Return the module itself, without what distributes or compiles it."""
    import torch

    for _ in range(4):
        if isinstance(module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
    if isinstance(module, torch.nn.Module):
        return module
    hint = ": a class; pass a module that was made of it" if isinstance(module, type) else ""
    if isinstance(module, (str, os.PathLike)):
        hint = ": files are loaded with gradcam.load"
    if isinstance(module, Mapping):
        hint = ": a dict of weights is loaded with gradcam.load"
    raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}{hint}")


def _example(example: Any, module: Any) -> Any:
    """Return the example as two pictures of the module's type, on its device."""
    import torch

    if isinstance(example, (tuple, list)) and len(example) == 1 and hasattr(example[0], "shape"):
        (example,) = example
    if example is None:
        raise TypeError(
            "example: missing; pass pictures as the module takes them, or their shape, such as "
            "(1, 3, 224, 224)"
        )
    if isinstance(example, (tuple, list, torch.Size)):
        example = _random(example)
    if isinstance(example, np.ndarray) and example.dtype.kind in "biuf":
        example = torch.from_numpy(example.astype(np.float64))
    if not isinstance(example, torch.Tensor):
        raise TypeError(
            f"example: expected a tensor, an array or a shape, got {type(example).__name__}"
        )
    if example.ndim != 4 or 0 in example.shape:
        raise ValueError(
            f"example: expected pictures of shape (N, channels, height, width), got shape "
            f"{tuple(example.shape)}"
        )
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    example = example.detach().to(like.device, like.dtype)
    if not bool(torch.isfinite(example).all()):
        raise ValueError("example: its values must be finite; it holds NaN or infinite ones")
    return torch.cat([example, example])[:2].contiguous()


def _random(shape: Sequence[object]) -> Any:
    """Return random pictures of a shape; the state of PyTorch's generator is not changed."""
    import torch

    if not all(type(n) is int and n > 0 for n in shape) or len(shape) != 4:
        raise ValueError(
            f"example: expected a shape such as (1, 3, 224, 224), got {tuple(shape)!r:.100}"
        )
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*cast("Sequence[int]", shape), generator=generator)


@contextlib.contextmanager
def _in_evaluation(module: Any) -> Iterator[list[str]]:
    """Set evaluation mode and take hooks away; afterwards everything is as it was.

    Yields the paths of the modules whose forward hooks are not in use.
    """
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    kept: list[tuple[Any, dict[str, object]]] = []
    dropped: list[str] = []
    scripted = _is_script(module)
    for path, each in module.named_modules():
        state: dict[str, object] = {"training": each.training}
        each.training = False
        for table in () if scripted else tables:
            hooks = each.__dict__.get(table)
            if not hooks:
                continue
            state[table] = hooks
            own = {key: hook for key, hook in hooks.items() if _is_own(hook)}
            each.__dict__[table] = type(hooks)(own)
            if len(own) < len(hooks) and table.startswith("_forward"):
                dropped.append(path)
        kept.append((each, state))
    try:
        yield dropped
    finally:
        for each, state in kept:
            each.training = state.pop("training")
            each.__dict__.update(state)


def _is_own(hook: object) -> bool:
    return str(getattr(type(hook), "__module__", "")).startswith(_OWN_HOOKS) or str(
        getattr(hook, "__module__", "")
    ).startswith(_OWN_HOOKS)


def _is_script(module: object) -> bool:
    import torch

    return isinstance(module, torch.jit.ScriptModule)


# ------------------------------------------------------------------------ export


def _weights(module: Any, x: Any) -> tuple[Weights, list[str]]:
    """Return the module as a program and its parameters, and notes for the user."""
    import torch

    if _is_script(module):
        return Weights({}, format="TorchScript", graph=Script(module)), []
    try:
        exported = torch.export.export(module, (x,))
    except Exception as error:  # PyTorch raises errors of many types
        reason = _sentence(error)
        traced = _traced(module, x)
        if traced is None:
            raise WeightsError(
                f"torch.export cannot follow the module ({reason}): only a forward pass that does "
                f"not depend on the values of the picture can be explained"
            ) from error
        note = (
            f"torch.export cannot follow the module ({reason}); it was traced with the example "
            f"instead."
        )
        return Weights({}, format="TorchScript", graph=Script(traced)), [note]
    return live.weights_of(exported, "a live module of PyTorch"), []


def _traced(module: Any, x: Any) -> Any:
    """Return the module traced by torch.jit; None if that fails or may have fixed a branch."""
    import torch

    jit: Any = torch.jit
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            traced = jit.trace(module, (x.clone(),), check_trace=False)
        except Exception:
            return None
    if any(issubclass(each.category, jit.TracerWarning) for each in caught):
        return None
    return traced


def _sentence(error: BaseException) -> str:
    """Return the first line of an error of PyTorch that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    text = next((line for line in lines if line), type(error).__name__)
    return printable(f"{text:.200}").rstrip(".")


# ------------------------------------------------------------------------ what the module says


def _labels(module: Any, classes: int) -> Labels | None:
    """Return the labels in the configuration of a model of transformers."""
    found = getattr(getattr(module, "config", None), "id2label", None)
    if not isinstance(found, dict) or sorted(found) != list(range(classes)):
        return None
    names = [str(found[index]) for index in range(classes)]
    return None if names == [f"LABEL_{index}" for index in range(classes)] else Labels(names)


def _preset(module: Any) -> Preset | None:
    """Return the preset in the configuration of a model of timm."""
    found = getattr(module, "pretrained_cfg", None)
    if not isinstance(found, dict) or len(found.get("mean") or ()) != 3:
        return None
    size = found.get("input_size") or (3, 224, 224)
    crop = found.get("crop_pct") or 0.875
    interpolation = found.get("interpolation")
    if size[0] != 3 or interpolation not in ("bilinear", "bicubic") or len(found["std"]) != 3:
        return None
    return Preset(
        "timm",
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        size=size[1],
        shorter_side=int(size[1] / crop),
        interpolation=interpolation,
    )


# ------------------------------------------------------------------------ comparison


@dataclass(frozen=True)
class _Comparison:
    """What is compared: a network and its module."""

    network: Network
    imported: Imported
    module: Any
    options: Options

    def difference(self, x: Any) -> float:
        """Return the largest difference for an input, relative to the largest score."""
        leaves = list(_leaves(self.module(x.clone())))  # some modules change their input
        _, tensor = chosen(leaves, self.options.choices())
        theirs = np.asarray(tensor.detach().double().cpu())
        values = x.detach().float().cpu().numpy()
        return difference(output_of(self.network, self.imported, values), theirs)

    def tolerance(self, x: Any) -> float:
        """Return the largest difference that is accepted."""
        low = "16" in str(x.dtype) or self.options.fc_dtype != "float32"
        return LOW_PRECISION if low else TOLERANCE


def _leaves(result: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the tensors of a result with their names, as the importer calls them."""
    import torch

    if isinstance(result, torch.Tensor):
        yield prefix, result
        return
    if isinstance(result, Mapping):
        pairs = [(str(key), item) for key, item in result.items()]
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        pairs = list(zip(result._fields, result, strict=True))
    elif isinstance(result, (list, tuple)):
        pairs = [(str(number), item) for number, item in enumerate(result)]
    else:
        pairs = []
    for key, item in pairs:
        yield from _leaves(item, f"{prefix}.{key}" if prefix else key)


def _compare(comparison: _Comparison, x: Any) -> bool:
    """Raise WeightsError if the network's scores are not the module's; False: it does not run."""
    try:
        found = comparison.difference(x)
    except NotImplementedError as error:  # of operations that PyTorch lacks for 16 bits on a CPU
        _say_not_compared(comparison.network, "module", error)
        return False
    if not found <= comparison.tolerance(x):
        raise WeightsError(
            f"the network's scores differ from the module's by {found:.1e} of the largest score: "
            f"its forward pass does something that the exported program does not show"
        )
    return True


def _say_not_compared(network: Network, what: str, error: Exception) -> None:
    note = f"The {what} does not run here ({_sentence(error)}): its scores were not compared."
    network.about = " ".join(filter(None, (network.about, note)))


def _fits_other_sizes(comparison: _Comparison, x: Any) -> bool:
    """Whether network and module also agree on larger pictures."""
    size = (x.shape[2] + _LARGER, x.shape[3] + _LARGER)
    larger = _like(random_input(comparison.imported, size, seed=1), x)
    try:
        return comparison.difference(larger) <= comparison.tolerance(larger)
    except Exception:  # of PyTorch, of many types; or the network's own refusal
        return False


def _like(values: NDArray[np.float32], x: Any) -> Any:
    """Return values as a tensor of the type and the device of another one."""
    import torch

    return torch.from_numpy(values).to(x.device, x.dtype)
