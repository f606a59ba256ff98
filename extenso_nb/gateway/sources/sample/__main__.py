"""One process's share of drawing the sample archive: ``python -m extenso_nb.gateway.sources.sample DIRECTORY SHARE/OF``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from extenso_nb.gateway.sources.sample import plan, sentinel1, sentinel2, sentinel3, sentinel5p

__all__ = ["draw", "shares"]

_WRITERS = {"S1": sentinel1.write, "S2": sentinel2.write, "S3": sentinel3.write, "S5": sentinel5p.write}
_COST = {"S1": 0.4, "S2": 1.0, "S3": 0.4, "S5": 0.25}
"""Seconds that a product of a mission takes, for sharing the work; measured once."""
_START = {"S1": 0.5, "S2": 1.5, "S3": 0.2, "S5": 0.1}
"""Seconds that the first of a place takes more."""


def draw(spec: plan.Spec, directory: Path) -> Path:
    """Write one product of any mission; the same bytes for the same spec."""
    path = _WRITERS[spec.id[:2]](directory, spec)
    made = spec.created.timestamp()
    os.utime(path, (made, made))  # a folder of products takes this for the time that they came in
    return path


def shares(specs: tuple[plan.Spec, ...], count: int) -> list[list[plan.Spec]]:
    """Split the work into `count` parts of about the same length; what shows one place stays together."""
    groups: dict[tuple[str, str], list[plan.Spec]] = {}
    for spec in specs:
        groups.setdefault((spec.id[:2], spec.area), []).append(spec)
    parts: list[tuple[float, list[plan.Spec]]] = [(0.0, []) for _ in range(count)]
    costs = {key: _START[key[0]] + _COST[key[0]] * len(group) for key, group in groups.items()}
    for key in sorted(groups, key=lambda key: (-costs[key], key)):
        least = min(range(count), key=lambda part: parts[part][0])
        parts[least] = (parts[least][0] + costs[key], parts[least][1] + groups[key])
    return [part for _, part in parts]


def main(directory: str, share: str) -> None:
    """Draw the products of one share into `directory`."""
    part, count = map(int, share.split("/"))
    for spec in shares(plan.products(), count)[part]:
        draw(spec, Path(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
