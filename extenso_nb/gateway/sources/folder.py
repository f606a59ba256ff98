"""Any directory of real products as a source: found, described from their own metadata, searched in memory.

Nothing is ever written into the directory. Whatever looks like a product but cannot be offered stands in `skipped`,
with the reason. The index follows the directory: it is scanned again when asked, at most every few seconds and at most
a twentieth of the time, and only what is new or changed is described again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from extenso_nb import products
from extenso_nb.errors import ExtensoError, ProductIdError, ReaderError, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.packing import Packed, pack
from extenso_nb.gateway.sources import Content, Hits
from extenso_nb.models import Product
from extenso_nb.query import Query, order
from extenso_nb.readers import describe
from extenso_nb.readers.entries import MEMBERS_MAX, is_plain

__all__ = ["FolderSource"]

_PRODUCT_FOLDERS = (".safe", ".sen3")
_MANIFESTS = frozenset({"manifest.safe", "xfdumanifest.xml", "MTD_MSIL1C.xml", "MTD_MSIL2A.xml"})
Stamp = tuple[int, ...]
"""What changes when a product changes: inode, size and times of a file; a hash over all files of a folder."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One path that may be a product: either `product` and `packed` are there, or `reason` says why not."""

    path: Path
    stamp: Stamp
    product: Product | None = None
    packed: Packed | None = None
    reason: str = ""
    passing: bool = False
    """Whether the reason may pass without the product changing: a disk that failed, say."""
    time: float = 0.0

    @property
    def rank(self) -> tuple[int, float, str]:
        """Of two copies of a product the one with more bytes is offered, then the newer one."""
        assert self.packed is not None
        return self.packed.payload, self.time, str(self.path)


@dataclass(frozen=True, slots=True)
class _Index:
    """The directory at one moment."""

    entries: dict[Path, _Entry] = field(default_factory=dict)
    by_id: dict[str, _Entry] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)


