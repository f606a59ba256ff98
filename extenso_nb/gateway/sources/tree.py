"""A product whose files lie one by one at the far end, as the bytes of one stored zip that is readable from any offset.

The order of the zip is that of the names, the manifest first: so whoever reads the stream can hold all that follows to
it. Files of some MB are streamed when their turn comes. Of smaller ones a few are fetched at the same time, ahead of
their turn and into memory, since each costs the wait for an answer however little is in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import NoReturn, Self

from extenso_nb import checksums as sums
from extenso_nb.errors import ChecksumMismatch, DamagedProduct, IncompleteTransfer
from extenso_nb.gateway.manifest import NAMES as MANIFESTS
from extenso_nb.gateway.manifest import is_manifest
from extenso_nb.gateway.sources import Content
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.storedzip import Member, StoredZip, dos_time
from extenso_nb.gateway.zipnames import Names, quoted, unsafe
from extenso_nb.products import ProductId
from extenso_nb.readers.entries import MEMBERS_MAX

__all__ = ["AHEAD", "AT_ONCE", "SMALL", "Leaf", "leaf_at", "tree_content"]

SMALL = 2_000_000
"""Bytes up to which a file is fetched ahead of its turn."""
AHEAD = 8_000_000
"""Bytes of such files in memory at most, for each reading."""
AT_ONCE = 4
"""Files that are fetched at the same time, at most."""
_MARKER = "_$folder$"
"""Ends the names of the empty objects with which some tools show folders in a store that has none."""


@dataclass(frozen=True)
class Leaf:
    """One file of a product."""

    name: str
    """Below the product's folder, with `/`."""
    size: int
    """Bytes."""
    read: Callable[[int], Iterator[bytes]] = field(repr=False)
    """As that of `Content`. Threads may read different leaves at the same time."""
    crc: int | None = None
    """CRC-32, where the archive gives it: the zip then needs no look at the data for its directory."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """As the archive writes them; each is compared once all of the file was read."""
    remarks: deque[str] | None = field(default=None, repr=False, compare=False)
    """As those of `Content`."""


def leaf_at(
    remote: Remote,
    name: str,
    url: str | Callable[[], str],
    size: int,
    *,
    checksums: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    authorised: bool = True,
    kept: bool = True,
) -> Leaf:
    """The file at a URL, resumed and refused as a product is: see `Remote.content`, also for the arguments."""
    pairs = dict(checksums)
    content = remote.content(name, url, size=size, checksums=pairs, authorised=authorised, kept=kept)
    return Leaf(name, size, content.read, checksums=content.checksums, remarks=content.remarks)


def tree_content(
    identity: ProductId,
    leaves: Iterable[Leaf],
    *,
    source: str,
    remarks: Iterable[str] = (),
    at_once: int = AT_ONCE,
) -> Content:
    """A product of many files as one stored zip. Nothing is read before the first block is asked for.

    Parameters
    ----------
    identity
        Of the product: it names the zip and the folder in it.
    leaves
        Its files, in any order. Empty ones that stand for folders are left out.
    source
        Its name, for messages.
    remarks
        What there is to tell of the product beforehand.
    at_once
        Requests at the same time, at most. 1 where the source counts connections.

    Raises
    ------
    DamagedProduct
        There is no manifest; a name is not that of a file in the product, or comes twice.
    """
    told = deque(remarks, maxlen=100)
    sound = _sorted(identity, leaves, source)
    # The same at each listing, and near what is true.
    time = dos_time((identity.created or identity.stop).timetuple())
    members = []
    for leaf in sound:
        known, unknown = sums.sorted_out(leaf.checksums.items())
        told.extend(f"A checksum of {source} is not compared: {reason}" for reason in unknown)
        told.extend(_taken(leaf.remarks))
        crc = leaf.crc if leaf.size else 0
        members.append(Member(f"{identity.id}{identity.extension}/{leaf.name}", leaf.size, time, crc, known))
    stream = StoredZip(members, lambda: _Opened(source, sound, members, told, at_once))
    return Content(identity.archive_name, stream.size, stream.read, {}, told)


def _sorted(identity: ProductId, leaves: Iterable[Leaf], source: str) -> list[Leaf]:
    """The files in the order of the zip."""

    def refuse(why: str) -> NoReturn:
        raise DamagedProduct(f"{source} holds {identity.id} not as it should be: {why}.", source=source)

    if identity.extension == ".nc":
        refuse("it is one file, and many are there")
    root, names, sound = f"{identity.id}{identity.extension}", Names(), list[Leaf]()
    for leaf in leaves:
        if not leaf.size and leaf.name.endswith(("/", _MARKER)):
            continue
        if leaf.size < 0:
            refuse(f"{quoted(leaf.name)} has {leaf.size} bytes")
        raw = _utf8(leaf.name)
        if raw is None or leaf.name.endswith("/") or {"", "."} & set(leaf.name.split("/")):
            refuse(f"the name {quoted(leaf.name)} is not one of a file")
        if why := unsafe(raw, leaf.name):
            refuse(f"the name {quoted(leaf.name)} {why}")
        names.add(f"{root}/".encode() + raw, f"{root}/{leaf.name}", refuse)
        sound.append(leaf)
        if len(sound) > MEMBERS_MAX:
            refuse(f"it has more than {MEMBERS_MAX:,} files")
    if not any(_leads(leaf.name) for leaf in sound):
        wanted = "xfdumanifest.xml" if identity.extension == ".SEN3" else "manifest.safe"
        refuse(f"its {wanted} is missing" + (f" among {len(sound):,} files" if sound else ", as is all else"))
    return sorted(sound, key=lambda leaf: (not _leads(leaf.name), leaf.name))


def _leads(name: str) -> bool:
    return "/" not in name and name.lower() in MANIFESTS and is_manifest(name)


def _taken(remarks: deque[str] | None) -> Iterator[str]:
    """What there is to tell, taken out. Several threads may have come to tell."""
    with suppress(IndexError):
        while remarks:
            yield remarks.popleft()


def _utf8(name: str) -> bytes | None:
    try:
        return name.encode()
    except UnicodeEncodeError:
        return None


# --- during one reading ----------------------------------------------------------------------------------------------
class _Opened:
    """The files' data. Raises what reading them raises, and for those of the wrong size or checksum as `Content` has it."""

    def __init__(self, source: str, leaves: list[Leaf], members: list[Member], told: deque[str], at_once: int) -> None:
        self._source, self._leaves, self._members, self._told = source, leaves, members, told
        self._at_once = at_once
        self._ahead: _Ahead | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ahead is not None:
            self._ahead.stop()

    def blocks(self, index: int, start: int) -> Generator[bytes, None, None]:
        if self._leaves[index].size > SMALL:
            yield from self._streamed(index, start)
            return
        if self._ahead is None or not self._ahead.has(index):
            if self._ahead is not None:
                self._ahead.stop()
            run = self._run(index)
            self._ahead = _Ahead(self._whole, {one: self._leaves[one].size for one in run}, self._at_once)
        yield self._ahead.take(index)[start:]
        self._ahead.give_back(index)

    def starts_anywhere(self, index: int) -> bool:
        return True

    def differs(self, index: int, what: str) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"{self._source}: {self._leaves[index].name} is not what was announced, or read before: {what}.",
            source=self._source,
        )

    def finish(self) -> None:
        pass

    def _run(self, index: int) -> list[int]:
        """The small files from one on, up to the next that is large: beside that one nothing else is read."""
        run = []
        for one in range(index, len(self._leaves)):
            if self._leaves[one].size > SMALL:
                break
            if self._leaves[one].size:
                run.append(one)
        return run

    def _streamed(self, index: int, start: int) -> Generator[bytes, None, None]:
        leaf, at = self._leaves[index], start
        read = leaf.read(start)
        try:
            for block in read:
                at += len(block)
                if at > leaf.size:
                    raise self.differs(index, f"it has more than its {leaf.size:,} bytes")
                yield block
            if at < leaf.size:
                raise IncompleteTransfer(
                    f"{self._source} ended {leaf.name} after {at:,} of {leaf.size:,} bytes.", source=self._source
                )
        finally:
            if (close := getattr(read, "close", None)) is not None:
                close()
            self._told.extend(_taken(leaf.remarks))

    def _whole(self, index: int, wanted: Callable[[], bool]) -> bytes:
        """A small file. Nothing of it was handed on yet, so it is asked for again at once where it came wrong."""
        try:
            return self._once(index, wanted)
        except (ChecksumMismatch, IncompleteTransfer) as error:
            self._told.append(f"{error.message} It was asked for again.")
        return self._once(index, wanted)

    def _once(self, index: int, wanted: Callable[[], bool]) -> bytes:
        collected = bytearray()
        with closing(self._streamed(index, 0)) as blocks:
            for block in blocks:
                collected += block
                if not wanted():
                    return b""
        whole = bytes(collected)
        for name, digest in self._members[index].checksums.items():
            made = sums.hasher(name)
            made.update(whole)
            if made.hexdigest() != digest:
                raise self.differs(index, f"its {name} is {made.hexdigest()}, {digest} was announced")
        return whole


