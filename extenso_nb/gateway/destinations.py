"""Where an order goes: into the free storage, or into the user's own bucket, whose keys are kept sealed while it lasts."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from extenso_nb.errors import BucketRefused, TooManyRequests
from extenso_nb.gateway.store import Store
from extenso_nb.models import BucketProperties, Destination
from extenso_nb.storage import Bucket, BucketStorage, FolderStorage, Storage, locate_bucket, refuse_private

__all__ = ["PROBES", "PROBES_EACH", "Destinations", "Place"]

PROBES, PROBES_EACH = 8, 2
"""Buckets that are probed at the same time: in all, and of one account."""


@dataclass(frozen=True, slots=True)
class Place:
    """A storage, and what the keys of an order begin with there."""

    storage: Storage
    prefix: str
    free: bool
    """Whether it is the gateway's own storage rather than a bucket of the user's."""


class _Probing:
    """How many probes go on.

    Each holds a thread, which all requests share, for as long as a stranger's server likes to be silent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_account: Counter[str] = Counter()

    @contextmanager
    def one(self, account: str) -> Iterator[None]:
        """While one probe goes on. Raises TooManyRequests when there are enough of them."""
        with self._lock:
            if self._by_account[account] >= PROBES_EACH or self._by_account.total() >= PROBES:
                raise TooManyRequests("Other buckets are being probed at this moment.", retry_after=5.0)
            self._by_account[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._by_account[account] -= 1
                self._by_account += Counter()  # forgets who has none


class Destinations:
    """The places into which one gateway delivers.

    Parameters
    ----------
    storage
        The free storage.
    secret
        The gateway's secret; the keys of buckets are sealed with a key derived from it (Fernet: AES-128-CBC and
        HMAC-SHA256).
    private_buckets
        Whether buckets on this machine and in private networks are allowed; None for those of operators only. Right for
        who runs the gateway, wrong for others who share it: they would look into the network in which it stands.
    """

    def __init__(
        self, store: Store, storage: FolderStorage | BucketStorage, secret: bytes, *, private_buckets: bool | None
    ) -> None:
        self._store = store
        self.storage = storage
        self._private_buckets = private_buckets
        self._probing = _Probing()
        self._fernet = Fernet(base64.urlsafe_b64encode(hmac.digest(secret, b"bucket", "sha256")))

    def __repr__(self) -> str:
        return f"<Destinations {self.storage!r}>"

    def accept(self, account: str, properties: BucketProperties) -> tuple[Destination, str]:
        """A bucket that passed the probe, as the order shows it, and its keys, sealed.

        Raises BucketRefused, and TooManyRequests when others are being probed.
        """
        with self._probing.one(account):
            bucket = self._allowed(account, properties)
            BucketStorage(bucket).probe()
        shown = Destination(kind="bucket", endpoint=bucket.endpoint, bucket=bucket.name, prefix=bucket.prefix or None)
        return shown, self._fernet.encrypt(json.dumps(properties.to_wire()).encode()).decode()

    def _allowed(self, account: str, properties: BucketProperties) -> Bucket:
        bucket, private = locate_bucket(properties), self._private_buckets
        if private is None:
            private = self._store.account(account).role == "operator"
        if not private:
            refuse_private(bucket)
        return bucket

    def of(self, account: str, order_id: int) -> Place:
        """Where the products of an order lie. Raises BucketRefused when the keys of a bucket are gone, or not readable."""
        destination, sealed = self._store.destination(order_id)
        if destination.kind == "free":
            return Place(self.storage, f"{account}/orders/{order_id}", free=True)
        if sealed is None:
            raise BucketRefused(f"Order {order_id} has ended; the keys of its bucket are no longer kept.")
        try:
            opened = BucketProperties.from_wire(json.loads(self._fernet.decrypt(sealed.encode())))
        except InvalidToken:
            raise BucketRefused(
                f"The keys of the bucket of order {order_id} were sealed with another secret.",
                hint="Put the file `secret` of the data directory back, or place the order again.",
            ) from None
        # Looked at again: what a name leads to may have changed since the order was accepted.
        return Place(BucketStorage(self._allowed(account, opened)), f"orders/{order_id}", free=False)

    def remove(self, account: str, order_id: int) -> None:
        """Remove the products of a deleted order from the free storage. A bucket of the user's keeps what it has."""
        self.storage.delete_below(f"{account}/orders/{order_id}")
