"""Run a gateway, or a worker of one, in this process: put the parts together, listen, tell where, end cleanly."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hmac
import itertools
import json
import logging
import math
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from extenso_nb import retry
from extenso_nb._version import __version__
from extenso_nb.errors import (
    DatabaseRefused,
    DataDirectoryInUse,
    DataDirectoryReadOnly,
    InvalidRequest,
    PortInUse,
)
from extenso_nb.gateway.sources import STORAGE, Source, registry
from extenso_nb.models import BucketProperties

if TYPE_CHECKING:
    from extenso_nb.gateway.deliveries import Deliveries
    from extenso_nb.gateway.service import Service
    from extenso_nb.gateway.store import Store
    from extenso_nb.gateway.workers import Member
    from extenso_nb.storage import BucketStorage, FolderStorage

__all__ = [
    "BURIED",
    "CARD",
    "LOCK",
    "Settings",
    "absolute_source",
    "close_sources",
    "open_source",
    "open_sources",
    "read_card",
    "serve",
    "sources_in_full",
    "work",
]

CARD = "gateway.json"
"""The 0600 file in the data directory that says where the gateway listens and which API key is the owner's."""
LOCK = "gateway.lock"
BURIED = 75
"""Exit status of a worker that the others took for dead: whatever looks after it starts it anew (EX_TEMPFAIL)."""
SHORTEST_SECRET = 32
_MARK = "gateway-id"
"""The object by which processes see that they have one storage."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gateway is told when it starts."""

    data_dir: Path
    """Tables, storage, secret and lock; one gateway at a time."""
    sources: tuple[str, ...] = ("sample",)
    """`sample`, `folder:PATH`, a live archive or an alias of `sources.registry`; each with `NAME=` before it if wished."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free one."""
    idle_seconds: float | None = None
    """End after so long without a request and without an open delivery; None for never."""
    api_key: str | None = field(default=None, repr=False)
    """The owner's key; by default one that is made once and kept in the data directory."""
    cache_dir: Path | None = None
    """Where the sample archive is kept; by default the user's cache."""
    schedule: retry.Retry = retry.DELIVERY
    """How deliveries are tried again."""
    storage: BucketProperties | Path | None = None
    """The bucket or the folder of the free storage; None for a folder in the data directory."""
    rate: float | None = 50.0
    """Requests per second that one account may make in the long run, bursts of four times as many; None for no limit."""
    private_buckets: bool | None = None
    """Whether users' buckets may lie in private networks; None for operators' only, where this is one process that
    listens on loopback. All others may come through a proxy."""
    database: str | None = field(default=None, repr=False)
    """A PostgreSQL database that several processes share; None for SQLite in the data directory, and one process."""
    secret: str | None = field(default=None, repr=False)
    """What tokens, links and the keys of buckets are made safe with; None for the file `secret` of the data directory."""
    deliver: bool = True
    """Whether this process carries deliveries out, besides answering."""
    silent_seconds: float = 30.0
    """A process that shares the database and was silent for so long is dead: others take over what it was at."""


def open_sources(texts: Sequence[str], *, cache_dir: Path | None = None) -> list[Source]:
    """Several sources, aliases in full; folders that were given no name are `folder`, `folder-2` ..., hubs alike.

    Raises as `open_source` does; none is left open then.
    """
    opened: dict[str, Source] = {}
    try:
        for text in sources_in_full(texts):
            source = open_source(text, cache_dir=cache_dir, taken=opened)
            if source.name in opened or source.name == STORAGE:
                close_sources([source])
                raise _named_wrong(source.name)
            opened[source.name] = source
    except BaseException:
        close_sources(opened.values())
        raise
    return list(opened.values())


def _named_wrong(name: str) -> InvalidRequest:
    if name == STORAGE:
        return InvalidRequest(
            f"No source can be named {STORAGE}: so is what was delivered before.",
            hint="Name it otherwise: a=folder:/x",
        )
    return InvalidRequest(f"Two sources are named {name}.", hint="Name them apart: a=folder:/x b=folder:/y")


