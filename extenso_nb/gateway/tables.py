"""The tables of a gateway: accounts, orders, deliveries, their trail; and what its processes know of each other."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["SCHEMA", "accounts", "deliveries", "facts", "leases", "meta", "orders", "processes", "trail"]

SCHEMA = 2
"""Version of the tables below. Raise it with each change of them. Columns that are added are nullable or have a
`server_default`: then the tables of an older version are completed when a newer gateway starts, and the older processes
beside it go on."""

meta = sa.MetaData()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite counts only an INTEGER up by itself, and that has 64 bits there."""

accounts = sa.Table(
    "accounts",
    meta,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("quota", sa.BigInteger, nullable=False),
    sa.Column("key_hash", sa.String, nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("revoked_at", sa.DateTime),
)
orders = sa.Table(
    "orders",
    meta,
    sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("account", sa.ForeignKey("accounts.id"), nullable=False, index=True),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("idempotency_key", sa.String),
    sa.Column("body_hash", sa.String),
    sa.Column("bucket", sa.JSON(none_as_null=True)),
    sa.Column("bucket_keys", sa.String),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("account", "idempotency_key"),
    # Numbers of deleted orders must not come back: their keys and links would point at another order.
    sqlite_autoincrement=True,
)
deliveries = sa.Table(
    "deliveries",
    meta,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("order_id", sa.ForeignKey("orders.id"), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("product_id", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("transferred", sa.BigInteger, nullable=False, default=0),
    sa.Column("source", sa.String),
    sa.Column("key", sa.String),
    sa.Column("checksums", sa.JSON(none_as_null=True)),
    sa.Column("metadata", sa.JSON(none_as_null=True)),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
    sa.Column("next_attempt_at", sa.DateTime),
    sa.Column("attempt", sa.Integer, nullable=False, default=1),
    sa.Column("polls", sa.Integer, nullable=False, default=0),
    sa.Column("holder", sa.String),
    sa.Column("again", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("fair", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("error", sa.String),
)
trail = sa.Table(
    "trail",
    meta,
    sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("delivery_id", sa.ForeignKey("deliveries.id"), nullable=False, index=True),
    sa.Column("time", sa.DateTime, nullable=False),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("source", sa.String),
    sa.Column("bytes", sa.BigInteger),
)

# --- what the processes of one gateway know of each other; times are seconds by the database's clock -------------------
facts = sa.Table(
    "facts",
    meta,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)
processes = sa.Table(
    "processes",
    meta,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("sources", sa.String, nullable=False),
    sa.Column("steps", sa.String, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("silent", sa.Float, nullable=False),
)
leases = sa.Table(
    "leases",
    meta,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)
