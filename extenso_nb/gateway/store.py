"""The tables: accounts, orders, deliveries, their trail. Quota is always a sum over rows, never a counter that can drift."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from extenso_nb.errors import (
    IdempotencyConflict,
    OrderFinished,
    QuotaExceeded,
    UnknownAccount,
    UnknownDelivery,
    UnknownOrder,
)
from extenso_nb.gateway.database import Database, database_url, plain_text, sqlite_url
from extenso_nb.gateway.tables import accounts, deliveries, orders, trail
from extenso_nb.models import (
    DELIVERY_ENDED,
    Account,
    Delivery,
    DeliveryStatus,
    Destination,
    Order,
    OrderStatus,
    Storage,
    TrailEntry,
)

__all__ = [
    "DEFAULT_QUOTA",
    "NewDelivery",
    "Store",
    "Turn",
    "database_url",
    "order_status",
    "sqlite_url",
]

DEFAULT_QUOTA = 10_000_000_000
"""Bytes of free storage of an account."""

_OURS = {"again", "attempt", "fair", "holder", "metadata", "polls", "position"}
"""Columns of a delivery that the API does not show with it."""
_OPEN = deliveries.c.status.not_in(sorted(DELIVERY_ENDED))


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One product of an order that is about to be accepted."""

    product_id: str
    size: int
    """Bytes to reserve."""
    source: str | None = None


class Turn(NamedTuple):
    """Where a delivery stands: which attempt comes next, and how often its cold product has been looked at."""

    delivery_id: str
    attempt: int = 1
    polls: int = 0
    again: int = 0
    """How often this very turn was begun anew, since its workflow broke off."""


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def order_status(counts: Mapping[str, int]) -> OrderStatus:
    """The status of an order from the number of its deliveries in each status."""
    present = {status for status, count in counts.items() if count}
    if present - DELIVERY_ENDED:
        return "queued" if present == {"queued"} else "running"
    if present == {"delivered"}:
        return "delivered"
    if "delivered" in present:
        return "partial"
    return "failed" if "failed" in present else "cancelled"


