"""Hostile input: queries over HTTP, folders and zips laid as traps, metadata that explodes, endpoints that lead inside."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import resource
import socket
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from archive import FOOTPRINT, METADATA
from pydantic import SecretStr
from queries import nasty, queries
from scripted import Gateway, ScriptedSource, served, verify

from extenso_nb import errors, wire
from extenso_nb.gateway import packing, service
from extenso_nb.gateway.packing import pack
from extenso_nb.gateway.sources.folder import FolderSource
from extenso_nb.models import BucketProperties
from extenso_nb.readers import describe
from extenso_nb.readers.entries import MEMBERS_MAX
from extenso_nb.readers.opening import open_container
from extenso_nb.storage import locate_bucket, refuse_private

NAME = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134500"
OTHER = NAME.replace("134500", "134501")
CANARY = b"what lies outside: 5f1c0a77"
MEMORY = 200_000_000

pytestmark = pytest.mark.timeout(60)


def product(folder: Path, name: str = NAME, **files: bytes) -> Path:
    """A small Sentinel-2 product as a folder."""
    root = folder / f"{name}.SAFE"
    (root / "GRANULE").mkdir(parents=True)
    (root / "manifest.safe").write_bytes(b"<xfdu/>")
    (root / "MTD_MSIL2A.xml").write_text(METADATA.format(name=name, footprint=FOOTPRINT, cloud=1.0))
    (root / "GRANULE" / "pixels").write_bytes(b"pixels" * 100)
    for file, data in files.items():
        (root / file).write_bytes(data)
    return root


def zipped(path: Path, files: dict[str, bytes], name: str = NAME) -> Path:
    """A product as a deflated zip, with more members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.SAFE/manifest.safe", b"<xfdu/>")
        archive.writestr(f"{name}.SAFE/MTD_MSIL2A.xml", METADATA.format(name=name, footprint=FOOTPRINT, cloud=1.0))
        for member, data in files.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return path


class source(FolderSource):
    """A source that looks at its directory each time it is asked."""

    def _fresh(self) -> Any:
        self._due = 0.0
        return super()._fresh()


def delivered(held: FolderSource, name: str = NAME) -> bytes:
    return b"".join(held.open(name).read(0))