class FolderSource:
    """A directory of products behind the protocol of sources. Threads may share it.

    Parameters
    ----------
    path
        The directory. Products (SAFE and SEN3 folders, zips of them, Sentinel-5P netCDF files) are found at any depth;
        links are not followed.
    name
        Of the source, as it appears in `Product.sources` and in trails.
    rescan_after
        Seconds that an index is used at least before the directory is looked at again.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str = "folder", rescan_after: float = 2.0) -> None:
        self.name = name
        self.path = Path(path).expanduser().absolute()
        self.rescan_after = rescan_after
        self._index: _Index | None = None
        self._due = 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        known = "not scanned yet" if self._index is None else f"{len(self._index.by_id)} products"
        return f"<FolderSource {self.name}: {self.path}, {known}>"

    @property
    def skipped(self) -> dict[Path, str]:
        """What looks like a product but is not offered, and why. Raises SourceUnavailable as all methods do."""
        return dict(self._fresh().skipped)

    # -- the protocol ------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """Products of a collection that match; see `Source`."""
        wanted = products.collection(collection)
        offered = [entry.product for entry in self._fresh().by_id.values() if entry.product is not None]
        now = datetime.now(UTC)  # one NOW for all of them
        found = order([p for p in offered if p.collection == wanted and query.matches(p, now=now)], orderby)
        return Hits(len(found), tuple(found[start : start + rows]))

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        """Products by identifier; those not held are left out."""
        held = self._fresh().by_id
        return {name: held[name].product for name in product_ids if name in held}  # type: ignore[misc]

    def warm_up(self, product_id: str) -> None:
        """Nothing to do: what lies in a folder is online. Raises UnknownProduct for what does not."""
        self._entry(product_id)

    def open(self, product_id: str) -> Content:
        """The bytes of a delivery of the product; a folder or deflated zip becomes a stored zip on the way."""
        entry = self._entry(product_id)
        packed = entry.packed
        if self._stamp_of(entry.path) != entry.stamp:  # changed since the last scan: its layout is another one now
            packed = pack(entry.path, product_id)
        assert packed is not None
        return Content(packed.name, packed.size, packed.read, as_is=True)

    def quicklook(self, product_id: str) -> bytes:
        """JPEG or PNG from the product itself. Raises NoQuicklook, UnknownProduct."""
        entry = self._entry(product_id)
        self._stamp_of(entry.path)
        return describe.quicklook(entry.path)

    def check(self) -> int | None:
        """Number of products offered; raises SourceUnavailable when the directory is missing or unreadable."""
        return len(self._fresh().by_id)

    def _stamp_of(self, path: Path) -> Stamp:
        """The stamp of a product now. Raises SourceUnavailable when it is gone, or a link leads elsewhere by now."""
        try:
            if path.resolve(strict=True) != self.path.resolve() / path.relative_to(self.path):
                raise SourceUnavailable(f"{path} is a link by now; links are not followed.")
            return _stamp(path)
        except (OSError, RuntimeError) as error:
            raise SourceUnavailable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error

    # -- the index ---------------------------------------------------------------------------------------------------
    def _entry(self, product_id: str) -> _Entry:
        entry = self._fresh().by_id.get(product_id)
        if entry is None:
            raise UnknownProduct(f"{self.name} does not hold {product_id}.", products=[product_id])
        return entry

    def _fresh(self) -> _Index:
        """The index, brought up to date when it is due; while another thread does that, the one before it."""
        _list(self.path)  # a directory that went away is an error at once, not an index of what was
        index = self._index
        if index is not None and (time.monotonic() < self._due or not self._lock.acquire(blocking=False)):
            return index
        if index is None:
            self._lock.acquire()
        try:
            if self._index is None or time.monotonic() >= self._due:
                began = time.monotonic()
                self._index = self._scan(self._index or _Index())
                ended = time.monotonic()
                self._due = ended + max(self.rescan_after, 20 * (ended - began))
            return self._index
        finally:
            self._lock.release()

    def _scan(self, before: _Index) -> _Index:
        entries: dict[Path, _Entry] = {}
        skipped: dict[Path, str] = {}
        for path in _candidates(self.path, skipped):
            try:
                stamp = _stamp(path)
            except OSError as error:
                skipped[path] = f"It cannot be read: {error.strerror}."
                continue
            known = before.entries.get(path)
            same = known is not None and known.stamp == stamp and not known.passing
            entries[path] = known if known is not None and same else self._look(path, stamp)
        by_id: dict[str, _Entry] = {}
        for entry in entries.values():
            if entry.product is None:
                skipped[entry.path] = entry.reason
                continue
            other = by_id.get(entry.product.id)
            best = entry if other is None or entry.rank > other.rank else other
            if other is not None:
                worse = other if best is entry else entry
                more = worse.rank[0] < best.rank[0]
                skipped[worse.path] = (
                    f"The same product is at {best.path}, and {'more complete' if more else 'newer'} there."
                )
            by_id[entry.product.id] = best
        return _Index(entries, by_id, skipped)

    def _look(self, path: Path, stamp: Stamp) -> _Entry:
        try:
            product = describe.describe(path)
            packed = pack(path, product.id)
            product = product.model_copy(update={"size": packed.size, "sources": (self.name,), "online": True})
            return _Entry(path, stamp, product, packed, time=path.stat().st_mtime)
        except ExtensoError as error:
            return _Entry(path, stamp, reason=error.message, passing=type(error) in {SourceUnavailable, ReaderError})
        except Exception as error:  # noqa: BLE001 - one odd file must not hide all the others
            reason = f"It cannot be described: {type(error).__name__}: {error}"
            return _Entry(path, stamp, reason=reason, passing=isinstance(error, OSError))


# --- the directory ---------------------------------------------------------------------------------------------------
def _list(path: Path) -> None:
    """Raise SourceUnavailable unless the directory can be listed."""
    try:
        os.scandir(path).close()
    except OSError as error:
        raise SourceUnavailable(
            f"The directory {path} cannot be read: {error.strerror}.",
            hint="Check that it is there, mounted and readable for the gateway.",
        ) from error


def _candidates(root: Path, skipped: dict[Path, str]) -> Iterator[Path]:
    """Paths that may be products, sorted within each folder; what stands in the way is noted in `skipped`."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            if folder == root:
                raise SourceUnavailable(f"The directory {root} cannot be read: {error.strerror}.") from error
            skipped[folder] = f"It cannot be read: {error.strerror}."
            continue
        names = {item.name for item in items}
        if folder != root and _is_named(folder.name) and not names & _MANIFESTS:
            skipped[folder] = "It is named like a product, but has no manifest; only what lies below it was looked at."
        for item in items:
            path = Path(item.path)
            if not _is_visible(path, skipped):
                continue
            if item.is_symlink():
                if _may_be_product(path.name, is_folder=path.is_dir()):
                    skipped[path] = "It is a link; links are not followed."
            elif _may_be_product(item.name, is_folder=item.is_dir()) or _is_bare(path, item.is_dir()):
                yield path
            elif item.is_dir() and item.name.lower().endswith(".zarr"):
                skipped[path] = "Zarr stores are not offered by this source."
            elif item.is_dir():
                waiting.append(path)


def _is_visible(path: Path, skipped: dict[Path, str]) -> bool:
    """Whether a name may be that of a product, or of a folder that holds some."""
    if path.name.startswith(".") or path.name == "__MACOSX":
        return False
    if not is_plain(path.name):
        skipped[path] = "Its name is not UTF-8, or has control characters; rename it."
        return False
    return True


def _may_be_product(name: str, *, is_folder: bool) -> bool:
    return name.lower().endswith(_PRODUCT_FOLDERS if is_folder else (".zip", ".nc"))


def _is_named(name: str) -> bool:
    try:
        products.parse(name)
    except ProductIdError:
        return False
    return True


def _is_bare(path: Path, is_folder: bool) -> bool:
    """Whether a folder is a product without `.SAFE` or `.SEN3` to its name."""
    return is_folder and _is_named(path.name) and any((path / name).is_file() for name in _MANIFESTS)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    if not path.is_dir():
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    seen: list[tuple[str, int, int, int]] = []
    waiting = [str(path)]
    while waiting:
        with os.scandir(waiting.pop()) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    waiting.append(item.path)
                else:
                    of_item = item.stat(follow_symlinks=False)
                    if len(seen) > MEMBERS_MAX:
                        return -1, 0  # no product: `describe` says so
                    seen.append((item.path, of_item.st_size, of_item.st_mtime_ns, of_item.st_ctime_ns))
    return len(seen), hash(tuple(sorted(seen)))
