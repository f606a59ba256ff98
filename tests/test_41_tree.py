"""A product of many files as one zip: the same bytes from any offset, true to its files, few waits, and faults found."""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from far_objects import BucketServer, manifest_of, unzipped
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import verify
from scripted_http import Exchange, Fault, cut, well
from test_40_folder import check_zip, trees

from extenso_nb import errors, products
from extenso_nb.gateway import ziprecords
from extenso_nb.gateway.sources import Content, tree
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.tree import Leaf, leaf_at, tree_content
from extenso_nb.readers.opening import open_container

S1 = products.parse("S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768")
S3 = products.parse("S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002")
S5P = products.parse("S5P_OFFL_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410")
ROOT = f"{S1.id}.SAFE"
FILES = {
    "manifest.safe": b"<x/>",
    "annotation/a.xml": b"annotation" * 30,
    "annotation/empty": b"",
    "measurement/vh.tiff": bytes(i * 7 % 251 for i in range(9_000)),
    "measurement/vv.tiff": bytes(i * 3 % 251 for i in range(12_000)),
    "preview/icon.png": b"icon" * 40,
}


class Far:
    """Files in memory, that count what is read of them."""

    def __init__(self, files: dict[str, bytes], *, crc: bool = False, md5: bool = True, block: int = 700) -> None:
        self.files, self.block = dict(files), block
        self.read: dict[str, int] = dict.fromkeys(files, 0)
        self.open = 0
        self.most_open = 0
        self.pause = 0.0
        """Seconds before the first block of a file."""
        self.breaks: dict[str, list[int]] = {}
        """Where the next readings of a file end too soon."""
        self._lock = threading.Lock()
        self.leaves = [
            Leaf(
                name,
                len(data),
                lambda start, name=name: self._read(name, start),  # type: ignore[misc]
                zlib.crc32(data) if crc else None,
                {"MD5": hashlib.md5(data).hexdigest().upper()} if md5 else {},
            )
            for name, data in files.items()
        ]

    def _read(self, name: str, start: int) -> Iterator[bytes]:
        with self._lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            end = self.breaks[name].pop(0) if self.breaks.get(name) else None
        try:
            time.sleep(self.pause)  # the wait for an answer: without it nothing would be fetched side by side
            data = self.files[name]
            for place in range(start, len(data), self.block):
                if end is not None and place >= end:
                    raise errors.IncompleteTransfer(f"{name} was cut.")
                block = data[place : place + self.block]
                with self._lock:
                    self.read[name] += len(block)
                yield block
        finally:
            with self._lock:
                self.open -= 1

    def content(self, **more: object) -> Content:
        return tree_content(S1, self.leaves, source="far", **more)  # type: ignore[arg-type]


def whole(content: Content, offset: int = 0) -> bytes:
    return b"".join(content.read(offset))


def broken(content: Content, came: bytearray) -> None:
    """Read on from what came, until it breaks off."""
    try:
        for block in content.read(len(came)):
            came += block
    except errors.IncompleteTransfer:
        return
    pytest.fail("it did not break off")


def settled(far: Far) -> None:
    """Wait until nothing is read any more."""
    end = time.monotonic() + 10
    while far.open and time.monotonic() < end:
        time.sleep(0.002)  # between two looks
    assert not far.open


# --- the property ----------------------------------------------------------------------------------------------------
@given(
    files=trees,
    chances=st.lists(st.floats(0, 1), min_size=3, max_size=6),
    large=st.booleans(),
    crc=st.booleans(),
    small=st.sampled_from([0, 400, 1 << 20]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_any_files_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    chances: list[float],
    large: bool,
    crc: bool,
    small: int,
    order: object,
) -> None:
    files = {"manifest.safe": manifest_of(files), **files}
    far = Far(files, crc=crc)
    order.shuffle(far.leaves)  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("tree")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "SMALL", small)
        patch.setattr(tree, "AHEAD", max(small, 1000))
        if large:  # the ZIP64 records, without gigabytes
            patch.setattr(ziprecords, "ZIP64", 200)
            patch.setattr(ziprecords, "MANY", 2)
        content = far.content()
        data = whole(content)
        assert (content.size, content.name) == (len(data), f"{ROOT}.zip")
        check_zip(data, folder, files, ROOT)
        for chance in [*chances, 0.0, 1.0]:
            offset = round(chance * len(data))
            assert whole(content, offset) == data[offset:]
            assert whole(far.content(), offset) == data[offset:], "a fresh process, which knows no CRC"
    if not large:
        verify(folder / "delivery.zip")
    settled(far)


