"""The folder source and its packing: a delivery is the same bytes from any offset; nothing is dropped without a reason."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extenso_nb import errors
from extenso_nb.gateway import packing, ziprecords
from extenso_nb.gateway.packing import Packed, pack
from extenso_nb.gateway.sources import Source
from extenso_nb.gateway.sources.folder import FolderSource
from extenso_nb.models import Product
from extenso_nb.products import COLLECTIONS
from extenso_nb.query import build, parse
from extenso_nb.readers.opening import open_container

S1 = "S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768"
S2 = "S2A_MSIL1C_20180629T000241_N0206_R030_T56JMM_20180629T012042"
S3 = "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002"
S5P = "S5P_OFFL_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410"


def whole(packed: Packed, offset: int = 0) -> bytes:
    return b"".join(packed.read(offset))


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), data, compress_type=method)
    return path


def check_stream(data: bytes, files: dict[str, bytes]) -> None:
    """The local headers alone, as a reader of streams meets them, tell size and (there or in the descriptor) CRC."""
    at = 0
    for _ in files:
        fields = struct.unpack_from("<IHHHHHIIIHH", data, at)
        assert fields[0] == 0x04034B50
        name = data[at + 30 : at + 30 + fields[9]].decode()
        large, crc, start = fields[8] == 0xFFFFFFFF, fields[6], at + 30 + fields[9] + fields[10]
        size = struct.unpack_from("<Q", data, start - 16)[0] if large else fields[8]
        at = start + size
        if fields[2] & 8:
            signature, crc, packed, unpacked = struct.unpack_from("<IIQQ" if large else "<IIII", data, at)
            assert (signature, packed, unpacked) == (0x08074B50, size, size)
            at += 24 if large else 16
        assert data[start : start + size] == files[name]
        assert crc == zlib.crc32(files[name])
    assert data[at : at + 4] == b"PK\x01\x02"


def check_zip(data: bytes, folder: Path, files: dict[str, bytes], root: str) -> None:
    """The bytes are a zip of exactly these files, stored, for Python and for our own container."""
    target = folder / "delivery.zip"
    target.write_bytes(data)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == {
            f"{root}/{name}": data for name, data in files.items()
        }
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    check_stream(data, {f"{root}/{name}": data for name, data in files.items()})
    container = open_container(target)
    assert set(container.names()) == set(files)
    for name, content in files.items():
        where = container.locate(name)
        assert where is not None
        assert data[where.offset : where.offset + where.size] == content


# --- packing: the property -------------------------------------------------------------------------------------------
part = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8
)
plain = part.filter(
    lambda text: (
        text not in {".", "..", ".DS_Store", "__MACOSX"} and not text.lower().endswith((".safe", ".sen3", ".zip"))
    )
)
member_name = st.lists(plain, min_size=1, max_size=3).map(lambda parts: "/".join(["measurement", *parts]))
contents = st.one_of(
    st.just(b""), st.binary(max_size=300), st.integers(0, 9_000).map(lambda n: bytes(i % 251 for i in range(n)))
)


def no_clash(files: dict[str, bytes]) -> bool:
    """No name is a folder of another."""
    return not any(other.startswith(f"{name}/") for name in files for other in files)


trees = st.dictionaries(member_name, contents, min_size=1, max_size=7).filter(no_clash)


@given(
    files=trees,
    chances=st.lists(st.floats(0, 1), min_size=3, max_size=6),
    large=st.booleans(),
    block=st.sampled_from([61, 1000, 1 << 20]),
)
@settings(max_examples=40)
def test_any_offset_gives_the_rest_of_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], chances: list[float], large: bool, block: int
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    files = {"manifest.safe": b"<x/>", **files}
    src = tree(folder / f"{S1}.SAFE", files)
    src_zip = zipped(folder / f"{S1}.zip", {f"{S1}.SAFE/{name}": data for name, data in files.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCK", block)
        if large:  # the ZIP64 records, without gigabytes
            patch.setattr(ziprecords, "ZIP64", 200)
            patch.setattr(ziprecords, "MANY", 2)
        for path in (src, src_zip):
            packed = pack(path, S1)
            data = whole(packed)
            assert (len(data), packed.name) == (packed.size, f"{S1}.SAFE.zip")
            check_zip(data, folder, files, f"{S1}.SAFE")
            for chance in [*chances, 0.0, 1.0]:
                offset = round(chance * packed.size)
                assert whole(packed, offset) == data[offset:]
                fresh = pack(path, S1)  # another process, which knows no CRC yet
                assert whole(fresh, offset) == data[offset:]


@pytest.mark.parametrize("large", [False, True])
def test_every_single_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(ziprecords, "ZIP64", 10)
        monkeypatch.setattr(ziprecords, "MANY", 2)
    files = {"manifest.safe": b"<x/>", "measurement/ü 1.tiff": b"0123456789abcdef", "measurement/empty": b""}
    src = tree(tmp_path / f"{S1}.SAFE", files)
    data = whole(pack(src, S1))
    for offset in range(len(data) + 1):
        assert whole(pack(src, S1), offset) == data[offset:], offset


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(ziprecords, "ZIP64", 1000)
    src = tree(tmp_path / f"{S1}.SAFE", {"manifest.safe": b"<x/>", "measurement/a.tiff": bytes(5000), "b": b""})
    (tmp_path / "d.zip").write_bytes(whole(pack(src, S1)))
    done = subprocess.run(["unzip", "-t", str(tmp_path / "d.zip")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stdout


def test_gdal_reads_an_image_in_the_delivery(tmp_path: Path) -> None:
    import numpy as np
    import rasterio

    pixels = np.arange(64 * 48, dtype="uint16").reshape(48, 64)
    image = tmp_path / f"{S1}.SAFE" / "measurement" / "a.tiff"
    image.parent.mkdir(parents=True)
    profile: dict[str, Any] = {"driver": "GTiff", "width": 64, "height": 48, "count": 1, "dtype": "uint16"}
    with rasterio.open(image, "w", **profile, transform=rasterio.Affine(0.1, 0, 10, 0, -0.1, 50)) as target:
        target.write(pixels, 1)
    (tmp_path / "d.zip").write_bytes(whole(pack(tmp_path / f"{S1}.SAFE", S1)))
    container = open_container(tmp_path / "d.zip")
    for path in (f"/vsizip/{tmp_path}/d.zip/{S1}.SAFE/measurement/a.tiff", container.gdal_path("measurement/a.tiff")):
        with rasterio.open(path) as source:
            assert (source.read(1) == pixels).all()


def test_object_ranges_of_the_delivery_are_the_members(tmp_path: Path) -> None:
    import obstore
    from obstore.store import LocalStore

    files = {"manifest.safe": b"<x/>", "measurement/a.tiff": bytes(range(256)) * 30}
    (tmp_path / "d.zip").write_bytes(whole(pack(tree(tmp_path / f"{S1}.SAFE", files), S1)))
    where = open_container(tmp_path / "d.zip").locate("measurement/a.tiff")
    assert where is not None
    found = obstore.get_range(LocalStore(tmp_path), "d.zip", start=where.offset, length=where.size)
    assert bytes(found) == files["measurement/a.tiff"]


def test_five_gigabytes_are_laid_out_without_reading(tmp_path: Path) -> None:
    src = tree(tmp_path / f"{S1}.SAFE", {"manifest.safe": b"<x/>", "measurement/z.tiff": b"last"})
    size = 5 * 2**30 + 7
    with (src / "measurement" / "a.tiff").open("wb") as file:
        file.truncate(size)  # sparse: takes no room
    began = time.perf_counter()
    packed = pack(src, S1)
    # by hand, APPNOTE 4.3: names, local headers (one with 20 bytes of ZIP64), descriptors, directory, ZIP64 end records
    names = [f"{S1}.SAFE/{name}" for name in ("manifest.safe", "measurement/a.tiff", "measurement/z.tiff")]
    local = sum(30 + len(name) for name in names) + 20 + 16 + 24 + 16 + 4 + size + 4
    central = sum(46 + len(name) for name in names) + (4 + 16) + (4 + 8)  # sizes of a, offset of z
    assert packed.size == local + central + 56 + 20 + 22
    reader = packed.read(0)
    head = next(reader) + next(reader)
    reader.close()  # type: ignore[attr-defined]
    assert head.startswith(b"PK\x03\x04")
    assert time.perf_counter() - began < 2


# --- packing: what passes unchanged, and what is refused -------------------------------------------------------------
def test_stored_zip_and_netcdf_pass_unchanged(tmp_path: Path) -> None:
    stored = zipped(tmp_path / "any.zip", {f"{S1}.SAFE/manifest.safe": b"<x/>" * 100}, zipfile.ZIP_STORED)
    netcdf = tmp_path / f"{S5P}.nc"
    netcdf.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(5000))
    for path, name, product in ((stored, f"{S1}.SAFE.zip", S1), (netcdf, f"{S5P}.nc", S5P)):
        packed = pack(path, product)
        assert packed.ready
        assert (packed.name, packed.size) == (name, path.stat().st_size)
        assert whole(packed) == path.read_bytes()
        assert whole(packed, 77) == path.read_bytes()[77:]
        assert whole(packed, packed.size) == b""


@pytest.mark.parametrize("prefix", ["", "wrong name/", "a/b/", f"{S1[:-1]}.SAFE/"])
def test_a_deflated_zip_gets_the_right_root(tmp_path: Path, prefix: str) -> None:
    files = {"manifest.safe": b"<x/>" * 50, "measurement/a.tiff": bytes(2000)}
    litter = {"__MACOSX/x": b"litter"}
    path = zipped(tmp_path / f"{S1}.zip", {f"{prefix}{name}": data for name, data in files.items()} | litter)
    check_zip(whole(pack(path, S1)), tmp_path, files, f"{S1}.SAFE")


def test_packing_is_deterministic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"manifest.safe": b"<x/>", "measurement/b": b"b", "measurement/a": b"a"}
    one = tree(tmp_path / "one" / f"{S1}.SAFE", files)
    two = tree(tmp_path / "two" / "renamed.SAFE", dict(reversed(files.items())))
    first = whole(pack(one, S1))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert whole(pack(two, S1)) == first
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_offsets_outside_are_refused(tmp_path: Path) -> None:
    packed = pack(tree(tmp_path / f"{S1}.SAFE", {"manifest.safe": b"x"}), S1)
    for offset in (-1, packed.size + 1):
        with pytest.raises(errors.InputError, match="outside"):
            packed.read(offset)


def damage_crc(data: bytearray, at: int) -> None:
    data[at + 14] ^= 0xFF  # CRC of the local header
    central = data.index(b"PK\x01\x02")
    data[central + 16] ^= 0xFF


def damage_bytes(data: bytearray, at: int) -> None:
    data[at + 30 + len(f"{S1}.SAFE/manifest.safe") + 40] ^= 0x55


@pytest.mark.parametrize("damage", [damage_crc, damage_bytes])
@pytest.mark.parametrize("offset", [0, 500])
def test_damage_inside_a_deflated_member_is_found(
    tmp_path: Path, damage: Callable[[bytearray, int], None], offset: int
) -> None:
    text = b"".join(hashlib.sha256(bytes([i])).hexdigest().encode() for i in range(200))
    path = zipped(tmp_path / f"{S1}.zip", {f"{S1}.SAFE/manifest.safe": text})
    data = bytearray(path.read_bytes())
    damage(data, 0)
    path.write_bytes(data)
    with pytest.raises(errors.DamagedProduct):
        whole(pack(path, S1), offset)


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / f"{S1}.zip", {f"{S1}.SAFE/manifest.safe": b"x" * 5000}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(errors.DamagedProduct):
        pack(path, S1)


@pytest.mark.parametrize("kind", ["folder", "deflated", "stored"])
@pytest.mark.parametrize("change", ["time", "size", "gone", "during"])
def test_a_change_while_reading_is_an_error(tmp_path: Path, kind: str, change: str) -> None:
    files = {"manifest.safe": b"<x/>", "measurement/a.tiff": os.urandom(3_000_000)}
    if kind == "folder":
        src = tree(tmp_path / f"{S1}.SAFE", files)
        victim = src / "measurement" / "a.tiff"
    else:
        method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
        src = victim = zipped(tmp_path / "p.zip", {f"{S1}.SAFE/{name}": data for name, data in files.items()}, method)
    packed = pack(src, S1)
    reader = packed.read(0)
    if change == "during":
        for _ in range(4 if kind != "stored" else 1):
            next(reader)
    if change == "gone":
        victim.unlink()
    elif change == "time":
        os.utime(victim, (1, 1))
    else:
        with victim.open("r+b") as file:
            file.truncate(victim.stat().st_size - 1_500_000)
    with pytest.raises(errors.ChecksumMismatch):
        for _ in reader:
            pass


def test_other_bytes_at_the_same_size_and_time_are_found(tmp_path: Path) -> None:
    src = tree(tmp_path / f"{S1}.SAFE", {"manifest.safe": b"<x/>", "measurement/a": b"0" * 1000})
    packed = pack(src, S1)
    whole(packed)
    tree(src, {"measurement/a": b"1" * 1000})
    with pytest.raises(errors.ChecksumMismatch):
        whole(packed)


def test_links_out_of_the_product_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    src = tree(tmp_path / f"{S1}.SAFE", {"manifest.safe": b"<x/>"})
    (src / "measurement").mkdir()
    (src / "measurement" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.UnsupportedProduct):
        pack(src, S1)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(errors.ReaderError):
        pack(tmp_path / f"{S1}.SAFE", S1)
    with pytest.raises(errors.ProductIdError):
        pack(tmp_path, "no product")
    empty = tmp_path / f"{S1}.SAFE"
    empty.mkdir()
    with pytest.raises(errors.IncompleteProduct):
        pack(empty, S1)


def test_many_threads_read_one_delivery(tmp_path: Path) -> None:
    files = {"manifest.safe": b"<x/>", **{f"measurement/{i}": os.urandom(50_000) for i in range(6)}}
    packed = pack(tree(tmp_path / f"{S1}.SAFE", files), S1)
    data, got = whole(pack(tmp_path / f"{S1}.SAFE", S1)), {}

    def read(offset: int) -> None:
        got[offset] = whole(packed, offset)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(0, packed.size, packed.size // 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) >= 7
    assert all(data[offset:] == rest for offset, rest in got.items())


# --- the source: real products ---------------------------------------------------------------------------------------
KNOWN = {
    S1,
    "S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B",
    "S1A_WV_OCN__2SSV_20150619T211030_20150619T211738_006447_008883_C1F4",
    S2,
    "S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911",
    "S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T000000",
    "S2A_MSIL2A_20181229T095411_N0211_R079_T33SVB_20181229T112231",
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157",
    S3,
    "S3A_SL_2_LST____20210510T002955_20210510T003255_20210511T101010_0179_071_301_5760_LN2_O_NT_004",
    "S3B_SR_1_SRA_BS_20181123T034448_20181123T034708_20181218T182901_0139_018_047______LN3_O_NT_003",
    "S3A_SY_2_VGP____20210703T142237_20210703T150700_20210703T211742_2663_073_310______LN2_O_ST_002",
    S5P,
    "S5P_OFFL_L2__CO_____20190913T121259_20190913T135429_09933_01_010302_20190919T113830",
}


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> FolderSource:
    return FolderSource(shared_data, rescan_after=600)


def everything(source: FolderSource) -> dict[str, Product]:
    found = [
        source.search(name, parse("*"), start=0, rows=10_000, orderby="ingestiondate desc") for name in COLLECTIONS
    ]
    return {product.id: product for hits in found for product in hits.products}


def test_real_products_are_listed(shared_data: Path) -> None:
    source = FolderSource(shared_data)
    began = time.perf_counter()
    count = source.check()
    took = time.perf_counter() - began
    print(f"{count} products in {took:.2f} s, {len(source.skipped)} skipped")
    assert isinstance(source, Source)
    assert took < 5
    products = everything(source)
    assert len(products) == count
    assert set(products) >= KNOWN
    assert source.find((*sorted(KNOWN), "S9")) == {name: products[name] for name in KNOWN}
    assert {
        name: source.search(name, parse("*"), start=0, rows=1, orderby="beginposition asc").total
        for name in COLLECTIONS
    } == {
        "S1": 10,
        "S2": 33,
        "S3": 11,
        "S5P": 5,
    }
    assert all(
        product.sources == ("folder",) and product.online and not product.size_estimated
        for product in products.values()
    )
    assert [path.suffix for path in source.skipped if "snap_subset" in str(path)] == [".nc", ".nc"]
    assert all(source.skipped.values())


def test_real_products_are_found_by_queries(archive: FolderSource) -> None:
    def ids(collection: str, **arguments: Any) -> set[str]:
        hits = archive.search(collection, parse(build(**arguments)), start=0, rows=100, orderby="beginposition asc")
        starts = [product.begin_position for product in hits.products]
        assert starts == sorted(starts)
        return {product.id for product in hits.products}

    over_belgium = ids("S2", bbox=(4.8, 50.6, 5.0, 50.8), cloud_cover=(0, 1))
    assert "S2A_MSIL1C_20160508T104032_N0202_R008_T31UFS_20160508T104027" in over_belgium
    assert "S2B_MSIL2A_20211024T104029_N0500_R008_T31UFS_20230102T162820" in over_belgium
    assert all("_T31UFS_" in name for name in over_belgium)
    assert ids("s1", product_type="OCN") == {name for name in everything(archive) if "_OCN_" in name}
    assert ids("Sentinel-3", datetime="2021-10-21") == {S3}
    across = ids("S2", bbox=(179.9, 65, -179.9, 67))
    assert across == {"S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157"}
    assert ids("S5P", intersects="POINT (100 0)", datetime="2020-03") == set()
    assert len(ids("S5P", intersects="POINT (170 0)", datetime="2020-03")) == 4


def test_pages_are_windows_of_one_order(archive: FolderSource) -> None:
    pages = [
        archive.search("S2", parse("*"), start=start, rows=5, orderby="cloudcoverpercentage asc")
        for start in range(0, 40, 5)
    ]
    assert {page.total for page in pages} == {33}
    names = [product.id for page in pages for product in page.products]
    assert len(names) == len(set(names)) == 33


def test_every_small_delivery_is_what_it_should_be(archive: FolderSource, tmp_path: Path) -> None:
    checked = 0
    for name, product in everything(archive).items():
        if product.size >= 5_000_000:
            continue
        content = archive.open(name)
        assert (content.size, content.checksums) == (product.size, {})
        digests = []
        for _ in range(2):
            with (tmp_path / content.name).open("wb") as file:
                file.writelines(content.read(0))
            digests.append(hashlib.sha256((tmp_path / content.name).read_bytes()).hexdigest())
        assert digests[0] == digests[1]
        assert (tmp_path / content.name).stat().st_size == content.size
        before = open_container(archive._entry(name).path)
        after = open_container(tmp_path / content.name)
        assert after.product_id == name
        if content.name.endswith(".zip"):
            with zipfile.ZipFile(tmp_path / content.name) as delivered:
                assert delivered.testzip() is None
            assert after.names() == before.names()
            for member in after.names():
                assert after.locate(member) is not None
                assert after.read(member) == before.read(member)
        middle = content.size // 2
        assert b"".join(content.read(middle)) == (tmp_path / content.name).read_bytes()[middle:]
        (tmp_path / content.name).unlink()
        checked += 1
    print(f"{checked} deliveries compared")
    assert checked > 50


def test_quicklooks_of_real_products(archive: FolderSource) -> None:
    assert archive.quicklook(S1).startswith(b"\x89PNG")
    assert archive.quicklook("S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T000000").startswith(b"\xff\xd8")
    with pytest.raises(errors.NoQuicklook):
        archive.quicklook(S5P)


# --- the source: a directory that lives ------------------------------------------------------------------------------
MANIFEST = b"""<?xml version="1.0"?><XFDU xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:gml="http://www.opengis.net/gml">
<safe:acquisitionPeriod><safe:startTime>2015-02-22T17:07:50.05</safe:startTime><safe:stopTime>2015-02-22T17:08:15.05
</safe:stopTime></safe:acquisitionPeriod><safe:footPrint><gml:coordinates>50.0,8.0 51.0,8.0 51.0,9.0 50.0,9.0
</gml:coordinates></safe:footPrint></XFDU>"""


def product_folder(folder: Path, name: str = S1, *, pixels: bytes = b"pixels") -> Path:
    return tree(folder / f"{name}.SAFE", {"manifest.safe": MANIFEST, "measurement/a.tiff": pixels})


def another(number: int) -> str:
    return f"{S1[:-4]}{number:04X}"


def look_now(source: FolderSource) -> FolderSource:
    source._due = 0.0
    return source


def test_the_index_follows_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from extenso_nb.readers import describe

    described: list[str] = []
    real = describe.describe
    monkeypatch.setattr(describe, "describe", lambda path: (described.append(Path(path).name), real(path))[1])
    source = FolderSource(tmp_path, name="lab")
    assert source.check() == 0
    product_folder(tmp_path / "a" / "b")
    assert source.check() == 0  # the index is young
    assert look_now(source).check() == 1
    product_folder(tmp_path, another(1))
    assert look_now(source).check() == 2
    assert sorted(described) == sorted([f"{S1}.SAFE", f"{another(1)}.SAFE"])  # each only once
    size = source.find((S1,))[S1].size
    product_folder(tmp_path / "a" / "b", pixels=b"more pixels")
    assert look_now(source).find((S1,))[S1].size == size + 5
    assert len(described) == 3
    assert source.find((S1,))[S1].sources == ("lab",)
    shutil.rmtree(tmp_path / "a")
    assert set(look_now(source).find((S1, another(1)))) == {another(1)}


def test_a_product_changed_since_the_scan_is_delivered_as_it_is_now(tmp_path: Path) -> None:
    product_folder(tmp_path)
    source = FolderSource(tmp_path, rescan_after=600)
    before = b"".join(source.open(S1).read(0))
    product_folder(tmp_path, pixels=b"other pixels, more of them")
    content = source.open(S1)
    after = b"".join(content.read(0))
    assert content.size == len(after) > len(before)


def test_nothing_is_written_into_the_directory(tmp_path: Path) -> None:
    product_folder(tmp_path)

    def listing() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in [tmp_path, *tmp_path.rglob("*")])

    before, source = listing(), FolderSource(tmp_path)
    source.check()
    b"".join(source.open(S1).read(0))
    assert listing() == before


def test_what_cannot_be_offered_is_named(tmp_path: Path) -> None:
    product_folder(tmp_path, another(1))
    cut = zipped(tmp_path / f"{another(2)}.zip", {f"{another(2)}.SAFE/manifest.safe": MANIFEST * 9})
    cut.write_bytes(cut.read_bytes()[:-30])
    bomb = tree(tmp_path / f"{another(3)}.SAFE", {"manifest.safe": b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'})
    junk = tmp_path / "holiday.zip"
    zipped(junk, {"beach.jpg": b"sand"})
    weather = tmp_path / "era5.nc"
    weather.write_bytes(b"CDF\x01" + bytes(100))
    nameless = tree(tmp_path / another(4), {"measurement/a.tiff": b""})
    empty = tmp_path / f"{another(5)}.SAFE"
    empty.mkdir()
    tree(tmp_path / "__MACOSX" / f"{another(6)}.SAFE", {"manifest.safe": MANIFEST})
    tree(tmp_path / ".hidden" / f"{another(7)}.SAFE", {"manifest.safe": MANIFEST})
    source = FolderSource(tmp_path)
    assert source.check() == 1
    assert set(source.skipped) == {cut, bomb, junk, weather, nameless, empty}
    assert "damaged" in source.skipped[cut]
    assert "DTD" in source.skipped[bomb]
    assert "no files" in source.skipped[empty]
    assert "no product of Sentinel" in source.skipped[junk]


def test_an_odd_error_hides_only_its_own_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from extenso_nb.readers import describe

    bad, real = product_folder(tmp_path, another(1)), describe.describe
    product_folder(tmp_path, another(2))

    def failing(path: Path) -> Product:
        if path == bad:
            raise OSError(5, "Input/output error")
        return real(path)

    source = FolderSource(tmp_path)
    monkeypatch.setattr(describe, "describe", failing)
    assert source.check() == 1
    assert "Input/output error" in source.skipped[bad]
    monkeypatch.setattr(describe, "describe", real)  # the disk is well again, and the product the same
    assert look_now(source).check() == 2


def test_of_two_copies_the_more_complete_then_the_newer_is_used(tmp_path: Path) -> None:
    small = product_folder(tmp_path / "a", pixels=b"cut")
    large = product_folder(tmp_path / "b", pixels=b"complete")
    source = FolderSource(tmp_path)
    assert source.check() == 1
    assert list(source.skipped) == [small]
    assert "more complete" in source.skipped[small]
    assert str(large) in source.skipped[small]
    newer = zipped(
        tmp_path / "copy.zip", {f"{S1}.SAFE/manifest.safe": MANIFEST, f"{S1}.SAFE/measurement/a.tiff": b"complete"}
    )
    os.utime(newer, (4e9, 4e9))
    assert look_now(source).check() == 1
    assert set(source.skipped) == {small, large}
    assert "newer" in source.skipped[large]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = product_folder(tmp_path / "outside")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / f"{S1}.SAFE").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    source = FolderSource(inside)
    assert source.check() == 0
    assert source.skipped == {inside / f"{S1}.SAFE": "It is a link; links are not followed."}
    assert FolderSource(tmp_path / "outside").check() == 1


def test_a_missing_directory_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    source = FolderSource(root)
    calls: list[Callable[[], object]] = [
        source.check,
        lambda: source.find((S1,)),
        lambda: source.search("S1", parse("*"), start=0, rows=10, orderby="ingestiondate desc"),
        lambda: source.open(S1),
        lambda: source.quicklook(S1),
        lambda: source.warm_up(S1),
        lambda: source.skipped,
    ]
    for call in calls:
        with pytest.raises(errors.SourceUnavailable, match="archive"):
            call()
    product_folder(root)
    assert source.check() == 1
    root.rename(tmp_path / "unmounted")
    for call in calls:
        with pytest.raises(errors.SourceUnavailable):
            call()
    with pytest.raises(errors.SourceUnavailable):
        FolderSource(product_folder(tmp_path) / "manifest.safe").check()


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product_folder(tmp_path / "good")
    locked = tmp_path / "locked"
    product_folder(locked, another(1))
    real = os.scandir

    def scandir(path: Any) -> Any:  # permissions do not bind root, which the tests may run as
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    source = FolderSource(tmp_path)
    assert source.check() == 1
    assert source.skipped == {locked: "It cannot be read: Permission denied."}


def test_unknown_products(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    assert source.find((S1,)) == {}
    for call in (source.open, source.quicklook, source.warm_up):
        with pytest.raises(errors.UnknownProduct) as caught:
            call(S1)
        assert caught.value.details["products"] == [S1]
    with pytest.raises(errors.InputError):
        source.search("S9", parse("*"), start=0, rows=10, orderby="ingestiondate desc")


def test_threads_share_one_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from extenso_nb.readers import describe

    for number in range(12):
        product_folder(tmp_path, another(number))
    described: list[Path] = []
    real = describe.describe
    monkeypatch.setattr(describe, "describe", lambda path: (described.append(path), time.sleep(0.005), real(path))[2])
    source, counts = FolderSource(tmp_path), []
    threads = [threading.Thread(target=lambda: counts.append(source.check())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [12] * 8
    assert len(described) == 12


def test_repr_says_what_and_where(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, name="lab")
    assert "not scanned" in repr(source)
    source.check()
    assert repr(source) == f"<FolderSource lab: {tmp_path}, 0 products>"
