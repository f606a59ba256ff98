"""Resumable, verified download as steps: Range and If-Range, fresh links, and no wrong file under the final name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from extenso_nb import errors, wire
from extenso_nb._html import bytes_text
from extenso_nb.client.drive import Reply, Save, Sleep, Steps, Unanswered, Work, bare
from extenso_nb.client.exchange import LONGEST_RETRY_AFTER, Exchange, asked_wait, fail
from extenso_nb.client.part import Expected, Part, is_right
from extenso_nb.models import Delivery, DeliveryMetadata, SignedUrl
from extenso_nb.progress import Listener, Progress

__all__ = ["Downloads", "file_name"]

HOPS = 5
"""Redirects of a storage that are followed; none of them carries a token."""
_TURN = 0.2
"""Seconds between looks whether another download of the same file has ended."""


def file_name(delivery: Delivery) -> str:
    """The name of a delivery's file: the last segment of its key, and nothing that leads elsewhere.

    Raises
    ------
    NotDelivered
        It has no key yet.
    GatewayFault
        The key ends in no usable file name.
    """
    if delivery.status != "delivered" or delivery.key is None:
        reason = f": {delivery.error}" if delivery.error else ""
        raise errors.NotDelivered(
            f"Delivery {delivery.id} ({delivery.product_id}) is {delivery.status}{reason}.",
            delivery=delivery.id,
        )
    name = re.split(r"[/\\]", delivery.key)[-1]
    if name in {"", ".", ".."} or not name.isprintable() or ":" in name or len(name.encode()) > 240:
        raise errors.GatewayFault(
            f"Delivery {delivery.id} has a key that ends in no file name: {delivery.key[:120]!r}."
        )
    return name


class Receive:
    """The sink of one try: decides from the head of the answer whether its body belongs to the part."""

    def __init__(self, part: Part, etag: str | None, tell: Listener, label: tuple[str, str]) -> None:
        self.etag = etag
        self.asked = part.position
        self.problem: errors.ExtensoError | None = None
        self.useless = False
        """Whether what is there cannot be gone on with."""
        self._part, self._tell, self._label = part, tell, label

    def headers(self) -> dict[str, str]:
        """What to ask for: the rest of what is there, as long as the object is still the same."""
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        if self.asked:
            headers["range"] = f"bytes={self.asked}-"
            if self.etag:
                headers["if-range"] = self.etag
        return headers

    def start(self, reply: Reply) -> bool:
        """Whether to take the body."""
        if reply.status == 200:
            self.problem = self._whole(reply.headers)
        elif reply.status == 206:
            self.problem = self._rest(reply.headers)
            self.useless = self.problem is not None
        else:
            return False
        if self.problem is not None:
            return False
        if reply.status == 200 and self.asked:
            self._part.restart()
        self.etag = _strong(reply.headers)
        return True

    def write(self, block: bytes) -> None:
        """Append a block and say how far it is."""
        self._part.write(block)
        key, name = self._label
        self._tell(Progress(key, name, "downloading", self._part.position, self._part.expected.size or 0))

    def _whole(self, headers: Mapping[str, str]) -> errors.ExtensoError | None:
        size = self._part.expected.size
        length = headers.get("content-length", "")
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind in {"text/html", "application/xhtml+xml"}:
            return errors.DamagedProduct(
                f"A page ({kind}) came in place of {self._part.final.name}.",
                hint="Something between here and the storage answers in its place: a proxy, a login page.",
            )
        if size is not None and length.isdigit() and int(length) != size and "content-encoding" not in headers:
            return errors.IncompleteTransfer(
                f"The storage offers {length} bytes for {self._part.final.name}; the delivery has {size}."
            )
        return None

    def _rest(self, headers: Mapping[str, str]) -> errors.ExtensoError | None:
        given = headers.get("content-range", "")
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
        size = self._part.expected.size
        name = self._part.final.name
        if found is None or int(found[1]) != self.asked:
            return errors.IncompleteTransfer(
                f"The storage sent another range of {name} than asked for: {given!r} for the bytes from {self.asked}."
            )
        if found[3] != "*" and size is not None and int(found[3]) != size:
            return errors.IncompleteTransfer(f"{name} has {found[3]} bytes in the storage; the delivery has {size}.")
        etag = _strong(headers)
        if self.etag and etag and etag != self.etag:
            return errors.IncompleteTransfer(f"{name} changed in the storage while it was downloaded.")
        return None


class Downloads(Exchange):
    """The steps of `download`."""

    def _download_all(self, wanted: Sequence[Delivery], directory: Path, listen: Listener) -> Steps[list[Path]]:
        names = [file_name(item) for item in wanted]
        if len(set(names)) < len(names):
            raise errors.GatewayFault(
                "Two deliveries have the same file name.",
                hint="Download them one by one into directories of their own.",
            )
        paths: list[Path] = []
        failures: dict[str, errors.ExtensoError] = {}
        for item, name in zip(wanted, names, strict=True):
            try:
                paths.append((yield from self._download(item, directory / name, listen)))
            except (errors.TransferError, errors.NotFoundError, errors.ConflictError) as error:
                listen(Progress(item.id, name, "failed", note=error.message))
                failures[item.id] = error
                if "part" in error.details:  # the disk is full: for the others, too
                    break
        if not failures:
            return paths
        first = next(iter(failures.values()))
        if len(wanted) == 1:
            raise first
        raise errors.TransferError(
            f"{len(paths)} of {len(wanted)} files were downloaded; "
            + " ".join(f"{key}: {error.message}" for key, error in failures.items()),
            hint=first.hint,
            failures={key: error.message for key, error in failures.items()},
            paths=[str(path) for path in paths],
        ) from first

    def _download(self, delivery: Delivery, final: Path, listen: Listener) -> Steps[Path]:
        expected = yield from self._expected(delivery)
        try:
            if not (yield Work(partial(is_right, final, expected))):
                part = yield from self._claim(delivery, final, expected, listen)
                if part is not None:
                    try:
                        yield from self._fetch(delivery, part, listen)
                    finally:
                        part.close()
            size = final.stat().st_size
        except OSError as error:
            if isinstance(error, errors.ExtensoError):  # Forbidden and others are OSErrors as well
                raise
            reason = error.strerror or type(error).__name__
            raise errors.TransferError(
                f"{final.name} cannot be written to {final.parent}: {reason}.",
                hint="Choose another directory, or change its permissions.",
                part=f"{final}.part",
            ) from error
        listen(Progress(delivery.id, final.name, "done", size, size))
        return final

    def _expected(self, delivery: Delivery) -> Steps[Expected]:
        expected = Expected.of(delivery.size, delivery.checksums)
        if expected.digest is None:
            beside = yield from self._get(
                DeliveryMetadata, "metadata", order_id=delivery.order_id, delivery_id=delivery.id
            )
            expected = Expected.of(delivery.size or beside.size, beside.checksums)
        return expected

    def _claim(self, delivery: Delivery, final: Path, expected: Expected, listen: Listener) -> Steps[Part | None]:
        """The part file, when it is this download's turn; None when another one has fetched the file meanwhile."""
        waited = False
        while True:
            part = Part.claim(final, expected)
            if part is not None:
                break
            if not waited:
                note = "another download of this file goes on"
                listen(Progress(delivery.id, final.name, "queued", 0, expected.size or 0, note))
            waited = True
            yield Sleep(_TURN)
        try:
            if waited and (yield Work(partial(is_right, final, expected))):
                part.close()
                return None
            yield Work(part.load)
        except BaseException:
            part.close()
            raise
        return part

    def _fetch(self, delivery: Delivery, part: Part, listen: Listener) -> Steps[None]:
        """Fill the part, verify it, publish it; all wrong bytes are fetched once more."""
        for last in (False, True):
            yield from self._fill(delivery, part, listen)
            if part.is_right():
                yield Work(part.publish)
                return
            part.restart()
            if last:
                break
        raise errors.ChecksumMismatch(
            f"{part.final.name} came with the wrong {part.expected.algorithm} checksum, twice.",
            hint="Nothing was kept. Look at `metadata(delivery)`; order the product again if it stays so.",
        )

    def _fill(self, delivery: Delivery, part: Part, listen: Listener) -> Steps[None]:
        """Fetch until all bytes are there. Tries are counted from the last one that got further than any before."""
        url: str | None = None
        etag: str | None = None
        attempt, best, refused = 0, part.position, False
        while part.expected.size is None or part.position < part.expected.size:
            part.check_room()
            if url is None:
                url = yield from self._link(delivery, again=refused)
            if part.position and part.expected.digest is None and etag is None:
                part.restart()  # nothing would tell whether the pieces belong together
            sink = Receive(part, etag, listen, (delivery.id, part.final.name))
            reply, problem = yield from self._try_to_fill(url, sink)
            etag = sink.etag
            if problem is None and (part.expected.size is None or part.position == part.expected.size):
                return
            if sink.useless:
                part.restart()
                etag = None
            if reply is None or reply.status in {401, 403, 404, 410}:
                # The link is old, or the gateway came back at another address: ask it again.
                url, refused = None, reply is not None
            if part.position > best:
                attempt, best = 0, part.position
            attempt += 1
            yield from self._pause(attempt, reply, problem or self._short(part))

    def _try_to_fill(self, url: str, sink: Receive) -> Steps[tuple[Reply | None, errors.ExtensoError | None]]:
        """One GET of the rest: what was answered, if anything, and what was wrong with it."""
        part = sink._part  # noqa: SLF001 - two halves of one thing
        try:
            reply = yield from self._follow(url, sink)
        except Unanswered as lost:
            where = bare(url)
            return None, errors.IncompleteTransfer(
                f"The transfer of {part.final.name} from {where} broke off at {bytes_text(part.position)}: {lost.reason}."
            )
        except errors.IncompleteTransfer as more:
            sink.useless = True
            return None, more
        if sink.problem is not None or reply.status in {200, 206}:
            return reply, sink.problem
        if reply.status == 416:
            sink.useless = True
            return reply, errors.IncompleteTransfer(
                f"The storage has no bytes of {part.final.name} from {part.position} on."
            )
        return reply, _refusal(reply, part.final.name, bare(url))

    def _follow(self, url: str, sink: Receive) -> Steps[Reply]:
        """GET, following redirects by hand. The signed URL is all that is shown to a storage; never the token."""
        for _ in range(HOPS):
            reply: Reply = yield Save(url, sink.headers(), sink)
            location = reply.headers.get("location")
            if reply.status not in {301, 302, 303, 307, 308} or not location:
                return reply
            url = _joined(url, location)
        raise errors.TransferError(f"The storage redirected more than {HOPS} times, at last to {bare(url)}.")

    def _link(self, delivery: Delivery, *, again: bool) -> Steps[str]:
        """A signed URL: that of the redirect of `download`, or, when that was refused, a new one of `download_url`."""
        path = {"order_id": delivery.order_id, "delivery_id": delivery.id}
        if again:
            signed = yield from self._get(
                SignedUrl, "download_url", order_id=delivery.order_id, delivery_id=delivery.id
            )
            return _joined(self._address + "/", signed.url)
        download = wire.VERBS["download"]
        reply = yield from self._exchange(download, path, accept="*/*")
        location = reply.headers.get("location")
        if reply.status not in {302, 303, 307, 308} or not location:
            fail(download, path, reply)
        return _joined(self._address + download.url(**path), location)

    def _pause(self, attempt: int, reply: Reply | None, problem: errors.ExtensoError) -> Steps[None]:
        """Wait before the next try, or raise what was wrong when there is none."""
        after = asked_wait(reply) if reply is not None and reply.status >= 400 else None
        if after is not None and after > LONGEST_RETRY_AFTER:
            raise errors.TooManyRequests(problem.message, retry_after=after)
        if attempt == 1 and reply is not None and reply.status in {401, 403}:
            return  # an old link: a new one works at once
        pause = self._retry.wait(attempt, retry_after=after)
        if pause is None:
            raise problem
        yield Sleep(pause)

    @staticmethod
    def _short(part: Part) -> errors.ExtensoError:
        return errors.IncompleteTransfer(
            f"The storage ended {part.final.name} after {part.position} of {part.expected.size} bytes."
        )


def _refusal(reply: Reply, name: str, where: str) -> errors.ExtensoError:
    what = f"{where} answered HTTP {reply.status} in place of {name}."
    if reply.status in {401, 403}:
        return errors.Forbidden(f"The link was refused, and a new one as well: {what}")
    if reply.status in {404, 410}:
        return errors.NotFoundError(what, hint="The delivery may have been deleted: see `status(delivery)`.")
    if reply.status == 429:
        return errors.TooManyRequests(what, retry_after=asked_wait(reply) or 1.0)
    if reply.status >= 500:
        return errors.TransferError(what)
    return errors.GatewayFault(what, hint="That is no answer of a storage: look at what stands between.")


def _strong(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') and etag.isascii() and etag.isprintable() else None


def _joined(base: str, location: str) -> str:
    try:
        url = urljoin(base, location)
        scheme = urlsplit(url).scheme
    except ValueError:
        url, scheme = "", ""
    if scheme not in {"http", "https"}:
        raise errors.GatewayFault("The gateway gave a link to a product that is no http(s) URL.")
    if scheme == "http" and urlsplit(base).scheme == "https":
        raise errors.GatewayFault(f"The link to a product leaves https for {bare(url)}; it is not followed.")
    return url