def peak() -> int:
    """Most bytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bounded(work: Callable[[], object], seconds: float = 10) -> None:
    """Do it, within the time, and within 200 MB more than were held before."""
    before, start = peak(), time.monotonic()
    work()
    assert time.monotonic() - start < seconds
    assert peak() - before < MEMORY


# --- queries over HTTP -----------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_of_the_nastiest_queries_over_http(tmp_path: Path) -> None:
    held = ScriptedSource()
    for number in range(20):
        held.add(number)
    gateway = Gateway(tmp_path, held)
    texts = list(itertools.islice(nasty(random.Random(4)), 400)) + list(queries(77, 1600))
    seen: dict[int, int] = {}
    try:
        with served(gateway) as url, httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            http.headers["Authorization"] = f"Bearer {gateway.access.login(gateway.key)}"
            for text in texts:
                raw = text.encode("utf-8", "surrogatepass")
                asked = quote(raw)[:60_000]  # more is no request line
                answer = http.get(f"{wire.VERBS['search'].url(collection='S2')}?rows=1&q={asked}")
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
                assert answer.status_code in {200, 400}, (answer.status_code, text[:200])
                if answer.status_code == 400 and answer.headers["content-type"] == "application/json":
                    body = answer.json()
                    assert body["message"]
                    assert body["hint"]
                    position = body.get("details", {}).get("position")
                    assert position is None or 0 <= position <= len(raw.decode(errors="replace"))
            assert http.get(wire.VERBS["search"].url(collection="S2"), params={"q": "*"}).json()["totalResults"] == 20
    finally:
        gateway.stop()
    assert seen[200] > 300
    assert seen[400] > 300


# --- folders ---------------------------------------------------------------------------------------------------------
def test_links_out_of_a_product_are_refused_before_and_after_the_scan(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(CANARY)
    archive = tmp_path / "archive"
    (product(archive) / "GRANULE" / "link").symlink_to(outside)
    (product(archive, OTHER) / "GRANULE" / "up").symlink_to(tmp_path)
    held = source(archive)
    assert held.check() == 0
    assert all("link" in reason for reason in held.skipped.values())
    assert len(held.skipped) == 2


def test_no_byte_of_a_file_outside_is_delivered_through_a_link_made_later(tmp_path: Path) -> None:
    """Size and time are those of the file that was there, so only the link itself and the inode tell."""
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    root = product(archive, pixels=b"x" * len(CANARY))
    outside.write_bytes(CANARY)
    held = source(archive)
    content = held.open(NAME)
    status = (root / "pixels").stat()
    os.utime(outside, ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "pixels").unlink()
    (root / "pixels").symlink_to(outside)
    with pytest.raises(errors.ChecksumMismatch, match="link"):
        b"".join(content.read(0))
    assert held.check() == 0
    # A hard link is no link that could be seen, but the file is another one than before.
    (root / "pixels").unlink()
    (root / "pixels").write_bytes(b"x" * len(CANARY))
    os.utime(root / "pixels", ns=(status.st_atime_ns, status.st_mtime_ns))
    content = held.open(NAME)
    (root / "pixels").unlink()
    os.link(outside, root / "pixels")
    with pytest.raises(errors.ChecksumMismatch, match="changed"):
        b"".join(content.read(0))


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    root = product(archive / "sub")
    other = product(outside)
    (other / "GRANULE" / "pixels").write_bytes(CANARY.ljust(600))
    held = FolderSource(archive, rescan_after=3600)
    content = held.open(NAME)
    for path in (root / "GRANULE", root, archive / "sub"):
        path.rename(tmp_path / "aside")
        path.symlink_to(other / "GRANULE" if path.name == "GRANULE" else outside if path.name == "sub" else other)
        for read in (lambda: b"".join(content.read(0)), lambda: delivered(held)):
            with pytest.raises((errors.ChecksumMismatch, errors.SourceUnavailable, errors.ReaderError)):
                read()
        path.unlink()
        (tmp_path / "aside").rename(path)
    assert CANARY not in delivered(FolderSource(archive))


@pytest.mark.parametrize("kind", ["zip", "nc"])
def test_a_file_that_becomes_a_link_is_not_followed(tmp_path: Path, kind: str) -> None:
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    archive.mkdir()
    path = archive / f"{NAME}.SAFE.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if kind == "nc" else zipfile.ZIP_DEFLATED) as made:
        made.writestr(f"{NAME}.SAFE/MTD_MSIL2A.xml", METADATA.format(name=NAME, footprint=FOOTPRINT, cloud=1.0))
    held = source(archive)
    content = held.open(NAME)
    status = path.stat()
    outside.write_bytes((CANARY * 100)[: status.st_size].ljust(status.st_size))
    os.utime(outside, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(errors.ChecksumMismatch):
        b"".join(content.read(0))
    assert held.check() == 0


def test_pipes_sockets_and_devices_keep_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "a"
    root = product(archive)
    os.mkfifo(root / "GRANULE" / "pipe")
    for name in (
        f"{OTHER}.SAFE.zip",
        "S5P_OFFL_L2__NO2____20240601T113245_20240601T131415_34378_03_020600_20240603T033512.nc",
    ):
        os.mkfifo(archive / name)
    monkeypatch.chdir(archive)  # the path of a socket may be no longer than some 100 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.zip")
        held = source(archive)
        assert held.check() == 0
        assert len(held.skipped) == 4
    assert "neither a file nor a folder" in held.skipped[root]
    for path in (archive / f"{OTHER}.SAFE.zip", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(errors.ReaderError):
            open_container(path)
    (root / "GRANULE" / "pipe").unlink()
    content = held.open(NAME)
    (root / "GRANULE" / "pixels").unlink()
    os.mkfifo(root / "GRANULE" / "pixels")
    with pytest.raises(errors.ChecksumMismatch):
        b"".join(content.read(0))


def test_loops_of_links_end(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    root = product(archive)
    (archive / "again").symlink_to(archive)
    (archive / f"{OTHER}.SAFE").symlink_to(archive / f"{OTHER}.SAFE")
    held = source(archive)
    assert list(held.find((NAME, OTHER))) == [NAME]
    (root / "self").symlink_to(root / "self")
    assert held.check() == 0
    assert "link" in held.skipped[root]


@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "rewrite", "unreadable", "folder"])
def test_files_that_change_while_they_are_packed(tmp_path: Path, change: str) -> None:
    archive = tmp_path / "archive"
    root = product(archive, first=b"a" * 3_000_000, last=b"z" * 3_000_000)
    held = source(archive)
    stream = held.open(NAME).read(0)
    next(stream)
    path = root / "last"
    match change:
        case "grow":
            with path.open("ab") as file:
                file.write(b"more")
        case "shrink":
            os.truncate(path, 5)
        case "vanish":
            path.unlink()
        case "rewrite":
            path.write_bytes(b"y" * 3_000_000)
            os.utime(path, (1, 1))
        case "unreadable":
            path.unlink()
            path.symlink_to("/proc/self/mem")
        case "folder":
            path.unlink()
            path.mkdir()
    with pytest.raises(errors.ChecksumMismatch):
        b"".join(stream)
    if change in {"grow", "shrink", "rewrite", "vanish"}:
        assert delivered(held)  # as it is now
    else:
        assert held.check() in {0, 1}


def test_unreadable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    root = product(archive)
    (root / "GRANULE" / "pixels").chmod(0)
    if os.geteuid() == 0:  # who reads everything
        opened = packing.open_below

        def refuse(folder: str, name: str) -> Any:
            if name.endswith("pixels"):
                raise PermissionError(13, "Permission denied")
            return opened(folder, name)

        monkeypatch.setattr(packing, "open_below", refuse)
    held = source(archive)
    assert held.check() == 0
    assert "Permission denied" in held.skipped[root]


def test_names_that_cannot_be_told(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    product(archive)
    (archive / os.fsdecode(b"\xff\xfe.SAFE")).mkdir()
    product(archive / os.fsdecode(b"\xff"), OTHER)
    (archive / "new\nline.zip").write_bytes(b"PK")
    held = source(archive)
    assert list(held.find((NAME, OTHER))) == [NAME]
    assert sorted(held.skipped.values()) == ["Its name is not UTF-8, or has control characters; rename it."] * 3
    inside = archive / f"{NAME}.SAFE"
    for name in (b"\xff", b"a\nb", b"c\\d", b"e:f"):
        path = inside / os.fsdecode(name)
        path.touch()
        assert held.check() == 0, name
        assert held.skipped[inside].isprintable()
        path.unlink()
    (inside / "Twin").touch()
    (inside / "twin").touch()
    assert held.check() == 0
    assert "two members" in held.skipped[inside]


def test_products_named_like_others(tmp_path: Path) -> None:
    """The name of the folder counts; what its metadata claims is not believed against it."""
    archive = tmp_path / "archive"
    product(archive)
    false = product(archive, OTHER)
    (false / "MTD_MSIL2A.xml").write_text(METADATA.format(name=NAME, footprint=FOOTPRINT, cloud=1.0))
    product(archive / "copy")
    held = source(archive)
    found = held.find((NAME, OTHER))
    assert sorted(found) == [NAME, OTHER]
    assert [path.parent.name for path in held.skipped] in (["copy"], ["archive"])


def test_a_picture_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    """GDAL would read a VRT, whatever its name: any image of this machine, any address its network knows."""
    import numpy as np
    import rasterio

    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_note, args=(listening, asked), daemon=True).start()
        secret = tmp_path / "secret.tif"
        shape = {"width": 64, "height": 64, "count": 3, "dtype": "uint8"}
        with rasterio.open(secret, "w", driver="GTiff", transform=rasterio.Affine.scale(2), **shape) as image:
            image.write(np.full((3, 64, 64), 77, "uint8"))
        folder = "GRANULE/L2A_T31TCJ_A037792_20240601T105619/QI_DATA"
        for place in (str(secret), f"/vsicurl/http://127.0.0.1:{listening.getsockname()[1]}/x.tif"):
            band = f"<SimpleSource><SourceFilename>{place}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
            bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}">{band}</VRTRasterBand>' for n in (1, 2, 3))
            vrt = f'<VRTDataset rasterXSize="64" rasterYSize="64">{bands}</VRTDataset>'.encode()
            path = zipped(tmp_path / f"{NAME}.zip", {f"{NAME}.SAFE/{folder}/T31TCJ_20240601T105619_PVI.jp2": vrt})
            with pytest.raises(errors.NoQuicklook):
                describe.quicklook(path)
            with zipfile.ZipFile(path) as archive:
                archive.extractall(tmp_path / "out")
            with pytest.raises(errors.NoQuicklook):
                describe.quicklook(tmp_path / "out" / f"{NAME}.SAFE")
    assert asked == []


def _note(listening: socket.socket, asked: list[str]) -> None:
    try:
        while True:
            connection, _ = listening.accept()
            asked.append("asked")
            connection.close()
    except OSError:
        return


# --- zips ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "member",
    ["/etc/passwd", "../evil", f"{NAME}.SAFE/../../evil", "C:/evil", "..\\evil", "a\0b", "a\nb", "x" * 4000, "a/" * 2000 + "b",
     "a//b", "./a", f"{NAME}.SAFE/MANIFEST.safe", f"{NAME}.SAFE/manifest.safe", "e\x7f"],
)  # fmt: skip
def test_members_with_names_of_no_product(tmp_path: Path, member: str) -> None:
    import warnings

    archive = tmp_path / "archive"
    archive.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the doubled name
        path = zipped(archive / "x.zip", {"placeholder": b"evil"} if "\0" in member else {member: b"evil"})
    if "\0" in member:  # the writer cuts it
        path.write_bytes(path.read_bytes().replace(b"placeholder", b"placeh\0lder"))
    held = source(archive)
    assert held.check() == 0
    assert held.skipped[path]
    for refuse in (lambda: pack(path, NAME), lambda: verify(path)):
        with pytest.raises((errors.DamagedProduct, errors.ReaderError)):
            refuse()
    assert not (tmp_path / "evil").exists()


def test_names_that_are_not_the_utf8_they_claim_to_be(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"ä": b"x"})
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xfe"))
    for refuse in (open_container, verify):
        with pytest.raises(errors.DamagedProduct):
            refuse(path)


@pytest.mark.parametrize("system", [0, 3, 7, 19])
@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o060644, 0o140644])
def test_links_and_devices_in_zips(tmp_path: Path, system: int, mode: int) -> None:
    info = zipfile.ZipInfo(f"{NAME}.SAFE/link")
    info.create_system, info.external_attr = system, mode << 16
    path = zipped(tmp_path / "x.zip", {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(errors.DamagedProduct, match="link or device"):
        open_container(path)
    with pytest.raises(errors.DamagedProduct, match=r"is a link|neither a file nor a folder"):
        verify(path)


def _overlapped(path: Path, count: int) -> Path:
    """`count` members over one and the same compressed megabyte of zeros (D. Fifield, "A better zip bomb", 2019)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    data = packer.compress(zeros) + packer.flush()
    crc, out, central = zlib.crc32(zeros), io.BytesIO(), io.BytesIO()
    name = f"{NAME}.SAFE/a".encode()
    out.write(
        struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(data), len(zeros), len(name), 0) + name + data
    )
    for number in range(count):
        called = f"{NAME}.SAFE/{number:06d}".encode() if number else name
        central.write(
            struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(data), len(zeros), len(called), 0, 0, 0, 0, 0, 0)
            + called
        )  # fmt: skip
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), central.tell(), out.tell(), 0
    )
    path.write_bytes(out.getvalue() + central.getvalue() + end)
    return path


