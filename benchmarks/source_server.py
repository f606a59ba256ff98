"""A source as fast as a socket: one big zip under many product identifiers. `python source_server.py FILE` prints its address.

It gives the checksums that the Copernicus Data Space gives, MD5 and BLAKE3; with `--without-checksums` none.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from extenso_nb.checksums import hasher


class Handler(BaseHTTPRequestHandler):
    """What `ScriptedHttpSource` of the tests asks for: a token, a catalogue, bytes from any offset on."""

    protocol_version = "HTTP/1.1"
    file = Path()
    checksums: ClassVar[list[dict[str, str]]] = []

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Silence."""

    def do_POST(self) -> None:
        """A token."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._json({"access_token": "token", "expires_in": 3600})

    def do_GET(self) -> None:
        """The catalogue, or the bytes of a product."""
        parts = urlsplit(self.path)
        size = self.file.stat().st_size
        if parts.path == "/catalogue":
            names = parse_qs(parts.query).get("ids", [""])[0].split(",")
            host = self.headers["host"]
            entries = [
                {
                    "Name": name,
                    "ContentLength": size,
                    "Online": True,
                    "Checksum": [],
                    "DownloadLink": f"http://{host}/{name}",
                }
                for name in names
            ]
            self._json({"products": entries})
            return
        asked = self.headers.get("range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(size - start))
        self.send_header("ETag", '"one"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        self.wfile.flush()
        with self.file.open("rb") as content:
            while start < size:
                start += os.sendfile(self.connection.fileno(), content.fileno(), start, size - start)

    def _json(self, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    Handler.file = Path(sys.argv[1])
    if "--without-checksums" not in sys.argv:
        made = {"MD5": hasher("md5"), "BLAKE3": hasher("blake3")}
        with Handler.file.open("rb") as content:
            while block := content.read(2**20):
                for digest in made.values():
                    digest.update(block)
        Handler.checksums = [{"Algorithm": name, "Value": digest.hexdigest()} for name, digest in made.items()]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
