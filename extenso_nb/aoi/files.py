"""GeoDataFrames, and files with vectors in them: GeoJSON, WKT, shapefile, GeoPackage, KML, FlatGeobuf, zipped or not."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from extenso_nb import _html
from extenso_nb.aoi.build import Builder, transformer
from extenso_nb.aoi.text import json_shapes, walk, wkt_shapes
from extenso_nb.errors import AreaError

__all__ = ["MAX_FILE", "SUFFIXES", "content_shapes", "file_shapes", "frame_shapes"]

SUFFIXES: tuple[str, ...] = (".geojson", ".json", ".wkt", ".zip", ".shp", ".gpkg", ".kml", ".kmz", ".fgb", ".gpx")
"""Files that `area` reads."""
MAX_FILE = 200_000_000
"""Bytes of a file, or of a member of a zip, that is still read."""


def frame_shapes(frame: Any) -> Iterator[BaseGeometry]:
    """The geometries of a GeoDataFrame or GeoSeries, from its CRS; without one they must look like lon/lat."""
    builder = Builder(transformer(frame.crs))
    try:
        for number, item in enumerate(frame.geometry):
            if item is not None:
                for path, body in walk(shapely.geometry.mapping(item), f"row {number}", 0):
                    yield from builder.geometry(body, path)
    except AreaError as error:
        if frame.crs is None:
            raise AreaError(
                f"The {type(frame).__name__} has no CRS, and is not in lon/lat: {error.message}",
                hint="Say what its coordinates are: frame.set_crs(...).",
            ) from None
        raise


_MAGIC = {".shp": b"\x00\x00\x27\x0a", ".gpkg": b"SQLite format 3\x00", ".fgb": b"fgb"}


def file_shapes(path: Path, shown: str = "") -> Iterator[BaseGeometry]:
    """The geometries of a file; `shown` names it in messages."""
    shown = shown or str(path)
    try:
        if path.stat().st_size > MAX_FILE:
            raise AreaError(f"{shown} has more than {_html.bytes_text(MAX_FILE)}.", hint="Simplify or split it.")
        content = path.read_bytes()
    except OSError as error:
        raise AreaError(f"{shown} cannot be read: {error.strerror or error}.") from None
    if path.suffix.lower() == ".shp":
        _check_magic(content, ".shp", shown)
        return _layer_shapes(path, shown)  # its .shx, .dbf and .prj lie beside it
    return content_shapes(content, path.name, shown)


def content_shapes(content: bytes, name: str, shown: str) -> Iterator[BaseGeometry]:
    """The geometries of a file's bytes; the suffix of `name` says what they are, `shown` names them in messages."""
    suffix = Path(name).suffix.lower()
    if suffix in (".zip", ".kmz"):
        return _zip_shapes(content, shown)
    if suffix in (".geojson", ".json", ".wkt"):
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise AreaError(f"{shown} is not text in UTF-8 (byte {error.start}).") from None
        return wkt_shapes(text) if suffix == ".wkt" else json_shapes(text, shown)
    if suffix in (".gpkg", ".fgb", ".kml", ".gpx"):
        _check_magic(content, suffix, shown)
        return _layer_shapes(content, shown)
    if suffix == ".shp":
        raise AreaError(f"{shown} is a part of a shapefile.", hint="Zip the .shp with its .shx, .dbf and .prj.")
    raise AreaError(f"{shown} is of no kind known here.", hint=f"These are: {', '.join(SUFFIXES)}.")


def _check_magic(content: bytes, suffix: str, shown: str) -> None:
    # GDAL goes by content, and some of its formats (VRT) point to other files: let in only what the suffix promises.
    word = b"<" + suffix[1:].encode()
    right = word in content[:8192] if suffix in (".kml", ".gpx") else content.startswith(_MAGIC[suffix])
    if not right:
        raise AreaError(f"{shown} is no {suffix[1:]} file inside.", hint="Check that it is whole.")


def _zip_shapes(content: bytes, shown: str) -> Iterator[BaseGeometry]:
    """All members of the first kind of SUFFIXES that a zip holds."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = [item for item in archive.infolist() if not item.is_dir() and "__MACOSX" not in item.filename]
            if sum(item.file_size for item in members) > MAX_FILE:
                raise AreaError(
                    f"{shown} unpacks to more than {_html.bytes_text(MAX_FILE)}.", hint="Simplify or split it."
                )
            for suffix in (".shp", ".kml", ".geojson", ".json", ".gpkg", ".fgb"):
                names = [item.filename for item in members if item.filename.lower().endswith(suffix)]
                if names:
                    return iter(
                        [shape for name in names for shape in _member_shapes(archive, name, f"{name} in {shown}")]
                    )
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise AreaError(f"{shown} is a damaged or locked zip: {error}.") from None
    raise AreaError(f"{shown} holds no shapefile, KML, GeoJSON, GeoPackage or FlatGeobuf.")


def _member_shapes(archive: zipfile.ZipFile, name: str, shown: str) -> Iterator[BaseGeometry]:
    if not name.lower().endswith(".shp"):
        yield from content_shapes(archive.read(name), name, shown)
        return
    with tempfile.TemporaryDirectory(prefix="extenso-area-") as folder:
        # Written under names of our own: those in a zip may point anywhere.
        for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
            for member in archive.namelist():
                if member.lower() == name[:-4].lower() + suffix:
                    (Path(folder) / f"area{suffix}").write_bytes(archive.read(member))
        yield from file_shapes(Path(folder) / "area.shp", shown)


def _layer_shapes(source: Path | bytes, shown: str) -> Iterator[BaseGeometry]:
    """All layers of what GDAL reads."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Z, M and open rings: both are dealt with below
            layers = [str(row[0]) for row in pyogrio.list_layers(source) if row[1] is not None]
            read = [(layer, pyogrio.raw.read(source, layer=layer, columns=[])) for layer in layers]
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise AreaError(f"{shown} cannot be read: {error}.") from None
    for layer, (meta, _, blobs, _) in read:
        builder = Builder(transformer(meta["crs"]))
        for number, blob in enumerate(blobs):
            if blob is None:
                continue
            place = f"{shown}, layer {layer}, feature {number}"
            try:
                item = shapely.from_wkb(blob)
            except shapely.errors.GEOSException as error:
                raise AreaError(f"{place} is no geometry: {error}.") from None
            for path, body in walk(shapely.geometry.mapping(item), place, 0):
                yield from builder.geometry(body, path)
