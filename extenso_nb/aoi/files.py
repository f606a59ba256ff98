"""GeoDataFrames, and files with vectors in them: GeoJSON, WKT, shapefile, GeoPackage, KML, GPX, FlatGeobuf, zipped or not."""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from extenso_nb import _html
from extenso_nb.aoi.build import Builder, transformer
from extenso_nb.aoi.text import json_shapes, walk, wkt_shapes
from extenso_nb.errors import AreaError

__all__ = ["MAX_FILE", "SUFFIXES", "content_shapes", "file_shapes", "frame_shapes", "upload_shapes"]

SUFFIXES: tuple[str, ...] = (".geojson", ".json", ".wkt", ".zip", ".shp", ".gpkg", ".kml", ".kmz", ".gpx", ".fgb")
"""Files that `area` reads."""
MAX_FILE = 200_000_000
"""Bytes of a file, of what a zip unpacks to, or of files given together, that are still read."""
MAX_MEMBERS = 10_000
"""Files in a zip that is still read."""
SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
"""Parts of a shapefile that are read."""
BESIDE = (".sbn", ".sbx", ".qix", ".qpj", ".qmd", ".cst", ".fix", ".shp.xml")
"""Parts of a shapefile that are not needed: indices, styles, notes."""


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


def upload_shapes(files: Mapping[str, bytes]) -> Iterator[BaseGeometry]:
    """The geometries of files given together, as a browser hands them over: file name -> content.

    The parts of a shapefile find each other by their names; all files are read.
    """
    if sum(len(content) for content in files.values()) > MAX_FILE:
        raise AreaError(
            f"The files have more than {_html.bytes_text(MAX_FILE)} together.", hint="Simplify or split them."
        )
    found: list[BaseGeometry] = []
    shapefiles: dict[str, dict[str, str]] = defaultdict(dict)
    for name, content in files.items():
        # Of "a.b.shp.xml" the stem is "a.b" and the suffix ".shp.xml".
        base = PurePosixPath(name.replace("\\", "/")).name.lower()
        suffix = next((end for end in (*BESIDE, *SHAPEFILE) if base.endswith(end)), "")
        if suffix:
            twin = shapefiles[base.removesuffix(suffix)].setdefault(suffix, name)
            if twin != name:
                raise AreaError(
                    f"{twin} and {name} have the same name.", hint="Give one shapefile of a name at a time."
                )
        else:
            found += content_shapes(content, name, name)
    for parts in shapefiles.values():
        if ".shp" not in parts:
            name = next(iter(parts.values()))
            raise AreaError(f"{name} is a part of a shapefile that was given without its .shp.", hint=_WHOLE)
        found += _shapefile({suffix: files[name] for suffix, name in parts.items()}, parts[".shp"])
    return iter(found)


_WHOLE = "A shapefile is .shp, .shx, .dbf and .prj: give all of them together, or zip them."
_MAGIC = {
    ".shp": rb"\x00\x00\x27\x0a",
    ".gpkg": rb"SQLite format 3\x00",
    ".fgb": rb"fgb",
    ".zip": rb"PK\x03\x04",
    ".geojson": rb"(?:\xef\xbb\xbf)?\s*[{\[]",
    ".wkt": rb"(?i:(?:\xef\xbb\xbf)?\s*(?:SRID=|(?:MULTI)?(?:POLYGON|POINT|LINESTRING)|GEOMETRYCOLLECTION))",
}
# The first element, behind whatever may come before it: GDAL goes by content, and some of its formats (VRT) point to
# other files, so the root must be what the suffix promises. A DOCTYPE is nothing that these formats need.
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s++|<\?(?:(?!\?>).)*+\?>|<!--(?:(?!-->).)*+-->)*+<(?:[\w.-]++:)?+([\w.-]++)[\s/>]",
    re.DOTALL,
)


def file_shapes(path: Path) -> Iterator[BaseGeometry]:
    """The geometries of a file."""
    try:
        if path.suffix.lower() != ".shp":
            return content_shapes(_read(path), path.name, str(path))
        spelled = [(suffix, path.with_suffix(one)) for suffix in SHAPEFILE for one in (suffix.upper(), suffix)]
        parts = {suffix: _read(part) for suffix, part in spelled if part.is_file()}
        return _shapefile(parts | {".shp": _read(path)}, str(path))
    except OSError as error:
        raise AreaError(f"{path} cannot be read: {error.strerror or error}.") from None


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE:
        raise AreaError(f"{path} has more than {_html.bytes_text(MAX_FILE)}.", hint="Simplify or split it.")
    return path.read_bytes()


def content_shapes(content: bytes, name: str, shown: str) -> Iterator[BaseGeometry]:
    """The geometries of a file's bytes; the suffix of `name` says what they are, `shown` names them in messages."""
    found = _content_shapes(content, name, shown)
    if not found:
        raise AreaError(f"{shown} has no geometry.", hint="Give a file with at least one polygon, line or point.")
    return iter(found)


