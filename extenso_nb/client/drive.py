"""Effects that the verbs yield, the two drivers that carry them out (threads or asyncio), and `verb`, which joins both."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from types import MethodType, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload
from urllib.parse import urlsplit

import httpx

from extenso_nb._version import __version__
from extenso_nb.errors import InputError

__all__ = [
    "AsyncDriver",
    "Effect",
    "Exclusive",
    "Reply",
    "Save",
    "Send",
    "Sink",
    "Sleep",
    "Steps",
    "SyncDriver",
    "Unanswered",
    "Work",
    "bare",
    "verb",
]

P = ParamSpec("P")
R = TypeVar("R")

BODY_LIMIT = 64 * 2**20
"""Bytes of an answer that is read into memory; products never are."""


# --- effects ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read the answer whole. Gives a Reply; raises Unanswered."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    limit: int = BODY_LIMIT


@dataclass(frozen=True, slots=True)
class Save:
    """GET a URL and hand the body to a sink as it comes. Gives a Reply; raises Unanswered, or what the sink raises."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    sink: Sink


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Call something that blocks (hashing a file, starting a gateway) and give what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Carry out steps of which only one at a time may run in a client. Not to be nested."""

    steps: Callable[[], Steps[Any]]


Effect = Send | Save | Sleep | Work | Exclusive
Steps = Generator[Effect, Any, R]
"""A task without I/O: yields effects, is sent their results, returns an R."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    whole: bool = True
    """Whether `content` is all of it; False beyond the limit."""
    ambiguous: bool = False
    """Whether an earlier try may have been carried out, although its answer was lost."""


class Sink(Protocol):
    """Where a body goes."""

    def start(self, reply: Reply) -> bool:
        """Whether the body of this answer is wanted. When not, the reply carries its first 64 kB."""

    def write(self, block: bytes) -> None:
        """Take a block of the body, in order."""