class Store(Database):
    """The gateway's memory: who may what, what was ordered, how far it is."""

    # --- accounts ----------------------------------------------------------------------------------------------------
    def add_account(self, name: str, *, key: str, role: str = "user", quota: int = DEFAULT_QUOTA) -> str:
        """Make an account with an API key, of which only the hash is kept; the account's id.

        Nothing happens when the key has an account already.
        """
        with self._write() as connection:
            known = connection.scalar(sa.select(accounts.c.id).where(accounts.c.key_hash == _hashed(key)))
            if known:
                return str(known)
            account = secrets.token_hex(6)
            row = {"id": account, "name": name, "role": role, "quota": quota}
            connection.execute(accounts.insert().values(**row, key_hash=_hashed(key), created_at=_now()))
            return account

    def account_of_key(self, key: str) -> str | None:
        """The account of an API key, or None: no such key, or revoked."""
        with self._read() as connection:
            this = (accounts.c.key_hash == _hashed(key)) & accounts.c.revoked_at.is_(None)
            found = connection.scalar(sa.select(accounts.c.id).where(this))
            return None if found is None else str(found)

    def has_account(self, account: str) -> bool:
        """Whether there is such an account, and its key has not been revoked."""
        with self._read() as connection:
            this = (accounts.c.id == account) & accounts.c.revoked_at.is_(None)
            return connection.scalar(sa.select(accounts.c.id).where(this)) is not None

    def accounts(self) -> list[tuple[Account, bool]]:
        """All accounts, oldest first, and whether the key of each is still good."""
        with self._read() as connection:
            rows = connection.execute(sa.select(accounts).order_by(accounts.c.created_at, accounts.c.id)).all()
            return [
                (
                    Account(id=row.id, name=row.name, role=row.role, storage=_storage(connection, row.id)),
                    row.revoked_at is None,
                )
                for row in rows
            ]

    def set_quota(self, account: str, quota: int) -> None:
        """Change the free storage of an account; orders accepted before stay. Raises UnknownAccount."""
        self._change_account(account, quota=quota)

    def revoke(self, account: str) -> None:
        """Refuse the key of an account, and all its tokens, from now on; what it owns stays. Raises UnknownAccount."""
        self._change_account(account, revoked_at=_now())

    def _change_account(self, account: str, **values: Any) -> None:
        with self._write() as connection:
            changed = connection.execute(accounts.update().where(accounts.c.id == account).values(**values))
            if changed.rowcount != 1:
                raise UnknownAccount(f"There is no account {account!r}.")

    def account(self, account: str) -> Account:
        """An account with its storage."""
        with self._read() as connection:
            row = connection.execute(sa.select(accounts).where(accounts.c.id == account)).mappings().one()
            return Account(id=row["id"], name=row["name"], role=row["role"], storage=_storage(connection, account))

    # --- orders ------------------------------------------------------------------------------------------------------
    def add_order(
        self,
        account: str,
        products: Sequence[NewDelivery],
        *,
        idempotency_key: str | None = None,
        body_hash: str | None = None,
        bucket: tuple[Destination, str] | None = None,
    ) -> tuple[Order, bool]:
        """Accept an order and reserve its quota, in one transaction; the order, and whether it is a new one.

        `bucket` is the user's own and its sealed keys; such an order costs no quota.

        Raises QuotaExceeded, and IdempotencyConflict when the key was used with another body.
        """
        with self._write() as connection:
            # One order of an account at a time: two at once must not both find the same bytes free.
            connection.execute(sa.select(accounts.c.id).where(accounts.c.id == account).with_for_update())
            earlier = self._earlier(connection, account, idempotency_key, body_hash)
            if earlier is not None:
                return earlier, False
            needed = sum(product.size for product in products)
            storage = _storage(connection, account)
            if bucket is None and needed > storage.free:
                raise QuotaExceeded(
                    f"The order needs {needed:,} bytes, and {storage.free:,} of {storage.quota:,} are free.",
                    needed=needed,
                    free=storage.free,
                    quota=storage.quota,
                )
            row: dict[str, Any] = {"account": account, "idempotency_key": idempotency_key, "body_hash": body_hash}
            if bucket is not None:
                row |= {"bucket": bucket[0].to_wire(), "bucket_keys": bucket[1]}
            order_id = _insert_order(connection, row, products)
            return _order(connection, account, order_id), True

    def earlier_order(self, account: str, idempotency_key: str | None, body_hash: str) -> Order | None:
        """The order that this key placed before, if any. Raises IdempotencyConflict when it was another one."""
        with self._read() as connection:
            return self._earlier(connection, account, idempotency_key, body_hash)

    @staticmethod
    def _earlier(
        connection: sa.Connection, account: str, idempotency_key: str | None, body_hash: str | None
    ) -> Order | None:
        if idempotency_key is None:
            return None
        same = (orders.c.account == account) & (orders.c.idempotency_key == idempotency_key)
        row = connection.execute(sa.select(orders.c.id, orders.c.body_hash, orders.c.deleted_at).where(same)).first()
        if row is None:
            return None
        if row.body_hash != body_hash or row.deleted_at is not None:
            what = "a deleted order" if row.deleted_at is not None else "another order"
            raise IdempotencyConflict(f"The Idempotency-Key was used before, with {what} ({row.id}).", order=row.id)
        return _order(connection, account, row.id)

    def order(self, account: str, order_id: int) -> Order:
        """An order of the account. Raises UnknownOrder."""
        with self._read() as connection:
            return _order(connection, account, order_id)

    def orders(self, account: str, start: int, rows: int) -> tuple[int, list[Order]]:
        """Orders of the account, newest first: their number, and one page of them."""
        mine = (orders.c.account == account) & orders.c.deleted_at.is_(None)
        with self._read() as connection:
            total = connection.scalar(sa.select(sa.func.count()).select_from(orders).where(mine)) or 0
            page = sa.select(orders).where(mine).order_by(orders.c.id.desc()).offset(start).limit(rows)
            return total, _orders(connection, connection.execute(page).all())

    def cancel_order(self, account: str, order_id: int) -> tuple[Order, list[str]]:
        """Cancel what has not ended; the order and the deliveries that were cancelled. Raises OrderFinished."""
        with self._write() as connection:
            _hold_order(connection, order_id)
            before = _order(connection, account, order_id)
            if before.ended:
                raise OrderFinished(f"Order {order_id} has ended already: {before.status}.", status=before.status)
            cancelled = _cancel(connection, order_id)
            return _order(connection, account, order_id), cancelled

    def delete_order(self, account: str, order_id: int) -> list[str]:
        """Take an order away from the account and give its quota back; the deliveries that were cancelled by it.

        Its objects are removed by the caller, who then says `removed`.
        """
        with self._write() as connection:
            _hold_order(connection, order_id)
            _order(connection, account, order_id)
            cancelled = _cancel(connection, order_id)
            connection.execute(orders.update().where(orders.c.id == order_id).values(deleted_at=_now()))
            return cancelled

    def destination(self, order_id: int) -> tuple[Destination, str | None]:
        """Where an order goes, and the sealed keys of the bucket as long as it lasts."""
        with self._read() as connection:
            row = connection.execute(sa.select(orders).where(orders.c.id == order_id)).one()
            return _destination(row), row.bucket_keys

    def to_remove(self) -> list[tuple[str, int]]:
        """Deleted orders whose objects may still lie in the storage: account and order."""
        waiting = orders.c.deleted_at.is_not(None) & ~orders.c.removed
        with self._read() as connection:
            return [(row.account, row.id) for row in connection.execute(sa.select(orders).where(waiting))]

    def removed(self, order_id: int) -> None:
        """Note that the objects of a deleted order are gone."""
        with self._write() as connection:
            connection.execute(orders.update().where(orders.c.id == order_id).values(removed=True))

    # --- deliveries --------------------------------------------------------------------------------------------------
    def deliveries(
        self, account: str, *, order_id: int | None = None, status: str | None = None, start: int = 0, rows: int = 100
    ) -> tuple[int, list[Delivery]]:
        """Deliveries of the account: their number and one page, newest order first. Raises UnknownOrder."""
        with self._read() as connection:
            if order_id is not None:
                _owned(connection, account, order_id)
            joined = deliveries.join(orders)
            mine = (orders.c.account == account) & orders.c.deleted_at.is_(None)
            if order_id is not None:
                mine &= deliveries.c.order_id == order_id
            if status is not None:
                mine &= deliveries.c.status == status
            total = connection.scalar(sa.select(sa.func.count()).select_from(joined).where(mine)) or 0
            page = sa.select(deliveries).select_from(joined).where(mine)
            page = page.order_by(deliveries.c.order_id.desc(), deliveries.c.position).offset(start).limit(rows)
            found = [dict(row) for row in connection.execute(page).mappings()]
            return total, _deliveries(connection, found)

    def delivery(self, account: str, order_id: int, delivery_id: str) -> Delivery:
        """A delivery. Raises UnknownOrder, UnknownDelivery."""
        with self._read() as connection:
            _owned(connection, account, order_id)
            this = (deliveries.c.id == plain_text(delivery_id)) & (deliveries.c.order_id == order_id)
            row = connection.execute(sa.select(deliveries).where(this)).mappings().first()
            if row is None:
                raise UnknownDelivery(f"Order {order_id} has no delivery {delivery_id!r}.")
            return _deliveries(connection, [dict(row)])[0]

    def metadata(self, delivery_id: str) -> dict[str, Any]:
        """What was written beside a delivered product, without its trail."""
        with self._read() as connection:
            found = connection.scalar(sa.select(deliveries.c.metadata).where(deliveries.c.id == delivery_id))
            return dict(found or {})

    def due_deliveries(self) -> list[Turn]:
        """The turns of all deliveries that have not ended and wait for no later time, oldest first."""
        due = _OPEN & (deliveries.c.next_attempt_at.is_(None) | (deliveries.c.next_attempt_at <= _now()))
        with self._read() as connection:
            page = sa.select(deliveries.c.id, deliveries.c.attempt, deliveries.c.polls, deliveries.c.again).where(due)
            page = page.order_by(deliveries.c.order_id, deliveries.c.position)
            return [Turn(*row) for row in connection.execute(page)]

    def again(self, turn: Turn) -> Turn | None:
        """The same turn under a new name; None when it is over, or another process was quicker."""
        same = (deliveries.c.attempt == turn.attempt) & (deliveries.c.polls == turn.polls)
        this = (deliveries.c.id == turn.delivery_id) & same & (deliveries.c.again == turn.again) & _OPEN
        with self._write() as connection:
            changed = connection.execute(deliveries.update().where(this).values(again=turn.again + 1))
            return turn._replace(again=turn.again + 1) if changed.rowcount == 1 else None

    def open_deliveries(self) -> list[str]:
        """All deliveries of all accounts that have not ended, oldest first."""
        with self._read() as connection:
            page = sa.select(deliveries.c.id).where(_OPEN).order_by(deliveries.c.order_id, deliveries.c.position)
            return [str(delivery) for delivery in connection.scalars(page)]

    def work(self, delivery_id: str) -> tuple[str, Delivery]:
        """What a workflow needs to know: the account and the delivery."""
        with self._read() as connection:
            row = connection.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id)).mappings().first()
            if row is None:
                raise UnknownDelivery(f"There is no delivery {delivery_id!r}.")
            account = connection.scalar(sa.select(orders.c.account).where(orders.c.id == row["order_id"]))
            return str(account), _deliveries(connection, [dict(row)])[0]

    def advance(
        self,
        delivery_id: str,
        status: DeliveryStatus,
        *,
        event: str | None = None,
        source: str | None = None,
        **values: Any,
    ) -> bool:
        """Move a delivery to a status, with a line of its trail; False when it has ended, and then nothing changes."""
        with self._write() as connection:
            if status in DELIVERY_ENDED:
                _hold_order(connection, int(delivery_id.partition("-")[0]))
            this = (deliveries.c.id == delivery_id) & _OPEN
            if source is not None:
                values["source"] = source
            if values.get("error") is not None:
                values["error"] = plain_text(values["error"])
            if values.keys() & {"attempt", "polls"}:
                values["again"] = 0
            changed = connection.execute(
                deliveries.update().where(this).values(status=status, updated_at=_now(), **values)
            )
            if changed.rowcount != 1:
                return False
            if event is not None:
                _note(connection, delivery_id, event, source, values.get("transferred"))
            if status in DELIVERY_ENDED:
                _forget_keys(connection, int(delivery_id.partition("-")[0]))
            return True

    def note_fair(self, delivery_id: str, attempt: int) -> None:
        """Note that an attempt failed for another reason than wrong bytes."""
        with self._write() as connection:
            connection.execute(deliveries.update().where((deliveries.c.id == delivery_id) & _OPEN).values(fair=attempt))

    def last_fair(self, delivery_id: str) -> int:
        """The last attempt that failed for another reason than wrong bytes; 0 for none."""
        with self._read() as connection:
            return int(connection.scalar(sa.select(deliveries.c.fair).where(deliveries.c.id == delivery_id)) or 0)

    def begin_transfer(self, delivery_id: str, source: str) -> str | None:
        """Give a delivery to a transfer that begins; its token, or None when the delivery has ended.

        Only the transfer that began last may write: one that a killed, paused or slow process still carries on finds
        that it is not the holder any more.
        """
        holder = secrets.token_hex(8)
        begun = self.advance(
            delivery_id,
            "transferring",
            event="transfer begins",
            source=source,
            transferred=0,
            next_attempt_at=None,
            holder=holder,
        )
        return holder if begun else None

    def progress(self, delivery_id: str, holder: str, transferred: int, status: DeliveryStatus | None = None) -> bool:
        """Note bytes transferred; False when the delivery has ended meanwhile, or another transfer holds it."""
        with self._write() as connection:
            this = (deliveries.c.id == delivery_id) & (deliveries.c.holder == holder) & _OPEN
            values: dict[str, Any] = {"transferred": transferred, "updated_at": _now()}
            if status is not None:
                values["status"] = status
            changed = connection.execute(deliveries.update().where(this).values(**values))
            if changed.rowcount == 1 and status is not None:
                _note(connection, delivery_id, "all bytes arrived", None, transferred)
            return bool(changed.rowcount == 1)

    def holds(self, delivery_id: str, holder: str) -> bool:
        """Whether a delivery is open, and this transfer the one that may write."""
        this = (deliveries.c.id == delivery_id) & (deliveries.c.holder == holder) & _OPEN
        with self._read() as connection:
            return connection.scalar(sa.select(deliveries.c.id).where(this)) is not None

    def room(self, delivery_id: str) -> int | None:
        """Bytes that a delivery may come to: what it reserved and what is free; None for a bucket of the user's."""
        with self._read() as connection:
            return _room(connection, delivery_id)

    def deliver(self, delivery_id: str, holder: str, *, size: int, source: str, **values: Any) -> bool:
        """Settle a delivery that arrived; False when it has ended, or another transfer holds it.

        Raises QuotaExceeded when it came out larger than what it reserved and what is free.
        """
        with self._write() as connection:
            _hold_order(connection, int(delivery_id.partition("-")[0]))
            account = sa.select(orders.c.account).join(deliveries).where(deliveries.c.id == delivery_id)
            connection.execute(sa.select(accounts.c.id).where(accounts.c.id.in_(account)).with_for_update())
            this = (deliveries.c.id == delivery_id) & (deliveries.c.holder == holder) & _OPEN
            if connection.scalar(sa.select(deliveries.c.id).where(this)) is None:
                return False
            room = _room(connection, delivery_id)
            if room is not None and size > room:
                raise QuotaExceeded(
                    f"The product came to {size:,} bytes, and there is room for {room:,}.", needed=size, free=room
                )
            moment = {"updated_at": _now(), "next_attempt_at": None, "error": None}
            row = {"status": "delivered", "size": size, "transferred": size, "source": source, **moment, **values}
            if connection.execute(deliveries.update().where(this).values(**row)).rowcount != 1:
                return False
            _note(connection, delivery_id, "verified and delivered", source, size)
            _forget_keys(connection, int(delivery_id.partition("-")[0]))
            return True

    def delivered_before(self, delivery_id: str) -> Delivery | None:
        """The newest delivery of the same product that lies in the free storage of the same account, if there is one."""
        with self._read() as connection:
            this = sa.select(deliveries.c.product_id, orders.c.account).join(orders)
            product_id, account = connection.execute(this.where(deliveries.c.id == delivery_id)).one()
            mine = (orders.c.account == account) & orders.c.deleted_at.is_(None) & orders.c.bucket.is_(None)
            same = mine & (deliveries.c.product_id == product_id) & (deliveries.c.status == "delivered")
            newest = sa.select(deliveries).join(orders).where(same).order_by(deliveries.c.updated_at.desc()).limit(1)
            row = connection.execute(newest).mappings().first()
            return None if row is None else _deliveries(connection, [dict(row)])[0]

    def note(self, delivery_id: str, event: str, *, source: str | None = None, count: int | None = None) -> None:
        """Add a line to the trail of a delivery."""
        with self._write() as connection:
            _note(connection, delivery_id, event, source, count)