def test_members_over_each_other_are_refused(tmp_path: Path) -> None:
    path = _overlapped(tmp_path / "x.zip", 10_000)
    assert path.stat().st_size < 2_000_000
    for refuse, why in ((open_container, "lies over"), (verify, "not in its directory|not a whole zip")):

        def work(refuse: Callable[[Path], object] = refuse, why: str = why) -> None:
            with pytest.raises(errors.DamagedProduct, match=why):
                refuse(path)

        bounded(work)


def test_ten_gigabytes_of_zeros_in_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.SAFE.zip"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    one, count = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH), 10_000
    data, size = one * count + b"\3\0", count << 20
    name = f"{NAME}.SAFE/zeros".encode()
    extra = struct.pack("<HHQQ", 1, 16, size, len(data))
    local = (
        struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 8, 0, 33, 1, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
        + name
        + extra
    )
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 8, 0, 33, 1, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra),
                          0, 0, 0, 0, 0) + name + extra  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    path.write_bytes(local + data + central + end)
    assert path.stat().st_size < 12_000_000

    def work() -> None:
        for refuse in (open_container, lambda path: pack(path, NAME)):
            with pytest.raises(errors.DamagedProduct, match="packed so tightly"):
                refuse(path)
        assert source(tmp_path).check() == 0

    bounded(work)