def close_sources(sources: Iterable[Source]) -> None:
    """Let go of what sources hold open. One that fails to does not keep the others from it."""
    for source in sources:
        close = getattr(source, "close", None)
        if callable(close):
            try:
                close()
            except Exception:  # noqa: BLE001 - a source may raise anything
                _log.exception("source %s could not be closed", source.name)


def _parted(text: str) -> tuple[str, str, str]:
    """Name (or nothing), kind and place of a source."""
    name, sign, rest = text.partition("=")
    given, spec = (name, rest) if sign and ":" not in name else ("", text)
    kind, _, place = spec.partition(":")
    return given, kind, place


def absolute_source(text: str) -> str:
    """A source with its folder in full: a relative one is another folder to each process.

    Raises InvalidRequest for an address with a user, a password or a query in it: sources stand in command lines.
    """
    given, kind, place = _parted(text)
    if kind != "folder" and re.search("[@?#]", place):
        raise InvalidRequest(
            "The address of a source has a user, a password or a query in it; it would be seen in the list of processes.",
            hint="Write it without; `extenso login` takes what is secret.",
        )
    if kind != "folder" or not place:
        return text
    return f"{given}{'=' if given else ''}folder:{Path(place).expanduser().absolute()}"


def sources_in_full(texts: Sequence[str]) -> tuple[str, ...]:
    """Sources as a gateway tells them: aliases and folders in full. Raises InvalidRequest."""
    return registry.expanded([absolute_source(text) for text in texts])


def open_source(text: str, *, cache_dir: Path | None = None, taken: Collection[str] = ()) -> Source:
    """A source from its name in the settings; `taken` are the names that others have.

    Raises InvalidRequest, SourceUnavailable.
    """
    given, kind, place = _parted(absolute_source(text))
    if kind == "sample" and not place:
        from extenso_nb.gateway.sources.sample import SampleSource

        return SampleSource(cache_dir or default_cache_dir())
    if kind == "folder" and place:
        from extenso_nb.gateway.sources.folder import FolderSource

        return FolderSource(Path(place), name=given or _free("folder", taken))
    if kind in registry.ALIASES:
        raise InvalidRequest(f"{text!r} is not a source, but `{kind}` is several.", hint=f"Write it as `{kind}`.")
    if kind not in registry.KINDS:
        raise registry.unknown(text, kind)
    return registry.opened(kind, place, given or (_free(kind, taken) if place else kind))


def _free(kind: str, taken: Collection[str]) -> str:
    """A name that no other source has: `folder`, `folder-2` ..."""
    return kind if kind not in taken else next(n for i in itertools.count(2) if (n := f"{kind}-{i}") not in taken)


def default_cache_dir() -> Path:
    """The user's cache directory for this package."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("extenso_nb", appauthor=False))


def read_card(data_dir: Path) -> dict[str, Any] | None:
    """What the gateway of a data directory says of itself, or None when it says nothing."""
    try:
        card = json.loads((data_dir / CARD).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return card if isinstance(card, dict) and {"url", "api_key", "pid"} <= card.keys() else None


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory. The system lets go of it when this process ends, however it ends."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(data_dir / LOCK, mode=0o600)
        # Someone who only looks whether a gateway runs holds the lock for a moment; hence not 0.
        lock.acquire(timeout=1.0, poll_interval=0.05)
    except Timeout:
        card = read_card(data_dir) or {}
        where = f" at {card['url']} (process {card['pid']})" if card else ""
        raise DataDirectoryInUse(
            f"Another gateway{where} holds the data directory {data_dir}.", url=card.get("url"), pid=card.get("pid")
        ) from None
    except OSError as error:
        raise DataDirectoryReadOnly(f"{data_dir} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InvalidRequest(f"{port} is not a port.", hint="Give one from 1 to 65535, or 0 for any free one.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (socket.gaierror, UnicodeError) as error:
        raise InvalidRequest(f"{host!r} is not an address of this machine: {error}.") from error
    # With the protocol named asyncio sets TCP_NODELAY on its connections. Without it each answer waits some 40 ms for
    # an acknowledgement of its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Without it a gateway on its old port would have to wait for the system to forget the old connections.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE:
            raise PortInUse(f"Port {port} of {host} is taken by another program.", host=host, port=port) from error
        if code == errno.EACCES:
            raise PortInUse(f"Port {port} of {host} may not be used by this user.", host=host, port=port) from error
        raise InvalidRequest(f"{host}:{port} cannot be listened on: {error}.") from error
    return listening


def _owner_key(settings: Settings) -> str:
    from extenso_nb.gateway.access import new_api_key
    from extenso_nb.gateway.private import write_private

    if settings.api_key:
        return settings.api_key
    path = settings.data_dir / "api-key"
    if not path.exists():
        write_private(path, new_api_key().encode())
    try:
        key = path.read_text("ascii").strip()
    except (OSError, ValueError):
        key = ""
    if not key:
        raise DatabaseRefused(
            f"{path} cannot be read, or does not hold the owner's API key.",
            hint="Put back the one that was there. Or remove it: a new owner is made, who sees none of the old one's orders.",
        )
    return key


class _Idle:
    """How long nobody has asked for anything."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def touch(self) -> None:
        self._last = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._last


