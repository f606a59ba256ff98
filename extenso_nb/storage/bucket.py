"""Objects in an S3 bucket: any endpoint, path or virtual-host style, multipart uploads, presigned links."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from extenso_nb.errors import BucketRefused
from extenso_nb.models import BucketProperties
from extenso_nb.storage.ahead import ahead
from extenso_nb.storage.keys import AHEAD, BLOCK, checked_key, regular
from extenso_nb.storage.objects import Storage
from extenso_nb.storage.uploads import abort_uploads

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

__all__ = ["Bucket", "BucketStorage", "locate_bucket", "refuse_private"]

DEFAULT_REGION = "us-east-1"
"""What most servers other than AWS sign with, or do not look at."""
_NAME = re.compile(r"[a-z0-9A-Z][a-zA-Z0-9._-]{1,61}[a-z0-9A-Z]", re.ASCII)
_VIRTUAL = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.(?P<rest>s3[.-].*amazonaws\.com|s3\..+|oss-.+aliyuncs\.com|obs\..+)", re.ASCII
)
"""Hosts of which the first label is known to be a bucket: AWS, and those that follow its naming."""
_HOST = re.compile(r"[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]", re.ASCII)
"""What Python and the client of the bucket read as the same host."""
_REGION = re.compile(r"[a-zA-Z0-9._-]{1,64}", re.ASCII)
_KEY = re.compile(r"[!-~]+", re.ASCII)
_UNICAST = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Which bucket, where, and with which keys. Its repr hides the keys."""

    endpoint: str
    """Scheme, host and port; without the bucket."""
    name: str
    access_key: SecretStr = field(repr=False)
    secret_key: SecretStr = field(repr=False)
    region: str = DEFAULT_REGION
    prefix: str = ""
    """Keys begin with it; no slash at either end."""
    path_style: bool = True
    """`https://host/bucket/key` rather than `https://bucket.host/key`."""

    @property
    def url(self) -> str:
        """Where the bucket answers."""
        scheme, _, host = self.endpoint.partition("://")
        return f"{self.endpoint}/{self.name}" if self.path_style else f"{scheme}://{self.name}.{host}"


def locate_bucket(properties: BucketProperties) -> Bucket:
    """Read bucket and endpoint from what the user gave.

    The bucket is the one named; else the first segment of the endpoint's path; else the first label of its host where
    the rest is a host that is known to be S3's.

    Raises BucketRefused when no bucket can be read from it, or a part of it is not what it should be.
    """
    parts = _read(properties)
    host, segments = parts.netloc, [segment for segment in parts.path.split("/") if segment]
    named, path_style = properties.bucket, properties.addressing_style != "virtual"
    virtual = _VIRTUAL.fullmatch(host)
    if named is None and segments:
        named, segments = segments[0], segments[1:]
    elif named is None and virtual:
        named, host, path_style = virtual["bucket"], virtual["rest"], properties.addressing_style == "path"
    elif named is not None and host.startswith(f"{named}."):
        host, path_style = host.removeprefix(f"{named}."), properties.addressing_style == "path"
    elif segments and segments[0] == named:
        segments = segments[1:]
    if not named:
        raise _refused(f"No bucket can be read from {parts.netloc}.", "Name it as `bucket`, or in the endpoint's path.")
    if not _NAME.fullmatch(named):
        raise _refused(
            f"{named[:80]!r} is not the name of a bucket.", "Names have 3 to 63 letters, digits, dots, dashes."
        )
    prefix = "/".join([*segments, *(part for part in (properties.prefix or "").split("/") if part)])
    if prefix:
        checked_key(prefix)
    return Bucket(
        endpoint=f"{parts.scheme}://{host}",
        name=named,
        access_key=properties.access_key,
        secret_key=properties.secret_key,
        region=properties.region or DEFAULT_REGION,
        prefix=prefix,
        # A certificate for *.host does not cover a.b.host.
        path_style=path_style or "." in named,
    )


