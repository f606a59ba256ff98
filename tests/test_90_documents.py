"""README, notebooks and the pages of docs run as they stand, in a home that is empty, over the sample archive."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import radar
import swaths
from nbclient import NotebookClient
from seaweed import ACCESS, SECRET, bucket_of

from extenso_nb.gateway.embed import find
from extenso_nb.gateway.sources.sample import sentinel1, sentinel2, sentinel3, sentinel5p
from extenso_nb.gateway.sources.sample.plan import products
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
    (first,), (_, second) = blocks(ROOT / "README.md", "python"), blocks(ROOT / "README.md", "py")
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
    assert pages
    if "search(" in "".join(cell.source for cell in notebook.cells):
        assert "data:image/" in pages, "what was found shows its thumbnails"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_is_kept_without_what_it_shows(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.id for cell in cells] == [f"c{number:02d}" for number in range(len(cells))]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count is not None]


# --- docs/products.md ------------------------------------------------------------------------------------------------
PRODUCTS = ROOT / "docs" / "products.md"


def sections(path: Path) -> dict[str, list[str]]:
    """Heading -> the Python below it, of the headings that have some."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^#+ ", path.read_text(), flags=re.MULTILINE)[1:]:
        code = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
        if code:
            found[part.partition("\n")[0]] = code
    return found


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the products that the page names: those of the sample archive, and those that the tests draw."""
    folder, drawn = tmp_path_factory.mktemp("delivered"), tmp_path_factory.mktemp("drawn")
    modules = {"S1": sentinel1, "S2": sentinel2, "S3": sentinel3, "S5": sentinel5p}
    specs = {spec.id: spec for spec in products()}
    named = set(re.findall(r'"(S[1235]\w+)\.(?:SAFE|SEN3|nc)\b', PRODUCTS.read_text()))
    for name in named & specs.keys():
        modules[name[:2]].write(folder, specs[name])
    for path in (
        radar.slc(drawn), radar.ocean(drawn), swaths.altimetry(drawn), swaths.synergy(drawn), swaths.vegetation(drawn, "V10"),
    ):  # fmt: skip
        path.rename(folder / path.name)
    there = {path.name.partition(".")[0] for path in folder.iterdir()}
    assert named <= there, f"the page names products that nobody has: {named - there}"
    return folder


AFTERWARDS = {
    "Opening": """
        assert pixels.shape == (100, 100) and red.name == "B04" and float(pixels.max()) < 2""",
    "Elsewhere": """
        assert part.shape == (10, tree["PRODUCT/latitude"].shape[1]) and part.notnull().any()
        assert str(tree.attrs["source_uri"]).startswith("http://127.0.0.1:")""",
    "Flags": """
        share = float(wrong.mean())
        assert 0 < share < 1 and float(reflectance.isnull().mean()) >= share""",
    "Sentinel-2": """
        assert ndvi.dtype == "float32" and ndvi.shape == bands.B04.shape
        assert 0 < float(ndvi.notnull().mean()) < 1 and abs(ndvi).max() <= 1
        assert west.rio.crs.to_epsg() == 4326""",
    "Sentinel-1": """
        import rasterio
        with rasterio.open("sigma0.tif") as written:
            assert written.crs.to_epsg() == 32633
            assert (written.read(1)[20] == chart["measurements/vv"].values[20]).sum() > 10""",
    "Bursts (SLC)": """
        import xarray
        assert numbers.dtype.kind == "c" and sigma0.dtype == "float32"
        assert xarray.open_dataarray("burst.nc").equals(sigma0.compute())
        group = tree["IW1/VV"].to_dataset()
        try:
            group.to_netcdf("complex.nc")
        except ValueError:
            group.to_netcdf("complex.nc", engine="netcdf4", auto_complex=True)
            assert xarray.open_dataset("complex.nc", engine="netcdf4", auto_complex=True).vv.equals(group.vv)
        else:
            raise AssertionError("the page says that it is refused")""",
    "Ocean (OCN)": """
        assert wind.attrs["original_name"] == "owiWindSpeed" and "latitude" in wind.coords""",
    "OLCI": """
        assert chart["Oa08"].dims == ("latitude", "longitude") and float(chart["Oa08"].max()) > 0
        assert radiance.attrs["units"].split(".")[0] == "mW" and 0 < float(zenith.mean()) < 90
        assert chlorophyll.notnull().any()""",
    "SLSTR": """
        assert 180 < float(temperature.mean()) < 330 and shortwave.attrs["radiometric_adjustment"] == 1.11
        assert 0 < float(lst.notnull().mean()) < 1 and 200 < float(lst.mean()) < 340""",
    "SRAL": """
        assert track["range_ocean"].attrs["units"] == "m" and track["range_ocean"].dtype == float""",
    "SYN": """
        assert plants["measurements"].to_dataset().rio.crs.to_epsg() == 4326 and ndvi.shape == (6, 8)
        assert nadir.dims == ("rows", "columns")""",
    "Sentinel-5P": """
        assert column.units == "mol m-2" and clear.units == "molecules cm-2"
        assert 0 < float(clear.notnull().mean()) <= 1
        assert set(chart) == {column.name, column.name + "_weight", column.name + "_count"}""",
    "A look at a product": """
        from PIL import Image
        assert "footprint" in tree.product._repr_html_().lower() and grey is not axes
        assert min(Image.open("scene.png").size) > 200""",
    "Writing": """
        assert again["measurements/r10m/B04"].rio.crs == tree["measurements/r10m/B04"].rio.crs
        assert again["measurements/r10m/B04"].equals(tree["measurements/r10m/B04"].compute())
        assert xr.open_dataset("bands.nc", mask_and_scale=False)["B04"].dtype.kind == "u"  # packed""",
}
"""Heading -> what must be true after its code."""