def test_a_member_that_holds_more_than_it_says_is_cut(tmp_path: Path) -> None:
    """The lie is found when it is read, after no more bytes than were promised."""
    path = zipped(tmp_path / "x.zip", {f"{NAME}.SAFE/zeros": bytes(400_000_000)})
    data = bytearray(path.read_bytes())
    at = data.rindex(f"{NAME}.SAFE/zeros".encode()) - 46
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)

    def work() -> None:
        with pytest.raises(errors.DamagedProduct):
            b"".join(pack(path, NAME).read(0))
        with pytest.raises(errors.DamagedProduct):
            open_container(path).read("zeros")
        with pytest.raises(errors.DamagedProduct):
            verify(path)

    bounded(work)


def test_zips_in_zips_stay_closed(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {f"{NAME}.SAFE/zeros": bytes(1_000_000)}).read_bytes()
    for _ in range(5):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(16):
                archive.writestr(f"{number}.zip", inner)
        inner = buffer.getvalue()
    path = tmp_path / f"{NAME}.SAFE.zip"
    path.write_bytes(inner)
    with pytest.raises(errors.UnsupportedProduct, match="zip of zips"):
        open_container(path)


def _many(path: Path, count: int, name: Callable[[int], str]) -> Path:
    """A zip of `count` empty members, written without a ZipInfo for each."""
    out, central = io.BytesIO(), io.BytesIO()
    for number in range(count):
        called = name(number).encode()
        at = out.tell()
        out.write(struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, len(called), 0) + called)
        central.write(
            struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(called), 0, 0, 0, 0, 0, at) + called
        )
    start, size = out.tell(), central.tell()
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    end += struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    end += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(out.getvalue() + central.getvalue() + end)
    return path


