"""Products at addresses: the same tree as on disk, few requests, nothing secret anywhere, and errors that say what failed."""

from __future__ import annotations

import lzma
import os
import pickle
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from affine import Affine
from drawn import KINDS, drawn
from radar import zipped
from ranges import RangeServer, range_server
from xarray.core import indexing

from extenso_nb.errors import DamagedProduct, ExtensoError, IncompleteProduct, ReaderError, UnsupportedProduct
from extenso_nb.readers import arrays, image_tiles, index, open_product, spool
from extenso_nb.readers.container import Location, stream
from extenso_nb.readers.opening import open_container
from extenso_nb.readers.sparse import BLOCK, Sparse, SparseFile
from extenso_nb.readers.spool import spooled
from extenso_nb.storage import FileObject, RemoteObject, vault
from extenso_nb.storage.ranged import plan


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One drawn product of each kind, as delivered."""
    return drawn(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def indexes(archive: dict[str, Path]) -> dict[str, bytes]:
    return {kind: index.build(FileObject(path)) for kind, path in archive.items()}


@pytest.fixture
def server(archive: dict[str, Path]) -> Iterator[RangeServer]:
    with range_server(archive["S2A_MSIL1C"].parent) as found:
        yield found


def same(first: xr.DataTree, second: xr.DataTree) -> None:
    assert first.groups == second.groups
    for one, other in zip(first.subtree, second.subtree, strict=True):
        left, right = one.to_dataset(), other.to_dataset()
        assert {**left.attrs, "source_uri": ""} == {**right.attrs, "source_uri": ""}
        left.attrs = right.attrs = {}
        xr.testing.assert_identical(left.load(), right.load())


# --- the same tree ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_is_the_same_with_an_index_and_without(
    kind: str, archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    path = archive[kind]
    here = open_product(path)
    plain = open_product(server.url(path.name))
    asked = len(server.requests)
    assert 0 < asked < 80
    (server.folder / f"{path.name}.index").write_bytes(indexes[kind])
    server.clear()
    indexed = open_product(server.url(path.name), index=server.url(f"{path.name}.index"))
    assert [name for name, _ in server.requests] == [f"{path.name}.index"], "one request opens it"
    same(here, plain)
    same(here, indexed)
    assert len(indexes[kind]) < 200_000


@pytest.mark.parametrize("kind", ["S2A_MSIL2A", "S5P_NRTI_L2__NO2", "S1A_IW_GRDH"])
def test_a_deflated_zip_is_read_whole_with_a_warning(kind: str, archive: dict[str, Path], tmp_path: Path) -> None:
    path = archive[kind]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            packed.extractall(tmp_path / "x")
        (folder,) = (tmp_path / "x").iterdir()
    else:
        folder = tmp_path / path.stem
        folder.mkdir()
        shutil.copy(path, folder)
    deflated = zipped(folder, tmp_path / f"{path.stem}.zip", zipfile.ZIP_DEFLATED)
    with range_server(tmp_path) as server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        same(open_product(path), open_product(server.url(deflated.name)))
        with pytest.raises(UnsupportedProduct, match="is deflated, and cannot be indexed"):
            index.build(RemoteObject(server.url(deflated.name)))
    assert any("are fetched to read any of them" in str(item.message) for item in told)
    assert not any(server.signature in str(item.message) for item in told)


def test_a_member_at_an_address_is_a_file(archive: dict[str, Path], server: RangeServer) -> None:
    path = archive["S2A_MSIL1C"]
    here, there = open_container(path), open_container(server.url(path.name))
    assert there.names() == here.names()
    for name in here.names():
        assert there.read(name) == here.read(name)
        assert there.head(name, 100) == here.head(name, 100)
        where = there.locate(name)
        assert where is not None
        with stream(where) as file:
            assert file.read() == here.read(name)
    with pytest.raises(UnsupportedProduct):
        there.gdal_path(here.names()[0])


# --- few requests ----------------------------------------------------------------------------------------------------
def large_jp2(path: Path, size: int, tile: int, **options: str) -> np.ndarray:
    """An image like a band: noise over steps, so that a tile has some hundred kilobytes."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(1, 3000, (size, size), dtype="uint16")
    plain = path.with_suffix(".plain.tif")
    profile = {"width": size, "height": size, "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(plain, "w", driver="GTiff", transform=Affine(10, 0, 300000, 0, -10, 4900020), **profile) as file:
        file.write(pixels, 1)
    given = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": str(tile), "BLOCKYSIZE": str(tile), **options}
    rasterio.shutil.copy(plain, path, driver="JP2OpenJPEG", **given)
    plain.unlink()
    return pixels


def with_band(product: Path, target: Path, size: int, tile: int, **options: str) -> tuple[Path, np.ndarray]:
    """A product whose B04 is another image."""
    target.mkdir()
    with zipfile.ZipFile(product) as packed:
        packed.extractall(target)
    (folder,) = target.iterdir()
    (band,) = folder.glob("GRANULE/*/IMG_DATA/*_B04.jp2")
    for other in folder.glob("GRANULE/*/IMG_DATA/*.jp2"):
        if other != band:
            other.unlink()
    pixels = large_jp2(band, size, tile, **options)
    return zipped(folder, target.parent / f"{folder.stem}.SAFE.zip", zipfile.ZIP_STORED), pixels


@pytest.mark.parametrize("options", [{}, {"TLM": "YES"}, {"PLT": "YES", "TLM": "YES"}], ids=["plain", "tlm", "plt"])
def test_a_window_of_a_band_costs_the_tiles_that_it_touches(
    options: dict[str, str], archive: dict[str, Path], tmp_path: Path
) -> None:
    path, pixels = with_band(archive["S2A_MSIL1C"], tmp_path / "x", 1500, 256, **options)
    made = index.build(FileObject(path))
    with range_server(tmp_path) as server:
        tree = open_product(server.url(path.name), masked=False, scaled=False, chunks=None, index=made)
        array = tree["measurements/r10m/B04"]
        assert array.encoding["access"] == "ranges"
        for rows, columns in (
            (slice(300, 556), slice(700, 956)),
            (slice(0, 1), slice(0, 1)),
            (slice(1400, 1500), slice(1490, 1500)),
        ):
            server.clear()
            np.testing.assert_array_equal(array[rows, columns].values, pixels[rows, columns])
            tiles = (-(-rows.stop // 256) - rows.start // 256) * (-(-columns.stop // 256) - columns.start // 256)
            assert server.bytes() <= tiles * path.stat().st_size / 36 * 1.2 + 64_000
            assert len(server.requests) <= -(-rows.stop // 256) - rows.start // 256, "one request a row of tiles"
        np.testing.assert_array_equal(array.values, pixels)
        plain = open_product(server.url(path.name), masked=False, scaled=False)["measurements/r10m/B04"]
        np.testing.assert_array_equal(plain.values, pixels)


def test_a_wrong_table_of_tiles_gives_no_wrong_pixels(archive: dict[str, Path], tmp_path: Path) -> None:
    """The TLM of some encoders is wrong: what it leads to is looked at, and the tiles are found one by one."""
    path, pixels = with_band(archive["S2A_MSIL1C"], tmp_path / "x", 1000, 256, TLM="YES")
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\x55")
    length = int.from_bytes(content[at + 2 : at + 4], "big")
    assert length > 60
    content[at + 10] ^= 1  # the length of a tile
    path.write_bytes(content)
    with range_server(tmp_path) as server:
        for made in (None, index.build(FileObject(path))):
            tree = open_product(server.url(path.name), masked=False, scaled=False, index=made)
            np.testing.assert_array_equal(tree["measurements/r10m/B04"].values, pixels)


def test_a_window_of_a_radar_image_costs_its_lines(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    path = archive["S1A_IW_GRDH"]
    tree = open_product(server.url(path.name), chunks=None, index=indexes["S1A_IW_GRDH"])
    here = open_product(path, chunks=None)
    width = tree["measurements/vv"].sizes["pixel"]
    server.clear()
    window = tree["measurements/vv"][100:164, 20:84]
    np.testing.assert_array_equal(window.values, here["measurements/vv"][100:164, 20:84].values)
    assert server.bytes() <= 64 * width * 2 + 64_000
    assert len(server.requests) == 1, "lines that lie one behind the other are one range"
    server.clear()
    backscatter = window.s1.calibrate("sigma0", denoise=True)
    np.testing.assert_array_equal(
        backscatter.values, here["measurements/vv"][100:164, 20:84].s1.calibrate("sigma0", denoise=True).values
    )
    assert len(server.requests) == 1, "calibration and noise come with the index"


def test_a_window_of_netcdf_costs_its_chunks(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    path = archive["S3A_OL_1"]
    tree = open_product(server.url(path.name), chunks=None, index=indexes["S3A_OL_1"])
    server.clear()
    array = tree["measurements/Oa08"]
    np.testing.assert_array_equal(array[2:5, 3:9].values, open_product(path)["measurements/Oa08"][2:5, 3:9].values)
    assert len(server.requests) == 1
    assert server.bytes() < path.stat().st_size / 10


def test_ranges_are_merged_and_cut() -> None:
    assert plan([(0, 10), (10, 10), (5, 3)]) == [(0, 20)]
    assert plan([(100, 10), (0, 10)], gap=89) == [(0, 10), (100, 10)]
    assert plan([(100, 10), (0, 10)], gap=90) == [(0, 110)]
    assert plan([(0, 25)], longest=10) == [(0, 10), (10, 10), (20, 5)]
    assert plan([(7, 0)]) == []


def test_reading_any_ranges_gives_the_bytes_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    content = rng.integers(0, 256, 5 * BLOCK + 123, dtype="uint8").tobytes()
    (tmp_path / "x.bin").write_bytes(content)
    known = [(0, content[:100]), (BLOCK - 10, content[BLOCK - 10 : BLOCK + 30])]
    for pieces in ([], known):
        sparse = Sparse(FileObject(tmp_path / "x.bin"), len(content), pieces)
        for part in (sparse, pickle.loads(pickle.dumps(sparse)), sparse.part(50, 3 * BLOCK)):
            for _ in range(200):
                start = int(rng.integers(50, 3 * BLOCK))
                length = int(rng.integers(0, 2 * BLOCK))
                for read in (part.read, part.peek):
                    assert read(start, length) == content[start : start + length]
                assert part.fetch([(start, length), (1000, 5)]) == [content[start : start + length], content[1000:1005]]
        with SparseFile(sparse, 10, 1000) as file:
            file.preload([(5, 10), (990, 100)])
            file.seek(3)
            assert file.read(20) == content[13:33]
            file.seek(-4, 2)
            assert file.read() == content[1006:1010]


# --- expiry, secrets -------------------------------------------------------------------------------------------------
class Renewal:
    """Asks the server for the signature of the moment, as the gateway is asked for a new link."""

    def __init__(self, server: RangeServer, name: str) -> None:
        self.server, self.name, self.asked = server, name, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.server.url(self.name)


def test_an_address_that_expired_is_renewed(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    path = archive["S2A_MSIL2A"]
    renew = Renewal(server, path.name)
    tree = open_product(server.url(path.name), index=indexes["S2A_MSIL2A"], renew=renew)
    server.signature = "n3w"
    same(tree, open_product(path))
    assert renew.asked == 1, "all threads use the one new address"
    stale = open_product(server.url(path.name), index=indexes["S2A_MSIL2A"])
    server.signature = "again"
    with pytest.raises(ReaderError, match="the server refuses it") as caught:
        stale.load()
    assert "ask for a new one" in str(caught.value)
    assert "n3w" not in str(caught.value)


def test_nothing_secret_is_in_what_is_open(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    for kind in ("S2A_MSIL2A", "S5P_NRTI_L2__NO2", "S1A_IW_GRDH", "S3A_SL_1"):
        path = archive[kind]
        for made in (None, indexes[kind]):
            tree = open_product(server.url(path.name), index=made)
            told = [repr(tree), tree._repr_html_(), str(tree.attrs)]
            for node in tree.subtree:
                told += [str(node.attrs), *(f"{item.attrs}{item.encoding}" for item in node.dataset.variables.values())]
            assert server.signature not in "".join(told)
            assert server.signature.encode() not in pickle.dumps(tree)
            graph = b"".join(
                pickle.dumps(item.data) for node in tree.subtree for item in node.dataset.data_vars.values()
            )
            assert server.signature.encode() not in graph
            same(pickle.loads(pickle.dumps(tree)), open_product(path))
    assert "s3cr3t" not in repr(RemoteObject(server.url("x")))


def test_errors_hold_no_secret_and_say_what_failed(
    archive: dict[str, Path], server: RangeServer, tmp_path: Path
) -> None:
    cases = {
        server.url("nothing.zip"): "there is nothing",
        server.url(archive["S2A_MSIL1C"].name).replace("s3cr3t", "s3cr3t-wr0ng"): "the server refuses it",
        "http://127.0.0.1:9/x.zip?sig=s3cr3t": "cannot be reached",
    }
    for address, why in cases.items():
        with pytest.raises(ReaderError, match=why) as caught:
            open_product(address)
        assert "s3cr3t" not in f"{caught.value}{caught.value.__cause__}{caught.value.details}"
        assert "s3cr3t" not in str(pickle.loads(pickle.dumps(caught.value)))


def test_a_server_without_ranges_is_told(archive: dict[str, Path], server: RangeServer) -> None:
    server.ranges = False
    with pytest.raises(ReaderError, match="does not answer ranges"):
        open_product(server.url(archive["S2A_MSIL1C"].name))


def test_an_empty_object_and_one_that_is_no_product(tmp_path: Path) -> None:
    (tmp_path / "empty.zip").touch()
    (tmp_path / "page.zip").write_bytes(b"<html>" * 30_000)
    with range_server(tmp_path) as server:
        with pytest.raises((IncompleteProduct, ReaderError)):
            open_product(server.url("empty.zip"))
        with pytest.raises(DamagedProduct, match="does not begin as a zip file does"):
            open_product(server.url("page.zip"))


# --- an index that does not fit --------------------------------------------------------------------------------------
def test_an_index_of_another_product_is_refused_when_it_is_read(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    tree = open_product(server.url(archive["S2A_MSIL2A"].name), index=indexes["S2A_MSIL1C"])
    with pytest.raises(DamagedProduct, match="not what its index is of"):
        tree.load()


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made[:-20],
        lambda made: b"",
        lambda made: b"extenso-index 2\n" + made[16:],
        lambda made: made[:200] + bytes([made[200] ^ 1]) + made[201:],
    ],
    ids=["cut", "empty", "version", "bit"],
)
def test_a_damaged_index_is_refused(
    change: object, indexes: dict[str, bytes], archive: dict[str, Path], server: RangeServer
) -> None:
    with pytest.raises(DamagedProduct, match="cannot be used"):
        open_product(server.url(archive["S2A_MSIL1C"].name), index=change(indexes["S2A_MSIL1C"]))  # type: ignore[operator]


def test_an_index_that_inflates_without_end_is_refused(server: RangeServer, archive: dict[str, Path]) -> None:
    bomb = b"extenso-index 1\n" + lzma.compress(
        b'{"size":1,"sha256":null,"pieces":[]}\n' + bytes(200_000_000), preset=0
    )
    with pytest.raises(DamagedProduct, match="too large"):
        open_product(server.url(archive["S2A_MSIL1C"].name), index=bomb)


def test_an_object_replaced_while_it_is_open_is_an_error(archive: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(archive["S2A_MSIL1C"], tmp_path))
    with range_server(tmp_path) as server:
        tree = open_product(server.url(path.name))
        tree["measurements/r60m/B01"].load()
        path.write_bytes(path.read_bytes())
        with pytest.raises(ExtensoError, match="was replaced"):
            tree["measurements/r10m/B04"].load()


# --- what a hostile reading found ------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"TLM": "YES"}], ids=["plain", "tlm"])
def test_a_small_image_reads_by_its_own_index(options: dict[str, str], tmp_path: Path) -> None:
    """Its header ends where the index has no more of it: looking for the end went on for ever."""
    path = tmp_path / "x.jp2"
    pixels = large_jp2(path, 64, 64, **options)
    assert path.stat().st_size < 16_384
    whole = Sparse(FileObject(path), path.stat().st_size)
    whole.touched = []
    image_tiles.survey(Location(whole, 0, whole.size))
    content = path.read_bytes()
    known = [(start, content[start : start + length]) for start, length in index.pieces_of(whole.touched, len(content))]
    for pieces in (known, [(0, content[:100])], [(0, content[:2000])]):
        sparse = Sparse(FileObject(path), len(content), pieces)
        image = arrays.Image(
            path="",
            member="x",
            source="y",
            where=Location(sparse, 0, len(content)),
            height=64,
            width=64,
            bands=1,
            dtype="uint16",
            tile=(64, 64),
            crs=None,
            transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        )
        window = indexing.BasicIndexer((slice(3, 9), slice(2, 5)))
        np.testing.assert_array_equal(arrays.ImageArray(image, None)[window], pixels[3:9, 2:5])


def test_an_answer_cut_in_its_body_is_our_error(archive: dict[str, Path], server: RangeServer) -> None:
    path = archive["S2A_MSIL1C"]
    source = RemoteObject(server.url(path.name))
    assert source.read(0, 10) == path.read_bytes()[:10]
    server.cut = True
    with pytest.raises(ReaderError, match="the connection broke"):
        source.read(0, 300_000)


def test_no_secret_hangs_on_to_an_error(archive: dict[str, Path], server: RangeServer) -> None:
    address = server.url(archive["S2A_MSIL1C"].name)
    server.signature = "another"
    with pytest.raises(ReaderError) as caught:
        open_product(address)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in f"{error!r}{error.args}"
        error = error.__cause__ or error.__context__


def test_two_products_that_differ_in_their_query_alone(tmp_path: Path) -> None:
    """What was inflated of one is not taken for the other."""
    found = []
    for letter in (b"A", b"B"):
        with zipfile.ZipFile(tmp_path / "get", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.SAFE/measurement/m.nc", letter * 50)
        with range_server(tmp_path) as server, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # By the same address each time: servers of tests have ports of their own.
            container = open_container(server.url("get"))
            container = replace(container, uri="http://host/get")
            found.append((spooled(container, "measurement/m.nc").file.read(), spool._stamp(container)))
    assert [content[:1] for content, _ in found] == [b"A", b"B"]
    assert found[0][1] != found[1][1]


def test_a_forked_process_says_so_rather_than_wait(archive: dict[str, Path], server: RangeServer) -> None:
    code = (
        "import os, sys\nfrom extenso_nb.storage import RemoteObject\nfrom extenso_nb.errors import ReaderError\n"
        "o = RemoteObject(sys.argv[1])\no.read(0, 10)\n"
        "if os.fork() == 0:\n    try:\n        o.read(0, 10)\n"
        "    except ReaderError as e:\n        os._exit(7 if 'forked' in str(e) else 8)\n"
        "    os._exit(9)\nsys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    address = server.url(archive["S2A_MSIL1C"].name)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, address], timeout=60, check=False)
    assert done.returncode == 7


def test_addresses_as_they_are_shown() -> None:
    assert RemoteObject("http://[::1]:8000/x.zip?sig=s3cr3t").shown == "http://[::1]:8000/x.zip"
    assert RemoteObject("https://me:s3cr3t@host.example/x.zip").shown == "https://host.example/x.zip"
    again = pickle.loads(pickle.dumps(RemoteObject("http://[::1]:8000/x.zip?sig=s3cr3t")))
    assert again.shown == "http://[::1]:8000/x.zip"
    with pytest.raises(UnsupportedProduct):
        RemoteObject("http://host:99999/x.zip")


def test_what_was_handed_over_lives_as_long_as_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = vault.keep("https://host.example/x?sig=s3cr3t")
    vault.hand_over(name)
    (file,) = (tmp_path / "extenso_nb" / "addresses").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    old = file.stat().st_mtime - 2 * vault.DAY
    os.utime(file, (old, old))
    vault.hand_over(name)
    assert file.stat().st_mtime > old + vault.DAY, "used again: another day"
    os.utime(file, (old, old))
    vault.hand_over(vault.keep("another"))
    assert not file.exists()
    vault.hand_over(name)
    assert file.exists()


@pytest.mark.parametrize("head", [b'{"size":Infinity,"pieces":[]}\n', b'{"size":1e999,"pieces":[]}\n', b"[]\n", b"\n"])
def test_an_index_of_nonsense_is_refused(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(DamagedProduct):
        index.load(b"extenso-index 1\n" + lzma.compress(head), FileObject(tmp_path / "x"))


# --- the engine ------------------------------------------------------------------------------------------------------
def test_the_engine_opens_addresses_and_keeps_their_secrets(
    archive: dict[str, Path], indexes: dict[str, bytes], server: RangeServer
) -> None:
    path = archive["S2A_MSIL2A"]
    address = server.url(path.name)
    tree = xr.open_datatree(address, engine="extenso", index=indexes["S2A_MSIL2A"])
    assert server.requests == []
    dataset = xr.open_dataset(address, engine="extenso", group="measurements/r10m", chunks={})
    for found in (tree["measurements/r10m"].to_dataset(), dataset):
        assert server.signature not in f"{found.encoding}{found.attrs}{found!r}"
        np.testing.assert_array_equal(found["B04"].values, open_product(path)["measurements/r10m/B04"].values)
    for node in tree.subtree:
        assert server.signature not in f"{node.encoding}{node.to_dataset().encoding}"
    with pytest.raises(ExtensoError) as caught:
        xr.open_dataset(address, engine="extenso", group="nothing")
    assert server.signature not in str(caught.value)
