"""One object read by ranges of bytes, wherever it lies: at an http(s) address, in S3, in a storage, in a file.

Ranges that are asked for together are merged where they touch (or nearly), cut where they are long, and fetched side by
side. An address that has expired is renewed once by whoever gave it. What is secret in an address is in no message, no
repr and no pickle: see `vault`.
"""

from __future__ import annotations

import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from extenso_nb.errors import DamagedProduct, ReaderError, UnsupportedProduct
from extenso_nb.storage import vault

if TYPE_CHECKING:
    from extenso_nb.storage.objects import Storage

__all__ = ["FileObject", "Ranged", "RemoteFolder", "RemoteObject", "StoredObject", "list_remote", "plan"]

GAP = 4_096
"""Bytes between two ranges that are fetched along rather than asked for twice."""
LONGEST = 8_000_000
"""Bytes of one request; longer ranges are fetched side by side."""
CONNECTIONS = 16
"""Requests of a process at a time."""

Range = tuple[int, int]
"""Start, and the number of bytes."""


def plan(ranges: Iterable[Range], *, gap: int = GAP, longest: int = LONGEST) -> list[Range]:
    """The requests that cover all ranges: merged where at most `gap` bytes lie between them, cut at `longest`."""
    merged: list[list[int]] = []
    for start, length in sorted(set(ranges)):
        if length <= 0:
            continue
        if merged and start <= merged[-1][1] + gap:
            merged[-1][1] = max(merged[-1][1], start + length)
        else:
            merged.append([start, start + length])
    return [(at, min(longest, end - at)) for start, end in merged for at in range(start, end, longest)]


class Ranged(ABC):
    """An object of which any range can be read; threads share it, and it pickles."""

    shown: str
    """Where it lies, for messages: without anything secret."""

    @property
    def stamp(self) -> str:
        """What tells it from another object of the same address and size, as far as that is known."""
        return ""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the object. Raises ReaderError where it cannot be asked."""

    @abstractmethod
    def _get(self, start: int, length: int) -> bytes:
        """One request; `length` is positive, and the range within the object."""

    def read(self, start: int, length: int) -> bytes:
        """Bytes from `start` on. Raises ReaderError, and DamagedProduct where the object ends before the range does."""
        if length <= 0:
            return b""
        data = self._get(start, length)
        if len(data) != length:
            raise DamagedProduct(
                f"{self.shown} gave {len(data)} bytes in place of the {length} from byte {start} on.",
                hint="It is cut short, or was replaced: fetch the product again.",
            )
        return data

    def read_many(self, ranges: Sequence[Range], *, gap: int = GAP) -> list[bytes]:
        """The bytes of all ranges, in their order; as few requests as `plan` makes of them, side by side. Raises as `read`."""
        wanted = plan(ranges, gap=gap)
        read: Callable[[Range], bytes] = lambda part: self.read(*part)  # noqa: E731
        blocks = list(map(read, wanted) if len(wanted) == 1 else _pool().map(read, wanted))
        return [_cut(wanted, blocks, start, length) for start, length in ranges]


def _cut(wanted: list[Range], blocks: list[bytes], start: int, length: int) -> bytes:
    parts = []
    for (at, size), block in zip(wanted, blocks, strict=True):
        low, high = max(start, at), min(start + length, at + size)
        if low < high:
            parts.append(block if (low, high) == (at, at + size) else block[low - at : high - at])
    return parts[0] if len(parts) == 1 else b"".join(parts)


_pools: dict[int, ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    """Threads of this process: a fork has none of its parent's."""
    with _pools_lock:
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="extenso-ranges")
        return _pools[os.getpid()]


