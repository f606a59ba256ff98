"""The command line over folders that are slow to read, as a far source is: its processes are to be met at work.

Each process brings three products; the others come when the file that EXTENSO_TEST_HOLD names is gone. No process takes
more than two at once, so that each of three gets some.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from extenso_nb.cli import main
from extenso_nb.gateway import deliveries
from extenso_nb.gateway.sources.folder import FolderSource

SECONDS, EACH, OVERALL = 0.2, 2, 6
FREE = 3
HOLD = Path(os.environ["EXTENSO_TEST_HOLD"])

_begun = itertools.count()
_open, _register = FolderSource.open, deliveries._register


def _slowly(self: FolderSource, product_id: str) -> Any:
    content, held = _open(self, product_id), next(_begun) >= FREE

    def read(start: int) -> Iterator[bytes]:
        for number, block in enumerate(content.read(start)):
            yield block
            time.sleep(SECONDS if number == 0 else 0)
            while held and number == 0 and HOLD.exists():
                time.sleep(0.05)

    return replace(content, read=read)


def _fairly(queue: str, **limits: Any) -> None:
    _register(queue, **(limits | {"each": EACH, "overall": OVERALL} if limits.get("overall") else limits))


FolderSource.open = _slowly  # type: ignore[method-assign]
deliveries._register = _fairly

if __name__ == "__main__":
    sys.exit(main())
