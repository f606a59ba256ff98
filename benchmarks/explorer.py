"""The Explorer in JupyterLab and Chromium: hover there and back, 1,000 products, progress while a cell computes, memory."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import launched, opened
from explorer_speed import MANY, Speed, gateway
from frontends import FrontEnd


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lab", "cache", "chromium", "gateway"):
            (folder / part).mkdir()
        lab = FrontEnd("lab", folder / "lab", folder / "cache")
        try:
            with (
                launched(folder / "chromium") as chromium,
                gateway(folder / "gateway") as place,
                opened(chromium, lab, place.cell) as book,
            ):
                measured(Speed(book, folder, place))
        finally:
            lab.stop()


def measured(speed: Speed) -> None:
    """Measure one after the other, and print each at once."""
    print(f"kernel, Explorer shown: {speed.book.kernel.resident():.0f} MB")
    print(f"{MANY} products on the screen: {speed.put(MANY):.2f} s")
    speed.fetch_pictures()
    print(f"kernel, {MANY} products with thumbnails: {speed.book.kernel.resident():.0f} MB")
    for name, times in (("card -> footprint", speed.hover_cards()), ("footprint -> card", speed.hover_footprints())):
        print(f"hover, {name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {len(times)}")
    progress = speed.progress()
    counts = (
        f"{len(progress.told)} changes told, {len(progress.heard)} heard by the kernel, {len(progress.shown)} shown"
    )
    print(f"progress in 5 s of Python: {counts}, {progress.share:.0%}")
    times = [speed.put(1000) for _ in range(3)]
    print(f"1,000 products on the screen: {', '.join(f'{seconds:.2f}' for seconds in times)} s")
    print(f"kernel, 1,000 products: {speed.book.kernel.resident():.0f} MB")


if __name__ == "__main__":
    main()
