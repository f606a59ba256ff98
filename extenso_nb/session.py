"""`connect()`: the notebook's front door, the only place where client, gateway and readers meet."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from extenso_nb.client import AsyncClient, Client
from extenso_nb.errors import AccessError, InputError, NoIndex, NotDelivered, ReaderError
from extenso_nb.models import Delivery, Order
from extenso_nb.storage import vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from geopandas import GeoDataFrame
    from xarray import DataTree

    from extenso_nb.gateway.embed import Found
    from extenso_nb.progress import Listener
    from extenso_nb.results import SearchResult
    from extenso_nb.widgets import Explorer

__all__ = ["Session", "connect", "running"]


class Session(Client):
    """A connection to a gateway with everything a notebook does over it: all verbs of `Client`, `open` and `explorer`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        storage: Path | None = None,
        renew: Callable[[], tuple[str, str | None]] | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, on_unreachable=renew)
        self._address, self._owner_key = url, SecretStr(api_key)
        self._storage, self._renew = storage, renew

    def __repr__(self) -> str:
        kind = "embedded gateway" if self._renew else "gateway"
        return f"<Session with the {kind} at {_plain(self.url)}>"

    @property
    def local(self) -> bool:
        """Whether the gateway is this machine's own, so that nothing needs a network."""
        return self._renew is not None

    @property
    def where(self) -> str:
        """Which gateway answers, in words."""
        return "this machine" if self.local else urlsplit(self.url).netloc

    def async_client(self) -> AsyncClient:
        """A new asynchronous client of the same gateway and account."""
        url, api_key = self._renew() if self._renew else (self._address, self._owner_key.get_secret_value())
        return AsyncClient(url, api_key=api_key, on_unreachable=self._renew)

    def open(
        self,
        order: Order | Delivery | int | str,
        *,
        masked: bool = True,
        scaled: bool = True,
        chunks: Any = "auto",
        fetch: bool = False,
        progress: Listener | bool | None = None,
    ) -> list[DataTree]:
        """Open what was delivered, lazily; one tree a product, in the order of the products.

        Products are opened where they lie. Those of a gateway elsewhere are read by ranges: their index is one request, and
        only the chunks that are computed with are fetched, by links that are renewed as they expire. Workers of dask read
        for themselves; see `readers.share_addresses` where they run on other machines.

        Parameters
        ----------
        order
            An order, of which the delivered products are opened, or one delivery; object or id.
        masked, scaled, chunks
            As for `open_product`.
        fetch
            Fetch whole products of a gateway elsewhere first, into the user's cache, for who reads most of them: resumed
            where a download broke off, verified, and not fetched twice.
        progress
            Where downloads are shown.

        Raises
        ------
        NotDelivered
            When nothing has been delivered (yet).
        ReaderError
            When a product is of a kind that no reader knows, or damaged.
        """
        from extenso_nb.readers import open_product

        trees, ready = [], self._ready(order)
        for delivery in ready:
            here = self.local_path(delivery, progress=progress) if fetch else self._here(delivery)
            where = {"src": here} if here is not None else self._by_ranges(delivery)
            try:
                trees.append(open_product(masked=masked, scaled=scaled, chunks=chunks, **where))
            except ReaderError as error:
                if len(ready) > 1:
                    others = ", ".join(repr(other.id) for other in ready if other.id != delivery.id)
                    error.hint += f" The other deliveries of the order open one by one: open({others})."
                raise
        return trees

    def local_path(self, delivery: Delivery | str, *, progress: Listener | bool | None = None) -> Path:
        """A path on this machine of a delivered product; fetched into the cache when the gateway is elsewhere."""
        current = delivery if isinstance(delivery, Delivery) else self._ready(delivery)[0]
        if (here := self._here(current)) is not None:
            return here
        # Port and all: two gateways of one host number their orders alike.
        folder = _cache() / re.sub(r"[^A-Za-z0-9.-]+", "-", urlsplit(self.url).netloc) / str(current.order_id)
        folder.mkdir(parents=True, exist_ok=True)
        return self.download(current, folder, progress=progress)[0]

    def _here(self, delivery: Delivery) -> Path | None:
        """Where the product lies on this machine, if it does."""
        if self._storage is None or delivery.key is None:
            return None
        here = self._storage / delivery.key
        return here if here.is_file() else None

    def _by_ranges(self, delivery: Delivery) -> dict[str, Any]:
        """How the product is read by ranges: its address, its index, and how the address is renewed."""
        try:
            index: bytes | None = self.index(delivery)
        except NoIndex:
            index = None
        renew = _Renewal(self._address, vault.keep(self._owner_key.get_secret_value()), delivery.id)
        return {"src": self.download_url(delivery).url, "index": index, "renew": renew}

    def _ready(self, order: Order | Delivery | int | str) -> list[Delivery]:
        if isinstance(order, (Delivery, str)):
            fresh = self.status(order)
            found = [fresh] if isinstance(fresh, Delivery) else []
        else:
            found = self.deliveries(order)
        ready = [delivery for delivery in found if delivery.status == "delivered"]
        if not ready:
            states = ", ".join(sorted({delivery.status for delivery in found})) or "none"
            number = order.id if isinstance(order, (Order, Delivery)) else order
            raise NotDelivered(f"Nothing of {number} has been delivered (deliveries: {states}).", states=states)
        return ready

    def explorer(self, **settings: Any) -> Explorer:
        """The map: draw, search, look, order, load; see docs/explorer.md.

        Parameters
        ----------
        **settings
            As `widgets.Explorer` takes them: `tiles` (online map tiles over the outline; by default only where the gateway is
            elsewhere), `state` to start from, `resume` (list the orders of the account at once; the default), `namespace`.
        """
        from extenso_nb.widgets import Explorer

        return Explorer(self, **settings)

    def explore(self, found: SearchResult | GeoDataFrame, **settings: Any) -> Explorer:
        """The map with what was found already: a search result, or rows of its `gdf`.

        The query of the result stands in the form, so that Search asks it again.
        """
        from extenso_nb.widgets import Explorer, standing

        return Explorer(self, state=standing.state_of(found), **settings)


