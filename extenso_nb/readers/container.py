"""A product as named members, wherever they lie: a folder, a zip (stored or deflated, ZIP64), a single netCDF file.

A container is opened once (one walk of the folder, or one read of the zip's central directory) and keeps no open file,
so it can be pickled, and shared by threads. Members of a folder and stored members of a zip are byte ranges of a file:
`locate`. Deflated members are read whole (`read`, `open`) or through GDAL's `/vsizip` (`gdal_path`).

What a zip says of itself is not trusted: see `entries`. `read` is bounded, so that a small file which claims to hold
gigabytes costs nothing, and what is no regular file is never opened.
"""

from __future__ import annotations

import fnmatch
import io
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from extenso_nb.errors import DamagedProduct, IncompleteProduct, ProductIdError, ReaderError, UnsupportedProduct
from extenso_nb.readers.entries import MEMBERS_MAX, check_names, open_below, open_regular, zip_entries

__all__ = ["Container", "Location", "SubFile", "open_container"]

READ_LIMIT = 200_000_000
"""Bytes that `Container.read` returns at most, unless asked for more."""
OPEN_LIMIT = 8_000_000_000
"""Bytes that `Container.open` inflates into a temporary file at most, unless asked for more."""

_SUFFIXES = (".zip", ".safe", ".sen3", ".nc", ".zarr")
_ROOT_SUFFIXES = (".safe", ".sen3")
_MARKERS = ("manifest.safe", "xfdumanifest.xml", "mtd_msil1c.xml", "mtd_msil2a.xml", "mtd_msil1b.xml")
_INNER = frozenset(
    {"granule", "datastrip", "measurement", "annotation", "preview", "support", "aux_data", "html", "rep_info"}
)
_STORED, _DEFLATED = 0, 8
_LOCAL = struct.Struct("<4s5H3I2H")  # signature ... name length, extra length: 30 bytes, APPNOTE.TXT 4.3.7
_BLOCK = 1 << 16  # inflates to 66 MB at most