class FileObject(Ranged):
    """A file on this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.shown = os.fspath(path)

    @property
    def size(self) -> int:
        """Bytes of the file now."""
        try:
            return os.stat(self.shown).st_size  # noqa: PTH116 - a str
        except OSError as error:
            raise ReaderError(f"{self.shown} cannot be read: {error.strerror}.") from error

    def _get(self, start: int, length: int) -> bytes:
        try:
            descriptor = os.open(self.shown, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, length, start)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ReaderError(f"{self.shown} cannot be read: {error.strerror}.") from error


class StoredObject(Ranged):
    """An object in a storage."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage, self._key, self.shown = storage, key, key
        self._size = storage.size(key)

    @property
    def size(self) -> int:
        """Bytes of the object when it was opened."""
        return self._size

    def _get(self, start: int, length: int) -> bytes:
        return self._storage.read_range(self._key, start, min(length, self._size - start))


class RemoteObject(Ranged):
    """An object at an `http(s)://` or `s3://bucket/key` address.

    Parameters
    ----------
    address
        With its query string. Of S3 the credentials, region and endpoint are those of the environment (`AWS_*`); without
        credentials requests are not signed, as of public buckets.
    renew
        Gives a new address when the server refuses this one (401, 403); it has to pickle.
    size
        Bytes, where they are known: an object of another size raises DamagedProduct.
    """

    def __init__(self, address: str, *, renew: Callable[[], str] | None = None, size: int | None = None) -> None:
        self._lock = threading.Lock()
        self._renew, self._size = renew, size
        self._tag: str | None = None
        self._store: Any = None
        self._turn = 0
        self._set(address)

    def _set(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https", "s3"} or not parts.hostname or not _has_port(parts):
            raise UnsupportedProduct(
                f"{parts.scheme}:// is no address that is read.", hint="Give an http(s):// or an s3:// address."
            )
        self.shown = _shown(address)
        self._secret = vault.keep(address) if parts.query or parts.username or parts.password else None

    def __repr__(self) -> str:
        return f"<RemoteObject {self.shown}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._secret is not None:
            vault.hand_over(self._secret)
        return _rebuilt, (self.shown, self._secret, self._renew, self._size, self._tag)

    @property
    def size(self) -> int:
        """Bytes of the object, as its server tells; one byte is fetched to ask."""
        if self._size is None:
            self._get(0, 1)
        assert self._size is not None
        return self._size

    def expect(self, size: int) -> None:
        """What its index says: an object of another size is another product, and raises DamagedProduct when it is read."""
        with self._lock:
            self._size = size

    @property
    def stamp(self) -> str:
        """Names of its query and of its content."""
        return f"{self._secret} {self._tag}"

    def tail(self, length: int) -> tuple[int, bytes]:
        """The last bytes, and where they begin: one request, whatever the size."""
        answer = self._asked({"range": {"suffix": length}})
        return answer.start, answer.content

    def head(self, length: int) -> bytes:
        """The first bytes, or all where there are fewer: one request, whatever the size."""
        return self._asked({"range": (0, length)}).content

    def whole(self, limit: int) -> bytes:
        """All bytes; raises DamagedProduct where there are more than `limit`. One request."""
        return self._asked({}, limit=limit).content

    def _get(self, start: int, length: int) -> bytes:
        return self._asked({"range": (start, start + length)}).content

    def _asked(self, options: dict[str, Any], *, limit: int | None = None) -> _Answer:
        """What the server answers, once it is known to be of the object that was opened."""
        return self._checked(self._answer("", options, limit))

    def below(self, name: str, options: dict[str, Any], limit: int) -> bytes | None:
        """What `RemoteFolder.get` asks for, with the address of this object as the folder."""
        try:
            return self._answer(f"/{quote(name)}", options, limit).content
        except _Missing:
            return None

    def _answer(self, below: str, options: dict[str, Any], limit: int | None) -> _Answer:
        for attempt in (1, 2):
            store, path, turn = self._connected(below)
            answer = _call(store, path, options, limit)
            if isinstance(answer, _Answer):
                return answer
            if answer.kind == "refused" and attempt == 1 and self._renewed(turn):
                continue
            # Outside of any handler: what obstore says has the whole address in it, and would hang on to this error.
            kind = {"absent": _Missing, "large": DamagedProduct}.get(answer.kind, ReaderError)
            raise kind(f"{self.shown}{below} cannot be read: {answer.reason}.", hint=answer.hint)
        raise AssertionError("unreachable")

    def _checked(self, answer: _Answer) -> _Answer:
        size, tag = answer.size, answer.tag
        with self._lock:
            expected = (self._size if self._size is not None else size, self._tag or tag)
            self._size, self._tag = expected
        if size != expected[0] or (tag and tag != expected[1]):
            raise DamagedProduct(
                f"{self.shown} is not what it was, or not what its index is of: it has {size} bytes, {expected[0]} are expected."
                if size != expected[0]
                else f"{self.shown} was replaced since it was opened.",
                hint="Open the product again.",
            )
        return answer

    def _renewed(self, turn: int) -> bool:
        """Whether there is another address than the one of `turn`: somebody else may have asked for it meanwhile."""
        with self._lock:
            if self._turn != turn:
                return True
            if self._renew is None:
                return False
            self._set(self._renew())
            self._store, self._tag = None, None
            self._turn += 1
            return True

    def _connected(self, below: str = "") -> tuple[Any, str, int]:
        with self._lock:
            address = vault.find(self._secret) if self._secret is not None else self.shown
            if below and urlsplit(address).query:  # which a store keeps for one object alone
                parts = urlsplit(address)
                return _store(urlunsplit(parts._replace(path=parts.path + below))), "", self._turn
            path = urlsplit(address).path.lstrip("/") if address.startswith("s3://") else ""
            if self._store is None:
                self._store = _store(address)
            return self._store, unquote(below.lstrip("/")) or path, self._turn


def _rebuilt(
    shown: str, secret: str | None, renew: Callable[[], str] | None, size: int | None, tag: str | None
) -> RemoteObject:
    made = RemoteObject(shown, renew=renew, size=size)
    made._secret, made._tag = secret, tag  # noqa: SLF001 - the address is looked up when it is needed
    return made


def _shown(address: str) -> str:
    parts = urlsplit(address)
    name = parts.hostname or ""
    host = (f"[{name}]" if ":" in name else name) + (f":{parts.port}" if parts.port else "")
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_ROLE_ARN",
}
_OPTIONS: dict[str, Any] = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}
_RETRY: dict[str, Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=90)}