class Unanswered(Exception):
    """No whole answer came. Internal: the verbs turn it into GatewayUnreachable or a TransferError."""

    def __init__(self, reason: str, *, gone: bool, ambiguous: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.gone = gone
        """Whether the far end seems not to be there, rather than slow."""
        self.ambiguous = ambiguous
        """Whether the request may have been carried out."""


def bare(url: str) -> str:
    """A URL without user, password, query and fragment: what may be shown."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return "(not a URL)"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "") + parts.path


# --- what both drivers share -----------------------------------------------------------------------------------------
class _Unsigned(httpx.URL):
    """A URL that httpx logs without its query: a signature is a secret for as long as it lasts."""

    def __str__(self) -> str:
        return bare(super().__str__())

    def __repr__(self) -> str:  # handlers that keep a record whole show its arguments so
        return f"URL({str(self)!r})"


_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
_SLOW = (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout)


def _unanswered(error: Exception) -> Unanswered:
    kind = type(error).__name__
    text = str(error).strip().rstrip(".")
    known = {
        "ConnectTimeout": "no connection within the timeout",
        "ReadTimeout": "no answer within the timeout",
        "WriteTimeout": "the request was not taken within the timeout",
    }
    if isinstance(error, httpx.InvalidURL) or "location header" in text:
        text = "it redirects to what is no URL"  # httpx reads the header, although nothing is followed
    reason = known.get(kind) or (text if text and "://" not in text else kind)
    return Unanswered(reason, gone=not isinstance(error, _SLOW), ambiguous=not isinstance(error, _NEVER_SENT))


@functools.cache
def _trusted() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms and more; once a process is enough.
    return httpx.create_ssl_context()


def _settings(timeout: float) -> dict[str, Any]:
    return {
        "verify": _trusted(),
        "timeout": httpx.Timeout(timeout),
        "follow_redirects": False,
        "headers": {"user-agent": f"extenso-nb/{__version__}"},
        "limits": httpx.Limits(max_connections=16, max_keepalive_connections=8),
    }


# A proxy of the environment must not see what goes to the gateway on this machine; NO_PROXY often forgets it.
_DIRECT: dict[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class _Masked(logging.Filter):
    """Takes signatures out of what httpcore logs at DEBUG: the header with which the gateway points to a signed link."""

    _SIGNED = re.compile(r"((?:signature|x-amz-[a-z-]+)=)[^&'\"\s]+", re.IGNORECASE)

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and "=" in record.msg:
            record.msg = self._SIGNED.sub(r"\1***", record.msg)
        return True


for _name in ("httpcore.http11", "httpcore.http2"):
    logging.getLogger(_name).addFilter(_Masked())


def _request(http: httpx.Client | httpx.AsyncClient, effect: Send | Save) -> httpx.Request:
    if isinstance(effect, Send):
        return http.build_request(effect.method, effect.url, headers=dict(effect.headers), content=effect.content)
    request = http.build_request("GET", effect.url, headers=dict(effect.headers))
    request.url = _Unsigned(request.url)
    return request


def _head(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()})


class _Collect:
    """The sink of an answer that is read into memory."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._blocks: list[bytes] = []
        self.whole = True

    def add(self, block: bytes) -> bool:
        """Whether more is wanted."""
        self.whole = len(block) <= self._room
        self._blocks.append(block[: self._room])
        self._room -= len(self._blocks[-1])
        return self.whole

    def reply(self, head: Reply) -> Reply:
        return Reply(head.status, head.headers, b"".join(self._blocks), self.whole)


# --- drivers ---------------------------------------------------------------------------------------------------------
class SyncDriver:
    """Carries out effects in the calling thread. It never touches an event loop, so it works inside a running one."""

    def __init__(self, timeout: float) -> None:
        self._http = httpx.Client(mounts=dict(_DIRECT), **_settings(timeout))
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Close the connections. Orders go on."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, steps: Steps[R]) -> R:
        try:
            effect = next(steps)
            while True:
                try:
                    result = self._carry_out(effect)
                except BaseException as error:  # noqa: BLE001 - not swallowed: the steps decide, Ctrl-C included
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            steps.close()

    def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Send() | Save():
                return self._exchange_once(effect)
            case Sleep(seconds):
                return time.sleep(seconds)
            case Work(function):
                return function()
            case Exclusive(steps):
                with self._one_at_a_time:
                    return self._drive(steps())

    def _exchange_once(self, effect: Send | Save) -> Reply:
        _refuse_closed(self._http)
        try:
            response = self._http.send(_request(self._http, effect), stream=True)
            try:
                return self._read(response, effect)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = _unanswered(error)
        # Outside of `except`: httpx's exception holds the request and with it the token; nothing may hold on to it.
        raise failure

    @staticmethod
    def _read(response: httpx.Response, effect: Send | Save) -> Reply:
        head = _head(response)
        if isinstance(effect, Save) and effect.sink.start(head):
            for block in response.iter_raw():
                effect.sink.write(block)
            return head
        collect = _Collect(effect.limit if isinstance(effect, Send) else 65_536)
        for block in response.iter_bytes():
            if not collect.add(block):
                break
        return collect.reply(head)


class AsyncDriver:
    """Carries out effects with asyncio; what blocks for long goes to a thread."""

    def __init__(self, timeout: float) -> None:
        self._http = httpx.AsyncClient(mounts=dict(_DIRECT), **_settings(timeout))
        self._one_at_a_time = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections. Orders go on."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _drive(self, steps: Steps[R]) -> R:
        try:
            effect = next(steps)
            while True:
                try:
                    result = await self._carry_out(effect)
                except BaseException as error:  # noqa: BLE001 - not swallowed: the steps decide, cancelling included
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            steps.close()

    async def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Send() | Save():
                return await self._exchange_once(effect)
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Work(function):
                return await _in_thread(function)
            case Exclusive(steps):
                async with self._one_at_a_time:
                    return await self._drive(steps())

    async def _exchange_once(self, effect: Send | Save) -> Reply:
        _refuse_closed(self._http)
        try:
            response = await self._http.send(_request(self._http, effect), stream=True)
            try:
                return await self._read(response, effect)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = _unanswered(error)
        raise failure

    @staticmethod
    async def _read(response: httpx.Response, effect: Send | Save) -> Reply:
        head = _head(response)
        if isinstance(effect, Save) and effect.sink.start(head):
            async for block in response.aiter_raw():
                effect.sink.write(block)  # 64 kB at most: hashed and written in a fraction of a millisecond
            return head
        collect = _Collect(effect.limit if isinstance(effect, Send) else 65_536)
        async for block in response.aiter_bytes():
            if not collect.add(block):
                break
        return collect.reply(head)


async def _in_thread(function: Callable[[], R]) -> R:
    task = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # A thread cannot be stopped. Wait for it, or it would go on with files that the steps are closing.
        await asyncio.wait([task])
        raise


def _refuse_closed(http: httpx.Client | httpx.AsyncClient) -> None:
    if http.is_closed:
        raise InputError("This client is closed.", hint="Make a new one, or call inside its `with` block.")


# --- one method, two flavours ----------------------------------------------------------------------------------------
class verb(Generic[P, R]):  # noqa: N801 - used as a decorator
    """A method written once as steps: a plain method of a SyncDriver, a coroutine method of an AsyncDriver.

    Name, docstring, signature and annotations are those of the steps; the return annotation is what they return.
    """

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[R]]) -> None:
        self.steps = steps
        self.__doc__ = steps.__doc__

        def plain(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._drive(steps(self, *args, **kwargs))

        async def awaitable(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await self._drive(steps(self, *args, **kwargs))

        self._plain = _named(plain, steps)
        self._awaitable = _named(awaitable, steps)

    @overload
    def __get__(self, instance: None, owner: type) -> verb[P, R]: ...
    @overload
    def __get__(self, instance: SyncDriver, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: AsyncDriver, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if issubclass(owner, AsyncDriver):
            function = self._awaitable
        elif issubclass(owner, SyncDriver):
            function = self._plain
        else:
            return self
        return function if instance is None else MethodType(function, instance)


def _named(function: Callable[..., Any], steps: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(function, steps)
    signature = inspect.signature(steps)
    result = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    function.__annotations__ = {**steps.__annotations__, "return": result}
    function.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    return function
