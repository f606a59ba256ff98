"""The last search of each gateway, in a file of the user's: a kernel that is restarted need not lose the area drawn."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

__all__ = ["recall", "remember"]

logger = logging.getLogger("extenso_nb.widgets")

FIELDS = (
    "aoi", "aoi_text", "collection", "product_type", "start", "stop", "cloud", "filters", "q", "sort", "page_size"
)  # fmt: skip
"""What is remembered: the form. What was found is searched again, and the basket is the user's to fill."""

_PATIENCE = 2.0
"""Seconds for another kernel, or another Explorer of this one, to have written."""


def remember(gateway: str, form: dict[str, Any]) -> None:
    """Keep a form as the last one of a gateway. That it cannot be written is logged: the search itself went well."""
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=_PATIENCE):
            content = json.dumps({**_read(path), gateway: {key: form[key] for key in FIELDS if key in form}})
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            # Areas may say where somebody works: nobody else's business.
            draft.touch(mode=0o600)
            draft.write_text(content)
            draft.replace(path)
    except OSError as error:
        logger.info("The last search could not be remembered in %s: %s", path, error)


def recall(gateway: str) -> dict[str, Any] | None:
    """The last form of a gateway, or None."""
    found = _read(_path()).get(gateway)
    return {key: found[key] for key in FIELDS if key in found} if isinstance(found, dict) else None


def _read(path: Path) -> dict[str, Any]:
    """What is remembered; a file that cannot be read, or is none of ours, remembers nothing."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    import platformdirs

    return Path(platformdirs.user_state_dir("extenso_nb", appauthor=False)) / "searches.json"
