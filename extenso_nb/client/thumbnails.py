"""Pictures for a contact sheet: several at a time, on connections of their own, for both flavours of the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from extenso_nb.client.drive import Steps, SyncDriver
from extenso_nb.errors import NotFoundError

__all__ = ["Thumbnails"]

AT_ONCE = 6


class Thumbnails:
    """Fetches thumbnails when a search result is shown.

    Showing is never awaited and can come when the client is closed, so this opens connections for the time of the
    call. It pickles to one without pictures: the client's token goes nowhere.
    """

    def __init__(self, fetch: Callable[[str], Steps[bytes]], timeout: float) -> None:
        self._fetch, self._timeout = fetch, timeout

    def __call__(self, product_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Identifier -> picture; products that have none are left out. Any other failure raises."""
        if not product_ids:
            return {}
        driver = SyncDriver(self._timeout)
        try:
            with ThreadPoolExecutor(min(AT_ONCE, len(product_ids)), thread_name_prefix="extenso-thumbnail") as pool:
                pictures = list(pool.map(lambda name: self._one(driver, name), product_ids))
        finally:
            driver.close()
        return {name: picture for name, picture in zip(product_ids, pictures, strict=True) if picture}

    def _one(self, driver: SyncDriver, product_id: str) -> bytes | None:
        try:
            return driver._drive(self._fetch(product_id))  # noqa: SLF001 - the driver here is ours alone
        except NotFoundError:
            return None

    def __reduce__(self) -> tuple[type[NoThumbnails], tuple[()]]:
        return NoThumbnails, ()


class NoThumbnails:
    """What a pickled provider becomes."""

    def __call__(self, product_ids: Sequence[str]) -> Mapping[str, bytes]:
        """No pictures."""
        return {}
