"""Lazy arrays over image members: a window is read when it is computed, by a handle that belongs to that one read.

GDAL handles are not thread-safe, and a JPEG 2000 handle shared by threads gives wrong pixels without an error. So no
handle is kept or shared: each read opens the member, reads its window, and closes it (3 ms for a local JPEG 2000). What is
left is a description of the member (path, shape, type), which pickles into workers.

Of a member at an address only what the window touches is fetched, by as few requests as it takes: of a JPEG 2000 file
the tiles, as a codestream of their own (`jp2.Codestream`); of a TIFF the strips or tiles, handed to GDAL where it asks.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from extenso_nb.errors import DamagedProduct, IncompleteProduct
from extenso_nb.readers import image_tiles, jp2

if TYPE_CHECKING:
    from extenso_nb.readers.container import Container, Location
    from extenso_nb.readers.image_tiles import Window

__all__ = ["Image", "ImageArray", "ImageFile", "Packing", "chunk_sizes", "control_points", "probe", "survey"]

CHUNK = 2048
"""Rows and columns that a chunk of `chunks="auto"` comes near to: 2 x 2 tiles of a 10 m band, 17 MB of float32."""

# The file speaks for itself: no directory listing, no .aux.xml or world file beside it that changes what it says.
# One thread a read: with more, GDAL decodes tiles in threads of its own and loses their errors. Of 40 JPEG 2000 files cut
# at random, 39 then gave wrong pixels without an error, and none with one thread. Dask reads chunks in parallel anyway.
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO", "GDAL_NUM_THREADS": "1"}
"""Options without which GDAL would look at the files beside an image, which may lead it anywhere."""
_NOWHERE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_quiet = threading.Lock()
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image member: where its bytes are."""

    path: str
    """As GDAL opens it; empty where it lies at an address."""
    member: str
    source: str
    """The product that it is part of, for messages."""
    where: Location | None = field(default=None, repr=False)
    """Its bytes, where it lies at an address as it is."""
    container: Container | None = field(default=None, repr=False)
    """The zip, where it lies at an address and is deflated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(ImageFile):
    """One image member: where it lies and what it holds, read from the file itself."""

    height: int
    width: int
    bands: int
    dtype: str
    tile: tuple[int, int]
    """Rows and columns of the file's own blocks."""
    crs: str | None
    """`EPSG:<code>` or WKT; None where the file has none."""
    transform: tuple[float, ...]
    """(x size, row rotation, west edge, column rotation, y size, north edge): the first six of an Affine."""

    @property
    def access(self) -> str:
        """How its pixels are read: `gdal`, or `ranges` of bytes."""
        return "gdal" if self.where is None else "ranges"


