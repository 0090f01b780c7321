"""A table that is written row by row, for families with branches.

Layers have the names of torchvision's modules. A module that is used several times, as a residual
block's only ReLU, names its last use, and so do the modules that end with it: "layer4.2.relu" is
also "layer4.2" and "layer4". Functions without a module get a name of the same style.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcam._engine.layers import INPUT, Attribute
from gradcam._models.architecture import ANY_GROUPS, Row, Trained
from gradcam._pictures.presets import Preset

Pair = int | tuple[int, int]
"""Height and width, or both in one number."""

DEPTHWISE = None
"""The units of a convolution that has a group for each of its channels."""


class Table:
    """The rows of an architecture; each method adds some and returns the name of the last one.

    The parameters `after` are the row whose output is read, by default the row before.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @property
    def last(self) -> str:
        """The name of the last row."""
        return self._rows[-1].name if self._rows else INPUT

    def add(
        self,
        name: str,
        op: str,
        *after: str,
        also: tuple[str, ...] = (),
        **attributes: Attribute,
    ) -> str:
        """Add a layer without parameters; `also` are further names of its output."""
        self._rows.append(Row(name, op, after, attributes, also=also))
        return name

    def conv(
        self,
        name: str,
        units: int | None,
        kernel: Pair = 1,
        *,
        stride: int = 1,
        padding: Pair | tuple[int, int, int, int] | None = None,
        groups: int = 1,
        bias: bool = False,
        after: str = "",
        also: tuple[str, ...] = (),
        stored: dict[str, str] | None = None,
    ) -> str:
        """Add a convolution.

        Parameters
        ----------
        name : str
        units : int or None
            Output channels, or :data:`DEPTHWISE`.
        kernel : int or (int, int)
        stride : int
        padding : int or tuple of 2 or 4 int, optional
            As in :class:`gradcam.Layer`; by default half of the kernel.
        groups : int
            Not of depthwise convolutions.
        bias : bool
        after : str
        also : tuple of str
            Modules that end with this layer. The first one is the layer's name.
        stored : dict of str to str, optional
            As in :class:`Row`.
        """
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        if padding is None:
            padding = (height // 2, width // 2)
        attributes: dict[str, Attribute] = {"stride": stride, "padding": padding}
        if units is DEPTHWISE:
            groups = ANY_GROUPS
        if groups != 1:
            attributes["groups"] = groups
        row_name = also[0] if also else name
        self._rows.append(
            Row(
                row_name,
                "conv",
                (after,) if after else (),
                attributes,
                (height, width),
                units or 0,
                bias,
                torchvision=name,
                stored=stored or {},
                also=also,
            )
        )
        return row_name

    def norm(
        self,
        name: str,
        op: str = "batch_norm",
        *,
        also: tuple[str, ...] = (),
        after: str = "",
        stored: dict[str, str] | None = None,
        **attributes: Attribute,
    ) -> str:
        """Add a normalisation: "batch_norm" or "layer_norm". `also` as of :meth:`conv`."""
        before, row_name = (after,) if after else (), also[0] if also else name
        self._rows.append(
            Row(row_name, op, before, attributes, torchvision=name, stored=stored or {}, also=also)
        )
        return row_name

    def convolution(
        self,
        name: str,
        units: int | None,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: str = "",
        timm: tuple[str, str] = ("", ""),
        after: str = "",
        also: tuple[str, ...] = (),
    ) -> str:
        """Add torchvision's Conv2dNormActivation: a convolution, its normalisation, an activation.

        The output is that of the module `name`, whose parts are numbered. `timm` are the names of
        the convolution and of the normalisation in timm.
        """
        first, second = ({"timm": each} for each in timm)
        self.conv(
            f"{name}.0", units, kernel, stride=stride, groups=groups, after=after, stored=first
        )
        if not activation:
            return self.norm(f"{name}.1", stored=second, also=(name, *also))
        self.norm(f"{name}.1", stored=second)
        return self.add(name, activation, also=(f"{name}.2", *also))

    def linear(self, name: str, units: int = 1000, stored: dict[str, str] | None = None) -> str:
        """Add a fully connected layer."""
        self._rows.append(
            Row(name, "linear", (), units=units, torchvision=name, stored=stored or {})
        )
        return name

    def scale(self, name: str, module: str, timm: str) -> str:
        """Add ConvNeXt's scale of each channel, a parameter of torchvision's `module`."""
        stored = {"torchvision": module, "timm": timm}
        self._rows.append(Row(name, "affine", stored=stored))
        return name

    def squeeze(
        self,
        name: str,
        units: int,
        expanded: int,
        activation: str,
        gate: str,
        *,
        also: tuple[str, ...] = (),
        stored: dict[str, tuple[str, str]] | None = None,
    ) -> str:
        """Add squeeze and excitation (Hu et al., 2018) to the last row, as torchvision's module.

        Parameters
        ----------
        name : str
            Of the module, and of its output.
        units : int
            Channels between its two convolutions.
        expanded : int
            Channels of its input and output.
        activation, gate : str
            The operations after the first and after the second convolution.
        also : tuple of str
        stored : dict of str to (str, str), optional
            The convolutions' names in weight files, by library.
        """
        before = self.last
        libraries = (stored or {}).items()
        first, second = ({lib: names[i] for lib, names in libraries} for i in (0, 1))
        self.add(f"{name}.avgpool", "global_average_pool")
        self.conv(f"{name}.fc1", units, bias=True, stored=first)
        self.add(f"{name}.activation", activation)
        self.conv(f"{name}.fc2", expanded, bias=True, stored=second)
        excitation = self.add(f"{name}.scale_activation", gate)
        return self.add(name, "multiply", before, excitation, also=also)

    def classifier(
        self, name: str, *, dropout: str = "", stored: dict[str, str] | None = None
    ) -> None:
        """Add what follows the last map: the mean over positions, one linear layer, the softmax."""
        self.add("avgpool", "global_average_pool")
        self.add("flatten", "flatten")
        if dropout:
            self.add(dropout, "dropout")
        self.linear(name, stored=stored)
        self.add("prob", "softmax")


def rounded(channels: float) -> int:
    """Return the nearest multiple of 8 that is not more than 10 % smaller, at least 8."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def published(
    *files: tuple[str, float], presets: tuple[Preset, ...] = (), names: tuple[str, ...] = ()
) -> tuple[Trained, ...]:
    """Return torchvision's files, in its order: name and size in MiB of each.

    Parameters
    ----------
    *files : (str, float)
    presets : tuple of Preset
        Of each file; by default that of 2014 for the first, and that of the newer training recipe
        for the second.
    names : tuple of str
        What users pass; by default "imagenet" for the first and "IMAGENET1K_V2" for the second.
    """
    presets, names = presets or (FIRST, SECOND), names or ("imagenet", "IMAGENET1K_V2")
    return tuple(
        Trained(weights, name, size, preset)
        for (name, size), preset, weights in zip(files, presets, names, strict=False)
    )


FIRST = Preset("torchvision", shorter_side=256)
"""The input of torchvision's first weights: bilinear to 256, the centre of 224."""

SECOND = Preset("torchvision-232", shorter_side=232)
"""The input of torchvision's second weights: bilinear to 232, the centre of 224."""
