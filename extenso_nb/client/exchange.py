"""One request to the gateway, as steps: token, retries, a gateway that moved, and answers turned into nouns or errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import SecretStr, ValidationError

from extenso_nb import errors, retry, wire
from extenso_nb.client.auth import Credentials
from extenso_nb.client.drive import Exclusive, Reply, Send, Sleep, Steps, Unanswered, Work, bare
from extenso_nb.models import Noun, Page
from extenso_nb.refusals import from_response

__all__ = ["LONGEST_RETRY_AFTER", "REPEATED", "Exchange", "Gone", "asked_wait"]

REPEATED = frozenset({429, 502, 503, 504})
"""Statuses after which the same request is sent again."""
LONGEST_RETRY_AFTER = 120.0
"""Seconds of a `Retry-After` that are waited out in silence. A longer one is an error at once: a kernel must not look frozen."""

Gone = Callable[[], tuple[str, str | None]]
"""Asked when the address stops answering; gives a new (url, api_key)."""

NounT = TypeVar("NounT", bound=Noun)


class _Busy(Exception):
    """The token endpoint answered with a status to be repeated."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Exchange:
    """What all verbs stand on. Holds the address and the credentials; does no I/O."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        token: str | None,
        retry: retry.Retry,
        timeout: float,
        on_unreachable: Gone | None,
    ) -> None:
        self._address = _address(url)
        self._credentials = Credentials(api_key, token)
        self._retry = retry
        self._timeout = timeout
        self._on_unreachable = on_unreachable

    @property
    def url(self) -> str:
        """Address of the gateway. It changes when `on_unreachable` finds the gateway elsewhere."""
        return self._address

    # --- one verb, to its end --------------------------------------------------------------------------------------
    def _get(
        self, kind: type[NounT], name: str, query: Mapping[str, Any] | None = None, **path: object
    ) -> Steps[NounT]:
        """A GET verb whose answer is a noun."""
        reply = yield from self._ask(wire.VERBS[name], path, query=query)
        return _noun(kind, name, reply)

    def _all(
        self, kind: type[NounT], name: str, query: Mapping[str, Any] | None = None, **path: object
    ) -> Steps[list[NounT]]:
        """All items of a paged verb. One that comes twice because the pages moved meanwhile is kept once."""
        found: dict[Any, NounT] = {}
        start = 0
        while True:
            window = {**(query or {}), "start": start, "rows": wire.MAX_ROWS}
            page: Page[NounT] = yield from self._get(Page[kind], name, window, **path)  # type: ignore[valid-type]
            for item in page.data:
                found.setdefault(getattr(item, "id", len(found)), item)
            start += len(page.data)
            if not page.data or start >= page.total_results:
                return list(found.values())

    def _ask(
        self,
        verb: wire.Verb,
        path: Mapping[str, object],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        accept: str = "application/json",
    ) -> Steps[Reply]:
        """A verb's answer of success; any other raises."""
        reply = yield from self._exchange(verb, path, query=query, body=body, key=key, accept=accept)
        if not 200 <= reply.status < 300:
            fail(verb, path, reply)
        if not reply.whole:
            raise errors.GatewayFault(f"{verb.name} was answered with more than {len(reply.content)} bytes.")
        return reply

    # --- tries -----------------------------------------------------------------------------------------------------
    def _exchange(
        self,
        verb: wire.Verb,
        path: Mapping[str, object],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        accept: str = "application/json",
    ) -> Steps[Reply]:
        """The answer to a verb, whatever its status, after as many tries as are due."""
        if verb.token and not self._credentials.given:
            raise errors.NotAuthenticated(
                f"{verb.name} needs a token, and this client has neither API key nor token.",
                hint="Give api_key=, or set EXTENSO_API_KEY.",
            )
        tail = verb.url(**path) + _query(query)
        headers = {"accept": accept} | ({"idempotency-key": key} if key else {})
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        if content is not None:
            headers["content-type"] = "application/json"
        repeatable = verb.repeatable or key is not None
        attempt, ambiguous, asked = 0, False, False
        while True:
            attempt += 1
            address, after, lost, blamed = self._address, None, None, verb
            try:
                reply = yield from self._try(verb, tail, headers, content)
            except _Busy as busy:
                reply, blamed = busy.reply, wire.VERBS["login"]
            except Unanswered as failure:
                lost = failure
            if lost is None:
                reply = _marked(reply, ambiguous)
                if reply.status not in REPEATED:
                    return reply
                after = asked_wait(reply)
            else:
                ambiguous = ambiguous or lost.ambiguous
                if lost.gone and self._on_unreachable is not None and repeatable and not asked:
                    asked = True
                    yield Exclusive(lambda gone=address: self._find(gone))  # type: ignore[misc]
                    continue
            pause = self._retry.wait(attempt, retry_after=after) if repeatable else None
            if pause is None or (after is not None and after > LONGEST_RETRY_AFTER):
                if lost is None and blamed is verb:
                    return reply
                if lost is None:
                    fail(blamed, {}, reply)
                raise _unreachable(verb, address, lost, attempt)
            yield Sleep(pause)

    def _try(self, verb: wire.Verb, tail: str, headers: dict[str, str], content: bytes | None) -> Steps[Reply]:
        """One try; a token that is refused is renewed once."""
        if verb.name == "login":
            return (yield from self._login_once())
        if not verb.token:
            open_reply: Reply = yield Send(verb.method, self._address + tail, headers, content)
            return open_reply
        used = yield from self._token(None)
        reply: Reply = yield Send(verb.method, self._address + tail, headers | _bearer(used), content)
        if reply.status == 401 and self._credentials.renewable:
            used = yield from self._token(used)
            reply = yield Send(verb.method, self._address + tail, headers | _bearer(used), content)
        return reply

    # --- token -----------------------------------------------------------------------------------------------------
    def _token(self, stale: SecretStr | None) -> Steps[SecretStr]:
        held = self._credentials.token(stale=stale)
        if held is None:
            held = yield Exclusive(lambda: self._buy(stale))
        assert held is not None
        return held

    def _buy(self, stale: SecretStr | None) -> Steps[SecretStr]:
        held = self._credentials.token(stale=stale)  # another thread may have bought one while this one waited
        if held is not None:
            return held
        reply = yield from self._login_once()
        if reply.status in REPEATED:
            raise _Busy(reply)
        return self._bought(reply)

    def _login_once(self) -> Steps[Reply]:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        reply: Reply = yield Send("POST", self._address + wire.TOKEN_PATH, headers, self._credentials.form(), 65_536)
        return reply

    def _bought(self, reply: Reply) -> SecretStr:
        login = wire.VERBS["login"]
        if reply.status in {400, 401, 403} and _error_body(reply) is None:
            raise errors.InvalidApiKey(f"The token endpoint refused the API key with HTTP {reply.status}.")
        if reply.status != 200:
            fail(login, {}, reply)
        return self._credentials.accept(_json(login.name, reply))

    def _login(self) -> Steps[None]:
        if not self._credentials.renewable:
            raise errors.NotAuthenticated("login needs an API key, and this client has none.", hint="Give api_key=.")
        reply = yield from self._exchange(wire.VERBS["login"], {})
        self._bought(reply)

    # --- a gateway that moved --------------------------------------------------------------------------------------
    def _find(self, gone: str) -> Steps[None]:
        assert self._on_unreachable is not None
        if self._address != gone:
            return  # another thread has asked while this one waited
        url, api_key = yield Work(self._on_unreachable)
        self._address = _address(url)
        self._credentials.replace(api_key)