@dataclass(frozen=True, slots=True)
class Packing:
    """How stored numbers become values: ``(DN + offset) / quantification``, where DN is none of `invalid`."""

    offset: float = 0.0
    quantification: float = 1.0
    invalid: tuple[int, ...] = ()

    def unpack(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Values as float32 (complex64 of complex ones), NaN where invalid.

        DN + offset is exact in float32: only the division rounds.
        """
        values = stored.astype(_unpacked(stored.dtype))
        if self.offset:
            values += np.float32(self.offset)
        if self.quantification != 1:
            values /= np.float32(self.quantification)
        for number in self.invalid:
            values[stored == number] = np.nan
        return values


def _stored(dtype: str) -> np.dtype[Any]:
    """The numpy type that GDAL reads a type of pixels as; numpy has no complex integers."""
    return np.dtype({"complex_int16": "complex64", "complex_int32": "complex128"}.get(dtype, dtype))


def _unpacked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex64 if dtype.kind == "c" else np.float32)


class ImageArray(BackendArray):
    """The pixels of an `Image`, read window by window.

    Shape (height, width), or (bands, height, width) of an image of several bands; the type of the file, or float32
    (complex64) with a `Packing`. Reading raises DamagedProduct where the file is cut or wrong.
    """

    def __init__(self, image: Image, packing: Packing | None) -> None:
        self.image = image
        self.packing = packing
        size = (image.height, image.width)
        self.shape = size if image.bands == 1 else (image.bands, *size)
        self.dtype = _stored(image.dtype) if packing is None else _unpacked(_stored(image.dtype))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what an xarray indexer asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        *front, key_y, key_x = key
        top, bottom, rows = _span(key_y, self.image.height)
        left, right, columns = _span(key_x, self.image.width)
        if bottom > top and right > left:
            stored = self._window(top, bottom, left, right)
        else:
            stored = np.empty((self.image.bands, bottom - top, right - left), _stored(self.image.dtype))
        stored = stored[front[0]] if front else stored[0]
        stored = stored[..., rows, :][..., columns]
        return stored if self.packing is None else self.packing.unpack(stored)

    def _window(self, top: int, bottom: int, left: int, right: int) -> np.ndarray[Any, Any]:
        image = self.image

        def read(dataset: Any) -> np.ndarray[Any, Any]:
            found = (dataset.count, dataset.height, dataset.width, dataset.dtypes[0])
            if found != (image.bands, image.height, image.width, image.dtype):
                raise DamagedProduct(
                    f"{image.member} in {image.source} is not what it was when the product was opened.",
                    hint="Open the product again.",
                    member=image.member,
                )
            pixels: np.ndarray[Any, Any] = dataset.read(window=((top, bottom), (left, right)))
            return pixels

        window = (top, bottom, left, right)
        if image.where is not None and not isinstance(image.where.path, str) and image_tiles.is_jp2(image.where):
            tiles = image_tiles.codestream(image, window)
            if tiles is not None:
                return _in_memory(image, tiles, read)
        return _with_dataset(image, read, quiet=image.transform == _NOWHERE, window=window)


def _span(key: Any, size: int) -> tuple[int, int, Any]:
    """The range that covers an indexer, and what to take from that range."""
    if isinstance(key, slice):
        picked = range(*key.indices(size))
        if not picked:
            return 0, 0, slice(0, 0)
        low, high = min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1
        return low, high, slice(None) if picked.step == 1 else np.asarray(picked) - low
    if np.ndim(key) == 0:
        at = int(key) % size
        return at, at + 1, 0
    wanted = np.asarray(key) % size
    if not wanted.size:
        return 0, 0, slice(0, 0)
    low = int(wanted.min())
    return low, int(wanted.max()) + 1, wanted - low


def opened(path: str, **options: Any) -> Any:
    """An image as a rasterio dataset: JPEG 2000 or TIFF, as those of products are, whatever their names say.

    Of the other formats that GDAL knows some, such as VRT, are read from paths and addresses that stand in the file.
    """
    import rasterio
    from rasterio.errors import RasterioIOError

    try:
        return rasterio.open(path, driver="JP2OpenJPEG", **options)
    except RasterioIOError:
        with contextlib.suppress(RasterioIOError):
            return rasterio.open(path, driver="GTiff", **options)
        raise


@contextlib.contextmanager
def _placeless(quiet: bool) -> Iterator[None]:
    """No warning of images without a place, which the caller deals with."""
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    if not quiet:
        yield
        return
    with _quiet, warnings.catch_warnings():  # filters are the process's, hence the lock
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def _dataset(file: ImageFile, quiet: bool, window: Window | None) -> Iterator[Any]:
    """The member as a rasterio dataset, open for that long."""
    if file.where is None and file.container is None:
        with _placeless(quiet):
            dataset = opened(file.path)
        with dataset:
            yield dataset
        return
    opener = image_tiles.Opener(file)
    try:
        with _placeless(quiet):
            dataset = opened(opener.name, opener=opener)
        with dataset:
            if window is not None:
                opener.preload(image_tiles.touched(dataset, window))
            yield dataset
    finally:
        if opener.failure is not None:  # GDAL makes of it a sentence of its own, or none
            raise opener.failure


def _with_dataset(
    file: ImageFile, use: Callable[[Any], _Result], *, quiet: bool = False, window: Window | None = None
) -> _Result:
    """What `use` makes of the member as a rasterio dataset; GDAL's errors become DamagedProduct."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(**GDAL), _dataset(file, quiet, window) as dataset:
            return use(dataset)
    except (RasterioError, CPLE_BaseError) as error:
        reason = _plain(error.__cause__ or error, file.path)
    # Raised outside the handler, without cause and context: GDAL's own errors do not pickle, and this one would come back
    # from a dask worker as a bare Exception.
    raise DamagedProduct(f"{file.member} in {file.source} cannot be read: {reason}", member=file.member)


def _in_memory(image: Image, content: bytes, use: Callable[[Any], _Result]) -> _Result:
    """What `use` makes of the bytes of an image. Raises as `_with_dataset` does."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with rasterio.Env(**GDAL), MemoryFile(content) as memory:
            with _placeless(True):
                dataset = memory.open(driver="JP2OpenJPEG")
            with dataset:
                return use(dataset)
    except (RasterioError, CPLE_BaseError) as error:
        reason = _plain(error.__cause__ or error, "/vsimem/")
    raise DamagedProduct(f"{image.member} in {image.source} cannot be read: {reason}", member=image.member)


def _plain(error: BaseException, path: str) -> str:
    text = (str(error).replace(path, "the file") if path else str(error)).strip()
    return (text or type(error).__name__).rstrip(".") + "."


def probe(container: Container, member: str, expected: tuple[str, tuple[float, ...], tuple[int, int]] | None) -> Image:
    """What an image member holds, from its first 16 kB where these agree with the metadata, else through GDAL.

    Parameters
    ----------
    container, member
        The member; it must not be empty.
    expected
        CRS (`EPSG:<code>`), transform and (rows, columns) that the metadata of the product give, or None.

    Raises
    ------
    IncompleteProduct
        The member is missing or empty.
    DamagedProduct
        It is not an image, or cut within its header.
    """
    if container.is_empty(member):
        raise IncompleteProduct(f"{member} in {container.uri} has no bytes.", member=member)
    file = _file(container, member)
    found = jp2.header(container.head(member, jp2.HEAD))
    if found is not None and expected == (f"EPSG:{found.epsg}", found.transform, (found.height, found.width)):
        return Image(
            **_fields(file),
            height=found.height,
            width=found.width,
            bands=found.components,
            dtype=found.dtype,
            tile=found.tile,
            crs=expected[0],
            transform=expected[1],
        )
    return _ask_gdal(file)


def _file(container: Container, member: str) -> ImageFile:
    where = container.locate(member)
    if where is not None and not isinstance(where.path, str):
        return ImageFile(path="", member=member, source=container.uri, where=where)
    if where is None and container.remote is not None:
        return ImageFile(path="", member=member, source=container.uri, container=container)
    return ImageFile(path=container.gdal_path(member), member=member, source=container.uri)


def _fields(file: ImageFile) -> dict[str, Any]:
    return {item.name: getattr(file, item.name) for item in fields(ImageFile)}


def _ask_gdal(file: ImageFile) -> Image:
    def describe(dataset: Any) -> Image:
        crs = dataset.crs
        code = crs.to_epsg() if crs else None
        return Image(
            **_fields(file),
            height=dataset.height,
            width=dataset.width,
            bands=dataset.count,
            dtype=dataset.dtypes[0],
            tile=tuple(dataset.block_shapes[0]),
            crs=f"EPSG:{code}" if code else (crs.to_wkt() if crs else None),
            transform=tuple(dataset.transform)[:6],
        )

    return _with_dataset(file, describe, quiet=True)


def survey(container: Container, member: str) -> None:
    """Read what any later window of an image needs, but pixels: so that an index has it. Raises as `probe` does."""
    file = _file(container, member)
    if file.where is None:
        return
    if image_tiles.is_jp2(file.where):
        image_tiles.survey(file.where)
        return

    def look(dataset: Any) -> None:
        image_tiles.touched(dataset, (0, dataset.height, 0, dataset.width))
        _ = dataset.gcps

    _with_dataset(file, look, quiet=True)


def control_points(image: Image) -> np.ndarray[Any, Any]:
    """Ground control points in the file as it has them, shape (point, 5): line, pixel, longitude, latitude, height.

    Raises as reading does.
    """

    def points(dataset: Any) -> np.ndarray[Any, Any]:
        found, _ = dataset.gcps
        return np.array([(gcp.row, gcp.col, gcp.x, gcp.y, gcp.z or 0.0) for gcp in found]).reshape(-1, 5)

    return _with_dataset(image, points, quiet=True)


def chunk_sizes(image: Image) -> dict[str, int]:
    """Rows and columns of a chunk: whole multiples of the file's own tiles, near `CHUNK`, no larger than the image."""
    sizes = []
    for tile, size in zip(image.tile, (image.height, image.width), strict=True):
        sizes.append(min(size, max(1, round(CHUNK / tile)) * tile))
    return {"y": sizes[0], "x": sizes[1]}
