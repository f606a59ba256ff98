"""Drawing the sample archive: once, as a whole or not at all, by one process while the others wait.

The archive is a directory `sample-<version>` with a list of its files. It is drawn beside under another name by a few
processes of its own, brought to the disk and then renamed. What is found without its list, or not as the list says, is drawn
anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from extenso_nb.errors import DataDirectoryReadOnly, SourceUnavailable

__all__ = ["LIST", "prepare", "version"]

LIST = "archive.json"
"""Name of the list of files in the archive: file name -> bytes."""
_FORMAT = 1
_PROCESSES = 2


@functools.cache
def version() -> str:
    """Names the drawing: another one when any of its code changes."""
    digest = hashlib.blake2b(str(_FORMAT).encode(), digest_size=4)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return f"{_FORMAT}-{digest.hexdigest()}"


def prepare(cache_dir: Path) -> Path:
    """The directory of the archive, drawn if it is not there and whole.

    Raises
    ------
    DataDirectoryReadOnly
        `cache_dir` cannot be made or written.
    SourceUnavailable
        Drawing failed.
    """
    target = Path(cache_dir).expanduser().absolute() / f"sample-{version()}"
    if _is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / "sample.lock"):
            if not _is_whole(target):  # another process may have drawn it while this one waited
                _build(target)
    except OSError as error:
        if isinstance(error, DataDirectoryReadOnly):
            raise
        raise DataDirectoryReadOnly(
            f"The sample archive cannot be written to {target.parent}: {error.strerror or error}.",
            hint="Make room there or change its permissions, or choose another cache directory (XDG_CACHE_HOME).",
        ) from error
    return target


def _is_whole(target: Path) -> bool:
    """Whether every file of the list is there with the size that the list says."""
    try:
        listed = json.loads((target / LIST).read_text())
        return bool(listed) and all((target / name).stat().st_size == size for name, size in listed.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file, waiting for it; the system lets go of it when this process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _build(target: Path) -> None:
    """Draw into a directory beside and put it in place. Call with the lock held."""
    for left in target.parent.glob("sample-*.building"):  # of a process that was ended; none other holds the lock
        shutil.rmtree(left, ignore_errors=True)
    building = target.with_name(f"{target.name}.building")
    building.mkdir()
    try:
        _draw(building)
        sizes = {path.name: path.stat().st_size for path in sorted(building.iterdir())}
        (building / LIST).write_text(json.dumps(sizes, indent=1))
        for path in building.iterdir():
            _to_disk(path)
        _to_disk(building)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
        _to_disk(target.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draw(directory: Path) -> None:
    """All products, by processes of their own: the drawing is arithmetic, and what it holds in memory ends with them."""
    command = [sys.executable, "-m", "extenso_nb.gateway.sources.sample", str(directory)]
    root = str(Path(__file__).parents[4])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # One thread each for the libraries: the processes share the cores among them.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    logs = [directory / f"share-{share}.log" for share in range(_PROCESSES)]
    running = []
    try:
        for share, log in enumerate(logs):
            with log.open("wb") as said:
                running.append(
                    subprocess.Popen(  # noqa: S603  # our own module, our own arguments
                        [*command, f"{share}/{_PROCESSES}"],
                        stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=environment,
                    )
                )  # fmt: skip
        ends = [process.wait() for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    failed = [log.read_text(errors="replace")[-2000:] for log, end in zip(logs, ends, strict=True) if end]
    for log in logs:
        log.unlink()
    if failed:
        raise SourceUnavailable(
            f"The sample archive could not be drawn:\n{failed[0]}", hint="Run `extenso doctor`, or use another source."
        )
