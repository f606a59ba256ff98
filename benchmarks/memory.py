"""Memory of a gateway process while it delivers 20 products of 500 MB into SeaweedFS, 4 (or as many as are named) at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import parts
import seaweed

NUMBER, MEGABYTES = 20, 500


def run(folder: Path, url: str, s3: str, transfers: int) -> tuple[float, float, float]:
    """MB before the first byte, MB at most, and seconds."""
    command = [sys.executable, str(parts.HERE / "gateway_over.py"), str(folder), url, s3, str(transfers), str(NUMBER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = most = parts.memory(process.pid)
        begun = time.monotonic()
        while process.poll() is None:
            try:
                most = max(most, parts.memory(process.pid))
            except (FileNotFoundError, ProcessLookupError, ValueError):
                break
            time.sleep(0.1)
        assert process.wait() == 0
        return before, most, time.monotonic() - begun


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = parts.big_zip(folder / "big.zip", MEGABYTES)
        (folder / "weed").mkdir()
        with parts.source_server(file) as url, seaweed.serving(folder / "weed", volume_megabytes=2000) as s3:
            for transfers in map(int, sys.argv[1:] or ["4"]):
                own = folder / f"data-{transfers}"
                own.mkdir()
                before, most, seconds = run(own, url, s3, transfers)
                rate = NUMBER * file.stat().st_size / 1e6 / seconds
                print(
                    f"{transfers:>2} at once: {before:.0f} MB before, at most {most:.0f} MB; {rate:.0f} MB/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
