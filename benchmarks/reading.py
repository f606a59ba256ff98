"""Windows of full-size products at an address: requests, bytes and seconds, with an index, without one, and by GDAL tuned.

    python benchmarks/reading.py

A server on loopback answers Range after 50 ms. The products are drawn ones with one image of full size in them: a band of
Sentinel-2 (10,980 x 10,980 JPEG 2000, tiles of 1,024, with and without TLM) and a Sentinel-1 GRD (16,700 lines of 25,000).
GDAL reads the same image in the same zip; it is given the address of the image, and opens nothing else of the product.
"""

from __future__ import annotations

import re
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from drawn import drawn
from radar import zipped
from ranges import RangeServer, range_server

from extenso_nb.readers import index, open_product
from extenso_nb.readers.opening import open_container
from extenso_nb.storage import FileObject

LATENCY = 0.05
TUNED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_CHUNK_SIZE": "16384",
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_NUM_THREADS": "1",
    "VSI_CACHE": "YES",
}


def unpacked(product: Path, target: Path) -> Path:
    """The folder of a zip."""
    with zipfile.ZipFile(product) as archive:
        archive.extractall(target)
    return next(target.iterdir())


def sentinel2(product: Path, work: Path, **options: str) -> Path:
    """A product with one band of full size."""
    folder = unpacked(product, work / f"s2{len(options)}")
    (band,) = folder.glob("GRANULE/*/IMG_DATA/*_B04.jp2")
    for other in folder.glob("GRANULE/*/IMG_DATA/*.jp2"):
        if other != band:
            other.unlink()
    pixels = np.random.default_rng(1).integers(1000, 1200, (10980, 10980), dtype="uint16")
    plain = work / "plain.tif"
    profile = {"width": 10980, "height": 10980, "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(plain, "w", transform=Affine(10, 0, 300000, 0, -10, 4900020), **profile) as file:
        file.write(pixels, 1)
    coded = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": "1024", "BLOCKYSIZE": "1024", "PLT": "YES", **options}
    rasterio.shutil.copy(plain, band, driver="JP2OpenJPEG", **coded)
    plain.unlink()
    target = work / f"S2{'_TLM' if options else ''}" / f"{folder.stem}.SAFE.zip"
    target.parent.mkdir()
    made = zipped(folder, target, zipfile.ZIP_STORED)
    shutil.rmtree(folder.parent)
    return made


def sentinel1(product: Path, work: Path) -> Path:
    """A product with one image of full size."""
    folder = unpacked(product, work / "s1")
    for image in folder.glob("measurement/*-vh-*.tiff"):
        image.unlink()
    (image,) = folder.glob("measurement/*-vv-*.tiff")
    with rasterio.open(image) as file:
        gcps = file.gcps
    profile = {"width": 25000, "height": 16700, "count": 1, "dtype": "uint16", "driver": "GTiff"}
    with rasterio.open(image, "w", gcps=gcps[0], crs=gcps[1], **profile) as file:
        lines = np.random.default_rng(1).integers(1, 400, (500, 25000), dtype="uint16")
        for top in range(0, 16700, 500):
            rows = min(500, 16700 - top)
            file.write(lines[:rows], 1, window=((top, top + rows), (0, 25000)))
    for annotation in folder.glob("annotation/*.xml"):
        text = annotation.read_text()
        text = re.sub(r"<numberOfSamples>\d+", "<numberOfSamples>25000", text)
        annotation.write_text(re.sub(r"<numberOfLines>\d+", "<numberOfLines>16700", text))
    target = work / f"{folder.stem}.SAFE.zip"
    made = zipped(folder, target, zipfile.ZIP_STORED)
    shutil.rmtree(folder.parent)
    return made


def measured(server: RangeServer, label: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; what it cost is printed."""
    server.clear()
    begun, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, used = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"  {label:34} {len(server.requests):5} requests {server.bytes() / 1e6:9.3f} MB {wall:7.2f} s {used:6.2f} CPU s"
    )
    return found


def compare(server: RangeServer, path: Path, band: str, row: int, column: int) -> None:
    """One window of one product, in four ways."""
    name = str(path.relative_to(server.folder))
    print(f"{path.name[:44]} {path.stat().st_size / 1e6:.0f} MB, 256 x 256 at ({row}, {column})")
    begun = time.perf_counter()
    made = index.build(FileObject(path))
    print(f"  index: {len(made) / 1e3:.0f} kB, made in {time.perf_counter() - begun:.1f} s")
    (server.folder / "x.index").write_bytes(made)
    options: dict[str, Any] = {"masked": False, "scaled": False, "chunks": None}
    window = (slice(row, row + 256), slice(column, column + 256))
    tree = measured(
        server, "open with index", lambda: open_product(server.url(name), index=server.url("x.index"), **options)
    )
    first = measured(server, "window with index", lambda: tree[band][window].values)
    second = measured(
        server, "open and window without", lambda: open_product(server.url(name), **options)[band][window].values
    )
    container = open_container(path)
    member = next(
        item for item in container.names() if Path(item).suffix in {".jp2", ".tiff"} and container.size(item) > 1e7
    )
    inside = container.raw_name(member)
    address = f"/vsizip/{{/vsicurl?use_head=no&list_dir=no&url={quote(server.url(name), safe='')}}}/{inside}"

    def by_gdal() -> Any:
        with rasterio.Env(**TUNED), rasterio.open(address) as file:
            return file.read(1, window=((row, row + 256), (column, column + 256)))

    third = measured(server, "GDAL tuned, this image alone", by_gdal)
    assert (first == second).all()
    assert (first == third).all()


def main() -> None:
    """Print it all."""
    with tempfile.TemporaryDirectory() as folder, range_server(Path(folder)) as server:
        work = Path(folder)
        products = drawn(work, ("S2A_MSIL1C", "S1A_IW_GRDH"))
        server.latency = LATENCY
        for options in ({}, {"TLM": "YES"}):
            path = sentinel2(products["S2A_MSIL1C"], work, **options)
            for place in ((100, 100), (6000, 6000)):
                compare(server, path, "measurements/r10m/B04", *place)
        path = sentinel1(products["S1A_IW_GRDH"], work)
        compare(server, path, "measurements/vv", 8000, 12000)
        print("sigma0, denoised, of 256 x 256 pixels of the GRD, with its index")
        tree = open_product(server.url(path.name), index=(work / "x.index").read_bytes())
        part = tree["measurements/vv"][8000:8256, 12000:12256]
        measured(server, "window", lambda: part.s1.calibrate("sigma0", denoise=True).values)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"most memory of this process: {most:.0f} MB (drawing the files included)")


if __name__ == "__main__":
    main()