def serve(settings: Settings, *, announce: bool = True) -> None:
    """Run a gateway until it is told to end (SIGINT, SIGTERM) or has been idle for long enough.

    Raises DataDirectoryInUse, DataDirectoryReadOnly, PortInUse, InvalidRequest, SourceUnavailable, DatabaseRefused and
    DatabaseUnavailable before it listens.
    """
    _check(settings)
    if not (settings.deliver or settings.database):
        raise InvalidRequest(
            "A gateway that does not deliver needs workers that do.", hint="Name the --database that they share."
        )
    with _locked(settings.data_dir):
        card = settings.data_dir / CARD
        card.unlink(missing_ok=True)
        with _bound(settings.host, settings.port) as listening:
            sources = open_sources(settings.sources, cache_dir=settings.cache_dir)
            try:
                with _begun(settings, sources, "serve", _enter_again) as parts:
                    _listen(settings, parts, listening, card, announce=announce)
            finally:
                card.unlink(missing_ok=True)


def work(settings: Settings, *, announce: bool = True) -> None:
    """Carry out deliveries of a gateway, without answering, until told to end (SIGINT, SIGTERM).

    Raises InvalidRequest, SourceUnavailable, DatabaseRefused and DatabaseUnavailable.
    """
    _check(settings)
    if not settings.database:
        raise InvalidRequest(
            "A worker needs the database that it shares with the gateway.",
            hint="Give --database, or set EXTENSO_DATABASE; without one, `extenso serve` does all in one process.",
        )
    sources = open_sources(settings.sources, cache_dir=settings.cache_dir)
    with _begun(settings, sources, "worker", _exit) as parts:
        if announce:
            print(f"extenSO worker {parts.deliveries.executor_id}, sources: {', '.join(settings.sources)}", flush=True)
        threading.Event().wait()


def _check(settings: Settings) -> None:
    if settings.secret is not None and len(settings.secret) < SHORTEST_SECRET:
        raise InvalidRequest(
            f"The secret has {len(settings.secret)} characters; fewer than {SHORTEST_SECRET} can be guessed.",
            hint="Make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'",
        )
    if settings.idle_seconds is not None and not settings.idle_seconds > 0:  # NaN is not, either
        raise InvalidRequest(f"{settings.idle_seconds} s are no time to be idle.", hint="Give seconds above 0, as 900.")
    if not math.isfinite(settings.silent_seconds) or settings.silent_seconds < 1:
        raise InvalidRequest(f"{settings.silent_seconds} s of silence are too short.", hint="Leave it at 30.")
    if not settings.database:
        return
    folder = settings.storage if isinstance(settings.storage, Path) else None
    private = folder is not None and folder.resolve().is_relative_to(settings.data_dir.resolve())
    if settings.storage is None or private:
        raise InvalidRequest(
            "Processes that share a database must share the storage, too; the data directory is one process's own.",
            hint="Give --storage s3://BUCKET?endpoint=https://HOST, or folder:/PATH that all of them see.",
        )