def _hashed(key: str) -> str:
    # Keys are 256 random bits, so that a plain hash is enough: there is nothing to guess.
    return hashlib.sha256(key.encode()).hexdigest()


def _insert_order(connection: sa.Connection, row: dict[str, Any], products: Sequence[NewDelivery]) -> int:
    now = _now()
    inserted = connection.execute(orders.insert().values(**row, created_at=now, removed=False))
    assert inserted.inserted_primary_key is not None
    order_id = int(inserted.inserted_primary_key[0])
    common = {"order_id": order_id, "status": "queued", "transferred": 0, "created_at": now, "updated_at": now}
    rows = [
        {
            **common,
            "id": f"{order_id}-{position}",
            "position": position,
            "product_id": product.product_id,
            "size": product.size,
            "source": product.source,
        }
        for position, product in enumerate(products, start=1)
    ]
    connection.execute(deliveries.insert(), rows)
    connection.execute(
        trail.insert(), [{"delivery_id": row["id"], "time": now, "event": "order accepted"} for row in rows]
    )
    return order_id


def _cancel(connection: sa.Connection, order_id: int) -> list[str]:
    open_here = (deliveries.c.order_id == order_id) & _OPEN
    ending = deliveries.update().where(open_here).values(status="cancelled", updated_at=_now(), next_attempt_at=None)
    # In one statement: what ends by itself between a look and the update must not be told as cancelled.
    cancelled = sorted(str(found) for found in connection.scalars(ending.returning(deliveries.c.id)))
    for delivery_id in cancelled:
        _note(connection, delivery_id, "cancelled", None, None)
    _forget_keys(connection, order_id)
    return cancelled


