"""Readers: a delivered product -> xarray, lazily."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import IncompleteProduct, InputError, ProductIdError, UnknownBand, UnsupportedProduct

if TYPE_CHECKING:
    import xarray as xr

    from extenso_nb.readers.container import Container

__all__ = ["band", "open_container_as_tree", "open_product", "share_addresses"]


def open_product(
    src: str | os.PathLike[str],
    *,
    masked: bool = True,
    scaled: bool = True,
    chunks: str | dict[str, int] | None = "auto",
    index: bytes | str | os.PathLike[str] | None = None,
    renew: Callable[[], str] | None = None,
) -> xr.DataTree:
    """Open a delivered product; pixels are read when they are computed.

    Parameters
    ----------
    src
        A product on this machine: folder, zip or file. Or the `http(s)://` or `s3://` address of a zip or file, signed or
        not, or an `s3://bucket/prefix/` of a folder: read by ranges of bytes; see `readers.opening.open_container`.
    masked
        NaN for the stored numbers that are no measurement (no data, saturated).
    scaled
        Physical values by the product's own metadata in place of stored numbers. Either makes the arrays float32;
        with both False they are as stored.
    chunks
        `"auto"`: dask chunks that are whole multiples of the file's own tiles, near 2048 x 2048; None: lazy without dask;
        or sizes by dimension, as of `Dataset.chunk`.
    index
        Of a product at an address: its index (`readers.index`), as bytes, path or address, so that opening reads nothing
        else. Without one the product's own directory and headers are read, in some waves of requests.
    renew
        Of an http(s) address that expires: called without arguments for another one when the server refuses it (401,
        403). It has to pickle to be of use to workers.

    Returns
    -------
    xarray.DataTree
        Groups as in docs/products.md; attributes of the product at the root.

    Raises
    ------
    ReaderError
        There is nothing at `src`.
    UnsupportedProduct
        No reader for this kind of product.
    IncompleteProduct
        Members that opening needs are missing or empty.
    DamagedProduct
        A zip or member is cut short or wrong.
    """
    import rioxarray  # noqa: F401 - the `.rio` of what is returned: CRS, clip, reproject

    import extenso_nb.readers.card  # noqa: F401 - the `.product` of what is returned
    from extenso_nb.readers.opening import open_container, zarr_address

    if isinstance(chunks, str) and chunks != "auto":
        raise InputError(
            f"chunks={chunks!r} is not known.", hint='Pass "auto", None, or sizes such as {"y": 1024, "x": 1024}.'
        )
    far = zarr_address(os.fspath(src), renew)
    if far is not None:
        from extenso_nb.readers.eopf import open_eopf

        return open_eopf(far, masked=masked, scaled=scaled, chunks=chunks)
    container = open_container(src, renew=renew) if index is None else _indexed(os.fspath(src), index, renew)
    container.warm()
    return open_container_as_tree(container, masked=masked, scaled=scaled, chunks=chunks)


def open_container_as_tree(
    container: Container, *, masked: bool, scaled: bool, chunks: str | dict[str, int] | None
) -> xr.DataTree:
    """As `open_product`, for a container that is there already."""
    from extenso_nb.readers.zarr_metadata import is_zarr

    if is_zarr(container):
        from extenso_nb.readers.eopf import open_eopf

        return open_eopf(container, masked=masked, scaled=scaled, chunks=chunks)
    collection = _collection(container)
    if collection == "S2":
        from extenso_nb.readers.sentinel2 import open_sentinel2

        return open_sentinel2(container, masked=masked, scaled=scaled, chunks=chunks)
    if collection == "S1":
        from extenso_nb.readers.sentinel1 import open_sentinel1

        return open_sentinel1(container, masked=masked, scaled=scaled, chunks=chunks)
    if collection == "S5P":
        from extenso_nb.readers.sentinel5p import open_sentinel5p

        return open_sentinel5p(container, masked=masked, scaled=scaled, chunks=chunks)
    if collection == "S3":
        from extenso_nb.readers.sentinel3 import open_sentinel3

        return open_sentinel3(container, masked=masked, scaled=scaled, chunks=chunks)
    raise UnsupportedProduct(
        f"{container.uri} is not known as a Sentinel product by its name or its files.",
        hint="Images of other layouts (AWS tiles, COGs) open one by one with rioxarray; products are listed in docs/products.md.",
    )


def _indexed(address: str, index: bytes | str | os.PathLike[str], renew: Callable[[], str] | None) -> Container:
    """The product at an address, opened by its index: nothing is asked of the address."""
    from extenso_nb.readers.index import PACKED_LIMIT, load
    from extenso_nb.readers.opening import is_address, open_container, open_object
    from extenso_nb.storage.ranged import FileObject, RemoteObject

    if not is_address(address):
        return open_container(address)
    if not isinstance(index, bytes):
        text = os.fspath(index)
        if is_address(text):
            index = RemoteObject(text).whole(PACKED_LIMIT)
        else:
            file = FileObject(text)
            index = file.read(0, min(file.size, PACKED_LIMIT + 1))
    source = RemoteObject(address, renew=renew)
    sparse = load(index, source)
    source.expect(sparse.size)
    return open_object(sparse)


def share_addresses(client: Any) -> int:
    """Tell the workers of a `dask.distributed` client the signed addresses of products that are open here.

    Signed parts of addresses do not travel with lazy arrays. Workers of the same user on this machine find them by
    themselves; those on other machines have to be told, again after new products were opened. Returns how many were told.
    """
    from extenso_nb.storage import share

    return share(client)


def _collection(container: Container) -> str | None:
    """By the files first: names get changed, metadata do not."""
    from extenso_nb import products

    names = {name.lower() for name in container.names()}
    if names & {"mtd_msil1c.xml", "mtd_msil2a.xml", "mtd_msil2ap.xml"} or container.find("granule/*/mtd_tl.xml"):
        return "S2"
    if container.find("annotation/s1*.xml") or container.find("measurement/s1*.tif*"):
        return "S1"
    if "xfdumanifest.xml" in names:
        return "S3"
    for identifier in itertools.chain([container.product_id], _called(container)):
        try:
            return products.parse(products.strip(identifier)).collection
        except ProductIdError:
            continue
    return None


def _called(container: Container) -> Iterator[str]:
    """What the first netCDF file of a product without a known name calls it."""
    from extenso_nb.readers.hdf5 import global_attributes

    members = [name for name in container.find("*.nc") if not container.is_empty(name)]
    if members:
        attributes = global_attributes(container, members[0])
        yield from (str(attributes[key]) for key in ("id", "product_name") if key in attributes)


def band(tree: xr.DataTree, name: str, *, resolution: int | None = None) -> xr.DataArray:
    """One band of a product by its own name (`B04`, `SCL`, `Oa08`, `S8`, `vv`) or its common name (`red`, `nir`).

    Parameters
    ----------
    tree
        As `open_product` gives it.
    name
        Name of the variable, its `band_id`, or its `common_name` (STAC EO extension). Where several groups have it (swaths of a
        Sentinel-1 SLC), with the group before it: `IW1/VV/vv`, or as much of it as is needed: `IW1/vv`.
    resolution
        Metres; without it the finest there is. Of two views (SLSTR) it is the nadir one.

    Raises
    ------
    IncompleteProduct
        The product should have the band, but its file is missing or empty.
    InputError
        Several images have it, and the name does not say which.
    UnknownBand
        It has no such band; `error.details["bands"]` lists those there are.
    """
    known: list[str] = []
    others: list[str] = []
    found: dict[str, xr.DataArray] = {}
    *groups, wanted = name.split("/")
    for node in tree.subtree:
        if resolution is not None and node.attrs.get("nominal_resolution") != f"{resolution} m":
            continue
        for label, array in node.data_vars.items():
            common = array.attrs.get("common_name")
            if wanted in (label, common, array.attrs.get("band_id")) and set(groups) <= set(node.path.split("/")):
                found[f"{node.path.strip('/')}/{label}"] = array
            if "band_id" in array.attrs:
                known.append(f"{label} ({common})" if common else str(label))
            elif node.name == "PRODUCT":
                others.append(str(label))
    if len(found) > 1 and all("polarisation" in array.attrs for array in found.values()):
        raise InputError(
            f"{tree.attrs.get('product_id', 'The product')} has {name!r} {len(found)} times: {', '.join(found)}.",
            hint=f"Pass one of these, such as {next(iter(found))!r}.",
            bands=list(found),
        )
    if found:
        return min(found.values(), key=lambda array: "band_id" not in array.attrs)  # the band before masks of its name
    _raise_if_missing(tree, wanted, resolution)
    at = f" at {resolution} m" if resolution is not None else ""
    there = sorted(set(known or others))
    raise UnknownBand(
        f"{tree.attrs.get('product_id', 'The product')} has no band {name!r}{at}; it has {', '.join(there) or 'none'}.",
        bands=there,
    )


def _raise_if_missing(tree: xr.DataTree, name: str, resolution: int | None) -> None:
    label = _labels(tree).get(name, name)
    for member in tree.attrs.get("missing_members", ()):
        folder, _, file = str(member).rpartition("/")
        parts = re.split(r"[_.]", file)
        whole = str(member).startswith("/")  # a group without arrays, in which anything could have been
        here = resolution is None or f"{resolution}m" in parts or not parts[-1].endswith("m")
        image = folder == "measurement" and label in file.rpartition(".")[0].split("-")
        if whole or image or (label in parts and here):
            raise IncompleteProduct(
                f"{tree.attrs.get('product_id')} lists {label}, but its file is missing or empty: {member}."
                if not whole
                else f"{tree.attrs.get('product_id')} has no {label}: its group {member} has no arrays.",
                member=member,
            )


def _labels(tree: xr.DataTree) -> dict[str, str]:
    """Common name -> band, of the instrument."""
    if str(tree.attrs.get("product_type", "")).startswith("S2"):
        from extenso_nb.readers.sentinel2_metadata import BANDS

        return {entry.common_name: label for label, entry in BANDS.items()}
    kind = str(tree.attrs.get("product_type", ""))
    if kind.startswith(("OL", "SY")):
        from extenso_nb.readers.sentinel3_olci import BANDS as OLCI

        return {common: label for label, (_, _, common) in OLCI.items() if common}
    if kind.startswith("SL"):
        from extenso_nb.readers.sentinel3_slstr import CHANNELS

        return {common: label for label, (_, _, common) in CHANNELS.items() if common}
    return {}
