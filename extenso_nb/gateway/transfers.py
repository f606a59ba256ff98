"""One transfer: the bytes of a product from a source, through every check, into a storage; whole or not at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from extenso_nb import checksums
from extenso_nb.errors import (
    ChecksumMismatch,
    DamagedProduct,
    ExtensoError,
    IncompleteTransfer,
    ProductOffline,
    QuotaExceeded,
    SourceUnavailable,
    TransferError,
    UnknownProduct,
)
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.checking import checking
from extenso_nb.gateway.destinations import Destinations, Place
from extenso_nb.gateway.indexing import Indexer
from extenso_nb.gateway.sources import STORAGE, Content
from extenso_nb.gateway.store import Store
from extenso_nb.models import Delivery, DeliveryMetadata, Product
from extenso_nb.storage import BLOCK, FolderStorage, Storage

__all__ = ["Transfers"]

RESUMES = 3
"""How often a transfer is taken up again at the same source, without much having come in between, before it is given up."""
FORGIVEN_BYTES = 32 * 1024 * 1024
"""After so many bytes an interruption is a new one: ten in the 8 GB of an SLC are no reason to begin again."""
PATIENCE_SECONDS = 30.0
"""How long a transfer that has begun waits for a source that asks for patience, rather than give up what has come."""
PROGRESS_SECONDS = 0.25
OWN_FILES = frozenset({"metadata.json", "index"})
"""Names of what the gateway itself writes beside a product."""

_log = logging.getLogger(__name__)


class _Ended(Exception):
    """The delivery was cancelled or deleted while it was carried out, or another transfer has taken it over."""


class Transfers:
    """Carries the bytes of deliveries, and writes and removes what lies in their storages."""

    def __init__(self, store: Store, destinations: Destinations, catalogue: Catalogue) -> None:
        self.store = store
        self.destinations = destinations
        self.catalogue = catalogue
        self.indexer = Indexer()
        self.stopped = threading.Event()
        """Set when the process is about to end: what waits for a source stops waiting."""

    def bring(self, delivery_id: str, source: str) -> dict[str, Any]:
        """Bring the bytes from one source into the storage: what was stored; or why it was not, as `failure` tells it."""
        holder = self.store.begin_transfer(delivery_id, source)
        try:
            if holder is None:
                raise _Ended
            return self._stored(delivery_id, holder, source)
        except _Ended:
            self.clear(delivery_id)
            return {"ended": True}
        except Exception as error:  # noqa: BLE001 - a source may raise anything; the delivery must come to an end
            # What fails for one that was overtaken says nothing of the delivery: its staging file, say, was swept away.
            if holder is not None and not self.store.holds(delivery_id, holder):
                return {"ended": True}
            return self.failure(delivery_id, error, source)

    def failure(self, delivery_id: str, error: Exception, source: str | None = None) -> dict[str, Any]:
        """A failure as a fact for the schedule, now in the trail as well.

        `reason`; `retry_after` seconds when the source asked for them; `cold` when it has to be warmed up first; `wrong`
        when the bytes came and were not the product, which time does not mend.
        """
        if not isinstance(error, ExtensoError):
            _log.error("delivery %s from %s failed", delivery_id, source, exc_info=error)
        reason = _reason(error)
        if isinstance(self.destinations.storage, FolderStorage):
            reason = reason.replace(f"{self.destinations.storage.folder}/", "")
        self.store.note(delivery_id, reason, source=source)
        details = error.details if isinstance(error, ExtensoError) else {}
        return {
            "reason": f"{source}: {reason}" if source else reason,
            "retry_after": details.get("retry_after"),
            "cold": isinstance(error, ProductOffline),
            "wrong": isinstance(error, (ChecksumMismatch, DamagedProduct, UnknownProduct, QuotaExceeded)),
        }

    def clear(self, delivery_id: str) -> None:
        """Remove what a delivery that came to nothing left behind; nothing happens to one that is open or delivered."""
        account, delivery = self.store.work(delivery_id)
        if delivery.status not in {"failed", "cancelled"} or not self._is_free(delivery):
            # Not in a bucket of the user's: nothing is half-written there, and another gateway that delivers into it
            # may have an order of that number.
            return
        place = self.destinations.of(account, delivery.order_id)
        place.storage.delete_below(_folder(place, delivery))

    def _is_free(self, delivery: Delivery) -> bool:
        return self.store.destination(delivery.order_id)[0].kind == "free"

    # --- from source to storage --------------------------------------------------------------------------------------
    def _stored(self, delivery_id: str, holder: str, source: str) -> dict[str, Any]:
        account, delivery = self.store.work(delivery_id)
        place = self.destinations.of(account, delivery.order_id)
        product, content = self._offered(delivery, source)
        if "/" in content.name or content.name in OWN_FILES:
            raise DamagedProduct(f"{source} names the file {content.name!r}, which cannot be the file of a product.")
        folder = _folder(place, delivery)
        key = f"{folder}/{content.name}"
        stream = _Stream(self, delivery_id, holder, source, content)
        # What a killed process left half-written must not stay beside the product, whatever it was to be called.
        place.storage.sweep(folder)
        place.storage.put(key, stream.blocks())
        if not self.store.progress(delivery_id, holder, stream.stored, status="verifying"):
            raise _Ended
        if place.storage.size(key) != stream.stored:
            place.storage.delete(key)
            raise IncompleteTransfer(f"{stream.stored:,} bytes of {key} were written, and the storage has others.")
        # The description travels along: the source may be down by the time the delivery is settled.
        described = product.model_copy(update={"size": stream.stored, "size_estimated": False, "links": {}})
        return {
            "key": key,
            "size": stream.stored,
            "checksums": stream.checksums(),
            "source": source,
            "holder": holder,
            "product": described.to_wire(),
        }

    def _offered(self, delivery: Delivery, source: str) -> tuple[Product, Content]:
        if source == STORAGE:
            return self._delivered_before(delivery)
        adapter = self.catalogue.sources[source]
        product = adapter.find((delivery.product_id,)).get(delivery.product_id)
        if product is None:
            raise UnknownProduct(f"{delivery.product_id} is not here any more.", products=[delivery.product_id])
        return product, adapter.open(delivery.product_id)

    def _delivered_before(self, delivery: Delivery) -> tuple[Product, Content]:
        earlier = self.store.delivered_before(delivery.id)
        if earlier is None or earlier.key is None:
            raise UnknownProduct("It has been deleted from the storage meanwhile.", products=[delivery.product_id])
        metadata = DeliveryMetadata.from_wire(self.store.metadata(earlier.id))
        storage, key, size = self.destinations.storage, earlier.key, earlier.size
        name = key.rpartition("/")[2]
        content = Content(name, size, partial(_ranges, storage, key, size), metadata.checksums, as_is=True)
        return metadata.product, content

    # --- the end -----------------------------------------------------------------------------------------------------
    def settle(self, delivery_id: str, stored: dict[str, Any]) -> dict[str, Any] | None:
        """Write the index and metadata.json, and say delivered; None, or why the object is not there or cannot be kept.

        The object is taken away when the delivery has ended meanwhile.
        """
        account, delivery = self.store.work(delivery_id)
        if delivery.status == "delivered":
            self._tidy(delivery)
            return None
        metadata = _metadata(delivery, stored)
        values: dict[str, Any] = {"key": stored["key"], "checksums": stored["checksums"]}
        try:
            if self.store.holds(delivery_id, stored["holder"]):
                metadata = self._write(self.destinations.of(account, delivery.order_id), metadata)
            values["metadata"] = metadata.model_copy(update={"trail": ()}).to_wire()
            self.store.deliver(delivery_id, stored["holder"], size=stored["size"], source=metadata.source, **values)
        except Exception as error:  # noqa: BLE001 - as in `bring`
            if self.store.holds(delivery_id, stored["holder"]):
                return self.failure(delivery_id, error, stored["source"])
        self._tidy(self.store.work(delivery_id)[1])
        self.clear(delivery_id)
        return None

    def _tidy(self, delivery: Delivery) -> None:
        """Remove what lies beside a delivered product: stored by another transfer, from a source with other names.

        Only once it is said which one is delivered: until then another transfer may be the one, and this one overtaken.
        """
        if delivery.status != "delivered" or delivery.key is None or not self._is_free(delivery):
            return
        storage = self.destinations.storage
        folder, _, name = delivery.key.rpartition("/")
        try:
            storage.sweep(folder)
            for key, _ in storage.list(folder):
                if key.removeprefix(f"{folder}/") not in OWN_FILES | {name}:
                    storage.delete(key)
        except Exception:  # noqa: BLE001 - it is delivered all the same
            _log.warning("what lies beside delivery %s could not be removed", delivery.id, exc_info=True)

    def _write(self, place: Place, metadata: DeliveryMetadata) -> DeliveryMetadata:
        """Write what lies beside a product: its index, where it can have one, and its metadata, which are returned."""
        if place.storage.size(metadata.key) != metadata.size:
            raise IncompleteTransfer(f"{metadata.key} has not the {metadata.size:,} bytes that were stored.")
        folder = metadata.key.rpartition("/")[0]
        index = self.indexer.index(place.storage, metadata.key, metadata.checksums.get("sha256"))
        if index is not None:
            place.storage.put_bytes(f"{folder}/index", index)
            metadata = metadata.model_copy(update={"index": f"{folder}/index"})
        text = metadata.model_dump_json(by_alias=True, exclude_none=True)
        place.storage.put_bytes(f"{folder}/metadata.json", text.encode())
        return metadata


class _Stream:
    """The bytes of one transfer: counted, hashed, resumed at the same source, checked before the last one is passed on."""

    def __init__(self, owner: Transfers, delivery_id: str, holder: str, source: str, content: Content) -> None:
        self._owner = owner
        self._store = owner.store
        self._delivery_id = delivery_id
        self._holder = holder
        self._source = source
        self._content = content
        self._room = owner.store.room(delivery_id)
        # One is enough, and the others would cost as much again; SHA-256 is computed of what is stored anyway.
        best = next((name for name in checksums.ALGORITHMS if name in content.checksums), None)
        self._best = best
        self._compared = None if best is None or source == STORAGE else checksums.hasher(best)
        self._written = checksums.hasher("sha256")
        # What the source vouches for by a checksum needs no second opinion by its manifest.
        self._check = checking(content.name, hash_members=not content.checksums and not content.as_is)
        self._reported = 0.0
        self.came = 0
        """Bytes that came from the source."""
        self.stored = 0
        """Bytes that went into the storage: more, where members of a zip were inflated on the way."""

    def checksums(self) -> dict[str, str]:
        """Hex digests of what was stored; those that the source gave as well, where its bytes were stored unchanged."""
        made = {"sha256": self._written.hexdigest()}
        if self._best is not None and self._compared is not None and not self._check.restored:
            made[self._best] = self._compared.hexdigest()
        return made

    def blocks(self) -> Iterator[bytes]:
        """All blocks to store. Raises before the last one is taken when anything is wrong, so that nothing is stored."""
        try:
            for block in self._incoming():
                yield from self._outgoing(self._check.feed(block))
            yield from self._outgoing(self._check.finish())
            self._compare()
            self._tell_findings()
            self._report(now=True)
        finally:
            self._tell_remarks()

    def _outgoing(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._written.update(block)
            self.stored += len(block)
            if self._room is not None and self.stored > self._room:
                raise QuotaExceeded(
                    f"{self._content.name} comes to more than the {self._room:,} bytes that there is room for.",
                    free=self._room,
                )
            yield block

    # --- what comes --------------------------------------------------------------------------------------------------
    def _incoming(self) -> Iterator[bytes]:
        interruptions, mark = 0, 0
        while True:
            try:
                for block in self._content.read(self.came):
                    self._take(block)
                    yield block
                self._check_size()
            except (TransferError, SourceUnavailable) as error:
                interruptions = interruptions + 1 if self.came - mark < FORGIVEN_BYTES else 1
                mark = self.came
                if interruptions > RESUMES or not self._worth_resuming(error):
                    raise
                self._note(f"{error.message} Taken up again at byte {self.came:,}.")
                self._wait(error, interruptions)
                continue
            return

    def _worth_resuming(self, error: ExtensoError) -> bool:
        if isinstance(error, (ChecksumMismatch, DamagedProduct, ProductOffline)) or self._too_long():
            return False
        if not isinstance(error, SourceUnavailable):
            return True
        # Before the first byte there is nothing to save: another source may be quicker.
        return self.came > 0 and float(error.details.get("retry_after") or 0) <= PATIENCE_SECONDS

    def _wait(self, error: ExtensoError, interruptions: int) -> None:
        if not isinstance(error, SourceUnavailable):
            return
        asked = error.details.get("retry_after")
        end = time.monotonic() + (2.0 ** (interruptions - 1) if asked is None else float(asked))
        while (left := end - time.monotonic()) > 0:
            if self._owner.stopped.wait(min(left, 1.0)):
                raise error
            self._report(now=True)

    def _take(self, block: bytes) -> None:
        if self._compared is not None:
            self._compared.update(block)
        self.came += len(block)
        if self._too_long():
            self._check_size()
        self._report()

    def _report(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._reported < PROGRESS_SECONDS:
            return
        self._reported = moment
        if not self._store.progress(self._delivery_id, self._holder, self.came):
            raise _Ended

    def _too_long(self) -> bool:
        return self._content.size is not None and self.came > self._content.size

    # --- what is wrong with it ---------------------------------------------------------------------------------------
    def _check_size(self) -> None:
        if self._content.size is not None and self.came != self._content.size:
            raise IncompleteTransfer(
                f"{self._content.name}: {self.came:,} bytes came, {self._content.size:,} were announced."
            )

    def _compare(self) -> None:
        if self._best is None:
            return
        # What comes from the storage was restored, if at all, when it came there.
        made, announced = self._compared or self._written, self._content.checksums[self._best].lower()
        if made.hexdigest() != announced:
            raise ChecksumMismatch(
                f"{self._content.name}: {self._best} is {made.hexdigest()}, {announced} was announced."
            )

    def _tell_findings(self) -> None:
        """What the manifest says against the product: a fault of the archive's, unless the archive wants it so."""
        if self._check.restored:
            self._note(f"inflated on the way: {self.came:,} bytes became {self.stored:,}")
        found = self._check.findings
        wrong = [finding for finding in found if finding.kind in {"wrong_size", "wrong_checksum"}]
        if wrong and not self._content.as_is:
            raise DamagedProduct(f"{self._content.name} is not what its own manifest says: {wrong[0]}.")
        told = [str(finding) for finding in found if finding.kind != "unchecked"]
        if told:
            more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
            self._note(f"not as its manifest has it: {'; '.join(told[:3])}{more}")

    def _note(self, event: str) -> None:
        self._store.note(self._delivery_id, event, source=self._source, count=self.came)

    def _tell_remarks(self) -> None:
        while self._content.remarks:
            self._note(self._content.remarks.popleft())


def _folder(place: Place, delivery: Delivery) -> str:
    return f"{place.prefix}/{delivery.product_id}"


def _ranges(storage: Storage, key: str, size: int, start: int) -> Iterator[bytes]:
    for place in range(start, size, BLOCK):
        yield storage.read(key, place, min(BLOCK, size - place))


def _reason(error: Exception) -> str:
    """What went wrong, as text that can be stored: the names of files may hold bytes that are none."""
    # The system's errors end with a path of this machine, those of obstore with pages of it: the log has both.
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
    text = error.message if isinstance(error, ExtensoError) else f"{type(error).__name__}: {said}"
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _metadata(delivery: Delivery, stored: dict[str, Any]) -> DeliveryMetadata:
    product = Product.from_wire(stored["product"])
    return DeliveryMetadata(
        product=product,
        key=stored["key"],
        size=stored["size"],
        checksums=stored["checksums"],
        source=product.sources[0] if stored["source"] == STORAGE and product.sources else stored["source"],
        delivered_at=datetime.now(UTC),
        trail=delivery.trail,
    )
