"""The xarray engine `"extenso"`: `open_product` for those who write `xarray.open_datatree(path, engine="extenso")`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from extenso_nb.errors import InputError, ProductIdError
from extenso_nb.readers import open_product

__all__ = ["ExtensoBackend"]


class ExtensoBackend(BackendEntrypoint):
    """Opens Sentinel products; see docs/products.md for the groups of each."""

    description: ClassVar[str] = (
        "Copernicus Sentinel-1, -2, -3 and -5P products: folder, zip or file, here or at an address"
    )
    open_dataset_parameters: ClassVar[Any] = ("filename_or_obj", "drop_variables", "group", "masked", "scaled", "index")
    supports_groups: ClassVar[bool] = True

    def open_dataset(  # type: ignore[override]  # an engine names its own options
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        masked: bool = True,
        scaled: bool = True,
        index: bytes | str | os.PathLike[str] | None = None,
    ) -> xr.Dataset:
        """One group of a product, such as `measurements/r10m`. Raises InputError without, or with an unknown, group."""
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, masked=masked, scaled=scaled, index=index
        )
        wanted = "/" + (group or "").strip("/")
        if wanted == "/" or wanted not in groups:
            raise _no_group(filename_or_obj, group, [name for name, dataset in groups.items() if dataset.data_vars])
        return groups[wanted]

    def open_groups_as_dict(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        masked: bool = True,
        scaled: bool = True,
        index: bytes | str | os.PathLike[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """All groups by path, or those from `group` down. Raises InputError for an unknown group."""
        tree = open_product(filename_or_obj, masked=masked, scaled=scaled, chunks=None, index=index)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        top = "/" + (group or "").strip("/")
        if top not in tree.groups:
            raise _no_group(filename_or_obj, group, tree.groups[1:])
        found = {node.path: node.to_dataset().drop_vars(dropped, errors="ignore") for node in tree[top].subtree}
        for dataset in found.values():
            # Else xarray would put the address there, signature and all.
            dataset.encoding["source"] = _told(filename_or_obj)
        return found if top == "/" else {path.removeprefix(top) or "/": dataset for path, dataset in found.items()}

    def open_datatree(  # type: ignore[override]
        self, filename_or_obj: str | os.PathLike[str], **options: Any
    ) -> xr.DataTree:
        """The whole product."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name is that of a product which is read here."""
        from extenso_nb import products

        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        try:
            parsed = products.parse(products.strip(_told(filename_or_obj)))
        except ProductIdError:
            return False
        return parsed.collection in {"S3", "S5P"} or parsed.product_type in {"S2MSI1C", "S2MSI2A", "GRD", "SLC", "OCN"}


def _no_group(source: str | os.PathLike[str], group: str | None, there: Iterable[str]) -> InputError:
    names = [name.lstrip("/") for name in there]
    return InputError(
        f"{_told(source)} has no group {group!r}.", hint=f"Pass group= one of {', '.join(names)}.", groups=names
    )


def _told(source: str | os.PathLike[str]) -> str:
    """A path, or an address without what may be secret in it."""
    text = os.fspath(source)
    return text.partition("?")[0].rpartition("@")[2] if "://" in text else text
