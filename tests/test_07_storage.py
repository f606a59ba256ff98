"""Storages: a folder and a real S3 server behave alike; nothing half-written is ever seen, and no key leads out."""

from __future__ import annotations

import contextlib
import http.server
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from seaweed import SECRET, bucket_of, free_port

from extenso_nb.errors import BucketRefused, DataDirectoryReadOnly, InvalidRequest
from extenso_nb.models import BucketProperties
from extenso_nb.storage import BucketStorage, FolderStorage, Storage, checked_key, locate_bucket, refuse_private
from extenso_nb.storage.uploads import abort_uploads


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "storage")
    return BucketStorage(bucket_of(request.getfixturevalue("s3"), "deliveries", prefix=f"p{random.getrandbits(60):x}"))


def blocks(content: bytes, size: int = 70_000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [0, 1, 70_000, 8 * 1024 * 1024, 20_000_001])
def test_what_is_put_is_read(storage: Storage, size: int) -> None:
    content = random.Random(size).randbytes(size)
    storage.put("a/orders/1/P/P.zip", blocks(content))
    assert storage.size("a/orders/1/P/P.zip") == size
    assert storage.read("a/orders/1/P/P.zip") == content
    middle = size // 2
    assert storage.read("a/orders/1/P/P.zip", middle, 100) == content[middle : middle + 100]
    assert storage.list() == [("a/orders/1/P/P.zip", size)]


def test_a_writer_that_fails_leaves_nothing(storage: Storage) -> None:
    def broken() -> Iterator[bytes]:
        yield from blocks(b"x" * 20_000_000)
        raise ValueError("the source went away")

    with pytest.raises(ValueError, match="went away"):
        storage.put("a/b", broken())
    assert storage.list() == []
    storage.put("a/b", blocks(b"good"))
    with pytest.raises(ValueError, match="went away"):
        storage.put("a/b", broken())
    assert storage.read("a/b") == b"good"


def test_a_storage_that_fails_in_the_middle_says_why() -> None:
    with refusing_parts() as url:
        storage = BucketStorage(bucket_of(url, "deliveries"))
        with pytest.raises(BucketRefused, match="AccessDenied"):
            storage.put("a/b", (b"x" * 8_000_000 for _ in range(12)))


@pytest.mark.parametrize("prefix", ["", "some where"])
def test_uploads_that_were_never_ended_are_swept_away(s3: str, prefix: str) -> None:
    bucket = bucket_of(s3, "deliveries", prefix=prefix)
    storage, halfway, gone_on = BucketStorage(bucket), threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def paused() -> Iterator[bytes]:
        yield b"x" * 30_000_000
        halfway.set()
        assert gone_on.wait(60)
        yield b"x"

    def write() -> None:
        try:
            storage.put("o/1/P/P a+b.zip", paused())
        except (BucketRefused, FileNotFoundError) as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert halfway.wait(60)
        end = time.monotonic() + 30
        assert abort_uploads(bucket, "o/1/Q") == abort_uploads(bucket, "o/1/P/P") == 0, "whole segments"
        while abort_uploads(bucket, "o/1/P") == 0:
            assert time.monotonic() < end
        assert abort_uploads(bucket, "o/1/P/P a+b.zip") == 0
    finally:
        gone_on.set()
        writer.join(60)
    assert failed, "an overtaken writer stores nothing"
    assert storage.list("o/1") == []
    storage.put("o/1/P/P a+b.zip", [b"x" * 9_000_000])
    storage.sweep("o/1/P")
    assert storage.list("o/1") == [("o/1/P/P a+b.zip", 9_000_000)]
    storage.delete_below("o/1")
    assert abort_uploads(bucket_of(s3, "deliveries", access="nobody"), "o/1") == 0
    assert abort_uploads(bucket_of(f"http://127.0.0.1:{free_port()}", "deliveries"), "o/1") == 0


