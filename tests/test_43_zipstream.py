"""A zip checked while it streams past: what passes is right for everybody, what is not right never comes out whole."""

from __future__ import annotations

import hashlib
import io
import random
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extenso_nb.errors import DamagedProduct
from extenso_nb.gateway import manifest, zipfeed, zipnames, ziprecords, zipstream
from extenso_nb.gateway.checking import CheckedStream, CountingStream, NetcdfStream, checking
from extenso_nb.gateway.manifest import Manifest
from extenso_nb.gateway.packing import pack
from extenso_nb.gateway.zipstream import ZipStream
from extenso_nb.readers import entries
from extenso_nb.storage.folder import FolderStorage

S1 = "S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768"


# --- how it is used --------------------------------------------------------------------------------------------------
def passed(stream: CheckedStream, blocks: Iterable[bytes]) -> bytes:
    """All that comes out. Raises DamagedProduct."""
    out = [piece for block in blocks for piece in stream.feed(block)]
    out += stream.finish()
    data = b"".join(out)
    assert stream.count_out == len(data)
    assert all(0 < len(piece) <= zipstream.BLOCK for piece in out)
    return data


def cut_up(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def through(data: bytes, *, size: int = 1 << 20, hash_members: bool = False) -> tuple[ZipStream, bytes]:
    stream = ZipStream("p.zip", hash_members=hash_members)
    out = passed(stream, cut_up(data, size))
    assert stream.count_in == len(data)
    return stream, out


def refused(data: bytes, *, size: int = 1 << 20) -> str:
    """Why, and that what came out before is not whole for others."""
    stream, out = ZipStream("p.zip"), bytearray()
    try:
        for block in cut_up(data, size):
            for piece in stream.feed(block):
                out += piece
        for piece in stream.finish():
            out += piece
    except DamagedProduct as error:
        with pytest.raises(DamagedProduct):
            list(stream.finish())
        with pytest.raises((zipfile.BadZipFile, NotImplementedError)):
            zipfile.ZipFile(io.BytesIO(out)).infolist()
        return error.message
    raise AssertionError("was not refused")


def contents(data: bytes) -> dict[str, bytes]:
    """As Python reads it. Raises what zipfile raises."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def described(data: bytes) -> list[Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [archive.comment] + [
            (i.filename, i.date_time, i.CRC, i.file_size, i.external_attr, i.internal_attr, i.comment, i.create_system)
            for i in archive.infolist()
        ]


def check_ranges(data: bytes) -> None:
    """Every member is a plain range of bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            assert (info.compress_type, info.compress_size) == (zipfile.ZIP_STORED, info.file_size)
            lengths = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + 30 + sum(lengths)
            assert data[start : start + info.file_size] == archive.read(info)


def check_passes(data: bytes, *, size: int = 1 << 20) -> bytes:
    stream, out = through(data, size=size)
    assert contents(out) == contents(data)
    assert described(out) == described(data)
    check_ranges(out)
    assert stream.members == len(contents(out))
    if not stream.restored:
        assert out == data
    assert stream.restored == any(info.compress_type for info in zipfile.ZipFile(io.BytesIO(data)).infolist())
    again, same = through(out)  # what comes out is itself right, and has nothing left to do
    assert same == out
    assert not again.restored
    return out


class Pipe(io.RawIOBase):
    """A file that cannot be sought: zipfile then writes descriptors after the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def zipped(
    files: dict[str, bytes],
    method: int | list[int] = zipfile.ZIP_DEFLATED,
    *,
    piped: bool = False,
    force: bool = False,
    comment: bytes = b"",
) -> bytes:
    target: Any = Pipe() if piped else io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = comment
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6))
            info.compress_type = method if isinstance(method, int) else method[number % len(method)]
            info.external_attr = (0o40755 << 16 | 16) if name.endswith("/") else 0o100640 << 16
            with archive.open(info, "w", force_zip64=force) as member:
                member.write(data)
    return bytes(target.data) if piped else bytes(target.getvalue())


# --- zips built by hand: every way in which the format lets one say the same -----------------------------------------
def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def built(
    files: dict[str, bytes],
    *,
    method: int = 8,
    flags: int = 0,
    after: str | None = None,
    header_sizes: bool = True,
    wide_header: bool = False,
    wide_entry: bool = False,
    wide_end: bool = False,
    local_extra: bytes = b"",
    extra: bytes = b"",
    comment: bytes = b"",
    prefix: bytes = b"",
    gap: bytes = b"",
    external: int = 0o100644 << 16,
    entry: Callable[[list[Any]], None] = lambda fields: None,
    header: Callable[[list[Any]], None] = lambda fields: None,
    end: Callable[[list[Any]], None] = lambda fields: None,
    end64: Callable[[list[Any]], None] = lambda fields: None,
    locator: Callable[[list[Any]], None] = lambda fields: None,
    packed_as: Callable[[bytes], bytes] | None = None,
    order: Callable[[list[bytes]], list[bytes]] = lambda entries: entries,
    entry_comment: bytes = b"",
) -> bytes:
    """A zip; `after`: the layout of the descriptors (`<`: `signed`, `bare`, and 32 or 64)."""
    data, entries = bytearray(prefix), []
    for name, content in files.items():
        raw, crc, start = name.encode(), zlib.crc32(content), len(data)
        utf8 = 0 if name.isascii() else 0x0800
        body = (packed_as or (deflated if method == 8 else bytes))(content)
        bits = flags | utf8 | (8 if after else 0)
        sizes = [crc, len(body), len(content)] if header_sizes else [0, 0, 0]
        field = struct.pack("<HHQQ", 1, 16, sizes[2], sizes[1]) if wide_header else b""
        if wide_header:
            sizes[1:] = [0xFFFFFFFF] * 2
        fields = [b"PK\x03\x04", 20, bits, method, 0x1111, 0x5555, *sizes, len(raw), len(field + local_extra)]
        header(fields)
        data += ziprecords.LOCAL.pack(*fields) + raw + field + local_extra + body
        if after:
            layout = "<IQQ" if after.endswith("64") else "<III"
            data += b"PK\x07\x08" if after.startswith("signed") else b""
            data += struct.pack(layout, crc, len(body), len(content))
        data += gap
        numbers: list[int] = [len(body), len(content), start]
        field = struct.pack("<HHQQQ", 1, 24, numbers[1], numbers[0], numbers[2]) if wide_entry else b""
        if wide_entry:
            numbers = [0xFFFFFFFF] * 3
        fields = [b"PK\x01\x02", 3 << 8 | 45, 45, bits, method, 0x1111, 0x5555, crc, *numbers[:2]]
        fields += [len(raw), len(field + extra), len(entry_comment), 0, 0, external, numbers[2]]
        entry(fields)
        entries.append(ziprecords.CENTRAL.pack(*fields) + raw + field + extra + entry_comment)
    start, directory = len(data), b"".join(order(entries))
    count = len(entries)
    data += directory
    if wide_end:
        fields = [b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start]
        end64(fields)
        data += ziprecords.END64.pack(*fields)
        fields = [b"PK\x06\x07", 0, start + len(directory), 1]
        locator(fields)
        data += ziprecords.END64_LOCATOR.pack(*fields)
        fields = [b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, len(comment)]
    else:
        fields = [b"PK\x05\x06", 0, 0, count, count, len(directory), start, len(comment)]
    end(fields)
    return bytes(data + ziprecords.END.pack(*fields) + comment)


def set_at(index: int, value: Any) -> Callable[[list[Any]], None]:
    """A change of one field of a record."""

    def change(fields: list[Any]) -> None:
        fields[index] = value

    return change


FILES = {
    "P.SAFE/": b"",
    "P.SAFE/a.xml": b"<a>" + bytes(500) + b"</a>",
    "P.SAFE/ü.bin": bytes(range(256)),
    "P.SAFE/0": b"",
}
AFTER = [None, "signed32", "signed64", "bare32", "bare64"]


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("header_sizes", [True, False])
@pytest.mark.parametrize("wide", [(False, False, False), (True, False, False), (False, True, True), (True, True, True)])
@pytest.mark.parametrize("method", [0, 8])
def test_every_layout_that_the_format_allows(
    method: int, wide: tuple[bool, bool, bool], header_sizes: bool, after: str | None
) -> None:
    if not header_sizes and after is None:
        return  # sizes nowhere: no zip
    names = dict(zip(("wide_header", "wide_entry", "wide_end"), wide, strict=True))
    data = built(
        FILES,
        method=method,
        after=after,
        header_sizes=header_sizes,
        comment=b"of the archive",
        extra=b"UT\1\0\0",
        **names,
    )
    if method == 0 and after is not None and not header_sizes and after.startswith("bare"):
        # Without a signature the end of stored data of unknown size is a guess.
        assert "stored without its size" in refused(data)
        return
    if method == 0 and header_sizes and after is not None and after.startswith("bare"):
        # Members of no bytes: their sizes of 0 in front mean "see after the data" with bit 3.
        data = built({k: v for k, v in FILES.items() if v}, method=0, after=after, **names)
    for size in (1, 7, 1 << 20):
        check_passes(data, size=size)


# --- what real archives do -------------------------------------------------------------------------------------------
def test_every_real_zip_passes(shared_data: Path) -> None:
    paths = sorted(shared_data.rglob("*.zip"))
    assert len(paths) >= 12
    kinds = set()
    for path in paths:
        data = path.read_bytes()
        for size in (1 << 20, 4099):
            kinds.add(through(check_passes(data, size=size))[0].restored)
            stream, _ = through(data, size=size)
            kinds.add(stream.restored)
    assert kinds == {True, False}


COMPLETE = {  # products that nobody cut down, and how many files they list at least
    "S1A_WV_OCN__2SSV_20150619T211030_20150619T211738_006447_008883_C1F4": 30,
    "S3B_OL_1_EFR____20230311T214926_20230311T214926_20230312T085631_0000_077_100_4320_PS2_O_NT_003.SEN3": 29,
    "S3A_SR_1_SRA____20210721T113825_20210721T113845_20210721T133543_0019_074_180______LN3_O_NR_004": 1,
}


def test_complete_products_are_as_their_manifests_say(shared_data: Path) -> None:
    for name, listed in COMPLETE.items():
        (path,) = shared_data.rglob(f"{name}.zip")
        data = path.read_bytes()
        stream, out = through(data, hash_members=True)
        assert stream.manifest is not None
        assert stream.findings == ()
        assert stream._listing is not None
        assert all(file.checksum and file.size for file in stream._listing.listed)
        assert len(stream._listing.listed) >= listed
        again, _ = through(out, hash_members=True)
        assert again.findings == ()


def test_a_product_that_was_cut_down_lists_what_it_has_not(shared_data: Path) -> None:
    (path,) = shared_data.rglob(f"{S1}.zip")
    stream, _ = through(path.read_bytes(), hash_members=True)
    assert [finding.kind for finding in stream.findings] == ["missing", "missing"]
    assert all(finding.path.endswith(".tiff") for finding in stream.findings)


def test_what_our_own_packer_makes_passes_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / f"{S1}.SAFE"
    for name, data in {
        "manifest.safe": b"<x/>",
        "measurement/ü 1.tiff": bytes(70_000),
        "measurement/empty": b"",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    data = b"".join(pack(root, S1).read())
    stream, out = through(data)
    assert (out, stream.restored, stream.members) == (data, False, 3)


# --- what Python writes ----------------------------------------------------------------------------------------------
names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:.", exclude_categories=("Cs", "Cc")), min_size=1, max_size=6
)
files_of = st.dictionaries(
    names.map(lambda name: f"P/{name}.x"),
    st.one_of(st.just(b""), st.binary(max_size=200), st.integers(0, 5000).map(lambda n: (b"abcdefg" * 1000)[:n])),
    min_size=1,
    max_size=5,
).filter(lambda files: len({unicodedata.normalize("NFC", name).casefold() for name in files}) == len(files))


@given(
    files=files_of,
    methods=st.lists(st.sampled_from([0, 8]), min_size=1, max_size=3),
    piped=st.booleans(),
    force=st.booleans(),
    comment=st.binary(max_size=40).filter(lambda text: b"PK" not in text),
    size=st.sampled_from([1, 3, 29, 31, 100, 1 << 20]),
)
def test_whatever_zipfile_writes_passes(
    files: dict[str, bytes], methods: list[int], piped: bool, force: bool, comment: bytes, size: int
) -> None:
    data = zipped(files, methods, piped=piped, force=force, comment=comment)
    assert contents(check_passes(data, size=size)) == files


def test_stored_data_without_a_size_may_hold_anything() -> None:
    inner = zipped({"x": b"abc", "y": bytes(9)}, 0, piped=True)
    tricky = b"PK\x07\x08" * 50 + inner + b"PK\x07\x08" + struct.pack("<III", 0, 4, 4) + b"PK\x03\x04" + inner
    data = zipped({"a": tricky, "b": inner, "c": b"PK\x07"}, 0, piped=True)
    for size in (1, 5, 64, 1 << 20):
        stream, out = through(data, size=size)
        assert out == data
        assert not stream.restored


def test_the_end_of_long_stored_data_without_a_size_is_found() -> None:
    data = zipped({"a": random.Random(2).randbytes(3_000_000), "b": bytes(200_000), "c": b""}, 0, piped=True)
    for size in (1000, 65_536, 1 << 20, 1 << 23):
        stream, out = through(data, size=size)
        assert (out == data, stream.members) == (True, 3)


def test_headers_of_which_only_a_part_is_known() -> None:
    """nginx's mod_zip knows the sizes and not the CRC; Info-ZIP, writing into a pipe, knows the unpacked size."""
    check_passes(built({"P/a": b"0123", "P/0": b""}, method=0, after="signed32", header=set_at(6, 0)))

    def size_alone(fields: list[Any]) -> None:
        fields[6] = fields[7] = 0

    for method in (0, 8):
        data = built({"P/a": b"0123" * 99, "P/b": b"x"}, method=method, after="signed32", header=size_alone)
        out = check_passes(data)
        assert struct.unpack_from("<I", out, 22)[0] == 396


def test_attributes_of_other_systems_are_not_read_as_modes() -> None:
    for external in (DIRECTORY << 16, 0x081A4000):
        check_passes(built(ONE, external=external, entry=set_at(1, 45)))
    # Not a file by any reading of them: the readers refuse it on every system, so that it must not be delivered.
    assert "neither a file" in refused(built(ONE, external=PIPE << 16, entry=set_at(1, 45)))
    assert "is a link" in refused(built(ONE, external=LINK << 16, entry=set_at(1, 45)))


def test_a_block_within_a_stored_member_is_handed_on_uncopied() -> None:
    data = zipped({"a": random.Random(1).randbytes(5 << 20)}, 0)
    stream, blocks = ZipStream("p.zip"), cut_up(data, 1 << 20)
    out = [piece for block in blocks for piece in stream.feed(block)] + list(stream.finish())
    assert sum(any(piece is block for block in blocks) for piece in out) == 4
    assert b"".join(out) == data


def test_names_of_old_zips_are_kept_as_they_are() -> None:
    data = bytearray(built({"P/aXb": b"1234"}))
    raw = bytes(data).replace(b"P/aXb", b"P/a\x81b")  # ü in cp437
    assert list(contents(check_passes(raw))) == ["P/aüb"]


# --- what comes out, for others --------------------------------------------------------------------------------------
def test_gdal_reads_what_was_restored(tmp_path: Path) -> None:
    import numpy as np
    import rasterio

    pixels = np.arange(64 * 48, dtype="uint16").reshape(48, 64)
    profile: dict[str, Any] = {"driver": "GTiff", "width": 64, "height": 48, "count": 1, "dtype": "uint16"}
    with rasterio.open(
        tmp_path / "a.tiff", "w", **profile, transform=rasterio.Affine(0.1, 0, 10, 0, -0.1, 50)
    ) as target:
        target.write(pixels, 1)
    image = (tmp_path / "a.tiff").read_bytes()
    for number, data in enumerate(
        [zipped({"P/a.tiff": image, "P/b.tiff": image}, piped=piped) for piped in (False, True)]
        + [built({"P/a.tiff": image, "P/b.tiff": image}, after="signed32", header_sizes=False)]
    ):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(check_passes(data))
        for name in ("a", "b"):
            with rasterio.open(f"/vsizip/{path}/P/{name}.tiff") as source:
                assert (source.read(1) == pixels).all()


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("many", [0xFFFF, 2])
def test_large_members_and_directories_by_a_small_limit(
    monkeypatch: pytest.MonkeyPatch, piped: bool, many: int
) -> None:
    monkeypatch.setattr(ziprecords, "ZIP64", 300)
    monkeypatch.setattr(ziprecords, "MANY", many)
    for methods in ([8], [0, 8], [8, 0]):
        check_passes(zipped({"a": bytes(200), "b": bytes(1000), "c": b"x" * 400}, methods, piped=piped, comment=b"c"))


def test_output_that_fills_its_blocks_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib may have taken all input and still owe output: at the end of a block, and of the member."""
    owed = 0
    for seed in range(300):
        chance = random.Random(seed)
        content = bytes(chance.choices(b"abc", k=chance.randrange(3, 600)))
        room = len(content) // chance.choice([2, 3])
        inflater = zlib.decompressobj(-15)
        data = deflated(content)
        while data:
            inflater.decompress(data, room)
            data = inflater.unconsumed_tail
        owed += not inflater.eof
        monkeypatch.setattr(zipstream, "BLOCK", room)
        stream = ZipStream("p.zip")
        out = [*stream.feed(built({"a": content})), *stream.finish()]
        assert contents(b"".join(out)) == {"a": content}
    assert owed > 10


def test_what_is_written_says_nothing_of_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    out = check_passes(built(ONE, flags=6, wide_header=True, wide_entry=True))
    (info,) = zipfile.ZipFile(io.BytesIO(out)).infolist()
    assert (info.flag_bits, info.extra, struct.unpack_from("<H", out, 6)[0]) == (0, b"", 0)
    monkeypatch.setattr(ziprecords, "ZIP64", 100)
    out = check_passes(built(ONE, flags=6, wide_header=True, wide_entry=True))
    (info,) = zipfile.ZipFile(io.BytesIO(out)).infolist()
    assert info.extra == struct.pack("<HHQQ", 1, 16, 200, 200)


def zeros(count: int) -> Iterable[bytes]:
    """The Deflate stream of `count` MiB of zeros: one piece over and over, since a full flush forgets."""
    packer = zlib.compressobj(wbits=-15)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from [piece * 64] * (count // 64)
    yield zlib.compressobj(wbits=-15).flush()


@pytest.mark.parametrize("known", [False, True])
def test_a_member_of_more_than_four_gigabytes(tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_RATIO_FREE", 10**10)  # zeros, packed as no product is
    mebibytes = 4096 + 64
    size, crc, block = mebibytes << 20, 0, bytes(1 << 20)
    for _ in range(mebibytes):
        crc = zlib.crc32(block, crc)
    body = list(zeros(mebibytes))
    packed = sum(map(len, body))
    large = struct.pack("<HHQQ", 1, 16, size, packed)
    flags, numbers = (0, [crc, 0xFFFFFFFF, 0xFFFFFFFF]) if known else (8, [0, 0, 0])
    extra = large if known else b""
    first = ziprecords.LOCAL.pack(b"PK\3\4", 45, flags, 8, 0, 0x5555, *numbers, 1, len(extra)) + b"a" + extra
    after = b"" if known else struct.pack("<4sIQQ", b"PK\7\x08", crc, packed, size)
    second = ziprecords.LOCAL.pack(b"PK\3\4", 20, 0, 0, 0, 0x5555, zlib.crc32(b"end"), 3, 3, 1, 0) + b"bend"
    start = len(first) + packed + len(after)
    field = struct.pack("<HHQ", 1, 8, size)
    directory = ziprecords.CENTRAL.pack(
        b"PK\1\2", 45, 45, flags, 8, 0, 0x5555, crc, packed, 0xFFFFFFFF, 1, len(field), 0, 0, 0, 0, 0
    )
    directory += b"a" + field
    directory += ziprecords.CENTRAL.pack(
        b"PK\1\2", 45, 20, 0, 0, 0, 0x5555, zlib.crc32(b"end"), 3, 3, 1, 0, 0, 0, 0, 0, start
    )
    directory += b"b"
    end = ziprecords.END.pack(b"PK\5\6", 0, 0, 2, 2, len(directory), start + len(second), 0)
    stream, path = ZipStream("p.zip"), tmp_path / "sparse.zip"
    empty = bytes(1 << 20)
    with path.open("wb") as target:
        for block in (first, *body, after, second, directory, end, None):
            for piece in stream.finish() if block is None else stream.feed(block):
                assert len(piece) <= 1 << 20
                if piece == empty[: len(piece)]:
                    target.seek(len(piece), io.SEEK_CUR)
                else:
                    target.write(piece)
    assert path.stat().st_size == stream.count_out > size
    with zipfile.ZipFile(path) as archive:
        one, two = archive.infolist()
        assert (one.file_size, one.compress_size, one.CRC, one.compress_type) == (size, size, crc, 0)
        assert two.header_offset > size
        assert archive.read("b") == b"end"
        with archive.open("a") as member:
            assert member.read(1 << 20) == empty
    with path.open("rb") as file:  # and what came out passes, sizes in front or not
        file.seek(one.header_offset)
        raw = file.read(61)
        assert struct.unpack_from("<II", raw, 18) == (0xFFFFFFFF, 0xFFFFFFFF)
        assert struct.unpack_from("<QQ", raw, 35) == ((size, size) if known else (0, 0))
        file.seek(one.header_offset + 30 + 1 + 20 + size)
        assert known or struct.unpack("<4sIQQ", file.read(24)) == (b"PK\7\x08", crc, size, size)


# --- cut, flipped, mixed up ------------------------------------------------------------------------------------------
SMALL = [
    zipped({"P/": b"", "P/a": b"hello " * 9, "P/b": b"\0\1\2"}, [0, 8, 0], comment=b"hi"),
    zipped({"P/a": b"hello " * 9, "P/b": b"\0\1\2"}, [8, 0], piped=True, force=True),
    built({"P/a": b"hello", "P/b": b"\0\1\2"}, method=0, after="bare32"),
    built({"P/a": b"hello", "P/ü": b""}, wide_header=True, wide_entry=True, wide_end=True, extra=b"UT\1\0\0"),
]


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_cut_anywhere_is_refused(number: int) -> None:
    data = SMALL[number]
    for length in range(len(data)):
        why = refused(data[:length], size=50)
        assert "cut short" in why or "empty" in why or "not found" in why, (length, why)


def test_a_large_zip_cut_anywhere_is_refused() -> None:
    data = zipped({f"P/{i}": random.Random(i).randbytes(30_000) + bytes(30_000) for i in range(20)}, [0, 8])
    for length in random.Random(5).sample(range(len(data)), 60):
        refused(data[:length], size=10_000)


def verdict(data: bytes) -> tuple[bool, dict[str, bytes]]:
    """Whether we let it pass, and what Python reads in it then; Python must be content with all that passes."""
    try:
        stream, out = through(data, size=64)
    except DamagedProduct:
        return False, {}
    read = contents(data)  # raises, or fails, where zipfile does
    assert contents(out) == read
    check_ranges(out)
    assert out == data or stream.restored
    return True, read


def zipfile_takes(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except Exception:
        return False


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_every_single_bit_flipped(number: int) -> None:
    data = SMALL[number]
    accepted = 0
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            passes, _ = verdict(bytes(flipped))
            accepted += passes
            assert zipfile_takes(bytes(flipped)) or not passes
    assert accepted > 50  # times, attributes, versions, comments


@st.composite
def mixed_up(draw: st.DrawFn) -> bytes:
    """A zip with some stretches replaced, removed, doubled, or set to numbers that mean something to zips."""
    data = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 30))
        kind = draw(st.sampled_from(["set", "cut", "double", "insert", "signature"]))
        if kind == "set":
            new = draw(st.binary(min_size=length, max_size=length))
        elif kind == "cut":
            new = b""
        elif kind == "double":
            new = bytes(data[at : at + length]) * 2
        elif kind == "insert":
            new, length = draw(st.binary(max_size=8)), 0
        else:
            new = draw(
                st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"\xff" * 4])
            )
            length = draw(st.sampled_from([0, 4]))
        data[at : at + length] = new
    return bytes(data)


@given(data=mixed_up())
@settings(max_examples=1500)
def test_mixed_up_passes_only_where_zipfile_lets_it_pass(data: bytes) -> None:
    passes, _ = verdict(data)
    assert zipfile_takes(data) or not passes


@given(data=mixed_up(), size=st.integers(1, 200))
@settings(max_examples=300)
def test_the_verdict_does_not_depend_on_the_blocks(data: bytes, size: int) -> None:
    whole, outs = [], []
    for chosen in (size, 1 << 20):
        try:
            outs.append(through(data, size=chosen)[1])
            whole.append("")
        except DamagedProduct as error:
            whole.append(error.message)
    assert whole[0] == whole[1]
    assert len(set(outs)) <= 1


ONE = {"P/a": b"0123456789" * 20}
OTHER = {"P/a": b"0123456789" * 20, "P/b": b"more"}
LINK, DIRECTORY, PIPE = stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO | 0o644
END = ziprecords.END.pack(b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "no members": (END, "no members"),
    "html": (b"\r\n<!DOCTYPE html><html>Not found</html>", "HTML"),
    "json": (b'{"error": "expired"}', "begins with"),
    "one byte": (b"P", "cut short"),
    "encrypted": (built(ONE, flags=1), "encrypted"),
    "encrypted in the directory only": (built(ONE, entry=set_at(3, 1)), "encrypted"),
    "strongly encrypted": (built(ONE, flags=0x41), "encrypted"),
    "AES": (built(ONE, method=99), "encrypted"),
    "patch": (built(ONE, flags=0x20), "patch"),
    "bzip2": (built(ONE, method=12), "bzip2"),
    "LZMA": (built(ONE, method=14), "LZMA"),
    "Zstandard": (built(ONE, method=93), "Zstandard"),
    "Deflate64": (built(ONE, method=9), "Deflate64"),
    "method 77": (built(ONE, method=77), "method 77"),
    "split marker": (b"PK\7\x08" + built(ONE), "several parts"),
    "second disk": (built(ONE, end=set_at(1, 1)), "several parts"),
    "first disk": (built(ONE, end=set_at(2, 1)), "several parts"),
    "member's disk": (built(ONE, entry=set_at(13, 2)), "several parts"),
    "ZIP64 disk": (built(ONE, wide_end=True, end64=set_at(4, 1)), "several parts"),
    "ZIP64 disks": (built(ONE, wide_end=True, locator=set_at(3, 2)), "several parts"),
    "trailing": (built(ONE) + b"x", "after its end"),
    "trailing zeros": (built(ONE) + bytes(100), "after its end"),
    "prefix": (built(ONE, prefix=b"MZ executable"), "begins with"),
    "gap": (built(OTHER, gap=b"\0"), "neither a member"),
    "hidden member": (built(OTHER, order=lambda entries: entries[:1]), "not in its directory"),
    "entry twice": (built(ONE, order=lambda entries: entries * 2), "where it is not"),
    "entry elsewhere": (built(ONE, entry=set_at(16, 1)), "where it is not"),
    "other method": (built(ONE, entry=set_at(4, 0)), "another method"),
    "other CRC": (built(ONE, entry=set_at(7, 1)), "another CRC"),
    "other packed size": (built(ONE, entry=set_at(8, 1)), "another compressed size"),
    "other size": (built(ONE, entry=set_at(9, 199)), "another size"),
    "header CRC": (built(ONE, header=set_at(6, 1)), "CRC"),
    "header packed size, less": (built(ONE, header=set_at(7, 5)), "do not end"),
    "header packed size, more": (built(ONE, header=set_at(7, 20)), "compressed bytes, and not 20"),
    "header size, less": (built(ONE, header=set_at(8, 199)), "inflates to more than the 199"),
    "header size, more": (built(ONE, header=set_at(8, 201)), "has 200 bytes, and not 201"),
    "stored with two sizes": (built(ONE, method=0, header=set_at(8, 201)), "two sizes"),
    "not Deflate": (built(ONE, packed_as=lambda data: b"\xff" * 20), "cannot be inflated"),
    "Deflate without end": (built(ONE, packed_as=lambda data: deflated(data)[:-1]), "do not end"),
    "bytes behind Deflate": (built(ONE, packed_as=lambda data: deflated(data) + b"x"), "compressed bytes"),
    "descriptor": (built(ONE, after="signed32").replace(b"PK\7\x08", b"PK\7\x09"), "does not have their CRC"),
    "no descriptor": (built(ONE, flags=8), "does not have their CRC"),
    "count": (built(ONE, end=set_at(4, 2)), "other numbers"),
    "count here": (built(ONE, end=set_at(3, 2)), "other numbers"),
    "directory size": (built(ONE, end=set_at(5, 1)), "other numbers"),
    "directory offset": (built(ONE, end=set_at(6, 1)), "other numbers"),
    "marks without ZIP64": (built(ONE, end=set_at(6, 0xFFFFFFFF)), "other numbers"),
    "ZIP64 offset": (built(ONE, wide_end=True, end64=set_at(9, 1)), "other numbers"),
    "ZIP64 count": (built(ONE, wide_end=True, end64=set_at(6, 2)), "other numbers"),
    "ZIP64 locator": (built(ONE, wide_end=True, locator=set_at(2, 1)), "do not fit"),
    "ZIP64 record size": (built(ONE, wide_end=True, end64=set_at(1, 45)), "do not fit"),
    "no ZIP64 locator": (built(ONE, wide_end=True, locator=set_at(0, b"PK\6\x09")), "do not fit"),
    "short ZIP64 field": (built(ONE, entry=set_at(9, 0xFFFFFFFF), extra=b"\1\0\4\0abcd"), "too short"),
    "two ZIP64 fields": (built(ONE, wide_entry=True, extra=b"\1\0\x08\0abcdefgh"), "two ZIP64"),
    "corrupt extra field": (built(ONE, extra=b"UT\xff\0"), "corrupt"),
    "signature of a directory": (built(ONE, end=set_at(0, b"PK\5\5")), "something else"),
    "version of the future": (built(ONE, entry=set_at(2, 64)), "version"),
    "comment with an end": (built(ONE, comment=END + b"x"), "comment"),
    "comment across the end": (built(ONE, comment=(b"\5\6" + bytes(20)).ljust(0x4B50)), "comment"),
    "locator in the comment of an entry": (built(ONE, entry_comment=b"PK\6\7" + bytes(16)), "two ways"),
    "link": (built(ONE, external=LINK << 16), "is a link"),
    "pipe": (built(ONE, external=PIPE << 16), "neither a file nor a folder"),
    "folder by attributes": (built(ONE, external=DIRECTORY << 16), "folder by its attributes"),
    "folder with data": (built({"P/a/": b"x"}, external=DIRECTORY << 16), "has data"),
    "file, then folder": (built({"P/a": b"", "P/a/b": b""}), "folder of a file"),
    "folder, then file": (built({"P/a/b": b"", "P/A": b""}), "file of a folder"),
    "file, then its folder": (built({"P/a": b"", "P/a/": b""}), "folder of a file"),
    "twice by case": (built({"P/a": b"", "p/A": b""}), "two spellings"),
    "twice by accents": (built({"P/\u00fc": b"", "P/u\u0308": b""}), "two spellings"),
    "twice by dots": (built({"P/a": b"", "P/./a": b""}), "none that a product has"),
    "twice": (built({"P/aa": b"", "P/ab": b""}).replace(b"P/ab", b"P/aa"), "twice"),
    "absolute": (built({"/etc/passwd": b""}), "root of the file system"),
    "up": (built({"P/../../a": b""}), "leads out"),
    "only up": (built({"..": b""}), "leads out"),
    "backslash": (built({"P\\a": b""}), "backslash"),
    "NUL": (built({"P/a\0.txt": b""}), "NUL"),
    "drive": (built({"c:a": b""}), "drive"),
    "empty name": (built({"": b""}), "is empty"),
    "a dot": (built({"P/a": b"", "./.": b""}), "names nothing"),
    "not UTF-8": (built({"P/ü": b""}).replace(b"\xc3\xbc", b"\xc3\x28"), "UTF-8"),
    "names differ": (built(ONE, order=lambda e: [e[0].replace(b"P/a", b"P/b")]), "another name"),
    "encodings of the name differ": (built({"P/ü": b"x"}, entry=set_at(3, 0)), "another name"),
    "control character": (built({"P/a\nb": b""}), "none that a product has"),
    "empty part": (built({"P//a": b""}), "none that a product has"),
    "long part": (built({"P/" + "n" * 300: b""}), "none that a product has"),
    "long name": (built({"P/" + "n" * 5000: b""}), "5002 bytes"),
    "second name": (built(ONE, extra=struct.pack("<HHBI", 0x7075, 9, 1, zlib.crc32(b"P/a")) + b"../b"), "another name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_true_reason(case: str) -> None:
    data, why = REFUSED[case]
    for size in (1 << 20, 13):
        message = refused(data, size=size)
        assert why in message, message
        assert message.startswith("p.zip is not a whole zip: ")


def test_stored_unsized_and_wrong_is_refused() -> None:
    data = zipped({"a": b"0123456789", "b": b"x"}, 0, piped=True)
    assert "not found" in refused(data.replace(b"0123456789", b"0123456780"))


def test_what_inflates_beyond_reason_is_refused_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_RATIO_FREE", 100_000)
    data = built({"P/a": bytes(20_000_000)}, method=8)
    why = refused(data, size=1000)
    assert "packed so tightly" in why
    assert int(why.split(": ")[1].split()[0]) < 3_000_000, "found on the way, not at the end"
    check_passes(built({"P/a": bytes(90_000)}, method=8))


def test_as_many_members_and_names_as_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({f"P/{i}": b"" for i in range(20)})
    monkeypatch.setattr(zipstream, "MEMBERS_MAX", 19)
    assert "more than 19 members" in refused(data)
    monkeypatch.setattr(zipstream, "MEMBERS_MAX", 20)
    check_passes(data)
    monkeypatch.setattr(zipnames, "NAMES_MAX", 40)
    assert "more than 40 characters" in refused(data)


def test_a_storage_keeps_nothing_of_what_is_refused(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    data = zipped({"P/a": random.Random(3).randbytes(3 << 20), "P/b": bytes(9 << 20)}, [0, 8])

    def handed_on(data: bytes) -> Iterable[bytes]:
        stream = checking("p.zip")
        for block in cut_up(data, 1 << 20):
            yield from stream.feed(block)
        yield from stream.finish()

    for bad in (data[:-1], data + b"\0", data[:-27] + b"\1" + data[-26:]):
        with pytest.raises(DamagedProduct):
            storage.put("o/p.zip", handed_on(bad))
        assert storage.list() == []
    storage.put("o/p.zip", handed_on(data))
    with storage.open("o/p.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.read("P/b") == bytes(9 << 20)


# --- bounds ----------------------------------------------------------------------------------------------------------
def bomb(mebibytes: int, *, after: bool) -> bytes:
    body = b"".join(zeros(mebibytes))
    sizes = (0, 0, 0) if after else (0, len(body), 1000)
    return ziprecords.LOCAL.pack(b"PK\3\4", 20, 8 if after else 0, 8, 0, 0, *sizes, 1, 0) + b"a" + body


def test_a_bomb_costs_no_memory() -> None:
    data = bomb(1024, after=True)
    assert len(data) < 2_000_000
    stream, total = ZipStream("p.zip"), 0
    tracemalloc.start()
    try:
        for piece in stream.feed(data):
            total += len(piece)
        with pytest.raises(DamagedProduct, match="cut short"):
            list(stream.finish())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total > 1 << 30
    assert peak < 16_000_000


def test_the_caller_may_stop_a_bomb() -> None:
    stream, total = ZipStream("p.zip"), 0
    for piece in stream.feed(bomb(1024, after=True)):
        total += len(piece)
        if total > 5_000_000:
            break
    assert total < 7_000_000


def test_more_than_promised_is_refused_at_the_first_byte_too_many() -> None:
    stream, out = ZipStream("p.zip"), []
    pieces = stream.feed(bomb(64, after=False))
    with pytest.raises(DamagedProduct, match="more than the 1000 bytes"):
        out.extend(pieces)
    assert sum(map(len, out)) <= 1100


def test_a_failure_stays_a_failure() -> None:
    stream = ZipStream("p.zip")
    with pytest.raises(DamagedProduct):
        list(stream.feed(b"<html> and more of it"))
    with pytest.raises(DamagedProduct):
        stream.feed(built(ONE))
    for _ in range(2):
        with pytest.raises(DamagedProduct):
            list(stream.finish())


def test_nothing_may_come_after_the_end() -> None:
    stream = ZipStream("p.zip")
    passed(stream, [built(ONE)])
    assert list(stream.finish()) == []
    with pytest.raises(RuntimeError):
        stream.feed(b"more")


def test_an_unforeseen_error_is_not_taken_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ZipStream, "_conclude", broken)
    stream = ZipStream("p.zip")
    list(stream.feed(built(ONE)))
    with pytest.raises(ZeroDivisionError):
        list(stream.finish())
    with pytest.raises(RuntimeError, match="not looked at to its end"):
        list(stream.finish())


def test_blocks_that_were_not_taken_are_not_lost_silently() -> None:
    stream = ZipStream("p.zip")
    stream.feed(built(ONE))
    with pytest.raises(RuntimeError, match="not taken"):
        stream.feed(b"more")
    with pytest.raises(RuntimeError, match="not taken"):
        stream.finish()


# --- the manifest ----------------------------------------------------------------------------------------------------
def listing(files: dict[str, bytes], algorithm: str = "MD5", *, upper: bool = False, prefix: str = "./") -> bytes:
    """A manifest as S1 and S3 (MD5) and S2 (SHA3-256, upper case) have it."""
    rows = []
    for name, data in files.items():
        digest = hashlib.new({"MD5": "md5", "SHA3-256": "sha3_256"}.get(algorithm, "md5"), data).hexdigest()
        rows.append(
            f'<dataObject ID="x"><byteStream mimeType="x" size="{len(data)}"><fileLocation locatorType="URL" '
            f'href="{prefix}{name}"/><checksum checksumName="{algorithm}">{digest.upper() if upper else digest}'
            "</checksum></byteStream></dataObject>"
        )
    return f'<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:x">{"".join(rows)}</xfdu:XFDU>'.encode()


DATA = {"a.nc": b"alpha" * 100, "annotation/b.xml": b"<b/>", "c d.bin": b""}


def product(
    files: dict[str, bytes], content: bytes, *, first: bool = True, name: str = "P.SAFE/manifest.safe"
) -> bytes:
    inside = {f"P.SAFE/{path}": data for path, data in files.items()}
    return zipped({name: content} | inside if first else inside | {name: content}, [8, 0])


def kinds(data: bytes, *, hash_members: bool = True) -> dict[str, str]:
    return {found.path: found.kind for found in through(data, size=50, hash_members=hash_members)[0].findings}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", ["P.SAFE/manifest.safe", "P.SAFE/xfdumanifest.xml"])
@pytest.mark.parametrize("prefix", ["./", "", "/dpc/app/.S2A/"])
def test_a_whole_product_has_no_findings(first: bool, name: str, prefix: str) -> None:
    data = product(DATA, listing(DATA, prefix=prefix), first=first, name=name)
    stream, _ = through(data, hash_members=True)
    assert (stream.manifest, stream.findings) == (name, ())


@pytest.mark.parametrize("algorithm", ["MD5", "SHA3-256"])
def test_each_difference_is_found(algorithm: str) -> None:
    content = listing(DATA | {"gone.tiff": b"x", "same.bin": b"1234", "long.bin": b"12345"}, algorithm, upper=True)
    data = product(DATA | {"same.bin": b"1235", "long.bin": b"1234"}, content)
    assert kinds(data) == {"./gone.tiff": "missing", "./same.bin": "wrong_checksum", "./long.bin": "wrong_size"}
    assert kinds(data, hash_members=False) == {"./gone.tiff": "missing", "./long.bin": "wrong_size"}


def test_checksums_that_were_not_computed_are_said_to_be_unchecked() -> None:
    data = product(DATA, listing(DATA, "SHA3-256"), first=False)
    assert kinds(data) == {f"./{name}": "unchecked" for name in DATA}
    assert kinds(data, hash_members=False) == {}
    assert kinds(product(DATA, listing(DATA, "CRC-64"))) == {f"./{name}": "unchecked" for name in DATA}
    wrong = product(DATA | {"a.nc": b"short"}, listing(DATA, "SHA3-256"), first=False)
    assert kinds(wrong)["./a.nc"] == "wrong_size"


def test_paths_may_be_percent_encoded() -> None:
    assert kinds(product(DATA, listing(DATA).replace(b"c d.bin", b"c%20d.bin"))) == {}


def test_a_manifest_at_the_top_and_one_too_deep() -> None:
    inside = dict(DATA)
    stream, _ = through(zipped({"manifest.safe": listing(DATA)} | inside), hash_members=True)
    assert (stream.manifest, stream.findings) == ("manifest.safe", ())
    stream, _ = through(product(DATA, listing({"x": b"y"}), name="P.SAFE/support/manifest.safe"))
    assert (stream.manifest, stream.findings) == (None, ())


UNREADABLE = {
    "no XML": b"\x89PNG",
    "cut": listing(DATA)[:-10],
    "nothing": b"",
    "no files": b"<x/>",
    "bomb": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
    "file of ours": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "foreign DTD": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>',
    "entity": b"<x>&a;</x>",
    "deep": b"<a>" * 5000 + b"</a>" * 5000,
    "encoding": b'<?xml version="1.0" encoding="klingon"?><x/>',
    "no place": listing(DATA).replace(b"href", b"hrfe"),
    "long path": listing({"x" * 5000: b""}),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_manifest_that_cannot_be_used_is_a_finding(case: str) -> None:
    data = product(DATA, UNREADABLE[case])
    assert kinds(data) == {"P.SAFE/manifest.safe": "unreadable"}
    assert contents(through(data)[1])["P.SAFE/manifest.safe"] == UNREADABLE[case]


def test_a_manifest_too_large_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    content = listing(DATA)
    monkeypatch.setattr(zipfeed, "SIZE_MAX", len(content))
    assert kinds(product(DATA, content)) == {}
    monkeypatch.setattr(zipfeed, "SIZE_MAX", len(content) - 1)
    assert kinds(product(DATA, content)) == {"P.SAFE/manifest.safe": "unreadable"}
    monkeypatch.setattr(manifest, "_LISTED_MAX", 2)
    monkeypatch.setattr(zipfeed, "SIZE_MAX", len(content))
    assert kinds(product(DATA, content)) == {"P.SAFE/manifest.safe": "unreadable"}


@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda at, new: listing(DATA)[:at] + new + listing(DATA)[at + len(new) :],
            st.integers(0, 900),
            st.binary(max_size=9),
        ),
    )
)
@example(content=b'<x><byteStream size="\xd9\xa1"/></x>')
def test_no_manifest_is_an_exception(content: bytes) -> None:
    list(Manifest("manifest.safe", content).compare({}, checksums=True))


def test_every_real_manifest_is_read(shared_data: Path) -> None:
    paths = [*shared_data.rglob("manifest.safe"), *shared_data.rglob("xfdumanifest.xml")]
    assert len(paths) > 40
    algorithms = set()
    for path in paths:
        read = Manifest(path.name, path.read_bytes())
        assert read.problem is None, path
        assert all(file.size is not None and file.checksum and file.algorithm for file in read.listed)
        algorithms |= read.algorithms
    assert algorithms == {"md5", "sha3_256"}
    (broken,) = shared_data.rglob("broken_manifest.safe")
    assert Manifest(broken.name, broken.read_bytes()).problem == "lists a file without saying where it is"


# --- what is not a zip -----------------------------------------------------------------------------------------------
def superblock(version: int, end: int, width: int = 8, flags: int = 0) -> bytes:
    """The first bytes of an HDF5 file, after the specification."""
    signature, numbers = b"\x89HDF\r\n\x1a\n", [0, 2**64 - 1, end, 0]
    addresses = b"".join((value & (1 << 8 * width) - 1).to_bytes(width, "little") for value in numbers)
    if version < 2:
        fixed = bytes([version, 0, 0, 0, 0, width, width, 0]) + struct.pack("<HHI", 4, 16, 0)
        return signature + fixed + (bytes(4) if version == 1 else b"") + addresses
    return signature + bytes([version, width, width, flags]) + addresses + bytes(4)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_netcdf_ends_where_its_superblock_says(version: int, width: int, size: int) -> None:
    data = superblock(version, 3000, width).ljust(3000, b"x")
    assert passed(NetcdfStream("p.nc"), cut_up(data, size)) == data
    for wrong, why in ((data[:-1], "cut short: 2999 of its 3000"), (data + b"x", "1 bytes after its end")):
        stream = NetcdfStream("p.nc")
        out = b"".join(piece for block in cut_up(wrong, size) for piece in stream.feed(block))
        with pytest.raises(DamagedProduct, match=why):
            stream.finish()
        assert len(out) < len(wrong)


def test_real_netcdf_passes_and_is_refused_when_cut(shared_data: Path) -> None:
    paths = [path for path in shared_data.rglob("*.nc") if path.is_file()]
    assert any(path.name.startswith("S5P_OFFL") for path in paths)
    kinds = set()
    for path in paths:
        data = path.read_bytes()
        kinds.add(data[:9])
        assert passed(checking(path.name), cut_up(data, 50_000)) == data
        if data.startswith(b"\x89HDF"):
            for length in (0, 5, 12, 30, len(data) // 2, len(data) - 1):
                with pytest.raises(DamagedProduct):
                    passed(checking(path.name), cut_up(data[:length], 50_000))
    assert len(kinds) >= 3


@pytest.mark.parametrize("version", [1, 2, 3])
def test_h5py_writes_what_is_understood(tmp_path: Path, version: int) -> None:
    import h5py

    bounds = {1: "earliest", 2: "v108", 3: "v110"}
    with h5py.File(
        tmp_path / "a.nc", "w", libver=(bounds[version], bounds[version] if version > 1 else "latest")
    ) as file:
        file["x"] = list(range(1000))
    data = (tmp_path / "a.nc").read_bytes()
    assert data[8] == {1: 0, 2: 2, 3: 3}[version]
    assert passed(NetcdfStream("a.nc"), cut_up(data, 1000)) == data


def test_not_netcdf_is_refused() -> None:
    for data in (
        b"",
        b"<html>",
        b"CDF\x03",
        b"\x89HDF\r\n\x1a",
        b"\x89HDF\r\n\x1a\n\x09",
        b"PK\3\4",
        b"CD",
        b"\x89PNG\r\n",
    ):
        with pytest.raises(DamagedProduct, match=r"^p.nc is not a whole netCDF file: "):
            passed(NetcdfStream("p.nc"), cut_up(data, 3))
    with pytest.raises(DamagedProduct, match="not closed"):
        passed(NetcdfStream("p.nc"), [superblock(3, 48, flags=5)])
    with pytest.raises(DamagedProduct, match="addresses have 3 bytes"):
        passed(NetcdfStream("p.nc"), [superblock(2, 48, width=3)])
    stream = NetcdfStream("p.nc")
    with pytest.raises(DamagedProduct):
        stream.feed(b"<html>")
    with pytest.raises(DamagedProduct):
        stream.finish()


@pytest.mark.parametrize("magic", [b"CDF\x01", b"CDF\x02", b"CDF\x05"])
def test_classic_netcdf_passes(magic: bytes) -> None:
    assert passed(NetcdfStream("p.nc"), cut_up(magic + bytes(100), 7)) == magic + bytes(100)


def test_the_extension_chooses_the_check() -> None:
    assert isinstance(checking("a.SAFE.ZIP", hash_members=True), ZipStream)
    assert isinstance(checking("a.nc"), NetcdfStream)
    other = checking("a.jp2")
    assert type(other) is CountingStream
    assert passed(other, [b"abc", b"", b"d"]) == b"abcd"
    assert (other.count_in, other.count_out, other.members, other.restored, other.findings) == (4, 4, 0, False, ())