def _read(properties: BucketProperties) -> SplitResult:
    """The parts of the endpoint, after a look at all that is no name of a bucket."""
    try:
        parts = urlsplit(properties.endpoint)
        port = parts.port
    except ValueError as error:
        raise _refused(
            f"The endpoint cannot be read: {error}.", "Give it as https://host or https://host/bucket."
        ) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _refused("The endpoint is not an http(s) address.", "Give it as https://host or https://host/bucket.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _refused("The endpoint has more than host and path.", "Give the keys as accessKey and secretKey.")
    if not _HOST.fullmatch(parts.netloc.removesuffix(f":{port}")):
        raise _refused("The endpoint's host is not written as one.", "Use letters, digits, dots, dashes.")
    # They become headers, and the client panics at what cannot.
    region, keys = properties.region or DEFAULT_REGION, (properties.access_key, properties.secret_key)
    if not _REGION.fullmatch(region) or not all(_KEY.fullmatch(key.get_secret_value()) for key in keys):
        raise _refused("The region or a key has letters that none has, or is empty.", "Copy them once more.")
    return parts


def refuse_private(bucket: Bucket) -> None:
    """Raises BucketRefused when the endpoint leads to this machine or a private network, or is not https.

    A gateway that others use must not be a way into the network in which it stands. A redirect is followed, and a name
    may lead elsewhere a moment later: with https, what answers there must have a certificate for the name asked.
    """
    parts = urlsplit(bucket.url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused(f"{host} is not known: {error}.", "Check the endpoint.") from error
    for *_, address in found:
        if not _public(str(address[0]).partition("%")[0]):
            raise _refused(
                f"{host} is an address of a private network.", "Ask the operator; `--private-buckets` allows them."
            )
    if parts.scheme != "https":
        raise _refused(f"{bucket.endpoint} is not https.", "Ask the operator; `--private-buckets` allows http.")


def _public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        # Outside of 2000::/3, and in 6to4 and Teredo, an address may be another spelling of a private one of IPv4.
        tunnel = address.sixtofour or address.teredo
        return address.is_global and address in _UNICAST and not tunnel
    return address.is_global and not address.is_multicast


def _refused(message: str, hint: str) -> BucketRefused:
    return BucketRefused(message, hint=hint)


class BucketStorage(Storage):
    """A storage in an S3 bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._store: S3Store = self._connected()

    def __reduce__(self) -> tuple[Any, ...]:
        return BucketStorage, (self.bucket,)

    def __repr__(self) -> str:
        return f"<BucketStorage {self.bucket.url}>"

    def _connected(self, *, seconds: float = 300, retries: int = 3) -> S3Store:
        from obstore.store import S3Store

        return S3Store(
            self.bucket.name,
            prefix=self.bucket.prefix or None,
            endpoint=self.bucket.endpoint if self.bucket.path_style else self.bucket.url,
            # Not as options: those come on top of AWS_* of the environment, and its session token would go along.
            credential_provider=self._credentials,
            skip_signature=False,
            # The server compares each part with a SHA-256 of its own; it is the digest that the signature has, too.
            checksum_algorithm="SHA256",
            region=self.bucket.region,
            virtual_hosted_style_request=not self.bucket.path_style,
            client_options={
                "allow_http": self.bucket.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=10),
                "timeout": timedelta(seconds=seconds),
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=min(seconds, 60))},
        )

    def _credentials(self) -> S3Credential:
        return {
            "access_key_id": self.bucket.access_key.get_secret_value(),
            "secret_access_key": self.bucket.secret_key.get_secret_value(),
            "token": None,
            "expires_at": None,
        }

    def probe(self) -> None:
        """List, put and delete a small object. Raises BucketRefused with the reason, and leaves nothing behind."""
        import obstore

        key = f".extenso-probe-{secrets.token_hex(8)}"
        # Somebody waits for the answer, and a server that never gives one must not hold the gateway's threads.
        patient = self._connected(seconds=10, retries=1)
        doing = "listed"
        try:
            next(iter(obstore.list(patient, chunk_size=1)), None)
            doing = "written"
            obstore.put(patient, key, b"extenso", use_multipart=False)
            doing = "deleted from"
            obstore.delete(patient, key)
        except Exception as error:  # noqa: BLE001 - obstore has one class for each way in which a server says no
            raise BucketRefused(f"{self.bucket.url} cannot be {doing}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        """What a server said, in a line, without anything secret."""
        text = str(error)
        said = re.search(r"<Code>([^<]+)</Code>(?:.*?<Message>([^<]*)</Message>)?", text, re.DOTALL)
        line = f"{said[1]}: {said[2] or ''}" if said else text.partition("\n")[0][:200]
        for secret in (self.bucket.secret_key, self.bucket.access_key):
            line = line.replace(secret.get_secret_value(), "***")
        return line.strip().rstrip(".: ") + "."

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """What a server says may hold the access key, and ends up in trails and logs: only `_reason` goes on."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise BucketRefused(f"{self.bucket.url} cannot be {doing}: {self._reason(error)}") from None

    def put(self, key: str, blocks: Iterable[bytes | memoryview]) -> None:
        """As of any storage; in parts, of which two are on their way at a time. Raises BucketRefused."""
        import obstore

        failure: list[BaseException] = []

        def guarded() -> Iterator[bytes]:
            # In a thread of their own: obstore asks for a block from within its runtime, where another call of obstore,
            # for a product that comes out of a bucket, would wait for ever. And so blocks are made while others are sent.
            made = ahead(blocks, most=AHEAD)
            try:
                yield from regular(made)
            except GeneratorExit:
                raise  # the storage failed and lets go of the blocks: its own error is the one to tell
            except BaseException as error:
                # obstore wraps what an iterator raises into an error of its own; the caller wants the first one.
                failure.append(error)
                raise
            finally:
                made.close()

        try:
            with self._told("written"):
                obstore.put(
                    self._store, checked_key(key), guarded(), use_multipart=True, chunk_size=BLOCK, max_concurrency=2
                )
        except BaseException:
            if failure:
                raise failure[0] from None
            raise

    def put_bytes(self, key: str, content: bytes) -> None:
        """As of any storage. Raises BucketRefused."""
        with self._told("written"):
            super().put_bytes(key, content)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """As of any storage. Raises BucketRefused."""
        with self._told("read"):
            return super().read_range(key, start, length)

    def size(self, key: str) -> int:
        """As of any storage. Raises BucketRefused."""
        with self._told("read"):
            return super().size(key)

    def delete(self, key: str) -> None:
        """As of any storage. Raises BucketRefused."""
        with self._told("deleted from"):
            super().delete(key)

    def list(self, prefix: str = "") -> list[tuple[str, int]]:
        """As of any storage. Raises BucketRefused."""
        with self._told("listed"):
            return super().list(prefix)

    def open(self, key: str) -> BinaryIO:
        """An object as a file to read and seek in, fetched by ranges of 8 MB. Raises FileNotFoundError."""
        return cast("BinaryIO", io.BufferedReader(_Ranged(self, key, self.size(key)), buffer_size=BLOCK))

    def sweep(self, key_or_prefix: str) -> None:
        """Abort the uploads that a killed writer left. One that is still at it, though overtaken, comes to nothing."""
        abort_uploads(self.bucket, checked_key(key_or_prefix))

    def presign(self, key: str, *, seconds: int) -> str:
        """A link to an object that needs no header, answers Range, and expires."""
        import obstore

        return str(obstore.sign(self._store, "GET", checked_key(key), timedelta(seconds=seconds)))


class _Ranged(io.RawIOBase):
    """An object as a raw file: each reading is a range of it."""

    def __init__(self, storage: BucketStorage, key: str, size: int) -> None:
        super().__init__()
        self._storage, self._key, self._size, self._place = storage, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        block = self._storage.read(self._key, self._place, len(buffer))
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)
