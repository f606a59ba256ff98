"""One drawn product of each kind, as delivered: those of the sample archive."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from extenso_nb.gateway.sources.sample.__main__ import draw
from extenso_nb.gateway.sources.sample.plan import products

KINDS = ("S1A_IW_GRDH", "S2A_MSIL1C", "S2A_MSIL2A", "S3A_OL_1", "S3A_OL_2", "S3A_SL_1", "S3A_SL_2", "S5P_NRTI_L2__NO2")


def drawn(folder: Path, kinds: Iterable[str] = KINDS) -> dict[str, Path]:
    """Products by kind, drawn into a folder."""
    specs = {kind: next(spec for spec in products() if spec.id.startswith(kind)) for kind in kinds}
    return {kind: draw(spec, folder) for kind, spec in specs.items()}


@cache
def real() -> bytes:
    """A zip that readers open, as the content of scripted products: what is delivered of it has an index."""
    with TemporaryDirectory() as folder:
        return drawn(Path(folder), ("S2A_MSIL1C",))["S2A_MSIL1C"].read_bytes()
