"""One product at a remote source, read from any byte on: what comes belongs there, or an error says why not."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import Protocol

from extenso_nb._html import bytes_text
from extenso_nb.errors import ChecksumMismatch, DamagedProduct, ExtensoError, IncompleteTransfer, SourceUnavailable
from extenso_nb.gateway.sources.words import is_page, title

__all__ = ["Answer", "Reading"]

_HEAD = 16
"""Bytes at the beginning of a product that are looked at."""
_PAGE_LIMIT = 65_536
"""Bytes of a page that are looked at for its title."""
_MAGIC = {".zip": (b"PK\x03\x04",), ".nc": (b"\x89HDF", b"CDF\x01", b"CDF\x02", b"CDF\x05")}
"""How files begin, by the end of their name."""
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_OWN_PAGES = (".html", ".htm", ".xhtml")
"""Ends of the names of files that are pages themselves; a SAFE folder has some."""


class Answer(Protocol):
    """What a source answers to a request for bytes. Redirects and refused tokens are dealt with."""

    status: int
    headers: Mapping[str, str]

    def blocks(self) -> Iterator[bytes]:
        """The body, without its Content-Encoding. Raises IncompleteTransfer when it breaks off."""

    def refusal(self, what: str) -> ExtensoError:
        """The error that it stands for when it is not what was asked for."""

    def close(self) -> None:
        """Let go of the connection, whether or not the body was read."""


class Reading:
    """One product, and what the first answer said of it, with which later ones are compared.

    `ask` sends a GET with headers and gives its answer, or raises an error of ours. `compared` says whether there is a
    checksum with which the whole will be compared in the end.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[str, dict[str, str]], Answer],
        filename: str,
        url: str | Callable[[], str],
        size: int | None,
        remarks: deque[str],
        *,
        compared: bool,
    ) -> None:
        self._name, self._ask, self._filename, self._url, self._size = name, ask, filename, url, size
        self._remarks, self._compared = remarks, compared
        self._answered = False
        self._lock = threading.Lock()
        self._etag = self._modified = ""
        self._total: int | None = None

    def read(self, offset: int) -> Iterator[bytes]:
        """The bytes from an offset on; see `Content.read`."""
        if self._size is not None and offset >= self._size:
            if offset > self._size:
                raise self._other(f"has {self._size:,} bytes; byte {offset:,} was asked for")
            return
        url = self._url if isinstance(self._url, str) else self._url()
        # A connection for each product: what a server sends beyond the end it announced cannot be taken for the
        # beginning of its next answer, and none stays open that would count for the source's limit.
        headers = {"accept": "*/*", "accept-encoding": "identity", "connection": "close"} | self._from(offset)
        answer = self._ask(url, headers)
        with closing(answer):
            if answer.status == 416 and offset:
                self._check_end(answer, offset)
                return
            if answer.status not in {200, 206}:
                raise answer.refusal(self._filename)
            begins, total = self._place(answer, offset)
            blocks = answer.blocks()
            if not begins:  # before its length is looked at: that it is a page says more than that it is too short
                blocks = self._product(answer, blocks)
            yield from self._rest(blocks, begins, offset, self._remember(answer, offset, total))

    # -- the head of an answer ---------------------------------------------------------------------------------------
    def _from(self, offset: int) -> dict[str, str]:
        if not offset:
            return {}
        headers = {"range": f"bytes={offset}-"}
        with self._lock:
            condition = (self._etag if self._etag.startswith('"') else "") if self._etag else self._modified
        return headers | ({"if-range": condition} if condition else {})

    def _place(self, answer: Answer, offset: int) -> tuple[int, int | None]:
        """Where the body begins, and how long the object is; None when the answer does not say."""
        encoded = answer.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}
        if answer.status == 200:
            length = answer.headers.get("content-length", "")
            return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) and not encoded else None
        given = answer.headers.get("content-range", "").strip()
        found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", given)
        if found is None or int(found[1]) != offset or not offset or encoded:
            asked = f"bytes from {offset:,} on" if offset else "all"
            raise self._incomplete(f"sends another range than asked for: {given[:60]!r} in place of {asked}")
        return offset, None if found[3] == "*" else int(found[3])

    def _remember(self, answer: Answer, offset: int, total: int | None) -> int | None:
        """Compare an answer with the catalogue and with the first one. Gives how long the object is, if anything says."""
        if self._size is not None and total is not None and total != self._size:
            text = f"offers {total:,} bytes of {self._filename}; its catalogue has {self._size:,}"
            raise self._incomplete(text) if total < self._size else self._other(text)
        etag = answer.headers.get("etag", "").strip().removeprefix("W/")
        modified = answer.headers.get("last-modified", "").strip()
        strong = not answer.headers.get("etag", "").strip().startswith("W/")
        with self._lock:
            before = self._etag.removeprefix("W/")
            # A date only where there is no tag: a zip that is made on the way may have that of its making.
            new, old = (etag, before) if etag and before else (modified, self._modified)
            changed = bool(new and old and new != old)
            if changed or (total is not None and self._total is not None and total != self._total):
                raise self._other(f"changed {self._filename} while it was read")
            if offset and self._answered and not (self._compared or (new and old)):
                raise self._other(f"gives nothing by which to tell whether {self._filename} is the same as before")
            self._answered = True
            if etag and not self._etag:
                self._etag = etag if strong else f"W/{etag}"
            self._modified = self._modified or modified
            self._total = total if self._total is None else self._total
            return self._total if self._size is None else self._size

    def _check_end(self, answer: Answer, offset: int) -> None:
        """416: whether nothing is left, or the object is another one than the one that was read."""
        found = re.fullmatch(r"bytes \*/([0-9]{1,18})", answer.headers.get("content-range", "").strip())
        with self._lock:
            known = self._total if self._size is None else self._size
        total = known if found is None else int(found[1])
        if total is not None and total != offset:
            raise self._other(f"has only {total:,} bytes of {self._filename}; byte {offset:,} was reached before")
        if total is None or (known is not None and known != total):
            raise self._other(f"has no bytes of {self._filename} from {offset:,} on (HTTP 416)")

    # -- the body ----------------------------------------------------------------------------------------------------
    def _product(self, answer: Answer, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks, their first bytes being those of a product. Raises DamagedProduct, IncompleteTransfer."""
        head = b""
        while len(head) < _HEAD and (block := next(blocks, b"")):
            head += block
        if self._filename.lower().endswith(_OWN_PAGES):
            return chain((head,), blocks) if head else blocks
        wanted = next((magic for end, magic in _MAGIC.items() if self._filename.lower().endswith(end)), ())
        page = answer.headers.get("content-type", "").split(";")[0].strip().lower() in _PAGES
        right = head.startswith(wanted) if wanted else not page and not is_page(head)
        if head and not right:
            # Too short to tell: it broke off. (An error is raised where it did so before its announced end.)
            if wanted and any(magic.startswith(head) for magic in wanted):
                raise self._incomplete(f"ended {self._filename} after {len(head)} bytes")
            raise self._damaged(head, blocks, page=page)
        return chain((head,), blocks) if head else blocks

    def _damaged(self, head: bytes, blocks: Iterator[bytes], *, page: bool) -> DamagedProduct:
        try:
            while len(head) < _PAGE_LIMIT and (block := next(blocks, b"")):
                head += block
        except (IncompleteTransfer, SourceUnavailable):
            pass  # what came will do for a title
        if page or is_page(head):
            what = f"a page came in place of {self._filename}: {title(head)}"
        else:
            what = f"what came in place of {self._filename} is none: it begins {head[:_HEAD]!r}"
        return DamagedProduct(
            f"{self._name}: {what}.",
            hint="Something between here and the source may answer in its place: a proxy, a login page.",
            source=self._name,
        )

    def _rest(self, blocks: Iterator[bytes], begins: int, offset: int, end: int | None) -> Iterator[bytes]:
        """What of the blocks lies behind the offset; raises unless they end where the object does."""
        place = begins
        for block in blocks:
            if end is not None and place + len(block) > end:
                raise self._other(f"sends more than the {end:,} bytes of {self._filename}")
            skip = min(max(offset - place, 0), len(block))
            place += len(block)
            if skip < len(block):
                if begins < offset and place - len(block) + skip == offset:
                    self._remarks.append(
                        f"{self._name} sent {self._filename} from its beginning: {bytes_text(offset)} again."
                    )
                yield block[skip:] if skip else block
        if not end and not place:
            raise self._incomplete(f"sent nothing of {self._filename}")
        if place < (offset if end is None else end):
            raise self._incomplete(f"ended {self._filename} after {place:,} of {end or offset:,} bytes")

    def _incomplete(self, what: str) -> IncompleteTransfer:
        return IncompleteTransfer(f"{self._name} {what}.", source=self._name)

    def _other(self, what: str) -> ChecksumMismatch:
        return ChecksumMismatch(f"{self._name} {what}.", source=self._name)