def _content_shapes(content: bytes, name: str, shown: str) -> list[BaseGeometry]:
    if not content and name:
        raise AreaError(f"{shown} is empty: it has 0 bytes.", hint="Save or download it once more, and give that.")
    if len(content) > MAX_FILE:
        raise AreaError(f"{shown} has more than {_html.bytes_text(MAX_FILE)}.", hint="Simplify or split it.")
    suffix = Path(name).suffix.lower()
    try:
        return list(_known_shapes(content, suffix, shown))
    except AreaError as error:
        message, hint = error.message, error.hint
    looks = _looks_like(content)
    if looks == ".html":
        hint = "It is a web page, perhaps one that asks to log in: download the file itself."
    elif looks and looks != _SAME.get(suffix, suffix):
        hint = f"What is in it looks like {looks}: give it a name that ends so."
    raise AreaError(message if shown in message else f"{shown}: {message}", hint=hint)


_SAME = {".json": ".geojson", ".kmz": ".zip"}


def _known_shapes(content: bytes, suffix: str, shown: str) -> Iterator[BaseGeometry]:
    if suffix in (".zip", ".kmz"):
        return _zip_shapes(content, shown)
    if suffix in (".geojson", ".json", ".wkt"):
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise AreaError(f"{shown} is not text in UTF-8 (byte {error.start}).") from None
        return wkt_shapes(text, shown) if suffix == ".wkt" else json_shapes(text, shown)
    if suffix in (".gpkg", ".fgb", ".kml", ".gpx"):
        if _looks_like(content) != suffix:
            raise AreaError(f"{shown} is no {suffix[1:]} file inside.", hint="Check that it is whole.")
        return _gpx_shapes(content, shown) if suffix == ".gpx" else _layer_shapes(content, shown)
    if suffix in SHAPEFILE:
        raise AreaError(f"{shown} is a part of a shapefile.", hint=_WHOLE)
    hint = f"These are: {', '.join(SUFFIXES)}."
    raise AreaError(
        f"{shown} is of no kind known here.",
        hint=hint if suffix else f"{hint} The name of the file says which: area(content, name=...).",
    )


def _looks_like(content: bytes) -> str:
    """The suffix that fits the content, .html for a web page, or nothing."""
    for suffix, magic in _MAGIC.items():
        if re.match(magic, content[:8192]):
            return suffix
    root = _ROOT.match(content[:65536])
    if root:
        name = root[1].decode("ascii", "replace").lower()
        return f".{name}" if name in ("kml", "gpx", "html") else ""
    return ".html" if content[:200].lstrip().lower().startswith(b"<!doctype html") else ""


def _shapefile(parts: Mapping[str, bytes], shown: str) -> Iterator[BaseGeometry]:
    """A shapefile from its parts: suffix -> content."""
    if not parts[".shp"]:
        raise AreaError(f"{shown} is empty: it has 0 bytes.", hint="Save or download it once more, and give that.")
    if _looks_like(parts[".shp"]) != ".shp":
        raise AreaError(f"{shown} is no shp file inside.", hint="Check that it is whole.")
    if ".shx" not in parts:
        raise AreaError(f"{shown} cannot be read: its .shx is missing.", hint=_WHOLE)
    for suffix in (".shp", ".shx"):
        # Both say in 16-bit words how long they are; GDAL passes over features that it does not find.
        whole, there = 2 * int.from_bytes(parts[suffix][24:28], "big"), len(parts[suffix])
        if there < max(whole, 100):
            raise AreaError(
                f"{shown} cannot be read: its {suffix} is cut off at {there:,} bytes.", hint="Copy it again."
            )
    with tempfile.TemporaryDirectory(prefix="extenso-area-") as folder:
        # Written under names of our own: those given may point anywhere.
        for suffix in SHAPEFILE:
            if suffix in parts:
                (Path(folder) / f"area{suffix}").write_bytes(parts[suffix])
        return iter(list(_layer_shapes(Path(folder) / "area.shp", shown)))


