"""Reading over HTTP for all remote sources: products from any byte on, catalogues and pictures whole.

What is here never hands on a byte that is not known to belong where it stands, and raises nothing but our own errors:
no type of httpx, no token, no signed URL is in any of them.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urljoin

import httpx

from extenso_nb import checksums as sums
from extenso_nb._html import bytes_text
from extenso_nb._version import __version__
from extenso_nb.errors import (
    ExtensoError,
    IncompleteTransfer,
    InputError,
    ProductOffline,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content
from extenso_nb.gateway.sources.reading import Reading
from extenso_nb.gateway.sources.token import Authorise, Token
from extenso_nb.gateway.sources.watch import Streams, Watch
from extenso_nb.gateway.sources.words import clean, is_page, keep_headers_out_of_logs, shown, title, told
from extenso_nb.retry import retry_after_seconds

__all__ = ["Authorise", "Remote", "Token"]

T = TypeVar("T")

HOPS = 5
"""Redirects that are followed."""
PACE_WINDOW = 5
"""Times `stall_seconds`: how long bytes may come slower than the slowest rate before the source is given up."""
PICTURE_LIMIT = 16 * 2**20
"""Bytes of a picture at most."""
JSON_LIMIT = 64 * 2**20
"""Bytes of an answer of a catalogue at most, inflated."""
_REASON_LIMIT = 65_536
"""Bytes of a refusal that are looked at for its reason."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS_HINT = "Check the credentials of this source in the settings of the gateway."


