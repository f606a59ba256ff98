"""The client: every verb of the API, for plain code (`Client`) and for asyncio (`AsyncClient`)."""

from __future__ import annotations

from typing import NoReturn

from extenso_nb.client.drive import AsyncDriver, SyncDriver, bare
from extenso_nb.client.exchange import Gone
from extenso_nb.client.verbs import Verbs
from extenso_nb.retry import REQUEST, Retry

__all__ = ["AsyncClient", "Client"]


class _Client(Verbs):
    """What both flavours share besides the verbs."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        retry: Retry = REQUEST,
        timeout: float = 30.0,
        on_unreachable: Gone | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, token=token, retry=retry, timeout=timeout, on_unreachable=on_unreachable)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {bare(self.url)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} is not pickled: it holds a key and open connections. Make one where it is needed."
        )


class Client(_Client, SyncDriver):
    """A gateway and its verbs. Works in scripts, threads and inside a running event loop such as Jupyter's.

    Parameters
    ----------
    url
        Address of the gateway, such as ``https://extenso.example.org``.
    api_key
        Buys a token, which is kept, and renewed a minute before it ends.
    token
        A token that is there already. With `api_key` it is used first.
    retry
        How often a request that gets no answer, or 429, 502, 503 or 504, is sent again.
    timeout
        Seconds without a sign of life from the gateway, per request.
    on_unreachable
        Called when the address stops answering, once per request; gives the (url, api_key) to go on with.

    Raises
    ------
    InputError
        `url` is not an address.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        retry: Retry = REQUEST,
        timeout: float = 30.0,
        on_unreachable: Gone | None = None,
    ) -> None:
        _Client.__init__(
            self, url, api_key=api_key, token=token, retry=retry, timeout=timeout, on_unreachable=on_unreachable
        )
        SyncDriver.__init__(self, timeout)


class AsyncClient(_Client, AsyncDriver):
    """A gateway and its verbs, to be awaited; for one event loop.

    Parameters are those of `Client`. Verbs, their arguments and errors are the same.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        retry: Retry = REQUEST,
        timeout: float = 30.0,
        on_unreachable: Gone | None = None,
    ) -> None:
        _Client.__init__(
            self, url, api_key=api_key, token=token, retry=retry, timeout=timeout, on_unreachable=on_unreachable
        )
        AsyncDriver.__init__(self, timeout)
