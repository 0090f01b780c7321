"""Say why the tensors of a file are not the weights of the closest architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gradcam._models.layouts import Layout
from gradcam._models.matches import Match
from gradcam._models.places import Found
from gradcam._weights.tensors import listed


def difference(match: Match, matches: list[Match], unused: list[str], layout: Layout) -> str:
    """Say why these tensors are not the weights of `match`, the closest of all `matches`."""
    title, missing, unexpected = match.architecture.title, match.missing(), match.unexpected()
    ends = match.expected("linear")
    if missing == ends and not unexpected and not unused:
        return (
            f"only the convolutions of {title}, which do not classify: its fully connected layers "
            f"({listed(layer for layer, parameter in ends if parameter == 'weight')}) are missing; "
            f"{layout.whole}"
        )
    if layout.library == "keras" and _normalised(match.found, unused, matches):
        return (
            "Keras networks with batch normalisation cannot be read from their weights alone, "
            "which do not say whether it comes before or after the ReLU; save the whole model, "
            'which says it: model.save("model.keras")'
        )
    if layout.counted:
        kinds = Counter(place.values.ndim for (_, p), place in match.found.items() if p == "weight")
        also = f", and other tensors ({listed(unused)})" if unused else ""
        return (
            f"an unknown network: {kinds[4]} convolutions and {kinds[2]} fully connected layers"
            f"{also}; the known networks have {listed(dict.fromkeys(map(_counts, matches)))}"
        )
    parts = []
    if missing:
        parts.append(f"missing {listed(layout.tensor_name(*key) for key in missing)}")
    if unexpected or unused:
        parts.append(f"unexpected {listed([*unexpected, *unused])}")
    return (
        f"the names are {layout.title}, and the closest network is {title}, but the tensors "
        f"differ: {'; '.join(parts)}"
    )


def _counts(match: Match) -> str:
    counts = Counter(row.op for row in match.layers.values())
    return f"{counts['conv']} and {counts['linear']}"


def _normalised(found: Found, unused: list[str], matches: Iterable[Match]) -> bool:
    """Whether the layers are those of an architecture, with batch normalisations of Keras added.

    The convolutions then usually have no biases.
    """
    weights = {key for key in found if key[1] == "weight"}
    return any(name.endswith("/moving_variance") for name in unused) and any(
        weights == {key for key in match.expected() if key[1] == "weight"} for match in matches
    )