def _store(address: str) -> Any:
    from obstore.store import HTTPStore, S3Store

    parts = urlsplit(address)
    if parts.scheme == "s3":
        plain = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")).startswith("http://")
        # Without any of these the credentials of a machine in the cloud would be asked for, at an address of its network.
        unsigned = {} if _CREDENTIALS & os.environ.keys() else {"skip_signature": True}
        options: Any = {**_OPTIONS, "allow_http": plain}
        return S3Store(parts.hostname, client_options=options, retry_config=_RETRY, **unsigned)  # type: ignore[arg-type]
    return HTTPStore.from_url(
        address,
        client_options={**_OPTIONS, "allow_http": parts.scheme == "http"},  # type: ignore[arg-type]
        retry_config=_RETRY,  # type: ignore[arg-type]
    )


class RemoteFolder:
    """What lies below an `http(s)://` address, each object by its name: as :class:`RemoteObject`, without a list of them.

    The query string of the address goes along with every name. It pickles as an object does.
    """

    def __init__(self, address: str, *, renew: Callable[[], str] | None = None) -> None:
        parts = urlsplit(address)
        self._folder = RemoteObject(urlunsplit(parts._replace(path=parts.path.rstrip("/"))), renew=renew)

    @property
    def shown(self) -> str:
        """Where it lies, without anything secret."""
        return self._folder.shown

    def get(self, name: str, start: int | None = None, end: int | None = None, *, limit: int) -> bytes | None:
        """`value[start:end]` of an object, -n for the last n bytes; None where there is none. Raises ReaderError.

        Raises DamagedProduct where a whole object has more bytes than `limit`.
        """
        if start is None and end is None:
            asked: dict[str, Any] = {}
        elif start is not None and start < 0:
            asked = {"range": {"suffix": -start}}
        else:
            asked = {"range": (start or 0, end)} if end is not None else {"range": {"offset": start}}
        return self._folder.below(name, asked, limit)