@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("small", [0, 10_000])
def test_every_single_offset(monkeypatch: pytest.MonkeyPatch, crc: bool, small: int) -> None:
    monkeypatch.setattr(tree, "SMALL", small)
    files = {"manifest.safe": b"<x/>", "measurement/ü 1.tiff": b"0123456789abcdef", "measurement/empty": b""}
    far = Far(files, crc=crc, block=5)
    data = whole(far.content())
    for offset in range(len(data) + 1):
        assert whole(far.content(), offset) == data[offset:], offset


def test_the_zip_is_the_same_whatever_the_order_of_the_listing(tmp_path: Path) -> None:
    one = whole(Far(FILES).content())
    assert whole(Far(dict(reversed(FILES.items()))).content()) == one
    assert next(iter(unzipped(one))) == f"{ROOT}/manifest.safe", "so all that follows can be held to it"
    (tmp_path / f"{ROOT}.zip").write_bytes(one)
    assert set(open_container(tmp_path / f"{ROOT}.zip").names()) == set(FILES)


# --- what is left out, and what is refused ----------------------------------------------------------------------------
def no_bytes(_: int) -> Iterator[bytes]:
    raise AssertionError("nothing is read of what is not delivered")


def test_marks_of_folders_are_left_out() -> None:
    marks = ["annotation_$folder$", "preview/", "a/b_$folder$", "/"]
    far = Far(FILES)
    far.leaves += [Leaf(name, 0, no_bytes) for name in marks]
    assert unzipped(whole(far.content())) == {f"{ROOT}/{name}": data for name, data in FILES.items()}


UNSAFE = [
    "", "/etc/passwd", "../x", "a/../../x", "..", ".", "./x", "a//b", "a/", "a\\b", "a\0b", "a\nb", "a\x7fb", "C:/x", "\ud800",
    "manifest.safe", "MANIFEST.SAFE", "annotation/A.xml", "annotation", "annotation/a.xml/b", "x" * 5000,
    "/".join(["a"] * 100),
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE, ids=range(len(UNSAFE)))
def test_names_that_no_file_of_a_product_has_are_refused(name: str) -> None:
    far = Far(FILES)
    far.leaves.append(Leaf(name, 4, no_bytes))
    with pytest.raises(errors.DamagedProduct) as raised:
        far.content()
    str(raised.value).encode()
    assert len(raised.value.message) < 1000


@pytest.mark.parametrize(("identity", "manifest"), [(S1, "manifest.safe"), (S3, "xfdumanifest.xml")])
def test_what_is_missing_is_said(identity: products.ProductId, manifest: str) -> None:
    leaf = Leaf("measurement/a.tiff", 4, no_bytes)
    with pytest.raises(errors.DamagedProduct, match=f"{manifest} is missing among 1 files"):
        tree_content(identity, [leaf, Leaf("sub/manifest.safe", 4, no_bytes)][:1], source="far")
    with pytest.raises(errors.DamagedProduct, match=f"{manifest} is missing among 1 files"):
        tree_content(identity, [Leaf(f"sub/{manifest}", 4, no_bytes)], source="far")
    with pytest.raises(errors.DamagedProduct, match="as is all else"):
        tree_content(identity, [], source="far")


def test_other_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.DamagedProduct, match="one file"):
        tree_content(S5P, Far(FILES).leaves, source="far")
    with pytest.raises(errors.DamagedProduct, match="-1 bytes"):
        tree_content(S1, [replace(Far(FILES).leaves[0], size=-1)], source="far")
    monkeypatch.setattr(tree, "MEMBERS_MAX", 3)
    with pytest.raises(errors.DamagedProduct, match="more than 3 files"):
        Far(FILES).content()