class Remote:
    """One remote source over HTTP. Threads share it; `close` lets go of its connections.

    Parameters
    ----------
    name
        Of the source, for messages.
    authorise
        What stands in the `Authorization` header, for the origin that is asked and for `trusted_hosts`; see `Token`.
    trusted_hosts
        Hosts to which the header goes along when a redirect leads there.
    connect_seconds
        For a connection, TLS included.
    stall_seconds
        How long no byte may come.
    slowest
        Bytes a second, over five times `stall_seconds`, below which a transfer is given up.
    credentials_hint
        The next step for someone whose credentials are refused.

    Raises
    ------
    InputError
        The environment names a proxy or a file of certificates that cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        authorise: Authorise | None = None,
        trusted_hosts: Iterable[str] = (),
        connect_seconds: float = 10.0,
        stall_seconds: float = 60.0,
        slowest: float = 1000.0,
        credentials_hint: str = _CREDENTIALS_HINT,
    ) -> None:
        self.name = name
        self.stall_seconds, self.slowest = stall_seconds, slowest
        self.authorise = authorise
        self._trusted = frozenset(host.lower() for host in trusted_hosts)
        self.credentials_hint = credentials_hint
        keep_headers_out_of_logs()
        self._http = _client(connect_seconds, stall_seconds)
        self._streams = Streams()

    def __repr__(self) -> str:
        return f"<Remote {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; whatever is read at the moment fails."""
        self._http.close()

    # -- products ----------------------------------------------------------------------------------------------------
    def content(
        self,
        filename: str,
        url: str | Callable[[], str],
        *,
        size: int | None = None,
        checksums: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        authorised: bool = True,
        kept: bool = False,
    ) -> Content:
        """A product to be read.

        Parameters
        ----------
        filename
            With extension; what begins unlike a file of that kind is refused.
        url
            Where it is; or what gives that, asked before each reading, where URLs are signed and expire.
        size
            Bytes; None when the catalogue does not say.
        checksums
            As the catalogue writes them; those that cannot be compared are told in `Content.remarks`.
        authorised
            Whether to send the `Authorization` header. Without, for a URL of a catalogue that leads to another service.
        kept
            Whether its connection may serve for what is read next: for one of many small files, of known size. What a
            server sends beyond the end it announced would then stand where its next answer should; that is no HTTP, or
            has another size, and is found out so.
        """
        size = size if size is not None and size > 0 else None  # catalogues write 0 where they do not know
        pairs = checksums.items() if isinstance(checksums, Mapping) else checksums
        known, unknown = sums.sorted_out(pairs)
        remarks = deque((f"A checksum of {self.name} is not compared: {reason}" for reason in unknown), maxlen=100)

        def ask(url: str, headers: dict[str, str]) -> _Answer:
            if kept and size is not None:
                lasting = {name: value for name, value in headers.items() if name != "connection"}
                with suppress(IncompleteTransfer):  # the other end gave up an idle connection just then, most likely
                    return self._request("GET", url, lasting, None, authorised=authorised)
            return self._request("GET", url, headers, None, authorised=authorised)

        reading = Reading(self.name, ask, filename, url, size, remarks, compared=bool(known))
        return Content(filename, size, reading.read, known, remarks)

    # -- catalogues and pictures -------------------------------------------------------------------------------------
    def get_bytes(self, url: str, *, limit: int = PICTURE_LIMIT, authorised: bool = True) -> bytes:
        """What is at a URL, whole, and no page of HTML. `authorised` as for `content`.

        Raises
        ------
        UnknownProduct
            There is nothing (404, 410).
        ProductOffline
            It is in cold storage (202).
        SourceUnavailable
            Anything else that is no whole answer.
        """
        answer = self._whole("GET", url, {"accept": "*/*"}, None, limit, authorised=authorised)
        if is_page(answer):
            raise SourceUnavailable(
                f"{self.name}: {shown(url)} answers with a page: {title(answer)}.", source=self.name
            )
        return answer

    def get_json(self, url: str, *, limit: int = JSON_LIMIT, authorised: bool = True) -> Any:
        """The JSON at a URL. Raises as `get_bytes` does, and SourceUnavailable for what is no JSON."""
        accept = {"accept": "application/json"}
        return self._json(url, self._whole("GET", url, accept, None, limit, authorised=authorised))

    def post_json(
        self,
        url: str,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        authorised: bool = True,
        basic: tuple[str, str] | None = None,
        limit: int = JSON_LIMIT,
    ) -> Any:
        """Send JSON, or a form, and give the JSON of the answer; None for an empty one. 201, 202 and 204 are well.

        JSON goes to the origin that is asked and to `trusted_hosts`, a form and `basic` to that origin only.

        Parameters
        ----------
        authorised
            Whether to send the `Authorization` header. Without, whoever fetches tokens may call this.
        basic
            User and password that are sent in place of it.

        Raises
        ------
        UnknownProduct, SourceUnavailable
            As `get_bytes` does.
        """
        headers, data = {"accept": "application/json"}, b""
        if form is not None:
            headers["content-type"], data = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif body is not None:
            headers["content-type"], data = "application/json", json.dumps(body).encode()
        # Passwords go to whom they are for, and not to hosts that are trusted with a token.
        secret = form is not None or basic is not None
        answer = self._whole("POST", url, headers, data, limit, authorised=authorised, basic=basic, secret=secret)
        return self._json(url, answer) if answer else None

    def knock(self, url: str, *, headers: Mapping[str, str]) -> int:
        """Ask for a URL and leave its body unread: the status, 200, 202 or 206. Raises as `get_bytes` does for others."""
        with closing(self._request("GET", url, {"accept": "*/*", **headers}, None, authorised=True)) as answer:
            if answer.status not in {200, 202, 206}:
                raise answer.refusal(shown(url))
            return answer.status

    def _whole(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: bytes | None,
        limit: int,
        *,
        authorised: bool,
        basic: tuple[str, str] | None = None,
        secret: bool = False,
    ) -> bytes:
        collected = bytearray()
        headers["accept-encoding"] = "gzip"
        try:
            with closing(
                self._request(method, url, headers, data, authorised=authorised, basic=basic, secret=secret)
            ) as answer:
                if answer.status not in ({200} if method == "GET" else {200, 201, 202, 204}):
                    raise answer.refusal(shown(url))
                for block in answer.blocks():
                    collected += block
                    if len(collected) > limit:
                        raise SourceUnavailable(
                            f"{self.name}: {shown(url)} answers with more than {bytes_text(limit)}.", source=self.name
                        )
            return bytes(collected)
        except IncompleteTransfer as error:
            failure = SourceUnavailable(error.message, source=self.name)
        raise failure

    def _json(self, url: str, answer: bytes) -> Any:
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            page = f", but with a page: {title(answer)}" if is_page(answer) else ""
        raise SourceUnavailable(f"{self.name}: {shown(url)} answers without JSON{page}.", source=self.name)

    # -- requests ----------------------------------------------------------------------------------------------------
    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: bytes | None,
        *,
        authorised: bool,
        basic: tuple[str, str] | None = None,
        secret: bool = False,
    ) -> _Answer:
        """The answer that is no redirect, its body not read yet; a refused token is renewed once."""
        if basic is not None:
            return self._follow(method, url, headers, data, _basic(*basic), secret=True)
        authorise = self.authorise if authorised else None
        sent = None if authorise is None else authorise.header()
        answer = self._follow(method, url, headers, data, sent, secret=secret)
        if authorise is None or sent is None or answer.status != 401 or not answer.secret:
            return answer
        answer.close()
        authorise.renew(sent)
        return self._follow(method, url, headers, data, authorise.header(), secret=secret)

    def _follow(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: bytes | None,
        authorization: str | None,
        *,
        secret: bool = False,
    ) -> _Answer:
        origin, seen, here = _origin(url), set[str](), url
        while True:
            seen.add(here)
            trusted = _origin(here) == origin if secret else self._may_know(here, origin)
            if data is not None and not trusted:
                raise self._astray(f"{shown(url)} redirects what is sent to it to another host, {shown(here)}")
            known = {"authorization": authorization} if authorization is not None and trusted else {}
            answer = self._send(method, here, headers | known, data)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            answer.close()
            there = self._next(here, location, seen)
            if answer.status == 303:
                method, data = "GET", None
            here = there

    def _next(self, here: str, location: str, seen: set[str]) -> str:
        """Where a redirect leads; raises SourceUnavailable where it is not to be followed."""
        there = _joined(here, location)
        if there is None:
            raise self._astray(f"{shown(here)} redirects to what is no http(s) URL")
        if (_origin(here)[0], _origin(there)[0]) == ("https", "http"):
            raise self._astray(f"{shown(here)} redirects from https to http, to {shown(there)}")
        if there in seen:
            raise self._astray(f"{shown(here)} redirects in a circle, to {shown(there)}")
        if len(seen) > HOPS:
            raise self._astray(f"{shown(here)} redirects for the sixth time in a row, to {shown(there)}")
        return there

    def _may_know(self, url: str, origin: tuple[str, str, int | None]) -> bool:
        """Whether what is meant for the source may be sent to a URL."""
        scheme, host, port = _origin(url)
        usual = port in {origin[2], {"http": 80, "https": 443}.get(scheme)}
        named = (usual and host in self._trusted) or f"{host}:{port}" in self._trusted
        return (scheme, host, port) == origin or named

    def _astray(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self.name}: {what}; it is not followed.",
            hint="Something between here and the source may answer in its place: a proxy, a login page.",
            source=self.name,
        )

    def _send(self, method: str, url: str, headers: dict[str, str], data: bytes | None) -> _Answer:
        if self._http.is_closed:
            raise SourceUnavailable(f"{self.name} is closed.", source=self.name)

        seconds = PACE_WINDOW * self.stall_seconds
        watch = Watch(seconds, self._streams)

        def send() -> httpx.Response:
            request = self._http.build_request(
                method, url, headers=headers, content=data, extensions={"trace": watch.note}
            )
            request.url = _Unsigned(request.url)
            with watch:
                return self._http.send(request, stream=True)

        try:
            return _Answer(self, _carried_out(send, self.name, f"{shown(url)} did not answer", head=True))
        except (IncompleteTransfer, SourceUnavailable):
            if not watch.over:
                raise
        raise SourceUnavailable(
            f"{self.name}: {shown(url)} did not answer: the head of an answer did not end within {seconds:g} s.",
            source=self.name,
        )