def list_remote(address: str, *, most: int) -> list[tuple[str, int]]:
    """Names and sizes of the objects below an `s3://bucket/prefix/`, names relative to it. Raises ReaderError."""
    import obstore

    store, prefix = _store(address), urlsplit(address).path.strip("/")
    found: list[tuple[str, int]] = []
    failure = None
    try:
        for batch in obstore.list(store, prefix=f"{prefix}/"):
            items: Any = batch
            found += [(str(item["path"])[len(prefix) + 1 :], int(item["size"])) for item in items]
            if len(found) > most:
                break
    except Exception as error:  # noqa: BLE001 - obstore has one class for each way in which a server says no
        failure = _failure(error)
    if failure is not None:
        raise ReaderError(f"{_shown(address)} cannot be listed: {failure.reason}.", hint=failure.hint)
    if len(found) > most:
        raise UnsupportedProduct(f"{_shown(address)} has more than {most} objects; this is not a product.")
    return sorted(pair for pair in found if pair[0])


_SIGNS = {
    "timed out": "it does not answer in time",
    "dns": "its host is not known",
    "onnect": "its server cannot be reached",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server sent."""

    content: bytes
    start: int
    size: int
    tag: str | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why nothing came, without the address."""

    kind: str
    reason: str
    hint: str


class _Missing(ReaderError):
    """There is no such object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain_error, (self.message, self.hint)


def _plain_error(message: str, hint: str) -> ReaderError:
    return ReaderError(message, hint=hint)


def _call(store: Any, path: str, options: dict[str, Any], limit: int | None) -> _Answer | _Failure:
    """The answer with all of its body, or why there is none."""
    import obstore

    if _process.setdefault("reads", os.getpid()) != os.getpid():
        # Its threads are not those of this process, and it would wait for them for ever.
        return _Failure(
            "forked", "this process was forked from one that reads", "Start workers with `spawn`, as dask does."
        )
    try:
        result = obstore.get(store, path, options=options)  # type: ignore[arg-type]
        size = int(result.meta["size"])
        if limit is not None and size > limit:
            return _Failure(
                "large", f"it has {size:,} bytes, more than the {limit:,} that it may have", "Check the address."
            )
        return _Answer(bytes(result.bytes()), int(result.range[0]), size, result.meta["e_tag"])
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(error)


_process: dict[str, int] = {}


def _failure(error: Exception) -> _Failure:
    """What obstore says, in whose text whole addresses stand, as a reason without them."""
    from obstore import exceptions

    if isinstance(error, FileNotFoundError):
        return _Failure("absent", "there is nothing", "Check the address; a delivery may have been deleted.")
    if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
        hint = "A signed address expires: ask for a new one. Of S3 check AWS_*."
        return _Failure("refused", "the server refuses it (401 or 403)", hint)
    if isinstance(error, exceptions.NotSupportedError):
        hint = "Download the product, and open the file."
        return _Failure("other", "the server does not answer ranges of bytes", hint)
    return _Failure("other", _cause(str(error)), "Try again; check the network, and the address.")


def _cause(text: str) -> str:
    status = re.search(r"status(?: code)?:? (\d{3})\b", text)
    if status is not None:
        return f"the server answers {status[1]}"
    return next((plain for sign, plain in _SIGNS.items() if sign in text), "the connection broke")


def _has_port(parts: Any) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False