# --- what is proved --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize("algorithm", ["md5", "sha3-256", "sha256", "blake3"])
def test_a_checksum_of_the_archive_is_proved(monkeypatch: pytest.MonkeyPatch, small: int, algorithm: str) -> None:
    from extenso_nb import checksums

    monkeypatch.setattr(tree, "SMALL", small)
    far, name = Far(FILES, md5=False), "measurement/vv.tiff"
    digest = checksums.hasher(algorithm)
    digest.update(FILES[name])
    right = digest.hexdigest()
    for given_digest, passes in ((right.upper(), True), (right[::-1], False)):
        leaves = [replace(one, checksums={algorithm: given_digest} if one.name == name else {}) for one in far.leaves]
        content = tree_content(S1, leaves, source="far")
        if passes:
            assert f"{ROOT}/{name}" in unzipped(whole(content))
        else:
            with pytest.raises(errors.ChecksumMismatch, match=f"{name}.*{algorithm} is {right}"):
                whole(content)


@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize(("crc", "md5"), [(False, False), (True, False), (False, True)])
def test_a_file_that_changed_between_two_readings_is_found(
    monkeypatch: pytest.MonkeyPatch, small: int, crc: bool, md5: bool
) -> None:
    monkeypatch.setattr(tree, "SMALL", small)
    far, name = Far(FILES, crc=crc, md5=md5), "measurement/vh.tiff"
    content = far.content()
    whole(content)
    far.files[name] = far.files[name][::-1]
    with pytest.raises(errors.ChecksumMismatch, match=name):
        whole(content)


@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize(("change", "kind"), [(b"more", errors.ChecksumMismatch), (None, errors.IncompleteTransfer)])
def test_a_file_of_another_size_is_found(
    monkeypatch: pytest.MonkeyPatch, small: int, change: bytes | None, kind: type[Exception]
) -> None:
    monkeypatch.setattr(tree, "SMALL", small)
    far, name = Far(FILES), "measurement/vh.tiff"
    content = far.content()
    far.files[name] = far.files[name][:-1] if change is None else far.files[name] + change
    with pytest.raises(kind, match=name):
        whole(content)
    settled(far)


def test_what_cannot_be_compared_is_told() -> None:
    leaf = replace(Far(FILES).leaves[0], checksums={"CRC32C": "AAAA"}, remarks=deque(["said before"]))
    content = tree_content(S1, [leaf], source="far", remarks=["first"])
    first, second, third = content.remarks
    assert (first, third) == ("first", "said before")
    assert "CRC32C" in second


# --- reading on ------------------------------------------------------------------------------------------------------
def test_a_reading_that_broke_off_within_a_file_costs_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 0)
    far, name = Far(FILES), "measurement/vv.tiff"
    far.breaks[name] = [4_000, 8_000]
    content, came = far.content(), bytearray()
    for _ in range(2):
        broken(content, came)
    for block in content.read(len(came)):
        came += block
    assert bytes(came) == whole(Far(FILES).content())
    assert far.read == {key: len(data) for key, data in FILES.items()}, "and the MD5 of the whole was proved"


def test_a_wrong_byte_before_the_break_is_found_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 0)
    far, name = Far(FILES), "measurement/vv.tiff"
    far.breaks[name] = [4_000]
    far.files[name] = b"x" + FILES[name][1:]
    content, came = far.content(), bytearray()
    broken(content, came)
    far.files[name] = FILES[name]
    with pytest.raises(errors.ChecksumMismatch, match=name):
        whole(content, len(came))


@pytest.mark.parametrize("crc", [False, True])
def test_what_a_fresh_start_within_the_zip_costs(monkeypatch: pytest.MonkeyPatch, crc: bool) -> None:
    monkeypatch.setattr(tree, "SMALL", 0)
    whole_zip = whole(Far(FILES).content())
    far = Far(FILES, crc=crc)
    content = far.content()
    offset = whole(Far(FILES, crc=crc).content()).index(b"preview/icon.png") - 30 - len(ROOT) - 1
    whole(content, offset)
    total = sum(map(len, FILES.values()))
    # Without CRCs from the archive all that stands before the offset is read once more, for the directory.
    assert sum(far.read.values()) == (len(FILES["preview/icon.png"]) if crc else total)
    assert len(whole_zip) > offset


