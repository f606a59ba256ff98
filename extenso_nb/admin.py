"""Accounts of a gateway, for its operator: create, list, revoke, set quota; also while the gateway runs.

A gateway is named by its data directory (a path), or by the database that its processes share (a URL, as text).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from extenso_nb import _html
from extenso_nb.errors import DataDirectoryReadOnly, InputError

if TYPE_CHECKING:
    from extenso_nb.gateway.store import Store

__all__ = ["create", "listed", "quota_bytes", "revoke", "set_quota"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MOST = 10**18
"""Bytes; larger numbers do not fit into the tables."""


def quota_bytes(text: str) -> int:
    """Bytes of a size such as `500MB`, `10 GB` (decimal units) or `1000000`. Raises InputError."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([KMGT]?B)?", text.strip().upper(), re.ASCII)
    size = int(Decimal(found[1]) * _UNITS[found[2] or ""]) if found else -1
    if not 0 <= size <= _MOST:
        raise InputError(f"{text!r} is not a size.", hint="Write it as 500MB, 10GB or in bytes.")
    return size


@contextlib.contextmanager
def _store(place: Path | str, *, makes: bool = False) -> Iterator[Store]:
    from extenso_nb.gateway.store import Store, database_url, sqlite_url

    if isinstance(place, str):
        store = Store(database_url(place))
    elif not (makes or (place / "gateway.db").exists()):
        # To make tables there, and to say that they are empty, would be an answer about another gateway.
        raise InputError(
            f"{place} is not the data directory of a gateway.",
            hint="Name it with --data-dir or EXTENSO_DATA_DIR, or the database that processes share with --database.",
        )
    else:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirectoryReadOnly(f"{place} cannot be written: {error.strerror or error}.") from error
        store = Store(sqlite_url(place.resolve() / "gateway.db"))
    try:
        yield store
    finally:
        store.close()


def create(place: Path | str, name: str, *, role: Literal["user", "operator"] = "user", quota: int) -> tuple[str, str]:
    """Make an account; its id and its API key, which is kept nowhere and cannot be shown again."""
    from extenso_nb.gateway.access import new_api_key

    key = new_api_key()
    with _store(place, makes=True) as store:
        return store.add_account(name, key=key, role=role, quota=quota), key


def listed(place: Path | str) -> list[str]:
    """A line for each account: id, name, role, storage, and whether it was revoked. Raises InputError: no gateway there."""
    with _store(place) as store:
        return [
            f"{account.id}  {account.name:<16} {account.role:<9} {_html.bytes_text(account.storage.used)} used,"
            f" {_html.bytes_text(account.storage.reserved)} reserved of {_html.bytes_text(account.storage.quota)}"
            + ("" if good else "  revoked")
            for account, good in store.accounts()
        ]


def set_quota(place: Path | str, account: str, quota: int) -> None:
    """Change the free storage of an account. Raises UnknownAccount."""
    with _store(place) as store:
        store.set_quota(account, quota)


def revoke(place: Path | str, account: str) -> None:
    """Refuse the key and the tokens of an account from now on. Raises UnknownAccount."""
    with _store(place) as store:
        store.revoke(account)
