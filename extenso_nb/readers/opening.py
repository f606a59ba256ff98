"""What lies at a path or an address, as a container: the product in a folder, a zip, a file, an object, a prefix.

At an address the directory of a zip is read from its end, by one request; with an index by none.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from extenso_nb.errors import DamagedProduct, IncompleteProduct, ProductIdError, ReaderError, UnsupportedProduct
from extenso_nb.readers.container import DEFLATED, STORED, Container, Member
from extenso_nb.readers.entries import MEMBERS_MAX, check_names, open_regular, zip_entries
from extenso_nb.readers.sparse import Sparse, SparseFile
from extenso_nb.storage.ranged import RemoteFolder, RemoteObject, list_remote

__all__ = ["RemoteZarr", "is_address", "open_container", "open_object", "remote_object", "zarr_address"]

_SUFFIXES = (".zip", ".safe", ".sen3", ".nc", ".zarr")
_ROOT_SUFFIXES = (".safe", ".sen3")
_MARKERS = ("manifest.safe", "xfdumanifest.xml", "mtd_msil1c.xml", "mtd_msil2a.xml", "mtd_msil1b.xml")
_INNER = frozenset(
    {"granule", "datastrip", "measurement", "annotation", "preview", "support", "aux_data", "html", "rep_info"}
)
_LOCAL = struct.Struct("<4s5H3I2H")  # signature ... name length, extra length: 30 bytes, APPNOTE.TXT 4.3.7
_OBJECT_MAX = 1 << 31  # of a chunk or document of Zarr: more than any has
_TAIL = 65_536  # of a zip at an address: its directory, as a rule
_HDF5, _NETCDF3 = b"\x89HDF\r\n\x1a\n", b"CDF"


def open_container(src: str | os.PathLike[str], *, renew: Callable[[], str] | None = None) -> Container:
    """The members of the product at `src`.

    Parameters
    ----------
    src
        A SAFE or SEN3 folder, or a folder that holds one; a zip of one, whatever its name, with the product's folder at
        any depth or without one; a netCDF file; or the manifest or `MTD_MSI*.xml` of a product folder. Or the
        `http(s)://` or `s3://` address of a zip or netCDF file, or an `s3://bucket/prefix/` of a folder.
    renew
        Of an http(s) address: gives another one when this one has expired.

    Raises
    ------
    ReaderError
        There is nothing at the path, or it cannot be read.
    IncompleteProduct
        A file or folder without content.
    DamagedProduct
        A zip that is cut short, or whose members lead out of it.
    UnsupportedProduct
        Something else: several products, an encrypted zip, a file of another kind, an address of another scheme.
    """
    text = os.fspath(src)
    if is_address(text):
        return _far(text, renew)
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
            if magic[:2] == b"PK":
                return _zip(file, str(path), path.name, None)
        return _single(str(path), path.name, magic, path.stat().st_size, None)
    except OSError as error:
        raise ReaderError(f"{path} cannot be read: {error.strerror or error}.") from error


def is_address(text: str) -> bool:
    """Whether it is an address rather than a path. Raises UnsupportedProduct for one of a scheme that is not read."""
    parts = urlsplit(text)
    if not parts.scheme or "://" not in text:
        return False
    if parts.scheme not in {"http", "https", "s3"} or not parts.hostname:
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # user, password and query are secrets
        raise UnsupportedProduct(
            f"{shown} is not an address that is read.", hint="Give a path, or an http(s):// or s3:// address."
        )
    return True


# --- addresses -------------------------------------------------------------------------------------------------------
def _far(address: str, renew: Callable[[], str] | None) -> Container:
    path = urlsplit(address).path
    if address.startswith("s3://") and path.lower().endswith((*_ROOT_SUFFIXES, ".zarr", "/")):
        return _prefix(address)
    return open_object(remote_object(address, renew))


@dataclass(frozen=True, slots=True)
class RemoteZarr:
    """A Zarr folder at an http(s) address, as a `zarr_metadata.Source`; it cannot be listed."""

    folder: RemoteFolder

    @property
    def uri(self) -> str:
        """The address, without anything secret."""
        return self.folder.shown

    @property
    def product_id(self) -> str:
        """The last part of the address, without its extension."""
        return _identity(unquote(PurePosixPath(urlsplit(self.uri).path).name))

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """As of a `Source`."""
        return self.folder.get(key, start, end, limit=_OBJECT_MAX)


def zarr_address(text: str, renew: Callable[[], str] | None) -> RemoteZarr | None:
    """The Zarr folder at an http(s) address; None for other addresses, and paths."""
    if (
        not is_address(text)
        or text.startswith("s3://")
        or not urlsplit(text).path.lower().rstrip("/").endswith(".zarr")
    ):
        return None
    return RemoteZarr(RemoteFolder(text, renew=renew))


def remote_object(address: str, renew: Callable[[], str] | None) -> Sparse:
    """The object at an address, with its first or last bytes read: one request. Raises ReaderError."""
    source = RemoteObject(address, renew=renew)
    if urlsplit(address).path.lower().endswith(".nc"):
        start, data = 0, source.head(_TAIL)
    else:
        start, data = source.tail(_TAIL)
    sparse = Sparse(source, source.size)
    sparse.adopt(start, data)
    if not sparse.size:
        raise IncompleteProduct(f"{sparse.shown} has no bytes.")
    return sparse


def open_object(sparse: Sparse) -> Container:
    """The container that a zip or netCDF file elsewhere is. Raises as `open_container` does."""
    name = unquote(PurePosixPath(urlsplit(sparse.shown).path).name) or "product"
    magic = sparse.read(0, min(8, sparse.size))
    if magic[:2] != b"PK":
        return _single(sparse.shown, name, magic, sparse.size, sparse)
    with SparseFile(sparse, 0, sparse.size) as file:
        return _zip(cast("BinaryIO", file), sparse.shown, name, sparse)


def _prefix(address: str) -> Container:
    """A product whose members are objects of their own, as archives have them in S3."""
    parts = urlsplit(address)
    root = f"s3://{parts.hostname}{parts.path.rstrip('/')}"
    found = list_remote(root, most=MEMBERS_MAX)
    members = {name: Member(size=size, packed=size) for name, size in found if not name.endswith("/")}
    if not members:
        raise ReaderError(f"There is nothing below {root}/.", hint="Check the address; of S3, AWS_* as well.")
    check_names(members, root)
    objects = {
        name: Sparse(RemoteObject(f"{root}/{name}", size=member.size), member.size) for name, member in members.items()
    }
    return Container(
        uri=root,
        product_id=_identity(PurePosixPath(parts.path).name),
        path=root,
        kind="folder",
        _members=members,
        _objects=objects,
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


def _walk(root: Path) -> Iterator[tuple[str, Member]]:
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
                    yield name, Member(size=entry.stat().st_size, raw_name=link)
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
def _single(shown: str, name: str, magic: bytes, size: int, remote: Sparse | None) -> Container:
    if size == 0:
        raise IncompleteProduct(f"{shown} has no bytes.")
    if magic == _HDF5 or magic[:3] == _NETCDF3:
        members = {name: Member(size=size, packed=size)}
        return Container(
            uri=shown, product_id=_identity(name), path=shown, kind="file", _members=members, remote=remote
        )
    if name.lower().endswith((".zip", ".nc")):
        raise DamagedProduct(f"{shown} does not begin as a {name.rpartition('.')[2].lower()} file does.")
    raise UnsupportedProduct(f"{shown} is neither a folder, nor a zip, nor a netCDF file.")


# --- zips ------------------------------------------------------------------------------------------------------------
def _zip(file: BinaryIO, shown: str, name: str, remote: Sparse | None) -> Container:
    try:
        entries = zip_entries(file, shown)
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError, ValueError, NotImplementedError) as error:
        raise DamagedProduct(f"{shown} is a damaged zip: {_where_cut(file)}.") from error
    files = [entry for entry in entries if _is_member(shown, entry)]
    if not files:
        raise IncompleteProduct(f"{shown} is a zip without files.")
    root = _root([entry.filename for entry in files], shown)
    members: dict[str, Member] = {}
    for entry in sorted(files, key=lambda entry: entry.filename):
        if not entry.filename.startswith(root):
            continue
        members[entry.filename[len(root) :]] = Member(
            size=entry.file_size,
            header=entry.header_offset,
            method=entry.compress_type,
            packed=entry.compress_size,
            crc=entry.CRC,
            raw_name=entry.filename,
        )
    product_id = _identity(PurePosixPath(root).name, *(members if len(members) == 1 else ()), name)
    return Container(uri=shown, product_id=product_id, path=shown, kind="zip", _members=members, remote=remote)


def _is_member(path: str, entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file of the product; raises for one that cannot be read."""
    name = entry.filename
    parts = name.split("/")
    if entry.is_dir() or parts[0] == "__MACOSX" or parts[-1] == ".DS_Store":
        return False
    if entry.flag_bits & 0x1:
        raise UnsupportedProduct(f"{path} is encrypted ({name}).", hint="Unpack it, and open the folder.", member=name)
    if entry.compress_type not in (STORED, DEFLATED):
        raise UnsupportedProduct(
            f"{path} uses zip compression method {entry.compress_type} ({name}); only stored and deflated are read.",
            hint="Unpack it, and open the folder.",
            member=name,
        )
    if entry.compress_type == STORED and entry.compress_size != entry.file_size:
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


def _where_cut(file: BinaryIO) -> str:
    """Where a zip without a directory ends, found by walking from member to member as far as their headers lead."""
    end, at, last = file.seek(0, os.SEEK_END), 0, None
    while at + _LOCAL.size <= end:
        file.seek(at)
        signature, _, flags, _, _, _, _, packed, _, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
        if signature != b"PK\x03\x04":
            break
        last = file.read(name_length).decode("utf-8", "replace")
        at += _LOCAL.size + name_length + extra_length + packed
        if (flags & 0x8 and packed == 0) or packed == 0xFFFFFFFF:  # the length stands elsewhere
            return f"its directory, which stands at the end, is missing; it ends at byte {end}, in or after {last}"
    if at > end and last is not None:
        return f"it ends at byte {end}, within {last}, which should go on to byte {at}"
    return f"its directory, which stands at the end, is missing or wrong; the file ends at byte {end}"