def _client(connect_seconds: float, stall_seconds: float) -> httpx.Client:
    # The environment is asked for proxies and certificates, without which a gateway in a company reaches no source;
    # httpx takes nothing else from it (no ~/.netrc). What is on this machine is never asked for by a proxy. How many
    # connections there are at once is the business of the queues, so the pool has no limit of its own.
    try:
        return httpx.Client(
            trust_env=True,
            verify=httpx.create_ssl_context(),
            mounts={"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None},
            timeout=httpx.Timeout(stall_seconds, connect=connect_seconds),
            follow_redirects=False,
            headers={"user-agent": f"extenso-nb/{__version__}"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=15),
        )
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
        kind = type(error).__name__
    # Without what httpx says: the URL of a proxy may have a password in it.
    raise InputError(
        f"The proxies or certificates that the environment names cannot be used ({kind}).",
        hint="Look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
    )


class _Answer:
    """One answer, its body not read yet: the `Answer` of `Reading` on httpx."""

    def __init__(self, remote: Remote, response: httpx.Response) -> None:
        self._remote, self._response = remote, response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.where = shown(str(response.url))
        self.secret = response.request.headers.get("authorization", "")
        """The Authorization header that was sent to where this comes from."""

    def close(self) -> None:
        """Let go of the connection: at once where the body was not read to its end."""
        self._response.close()

    def _sent(self) -> Iterator[bytes]:
        """The body as it is sent, in blocks of 64 kB at most. Raises IncompleteTransfer when it breaks off, or drips."""
        what = f"{self.where} broke off"
        # A block size would copy every byte twice more. What is asked for the next block raises nothing before it.
        following = partial(next, self._response.iter_raw(), None)
        seconds, count, window = 0.0, 0, PACE_WINDOW * self._remote.stall_seconds
        while True:
            began = time.monotonic()
            block = _carried_out(following, self._remote.name, what, head=False)
            if block is None:
                return
            # Only the time in which the source was waited for: the storage may be slow for reasons of its own.
            seconds += time.monotonic() - began
            count += len(block)
            if seconds >= window:
                if count < self._remote.slowest * seconds:
                    raise IncompleteTransfer(
                        f"{self._remote.name}: {self.where} sends too slowly: {count:,} bytes in {seconds:.1f} s.",
                        source=self._remote.name,
                    )
                seconds, count = 0.0, 0
            yield block

    def blocks(self) -> Iterator[bytes]:
        """The body without its Content-Encoding, which nobody asked for. Raises SourceUnavailable for unknown ones."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"", "identity"}:
            return self._sent()
        if encoding in {"gzip", "x-gzip"}:
            return self._inflated()
        raise SourceUnavailable(
            f"{self._remote.name}: {self.where} answers in an encoding that was not asked for: {encoding[:40]!r}.",
            source=self._remote.name,
        )

    def _inflated(self) -> Iterator[bytes]:
        inflate = zlib.decompressobj(31)
        for block in self._sent():
            rest = block
            while rest:
                if inflate.eof:  # gzip may be several, one after the other
                    inflate = zlib.decompressobj(31)
                try:
                    inflated = inflate.decompress(rest, 2**20)
                except zlib.error as error:
                    reason = str(error)
                else:
                    rest = inflate.unconsumed_tail or inflate.unused_data
                    if inflated:
                        yield inflated
                    continue
                raise IncompleteTransfer(
                    f"{self._remote.name}: {self.where} sends no right gzip: {reason}.", source=self._remote.name
                )
        if not inflate.eof and (inflated := inflate.flush()):
            yield inflated
        if not inflate.eof:
            raise IncompleteTransfer(
                f"{self._remote.name}: {self.where} ended within its gzip.", source=self._remote.name
            )

    def refusal(self, what: str) -> ExtensoError:
        """The error that an answer stands for which is not what was asked for. Reads the beginning of its body."""
        name, reason = self._remote.name, self._said()
        details: dict[str, Any] = {"source": name}
        after = retry_after_seconds(self.headers.get("retry-after"))
        if after is not None:
            details["retry_after"] = after
        if self.status == 202:
            return ProductOffline(f"{name} has {what} in cold storage and is bringing it back.", **details)
        details["status"] = self.status
        text, hint = f"{name}: {self.where} answers HTTP {self.status}{reason}", None
        if self.status in {404, 410}:
            return UnknownProduct(text, **details)
        if self.status == 401:
            hint = self._remote.credentials_hint
            text = f"{name}: {self._refused()}{reason}"
        elif self.status == 403:
            hint = "The source says why, if it does: a limit that passes, or terms to be accepted there."
            text = f"{name}: {self.where} refuses (HTTP 403){reason}"
        return SourceUnavailable(text, hint=hint, **details)

    def _refused(self) -> str:
        if self.secret and not self.secret.startswith("Basic "):  # one that was refused is renewed and sent again
            return f"the credentials were refused by {self.where}, new ones too"
        if self._response.request.method == "POST":
            return f"the credentials were refused by {self.where}"
        if self._remote.authorise is None:
            return f"{self.where} wants credentials, and none are set"
        return f"{self.where} wants credentials; those of this source are not sent there"

    def _said(self) -> str:
        """What a refusal gives as its reason, in short, as the end of a sentence."""
        cause = self.headers.get("cause-message")  # the hubs of ESA say it here
        try:
            said = cause or told(self._beginning(), self.headers.get("content-type", ""))
        except (IncompleteTransfer, SourceUnavailable):
            said = ""
        reason = clean(said, self.secret)
        return f": {reason}" if reason else "."

    def _beginning(self) -> bytes:
        collected = bytearray()
        for block in self.blocks():
            collected += block
            if len(collected) >= _REASON_LIMIT:
                break
        return bytes(collected[:_REASON_LIMIT])


def _carried_out(call: Callable[[], T], name: str, what: str, *, head: bool) -> T:
    """What a call of httpx gives; whatever it raises becomes an error of ours. `head`: whether no answer has come yet."""
    failure: ExtensoError
    try:
        return call()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        failure = SourceUnavailable(f"{name}: {what}: {_reason(error)}.", source=name)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError) as error:
        unanswered = head and not isinstance(error, httpx.ReadError | httpx.RemoteProtocolError | httpx.WriteError)
        kind = SourceUnavailable if unanswered else IncompleteTransfer
        failure = kind(f"{name}: {what}: {_reason(error)}.", source=name)
    # Outside of `except`, and in no context manager: httpx's exception holds the request and with it the token, and
    # would be the context of ours.
    raise failure


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


# --- URLs ------------------------------------------------------------------------------------------------------------
def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, as they are read by what sends the request."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "", "", None
    return parts.scheme, parts.host.lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _joined(base: str, location: str) -> str | None:
    """Where a redirect leads; None when that is no http(s) URL, or one with a password in it."""
    try:
        url = urljoin(base, location.strip()).partition("#")[0]
        userinfo = httpx.URL(url).userinfo
    except (ValueError, httpx.InvalidURL):
        return None
    scheme, host, _ = _origin(url)
    return url if scheme in {"http", "https"} and host and not userinfo else None


class _Unsigned(httpx.URL):
    """A URL that httpx logs without its query: a signature is a secret for as long as it lasts."""

    def __str__(self) -> str:
        return shown(super().__str__())


_REASONS = {
    "ConnectTimeout": "no connection within the time for it",
    "InvalidURL": "its address is no http(s) URL",
    "ReadError": "the connection was cut",
    "ReadTimeout": "no byte came within the time for it",
    "UnsupportedProtocol": "its address is no http(s) URL",
    "WriteError": "the connection was cut",
    "WriteTimeout": "the request was not taken within the time for it",
}


def _reason(error: Exception) -> str:
    """What happened, without what was sent or asked for."""
    text = str(error).strip().rstrip(".")[:200]
    if isinstance(error, httpx.ConnectError) and text and "://" not in text:
        return text  # of the system or of TLS: refused, no such host, a certificate that has expired
    if isinstance(error, httpx.RemoteProtocolError):
        if text.startswith(("Server disconnected", "peer closed")):
            return text
        return "it redirects to what is no URL" if "location header" in text else "what came is no right HTTP"
    return _REASONS.get(type(error).__name__, f"the connection failed ({type(error).__name__})")
