"""A Sentinel-3 product as the files that it has, and the groups of a tree while they are made of them.

What the modules of the instruments (`sentinel3_olci`, `_slstr`, `_sral`, `_syn`) stand on; they are called by `sentinel3`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from extenso_nb.errors import DamagedProduct, IncompleteProduct
from extenso_nb.readers.conventions import conform
from extenso_nb.readers.hdf5 import Group, Stored, rechunk, to_tree, variable
from extenso_nb.readers.identity import product_attributes
from extenso_nb.readers.sentinel3_manifest import Manifest

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container

__all__ = [
    "Grids",
    "Product",
    "Variables",
    "all_variables",
    "each_file",
    "renamed",
    "resolution",
    "row_time",
    "split",
]

Variables = dict[str, xr.Variable]


@dataclass(frozen=True)
class Product:
    """The members of a product that can be read, and what the caller asked for."""

    container: Container
    manifest: Manifest
    product_type: str
    files: Mapping[str, Group]
    """Stem of the file name -> its root group; only files that have variables."""
    missing: tuple[str, ...]
    masked: bool
    scaled: bool

    def variables(self, stem: str) -> Mapping[str, Stored]:
        """Variables of a file; none where the file is missing."""
        group = self.files.get(stem)
        return group.variables if group is not None else {}

    def stored(self, stem: str, name: str) -> Stored | None:
        """One variable as stored."""
        return self.variables(stem).get(name)

    def attribute(self, stem: str, name: str) -> Any:
        """A global attribute of a file, or None."""
        group = self.files.get(stem)
        return group.attributes.get(name) if group is not None else None

    def value(self, stored: Stored) -> xr.Variable:
        """A variable as the caller wants it."""
        return variable(stored, masked=self.masked, scaled=self.scaled)

    def coordinate(self, stem: str, name: str) -> xr.Variable | None:
        """A variable as values with NaN, whatever the caller wants: places and times have no other use."""
        stored = self.stored(stem, name)
        return None if stored is None else variable(stored, integer=stored.dims == (name,))


@dataclass
class Grids:
    """The groups of a tree while it is being put together."""

    product: Product
    found: dict[str, xr.Dataset] = field(default_factory=dict)

    def add(
        self,
        path: str,
        data: Mapping[str, xr.Variable],
        coords: Mapping[str, xr.Variable | None] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """A group, unless it has no variable. Coordinates along dimensions that it has not are left out.

        Raises DamagedProduct where variables, or the places of them, differ in size.
        """
        if not data:
            return
        sizes: dict[Any, tuple[int, str]] = {}
        for name, item in data.items():
            self._fit(sizes, name, item)
        fitting = {
            name: item
            for name, item in (coords or {}).items()
            if item is not None and name not in data and set(item.dims) <= sizes.keys()
        }
        for name, item in fitting.items():
            self._fit(sizes, name, item)
        said = {name: value for name, value in (attributes or {}).items() if value is not None}
        self.found[path] = xr.Dataset(dict(data), fitting, said)

    def _fit(self, sizes: dict[Any, tuple[int, str]], name: str, item: xr.Variable) -> None:
        for dim, size in item.sizes.items():
            known, by = sizes.setdefault(dim, (size, name))
            if known != size or (dim == name and item.ndim != 1):
                raise DamagedProduct(
                    f"{by} and {name} in {self.product.container.uri} do not lie on the same grid: "
                    f"{dim} is {known} and {size}.",
                    hint="Open the files one by one with xarray.",
                )

    def tree(self, chunks: str | dict[str, int] | None) -> xr.DataTree:
        """All groups. Raises IncompleteProduct where there are none."""
        product = self.product
        if not self.found:
            raise IncompleteProduct(
                f"{product.container.product_id} has no file with variables: "
                f"{len(product.missing) or 'all'} are missing or empty, or have none.",
                missing_members=list(product.missing),
            )
        groups = {path: rechunk(dataset, chunks) for path, dataset in self.found.items()}
        said = dict(product.manifest.attributes) | {"missing_members": list(product.missing) or None}
        groups["/"] = xr.Dataset(
            attrs=product_attributes(
                product.container, said, identifier=product.manifest.name, masked=product.masked, scaled=product.scaled
            )
        )
        return to_tree(conform(groups), product.container.uri)


def all_variables(group: Group, path: str = "") -> Iterator[tuple[str, Stored]]:
    """Variables of a group and of those below it, by path."""
    for name, stored in group.variables.items():
        yield f"{path}/{name}", stored
    for name, child in group.groups.items():
        yield from all_variables(child, f"{path}/{name}")


# --- what instruments share ------------------------------------------------------------------------------------------
def each_file(product: Product, grids: Grids, stems: Iterable[str] | None = None, prefix: str = "") -> None:
    """A group for each file, and below it one for each group of the file."""
    for stem in product.files if stems is None else stems:
        _each_group(product, grids, product.files[stem], f"{prefix}/{stem}")


def _each_group(product: Product, grids: Grids, group: Group, path: str) -> None:
    data, coords = split(product, group.variables)
    grids.add(path, data, coords, {"title": group.attributes.get("title")})
    for name, child in group.groups.items():
        _each_group(product, grids, child, f"{path}/{name}")


_PLACES = {
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
}


def split(product: Product, stored: Mapping[str, Stored]) -> tuple[Variables, Variables]:
    """Variables of a file as data and as coordinates: its dimensions, and latitude and longitude by name."""
    places = {name for names in _PLACES.values() for name in names}
    data: Variables = {}
    coords: Variables = {}
    for name, item in stored.items():
        if item.dims == (name,) or name in places:
            coords[name] = variable(item, integer=item.dims == (name,))
        else:
            data[name] = product.value(item)
    if not data:
        data, coords = (
            {name: item for name, item in coords.items() if name not in item.dims},
            {name: item for name, item in coords.items() if name in item.dims},
        )
    return data, coords


def renamed(item: xr.Variable, original: str, **attributes: Any) -> xr.Variable:
    """A variable under another name than that in the file, which it keeps as an attribute."""
    item.attrs = {key: value for key, value in item.attrs.items() if key != "ancillary_variables"}
    item.attrs |= {"original_name": original, **{key: value for key, value in attributes.items() if value is not None}}
    return item


def resolution(text: Any) -> tuple[float, float] | None:
    """Metres across and along the track, from `"[ 270 294 ]"`."""
    numbers = re.findall(r"[\d.]+", str(text or ""))
    if len(numbers) != 2:
        return None
    across, along = (float(number) for number in numbers)
    return (across, along) if across > 0 and along > 0 else None


def row_time(item: xr.Variable | None) -> xr.Variable | None:
    """The time of each row, as a coordinate."""
    if item is None or item.dtype != np.dtype("datetime64[ns]") or item.ndim != 1:
        return None
    item.attrs = {"long_name": "time of the row", "standard_name": "time"}
    return item
