"""The command line over folders that are slow to read, as a far source is: a process of it is to be met at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from extenso_nb.cli import main
from extenso_nb.gateway.sources.folder import FolderSource

SECONDS = 0.25
"""Each product takes so much longer."""

_open = FolderSource.open


def _slowly(self: FolderSource, product_id: str) -> Any:
    content = _open(self, product_id)

    def read(start: int) -> Iterator[bytes]:
        for number, block in enumerate(content.read(start)):
            yield block
            time.sleep(SECONDS if number == 0 else 0)

    return replace(content, read=read)


FolderSource.open = _slowly  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
