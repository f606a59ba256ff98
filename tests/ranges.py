"""A server on loopback that answers Range as object stores do, counts what it is asked, and lets signatures expire."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class RangeServer:
    """Files below a folder, under `/`; a request is answered when it has the signature of the moment."""

    folder: Path
    signature: str = "s3cr3t"
    ranges: bool = True
    """Whether Range is answered; else the whole file, as some servers do."""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """Path, and bytes sent, of each request that was answered."""
    refused: int = 0
    cut: bool = False
    """Whether answers end in mid-body."""
    latency: float = 0.0
    """Seconds before each answer."""
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, name: str) -> str:
        """The address of a file, signed."""
        return f"{self.address}/{name}?X-Sig={self.signature}&expires=1"

    def bytes(self) -> int:
        """Bytes sent since `clear`."""
        return sum(count for _, count in self.requests)

    def clear(self) -> None:
        """Forget what was counted."""
        with self.lock:
            self.requests.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: RangeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._refuse(403)  # a signature of GET is none of HEAD

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        time.sleep(self.owner.latency)
        if parse_qs(parts.query).get("X-Sig") != [self.owner.signature]:
            self._refuse(403)
            return
        path = self.owner.folder / unquote(parts.path.lstrip("/"))
        if not path.is_file():
            self._refuse(404)
            return
        size = path.stat().st_size
        first, last = self._asked(size)
        with path.open("rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        partial = self.owner.ranges and "Range" in self.headers
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}-{size:x}"')
        self.end_headers()
        sent = 0
        # Before the last piece: who has all of it may look at the counts at once. Some break a whole file off.
        pieces = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
        with contextlib.suppress(ConnectionError):
            for piece in pieces[:-1]:
                self.wfile.write(piece)
                sent += len(piece)
        complete = sent == sum(map(len, pieces[:-1]))
        with self.owner.lock:
            self.owner.requests.append((parts.path.lstrip("/"), len(content) if complete else sent))
        if self.owner.cut:
            self.close_connection = True
            return
        if complete and pieces:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(pieces[-1])

    def _asked(self, size: int) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "") if self.owner.ranges else "")
        if found is None:
            return 0, size - 1
        if not found[1]:
            return max(0, size - int(found[2])), size - 1
        return int(found[1]), min(size - 1, int(found[2] or size - 1))

    def _refuse(self, status: int) -> None:
        with self.owner.lock:
            self.owner.refused += 1
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """The files of a folder behind a server, for the length of a `with`."""
    owner = RangeServer(folder)
    handler = type("Handler", (_Handler,), {"owner": owner})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    owner.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield owner
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
