"""sarsen's test data, from its source distribution: a terrain of Rome, and metadata of two Sentinel-1 products over it."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def rome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the data; skipped where `make oracle` has not fetched the distribution into the environment."""
    pytest.importorskip("sarsen")
    found = sorted((Path(sys.prefix) / "sdist").glob("sarsen-*.tar.gz"))
    if not found:
        pytest.skip(f"no source distribution of sarsen in {Path(sys.prefix) / 'sdist'}; `make oracle` fetches it")
    target = tmp_path_factory.mktemp("sarsen")
    with tarfile.open(found[-1]) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.glob("sarsen-*/tests/data")
    return folder