def _enter_again(member: Member) -> None:
    # It answers requests, which is right under any name; to end would be to drop them. The transfers that it still
    # carries on are superseded by those of the others, and write nothing any more.
    _log.error("this process stood still for too long and was taken for dead: others do its deliveries; it goes on")
    member.enter()


def _exit(member: Member) -> None:
    # It does nothing but transfers, and all of those are in other hands: to begin afresh is to let go of them at once.
    _log.error("this worker stood still for too long and was taken for dead: others do its deliveries; it ends")
    sys.stderr.flush()
    os._exit(BURIED)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a process is made of."""

    store: Store
    storage: FolderStorage | BucketStorage
    secret: bytes = field(repr=False)
    deliveries: Deliveries
    service: Service


@contextlib.contextmanager
def _begun(settings: Settings, sources: list[Source], kind: str, buried: Callable[[Member], None]) -> Iterator[_Parts]:
    """The parts, put together and at work; ended again afterwards."""
    give_memory_back()
    from extenso_nb.gateway.catalogue import Catalogue
    from extenso_nb.gateway.deliveries import Deliveries
    from extenso_nb.gateway.destinations import Destinations
    from extenso_nb.gateway.service import Service
    from extenso_nb.gateway.store import Store, database_url, sqlite_url
    from extenso_nb.gateway.workers import Member, process_id

    folder, shared = settings.data_dir.resolve(), settings.database is not None
    url = database_url(settings.database) if settings.database else sqlite_url(folder / "gateway.db")
    with contextlib.ExitStack() as stack:
        stack.callback(close_sources, sources)
        store = Store(url)
        stack.callback(store.close)
        secret = _secret(settings, folder, store, makes=kind == "serve")
        storage = _storage(settings, folder)
        if shared:
            _claim(store, storage)
        private = settings.private_buckets
        if private is None and not (_loopback(settings.host) and not shared):
            private = False
        catalogue = Catalogue(sources)
        destinations = Destinations(store.patient(), storage, secret, private_buckets=private)
        deliveries = Deliveries(
            store.patient(),
            destinations,
            catalogue,
            database_url=url if shared else sqlite_url(folder / "workflows.db"),
            executor_id=process_id() if shared else "local",
            work=settings.deliver,
            schedule=settings.schedule,
        )
        service = Service(store, destinations, catalogue, deliveries)
        named = ", ".join(sources_in_full(settings.sources))
        member = Member(store, deliveries, kind=kind, sources=named, silent=settings.silent_seconds, buried=buried)
        with _member_of(member) if shared else contextlib.nullcontext():
            deliveries.start()
            try:
                if shared:
                    member.start()
                yield _Parts(store, storage, secret, deliveries, service)
            finally:
                deliveries.stop()


@contextlib.contextmanager
def _member_of(member: Member) -> Iterator[None]:
    member.enter()
    try:
        yield
    finally:
        member.stop()


def _listen(settings: Settings, parts: _Parts, listening: socket.socket, card: Path, *, announce: bool) -> None:
    import uvicorn

    from extenso_nb.gateway.access import Access
    from extenso_nb.gateway.app import create_app
    from extenso_nb.gateway.private import write_private
    from extenso_nb.storage import FolderStorage

    store, storage = parts.store, parts.storage
    key = _owner(settings, store)
    idle = _Idle()
    access = Access(store, parts.secret)
    app = create_app(parts.service, access, on_request=idle.touch, rate=settings.rate)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    server = _server(config, card)
    url = _url(listening)
    told: dict[str, Any] = {"url": url, "api_key": key, "pid": os.getpid(), "version": __version__, "storage": ""}
    if isinstance(storage, FolderStorage):
        told["storage"] = str(storage.folder)
    told["sources"] = list(sources_in_full(settings.sources))
    write_private(card, json.dumps(told).encode())
    if announce:
        named = ", ".join(settings.sources)
        where = f"; the API key is in {card}" if key else ""
        print(f"extenSO gateway at {url}, sources: {named}{where}", flush=True)
    if settings.idle_seconds is not None:
        _end_when_idle(server, store, idle, settings.idle_seconds)
    server.run(sockets=[listening])


def _url(listening: socket.socket) -> str:
    """Where this machine reaches a gateway. `0.0.0.0` is no address to ask: a proxy of the environment would be sent the key."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked for, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _owner(settings: Settings, store: Store) -> str:
    """The owner's API key; nothing where another process has made the owner of a shared database, and kept the key."""
    with store.alone("owner"):
        if store.shared and store.accounts() and not settings.api_key and not (settings.data_dir / "api-key").exists():
            return ""
        key = _owner_key(settings)
        store.add_account("owner", key=key, role="operator")
        return key


