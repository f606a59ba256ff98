"""Noise for the made-up world: the same numbers at the same place, whatever array asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Floats", "fbm", "hash_of", "on_lattice", "smooth", "unit"]

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_TABLE: Array = np.random.Generator(np.random.PCG64(20240601)).random((256, 256), np.float32)


def smooth(value: npt.NDArray[np.floating], low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 between."""
    t = np.clip((np.asarray(value, np.float32) - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _noise(x: Floats, y: Floats, seed: int) -> Array:
    """Value noise, 0 to 1, with a period of 256 in both directions."""
    column_, row = np.floor(x), np.floor(y)
    fx, fy = (x - column_).astype(np.float32), (y - row).astype(np.float32)
    fx *= fx * (3 - 2 * fx)
    fy *= fy * (3 - 2 * fy)
    i = (column_.astype(np.int32) + seed * 37) & 255
    j = ((row.astype(np.int32) + seed * 101) & 255) << 8
    i1, j1 = (i + 1) & 255, (j + 256) & 65535
    flat = _TABLE.ravel()
    top = flat[j + i]
    top += (flat[j + i1] - top) * fx
    low = flat[j1 + i]
    low += (flat[j1 + i1] - low) * fx
    return np.asarray(top + (low - top) * fy, np.float32)


def fbm(x: Floats, y: Floats, wave: float, octaves: int, seed: int, spacing: float, *, fall: float = 0.5) -> Array:
    """Noise summed over octaves from `wave` (km) downwards, 0 to 1 around 0.5; each octave turned against the last.

    Octaves shorter than two samples are left at their mean, so that a coarse array is a mean of a fine one.
    """
    sums = [0.5 * fall**octave for octave in range(octaves) if wave / 2**octave < 2 * spacing]
    sizes = [(octave, wave / 2**octave) for octave in range(octaves) if wave / 2**octave >= 2 * spacing]
    coarse = [pair for pair in sizes if pair[1] >= 6 * _STRIDE * spacing] if min(x.shape, default=0) >= 40 else []
    out = np.full(x.shape, sum(sums), np.float32)
    if coarse and x.ndim == 2:
        nodes_x, nodes_y = _nodes(x), _nodes(y)
        part = np.zeros(nodes_x.shape, np.float32)
        for octave, size in coarse:
            part += _octave(nodes_x, nodes_y, size, octave, seed, fall)
        out += _refine(part, x.shape)
        sizes = sizes[len(coarse) :]
    for octave, size in sizes:
        out += _octave(x, y, size, octave, seed, fall)
    return np.asarray(out / np.float32(sum(fall**octave for octave in range(octaves))), np.float32)


def _octave(x: Floats, y: Floats, size: float, octave: int, seed: int, fall: float) -> Array:
    c, s = math.cos(0.6 + 1.1 * octave) / size, math.sin(0.6 + 1.1 * octave) / size
    return np.float32(fall**octave) * _noise(x * c - y * s, x * s + y * c, seed + 7 * octave)


_STRIDE = 4
"""Long waves are drawn at every fourth row and column and interpolated: six nodes or more to a wave."""


def _nodes(values: Floats) -> Floats:
    """Every _STRIDE-th row and column, continued in a straight line by one before and two after."""
    out = values[::_STRIDE, ::_STRIDE]
    for axis in (0, 1):
        a, b = (out.take([i], axis) for i in (0, 1))
        y, z = (out.take([i], axis) for i in (-2, -1))
        out = np.concatenate((2 * a - b, out, 2 * z - y, 3 * z - 2 * y), axis)
    return out


def _refine(nodes: Array, shape: tuple[int, ...]) -> Array:
    """Values between nodes by cubic convolution (Catmull-Rom), axis by axis; the reverse of `_nodes`."""
    out: Array = nodes
    for axis in (0, 1):
        at = np.arange(shape[axis])
        t = ((at % _STRIDE) / np.float32(_STRIDE)).astype(np.float32)
        t = t[:, None] if axis == 0 else t
        weights = (
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        )
        first = at // _STRIDE
        total = out.take(first, axis) * weights[0]
        for tap in (1, 2, 3):
            total += out.take(first + tap, axis) * weights[tap]
        out = np.asarray(total, np.float32)
    return out


def hash_of(*parts: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    """Evenly spread 32 bits out of whole numbers."""
    out = np.full(parts[0].shape, 0x9E3779B9, np.uint32)
    for part in parts:
        out ^= part.astype(np.uint32)
        out *= np.uint32(0x85EBCA6B)
        out ^= out >> np.uint32(15)
        out *= np.uint32(0xC2B2AE35)
        out ^= out >> np.uint32(13)
    return out


def unit(bits: npt.NDArray[np.uint32], shift: int = 0) -> Array:
    """16 bits of a hash as a number from 0 to 1."""
    return np.asarray(((bits >> np.uint32(shift)) & np.uint32(0xFFFF)) / np.float32(65535), np.float32)


def on_lattice(layer: Callable[[Floats, Floats], Floats], lon: Floats, lat: Floats, step: float = 0.05) -> Array:
    """A layer worked out on a fixed lattice of `step` degrees and interpolated, where that is the cheaper way."""
    if not lon.size:
        return np.zeros(lon.shape, np.float32)
    west, south = math.floor(lon.min() / step), math.floor(lat.min() / step)
    columns, rows = math.floor(lon.max() / step) - west + 2, math.floor(lat.max() / step) - south + 2
    if columns * rows >= lon.size:
        return np.asarray(layer(lon, lat), np.float32)
    nodes_lon, nodes_lat = np.meshgrid((west + np.arange(columns)) * step, (south + np.arange(rows)) * step)
    nodes = np.asarray(layer(nodes_lon, nodes_lat), np.float32)
    fx, fy = lon / step - west, lat / step - south
    i = np.minimum(fx.astype(np.int32), columns - 2)
    j = np.minimum(fy.astype(np.int32), rows - 2)
    fx32, fy32 = (fx - i).astype(np.float32), (fy - j).astype(np.float32)
    flat = nodes.ravel()
    k = j * np.int32(columns) + i
    top = flat[k] + (flat[k + 1] - flat[k]) * fx32
    low = flat[k + columns] + (flat[k + columns + 1] - flat[k + columns]) * fx32
    return np.asarray(top + (low - top) * fy32, np.float32)
