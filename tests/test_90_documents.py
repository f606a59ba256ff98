"""README and notebooks run as they stand, in a home that is empty, over the sample archive."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from seaweed import ACCESS, SECRET, bucket_of

from extenso_nb.gateway.embed import find
from extenso_nb.storage import BucketStorage

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a newcomer: an empty home and no setting."""
    folder = tmp_path_factory.mktemp("newcomer")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_", "JUPYTER"))}
    # The binaries of this environment come first, as after `activate`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    yield kept | {"HOME": str(folder), "PATH": path}
    found = find(folder / ".local" / "share" / "extenso_nb" / "gateway")
    if found is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def ran(command: list[str], home: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What a command of a newcomer leaves and says."""
    return subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_the_readme_runs(home: dict[str, str], tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    assert "```python" in "\n".join(text.splitlines()[:30]), "six lines that run stand in the first thirty"
    (code,) = blocks(ROOT / "README.md", "python")
    done = ran([sys.executable, "-c", code], home, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "B04" in done.stdout
    assert "spatial_ref" in done.stdout


@pytest.mark.slow
def test_the_readme_delivers_into_a_bucket(home: dict[str, str], tmp_path: Path, s3: str) -> None:
    (first,), (second,) = blocks(ROOT / "README.md", "python"), blocks(ROOT / "README.md", "py")
    first = first[: first.index("order = ")]
    second = second.replace("https://s3.example.org/my-bucket", f"{s3}/deliveries")
    second = second.replace('access_key="..."', f'access_key="{ACCESS}"').replace('"..."', f'"{SECRET}"')
    done = ran([sys.executable, "-c", first + second], home, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "delivered, 1 of 1" in done.stdout
    key = done.stdout.split()[-1]
    storage = BucketStorage(bucket_of(s3, "deliveries"))
    with storage.open(key) as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
    storage.delete_below(key.rpartition("/")[0])


@pytest.mark.slow
def test_the_readme_commands_run(home: dict[str, str], tmp_path: Path) -> None:
    (commands,) = (block for block in blocks(ROOT / "README.md", "sh") if "extenso search" in block)
    done = ran(["bash", "-euo", "pipefail", "-c", commands], home, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "products").glob("S2*.zip"))


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in home.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    told = [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"]
    assert told == [], "a notebook that warns is not finished"
    pages = "".join(output.get("data", {}).get("text/html", "") for output in shown)
    assert "data:image/" in pages, "the search shows thumbnails"


@pytest.mark.slow
def test_the_demonstration_leaves_a_picture_and_a_report(home: dict[str, str], tmp_path: Path) -> None:
    from PIL import Image

    done = ran([sys.executable, "-m", "extenso_nb.cli", "demo", "--out", str(tmp_path / "demo")], home, tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "demo" / "demo.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").resize((64, 64)).getcolors(5000) or []) > 500, "a picture, not a blank"
    page = (tmp_path / "demo" / "demo.html").read_text()
    assert "measurements" in page
    assert not re.search(r'(src|href)="https?:', page), "the report needs no network"