def _secret(settings: Settings, folder: Path, store: Store, *, makes: bool) -> bytes:
    """The secret, the same in all processes. Raises DatabaseRefused when it is not, or when there is none."""
    from extenso_nb.gateway.access import secret_of

    hint = f"Set EXTENSO_SECRET to that of the others, or copy the file `secret` of their data directory into {folder}."
    with store.alone("secret"):
        if settings.secret:
            secret = _told_secret(settings.secret)
        elif store.shared and not (folder / "secret").exists() and (store.fact("secret") or not makes):
            raise DatabaseRefused("The processes of a gateway have one secret; this one has none.", hint=hint)
        else:
            secret = secret_of(folder)
        if store.shared:
            print_of = hmac.digest(secret, b"fingerprint", "sha256").hex()
            if store.fact("secret", print_of) != print_of:
                raise DatabaseRefused("The other processes of this gateway have another secret.", hint=hint)
        return secret


def _told_secret(text: str) -> bytes:
    # What stands in a file `secret` means the same in the environment.
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-f]{64}", text) else text.encode()


def _claim(store: Store, storage: FolderStorage | BucketStorage) -> None:
    """See that this is the storage of the other processes, by an object in it. Raises DatabaseRefused."""
    with store.alone("storage"):
        known = store.fact("storage")
        found = storage.read(_MARK).decode("utf-8", "replace") if storage.exists(_MARK) else None
        if known is None:
            mark = found or secrets.token_hex(16)
            if found is None:
                storage.put_bytes(_MARK, mark.encode())
            store.fact("storage", mark)
        elif found != known:
            raise DatabaseRefused(
                f"{storage!r} is not the storage in which the other processes of this gateway deliver.",
                hint=f"Give all of them the same --storage; one that has moved needs its object `{_MARK}`, too.",
            )


def _storage(settings: Settings, folder: Path) -> FolderStorage | BucketStorage:
    from extenso_nb.storage import BucketStorage, FolderStorage, locate_bucket

    if settings.storage is None or isinstance(settings.storage, Path):
        return FolderStorage(folder / "storage" if settings.storage is None else settings.storage)
    bucket = BucketStorage(locate_bucket(settings.storage))
    bucket.probe()
    return bucket


def give_memory_back() -> None:
    """Let freed blocks go back to the system at once.

    glibc raises its limit for that with each large block that is freed, up to 32 MB: after some transfers a gateway would
    hold twice the memory that it uses.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 256 * 1024)


_M_MMAP_THRESHOLD = -3  # of malloc.h


def _loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _server(config: Any, card: Path) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Before the socket is closed: who is refused looks for the card, and must not find this gateway again.
            card.unlink(missing_ok=True)
            await super().shutdown(sockets)

    return Server(config)


def _end_when_idle(server: Any, store: Any, idle: _Idle, seconds: float) -> None:
    def watch() -> None:
        while not server.should_exit:
            time.sleep(min(seconds / 4, 5.0))
            if server.server_state.tasks:
                idle.touch()  # a long answer, such as a download, is no idleness
            elif idle.seconds() >= seconds and not store.open_deliveries():
                _log.info("idle for %.0f s: ending", seconds)
                server.should_exit = True

    threading.Thread(target=watch, name="extenso-idle", daemon=True).start()