# --- answers ---------------------------------------------------------------------------------------------------------
def fail(verb: wire.Verb, path: Mapping[str, object], reply: Reply) -> NoReturn:
    """Raise the error that an answer stands for."""
    request = f"{verb.method} {verb.url(**path)}"
    if 300 <= reply.status < 400:
        where = bare(reply.headers.get("location", ""))
        raise errors.GatewayFault(
            f"{request} was answered with a redirect to {where}, which is not followed: the token would go there.",
            hint="Give the address that the gateway finally has as url.",
        )
    if 200 <= reply.status < 300:
        raise errors.GatewayFault(f"{request} was answered with HTTP {reply.status}, which says nothing here.")
    after = asked_wait(reply)
    raise from_response(reply.status, _error_body(reply), request=request, retry_after=after)


def asked_wait(reply: Reply) -> float | None:
    """Seconds that an answer asks to wait; None when it does not say, or nothing that makes sense."""
    return retry.retry_after_seconds(reply.headers.get("retry-after"))


def _marked(reply: Reply, ambiguous: bool) -> Reply:
    return Reply(reply.status, reply.headers, reply.content, reply.whole, ambiguous)


def _unreachable(verb: wire.Verb, address: str, lost: Unanswered, attempts: int) -> errors.GatewayUnreachable:
    tries = "" if attempts == 1 else f" ({attempts} tries)"
    return errors.GatewayUnreachable(
        f"{verb.name}: the gateway at {bare(address)} does not answer{tries}: {lost.reason}.", url=bare(address)
    )


def _json(name: str, reply: Reply) -> Any:
    try:
        return json.loads(reply.content)
    except (ValueError, RecursionError):
        pass
    kind = reply.headers.get("content-type", "no content type").split(";")[0]
    raise errors.GatewayFault(
        f"{name} was answered with {len(reply.content)} bytes of {kind} that are not JSON (HTTP {reply.status}).",
        hint="Check that the address is that of an extenSO gateway, and what stands between.",
    )


def _noun(kind: type[NounT], name: str, reply: Reply) -> NounT:
    answer = _json(name, reply)
    try:
        return kind.from_wire(answer)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        count = error.error_count()
    place = ".".join(str(part) for part in first["loc"]) or "the whole answer"
    more = f" (and {count - 1} more)" if count > 1 else ""
    raise errors.GatewayFault(
        f"{name} was answered with JSON of another shape: {place}: {first['msg']}{more}.",
        hint="Gateway and client may be of different versions: compare `health().version` with this package's.",
    )


def noun(kind: type[NounT], name: str, reply: Reply) -> NounT:
    """The noun in an answer. Raises GatewayFault when it is not JSON, or JSON of another shape."""
    return _noun(kind, name, reply)


def _error_body(reply: Reply) -> dict[str, Any] | None:
    try:
        body = json.loads(reply.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and isinstance(body.get("message"), str) else None


def _bearer(token: SecretStr) -> dict[str, str]:
    return {"authorization": f"Bearer {token.get_secret_value()}"}


def _query(query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return "?" + urlencode(given, quote_via=quote) if given else ""


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port  # the port is checked by reading it
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise errors.InputError(
            f"{bare(url)!r} is not the address of a gateway.", hint="Give one such as https://extenso.example.org."
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise errors.InputError(
            f"The address {bare(url)} came with user, password, query or fragment.",
            hint="Give the bare address as url, and the key as api_key.",
        )
    return bare(url.strip()).rstrip("/").removesuffix(wire.BASE_PATH)