class _Ahead:
    """Files fetched whole by threads of their own, in order, and kept until they are taken. Room is made by giving back.

    `fetch` gives the bytes of one; it looks from time to time whether they are still wanted.
    """

    def __init__(
        self, fetch: Callable[[int, Callable[[], bool]], bytes], sizes: Mapping[int, int], at_once: int
    ) -> None:
        self._fetch, self._sizes = fetch, dict(sizes)
        self._waiting, self._room = deque(sizes), AHEAD
        self._done: dict[int, bytes | BaseException] = {}
        self._late: dict[int, int] = {}
        """Those on their way that nobody will take."""
        self._stopped = False
        self._change = threading.Condition()
        # A thread for as many as there are: one that has to wait for room is no use, but no harm either.
        for _ in range(min(at_once, len(sizes))):
            threading.Thread(target=self._work, name="tree", daemon=True).start()

    def has(self, index: int) -> bool:
        """Whether it is one of these, and was not taken yet."""
        return index in self._sizes

    def take(self, index: int) -> bytes:
        """The bytes of a file, once they are there. Raises what fetching it raised."""
        with self._change:
            self._pass_over(index)
            self._change.wait_for(lambda: index in self._done)
            done = self._done.pop(index)
        if isinstance(done, BaseException):
            raise done
        return done

    def _pass_over(self, index: int) -> None:
        """Give up what stands before a file and was never taken: nobody would give back the room that it has."""
        for one in [known for known in self._sizes if known < index]:
            size = self._sizes.pop(one)
            if one in self._waiting:
                self._waiting.remove(one)
            elif one in self._done:
                del self._done[one]
                self._room += size
            else:
                self._late[one] = size
        self._change.notify_all()

    def give_back(self, index: int) -> None:
        """Say that a file that was taken is done with."""
        with self._change:
            self._room += self._sizes.pop(index)
            self._change.notify_all()

    def stop(self) -> None:
        """Want nothing more."""
        with self._change:
            self._stopped = True
            self._done.clear()
            self._change.notify_all()

    def _wanted(self) -> bool:
        return not self._stopped

    def _next(self) -> int | None:
        with self._change:
            self._change.wait_for(
                lambda: self._stopped or not self._waiting or self._sizes[self._waiting[0]] <= self._room
            )
            if self._stopped or not self._waiting:
                return None
            index = self._waiting.popleft()
            self._room -= self._sizes[index]
            return index

    def _work(self) -> None:
        while (index := self._next()) is not None:
            done: bytes | BaseException
            try:
                done = self._fetch(index, self._wanted)
            except BaseException as error:  # noqa: BLE001 - whoever takes it raises it
                done = error
            with self._change:
                if index in self._late:
                    self._room += self._late.pop(index)
                else:
                    self._done[index] = done
                self._change.notify_all()
