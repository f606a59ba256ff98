"""Where the chunks of an HDF5 variable lie in its file, as HDF5 itself knows it.

Reading them one after the other, as HDF5 does, costs a round trip each; so they are asked for beforehand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["all_of", "touched"]

Range = tuple[int, int]


def touched(node: Any, key: tuple[Any, ...]) -> list[Range]:
    """Ranges of bytes that a selection (integers, slices, arrays of integers; one an axis) of an h5py dataset reads."""
    key = (*key, *[slice(None)] * (node.ndim - len(key)))
    spans = [_span(part, size) for part, size in zip(key, node.shape, strict=True)]
    if any(low >= high for low, high in spans):
        return []
    if node.chunks is None:
        return _contiguous(node, spans)
    first = [low // size for (low, _), size in zip(spans, node.chunks, strict=True)]
    last = [(high - 1) // size for (_, high), size in zip(spans, node.chunks, strict=True)]
    found: list[Range] = []

    def look(info: Any) -> None:
        place = [at // size for at, size in zip(info.chunk_offset, node.chunks, strict=True)]
        if all(low <= at <= high for low, at, high in zip(first, place, last, strict=True)):
            found.append((int(info.byte_offset), int(info.size)))

    node.id.chunk_iter(look)
    return found


def all_of(node: Any) -> list[Range]:
    """Ranges of bytes of all values of an h5py dataset. Finding them reads its table of chunks."""
    return touched(node, (slice(None),) * node.ndim) if node.shape is not None else []


def _span(part: Any, size: int) -> Range:
    if isinstance(part, slice):
        picked = range(*part.indices(size))
        return (min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1) if picked else (0, 0)
    if np.ndim(part) == 0:
        return int(part) % size, int(part) % size + 1
    wanted = np.asarray(part) % size if np.size(part) else np.zeros(0, int)
    return (int(wanted.min()), int(wanted.max()) + 1) if wanted.size else (0, 0)


def _contiguous(node: Any, spans: list[Range]) -> list[Range]:
    """One range from the first to the last value; none where the values stand in the header, or were never written."""
    start = node.id.get_offset()
    if start is None:
        return []
    width = node.id.get_type().get_size()
    if not spans:
        return [(int(start), width)]
    strides = [width * math.prod(node.shape[axis + 1 :]) for axis in range(node.ndim)]
    low = sum(part[0] * stride for part, stride in zip(spans, strides, strict=True))
    high = sum((part[1] - 1) * stride for part, stride in zip(spans, strides, strict=True)) + width
    return [(int(start) + low, high - low)]