@pytest.mark.parametrize("small", [0, 1 << 20])
def test_a_reading_that_is_abandoned_lets_go(monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(tree, "SMALL", small)
    far = Far(FILES, block=100)
    for count in range(1, 12):
        reader = far.content().read(0)
        for _ in range(count):
            next(reader)
        reader.close()  # type: ignore[attr-defined]
        settled(far)


def test_small_files_come_ahead_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 100)
    monkeypatch.setattr(tree, "AHEAD", 350)
    files = {"manifest.safe": b"<x/>"} | {f"a/{number:03d}": bytes([number]) * 100 for number in range(60)}
    far = Far(files, block=10)
    far.pause = 0.005
    read = far.content().read(0)
    came = bytearray(next(read))
    came += next(read)
    time.sleep(0.2)  # time to fetch far too much in, if it were: that nothing happens cannot be waited for
    settled(far)
    assert sum(far.read.values()) <= 4 + 350, "no more than there is room for"
    for block in read:
        came += block
    assert unzipped(bytes(came)) == {f"{ROOT}/{name}": data for name, data in files.items()}
    assert 1 < far.most_open <= tree.AT_ONCE
    alone = Far(files)
    alone.pause = 0.001
    whole(alone.content(at_once=1))
    assert alone.most_open == 1


def test_beside_a_large_file_nothing_else_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 1000)
    far = Far(FILES)
    for block in far.content().read(0):
        if len(block) == 700:  # of one of the large ones
            assert far.open == 1


def test_files_fetched_in_vain_leave_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    # Those whose CRC the archive gives are not looked at again for the directory; they must not fill the room for good.
    monkeypatch.setattr(tree, "SMALL", 100)
    monkeypatch.setattr(tree, "AHEAD", 250)
    files = {"manifest.safe": b"<x/>"} | {f"a/{number:03d}": bytes([number]) * 100 for number in range(40)}
    given_crc = Far(files, crc=True).leaves
    leaves = [one if number % 5 else replace(one, crc=None) for number, one in enumerate(given_crc)]
    content = tree_content(S1, leaves, source="far")
    data = whole(tree_content(S1, leaves, source="far"))
    done: list[bytes] = []
    reading = threading.Thread(target=lambda: done.append(whole(content, len(data) - 30)), daemon=True)
    reading.start()
    reading.join(30)
    assert done == [data[-30:]]


# --- over HTTP -------------------------------------------------------------------------------------------------------
BUCKET = "far"


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with BucketServer(BUCKET) as made:
        yield made


def far_tree(server: BucketServer, remote: Remote, files: dict[str, bytes], **more: object) -> Content:
    leaves = [
        leaf_at(
            remote,
            name,
            f"{server.url}/{BUCKET}/{name}",
            len(data),
            checksums={"md5": hashlib.md5(data).hexdigest()},
            kept=bool(more.get("kept", True)),
        )
        for name, data in files.items()
    ]
    return tree_content(S1, leaves, source="far", at_once=int(more.get("at_once", tree.AT_ONCE)))  # type: ignore[call-overload]


def test_a_hundred_small_files_are_few_connections_and_few_waits(server: BucketServer) -> None:
    files = {"manifest.safe": b"<x/>"} | {f"a/{number:03d}.xml": bytes(20_000) for number in range(99)}
    server.put(BUCKET, files)
    server.latency = 0.02
    figures = {}
    for kind, settings_ in {"naive": {"kept": False, "at_once": 1}, "here": {}}.items():
        made, asked = server.made, len(server.paths)
        with Remote("far", stall_seconds=10) as remote:
            began = time.perf_counter()
            data = whole(far_tree(server, remote, files, **settings_))
            figures[kind] = (time.perf_counter() - began, server.made - made, len(server.paths) - asked)
        assert len(unzipped(data)) == 100
    assert (figures["naive"][1], figures["naive"][2]) == (100, 100)
    assert figures["here"][2] == 100
    assert figures["here"][1] <= tree.AT_ONCE + 1
    assert figures["here"][0] < figures["naive"][0] / 2


