"""A gateway process over a scripted HTTP source: `python gateway_process.py DATA_DIR SERVER_URL`. The rest is as served."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from scripted_http import ScriptedHttpSource

from extenso_nb.gateway import serve
from extenso_nb.gateway.sources import Limits
from extenso_nb.retry import Retry

TRANSFERS = 2
"""Products on their way at the same time."""


def main() -> None:
    folder, url = sys.argv[1:]
    source = ScriptedHttpSource(SimpleNamespace(url=url), limits=Limits(transfers=TRANSFERS))  # type: ignore[arg-type]
    serve.open_sources = lambda *_, **__: [source]  # type: ignore[assignment]
    schedule = Retry(attempts=None, first=0.05, factor=1, longest=0.05)
    serve.serve(serve.Settings(Path(folder), sources=("scripted",), schedule=schedule), announce=False)


if __name__ == "__main__":
    main()