def test_a_million_members_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = _many(tmp_path / "x.zip", 600_000, lambda number: f"{NAME}.SAFE/{number}")

    def work() -> None:
        with pytest.raises(errors.UnsupportedProduct, match="more than 100000 members"):
            open_container(path)
        with pytest.raises(errors.DamagedProduct, match="more than 100000 members"):
            verify(path)

    bounded(work)


def test_a_hundred_thousand_members_are_read(tmp_path: Path) -> None:
    path = _many(tmp_path / "x.zip", MEMBERS_MAX, lambda number: f"{NAME}.SAFE/{number}")
    bounded(lambda: open_container(path), seconds=20)
    # Each of them a root of a product, which made the search for the outermost one take the square of that.
    roots = _many(tmp_path / "y.zip", 50_000, lambda number: f"a/{number}/MTD_MSIL2A.xml")

    def work() -> None:
        with pytest.raises(errors.UnsupportedProduct, match="50000 products"):
            open_container(roots)

    bounded(work)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_damaged_directory_is_an_error_of_ours(tmp_path: Path, cut: int) -> None:
    path = zipped(tmp_path / "x.zip", {f"{NAME}.SAFE/a": b"x" * 100})
    data, chance = bytearray(path.read_bytes()), random.Random(cut)
    for _ in range(4):
        data[-1 - chance.randrange(min(len(data), 400))] = chance.randrange(256)
    path.write_bytes(data[: len(data) - cut] if cut % 2 else data)
    for look in (lambda: verify(path), lambda: b"".join(pack(path, NAME).read(0)), lambda: describe.describe(path)):
        with contextlib.suppress(errors.ExtensoError):
            look()


