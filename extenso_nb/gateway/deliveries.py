"""Deliveries: one durable workflow each, from a source into the storage. Killed at any point, it goes on where it was."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID

from extenso_nb import retry
from extenso_nb.errors import (
    BucketRefused,
    ChecksumMismatch,
    DamagedProduct,
    ExtensoError,
    IncompleteTransfer,
    TransferError,
    UnknownProduct,
)
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.destinations import Destinations, Place
from extenso_nb.gateway.sources import Content
from extenso_nb.gateway.store import Store, Turn
from extenso_nb.models import Delivery, DeliveryMetadata, Product
from extenso_nb.readers.verify import verify

__all__ = ["STEPS_VERSION", "Deliveries"]

STEPS_VERSION = "1"
"""DBOS resumes a workflow only under the version that began it. Raise this when the steps below change their meaning,
and only then: what is under way is begun anew, with all its bytes, once no process of the older version lives."""
COLD_POLL_SECONDS = 900.0
"""How often a cold product is looked at while it warms up."""
COLD_POLLS = 4 * 24 * 3
"""Three days of them; extenSO spoke of up to two."""
RESUMES = 3
"""How often a transfer is taken up again at the same source before the next one is tried."""
PROGRESS_SECONDS = 0.25
POLL_SECONDS = 0.2
"""How often the queues are looked at."""
RECONCILE_SECONDS = 30.0
"""How often open deliveries are looked through for those whose workflow broke off, or was never begun."""
LEASE_SECONDS = 15.0
"""How long a process that stands still keeps the others from looking through them."""
LEASE_POLL_SECONDS = 0.5
MOST_AT_ONCE = 50
"""Deliveries of one source under way in one process, those that wait for a place at the source included; each is a thread.
What waits for its next attempt, or warms up, is none."""

_log = logging.getLogger(__name__)


class _Ended(Exception):
    """The delivery was cancelled or deleted while it was carried out."""


class Deliveries:
    """Carries out deliveries. One for each process, as DBOS is.

    Parameters
    ----------
    database_url
        SQLAlchemy URL of DBOS's own tables.
    executor_id
        Name of this process among those that share the database. The workflows of one that died are taken up under the
        same name, or by `take_over` in another process.
    work
        Whether this process carries deliveries out. One that does not only begins their workflows.
    schedule
        How often to try, and how long to wait in between.
    """

    def __init__(
        self,
        store: Store,
        destinations: Destinations,
        catalogue: Catalogue,
        *,
        database_url: str,
        executor_id: str = "local",
        work: bool = True,
        schedule: retry.Retry = retry.DELIVERY,
    ) -> None:
        self.store = store
        self.executor_id = executor_id
        self._work = work
        self.destinations = destinations
        self.catalogue = catalogue
        self.schedule = schedule
        self._due, self._stopped = threading.Event(), threading.Event()
        self._removing = threading.Lock()
        self._dispatcher: threading.Thread | None = None
        self._config: DBOSConfig = {
            "name": "extenso",
            "system_database_url": database_url,
            "application_version": STEPS_VERSION,
            "executor_id": executor_id,
            "log_level": "WARNING",
        }
        if store.shared:
            # With the 15 of the store: three processes fit into the 100 connections that PostgreSQL has by default.
            self._config["sys_db_pool_size"] = 15

    @property
    def steps(self) -> str:
        """The version of the workflows that this process goes on with; nothing when it carries none out."""
        return STEPS_VERSION if self._work else ""

    def start(self) -> None:
        """Begin, and take up again whatever an earlier process left."""
        global _current  # noqa: PLW0603 - DBOS is one per process, and its workflows are plain functions
        _current = self
        # One process at a time makes the tables of DBOS; two at once hinder each other.
        with self.store.alone("workflows"):
            DBOS(config=self._config)
            if not self._work:
                DBOS.listen_queues([])
            DBOS.launch()
            for name, source in self.catalogue.sources.items():
                # Of all processes together, for that is what the source sees.
                _register(_queue(name), overall=getattr(source, "concurrency", 4))
                _register(_waiting(name), each=MOST_AT_ONCE)
        self._remove_deleted()
        self._dispatcher = threading.Thread(target=self._dispatch, name="extenso-dispatch", daemon=True)
        self._dispatcher.start()

    def stop(self) -> None:
        """End without waiting for transfers; the next process takes them up."""
        global _current  # noqa: PLW0603
        self._stopped.set()
        self.begin()
        if self._dispatcher is not None:
            # Not for ever: it may wait for a database that is away.
            self._dispatcher.join(timeout=10)
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _current = None

    def begin(self) -> None:
        """Begin the workflows of accepted orders, soon: those of 1,000 products take longer than a request may."""
        self._due.set()

    def _dispatch(self) -> None:
        while not self._stopped.is_set():
            pause = RECONCILE_SECONDS
            try:
                # One process at a time looks through them. That spares work and is not relied on: each of them may
                # stand still for a while between a look and what it does about it.
                if self._leads():
                    self._reconcile()
                    self._remove_deleted()
                    self.store.release("dispatch", self.executor_id)
                else:
                    pause = LEASE_POLL_SECONDS
            except Exception:  # noqa: BLE001 - a database that is busy or full now may be well again later
                _log.exception("open deliveries could not be looked through; again in %.0f s", RECONCILE_SECONDS)
            self._due.wait(pause)
            self._due.clear()

    def _leads(self) -> bool:
        return self.store.lease("dispatch", self.executor_id, LEASE_SECONDS)

    def _reconcile(self) -> None:
        # An order is accepted in one transaction and its workflows are begun after it; whatever comes in between
        # leaves deliveries without one. Beginning a workflow twice is beginning it once: the delivery names it.
        waiting = self.store.due_deliveries()
        states = _states(waiting, {STEPS_VERSION} | {process.steps for process in self.store.processes()})
        renewed = time.monotonic()
        for turn in waiting:
            if time.monotonic() - renewed > LEASE_SECONDS / 3:
                renewed = time.monotonic()
                if not self._leads():
                    return
            if self._stopped.is_set():
                return
            state = states.get(turn)
            if state is None:
                self.submit(turn)
            elif state not in _LIVING:
                self._begin_anew(turn, state)

    def _begin_anew(self, turn: Turn, state: str) -> None:
        """A workflow that broke off by a fault of ours must not keep its delivery open for ever."""
        # Under a new name, and only while the delivery stands where it was seen to stand: its workflow may have moved it
        # on, and ended, between the two looks, and another process may have been quicker.
        fresh = self.store.again(turn)
        if fresh is not None:
            if state == _STRANDED:
                DBOS.cancel_workflow(_workflow(*turn), cancel_children=True)
            _log.warning("the workflow of delivery %s ended %s: begun anew", turn.delivery_id, state)
            self.submit(fresh)

    def take_over(self, living: Callable[[], set[str]]) -> dict[str, int]:
        """Take up what dead processes were at; of each, how many workflows. `living` names the others and this one.

        However many processes do it at once, each workflow is taken up once: DBOS changes its row only while it still
        names the dead process.
        """
        at_work = DBOS.list_workflows(status="PENDING", app_version=STEPS_VERSION, load_input=False, load_output=False)
        # Looked at in this order: who begins one now was living before.
        alive = living()
        left = Counter(str(flow.executor_id) for flow in at_work if str(flow.executor_id) not in alive)
        if left:
            # Not `resume_workflow`, the public one: it would also take a workflow from one who is at it by now.
            DBOS._recover_pending_workflows(sorted(left))  # noqa: SLF001 - there is no other way to name the dead
        return dict(left)

    def submit(self, turn: Turn) -> None:
        """Begin the workflow of a delivery; nothing happens when it has one."""
        _enqueue(*turn, queue=self.waiting_queue(turn.delivery_id))

    def waiting_queue(self, delivery_id: str) -> str:
        """Where a delivery waits for its turn: with those of its source, so that a slow source holds up no other."""
        source = self.store.work(delivery_id)[1].source
        known = source if source in self.catalogue.sources else next(iter(self.catalogue.sources))
        return _waiting(str(known))

    def _remove_deleted(self) -> None:
        for account, order_id in self.store.to_remove():
            self.remove(account, order_id)

    def remove(self, account: str, order_id: int) -> None:
        """Remove the objects of a deleted order."""
        with self._removing:
            self.destinations.remove(account, order_id)
            self.store.removed(order_id)

    # --- what the steps do -------------------------------------------------------------------------------------------
    def locate(self, delivery_id: str) -> dict[str, Any]:
        """Which sources hold the product, the warm ones first; or why that cannot be said."""
        _, delivery = self.store.work(delivery_id)
        if delivery.ended:
            return {"ended": True}
        try:
            product = self.catalogue.find([delivery.product_id]).get(delivery.product_id)
        except Exception as error:  # noqa: BLE001 - a source may raise anything; the delivery must come to an end
            return {"sources": [], "cold": None, "reason": self._noted(delivery_id, error)}
        if product is None:
            return {"sources": [], "cold": None, "reason": f"No source holds {delivery.product_id} any more."}
        if product.online:
            return {"sources": list(product.sources), "cold": None, "reason": ""}
        return {"sources": [], "cold": product.sources[0], "reason": ""}

    def warm_up(self, delivery_id: str, source: str, attempt: int, polls: int) -> str | None:
        """Ask a source to bring a cold product back, the first time; None, or why it cannot be asked."""
        _, delivery = self.store.work(delivery_id)
        first = polls == 0
        if first:
            try:
                self.catalogue.sources[source].warm_up(delivery.product_id)
            except Exception as error:  # noqa: BLE001 - as in `locate`
                return self._noted(delivery_id, error, source)
        event = "cold: warm-up asked for" if first else None
        later = _in(COLD_POLL_SECONDS)
        turn = {"attempt": attempt, "polls": polls + 1}
        self.store.advance(delivery_id, "warming", event=event, source=source, next_attempt_at=later, **turn)
        return None

    def transfer(self, delivery_id: str, source: str) -> dict[str, Any]:
        """Bring the bytes from one source into the storage; what was stored, or why it was not."""
        account, delivery = self.store.work(delivery_id)
        begun = self.store.advance(
            delivery_id, "transferring", event="transfer begins", source=source, transferred=0, next_attempt_at=None
        )
        if not begun:
            self._clear(account, delivery)
            return {"ended": True}
        try:
            return self._stored(account, delivery, source)
        except _Ended:
            return {"ended": True}
        except Exception as error:  # noqa: BLE001 - as in `locate`
            return {"reason": f"{source}: {self._noted(delivery_id, error, source)}"}

    def _noted(self, delivery_id: str, error: Exception, source: str | None = None) -> str:
        """The reason of a failure, now in the trail as well."""
        if not isinstance(error, ExtensoError):
            _log.error("delivery %s from %s failed", delivery_id, source, exc_info=error)
        reason = _reason(error)
        self.store.note(delivery_id, reason, source=source)
        return reason

    def _clear(self, account: str, delivery: Delivery) -> None:
        """Remove what a delivery that came to nothing left behind."""
        if self.store.work(delivery.id)[1].status == "delivered":
            return
        try:
            place = self.destinations.of(account, delivery.order_id)
        except BucketRefused:
            return  # the keys went with the end of the order; a bucket shows no half-written objects
        place.storage.delete_below(f"{place.prefix}/{delivery.product_id}")

    def _stored(self, account: str, delivery: Delivery, source: str) -> dict[str, Any]:
        adapter = self.catalogue.sources[source]
        product = adapter.find((delivery.product_id,)).get(delivery.product_id)
        if product is None:
            raise UnknownProduct(f"{delivery.product_id} is not here any more.", products=[delivery.product_id])
        place = self.destinations.of(account, delivery.order_id)
        content = adapter.open(delivery.product_id)
        key = f"{place.prefix}/{delivery.product_id}/{content.name}"
        stream = _Stream(self.store, delivery.id, source, content)
        # What a killed process left half-written must not stay beside the product.
        place.storage.sweep(key)
        place.storage.put(key, stream.blocks())
        try:
            if not self.store.advance(
                delivery.id, "verifying", event="all bytes arrived", source=source, transferred=stream.count
            ):
                raise _Ended
            if place.free or not stream.compared:
                with place.storage.open(key) as file:
                    verify(file, content.name)
        except BaseException:
            # Whatever it was: what is not known to be right must not lie under the product's name. Unless it is known
            # by now: a process that stood still meets what another one has delivered in the meantime.
            if self.store.work(delivery.id)[1].status != "delivered":
                place.storage.delete(key)
            raise
        # The description travels along: the source may be down by the time the delivery is settled.
        described = product.model_copy(update={"size": stream.count, "size_estimated": False, "links": {}})
        return {
            "key": key,
            "size": stream.count,
            "checksums": stream.checksums(),
            "source": source,
            "product": described.to_wire(),
        }

    def settle(self, delivery_id: str, stored: dict[str, Any]) -> str | None:
        """Write metadata.json and say delivered; None, or why the object is not or cannot be kept.

        The object is taken away when the delivery has ended meanwhile.
        """
        account, delivery = self.store.work(delivery_id)
        if delivery.status == "delivered":
            return None
        metadata = _metadata(delivery, stored)
        if not delivery.ended:
            try:
                self._write(self.destinations.of(account, delivery.order_id), metadata)
            except Exception as error:  # noqa: BLE001 - as in `locate`
                reason = self._noted(delivery_id, error, stored["source"])
                self._clear(account, delivery)
                return reason
        settled = self.store.advance(
            delivery_id,
            "delivered",
            event="verified and delivered",
            source=stored["source"],
            key=stored["key"],
            size=stored["size"],
            transferred=stored["size"],
            checksums=stored["checksums"],
            metadata=metadata.model_copy(update={"trail": ()}).to_wire(),
            error=None,
        )
        if not settled:
            self._clear(account, delivery)
        return None

    @staticmethod
    def _write(place: Place, metadata: DeliveryMetadata) -> None:
        if place.storage.size(metadata.key) != metadata.size:
            raise IncompleteTransfer(f"{metadata.key} has not the {metadata.size:,} bytes that were stored.")
        beside = metadata.key.rpartition("/")[0] + "/metadata.json"
        place.storage.put_bytes(beside, metadata.model_dump_json(by_alias=True, exclude_none=True).encode())

    def postpone(self, delivery_id: str, seconds: float, reason: str, attempt: int, polls: int) -> None:
        """Note that the next attempt comes later."""
        self.store.advance(
            delivery_id,
            "queued",
            event=f"next attempt in {seconds:.0f} s: {reason}",
            next_attempt_at=_in(seconds),
            transferred=0,
            error=reason,
            attempt=attempt + 1,
            polls=polls,
        )

    def fail(self, delivery_id: str, reason: str) -> None:
        """Give up, with the last reason."""
        self.store.advance(
            delivery_id, "failed", event=f"given up: {reason}", error=reason, next_attempt_at=None, transferred=0
        )
        self._clear(*self.store.work(delivery_id))


class _Stream:
    """The bytes of one transfer: counted, hashed, resumed at the same source, checked before the last one is passed on."""

    def __init__(self, store: Store, delivery_id: str, source: str, content: Content) -> None:
        self._store = store
        self._delivery_id = delivery_id
        self._source = source
        self._content = content
        self._hashes = {name: hashlib.new(name.replace("-", "_")) for name in self._algorithms()}
        self._reported = 0.0
        self.count = 0

    def _algorithms(self) -> list[str]:
        given = [name for name in self._content.checksums if name.replace("-", "_") in hashlib.algorithms_available]
        return list(dict.fromkeys(["sha256", *given]))

    @property
    def compared(self) -> bool:
        """Whether the source gave a checksum with which the bytes were compared."""
        return bool(self._content.checksums.keys() & self._hashes.keys())

    def checksums(self) -> dict[str, str]:
        """Hex digests of what went through."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    def blocks(self) -> Iterator[bytes]:
        """All blocks. Raises before the last one is taken when anything is wrong, so that nothing is stored."""
        resumes = 0
        while True:
            try:
                for block in self._content.read(self.count):
                    self._take(block)
                    yield block
                self._check_size()
            except TransferError as error:
                resumes += 1
                if resumes > RESUMES or isinstance(error, (ChecksumMismatch, DamagedProduct)) or self._too_long():
                    raise
                note = f"{error.message} Taken up again at byte {self.count:,}."
                self._store.note(self._delivery_id, note, source=self._source, count=self.count)
                continue
            break
        self._check_checksums()
        if not self._store.progress(self._delivery_id, self.count):
            raise _Ended

    def _take(self, block: bytes) -> None:
        for digest in self._hashes.values():
            digest.update(block)
        self.count += len(block)
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            if not self._store.progress(self._delivery_id, self.count):
                raise _Ended

    def _too_long(self) -> bool:
        return self._content.size is not None and self.count > self._content.size

    def _check_size(self) -> None:
        if self._content.size is not None and self.count != self._content.size:
            raise IncompleteTransfer(
                f"{self._content.name}: {self.count:,} bytes came, {self._content.size:,} were announced."
            )

    def _check_checksums(self) -> None:
        for name, digest in self._hashes.items():
            announced = self._content.checksums.get(name)
            if announced is not None and announced.lower() != digest.hexdigest():
                raise ChecksumMismatch(
                    f"{self._content.name}: {name} is {digest.hexdigest()}, {announced.lower()} was announced."
                )


