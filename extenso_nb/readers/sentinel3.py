"""Sentinel-3 products (a folder of netCDF-4 files, `.SEN3`) -> xarray.DataTree, lazily.

Which members are there and which are not, and what arranges them: `sentinel3_olci`, `_slstr`, `_sral` and `_syn`; of a product
of another kind each file is a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import xarray as xr

from extenso_nb.readers import sentinel3_olci, sentinel3_slstr, sentinel3_sral, sentinel3_syn
from extenso_nb.readers.hdf5 import Group, read_group
from extenso_nb.readers.identity import from_name
from extenso_nb.readers.sentinel3_manifest import read_manifest
from extenso_nb.readers.sentinel3_product import Grids, Product, all_variables, each_file

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = ["open_sentinel3"]

_ARRANGED: dict[str, Callable[[Product, Grids], None]] = {
    "OL_1": sentinel3_olci.arrange,
    "OL_2": sentinel3_olci.arrange,
    "SL_1_RBT": sentinel3_slstr.arrange_level_1,
    "SL_2_LST": sentinel3_slstr.arrange_surface,
    "SL_2_FRP": sentinel3_slstr.arrange_fire,
    "SL_2_WST": sentinel3_slstr.arrange_water,
    "SL_2_AOD": sentinel3_syn.arrange_aerosol,
    "SR": sentinel3_sral.arrange,
    "SY_2_SYN": sentinel3_syn.arrange_swath,
    "SY_2_VGP": sentinel3_syn.arrange_vegetation,
    "SY_2_VG1": sentinel3_syn.arrange_vegetation,
    "SY_2_V10": sentinel3_syn.arrange_vegetation,
    "SY_2_AOD": sentinel3_syn.arrange_aerosol,
}
"""Beginning of a product type (`OL_1_EFR___`, `SY_2_V10___` ...) -> what arranges its files."""


def open_sentinel3(
    container: Container, *, masked: bool = True, scaled: bool = True, chunks: str | dict[str, int] | None = "auto"
) -> xr.DataTree:
    """Open a Sentinel-3 product of any instrument.

    Parameters
    ----------
    container
        The product.
    masked, scaled, chunks
        As of `open_product`. Places, times and angles between tie points are always values.

    Raises
    ------
    IncompleteProduct
        No file of it has a variable.
    UnsupportedProduct
        Its files are classic netCDF.
    DamagedProduct
        A file or the manifest cannot be read, or files that should lie on one grid do not.
    """
    product = _product(container, masked=masked, scaled=scaled)
    grids = Grids(product)
    arrange = next((known for start, known in _ARRANGED.items() if product.product_type.startswith(start)), each_file)
    arrange(product, grids)
    return grids.tree(chunks)


def _product(container: Container, *, masked: bool, scaled: bool) -> Product:
    manifest = read_manifest(container)
    files: dict[str, Group] = {}
    missing = {name for name in manifest.members if name not in container}
    for name in container.names():
        if not name.lower().endswith(".nc"):
            continue
        if container.is_empty(name):
            missing.add(name)
            continue
        group = read_group(container, name)
        if any(True for _ in all_variables(group)):
            files[PurePosixPath(name).stem] = group
        else:
            missing.add(name)  # a placeholder: attributes without arrays
    kind = manifest.product_type or str(from_name(container.product_id).get("product_type") or "")
    if not kind:
        names = (str(group.attributes.get("product_name", "")) for group in files.values())
        kind = next((name[4:15] for name in names if re.match(r"S3._", name)), "")
    return Product(container, manifest, kind, files, tuple(sorted(missing)), masked, scaled)