def _hold_order(connection: sa.Connection, order_id: int) -> None:
    """One at a time ends deliveries of an order: two that end the last two would each find the other's still open.

    Taken before any of its deliveries is changed, so that no two wait for each other.
    """
    connection.execute(sa.select(orders.c.id).where(orders.c.id == order_id).with_for_update())


def _forget_keys(connection: sa.Connection, order_id: int) -> None:
    """Forget the keys of a bucket when the last delivery of its order has ended."""
    still = sa.exists().where((deliveries.c.order_id == order_id) & _OPEN)
    connection.execute(orders.update().where((orders.c.id == order_id) & ~still).values(bucket_keys=None))


def _destination(row: Any) -> Destination:
    return Destination.from_wire(row.bucket) if row.bucket else Destination()


def _note(connection: sa.Connection, delivery_id: str, event: str, source: str | None, count: int | None) -> None:
    row = {"delivery_id": delivery_id, "time": _now(), "event": plain_text(event), "source": source, "bytes": count}
    connection.execute(trail.insert().values(**row))


def _storage(connection: sa.Connection, account: str) -> Storage:
    """What the rows add up to: delivered products are used, open deliveries are reserved, all else is free.

    What goes into buckets of users costs nothing.
    """
    quota = connection.scalar(sa.select(accounts.c.quota).where(accounts.c.id == account)) or 0
    mine = (orders.c.account == account) & orders.c.deleted_at.is_(None) & orders.c.bucket.is_(None)
    # In one statement: between two, a delivery that arrives would be in neither sum.
    sums = [
        sa.func.sum(sa.case((which, deliveries.c.size), else_=0))
        for which in (deliveries.c.status == "delivered", _OPEN)
    ]
    found = connection.execute(sa.select(*sums).select_from(deliveries.join(orders)).where(mine)).one()
    used, reserved = int(found[0] or 0), int(found[1] or 0)
    return Storage(quota=quota, used=used, reserved=reserved, free=quota - used - reserved)