class Location(NamedTuple):
    """Where the bytes of a member lie as they are: `size` bytes from `offset` of the file `path`."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Member:
    size: int
    header: int = 0  # offset of the local header
    method: int = _STORED
    packed: int = 0  # bytes in the zip
    crc: int = 0
    raw_name: str = ""  # in a zip: the name there, root folder included; in a folder: what a link leads to


@dataclass(frozen=True)
class Container:
    """The members of one product. Made by `open_container`."""

    uri: str
    """Path of the folder or file; never a secret."""
    product_id: str
    """Name of the product: of its root folder or of the file, without extensions."""
    path: str = field(repr=False)
    """The folder that is the root of the product, or the zip or netCDF file."""
    kind: str
    """`folder`, `zip` or `file`."""
    _members: dict[str, _Member] = field(repr=False)

    def __hash__(self) -> int:
        return hash((self.uri, self.product_id))

    def names(self) -> tuple[str, ...]:
        """Members relative to the root of the product, with `/`, sorted. Directories are not members."""
        return tuple(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def find(self, pattern: str) -> tuple[str, ...]:
        """Members whose name matches a shell pattern; `*` matches `/` too; case does not matter."""
        wanted = pattern.lower()
        return tuple(name for name in self._members if fnmatch.fnmatchcase(name.lower(), wanted))

    def part(self, names: Iterable[str]) -> Container:
        """The same product with those members alone, so that what goes to a worker is small. Raises IncompleteProduct."""
        return replace(self, _members={name: self._member(name) for name in names})

    def raw_name(self, name: str) -> str:
        """The name of a member in the zip, root folder included; in a folder that of the file, links resolved."""
        return self._member(name).raw_name or name

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked. Raises IncompleteProduct where there is no such member."""
        return self._member(name).size

    def is_empty(self, name: str) -> bool:
        """Whether the member is there, but has no bytes: a placeholder in a product cut down."""
        return self._member(name).size == 0

    def read(self, name: str, *, limit: int | None = READ_LIMIT) -> bytes:
        """All bytes of a small member, checked against its CRC in a zip.

        Parameters
        ----------
        name
            As in `names()`.
        limit
            Most bytes to return; None for no limit.

        Raises
        ------
        IncompleteProduct
            No such member.
        DamagedProduct
            The bytes are not there, or are not those the zip promises, or there are more than `limit`.
        """
        member = self._member(name)
        self._bound(name, member, limit)
        if self.kind != "zip":
            return self._read_file(name, limit)
        return b"".join(self._inflate(name, member))

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a member, or all where it has fewer; only those are read. Raises as `read` does."""
        if self.kind != "zip":
            with self._open_file(name) as file:
                return file.read(size)
        where = self.locate(name)
        if where is not None:
            with SubFile(*where) as part:
                return part.read(size)
        blocks, length = [], 0
        for block in self._inflate(name, self._member(name)):
            blocks.append(block)
            length += len(block)
            if length >= size:
                break
        return b"".join(blocks)[:size]

    def locate(self, name: str) -> Location | None:
        """Where a member lies byte for byte; None for a deflated one. Raises as `read` does."""
        member = self._member(name)
        if self.kind != "zip":
            return Location(self._file(name), 0, member.size)
        if member.method != _STORED:
            return None
        return Location(self.path, self._start(name, member), member.size)

    def gdal_path(self, name: str) -> str:
        """The member as GDAL (and rasterio) opens it: a path, `/vsisubfile/` (stored) or `/vsizip/` (deflated)."""
        where = self.locate(name)
        if where is None:
            return f"/vsizip/{{{self.path}}}/{self._member(name).raw_name}"
        if self.kind == "zip":
            return f"/vsisubfile/{where.offset}_{where.size},{where.path}"
        return where.path

    def open(self, name: str, *, limit: int | None = OPEN_LIMIT) -> IO[bytes]:
        """A seekable binary file over a member, for h5py and the like; the caller closes it.

        Nothing is copied but for a deflated member: it is inflated into an unnamed temporary file (`limit` bytes).
        """
        where = self.locate(name)
        if where is not None:
            return SubFile(*where)  # type: ignore[return-value]  # RawIOBase is what IO[bytes] describes
        member = self._member(name)
        self._bound(name, member, limit)
        target = tempfile.TemporaryFile(prefix="extenso-")  # noqa: SIM115 - handed over
        try:
            for block in self._inflate(name, member):
                target.write(block)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    # -- inside ------------------------------------------------------------------------------------------------------
    def _member(self, name: str) -> _Member:
        try:
            return self._members[name]
        except KeyError:
            raise IncompleteProduct(f"{self.product_id} has no member {name!r}.", member=name) from None

    def _damaged(self, name: str, why: str) -> DamagedProduct:
        return DamagedProduct(f"{name} in {self.uri} cannot be read: {why}.", member=name)

    def _bound(self, name: str, member: _Member, limit: int | None) -> None:
        if limit is not None and member.size > limit:
            raise DamagedProduct(
                f"{name} in {self.uri} is {member.size} bytes, more than the {limit} bytes that are read at once.",
                hint="Pass limit=None if the file is what it should be.",
                member=name,
            )

    def _file(self, name: str) -> str:
        return self.path if self.kind == "file" else os.path.join(self.path, *self.raw_name(name).split("/"))  # noqa: PTH118

    def _open_file(self, name: str) -> BinaryIO:
        """A member that is a file, as it lies there now: a link that took its place is not followed."""
        try:
            return open_regular(self.path) if self.kind == "file" else open_below(self.path, self.raw_name(name))
        except OSError as error:
            raise ReaderError(f"{name} in {self.uri} cannot be read: {error.strerror}.", member=name) from error

    def _read_file(self, name: str, limit: int | None) -> bytes:
        with self._open_file(name) as file:
            try:
                data = file.read() if limit is None else file.read(limit + 1)
            except OSError as error:
                raise ReaderError(f"{name} in {self.uri} cannot be read: {error.strerror}.", member=name) from error
        if limit is not None and len(data) > limit:
            self._bound(name, _Member(len(data)), limit)
        return data

    def _start(self, name: str, member: _Member) -> int:
        """Offset of a member's bytes. The extra field of the local header is often another than the directory's."""
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123
                end = file.seek(0, os.SEEK_END)
                file.seek(min(member.header, end))
                header = file.read(_LOCAL.size)
        except OSError as error:
            raise ReaderError(f"{self.uri} cannot be read: {error.strerror}.") from error
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise self._damaged(name, f"there is no member at byte {member.header}; the zip was changed or cut")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        start = member.header + _LOCAL.size + name_length + extra_length
        if start + member.packed > end:
            raise self._damaged(name, f"it should end at byte {start + member.packed}, but the zip ends at byte {end}")
        return int(start)

    def _inflate(self, name: str, member: _Member) -> Iterator[bytes]:
        """The bytes of a zip member in blocks, never more than the zip says; its CRC is checked at the end."""
        start, left = self._start(name, member), member.packed
        inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
        done = crc = 0
        with open(self.path, "rb") as file:  # noqa: PTH123
            file.seek(start)
            while left and done < member.size:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise self._damaged(name, f"the zip ends at byte {file.tell()}")
                left -= len(block)
                if inflater is not None:
                    try:
                        block = inflater.decompress(block, member.size - done)
                    except zlib.error as error:
                        raise self._damaged(name, f"its compressed bytes are wrong ({error})") from error
                done += len(block)
                crc = zlib.crc32(block, crc)
                yield block
        if done != member.size or crc != member.crc:
            raise self._damaged(name, f"its {done} bytes do not match the size and checksum in the zip")


class SubFile(io.RawIOBase):
    """`size` bytes from `offset` of a file as a file of its own: seekable, read-only, picklable."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        super().__init__()
        self._where = Location(path, offset, size)
        self._at = 0
        self._fd: int | None = None  # set by opening; `close` also runs when that fails
        with open_regular(path) as file:
            self._fd = os.dup(file.fileno())

    def __reduce__(self) -> tuple[Any, ...]:
        return SubFile, tuple(self._where)

    def __repr__(self) -> str:
        return f"SubFile(path={self._where.path!r}, offset={self._where.offset}, size={self._where.size})"

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._where.size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        if self._fd is None:
            raise ValueError("I/O operation on closed file")
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._where.size - self._at))
        block = os.pread(self._fd, count, self._where.offset + self._at)
        view[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:  # noqa: D102
        fd, self._fd = getattr(self, "_fd", None), None
        if fd is not None:
            os.close(fd)
        super().close()


# --- opening ---------------------------------------------------------------------------------------------------------
def open_container(src: str | os.PathLike[str]) -> Container:
    """The members of the product at `src`.

    Parameters
    ----------
    src
        A SAFE or SEN3 folder, or a folder that holds one; a zip of one, whatever its name, with the product's folder at
        any depth or without one; a netCDF file; or the manifest or `MTD_MSI*.xml` of a product folder.

    Raises
    ------
    ReaderError
        There is nothing at the path, or it cannot be read.
    IncompleteProduct
        A file or folder without content.
    DamagedProduct
        A zip that is cut short, or whose members lead out of it.
    UnsupportedProduct
        Something else: several products, a remote address, an encrypted zip, a file of another kind.
    """
    text = os.fspath(src)
    _refuse_remote(text)
    path = Path(text).expanduser().absolute()
    try:
        if not path.exists():
            raise ReaderError(
                f"There is nothing at {path}.", hint="Check the path; relative paths start at the working directory."
            )
        if path.is_dir():
            return _folder(path)
        if path.name.lower() in _MARKERS:
            return _folder(path.parent)
        with open_regular(path) as file:
            magic = file.read(8)
        return _zip(path) if magic[:2] == b"PK" else _single(path, magic)
    except OSError as error:
        raise ReaderError(f"{path} cannot be read: {error.strerror or error}.") from error


def _refuse_remote(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme and "://" in text:
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # user, password and query are secrets
        raise UnsupportedProduct(
            f"{shown} is not on this machine.",
            hint="Download the product first (`download(delivery)`) and open the file.",
        )


def _strip(name: str) -> str:
    while name.lower().endswith(_SUFFIXES):
        name = name[: name.rindex(".")]
    return name


def _identity(*names: str) -> str:
    """The first name that is a product identifier, else the first one: folders inside zips are sometimes misnamed."""
    from extenso_nb import products

    stripped = [name for name in map(_strip, names) if name]
    for name in stripped:
        try:
            return products.parse(name).id
        except ProductIdError:
            continue
    return stripped[0]


# --- folders ---------------------------------------------------------------------------------------------------------
def _folder(path: Path) -> Container:
    root = path if _is_root(path) else _only_product(path)
    members = dict(sorted(_walk(root)))
    if not members:
        raise IncompleteProduct(f"{root} has no files.")
    check_names(members, root)
    return Container(
        uri=str(root), product_id=_identity(root.name, path.name), path=str(root), kind="folder", _members=members
    )


def _is_root(path: Path) -> bool:
    if path.name.lower().endswith((*_ROOT_SUFFIXES, ".zarr")):
        return True
    return any(child.name.lower() in _MARKERS or child.name.lower() in _INNER for child in path.iterdir())


def _only_product(path: Path) -> Path:
    """The one SAFE or SEN3 folder directly in a folder, or the folder itself when there is none."""
    found = [child for child in path.iterdir() if child.name.lower().endswith(_ROOT_SUFFIXES) and child.is_dir()]
    if len(found) > 1:
        raise _several(str(path), [child.name for child in found])
    return found[0] if found else path


def _walk(root: Path) -> Iterator[tuple[str, _Member]]:
    count, waiting = 0, [("", root)]
    inside = root.resolve()
    while waiting:
        prefix, folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                link = _check_link(name, Path(entry.path), inside) if entry.is_symlink() else ""
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{name}/", Path(entry.path)))
                elif entry.is_file():
                    count += 1
                    if count > MEMBERS_MAX:
                        raise UnsupportedProduct(f"{root} has more than {MEMBERS_MAX} files; this is not a product.")
                    yield name, _Member(size=entry.stat().st_size, raw_name=link)
                else:
                    raise UnsupportedProduct(f"{name} in {root} is neither a file nor a folder.", member=name)


def _check_link(name: str, link: Path, inside: Path) -> str:
    """What a link within the product leads to; any other would read, and later deliver, what is not of the product."""
    target = link.resolve()
    if not target.is_file() or not target.is_relative_to(inside):
        raise UnsupportedProduct(
            f"{name} in {inside} is a link to a folder or to something outside the product.",
            hint="Put the file itself in the place of the link.",
            member=name,
        )
    return target.relative_to(inside).as_posix()


# --- single files ----------------------------------------------------------------------------------------------------
def _single(path: Path, magic: bytes) -> Container:
    size = path.stat().st_size
    if size == 0:
        raise IncompleteProduct(f"{path} has no bytes.")
    if magic == b"\x89HDF\r\n\x1a\n" or magic[:3] == b"CDF":
        members = {path.name: _Member(size=size)}
        return Container(uri=str(path), product_id=_identity(path.name), path=str(path), kind="file", _members=members)
    if path.name.lower().endswith((".zip", ".nc")):
        raise DamagedProduct(f"{path} does not begin as a {path.suffix[1:].lower()} file does.")
    raise UnsupportedProduct(f"{path} is neither a folder, nor a zip, nor a netCDF file.")


# --- zips ------------------------------------------------------------------------------------------------------------
def _zip(path: Path) -> Container:
    try:
        with open_regular(path) as file:
            entries = zip_entries(file, path)
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError, ValueError, NotImplementedError) as error:
        raise DamagedProduct(f"{path} is a damaged zip: {_where_cut(path)}.") from error
    files = [entry for entry in entries if _is_member(path, entry)]
    if not files:
        raise IncompleteProduct(f"{path} is a zip without files.")
    root = _root([entry.filename for entry in files], str(path))
    members: dict[str, _Member] = {}
    for entry in sorted(files, key=lambda entry: entry.filename):
        if not entry.filename.startswith(root):
            continue
        name = entry.filename[len(root) :]
        members[name] = _Member(
            size=entry.file_size,
            header=entry.header_offset,
            method=entry.compress_type,
            packed=entry.compress_size,
            crc=entry.CRC,
            raw_name=entry.filename,
        )
    product_id = _identity(PurePosixPath(root).name, *(members if len(members) == 1 else ()), path.name)
    return Container(uri=str(path), product_id=product_id, path=str(path), kind="zip", _members=members)


def _is_member(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file of the product; raises for one that cannot be read."""
    name = entry.filename
    parts = name.split("/")
    if entry.is_dir() or parts[0] == "__MACOSX" or parts[-1] == ".DS_Store":
        return False
    if entry.flag_bits & 0x1:
        raise UnsupportedProduct(f"{path} is encrypted ({name}).", hint="Unpack it, and open the folder.", member=name)
    if entry.compress_type not in (_STORED, _DEFLATED):
        raise UnsupportedProduct(
            f"{path} uses zip compression method {entry.compress_type} ({name}); only stored and deflated are read.",
            hint="Unpack it, and open the folder.",
            member=name,
        )
    if entry.compress_type == _STORED and entry.compress_size != entry.file_size:
        raise DamagedProduct(f"{path}: {name} is stored, but its two sizes differ.", member=name)
    return True


def _root(names: list[str], shown: str) -> str:
    """The folder inside the zip that is the product, with its slash; empty when the members lie at top level."""
    roots = {found for name in names if (found := _named_root(name)) is not None}
    if not roots:
        marked = {name[: name.rfind("/") + 1] for name in names if name.rpartition("/")[2].lower() in _MARKERS}
        # a marker below another one is the smaller part of the same product (GRANULE/*/MTD_MSIL1C.xml of old products)
        roots = {root for root in marked if not any(above in marked for above in _above(root))}
    if len(roots) > 1:
        raise _several(shown, [root.rstrip("/") for root in roots])
    if roots:
        return roots.pop()
    if all(name.lower().endswith(".zip") for name in names):
        raise UnsupportedProduct(f"{shown} is a zip of zips.", hint="Unpack it once, and open one of the zips inside.")
    root = ""
    while len(heads := {name[len(root) :].partition("/")[0] for name in names}) == 1:
        head = heads.pop()
        if head.lower() in _INNER or f"{root}{head}" in names:
            break
        root = f"{root}{head}/"
    return root


def _above(root: str) -> Iterator[str]:
    """The folders that hold a folder; all names end with a slash, but for the empty one of the top."""
    while root:
        root = root[: root.rstrip("/").rfind("/") + 1]
        yield root


def _named_root(name: str) -> str | None:
    parts = name.split("/")[:-1]
    for depth, part in enumerate(parts, start=1):
        if part.lower().endswith(_ROOT_SUFFIXES):
            return "/".join(parts[:depth]) + "/"
    return None


def _several(shown: str, names: Iterable[str]) -> UnsupportedProduct:
    listed = sorted(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return UnsupportedProduct(
        f"{shown} holds {len(listed)} products: {', '.join(listed[:3])}{more}.",
        hint="Open one of them by its own path.",
        products=listed[:100],
    )


def _where_cut(path: Path) -> str:
    """Where a zip without a directory ends, found by walking from member to member as far as their headers lead."""
    end, at, last = path.stat().st_size, 0, None
    with path.open("rb") as file:
        while at + _LOCAL.size <= end:
            file.seek(at)
            signature, _, flags, _, _, _, _, packed, _, name_length, extra_length = _LOCAL.unpack(
                file.read(_LOCAL.size)
            )
            if signature != b"PK\x03\x04":
                break
            last = file.read(name_length).decode("utf-8", "replace")
            at += _LOCAL.size + name_length + extra_length + packed
            if (flags & 0x8 and packed == 0) or packed == 0xFFFFFFFF:  # the length stands elsewhere
                return f"its directory, which stands at the end, is missing; it ends at byte {end}, in or after {last}"
    if at > end and last is not None:
        return f"it ends at byte {end}, within {last}, which should go on to byte {at}"
    return f"its directory, which stands at the end, is missing or wrong; the file ends at byte {end}"