def _reason(error: Exception) -> str:
    """What went wrong, as text that can be stored: the names of files may hold bytes that are none."""
    text = error.message if isinstance(error, ExtensoError) else f"{type(error).__name__}: {error}"
    return text.encode("utf-8", "backslashreplace").decode()


def _metadata(delivery: Delivery, stored: dict[str, Any]) -> DeliveryMetadata:
    return DeliveryMetadata(
        product=Product.from_wire(stored["product"]),
        key=stored["key"],
        size=stored["size"],
        checksums=stored["checksums"],
        source=stored["source"],
        delivered_at=datetime.now(UTC),
        trail=delivery.trail,
    )


def _in(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(tzinfo=None)


_NO_END = 2**31 - 1
"""DBOS gives a workflow up after so many crashes of its process; here only the schedule decides when to give up."""


def _workflow(delivery_id: str, attempt: int, polls: int, again: int = 0) -> str:
    return f"delivery-{delivery_id}.{attempt}.{polls}" + (f".{again}" if again else "")


_LIVING = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
_STRANDED = "with an older version"


def _states(turns: list[Turn], versions: set[str]) -> dict[Turn, str]:
    """The state of the workflow of each delivery that has one; those of other versions, which nobody goes on with."""
    states: dict[Turn, str] = {}
    for first in range(0, len(turns), 500):
        names = {_workflow(*turn): turn for turn in turns[first : first + 500]}
        found = DBOS.list_workflows(workflow_ids=list(names), load_input=False, load_output=False)
        for flow in found:
            stranded = flow.status in _LIVING and flow.app_version not in versions
            states[names[flow.workflow_id]] = _STRANDED if stranded else flow.status
    return states


def _queue(source: str) -> str:
    return f"source-{source}"


def _waiting(source: str) -> str:
    return f"waiting-{source}"


def _register(queue: str, *, each: int | None = None, overall: int | None = None) -> None:
    """A queue with its limits: workflows at once in each process, and in all of them."""
    DBOS.register_queue(
        queue,
        worker_concurrency=each,
        global_concurrency=overall,
        polling_interval_sec=POLL_SECONDS,
        on_conflict="always_update",
    )


# --- the workflow ----------------------------------------------------------------------------------------------------
# Plain functions, since DBOS finds them by name after a restart. A step is done once; killed within, it is done again.
_current: Deliveries | None = None


def _deliveries() -> Deliveries:
    if _current is None:
        raise RuntimeError("Deliveries.start() has not been called in this process.")
    return _current


@DBOS.step(name="locate")
def _locate(delivery_id: str) -> dict[str, Any]:
    return _deliveries().locate(delivery_id)


@DBOS.step(name="warm-up")
def _warm_up(delivery_id: str, source: str, attempt: int, polls: int) -> str | None:
    return _deliveries().warm_up(delivery_id, source, attempt, polls)


@DBOS.step(name="transfer")
def _transfer_step(delivery_id: str, source: str) -> dict[str, Any]:
    return _deliveries().transfer(delivery_id, source)


@DBOS.step(name="settle")
def _settle(delivery_id: str, stored: dict[str, Any]) -> str | None:
    return _deliveries().settle(delivery_id, stored)


@DBOS.step(name="postpone")
def _postpone(delivery_id: str, seconds: float, reason: str, attempt: int, polls: int) -> None:
    _deliveries().postpone(delivery_id, seconds, reason, attempt, polls)


@DBOS.step(name="fail")
def _fail(delivery_id: str, reason: str) -> None:
    _deliveries().fail(delivery_id, reason)


@DBOS.step(name="wait")
def _wait(attempt: int) -> float | None:
    # A step, for its chance must be drawn once: a workflow that is taken up again has to go the same way.
    return _deliveries().schedule.wait(attempt)


@DBOS.workflow(name="transfer", max_recovery_attempts=_NO_END)
def _transfer(delivery_id: str, source: str) -> dict[str, Any]:
    # A workflow of its own, in the queue of its source: what only waits or warms up takes no place in that queue.
    return _transfer_step(delivery_id, source)


@DBOS.workflow(name="deliver", max_recovery_attempts=_NO_END)
def _deliver(delivery_id: str, attempt: int, polls: int) -> None:
    """One attempt. What has to wait is another workflow, delayed: hours of waiting take neither thread nor place."""
    place = _locate(delivery_id)
    if place.get("ended"):
        return
    reason = place["reason"]
    if place["cold"] and polls < COLD_POLLS:
        refused = _warm_up(delivery_id, place["cold"], attempt, polls)
        if refused is None:
            _later(delivery_id, COLD_POLL_SECONDS, attempt, polls + 1)
            return
        reason = refused
    elif place["cold"]:
        reason = "it stayed cold for three days"
    for source in place["sources"]:
        handle = DBOS.enqueue_workflow(_queue(source), _transfer, delivery_id, source)
        stored = handle.get_result(polling_interval_sec=POLL_SECONDS)
        if stored.get("ended"):
            return
        reason = _settle(delivery_id, stored) if "key" in stored else stored["reason"]
        if reason is None:
            return
    seconds = _wait(attempt)
    if seconds is None:
        _fail(delivery_id, reason)
        return
    _postpone(delivery_id, seconds, reason, attempt, polls)
    _later(delivery_id, seconds, attempt + 1, polls)


def _later(delivery_id: str, seconds: float, attempt: int, polls: int) -> None:
    _enqueue(delivery_id, attempt, polls, queue=_deliveries().waiting_queue(delivery_id), seconds=seconds)


def _enqueue(
    delivery_id: str, attempt: int, polls: int, again: int = 0, *, queue: str, seconds: float | None = None
) -> None:
    with SetWorkflowID(_workflow(delivery_id, attempt, polls, again)), SetEnqueueOptions(delay_seconds=seconds):
        DBOS.enqueue_workflow(queue, _deliver, delivery_id, attempt, polls)