def _room(connection: sa.Connection, delivery_id: str) -> int | None:
    this = sa.select(deliveries.c.size, orders.c.account, orders.c.bucket).join(orders)
    row = connection.execute(this.where(deliveries.c.id == delivery_id)).one()
    return None if row.bucket else int(row.size + max(_storage(connection, row.account).free, 0))


def _owned(connection: sa.Connection, account: str, order_id: int) -> Any:
    this = (orders.c.id == order_id) & (orders.c.account == account) & orders.c.deleted_at.is_(None)
    row = connection.execute(sa.select(orders).where(this)).first()
    if row is None:
        raise UnknownOrder(f"There is no order {order_id} of this account.")
    return row


def _order(connection: sa.Connection, account: str, order_id: int) -> Order:
    return _orders(connection, [_owned(connection, account, order_id)])[0]


def _orders(connection: sa.Connection, rows: Sequence[Any]) -> list[Order]:
    """Orders with what their deliveries add up to; two statements, however many they are."""
    parts = (deliveries.c.order_id, deliveries.c.product_id, deliveries.c.status, deliveries.c.size)
    these = sa.select(*parts, deliveries.c.updated_at).where(deliveries.c.order_id.in_([row.id for row in rows]))
    items: dict[int, list[Any]] = {row.id: [] for row in rows}
    for item in connection.execute(these.order_by(deliveries.c.order_id, deliveries.c.position)):
        items[item.order_id].append(item)
    return [_summed(row, items[row.id]) for row in rows]


def _summed(row: Any, items: Sequence[Any]) -> Order:
    counts = dict(Counter(item.status for item in items))
    return Order(
        id=row.id,
        status=order_status(counts),
        created_at=row.created_at,
        updated_at=max((item.updated_at for item in items), default=row.created_at),
        products=tuple(item.product_id for item in items),
        size=sum(item.size for item in items),
        delivered_size=sum(item.size for item in items if item.status == "delivered"),
        destination=_destination(row),
        deliveries=counts,
    )


def _deliveries(connection: sa.Connection, rows: list[dict[str, Any]]) -> list[Delivery]:
    ids = [row["id"] for row in rows]
    lines: dict[str, list[TrailEntry]] = {delivery_id: [] for delivery_id in ids}
    if ids:
        these = sa.select(trail).where(trail.c.delivery_id.in_(ids)).order_by(trail.c.id)
        for line in connection.execute(these):
            entry = TrailEntry(time=line.time, event=line.event, source=line.source, bytes=line.bytes)
            lines[line.delivery_id].append(entry)
    return [
        Delivery(**{name: value for name, value in row.items() if name not in _OURS}, trail=tuple(lines[row["id"]]))
        for row in rows
    ]
