"""Poolings, and means and maxima over positions."""

from __future__ import annotations

from gradcam._importers.aten.arguments import Arguments, dimension, shown
from gradcam._importers.aten.table import Result, Site, operation, refuse
from gradcam._importers.builder import Builder
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError


@operation("max_pool2d")
def _max_pool(site: Site, a: Arguments) -> Result:
    if a.pair("dilation") != (1, 1):
        raise WeightsError("has a dilation, which is not supported")
    return _pool(site, a, "max_pool")


@operation("max_pool2d_with_indices")
def _max_pool_with_indices(site: Site, a: Arguments) -> Result:
    return [_max_pool(site, a), None]


@operation("avg_pool2d")
def _average_pool(site: Site, a: Arguments) -> Result:
    divisor = None if a.get("divisor_override") is None else a.integer("divisor_override")
    counted = a.flag("count_include_pad", True)
    return _pool(site, a, "average_pool", count_include_pad=counted, divisor=divisor)


def _pool(
    site: Site,
    a: Arguments,
    op: str,
    *,
    count_include_pad: bool = False,
    divisor: int | None = None,
) -> Value:
    """Add a pooling over windows, with the arguments that both kinds have."""
    kernel = a.pair("kernel_size")
    return site.builder.pool(
        a.value("self"),
        site.name,
        op,
        kernel,
        stride=a.pair("stride", kernel),
        padding=a.padding(),
        ceil_mode=a.flag("ceil_mode"),
        count_include_pad=count_include_pad,
        divisor=divisor,
    )


@operation("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def _adaptive_average_pool(site: Site, a: Arguments) -> Result:
    return site.builder.adaptive_pool(a.value("self"), site.name, a.pair("output_size"))


@operation("adaptive_max_pool2d")
def _adaptive_max_pool(site: Site, a: Arguments) -> Result:
    value, size = a.value("self"), a.pair("output_size")
    if size != (1, 1):
        raise WeightsError(f"pools maxima to {size}: only one to 1 x 1 is supported")
    return [site.builder.global_pool(value, site.name, "max_pool"), None]


@operation("mean")
def _mean(site: Site, a: Arguments) -> Result:
    return _over_positions(site, a, "average_pool")


@operation("amax", "max")
def _amax(site: Site, a: Arguments) -> Result:
    named = a.get("dim") is not None and isinstance(a.get("dim"), int)
    found = _over_positions(site, a, "max_pool")
    return [found, None] if named else found


@operation("sum")
def _sum(site: Site, a: Arguments) -> Result:
    """A mean times the number of positions, which depends on the size of the picture."""
    before = a.value("self").positions
    found = _over_positions(site, a, "average_pool")
    site.builder.fixed = True
    return site.builder.scale_and_shift(found, f"{site.name}.times", before / found.positions)


def _over_positions(site: Site, a: Arguments, op: str) -> Value:
    """Add a pooling over some dimensions, which must be rows, columns, or both."""
    value, given = a.value("self"), a.integers("dim")
    rank = len(value.dims)
    dims = [dimension(dim, rank) for dim in given or range(rank)]
    keep = a.flag("keepdim")
    axes = [factor for dim in dims for factor in value.dims[dim]]
    names = "".join(factor.axis for factor in axes)
    extent = dict(zip("HW", value.extent, strict=True))
    whole = all(f.stride == 1 and f.axis in extent and f.size == extent[f.axis] for f in axes)
    if not whole or len(set(names)) != len(names):
        raise WeightsError(
            f"is taken over the dimensions {shown(given)} of {value.shape}: only one over "
            f"positions is supported"
        )
    found = pooled(site.builder, value, site.name, op, names)
    kept = [() if i in dims else dim for i, dim in enumerate(value.dims)]
    return found.with_dims(kept if keep else [d for i, d in enumerate(kept) if i not in dims])


def pooled(builder: Builder, value: Value, name: str, op: str, axes: str) -> Value:
    """Add a pooling over all rows ("H"), columns ("W"), both, or neither."""
    height, width = value.extent
    gone = {axis for axis, size in (("H", height), ("W", width)) if axis in axes or size == 1}
    plain = value.arranged("NCHW")
    if gone == {"H", "W"}:
        return builder.global_pool(plain, name, op) if axes else value
    if not axes:
        return value
    builder.fixed = True
    kernel = (height if "H" in axes else 1, width if "W" in axes else 1)
    return builder.pool(plain, name, op, kernel, stride=kernel)


refuse(
    "upsample_bilinear2d upsample_nearest2d upsample_bicubic2d interpolate grid_sampler_2d "
    "_upsample_nearest_exact2d upsample_nearest_exact2d _upsample_bilinear2d_aa",
    "resizes a map, which is not supported (segmentation, detection, or a resized input: resize "
    "the pictures before the network)",
)
refuse(
    "topk sort argmax argmin nms nonzero where masked_fill gather scatter cumsum unique index_put "
    "std var norm linalg_vector_norm max_unpool2d roll flip minimum maximum",
    "is an operation that the core does not have",
)
refuse(
    "lp_pool2d fractional_max_pool2d avg_pool3d max_pool3d adaptive_avg_pool3d avg_pool1d "
    "max_pool1d adaptive_avg_pool1d adaptive_max_pool1d",
    "is a pooling that is not supported",
)
