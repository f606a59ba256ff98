"""Deliveries: one durable workflow each, from a source into the storage. Killed at any point, it goes on where it was."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos._dbos import _get_dbos_instance

from extenso_nb import retry
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.destinations import Destinations
from extenso_nb.gateway.sources import STORAGE, limits_of
from extenso_nb.gateway.store import Store, Turn
from extenso_nb.gateway.transfers import Transfers

__all__ = ["STEPS_VERSION", "Deliveries"]

STEPS_VERSION = "2"
"""DBOS resumes a workflow only under the version that began it. Raise this when the steps below change their meaning,
and only then: what is under way is begun anew, with all its bytes, once no process of the older version lives."""
COLD_POLL_SECONDS = 900.0
"""How often a cold product is looked at while it warms up."""
COLD_POLLS = 4 * 24 * 3
"""Three days of them; extenSO spoke of up to two."""
ASK_AGAIN = 4 * 24
"""After so many looks the source is asked once more: a warm-up that was forgotten or swept away would never come."""
WRONG_BYTES = 3
"""After so many attempts in a row in which every source gave bytes that are not the product, more do not help."""
LONGEST_WAIT = 24 * 3600.0
"""Whatever a source asks for."""
POLL_SECONDS = 0.2
"""How often the queues are looked at."""
RECONCILE_SECONDS = 30.0
"""How often open deliveries are looked through for those whose workflow broke off, or was never begun."""
LEASE_SECONDS = 15.0
"""How long a process that stands still keeps the others from looking through them."""
LEASE_POLL_SECONDS = 0.5
MOST_AGAIN = 100
"""How often a workflow that breaks off by a fault of ours is begun anew: most of an hour, while a full disk is noticed."""
KEEP_SECONDS = 7 * 24 * 3600.0
"""How long DBOS remembers what is over: longer than any limit on warm-ups looks back."""
SWEEP_SECONDS = 3600.0
MOST_AT_ONCE = 50
"""Deliveries of one source under way in one process, those that wait for a place at the source included; each is a thread.
What waits for its next attempt, or warms up, is none."""

_log = logging.getLogger(__name__)


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
        self.transfers = Transfers(store, destinations, catalogue)
        self.schedule = schedule
        self._due, self._stopped = threading.Event(), threading.Event()
        self._swept = -SWEEP_SECONDS
        self._counted = -RECONCILE_SECONDS
        self._idle: set[str] = set()
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
            _register(_queue(STORAGE), each=4)
            for name, source in self.catalogue.sources.items():
                limits = limits_of(source)
                # Of all processes together, for that is what the source sees.
                _register(_queue(name), overall=limits.transfers)
                _register(_waiting(name), each=MOST_AT_ONCE)
                _register(_warming(name), each=MOST_AT_ONCE, rate=limits.warm_ups)
        self._remove_deleted()
        self._dispatcher = threading.Thread(target=self._dispatch, name="extenso-dispatch", daemon=True)
        self._dispatcher.start()

    def stop(self) -> None:
        """End without waiting for transfers; the next process takes them up."""
        global _current  # noqa: PLW0603
        self._stopped.set()
        self.transfers.stopped.set()
        self.begin()
        if self._dispatcher is not None:
            # Not for ever: it may wait for a database that is away.
            self._dispatcher.join(timeout=10)
        self.transfers.indexer.close()
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _current = None

    def begin(self) -> None:
        """Begin the workflows of accepted orders, soon: those of 1,000 products take longer than a request may."""
        self._due.set()

    def _dispatch(self) -> None:
        while not self._stopped.is_set():
            pause = RECONCILE_SECONDS
            try:
                self._revive()
                # One process at a time looks through them. That spares work and is not relied on: each of them may
                # stand still for a while between a look and what it does about it.
                if self._leads():
                    self._reconcile()
                    self._remove_deleted()
                    self._sweep()
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
        versions = {STEPS_VERSION} | {process.steps for process in self.store.processes()}
        _let_go(versions)
        states = _states(waiting, versions)
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

    def _revive(self) -> None:
        """Take up again what this process is said to be at, and is not.

        A workflow whose end could not be noted, on a full disk say, has no thread any more; it would keep its delivery
        and its place at the source for ever.
        """
        if time.monotonic() < self._counted + RECONCILE_SECONDS:
            return
        self._counted = time.monotonic()
        claimed = DBOS.list_workflows(
            status="PENDING",
            executor_id=self.executor_id,
            app_version=STEPS_VERSION,
            load_input=False,
            load_output=False,
        )
        dbos = _get_dbos_instance()
        idle = {flow.workflow_id for flow in claimed} - set(dbos._active_workflows_set.activeList())  # noqa: SLF001
        # Seen twice: one that was claimed a moment ago has no thread yet.
        for workflow in idle & self._idle:
            _log.warning("workflow %s broke off without a word: taken up again", workflow)
            # As `take_over` does, and for the same reason.
            dbos._sys_db.reenqueue_for_recovery(workflow, [self.executor_id], _queue(STORAGE))  # noqa: SLF001
        self._idle = idle

    def _sweep(self) -> None:
        """Forget workflows that are long over: a year of deliveries is a slow database otherwise."""
        if time.monotonic() < self._swept + SWEEP_SECONDS:
            return
        before = (datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)).isoformat()
        while not self._stopped.is_set():
            over = DBOS.list_workflows(
                status=["SUCCESS", "ERROR", "CANCELLED"],
                completed_before=before,
                limit=500,
                load_input=False,
                load_output=False,
            )
            if not over:
                break
            DBOS.delete_workflows([flow.workflow_id for flow in over])
        self._swept = time.monotonic()

    def _begin_anew(self, turn: Turn, state: str) -> None:
        """A workflow that broke off by a fault of ours must not keep its delivery open for ever."""
        # Under a new name, and only while the delivery stands where it was seen to stand: its workflow may have moved it
        # on, and ended, between the two looks, and another process may have been quicker.
        if turn.again >= MOST_AGAIN:
            self.fail(turn.delivery_id, f"the gateway failed at it {turn.again} times; its log says why")
            return
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
        _enqueue(*turn, queue=self.queue_of(turn))

    def queue_of(self, turn: Turn) -> str:
        """Where a turn waits: with those of its source, so that a slow source holds up no other.

        A turn that will ask for a warm-up waits where the source's limit on those is kept.
        """
        source = self.store.work(turn.delivery_id)[1].source
        known = str(source if source in self.catalogue.sources else next(iter(self.catalogue.sources)))
        return _warming(known) if _asks(turn.polls) else _waiting(known)

    def _remove_deleted(self) -> None:
        for account, order_id in self.store.to_remove():
            if self._stopped.is_set():
                return
            try:
                self.remove(account, order_id)
            except Exception:  # noqa: BLE001 - one that cannot be removed must keep neither the others nor the gateway
                _log.warning("the objects of order %s could not be removed; again later", order_id, exc_info=True)

    def remove(self, account: str, order_id: int) -> None:
        """Remove the objects of a deleted order."""
        with self._removing:
            self.destinations.remove(account, order_id)
            self.store.removed(order_id)

    # --- what the steps do -------------------------------------------------------------------------------------------
    def locate(self, delivery_id: str, attempt: int, polls: int) -> dict[str, Any]:
        """Which sources have the product online, and which have it cold; or why that cannot be said."""
        _, delivery = self.store.work(delivery_id)
        if delivery.ended:
            # An earlier attempt may have stored it before it failed.
            self.transfers.clear(delivery_id)
            return {"ended": True}
        held, failed = self.catalogue.holders(delivery.product_id)
        # The source that was asked to warm it up, or is about to be.
        asked = str(delivery.source) if polls else None
        if asked and self._used_up(delivery_id, attempt):
            # The attempts at all others are used up; what is left is that one.
            held = {name: product for name, product in held.items() if name == asked}
        online = [name for name, product in held.items() if product.online]
        cold = [name for name, product in held.items() if not product.online]
        failures = [
            self.transfers.failure(delivery_id, error, name)
            for name, error in failed.items()
            # One that lacks credentials is no failure where others hold it: it would overrule how long those ask to wait.
            if not (held and getattr(error, "details", {}).get("lacks"))
        ]
        if not held and not failures:
            failures.append({"reason": f"No source holds {delivery.product_id} any more.", "wrong": True})
        elif asked and asked not in held and asked not in failed:
            failures.append({"reason": f"{asked} does not hold {delivery.product_id} any more."})
        if asked:
            # One that does not answer now goes on warming it up: to begin anew would be to stand at the end of the line.
            cold = [asked] if asked in cold or asked in failed else []
        if self.store.delivered_before(delivery_id) is not None:
            online.insert(0, STORAGE)
        return {"sources": online, "cold": cold, "failures": failures}

    def await_warm_up(self, delivery_id: str, cold: list[str], attempt: int) -> str:
        """Put a cold product in the line for a warm-up at one of the sources that hold it; that source."""
        source = cold[(attempt - 1) % len(cold)]
        event = "cold; it waits for its turn to be warmed up"
        turn = {"attempt": attempt, "polls": 1}
        self.store.advance(delivery_id, "warming", event=event, source=source, next_attempt_at=None, **turn)
        return source

    def warm_up(self, delivery_id: str, cold: list[str], attempt: int, polls: int) -> dict[str, Any] | None:
        """Ask for a cold product where it is time to, and note when to look again; or why it cannot be asked for."""
        _, delivery = self.store.work(delivery_id)
        source = cold[0]
        event = None
        if _asks(polls):
            try:
                told = self.catalogue.sources[source].warm_up(delivery.product_id)
            except Exception as error:  # noqa: BLE001 - a source may raise anything; the delivery must come to an end
                return self.transfers.failure(delivery_id, error, source)
            event = told or "warm-up asked for"
        later = _in(COLD_POLL_SECONDS)
        turn = {"attempt": attempt, "polls": polls + 1}
        self.store.advance(delivery_id, "warming", event=event, source=source, next_attempt_at=later, **turn)
        return None

    def wait(self, delivery_id: str, attempt: int, failures: list[dict[str, Any]]) -> float | None:
        """Seconds until the next attempt, or None when there is none."""
        if not all(failure.get("wrong") for failure in failures):
            self.store.note_fair(delivery_id, attempt)
        elif failures and self._used_up(delivery_id, attempt):
            return None
        asked = [failure.get("retry_after") for failure in failures]
        # Only when all of them ask for patience: one that does not may be well in five seconds.
        patience = min((float(one) for one in asked if one is not None), default=None) if None not in asked else None
        seconds = self.schedule.wait(attempt)
        # Never less than by the schedule: "Retry-After: 1", or a date by another clock, would use up all attempts at once.
        return None if seconds is None else min(max(seconds, patience or 0.0), LONGEST_WAIT)

    def _used_up(self, delivery_id: str, attempt: int) -> bool:
        """Whether a delivery has had all its attempts, or enough of those in a row that gave nothing but wrong bytes."""
        wrong = attempt - self.store.last_fair(delivery_id)
        return wrong >= WRONG_BYTES or self.schedule.wait(attempt, chance=0.5) is None

    def postpone(self, delivery_id: str, seconds: float, reason: str, attempt: int) -> None:
        """Note that the next attempt comes later."""
        self.store.advance(
            delivery_id,
            "queued",
            event=f"next attempt in {seconds:.0f} s: {reason}",
            next_attempt_at=_in(seconds),
            transferred=0,
            error=reason,
            attempt=attempt + 1,
            polls=0,
        )

    def fail(self, delivery_id: str, reason: str) -> None:
        """Give up, with the last reason."""
        self.store.advance(
            delivery_id, "failed", event=f"given up: {reason}", error=reason, next_attempt_at=None, transferred=0
        )
        self.transfers.clear(delivery_id)


def _asks(polls: int) -> bool:
    """Whether the turn after so many looks at a cold product asks its source to warm it up."""
    return polls % ASK_AGAIN == 1


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


def _let_go(versions: set[str]) -> None:
    """Cancel what other versions were at, with which nobody goes on: it would keep its place at the source for ever.

    Also where the delivery has ended meanwhile; one that is open is begun anew.
    """
    for flow in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
        if flow.app_version not in versions:
            DBOS.cancel_workflow(flow.workflow_id)


def _queue(source: str) -> str:
    return f"source-{source}"


def _waiting(source: str) -> str:
    return f"waiting-{source}"


def _warming(source: str) -> str:
    return f"warming-{source}"


def _register(
    queue: str, *, each: int | None = None, overall: int | None = None, rate: tuple[int, float] | None = None
) -> None:
    """A queue with its limits: workflows at once in each process, and in all of them; begun in so many seconds."""
    DBOS.register_queue(
        queue,
        worker_concurrency=each,
        global_concurrency=overall,
        limiter=None if rate is None else {"limit": rate[0], "period": rate[1]},
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
def _locate(delivery_id: str, attempt: int, polls: int) -> dict[str, Any]:
    return _deliveries().locate(delivery_id, attempt, polls)


@DBOS.step(name="await-warm-up")
def _await_warm_up(delivery_id: str, cold: list[str], attempt: int) -> str:
    return _deliveries().await_warm_up(delivery_id, cold, attempt)


@DBOS.step(name="warm-up")
def _warm_up(delivery_id: str, cold: list[str], attempt: int, polls: int) -> dict[str, Any] | None:
    return _deliveries().warm_up(delivery_id, cold, attempt, polls)


@DBOS.step(name="transfer")
def _transfer_step(delivery_id: str, source: str) -> dict[str, Any]:
    return _deliveries().transfers.bring(delivery_id, source)


@DBOS.step(name="settle")
def _settle(delivery_id: str, stored: dict[str, Any]) -> dict[str, Any] | None:
    return _deliveries().transfers.settle(delivery_id, stored)


@DBOS.step(name="postpone")
def _postpone(delivery_id: str, seconds: float, reason: str, attempt: int) -> None:
    _deliveries().postpone(delivery_id, seconds, reason, attempt)


@DBOS.step(name="fail")
def _fail(delivery_id: str, reason: str) -> None:
    _deliveries().fail(delivery_id, reason)


@DBOS.step(name="wait")
def _wait(delivery_id: str, attempt: int, failures: list[dict[str, Any]]) -> float | None:
    # A step, for its chance must be drawn once: a workflow that is taken up again has to go the same way.
    return _deliveries().wait(delivery_id, attempt, failures)


@DBOS.workflow(name="transfer", max_recovery_attempts=_NO_END)
def _transfer(delivery_id: str, source: str) -> dict[str, Any]:
    # A workflow of its own, in the queue of its source: what only waits or warms up takes no place in that queue.
    return _transfer_step(delivery_id, source)


@DBOS.workflow(name="deliver", max_recovery_attempts=_NO_END)
def _deliver(delivery_id: str, attempt: int, polls: int) -> None:
    """One attempt. What has to wait is another workflow, delayed: hours of waiting take neither thread nor place."""
    place = _locate(delivery_id, attempt, polls)
    if place.get("ended"):
        return
    cold, tried = list(place["cold"]), []
    for source in place["sources"]:
        failure = _brought(delivery_id, source)
        if failure is None:
            return
        if failure["cold"]:
            cold.append(source)  # it said online, and is not
        elif source != STORAGE:  # deleted meanwhile: then it is as if it had never been there
            tried.append(failure)
    failures = [*place["failures"], *tried]
    seconds = _wait(delivery_id, attempt, failures)
    # Those that have it online come first, but when they cannot give it, one that must warm it up is the last hope.
    if cold and polls < COLD_POLLS and (not tried or seconds is None):
        refused = _warmed(delivery_id, cold, attempt, polls)
        if refused is None:
            return
        failures.append(refused)
        seconds = _wait(delivery_id, attempt, failures)
    # Whatever else there is to say of sources that could not be asked: begun anew it would be three more days.
    given_up = not failures or (bool(cold) and polls >= COLD_POLLS and not tried)
    reason = "it stayed cold for three days" if given_up else failures[-1]["reason"]
    if seconds is None or given_up:
        _fail(delivery_id, reason)
        return
    _postpone(delivery_id, seconds, reason, attempt)
    _later(Turn(delivery_id, attempt + 1, 0), seconds)


def _brought(delivery_id: str, source: str) -> dict[str, Any] | None:
    """None when the product was delivered, or the delivery has ended; else the failure."""
    handle = DBOS.enqueue_workflow(_queue(source), _transfer, delivery_id, source)
    stored: dict[str, Any] = handle.get_result(polling_interval_sec=POLL_SECONDS)
    if stored.get("ended"):
        return None
    return _settle(delivery_id, stored) if "key" in stored else stored


def _warmed(delivery_id: str, cold: list[str], attempt: int, polls: int) -> dict[str, Any] | None:
    """None when the product waits for its warm-up, or warms up; else why it does not."""
    if polls == 0:
        _await_warm_up(delivery_id, cold, attempt)
        _later(Turn(delivery_id, attempt, 1))
        return None
    refused = _warm_up(delivery_id, cold, attempt, polls)
    if refused is None:
        _later(Turn(delivery_id, attempt, polls + 1), COLD_POLL_SECONDS)
    return refused


def _later(turn: Turn, seconds: float | None = None) -> None:
    _enqueue(*turn, queue=_deliveries().queue_of(turn), seconds=seconds)


def _enqueue(
    delivery_id: str, attempt: int, polls: int, again: int = 0, *, queue: str, seconds: float | None = None
) -> None:
    with SetWorkflowID(_workflow(delivery_id, attempt, polls, again)), SetEnqueueOptions(delay_seconds=seconds):
        DBOS.enqueue_workflow(queue, _deliver, delivery_id, attempt, polls)