def test_pages_of_html_that_belong_to_a_product_are_delivered(server: BucketServer) -> None:
    page = b"<!DOCTYPE html><html><title>Product</title></html>"
    files = FILES | {"preview/product-preview.html": page, "HTML/x.HTM": page}
    server.put(BUCKET, files)
    with Remote("far", stall_seconds=5) as remote:
        assert unzipped(whole(far_tree(server, remote, files)))[f"{ROOT}/preview/product-preview.html"] == page
        server.put(BUCKET, {"annotation/a.xml": page})
        with pytest.raises(errors.DamagedProduct, match='"Product"'):
            whole(far_tree(server, remote, files))


def test_a_large_file_is_resumed_where_it_broke_off(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 1000)
    server.put(BUCKET, FILES)
    held = server.hold_at(BUCKET, "measurement/vv.tiff", FILES["measurement/vv.tiff"], Fault(), cut(5_000), well)
    with Remote("far", stall_seconds=5) as remote:
        content, came = far_tree(server, remote, FILES), bytearray()
        broken(content, came)
        asked = len(server.paths)
        for block in content.read(len(came)):
            came += block
    assert unzipped(bytes(came))[f"{ROOT}/measurement/vv.tiff"] == held.data
    first, second = server.seen
    assert "range" not in first.headers
    assert (second.headers["range"], second.headers["if-range"]) == ("bytes=5000-", held.etag)
    assert [path for _, path in server.paths[asked:]] == [
        f"/{BUCKET}/measurement/vv.tiff",
        f"/{BUCKET}/preview/icon.png",
    ]


def forged(x: Exchange) -> None:
    """An answer, and another one behind its end, on a connection that goes on."""
    data = x.held.data
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\nETag: {x.held.etag}\r\n\r\n".encode()
    x.send(head + data + b"HTTP/1.1 200 Forged\r\nContent-Length: 6\r\n\r\nforged")


@pytest.mark.parametrize("at_once", [1, 4])
def test_what_stands_behind_the_end_of_an_answer_is_not_taken_for_a_file(server: BucketServer, at_once: int) -> None:
    server.put(BUCKET, FILES)
    server.hold_at(BUCKET, "annotation/a.xml", FILES["annotation/a.xml"], Fault(), forged)
    with Remote("far", stall_seconds=5) as remote:
        content = far_tree(server, remote, FILES, at_once=at_once)
        assert unzipped(whole(content)) == {f"{ROOT}/{name}": data for name, data in FILES.items()}


def test_a_kept_connection_that_the_server_gave_up_is_no_failure(server: BucketServer) -> None:
    server.put(BUCKET, FILES)
    with Remote("far", stall_seconds=5) as remote:
        whole(far_tree(server, remote, FILES))
        server.close_idle()
        content = far_tree(server, remote, FILES)
        whole(content)
        assert list(content.remarks) == []


def test_a_head_that_does_not_end_on_a_kept_connection_is_given_up(server: BucketServer) -> None:
    def dripping(x: Exchange) -> None:
        end = time.monotonic() + 20
        x.send(b"HTTP/1.1 200 OK\r\n", counted=False)
        while time.monotonic() < end and not x.gone() and not server.stopped.is_set():
            x.send(b"X-A: b\r\n", counted=False)
            server.stopped.wait(0.05)

    server.put(BUCKET, FILES)
    server.hold_at(BUCKET, "preview/icon.png", FILES["preview/icon.png"], Fault(), dripping, well)
    with Remote("far", stall_seconds=0.3) as remote:
        began = time.monotonic()
        content = far_tree(server, remote, FILES, at_once=1)
        with pytest.raises(errors.SourceUnavailable, match="the head of an answer did not end"):
            whole(content)
        assert time.monotonic() - began < 10
        assert server.made == 1
        assert unzipped(whole(content))[f"{ROOT}/preview/icon.png"] == FILES["preview/icon.png"]
