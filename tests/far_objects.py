"""Public buckets on loopback: objects with ranges, and their listings in pages, as Google's and Amazon's stores give them."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import time
import zipfile
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from scripted_http import DATA, FAULTS, Fault, Held, Line, Reply, Request, ScriptedHttp

from extenso_nb.products import parse

PICTURE = b"\xff\xd8\xff\xe0 a picture"


class BucketServer(ScriptedHttp):
    """Objects by bucket and key. Those with a fault are played as `scripted_http` does, all others answered well.

    Requests are for `/<bucket>/<key>`; listings for `/storage/v1/b/<bucket>/o` (JSON) and `/<bucket>/?list-type=2` (XML).
    """

    def __init__(self, *buckets: str) -> None:
        self.objects: dict[str, dict[str, bytes]] = {bucket: {} for bucket in buckets}
        self.page = 1000
        """Objects in a page of a listing, at most."""
        self.latency = 0.0
        """Seconds before each answer to what is not played."""
        self.refusals: list[Reply] = []
        """What the next listings are answered with."""
        self.whole: set[str] = set()
        """Keys of objects that have no MD5 in the listing: written in parts."""
        self.made = 0
        """Connections made so far."""
        self.listed: list[dict[str, str]] = []
        """The parameters of each request for a listing."""
        super().__init__()
        self.site, self.bytes_at = self._reply, self._played

    def put(self, bucket: str, files: dict[str, bytes]) -> None:
        self.objects[bucket].update(files)

    def hold_at(self, bucket: str, key: str, data: bytes, fault: Fault, *script: Line) -> Held:
        """An object with a fault."""
        super().add(key, fault, *script, data=data)
        self.objects[bucket][key] = data
        return self.held[key]

    def _serve(self, connection: socket.socket) -> None:
        self.made += 1
        super()._serve(connection)

    def close_idle(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._sockets:
                connection.shutdown(socket.SHUT_RDWR)

    def _at(self, request: Request) -> tuple[str, str]:
        bucket, _, key = unquote(request.path).lstrip("/").partition("/")
        return bucket, key

    def _played(self, request: Request) -> str | None:
        bucket, key = self._at(request)
        return key if bucket in self.objects and key in self.held else None

    def _reply(self, request: Request) -> Reply | None:
        if request.method != "GET":
            return Reply(405)
        time.sleep(self.latency)  # how far away it is; 0 but where the waits for answers are what is measured
        asked = {key: values[0] for key, values in parse_qs(urlsplit(request.target).query).items()}
        path = request.path
        if path.startswith("/storage/v1/b/") and path.endswith("/o"):
            return self._listing(asked) or self._gcs(path.split("/")[4], asked)
        bucket, key = self._at(request)
        if not key and bucket and "list-type" in asked:
            return self._listing(asked) or self._s3(bucket, asked)
        data = self.objects.get(bucket, {}).get(key)
        if data is None:
            said = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code><Message>Not here.</Message></Error>"
            return Reply(404, said.encode(), {"Content-Type": "application/xml"})
        return self._object(data, request)

    def _object(self, data: bytes, request: Request) -> Reply:
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes"}
        wanted = request.headers.get("range", "")
        if not wanted or request.headers.get("if-range", etag) != etag:
            return Reply(200, data, headers)
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        place = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Reply(206, data[start:], headers | place)

    # -- listings ----------------------------------------------------------------------------------------------------
    def _listing(self, asked: dict[str, str]) -> Reply | None:
        self.listed.append(asked)
        if self.broken:
            return Reply.json({"error": {"code": 503, "message": "Backend Error"}}, 503)
        return self.refusals.pop(0) if self.refusals else None

    def _window(self, bucket: str, prefix: str, after: str, rows: int) -> tuple[list[dict[str, Any]], bool]:
        keys = sorted(key for key in self.objects[bucket] if key.startswith(prefix) and key > after)
        rows = max(min(rows, self.page), 1)
        return [self._entry_of(bucket, key) for key in keys[:rows]], len(keys) > rows

    def _entry_of(self, bucket: str, key: str) -> dict[str, Any]:
        data, held = self.objects[bucket][key], self.held.get(key)
        md5: str | None = hashlib.md5(data).hexdigest()
        if held is not None:
            md5 = None if held.checksums is None else held.checksums["MD5"]
        size = len(data) if held is None or held.size is None else held.size
        return {"key": key, "size": size, "md5": None if key in self.whole else md5}

    def _gcs(self, bucket: str, asked: dict[str, str]) -> Reply:
        if bucket not in self.objects:
            return Reply.json({"error": {"code": 404, "message": "The specified bucket does not exist."}}, 404)
        after = base64.urlsafe_b64decode(asked["pageToken"]).decode() if "pageToken" in asked else ""
        found, more = self._window(bucket, asked.get("prefix", ""), after, int(asked.get("maxResults", 1000)))
        answer: dict[str, Any] = {}
        if found:  # as the API does: no items, no list
            answer["items"] = [
                {"name": one["key"], "size": str(one["size"])}
                | ({"md5Hash": base64.b64encode(bytes.fromhex(one["md5"])).decode()} if one["md5"] else {})
                for one in found
            ]
        if more:
            answer["nextPageToken"] = base64.urlsafe_b64encode(found[-1]["key"].encode()).decode()
        return Reply.json(answer)

    def _s3(self, bucket: str, asked: dict[str, str]) -> Reply:
        if bucket not in self.objects:
            said = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
            return Reply(404, said.encode(), {"Content-Type": "application/xml"})
        after = base64.b64decode(asked["continuation-token"]).decode() if "continuation-token" in asked else ""
        found, more = self._window(bucket, asked.get("prefix", ""), after, int(asked.get("max-keys", 1000)))
        contents = "".join(
            f"<Contents><Key>{escape(one['key'])}</Key><LastModified>2024-06-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{one['md5'] or 'd41d8cd98f00b204e9800998ecf8427e-3'}&quot;</ETag><Size>{one['size']}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for one in found
        )
        token = base64.b64encode(found[-1]["key"].encode()).decode() if more else ""
        following = f"<NextContinuationToken>{token}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(asked.get('prefix', ''))}</Prefix><KeyCount>{len(found)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{following}{contents}</ListBucketResult>"
        )
        return Reply(200, text.encode(), {"Content-Type": "application/xml"})


# --- trees -----------------------------------------------------------------------------------------------------------
def tree_files(product_id: str, large: bytes = DATA, *, picture: bool = True) -> dict[str, bytes]:
    """The files of a product below its folder: one that is large, some small ones, and a manifest that lists them all."""
    is_sen3 = parse(product_id).extension == ".SEN3"
    files = {
        "IMG_DATA/B02.jp2" if not is_sen3 else "measurement.dat": large,
        "HTML/index.html": b"<!DOCTYPE html><html><title>A page that belongs to the product</title></html>",
        "QI_DATA/empty.gml": b"",
        "INSPIRE.xml": f"<about>{product_id}</about>".encode(),
    }
    if picture:
        files["quicklook.jpg" if is_sen3 else f"{product_id}-ql.jpg"] = PICTURE
    return {"xfdumanifest.xml" if is_sen3 else "manifest.safe": manifest_of(files)} | files


def manifest_of(files: dict[str, bytes]) -> bytes:
    listed = "".join(
        f'<dataObject><byteStream mimeType="x" size="{len(data)}"><fileLocation locatorType="URL" href="./{name}"/>'
        f'<checksum checksumName="MD5">{hashlib.md5(data).hexdigest()}</checksum></byteStream></dataObject>'
        for name, data in files.items()
    )
    return f"<xfdu><dataObjectSection>{listed}</dataObjectSection></xfdu>".encode()


def unzipped(data: bytes) -> dict[str, bytes]:
    """What Python's zipfile finds in a zip, every CRC proved."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} <= {zipfile.ZIP_STORED}
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def fault_of(fault: Fault | str) -> Fault:
    return FAULTS[fault] if isinstance(fault, str) else fault
