"""The names in a zip: which of them may be written to a disk, on any system."""

from __future__ import annotations

import re
import stat
import unicodedata
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from extenso_nb.readers import entries

__all__ = ["Names", "Refuse", "check_type", "harmless", "quoted", "unsafe"]

NAMES_MAX = 32_000_000
"""Characters of all names, and of the folders in them."""
_UNIX = frozenset({3, 19})  # and macOS

Refuse: TypeAlias = Callable[[str], NoReturn]
"""Raises DamagedProduct for the reason given."""


class Names:
    """The names so far; none may lead out, come twice, or be both a file and a folder, on any system."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._listed_folders: set[str] = set()
        self._length = 0

    def add(self, raw: bytes, shown: str, refuse: Refuse) -> None:
        """The next name, or the reason why it cannot be one."""
        if why := unsafe(raw, shown):
            refuse(f"the name {quoted(shown)} {why}")
        key = unicodedata.normalize("NFC", shown).casefold()
        parts = [part for part in key.split("/") if part not in {"", "."}]
        key = "/".join(parts)
        known = self._listed_folders if shown.endswith("/") else self._files
        if key in known:
            refuse(f"{quoted(shown)} is there twice, or in two spellings")
        known.add(key)
        self._length += len(key)
        # Upwards from the nearest; where one is known, so are those above it.
        for number in range(len(parts) - (not shown.endswith("/")), 0, -1):
            folder = "/".join(parts[:number])
            if folder in self._folders:
                break
            if folder in self._files:
                refuse(f"{quoted(shown)} makes a folder of a file")
            self._folders.add(folder)
            self._length += len(folder)
        if not shown.endswith("/") and key in self._folders:
            refuse(f"{quoted(shown)} makes a file of a folder")
        if self._length > NAMES_MAX:
            refuse(f"its names have more than {NAMES_MAX} characters")


def unsafe(raw: bytes, shown: str) -> str | None:
    """Why a name is not one of a file within the product."""
    parts = shown.split("/")
    reasons = {
        "is empty": not shown,
        "has a NUL in it": b"\0" in raw,
        "begins at the root of the file system": shown.startswith("/"),
        "has a backslash in it": "\\" in shown,
        "begins with a drive": re.match("[A-Za-z]:", shown) is not None,
        "leads out of the product": ".." in parts,
        "names nothing": all(part in {"", "."} for part in parts),
        # What no reader here opens must not be delivered either.
        "is none that a product has": entries.unfit(shown) is not None,
    }
    return next((why for why, is_so in reasons.items() if is_so), None)


def harmless(raw: bytes) -> bool:
    """Whether a second name, in UTF-8, is one that may stand beside a first one in another encoding."""
    try:
        shown = raw.decode()
    except UnicodeDecodeError:
        return False
    return not shown.isascii() and unsafe(raw, shown) is None


def check_type(shown: str, external: int, system: int, refuse: Refuse) -> None:
    """Only files and folders; on Unix the upper half of the external attributes is the mode, elsewhere it may be."""
    kind = stat.S_IFMT(external >> 16)
    if kind == stat.S_IFLNK:
        refuse(f"{quoted(shown)} is a link")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        refuse(f"{quoted(shown)} is neither a file nor a folder")
    if system in _UNIX and kind == stat.S_IFDIR and not shown.endswith("/"):
        refuse(f"{quoted(shown)} is a file by its name and a folder by its attributes")


def quoted(name: str) -> str:
    """A name as a message shows it: in quotes, and not too long."""
    return repr(name if len(name) <= 200 else f"{name[:100]}...{name[-90:]}")
