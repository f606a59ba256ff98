"""The house itself: what importing costs, what is public, and that the documents say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import extenso_nb
from extenso_nb import cli, errors, wire

ROOT = Path(__file__).resolve().parent.parent


def run(code: str, *flags: str) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_importing_is_quick_and_touches_nothing() -> None:
    watch = """
import sys
touched = []
def hook(event, arguments):
    if event.startswith("socket.") or event in {"os.mkdir", "os.remove", "os.rename", "subprocess.Popen"}:
        touched.append((event, str(arguments)))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        touched.append((event, str(arguments)))
sys.addaudithook(hook)
import extenso_nb
names = "xarray pandas numpy rasterio httpx fastapi ipywidgets pydantic"
heavy = [name for name in names.split() if name in sys.modules]
print(touched, heavy, sys.modules["logging"].root.handlers if "logging" in sys.modules else [])
"""
    assert run(watch, "-B").strip() == "[] [] []"
    # The best of three, so that a busy machine is not taken for a slow package.
    best = min(_seconds("import extenso_nb") - _seconds("pass") for _ in range(3))
    assert best < 0.5, f"import extenso_nb takes {best:.2f} s"


def _seconds(code: str) -> float:
    begun = time.perf_counter()
    run(code)
    return time.perf_counter() - begun


def test_every_public_name_is_there_and_documented() -> None:
    for name in extenso_nb.__all__:
        found = getattr(extenso_nb, name)
        assert name in dir(extenso_nb)
        assert name == "__version__" or found.__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        _ = extenso_nb.nothing


def test_the_service_document_names_every_verb_and_error() -> None:
    text = (ROOT / "docs" / "service.md").read_text()
    for verb in wire.VERBS.values():
        query = "?" + "&".join(f"{name}=" for name in verb.query) if verb.query else ""
        assert f"| `{verb.name}` | {verb.method} `{verb.path}{query}` |" in text
    for (status, code), kind in errors.table().items():
        assert f"| {status} | {code} | `{kind.__name__}` |" in text
    rows = re.findall(r"^\| `(\w+)` \| [A-Z]+ ", text, re.MULTILINE)
    assert rows == list(wire.VERBS)


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    listed = re.search(r"`extenso (search [^`]*)`", text)
    assert listed
    named = listed[1].split(" | ")
    help_text = cli.parser().format_help()
    assert named == re.findall(r"^    (\w+) +\w", help_text, re.MULTILINE)


def test_notebooks_hold_no_outputs() -> None:
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert found
    for path in found:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path.name}: outputs in git"
            assert cell.get("execution_count") is None


def test_no_address_of_an_index_is_in_the_lock() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_each_module_says_in_one_line_what_it_is() -> None:
    for path in sorted((ROOT / "extenso_nb").rglob("*.py")):
        text = path.read_text()
        assert text.startswith(('"""', 'r"""')), path
        assert len(text.splitlines()) <= 600, f"{path} has {len(text.splitlines())} lines"