# --- metadata --------------------------------------------------------------------------------------------------------
_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]><x>&l11;</x>'.encode(),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>',
        b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><x/>',
        ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY e "x">]><x>&e;</x>').encode("utf-16"),
        b'<?xml version="1.0" encoding="no-such-thing"?><x/>',
        b'<?xml version="1.0" encoding="UTF-8"?><x>\xff\xfe</x>',
        b"<x>" * 2_000_000,
        b"<x>" * 150_000,
        b"<x>" * 100_000 + b"</x>" * 100_000,
        b"<x " + b" ".join(b'a%d="1"' % n for n in range(1_000_000)) + b"/>",
        b"<x>" + b" " * 100_000_000 + b"</x>",
        b"\0" * 1000,
        b"",
        b"<x",
        "<x>\u0000</x>".encode("utf-32"),
    ],
    ids=range(16),
)
def test_metadata_that_explodes(tmp_path: Path, text: bytes) -> None:
    folder = product(tmp_path / "folder")
    (folder / "MTD_MSIL2A.xml").write_bytes(text)
    path = zipped(tmp_path / f"{OTHER}.zip", {}, OTHER)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{OTHER}.SAFE/MTD_MSIL2A.xml", text)

    def work() -> None:
        for place in (folder, path):
            with contextlib.suppress(errors.DamagedProduct, errors.ReaderError):
                assert describe.describe(place).footprint is None  # nothing in it was believed
        source(tmp_path).check()

    bounded(work)


# --- endpoints that lead inside --------------------------------------------------------------------------------------
def _bucket(endpoint: str) -> BucketProperties:
    return BucketProperties(endpoint=endpoint, access_key=SecretStr("AK"), secret_key=SecretStr("SK"), bucket="bucket")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1",
     "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
     "192.168.1.1", "3232235777", "169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.170.2", "100.64.0.1",
     "100.127.255.255", "100.100.100.200", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
     "239.255.255.255", "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
     "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
     "[2001:db8::1]", "[100::1]", "[5f00::1]"],
)  # fmt: skip
def test_no_address_of_the_inside(host: str) -> None:
    """Through the real resolver, which reads all these spellings."""
    for endpoint in (f"https://{host}", f"https://{host}:9000", f"https://{host}/path"):
        try:
            bucket = locate_bucket(_bucket(endpoint))
        except errors.BucketRefused:
            continue
        with pytest.raises(errors.BucketRefused, match=r"private network|not known"):
            refuse_private(bucket)


@pytest.mark.parametrize(
    "endpoint",
    ["https://example.com@127.0.0.1", "https://127.0.0.1@example.com", "https://user:pass@example.com", "https://example.com#@127.0.0.1",
     "https://example.com\\@127.0.0.1", "https://127.0.0.1%23.example.com", "https://example.com%00.127.0.0.1", "https://①②⑦.0.0.1",
     "https://127。0。0。1", "https://example.com:99999", "https://example.com:-1", "https://example.com: 80", "https:///bucket",
     "https://[::1", "https://[::1%25lo]", "https://exa mple.com", "https://example.com\n", "https://\texample.com", "file:///etc/passwd",
     "ftp://example.com", "gopher://127.0.0.1:6379/_x", "//example.com", "example.com", "https:127.0.0.1", "https:/\\127.0.0.1", "http+unix://x",
     "https://example.com/bucket?x=y", "https://example.com/../../x", "", " ", "https://"],
)  # fmt: skip
def test_endpoints_that_are_read_in_two_ways(endpoint: str) -> None:
    """Refused, or read as a public host; never one host to us and another to the client."""
    try:
        bucket = locate_bucket(_bucket(endpoint))
    except (errors.BucketRefused, errors.InvalidRequest):
        return
    assert bucket.endpoint in {"https://example.com", "https://example.com:80"}, bucket


def test_a_picture_that_unfolds_is_not_unfolded() -> None:
    def png(width: int, height: int) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        packer, rows = zlib.compressobj(9), []
        for _ in range(height):
            rows.append(packer.compress(bytes(1 + width)))
        rows.append(packer.flush())
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(rows)) + chunk(b"IEND", b"")

    bomb = png(9_000, 9_000)
    assert len(bomb) < 200_000
    with pytest.raises(errors.NoQuicklook, match="9000 x 9000"):
        service._shrunk(bomb, "x")
    assert service._shrunk(png(600, 300), "x").startswith(b"\xff\xd8")