class _Renewal:
    """Asks the gateway for a new link to a delivery; in workers too, where the key is looked up and never pickled."""

    def __init__(self, url: str, key: str, delivery_id: str) -> None:
        self._url, self._key, self._delivery_id = url, key, delivery_id

    def __getstate__(self) -> dict[str, Any]:
        vault.hand_over(self._key)
        return self.__dict__

    def __call__(self) -> str:
        with Client(self._url, api_key=vault.find(self._key)) as client:
            return client.download_url(self._delivery_id).url


def connect(
    url: str | None = None,
    *,
    api_key: str | None = None,
    sources: tuple[str, ...] | list[str] | str | None = None,
    data_dir: str | Path | None = None,
) -> Session:
    """Connect to a gateway: the one named, or this machine's own, which is started when it does not run.

    Parameters
    ----------
    url, api_key
        The gateway and the key of an account there. By default, in this order: the arguments; EXTENSO_URL and
        EXTENSO_API_KEY; the file `settings.json` (`{"url": ..., "api_key": ...}`, mode 0600) in the user's
        configuration directory; the embedded gateway.
    sources
        What the embedded gateway searches, when this call starts it: `"sample"` (the default),
        `"folder:/path/to/products"`, a live archive such as `"cdse"`, or several of them; see docs/sources.md. A gateway
        that runs keeps its own.
    data_dir
        Of the embedded gateway; by default EXTENSO_DATA_DIR, or the user's data directory.

    Raises
    ------
    GatewayUnreachable, InvalidApiKey
        When the gateway named does not answer, or does not know the key.
    GatewayStartFailed, DataDirectoryReadOnly
        When the embedded one cannot start.
    """
    embedded = sources is not None or data_dir is not None
    if embedded and url is not None:
        raise InputError("sources and data_dir belong to the embedded gateway, and a url was given too.")
    if not embedded:
        url, api_key = _named(url, api_key)
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise InputError(
                f"{url!r} is not the address of a gateway.", hint=f"Write it with its scheme: https://{url}"
            )
        if not api_key:
            raise AccessError(f"No API key for {_plain(url)}.", hint="Give api_key=, or set EXTENSO_API_KEY.")
        session = Session(url, api_key=api_key)
        try:
            session.me()
        except BaseException:
            session.close()
            raise
        return session
    return _embedded((sources,) if isinstance(sources, str) else sources, data_dir)


def running(url: str | None = None) -> Session | None:
    """The gateway that `connect(url)` leads to, but none is started: None when this machine's own does not run.

    Raises as `connect` does.
    """
    from extenso_nb.gateway.embed import default_data_dir, find

    if _named(url, None)[0] is None and find(default_data_dir()) is None:
        return None
    return connect(url)


def _embedded(sources: tuple[str, ...] | list[str] | None, data_dir: str | Path | None) -> Session:
    from extenso_nb.gateway.embed import find_or_start
    from extenso_nb.gateway.serve import sources_in_full

    folder = None if data_dir is None else Path(data_dir).expanduser()
    wanted = None if sources is None else sources_in_full(sources)

    def found() -> Found:
        return find_or_start(folder, sources=wanted)

    def renew() -> tuple[str, str | None]:
        again = found()
        return again.url, again.api_key

    first = found()
    if wanted is not None and set(wanted) != set(first.sources):
        raise InputError(
            f"The gateway that runs (process {first.pid}) has the sources {', '.join(first.sources)},"
            f" not {', '.join(wanted)}.",
            hint="Give another data_dir, or stop the one that runs with `extenso stop`.",
        )
    return Session(first.url, api_key=first.api_key, storage=first.storage, renew=renew)


def _named(url: str | None, api_key: str | None) -> tuple[str | None, str | None]:
    """Address and key from the arguments, the environment, the settings file; in this order."""
    filed = {} if url else _settings_file()
    address = url or os.environ.get("EXTENSO_URL") or filed.get("url")
    # A key must not travel to an address that it was not given for: the file's goes with the file's address only, that
    # of the environment not past EXTENSO_URL.
    own = filed.get("api_key") if address and address == filed.get("url") else None
    elsewhere = os.environ.get("EXTENSO_URL") not in {None, "", address}
    return address, api_key or (None if elsewhere else os.environ.get("EXTENSO_API_KEY")) or own


def _settings_file() -> dict[str, str]:
    import platformdirs

    path = Path(platformdirs.user_config_dir("extenso_nb", appauthor=False)) / "settings.json"
    try:
        content = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(f"{path} can be read by others.", hint=f"Run `chmod 600 {path}`; it holds an API key.")
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        raise InputError(
            f"{path} is not a JSON object.", hint='Write {"url": "...", "api_key": "..."} there.'
        ) from None


def _cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("extenso_nb", appauthor=False)) / "deliveries"


def _plain(url: str) -> str:
    """A URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
