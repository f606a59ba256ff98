"""Values between nodes: bilinear, and polynomials in place of smooth functions that are dear to compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["bilinear", "layered", "stacked", "tensor"]

Floats = npt.NDArray[np.float64]


def bilinear(values: npt.NDArray[Any], row: Floats, column: Floats) -> npt.NDArray[Any]:
    """Values between the four nearest nodes at rows and columns with fractions; NaN outside and where one of them is NaN."""
    height, width = values.shape
    inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
    row, column = np.where(inside, row, 0.0), np.where(inside, column, 0.0)
    top = np.minimum(row.astype(np.int64), max(height - 2, 0))
    left = np.minimum(column.astype(np.int64), max(width - 2, 0))
    dtype = np.result_type(values.dtype, np.float32)
    down, along = (row - top).astype(dtype), (column - left).astype(dtype)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    # a node that has no weight has no say either: the last line of a burst is followed by no data
    corners = ((top, left, 1 - down, 1 - along), (top, right, 1 - down, along), (below, left, down, 1 - along),
               (below, right, down, along))  # fmt: skip
    out = np.zeros(row.shape, dtype)
    for at_row, at_column, share_row, share_column in corners:
        weight = share_row * share_column
        out += np.where(weight == 0, 0, values[at_row, at_column] * weight)
    out[~inside] = np.nan
    return out


# --- interpolation between exact solutions ---------------------------------------------------------------------------
def tensor(
    exact: Callable[[Floats, Floats], Floats],
    wrong: Callable[[Floats, Floats], float],
    a: Floats,
    b: Floats,
    tolerance: float,
) -> Floats | None:
    """A smooth function on the raster a x b, from few exact values.

    Parameters
    ----------
    exact
        (n,), (m,) -> (..., n, m).
    wrong
        How far values are off, given also the right ones; in the units of `tolerance`.
    a, b
        1-D, in any order.
    tolerance
        What must not be exceeded at points halfway between the nodes.

    Returns
    -------
    numpy.ndarray or None
        (..., len(a), len(b)); None where even 20 x 20 nodes are too few.
    """
    for count in (6, 10, 20):
        nodes_a, nodes_b = _nodes(a, count), _nodes(b, count)
        if len(nodes_a) * len(nodes_b) * 4 > len(a) * len(b):
            return None
        values = exact(nodes_a, nodes_b)
        if not np.all(np.isfinite(values)):
            return None
        between_a, between_b = _between(nodes_a), _between(nodes_b)
        guess = _weights(nodes_a, between_a) @ values @ _weights(nodes_b, between_b).T
        if wrong(guess, exact(between_a, between_b)) < tolerance:
            return np.asarray(_weights(nodes_a, a) @ values @ _weights(nodes_b, b).T)
    return None


def layered(
    exact: Callable[[Floats, Floats, float], Floats],
    wrong: Callable[[Floats, Floats], float],
    a: Floats,
    b: Floats,
    limits: tuple[float, float],
    tolerance: float,
) -> Callable[[Floats], Floats] | None:
    """As `tensor`, for a function of a height too: what is returned takes heights (a, b) between the limits, or one.

    `exact` takes the height as a number. Between heights the function is a polynomial through five levels, checked as well.
    """
    levels = _nodes(np.array(limits), 5)
    planes = []
    for level in levels:
        plane = tensor(lambda x, y, at=float(level): exact(x, y, at), wrong, a, b, tolerance)  # type: ignore[misc]
        if plane is None:
            return None
        planes.append(plane)
    ends = np.ix_([0, -1], [0, -1])
    for level in _between(levels):
        weights = _weights(levels, np.array([level]))[0]
        guess = sum(weight * plane[..., ends[0], ends[1]] for weight, plane in zip(weights, planes, strict=True))
        if wrong(np.asarray(guess), exact(a[[0, -1]], b[[0, -1]], float(level))) >= tolerance:
            return None

    def at(height: Floats) -> Floats:
        if height.ndim == 0 and len(planes) == 1:
            return np.asarray(planes[0])
        weights = np.moveaxis(_weights(levels, height.ravel()).reshape(*height.shape, len(levels)), -1, 0)
        made = sum(weight * plane for weight, plane in zip(weights, planes, strict=True))
        return np.where(np.isfinite(height), made, np.nan)

    return at


def stacked(
    exact: Callable[[Floats, Floats, float], Floats],
    wrong: Callable[[Floats, Floats], float],
    a: Floats,
    b: Floats,
    height: Floats,
    tolerance: float,
) -> Floats | None:
    """`layered` at heights that are known: one, or (a, b), which may be NaN."""
    known = height[np.isfinite(height)]
    limits = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    found = layered(exact, wrong, a, b, limits, tolerance)
    return None if found is None else found(height)


def _nodes(values: Floats, count: int) -> Floats:
    """Chebyshev points, ends included; one where all values are the same."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.array([low])
    return (low + high) / 2 - (high - low) / 2 * np.cos(np.pi * np.arange(count) / (count - 1))


def _between(nodes: Floats) -> Floats:
    return nodes if len(nodes) == 1 else (nodes[1:] + nodes[:-1]) / 2


def _weights(nodes: Floats, at: Floats) -> Floats:
    """(at, node): the polynomial through values at Chebyshev nodes, evaluated (barycentric formula)."""
    if len(nodes) == 1:
        return np.ones((len(at), 1))
    sign: Any = (-1.0) ** np.arange(len(nodes))
    sign[[0, -1]] /= 2
    apart = at[:, None] - nodes
    hit = apart == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = sign / apart
        weights /= weights.sum(1, keepdims=True)
    return np.asarray(np.where(hit.any(1, keepdims=True), hit.astype(np.float64), weights))
