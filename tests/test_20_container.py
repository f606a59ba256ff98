"""Containers: every byte where it should be, and hostile or broken archives refused."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb.errors import DamagedProduct, ExtensoError, IncompleteProduct, ReaderError, UnsupportedProduct
from extenso_nb.readers import opening as module
from extenso_nb.readers.container import Container, SubFile
from extenso_nb.readers.opening import open_container

ID = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
MEMBERS = {
    "manifest.safe": b"<manifest/>",
    "MTD_MSIL2A.xml": b"<x>" + b"y" * 5000 + b"</x>",
    "GRANULE/L2A/IMG_DATA/R10m/a_B04_10m.jp2": bytes(range(256)) * 700,
    "GRANULE/L2A/IMG_DATA/R10m/empty_B08_10m.jp2": b"",
}


def write_zip(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(prefix + name, content)
    return path


def write_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def check(product: Container, members: dict[str, bytes] = MEMBERS) -> None:
    """Each way to the bytes gives the same bytes."""
    assert product.names() == tuple(sorted(members))
    for name, content in members.items():
        assert product.size(name) == len(content)
        assert product.is_empty(name) is (not content)
        assert product.read(name) == content
        assert product.head(name, 100) == content[:100]
        with product.open(name) as file:
            assert file.seek(0, io.SEEK_END) == len(content)
            file.seek(len(content) // 2)
            assert file.read() == content[len(content) // 2 :]
        where = product.locate(name)
        if where is not None:
            data = Path(where.path).read_bytes()
            assert data[where.offset : where.offset + where.size] == content


@pytest.fixture(
    params=["folder", "parent", "marker", "stored", "deflated", "flat", "deep", "renamed", "zip64", "mac"],
)
def product_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind = request.param
    root = f"{ID}.SAFE/"
    if kind in {"folder", "parent", "marker"}:
        folder = write_folder(tmp_path / "in" / f"{ID}.SAFE", MEMBERS)
        return {"folder": folder, "parent": tmp_path / "in", "marker": folder / "MTD_MSIL2A.xml"}[kind]
    target = tmp_path / f"{ID}.SAFE.zip"
    if kind == "zip64":
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in MEMBERS.items():
                with archive.open(root + name, "w", force_zip64=True) as member:
                    member.write(content)
        return target
    if kind == "mac":
        return write_zip(target, {root + n: c for n, c in MEMBERS.items()} | {f"__MACOSX/{root}._manifest.safe": b"x"})
    prefix = {"flat": "", "deep": f"a/b/{root}", "renamed": "product/"}.get(kind, root)
    method = zipfile.ZIP_DEFLATED if kind in {"deflated", "deep"} else zipfile.ZIP_STORED
    return write_zip(target, MEMBERS, method=method, prefix=prefix)


def test_every_layout_gives_the_same_members(product_path: Path) -> None:
    product = open_container(product_path)
    assert product.product_id == ID
    check(product)
    again = pickle.loads(pickle.dumps(product))
    assert again == product
    check(again)


def test_the_name_that_is_an_identifier_wins(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{ID}.SAFE.zip", MEMBERS, prefix=f"{ID[:-1]}.SAFE/")
    assert open_container(path).product_id == ID
    odd = write_zip(tmp_path / "mine.zip", MEMBERS, prefix="S2_odd.SAFE/")
    assert open_container(odd).product_id == "S2_odd"


def test_real_products(shared_data: Path) -> None:
    """Every zip of the shared data, member by member, against the standard library."""
    zips = sorted(shared_data.glob("s[123]*/*.zip"))
    assert len(zips) >= 10
    for path in zips:
        product = open_container(path)
        with zipfile.ZipFile(path) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            assert len(files) == len(product.names())
            for name in product.names():
                entry = next(e for e in files if e.filename.endswith(name) and e.file_size == product.size(name))
                assert product.read(name) == archive.read(entry)
                assert (product.locate(name) is None) == (entry.compress_type == zipfile.ZIP_DEFLATED)
    misnamed = shared_data / "s2_l1c/S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T000000.SAFE.zip"
    assert open_container(misnamed).product_id == misnamed.name.removesuffix(".SAFE.zip")
    netcdf = next((shared_data / "s5p").glob("*NO2*.nc"))
    assert open_container(netcdf).names() == (netcdf.name,)
    assert open_container(netcdf).gdal_path(netcdf.name) == str(netcdf)


def test_local_header_may_be_longer_than_the_directory_says(tmp_path: Path) -> None:
    """An extra field in the local header only: the offset must come from there."""
    path = tmp_path / f"{ID}.zip"
    name, content = f"{ID}.SAFE/manifest.safe".encode(), b"payload"
    extra = struct.pack("<HH", 0x9999, 40) + bytes(40)
    import zlib

    crc = zlib.crc32(content)
    sizes = (crc, len(content), len(content), len(name))
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, *sizes, len(extra)) + name + extra + content
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, *sizes, 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    check(open_container(path), {"manifest.safe": content})


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.x", fullmatch=True), st.binary(max_size=3000), min_size=1
    )
)
def test_any_members_survive(members: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            path = write_zip(Path(folder) / f"{method}.zip", members, method=method, prefix=f"{ID}.SAFE/")
            check(open_container(path), members)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_cut_zip_is_never_opened(tmp_path: Path, method: int) -> None:
    whole = write_zip(tmp_path / "whole.zip", MEMBERS, method=method, prefix=f"{ID}.SAFE/").read_bytes()
    cut = tmp_path / f"{ID}.zip"
    for length in [*range(4, len(whole), max(1, len(whole) // 150)), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(DamagedProduct, match=r"damaged zip.*byte") as caught:
            open_container(cut)
        assert str(length) in str(caught.value)


def test_the_message_says_where_a_zip_was_cut(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", MEMBERS, prefix=f"{ID}.SAFE/").read_bytes()
    cut = tmp_path / f"{ID}.zip"
    cut.write_bytes(whole[:20_000])
    with pytest.raises(DamagedProduct, match=r"ends at byte 20000, within .*a_B04_10m\.jp2"):
        open_container(cut)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_never_gives_other_bytes_of_a_deflated_member(at: int, flip: int) -> None:
    import tempfile

    content = bytes(range(256)) * 30 + b"tail"
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder) / f"{ID}.zip", {"manifest.safe": content}, method=zipfile.ZIP_DEFLATED)
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        try:
            product = open_container(path)
            read = product.read(product.names()[0])
        except ExtensoError:
            return
        assert read == content


def test_a_zip_that_changes_after_opening_is_noticed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / f"{ID}.zip", MEMBERS, prefix=f"{ID}.SAFE/")
    product = open_container(path)
    name = "GRANULE/L2A/IMG_DATA/R10m/a_B04_10m.jp2"
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(DamagedProduct, match="ends at byte 6000"):
        product.locate(name)
    path.write_bytes(b"\0" * 500_000)
    with pytest.raises(DamagedProduct, match="changed or cut"):
        product.read(name)
    path.unlink()
    with pytest.raises(ReaderError):
        product.read(name)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/passwd", "C:/evil", "a\\..\\evil"])
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{ID}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.safe", b"x")
        archive.writestr(zipfile.ZipInfo(name), b"y")
    with pytest.raises(DamagedProduct, match="leads out"):
        open_container(path)


def test_links_in_zips_are_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{ID}.zip"
    link = zipfile.ZipInfo(f"{ID}.SAFE/manifest.safe")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(DamagedProduct, match="link or device"):
        open_container(path)


def test_links_in_folders(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / f"{ID}.SAFE", MEMBERS)
    (folder / "copy.xml").symlink_to(folder / "MTD_MSIL2A.xml")
    assert open_container(folder).read("copy.xml") == MEMBERS["MTD_MSIL2A.xml"]
    secret = tmp_path / "secret"
    secret.write_text("key")
    (folder / "bad.xml").symlink_to(secret)
    with pytest.raises(UnsupportedProduct, match=r"bad\.xml"):
        open_container(folder)
    (folder / "bad.xml").unlink()
    (folder / "loop").symlink_to(folder)
    with pytest.raises(UnsupportedProduct, match="loop"):
        open_container(folder)


def test_a_bomb_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / f"{ID}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("MTD_MSIL2A.xml", "w") as member:
        for _ in range(21):
            member.write(bytes(10_000_000))
    assert path.stat().st_size < 300_000
    product = open_container(path)
    with pytest.raises(DamagedProduct, match="more than the 200000000 bytes"):
        product.read("MTD_MSIL2A.xml")
    assert product.head("MTD_MSIL2A.xml", 10) == bytes(10)
    with pytest.raises(DamagedProduct):
        product.open("MTD_MSIL2A.xml", limit=1000)


def test_a_member_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    """The directory claims 10 bytes, the stream has 100,000: neither a long answer nor a cut one."""
    path = write_zip(tmp_path / f"{ID}.zip", {"manifest.safe": bytes(100_000)}, method=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    at = data.rindex(b"PK\1\2")
    path.write_bytes(data[: at + 24] + struct.pack("<I", 10) + data[at + 28 :])
    product = open_container(path)
    with pytest.raises(DamagedProduct, match="do not match"):
        product.read("manifest.safe")
    with pytest.raises(DamagedProduct, match="do not match"):
        product.open("manifest.safe")


def test_doubled_encrypted_and_foreign_zips_are_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{ID}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.safe", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("manifest.safe", b"two")
    with pytest.raises(DamagedProduct, match="two members"):
        open_container(path)
    write_zip(path, {"manifest.safe": b"x"}, method=zipfile.ZIP_BZIP2)
    with pytest.raises(UnsupportedProduct, match="compression method 12"):
        open_container(path)
    write_zip(path, {"manifest.safe": b"x"})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UnsupportedProduct, match="encrypted"):
        open_container(path)
    write_zip(path, {"one.zip": b"x", "two.zip": b"x"})
    with pytest.raises(UnsupportedProduct, match="zip of zips"):
        open_container(path)
    write_zip(path, {"a.SAFE/manifest.safe": b"x", "b.SAFE/manifest.safe": b"x"})
    with pytest.raises(UnsupportedProduct, match="2 products"):
        open_container(path)
    write_zip(path, {})
    with pytest.raises(IncompleteProduct):
        open_container(path)


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    product = open_container(write_zip(tmp_path / f"{ID}.zip", MEMBERS, method=zipfile.ZIP_DEFLATED))
    with pytest.raises(DamagedProduct, match="more than the 100 bytes"):
        product.read("MTD_MSIL2A.xml", limit=100)
    assert product.read("MTD_MSIL2A.xml", limit=None) == MEMBERS["MTD_MSIL2A.xml"]


def test_what_is_no_product(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="nothing at"):
        open_container(tmp_path / "absent.zip")
    (tmp_path / "empty.nc").touch()
    with pytest.raises(IncompleteProduct):
        open_container(tmp_path / "empty.nc")
    (tmp_path / "page.zip").write_text("<html>404</html>")
    with pytest.raises(DamagedProduct):
        open_container(tmp_path / "page.zip")
    (tmp_path / "page.html").write_text("<html>404</html>")
    with pytest.raises(UnsupportedProduct):
        open_container(tmp_path / "page.html")
    (tmp_path / "hollow.SAFE").mkdir()
    with pytest.raises(IncompleteProduct):
        open_container(tmp_path / "hollow.SAFE")
    with pytest.raises(IncompleteProduct, match="no member 'x'"):
        open_container(write_zip(tmp_path / "a.zip", MEMBERS)).read("x")


def test_a_remote_address_shows_no_secret() -> None:
    with pytest.raises(UnsupportedProduct) as caught:
        open_container("gopher://me:hush@host.example/p.zip?X-Amz-Signature=hush")
    assert "hush" not in str(caught.value)
    assert "host.example/p.zip" in str(caught.value)


def test_huge_folders_are_not_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBERS_MAX", 10)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(UnsupportedProduct, match="more than 10 files"):
        open_container(tmp_path)


def test_threads_share_a_container(tmp_path: Path) -> None:
    members = {f"m{number}.xml": bytes([number]) * (number * 1000 + 1) for number in range(40)}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        product = open_container(write_zip(tmp_path / f"{ID}.zip", members, method=method))
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(product.read, list(members) * 5))
        assert results == list(members.values()) * 5


def test_subfile_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with SubFile(str(path), 2, 5) as file:
        assert file.read() == b"23456"
        assert file.read() == b""
        assert file.seek(-2, io.SEEK_END) == 3
        assert file.read(100) == b"56"
        assert file.seek(100) == 100
        assert file.read(1) == b""
        with pytest.raises(OSError, match="cannot seek"):
            file.seek(-1)
        again = pickle.loads(pickle.dumps(file))
        assert again.read() == b"23456"
        again.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_h5py_reads_from_a_member(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    source = tmp_path / "m.nc"
    with h5py.File(source, "w") as file:
        file["values"] = np.arange(1000)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = write_zip(tmp_path / "p.zip", {"x.SEN3/m.nc": source.read_bytes()}, method=method)
        with open_container(path).open("m.nc") as member, h5py.File(member, "r") as file:
            assert file["values"][999] == 999