def _zip_shapes(content: bytes, shown: str) -> Iterator[BaseGeometry]:
    """All members of the first kind of SUFFIXES that a zip holds."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = [item for item in archive.infolist() if not item.is_dir() and "__MACOSX" not in item.filename]
            if len(members) > MAX_MEMBERS:
                raise AreaError(f"{shown} holds {len(members):,} files.", hint="Zip only those that say the area.")
            if sum(item.file_size for item in members) > MAX_FILE:
                raise AreaError(
                    f"{shown} unpacks to more than {_html.bytes_text(MAX_FILE)}.", hint="Simplify or split it."
                )
            names = {item.filename.lower(): item.filename for item in members}
            for suffix in (".shp", ".kml", ".gpx", ".geojson", ".json", ".gpkg", ".fgb", ".wkt"):
                kept = [item.filename for item in members if item.filename.lower().endswith(suffix)]
                if kept:
                    return iter([shape for name in kept for shape in _member_shapes(archive, name, names, shown)])
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise AreaError(f"{shown} is a damaged or locked zip: {error}.") from None
    raise AreaError(f"{shown} holds no shapefile, KML, GPX, GeoJSON, GeoPackage, FlatGeobuf or WKT.")


def _member_shapes(archive: zipfile.ZipFile, name: str, names: Mapping[str, str], shown: str) -> Iterator[BaseGeometry]:
    """One member of a zip; `names` finds those beside it in any case."""
    if not name.lower().endswith(".shp"):
        return iter(_content_shapes(archive.read(name), name, f"{name} in {shown}"))
    beside = {suffix: names.get(name[:-4].lower() + suffix) for suffix in SHAPEFILE}
    parts = {suffix: archive.read(part) for suffix, part in beside.items() if part is not None}
    return _shapefile(parts, f"{name} in {shown}")


def _layer_shapes(source: Path | bytes, shown: str) -> Iterator[BaseGeometry]:
    """All layers of what GDAL reads."""
    import pyogrio

    with _reading(source, shown):
        layers = [str(row[0]) for row in pyogrio.list_layers(source) if row[1] is not None]
        read = [(layer, pyogrio.raw.read(source, layer=layer, columns=[])) for layer in layers]
        # GDAL takes a FlatGeobuf that is cut off for one that ends there; its head says how many there should be.
        cuttable = isinstance(source, bytes) and source.startswith(b"fgb")
        announced = [pyogrio.read_info(source, layer=layer)["features"] for layer in layers] if cuttable else []
    for whole, (_, (_, _, blobs, _)) in zip(announced, read, strict=False):
        if len(blobs) < whole:
            raise AreaError(
                f"{shown} is cut off: it has {len(blobs)} of {whole} features.", hint="Copy or download it once more."
            )
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
            try:
                for path, body in walk(shapely.geometry.mapping(item), place, 0):
                    yield from builder.geometry(body, path)
            except AreaError as error:
                if meta["crs"] is not None:
                    raise
                raise AreaError(
                    f"{shown} has no CRS, and is not in lon/lat: {error.message}",
                    hint="Of a shapefile the .prj says it: give that as well." if isinstance(source, Path) else None,
                ) from None


@contextmanager
def _reading(source: Path | bytes, shown: str) -> Iterator[None]:
    """GDAL's errors as ours; a path of our own in them is none of the reader's business."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Z, M and open rings: both are dealt with by Builder
            yield
    except (DataSourceError, DataLayerError, FeatureError, OSError, ValueError) as error:
        reason = str(error).replace(str(source), shown) if isinstance(source, Path) else str(error)
        raise AreaError(f"{shown} cannot be read: {reason}.") from None


def _gpx_shapes(content: bytes, shown: str) -> Iterator[BaseGeometry]:
    """Waypoints, routes and tracks.

    GPX knows no polygons, so an outline drawn in it is a track or route that ends where it begins: that is one. An
    open one stays a line, and a waypoint a point, as they do in KML and GeoJSON: a search along a track is a thing to
    ask for, while its hull would be an area that nobody drew (of a coast walk, mostly sea). What there is of the
    highest dimension counts, so an outline wins over the waypoints beside it; the area's type and km² tell which.
    """
    import pyogrio

    # Of routes and tracks the points: segments of one, which receivers record where they lose the sky, are no lines.
    columns = {"waypoints": [], "route_points": ["route_fid"], "track_points": ["track_fid", "track_seg_id"]}
    with _reading(content, shown):
        there = {str(row[0]) for row in pyogrio.list_layers(content)}
        read = {name: pyogrio.raw.read(content, layer=name, columns=columns[name]) for name in columns if name in there}
    builder = Builder(None)
    for name, (_, _, blobs, fields) in read.items():
        xy = shapely.get_coordinates(shapely.from_wkb(blobs))
        word = name.removesuffix("s").removesuffix("_point")
        if not columns[name]:
            for number, position in enumerate(xy.tolist()):
                yield builder.point(position, f"{shown}, {word} {number}")
            continue
        keys = np.column_stack(fields)
        breaks = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
        for key, segment in zip(keys[[0, *breaks]] if len(keys) else [], np.split(xy, breaks), strict=False):
            place = f"{shown}, {word} {key[0]}" + (f", segment {key[1]}" if len(key) > 1 else "")
            yield _way(builder, segment.tolist(), place)


def _way(builder: Builder, positions: list[list[float]], place: str) -> BaseGeometry:
    """A polygon of what is closed; a line, or a point, of what is not."""
    if len(positions) > 3 and positions[0] == positions[-1]:
        try:
            return builder.polygon([positions], place)
        except AreaError:
            pass  # there and back on one line; what else may be wrong with it, the line tells as well
    return builder.line(positions, place) if len(positions) > 1 else builder.point(positions[0], place)