@contextlib.contextmanager
def refusing_parts() -> Iterator[str]:
    """An S3 server that takes the first part of an upload, and refuses the second."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            begun = self.command == "POST" and "uploads" in self.path
            status = 403 if "partNumber=2" in self.path else 200
            body = b"<Error><Code>AccessDenied</Code><Message>enough</Message></Error>" if status == 403 else b""
            if begun:
                names = "<Bucket>deliveries</Bucket><Key>a/b</Key><UploadId>1</UploadId>"
                body = f"<InitiateMultipartUploadResult>{names}</InitiateMultipartUploadResult>".encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("etag", '"1"')
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_lists_and_deletes_go_by_whole_segments(storage: Storage) -> None:
    for key in ("a/orders/1/P/P.zip", "a/orders/1/P/metadata.json", "a/orders/10/P/P.zip", "b/orders/1/P/P.zip"):
        storage.put_bytes(key, key.encode())
    assert [key for key, _ in storage.list("a/orders/1")] == ["a/orders/1/P/P.zip", "a/orders/1/P/metadata.json"]
    assert storage.delete_below("a/orders/1") == 2
    assert storage.delete_below("a/orders/1") == 0
    assert [key for key, _ in storage.list()] == ["a/orders/10/P/P.zip", "b/orders/1/P/P.zip"]
    storage.delete("a/orders/10/P/P.zip")
    storage.delete("a/orders/10/P/P.zip")
    with pytest.raises(FileNotFoundError):
        storage.size("a/orders/10/P/P.zip")
    with pytest.raises(FileNotFoundError):
        storage.read("a/orders/10/P/P.zip")


@pytest.mark.parametrize(
    "key", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\nb", "a\x7f", "..", "a/.."]
)
def test_no_key_leads_out(storage: Storage, key: str) -> None:
    for act in (storage.read, storage.size, storage.delete, storage.delete_below, checked_key):
        with pytest.raises(InvalidRequest, match="not a key"):
            act(key)
    with pytest.raises(InvalidRequest, match="not a key"):
        storage.put(key, [b"x"])
    with pytest.raises(InvalidRequest, match="not a key"):
        storage.put_bytes(key, b"x")


def test_a_folder_shows_no_half_written_object_and_follows_no_link_out(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "storage")
    storage.put_bytes("a/b", b"x")
    (storage.folder / "a" / "b#1").write_bytes(b"half")  # what a killed writer leaves
    (storage.folder / "a" / "c").symlink_to("/etc/passwd")
    assert ("a/b#1", 4) not in storage.list()
    with pytest.raises(FileNotFoundError):
        storage.path("a/c")
    assert storage.path("a/b").read_bytes() == b"x"
    storage.sweep("a/b")
    assert not (storage.folder / "a" / "b#1").exists()
    (storage.folder / "a" / "b#1").write_bytes(b"half")
    storage.delete_below("a")
    assert not (storage.folder / "a" / "b#1").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryReadOnly):
        FolderStorage(tmp_path / "file" / "storage")


def test_presigned_links(s3: str) -> None:
    storage = BucketStorage(bucket_of(s3, "deliveries", prefix="linked"))
    content = random.Random(1).randbytes(100_000)
    storage.put("x/a b+c.zip", blocks(content))
    url = storage.presign("x/a b+c.zip", seconds=60)
    assert SECRET not in url
    with urllib.request.urlopen(url) as whole:
        assert whole.read() == content
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10-19"})) as part:
        assert (part.status, part.read()) == (206, content[10:20])
    short = storage.presign("x/a b+c.zip", seconds=1)
    time.sleep(2.5)
    for bad in (short, url[:-4] + "0000", url.replace("a%20b", "other").split("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(bad)
        assert caught.value.code in {401, 403, 404}
        caught.value.close()


def test_the_probe(s3: str) -> None:
    good = BucketStorage(bucket_of(s3, "deliveries", prefix="probed"))
    good.probe()
    assert good.list() == []
    refused = {
        "written": bucket_of(s3, "deliveries", access="READER", secret="reader"),
        "listed": bucket_of(s3, "deliveries", secret="wrong-planted-key"),
    }
    refused["listed: "] = bucket_of(f"http://127.0.0.1:{free_port()}", "deliveries")
    for word, bucket in refused.items():
        with pytest.raises(BucketRefused, match=word.strip()) as caught:
            BucketStorage(bucket).probe()
        told = str(caught.value) + repr(caught.value.__context__ and "") + repr(BucketStorage(bucket)) + repr(bucket)
        assert "wrong-planted-key" not in told
        assert SECRET not in told


@pytest.mark.parametrize(
    ("given", "endpoint", "name", "prefix", "path_style"),
    [
        ({"endpoint": "https://host/bucket"}, "https://host", "bucket", "", True),
        ({"endpoint": "https://host:9000/bucket/some/place/"}, "https://host:9000", "bucket", "some/place", True),
        ({"endpoint": "https://host", "bucket": "mine"}, "https://host", "mine", "", True),
        ({"endpoint": "https://host/mine", "bucket": "mine"}, "https://host", "mine", "", True),
        ({"endpoint": "https://mine.host", "bucket": "mine"}, "https://host", "mine", "", False),
        (
            {"endpoint": "https://mine.s3.eu-west-1.amazonaws.com"},
            "https://s3.eu-west-1.amazonaws.com",
            "mine",
            "",
            False,
        ),
        ({"endpoint": "https://mine.s3.example.org"}, "https://s3.example.org", "mine", "", False),
        ({"endpoint": "https://host", "bucket": "mine", "prefix": "/a/b/"}, "https://host", "mine", "a/b", True),
        (
            {"endpoint": "https://host", "bucket": "mine", "addressing_style": "virtual"},
            "https://host",
            "mine",
            "",
            False,
        ),
        (
            {"endpoint": "https://host", "bucket": "a.dotted", "addressing_style": "virtual"},
            "https://host",
            "a.dotted",
            "",
            True,
        ),
    ],
)
def test_bucket_and_endpoint_are_told_apart(
    given: dict[str, str], endpoint: str, name: str, prefix: str, path_style: bool
) -> None:
    found = locate_bucket(BucketProperties(access_key=SecretStr("a"), secret_key=SecretStr("s"), **given))
    assert (found.endpoint, found.name, found.prefix, found.path_style) == (endpoint, name, prefix, path_style)


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": "host/bucket"},
        {"endpoint": "ftp://host/bucket"},
        {"endpoint": "https://host"},
        {"endpoint": "https://user:planted-secret-key@host/bucket"},
        {"endpoint": "https://host/bucket?x=planted-secret-key"},
        {"endpoint": "https://host/b"},
        {"endpoint": "https://host/bad bucket"},
        {"endpoint": "https://host", "bucket": "../up"},
    ],
)
def test_endpoints_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(BucketRefused) as caught:
        locate_bucket(BucketProperties(access_key=SecretStr("a"), secret_key=SecretStr("s"), **given))
    assert "planted-secret-key" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.8", "192.168.1.1", "169.254.169.254", "[::1]", "0.0.0.0"]
)
def test_private_networks_are_refused_where_the_gateway_is_shared(host: str) -> None:
    with pytest.raises(BucketRefused, match="private network"):
        refuse_private(bucket_of(f"http://{host}:9000", "bucket"))
