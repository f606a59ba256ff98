"""Binder: repo2docker reads what builds the image, its steps are carried out here, and both links open the Explorer."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from extenso_nb.gateway.embed import find

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("binder", "extenso_nb", "notebooks", "constraints.txt", "pyproject.toml", "LICENSE", "README.md")
"""What an image is built from."""
LINKS = {"lab": "lab/tree/notebooks/02_explore.ipynb", "voila": "voila/render/notebooks/explorer_app.ipynb"}
"""What the badges of the README open."""
MEMORY = 1e9
"""Bytes that Binder promises to a session."""
FIRST_SEARCH = 5.0
"""Seconds that the first search of a visitor may take."""
CONNECTED = """() => {
  const shown = window.jupyterapp?.shell.currentWidget, kernel = shown?.sessionContext?.session?.kernel;
  return shown?.context?.isReady && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
"""Whether the notebook shown in JupyterLab can be run. "Idle" alone is said before there is a connection."""
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"


def until(holds: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What `holds` gives when it is true at last."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of Binder's user, which is the repository as well."""
    folder = tmp_path_factory.mktemp("jovyan")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)  # an environment of a gigabyte: pytest would keep three of them


# --- what the README says ----------------------------------------------------------------------------------------------
def test_the_readme_has_both_badges() -> None:
    badge = r"\[!\[(.+?)\]\(https://mybinder\.org/badge_logo\.svg\)\]\(https://mybinder\.org/v2/gh/(\S+?)/HEAD\?urlpath=(\S+?)\)"
    found = re.findall(badge, (ROOT / "README.md").read_text())
    assert [path for _, _, path in found] == list(LINKS.values())
    assert len({words for words, _, _ in found}) == 2, "without pictures the two are told apart by their words"
    assert len({repository for _, repository, _ in found}) == 1
    for _, _, path in found:
        assert (ROOT / "notebooks" / path.rpartition("/")[2]).is_file()


# --- what repo2docker makes of it --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def recipe(home: Path) -> str:
    """The Dockerfile that repo2docker would build, and what it says before it."""
    program = Path(sys.executable).parent / "jupyter-repo2docker"
    command = [str(program), "--no-build", "--debug", str(home)]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def test_repo2docker_picks_it_up(recipe: str) -> None:
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"environment for python={version}\n" in recipe
    steps = (
        r"^COPY .* src/ \$\{REPO_DIR\}/$",  # the package is there before pip is asked to install it
        r'^RUN .*pip install .*-r "binder/requirements.txt"',
        r"^RUN ./binder/postBuild$",
        r'^ENV R2D_ENTRYPOINT="\$\{REPO_DIR\}/binder/start"$',
    )
    at = 0
    for step in steps:
        found = re.compile(step, re.MULTILINE).search(recipe, at)
        assert found, f"{step} is not in the Dockerfile, or too early:\n{recipe}"
        at = found.end()


def test_what_is_drawn_while_building_is_found_when_running(recipe: str) -> None:
    before, _, after = recipe.partition("RUN ./binder/postBuild")
    users = [re.findall(r"^USER (.*)$", part, re.MULTILINE) for part in (before, after)]
    assert users[0][-1] == "${NB_USER}", "postBuild runs as the user whom visitors are"
    assert not users[1], "and nobody else follows"
    assert re.findall(r"(?<!\w)HOME=(\S+)", recipe) == ["/home/${NB_USER}"]
    assert "XDG_" not in recipe
    assert "ARG REPO_DIR=${HOME}\n" in recipe, "the steps below are tried in a home that is the repository"


# --- its steps, here ---------------------------------------------------------------------------------------------------
@dataclass
class Image:
    """What the steps left."""

    home: Path
    environment: Mapping[str, str]
    seconds: dict[str, float]

    def processes(self) -> list[psutil.Process]:
        """All that run in this home: server, kernels, gateway."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def memory(self) -> dict[str, float]:
        """Bytes that these hold: each by itself (RSS), and with shared pages divided among those who share them (PSS)."""
        total = {"rss": 0.0, "pss": 0.0}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                full = process.memory_full_info()
                total["rss"] += full.rss
                total["pss"] += full.pss
        return total


@pytest.fixture(scope="module")
def image(home: Path) -> Iterator[Image]:
    """A fresh environment, made by the steps of the Dockerfile in their order."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EXTENSO_", "JUPYTER", "PYTEST", "PYTHON", "VIRTUAL_ENV", "XDG_"))
    }
    place = home / ".venv"
    environment = kept | {"HOME": str(home), "PATH": f"{place / 'bin'}{os.pathsep}{kept.get('PATH', '')}"}
    steps = {
        "environment": [sys.executable, "-m", "venv", str(place)],
        "install": [
            *(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("-r", "binder/requirements.txt"),
        ],
        "postBuild": ["./binder/postBuild"],
    }
    seconds = {}
    for name, command in steps.items():
        begun = time.monotonic()
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{name} failed:\n{done.stdout}{done.stderr}"
        seconds[name] = round(time.monotonic() - begun, 1)
    made = Image(home, environment, seconds)
    yield made

    def alone() -> bool:
        for process in made.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        return not made.processes()

    until(alone, "the end of all that was begun here")


@pytest.fixture(scope="module")
def server(image: Image) -> Iterator[tuple[str, str]]:
    """Address and token of JupyterLab, begun as Binder begins it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *("bash", "binder/start", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        # It would ask PyPI; and a test runs cells by what the menus call, for their texts change while a page loads.
        *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.expose_app_in_browser=True"),
    ]
    log = image.home / "server.log"
    begun = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=image.home, env=image.environment, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        return status(f"{address}api/status?token={token}") == 200

    try:
        until(answers, "an answer of JupyterLab")
        image.seconds["start"] = round(time.monotonic() - begun, 1)
        yield address, token
    finally:
        process.terminate()
        process.wait(30)


def versions(text: str) -> set[tuple[str, str]]:
    """The lines `name==version`, names as the index spells them."""
    found = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found}


def status(url: str) -> int | None:
    """Status of an answer; None when there is none."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def over(cells: list[dict[str, Any]]) -> bool:
    """Whether a notebook was run to its end, or to an error."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    return bool(failed) or code[-1]["execution_count"] is not None


def elsewhere(url: str) -> bool:
    """Whether it is on another machine; `data:` and `blob:` have none."""
    return urlsplit(url).hostname not in {"127.0.0.1", None}


@pytest.fixture(scope="module")
def browser(server: tuple[str, str]) -> Iterator[Any]:
    """A browser that reaches this machine only."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium: `apt-get install chromium`")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = made.new_context(viewport={"width": 1280, "height": 1000})
        context.route(elsewhere, lambda route: route.abort())
        yield context
        made.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_steps_make_an_environment_with_voila(image: Image) -> None:
    command = ["jupyter", "server", "extension", "list"]
    done = subprocess.run(
        command, cwd=image.home, env=image.environment, capture_output=True, text=True, timeout=60, check=False
    )
    told = re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)
    for name in ("jupyterlab", "notebook", "voila.server_extension"):
        assert re.search(rf"^\s*{re.escape(name)} enabled\s*$", told, re.MULTILINE), told
    assert list((image.home / ".cache" / "extenso_nb").rglob("S2*")), "the archive is drawn while the image is built"
    installed = subprocess.run(
        ["python", "-P", "-c", "import extenso_nb; print(extenso_nb.__file__)"],
        cwd=image.home, env=image.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ".venv" in installed.stdout, "the package itself is installed, not only found beside the notebooks"
    frozen = subprocess.run(
        ["python", "-m", "pip", "freeze", "--exclude", "extenso-nb"],
        cwd=image.home, env=image.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loose = versions(frozen.stdout) - versions((ROOT / "constraints.txt").read_text())
    assert not loose, "an image built next year is to have the versions of today"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_both_links_open_the_explorer_within_the_memory_of_binder(
    image: Image, server: tuple[str, str], browser: Any, record_property: Callable[[str, object], None]
) -> None:
    address, token = server
    figures: dict[str, object] = dict(image.seconds)
    data = image.home / ".local" / "share" / "extenso_nb" / "gateway"
    gateway = until(lambda: find(data), "a gateway begun by binder/start, before anybody asked")

    # The app, with nobody else there: this is the first search that the gateway sees.
    begun = time.monotonic()
    page = browser.new_page()
    answer = page.goto(f"{address}{LINKS['voila']}?token={token}", timeout=60_000)
    assert answer.status == 200
    search = page.get_by_role("button", name=re.compile("^Search$"))
    search.wait_for(timeout=60_000)
    figures["app shown"] = round(time.monotonic() - begun, 1)
    assert page.get_by_text("31TCJ").count() == 0
    begun = time.monotonic()
    search.click()
    page.get_by_role("option", name=re.compile("31TCJ")).first.wait_for(timeout=60_000)
    first = time.monotonic() - begun
    figures["first search"] = round(first, 2)
    app = image.memory()

    # The notebook beside it, from top to bottom.
    begun = time.monotonic()
    lab = browser.new_page()
    answer = lab.goto(f"{address}{LINKS['lab']}?token={token}", timeout=60_000)
    assert answer.status == 200
    lab.wait_for_function(CONNECTED, timeout=60_000)
    lab.evaluate("() => { void window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    beside: list[dict[str, float]] = []

    def ended() -> bool:
        beside.append(image.memory())
        return over(lab.evaluate(CELLS))

    until(ended, "the end of the notebook", 120)
    cells = [cell for cell in lab.evaluate(CELLS) if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs), "the product is drawn"
    figures["notebook ran"] = round(time.monotonic() - begun, 1)
    both = max([*beside, image.memory()], key=lambda held: held["rss"])
    again = find(data)
    assert again is not None
    assert again.pid == gateway.pid, "app and notebook share the one that binder/start began"
    lab.evaluate("() => { void window.jupyterapp.shell.currentWidget.content.scrollToItem(0) }")
    lab.get_by_role("button", name=re.compile("^Search$")).wait_for(timeout=30_000)
    figures |= {
        f"{name} {kind}": round(value[kind] / 1e6) for name, value in (("app", app), ("both", both)) for kind in value
    }
    print(figures)
    for name, value in figures.items():
        record_property(name, value)
    assert first < FIRST_SEARCH
    assert both["rss"] < MEMORY