@pytest.mark.slow
@pytest.mark.parametrize("heading", sections(PRODUCTS))
def test_the_page_on_products_runs(heading: str, home: dict[str, str], delivered: Path, tmp_path: Path) -> None:
    for path in delivered.iterdir():
        (tmp_path / path.name).symlink_to(path)
    code = "".join(sections(PRODUCTS)[heading]) + textwrap.dedent(AFTERWARDS[heading])
    done = ran([sys.executable, "-c", code], home, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, "an example that warns is not finished"


def test_each_example_is_looked_at() -> None:
    assert AFTERWARDS.keys() == sections(PRODUCTS).keys()


# --- docs/explorer.md ------------------------------------------------------------------------------------------------
EXPLORER = ROOT / "docs" / "explorer.md"
EXPLORED = {
    "In a notebook": """
        assert explorer.map.map.layers and not explorer.state.searched""",
    "By code": """
        assert scenes.ids and scenes.total == len(scenes) and max(scenes.gdf.cloud_cover) <= 40
        assert placed.products == tuple(scenes.ids[:1]) and eo.status(placed).status == "delivered"
        assert explorer.state.products[0].cloud_cover == min(scenes.gdf.cloud_cover)""",
    "Keeping it": """
        assert again.result.ids == scenes.ids and again.state.aoi == explorer.state.aoi""",
    "The same search elsewhere": """
        import subprocess, sys
        done = subprocess.run([sys.executable, "-c", explorer.code()], capture_output=True, text=True, check=True)
        assert done.stdout.split() == scenes.ids
        assert "extenso search S2" in explorer.code("cli") and "curl" in explorer.code("curl")""",
    "Parts alone": """
        assert desk.state.products and {item.collection for item in desk.state.products} == {"S1"}
        alone = SearchForm()
        alone.desk.search().result(10)
        assert "gateway" in alone.state.message["title"] and not alone.state.searched""",
}
"""Heading -> what must be true after its code. The page is one notebook, from top to bottom."""


@pytest.mark.slow
def test_the_page_on_the_explorer_runs(home: dict[str, str], tmp_path: Path) -> None:
    pieces = ["".join(code) + textwrap.dedent(EXPLORED[heading]) + "\n" for heading, code in sections(EXPLORER).items()]
    (tmp_path / "page.py").write_text("".join(pieces))
    done = ran([sys.executable, "page.py"], home, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, "an example that warns is not finished"
    assert set(EXPLORED) == set(sections(EXPLORER))


def test_the_page_on_the_explorer_names_what_there_is() -> None:
    from extenso_nb.widgets import ExplorerState, export

    text = EXPLORER.read_text()
    rows = re.findall(r"^\| (`.*?) \|", text[text.index("| of the state") : text.index("`state.observe")], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 25
    assert named <= set(ExplorerState.class_trait_names())
    assert {export.ACCESS, export.SECRET} <= set(re.findall(r"EXTENSO_\w+", text))


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        assert other.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(other.read_text()), f"{path.name} links to {target}"


def test_code_names_pages_that_exist() -> None:
    named = {
        page for path in (ROOT / "extenso_nb").rglob("*.py") for page in re.findall(r"docs/\w+\.md", path.read_text())
    }
    assert named
    assert {page for page in named if not (ROOT / page).exists()} == set()


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
