"""What the benchmarks share: a big product, its source, a gateway over it, SeaweedFS, and the memory of a process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from scripted_http import ScriptedHttpSource  # noqa: E402

from extenso_nb.gateway.sources import Limits  # noqa: E402


def big_zip(path: Path, megabytes: int) -> Path:
    """A stored zip of bytes drawn by chance, in members of 50 MB."""
    import os

    with zipfile.ZipFile(path, "w") as archive:
        for number in range(megabytes // 50):
            archive.writestr(f"product.SAFE/GRANULE/{number}", os.urandom(50_000_000))
    return path


@contextlib.contextmanager
def source_server(file: Path, *options: str) -> Iterator[str]:
    """The address of a source that has the file under every identifier."""
    command = [sys.executable, str(HERE / "source_server.py"), str(file), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def source(url: str, *, transfers: int = 4) -> ScriptedHttpSource:
    """The source over it, read as all remote sources are."""
    far = SimpleNamespace(url=url)
    return ScriptedHttpSource(far, stall_seconds=30, limits=Limits(transfers=transfers))  # type: ignore[arg-type]


def memory(pid: int) -> float:
    """Resident memory of a process that is its own, in MB: without pages of files that it maps."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1000
    raise ValueError(pid)
