"""The embedded default source: a small made-up archive of all four missions, drawn once into a cache directory."""

from __future__ import annotations

import os
from pathlib import Path

from extenso_nb.gateway.sources.folder import FolderSource
from extenso_nb.gateway.sources.sample import archive

__all__ = ["SampleSource"]


class SampleSource(FolderSource):
    """A folder source over the made-up archive, which is drawn when it is not there yet (some ten seconds on two cores).

    Parameters
    ----------
    cache_dir
        Where the archive is kept, in a directory of its own that is named by the version of the drawing code.
        Processes may share it: one draws, the others wait.

    Raises
    ------
    DataDirectoryReadOnly
        The cache directory cannot be written.
    SourceUnavailable
        Drawing failed; the message has the last lines of what was said.
    """

    def __init__(self, cache_dir: str | os.PathLike[str]) -> None:
        super().__init__(archive.prepare(Path(cache_dir)), name="sample", rescan_after=60.0)
