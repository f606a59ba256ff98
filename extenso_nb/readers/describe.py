"""What a product says of itself: footprint, times, orbit, cloud and preview, from its own metadata.

Sources: `manifest.safe` (Sentinel-1), `MTD_MSIL*.xml` or `MTD_TL.xml` (Sentinel-2), `xfdumanifest.xml` (Sentinel-3),
the attributes and coordinates of the netCDF file (Sentinel-5P). What they leave open comes from the identifier.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import threading
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from extenso_nb import aoi, products
from extenso_nb.errors import (
    AreaError,
    DamagedProduct,
    ExtensoError,
    NoQuicklook,
    ProductIdError,
    ReaderError,
    UnsupportedProduct,
)
from extenso_nb.models import Product
from extenso_nb.readers.arrays import GDAL, opened
from extenso_nb.readers.container import Container
from extenso_nb.readers.metadata import parsed
from extenso_nb.readers.opening import open_container

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["describe", "quicklook"]

QUICKLOOK_SIDE = 512
"""Pixels of the longer side of a quicklook made from an image."""

_EARTH = 510_065_622.0
"""km2 of the WGS84 ellipsoid."""
_TIMELINESS = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_QUIET = threading.Lock()  # warnings.catch_warnings changes what all threads see
Ring = list[tuple[float, float]]
Facts = dict[str, Any]


def describe(src: str | os.PathLike[str]) -> Product:
    """The product at `src` as a catalogue would describe it, from its own metadata.

    Parameters
    ----------
    src
        A SAFE or SEN3 folder, a zip of one, or a Sentinel-5P netCDF file.

    Returns
    -------
    Product
        `footprint` is in lon/lat, cut at the antimeridian, None where the product gives none. `size` is in bytes: that
        of the file when its members lie in it as they are, else the sum of the members (a gateway, which knows how it
        packs, puts the exact size of the delivery there). `ingestion_date` is the file's time.

    Raises
    ------
    ReaderError
        Nothing there, no Sentinel product (UnsupportedProduct), or one without content (IncompleteProduct).
    DamagedProduct
        A zip that is cut short, or metadata that cannot be parsed.
    """
    container = open_container(src)
    facts = _facts(container)
    identity = _identity(container, facts.pop("names", ()))
    rings = facts.pop("rings", None)
    own = {key: value for key, value in facts.items() if value is not None}
    return Product.model_validate(
        {
            "id": identity.id,
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, identity.id)),
            "collection": identity.collection,
            "platform": identity.platform,
            "instrument": identity.instrument,
            "product_type": identity.product_type,
            "processing_level": identity.processing_level,
            "begin_position": identity.start,
            "end_position": identity.stop,
            "ingestion_date": datetime.fromtimestamp(Path(src).expanduser().stat().st_mtime, UTC),
            "footprint": _footprint(rings, container.uri) if rings else None,
            "size": _size(container),
            "orbit_number": identity.orbit_number,
            "relative_orbit_number": identity.relative_orbit_number,
            "tile_id": identity.tile_id,
            "polarisation": identity.polarisation,
            "sensor_mode": identity.sensor_mode,
            "timeliness": identity.timeliness,
            "processing_baseline": identity.processing_baseline,
            **own,
        }
    )


def _identity(container: Container, names: Iterable[str]) -> products.ProductId:
    """The identifier of the folder or file, else the one that the metadata names."""
    for name in (container.product_id, *names):
        try:
            identity = products.parse(name)
        except ProductIdError:
            continue
        if (identity.extension == ".nc") == (container.kind == "file"):
            return identity
        raise UnsupportedProduct(
            f"{container.uri} is not the {identity.extension} that {identity.id} is, but something made from it.",
            hint="Offer the product as it was delivered.",
        )
    raise UnsupportedProduct(
        f"{container.uri} is no product of Sentinel-1, -2, -3 or -5P: neither its name nor its metadata says so.",
        hint="Name the folder or file after the product's identifier.",
    )


def _size(container: Container) -> int:
    names = container.names()
    if container.kind != "folder" and all(container.locate(name) is not None for name in names):
        return Path(container.path).stat().st_size
    return sum(container.size(name) for name in names)


def _facts(container: Container) -> Facts:
    """What the metadata says; empty when there is none."""
    if container.kind == "file":
        return _from_netcdf(container)
    for pattern, read in _METADATA:
        name = next((name for name in container.names() if pattern.fullmatch(name) and container.size(name)), None)
        if name is not None:
            return read(parsed(container, name))
    return {}


# --- reading XML -----------------------------------------------------------------------------------------------------
def _text(root: ET.Element, path: str) -> str | None:
    """Text of the first element; `path` without namespaces: `a/b` is any b in an a."""
    found = root.find(_any(path))
    text = (found.text or "").strip() if found is not None else ""
    return text or None


def _texts(root: ET.Element, path: str) -> list[str]:
    return [text for found in root.iterfind(_any(path)) if (text := (found.text or "").strip())]


def _any(path: str) -> str:
    return ".//" + "/".join(f"{{*}}{step}" for step in path.split("/"))


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise DamagedProduct(f"{text[:40]!r} stands in the metadata where a number should.") from error
    if not math.isfinite(value):
        raise DamagedProduct(f"{text[:40]!r} stands in the metadata where a number should.")
    return value


def _whole(text: str | None) -> int | None:
    value = _number(text)
    return None if value is None else int(value)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DamagedProduct(f"{text[:40]!r} stands in the metadata where a time should.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _ring(text: str) -> Ring:
    """A ring of lon, lat from a list of latitudes and longitudes as the products write it (blanks or commas)."""
    values = [value for word in re.split(r"[\s,]+", text.strip()) if (value := _number(word)) is not None]
    if len(values) < 4 or len(values) % 2:
        raise DamagedProduct(f"The footprint in the metadata has {len(values)} numbers, which are no pairs.")
    return list(zip(values[1::2], values[0::2], strict=True))


# --- the missions ----------------------------------------------------------------------------------------------------
def _from_sentinel1(root: ET.Element) -> Facts:
    polarisations = _texts(root, "transmitterReceiverPolarisation")
    software = root.find(".//{*}software[@name='Sentinel-1 IPF']")
    return {
        "rings": [_ring(text) for text in _texts(root, "footPrint/coordinates")],
        "begin_position": _time(_text(root, "acquisitionPeriod/startTime")),
        "end_position": _time(_text(root, "acquisitionPeriod/stopTime")),
        "orbit_number": _whole(_text(root, "orbitReference/orbitNumber")),
        "relative_orbit_number": _whole(_text(root, "orbitReference/relativeOrbitNumber")),
        "orbit_direction": _upper(_text(root, "orbitProperties/pass")),
        "polarisation": " ".join(sorted(set(polarisations), key=lambda pair: (pair[0] != pair[1], pair))) or None,
        "sensor_mode": _text(root, "instrumentMode/mode"),
        "product_type": _text(root, "standAloneProductInformation/productType"),
        "timeliness": _text(root, "productTimelinessCategory"),
        "processing_baseline": software.get("version") if software is not None else None,
    }


def _from_sentinel2(root: ET.Element) -> Facts:
    datatake = root.find(".//{*}Datatake")
    orbit = re.search(r"_(\d{6})_N", datatake.get("datatakeIdentifier", "") if datatake is not None else "")
    return {
        "names": [name for name in (_text(root, "PRODUCT_URI"), _text(root, "PRODUCT_URI_2A")) if name],
        "rings": [_ring(text) for text in _texts(root, "Global_Footprint/EXT_POS_LIST")],
        "begin_position": _time(_text(root, "PRODUCT_START_TIME")),
        "end_position": _time(_text(root, "PRODUCT_STOP_TIME")),
        "orbit_number": int(orbit[1]) if orbit else None,
        "relative_orbit_number": _whole(_text(root, "SENSING_ORBIT_NUMBER")),
        "orbit_direction": _upper(_text(root, "SENSING_ORBIT_DIRECTION")),
        "sensor_mode": _text(root, "DATATAKE_TYPE"),
        "product_type": _s2_type(_text(root, "PRODUCT_TYPE")),
        "cloud_cover": _number(_text(root, "Cloud_Coverage_Assessment")),
        "processing_baseline": _text(root, "PROCESSING_BASELINE"),
    }


def _s2_type(text: str | None) -> str | None:
    """`S2MSI2Ap` of the pilot is what the catalogues call S2MSI2A as well; others are left to the identifier."""
    return text[:7] if text and text[:7] in {"S2MSI1C", "S2MSI2A"} else None


def _from_sentinel2_tile(root: ET.Element) -> Facts:
    """From MTD_TL.xml, for a product whose MTD_MSIL*.xml is missing: the footprint is that of the tile."""
    orbit = re.search(r"_A(\d{6})_T", _text(root, "TILE_ID") or "")
    sensed = _time(_text(root, "SENSING_TIME"))
    return {
        "rings": _tile_rings(root),
        "begin_position": sensed,
        "end_position": sensed,
        "orbit_number": int(orbit[1]) if orbit else None,
        "cloud_cover": _number(_text(root, "CLOUDY_PIXEL_PERCENTAGE")),
    }


def _tile_rings(root: ET.Element) -> list[Ring]:
    code, corner = _text(root, "HORIZONTAL_CS_CODE"), root.find(".//{*}Geoposition[@resolution='10']")
    extent = root.find(".//{*}Size[@resolution='10']")
    if code is None or corner is None or extent is None:
        return []
    west, north = _number(_text(corner, "ULX")), _number(_text(corner, "ULY"))
    rows, columns = _number(_text(extent, "NROWS")), _number(_text(extent, "NCOLS"))
    if west is None or north is None or rows is None or columns is None:
        return []
    from pyproj import Transformer

    east, south = west + 10 * columns, north - 10 * rows
    to_lonlat = Transformer.from_crs(code, "EPSG:4326", always_xy=True)
    corners = [(west, north), (east, north), (east, south), (west, south), (west, north)]
    return [[to_lonlat.transform(x, y) for x, y in corners]]


def _from_sentinel3(root: ET.Element) -> Facts:
    orbit = root.find(_any("orbitReference/orbitNumber"))
    cloud = root.find(_any("cloudyPixels"))  # nadir before oblique
    timeliness = _text(root, "generalProductInformation/timeliness")
    name = _text(root, "generalProductInformation/productName")
    return {
        "names": [name] if name else [],
        "rings": [_ring(text) for text in _texts(root, "footPrint/posList")],
        "begin_position": _time(_text(root, "acquisitionPeriod/startTime")),
        "end_position": _time(_text(root, "acquisitionPeriod/stopTime")),
        "orbit_number": _whole(orbit.text) if orbit is not None else None,
        "relative_orbit_number": _whole(_text(root, "orbitReference/relativeOrbitNumber")),
        "orbit_direction": _upper(orbit.get("groundTrackDirection")) if orbit is not None else None,
        "sensor_mode": _text(root, "instrument/mode"),
        "product_type": _text(root, "generalProductInformation/productType"),
        "cloud_cover": _number(cloud.get("percentage")) if cloud is not None else None,
        "timeliness": _TIMELINESS.get(timeliness or "", timeliness),
        "processing_baseline": _text(root, "generalProductInformation/baselineCollection"),
    }


def _upper(text: str | None) -> str | None:
    return text.upper() if text else None


_METADATA = (
    (re.compile(r"xfdumanifest\.xml"), _from_sentinel3),
    (re.compile(r"MTD_MSIL\w+\.xml|S2\w_\w+_MTD_SAF\w+\.xml"), _from_sentinel2),
    (re.compile(r"GRANULE/[^/]+/MTD_TL\.xml"), _from_sentinel2_tile),
    (re.compile(r"manifest\.safe"), _from_sentinel1),  # Sentinel-2's says nothing that its MTD does not
)


def _from_netcdf(container: Container) -> Facts:
    import h5py

    name = container.names()[0]
    try:
        with container.open(name) as stream, h5py.File(stream, "r") as file:
            if _attribute(file, "platform") not in {"S5P", "Sentinel-5P", "Sentinel-5 precursor", None}:
                return {}
            orbit = file.attrs.get("orbit")
            identifier = _attribute(file, "id")
            return {
                "names": [identifier] if identifier else [],
                "rings": _swath_rings(file) or _gml_rings(file),
                "begin_position": _time(_attribute(file, "time_coverage_start")),
                "end_position": _time(_attribute(file, "time_coverage_end")),
                "orbit_number": None if orbit is None else int(orbit.flat[0]),
            }
    except OSError as error:
        if container.product_id.startswith("S5P"):
            raise DamagedProduct(f"{container.uri} cannot be read as netCDF 4: {error}.") from error
        return {}  # netCDF 3, which no Sentinel-5P product is: the name alone decides


def _attribute(node: Any, name: str) -> str | None:
    value = node.attrs.get(name)
    if hasattr(value, "flat"):
        value = value.flat[0] if value.size else None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(text).strip() or None if text is not None else None


def _gml_rings(file: Any) -> list[Ring]:
    where = "METADATA/EOP_METADATA/om:featureOfInterest/eop:multiExtentOf/gml:surfaceMembers/gml:exterior"
    text = _attribute(file[where], "gml:posList") if where in file else None
    return [_ring(text)] if text else []


def _swath_rings(file: Any) -> list[Ring]:
    """The outline of the swath as a chain of cells along the track, so that poles and antimeridian do no harm."""
    import numpy as np

    if "PRODUCT/latitude" not in file or "PRODUCT/longitude" not in file:
        return []
    latitude, longitude = file["PRODUCT/latitude"], file["PRODUCT/longitude"]
    if latitude.ndim != 3 or latitude.shape != longitude.shape or min(latitude.shape[1:]) < 2:
        return []
    rows, columns = latitude.shape[1:]
    along = np.unique(np.linspace(0, rows - 1, min(rows, 60)).astype(int))
    across = np.unique(np.linspace(0, columns - 1, min(columns, 12)).astype(int))
    lat, lon = (_filled(node[0], node)[np.ix_(along, across)] for node in (latitude, longitude))
    good = np.isfinite(lat).all(axis=1) & np.isfinite(lon).all(axis=1)
    lat, lon = lat[good], lon[good]
    cells = [
        [*zip(lon[i], lat[i], strict=True), *zip(lon[i + 1, ::-1], lat[i + 1, ::-1], strict=True)]
        for i in range(len(lat) - 1)
    ]
    return [[(float(x), float(y)) for x, y in [*cell, cell[0]]] for cell in cells]


def _filled(values: NDArray[np.float32], node: Any) -> NDArray[np.float64]:
    import numpy as np

    fill = node.attrs.get("_FillValue")
    data = values.astype(np.float64)
    data[(values == fill.flat[0]) if fill is not None else np.zeros(values.shape, bool)] = np.nan
    data[np.abs(data) > 360] = np.nan
    return data


# --- the footprint ---------------------------------------------------------------------------------------------------
def _footprint(rings: Sequence[Ring], uri: str) -> dict[str, Any] | None:
    """GeoJSON geometry of the union of the rings, valid and cut at the antimeridian."""
    import shapely

    if any(abs(lat) > 90.001 or abs(lon) > 360 for ring in rings for lon, lat in ring):
        raise DamagedProduct(f"The footprint in the metadata of {uri} is not on Earth.")
    try:
        parts = [_smaller_side(aoi.valid_footprint(_shape(ring))) for ring in rings]
    except AreaError as error:
        raise DamagedProduct(f"The footprint in the metadata of {uri} is no area: {error.message}") from error
    whole = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    found: dict[str, Any] = json.loads(shapely.to_geojson(whole))
    return None if whole.is_empty else found


def _shape(ring: Ring) -> Any:
    """A polygon, or the line or point that a ring without area is (altimeter tracks)."""
    from shapely.geometry import LineString, Point, Polygon

    distinct = list(dict.fromkeys(ring))
    if len(distinct) == 1:
        return Point(distinct[0])
    polygon = Polygon(ring) if len(distinct) > 2 else None
    return polygon if polygon is not None and polygon.area > 0 else LineString(ring)


def _smaller_side(shape: Any) -> Any:
    """The smaller of the two parts into which an outline cuts the Earth: no product covers half of it.

    The outline of a swath from pole to pole (Sentinel-5P) goes round both poles; in lon/lat, what lies *within* it is
    then everything that the swath does not cover.
    """
    import shapely

    if shape.geom_type not in {"Polygon", "MultiPolygon"} or aoi.area(shape).km2 <= _EARTH / 2:
        return shape
    return shapely.box(-180, -90, 180, 90).difference(shape)


# --- the picture -----------------------------------------------------------------------------------------------------
_PICTURES: Mapping[str, tuple[re.Pattern[str], ...]] = {
    "S1": (re.compile(r"preview/quick-look\.png"), re.compile(r"preview/thumbnail\.png")),
    "S2": (
        re.compile(r"[^/]+-ql\.jpg"),
        re.compile(r"GRANULE/[^/]+/QI_DATA/[^/]*_PVI[^/]*\.jp2"),
        re.compile(r"GRANULE/[^/]+/IMG_DATA/R60m/[^/]*_TCI_60m\.jp2"),
        re.compile(r"GRANULE/[^/]+/IMG_DATA/(R\d\dm/)?[^/]*_TCI(_\d\dm)?\.jp2"),
    ),
    "S3": (
        re.compile(r"quicklook\.jpg"),
        re.compile(r"[^/]+-ql\.jpg"),
        re.compile(r"[^/]*quick-?look[^/]*\.(jpg|png)"),
    ),
}


def quicklook(src: str | os.PathLike[str]) -> bytes:
    """The product's own preview: JPEG or PNG.

    Sentinel-1 quick-look (or thumbnail), Sentinel-2 `-ql.jpg`, preview image or true-colour image made smaller (at
    most 512 pixels), Sentinel-3 quicklook.

    Raises
    ------
    NoQuicklook
        The product has none, or only an empty or damaged one: the message says which.
    ReaderError, DamagedProduct
        As `describe`.
    """
    container = open_container(src)
    identity = _named(container)
    tried = []
    for pattern in _PICTURES.get(identity.collection, ()):
        for name in (name for name in container.names() if pattern.fullmatch(name)):
            try:
                return _picture(container, name)
            except (ExtensoError, OSError, ValueError) as error:
                tried.append(f"{name} ({error.message if isinstance(error, ExtensoError) else error})")
    reason = f": {'; '.join(tried)[:500]}" if tried else ""
    raise NoQuicklook(f"{identity.id} holds no picture{reason}.")


def _named(container: Container) -> products.ProductId:
    """The identifier; the metadata is only read when the name does not say it."""
    try:
        return products.parse(container.product_id)
    except ProductIdError:
        return _identity(container, _facts(container).get("names", ()))


def _picture(container: Container, name: str) -> bytes:
    if container.is_empty(name):
        raise ReaderError("it is empty")
    if name.endswith(".jp2"):
        return _decimated(container.gdal_path(name))
    data = container.read(name)
    if not data.startswith((_JPEG, _PNG)):
        raise ReaderError("it is neither JPEG nor PNG")
    return data


def _decimated(path: str) -> bytes:
    """An image of 1 or 3 bands of bytes as JPEG, its longer side at most `QUICKLOOK_SIDE` pixels."""
    import numpy as np
    import rasterio
    from PIL import Image

    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # previews need no georeference
        # One thread: with several, GDAL hands out wrong pixels of a JPEG 2000 file that is cut short, and says nothing.
        with rasterio.Env(**GDAL), opened(path) as image:
            step = max(1.0, max(image.width, image.height) / QUICKLOOK_SIDE)
            bands = [1, 2, 3] if image.count >= 3 else [1, 1, 1]
            shape = (3, max(1, round(image.height / step)), max(1, round(image.width / step)))
            if image.dtypes[0] != "uint8":
                raise ReaderError(f"its pixels are {image.dtypes[0]}")
            pixels = image.read(bands, out_shape=shape)
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(target, "JPEG", quality=85)
    return target.getvalue()
