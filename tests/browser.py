"""Notebooks in a real browser: Debian's Chromium, driven by Playwright, over the servers of `frontends`.

A test asks for a front end (`lab`, `notebook7`, `voila`) and for `browse`, which opens a new notebook in a page:

    def test_it(lab: FrontEnd, browse: Browse) -> None:
        book = browse(lab, "6 * 7")

When it ends, the test fails if its pages asked any host but this one, or wrote an error to the console.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from explorer_page import ExplorerPage
from frontends import FrontEnd, Kernel, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

SHOTS = os.environ.get("EXTENSO_SCREENSHOTS")  # read before the fixture that takes all of EXTENSO_ away
SECONDS = 60
"""Limit of everything that is waited for: many times what it takes on a quiet machine."""

EXPLORER = """
import extenso_nb as ex
eo = ex.connect()
explorer = eo.explorer()
explorer
"""

_ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
    # No name but this machine's is found, whoever asks: a page, a worker, a socket, the browser itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

TOLERATED: dict[str, tuple[str, ...]] = {
    "lab": (),
    # Its themes ask for their settings before these are there, now and then.
    "notebook": (r"^page error: Cannot read properties of undefined \(reading 'schema'\)$",),
    "voila": (
        # Its template asks a CDN for FontAwesome, whatever the notebook: icons of ipywidgets are blank without network.
        r"^request to https://cdn\.jsdelivr\.net/npm/@fortawesome/",
        r"^console: .*net::ERR_NAME_NOT_RESOLVED \(https://cdn\.jsdelivr\.net/npm/@fortawesome/",
        # It loads the extensions of Notebook 7, too, and cannot.
        r"^console: Error: The getter for the shared module is not a function[^$]*@jupyter-notebook/lab-extension/",
    ),
}
"""What the front ends do by themselves; regular expressions of the lines of `Watch`. Nothing of ours may stand here."""


class Watch:
    """What the pages of a context ask for and complain of."""

    def __init__(self, context: BrowserContext, tolerated: tuple[str, ...] = ()) -> None:
        self._tolerated = tolerated
        self.requests: list[str] = []
        self.complaints: list[str] = []
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self._note(f"page error: {error.error}"))
        context.on("page", lambda page: page.on("websocket", lambda socket: self._asked(socket.url)))

    def _request(self, request: Request) -> None:
        self._asked(request.url)

    def _asked(self, url: str) -> None:
        self.requests.append(url)
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob", "about"} and parts.hostname != "127.0.0.1":
            self._note(f"request to {url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _note(self, line: str) -> None:
        if not any(re.search(pattern, line) for pattern in self._tolerated):
            self.complaints.append(line)

    def elsewhere(self) -> list[str]:
        """Requests to other machines."""
        return [line.removeprefix("request to ") for line in self.complaints if line.startswith("request to ")]

    def take(self) -> list[str]:
        """The complaints so far, which are then forgotten: for a test that means to cause them."""
        taken, self.complaints = self.complaints, []
        return taken

    def check(self) -> None:
        """Raise AssertionError when there were any."""
        assert not self.complaints, "the page complained, or asked other machines:\n" + "\n".join(self.complaints)


class Notebook:
    """A notebook in a page, its cells run, with its kernel.

    Attributes
    ----------
    page
        Playwright's page.
    kernel
        For what is to be asked or done in the notebook's names.
    explorer
        The Explorer on the page, as its user sees it.
    watch
        What the page asked for and complained of.
    """

    def __init__(self, front: FrontEnd, page: Page, watch: Watch, cells: tuple[str, ...]) -> None:
        self.front, self.page, self.watch = front, page, watch
        self.name = front.write(*cells)
        self._kernel: Kernel | None = None
        self.page.goto(front.page(self.name))
        if front.kind != "voila":
            self._until_ready()
            self.run()
        self.explorer = ExplorerPage(self)

    # --- the kernel ----------------------------------------------------------------------------------------------
    @property
    def kernel(self) -> Kernel:
        """A client of the page's kernel."""
        if self._kernel is None:
            self._kernel = Kernel(self.front.connection_file(self._kernel_id()))
        return self._kernel

    def _kernel_id(self) -> str:
        if self.front.kind == "voila":
            config = self.page.locator("#jupyter-config-data").text_content(timeout=1000 * SECONDS)
            return str(re.search(r'"kernelId": *"([^"]+)"', config or "")[1])  # type: ignore[index]
        session = until(lambda: self.front.sessions(self.name), f"a session of {self.name}", SECONDS)[0]
        return str(session["kernel"]["id"])

    def _until_ready(self) -> None:
        """Wait for the kernel as the page has it: the indicator of the front end says "idle" before it is connected."""
        self.page.wait_for_function(
            """() => {
                const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
                const kernel = context?.session?.kernel;
                return context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
            }""",
            timeout=1000 * SECONDS,
        )

    def run(self) -> None:
        """Run all cells, as its menu does; do not wait for them."""
        # A promise of the page has no time limit: it is not waited for.
        self.page.evaluate("() => { void window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def restart(self) -> None:
        """Restart the kernel as the front end does; the page stays. Returns when it is connected again."""
        kernel_id = self._kernel_id()
        self._let_go()
        self.page.evaluate(
            """() => {
                window.restarted = false;
                const context = window.jupyterapp.shell.currentWidget.sessionContext;
                context.restartKernel().then(() => { window.restarted = true; });
            }"""
        )
        self.page.wait_for_function("() => window.restarted", timeout=1000 * SECONDS)
        self._until_ready()
        assert self._kernel_id() == kernel_id

    def save(self) -> None:
        """Save the notebook, with what its cells have shown."""
        self.page.evaluate("() => { void window.jupyterapp.commands.execute('docmanager:save'); }")
        self.page.wait_for_function(
            "() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=1000 * SECONDS
        )

    def reload(self) -> None:
        """Load the page again; the kernel goes on."""
        self.page.reload()
        self._until_ready()

    # --- the page ------------------------------------------------------------------------------------------------
    def until(self, holds: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
        """The first true value of `holds()`; the page goes on meanwhile. Raises AssertionError with `what`."""

        def polled() -> Any:
            self.page.wait_for_timeout(20)
            return holds()

        return until(polled, what, seconds)

    def dark(self) -> None:
        """Put JupyterLab into its dark theme."""
        self.page.evaluate(
            """() => { void window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'}); }"""
        )
        # Attached: a body is visible only where something in it has a height.
        self.page.wait_for_selector("body[data-jp-theme-light='false']", state="attached", timeout=1000 * SECONDS)
        self.until(self.front.has_settings, "the theme among the settings")  # or it would come after `forget`

    def narrow(self, width: int = 480) -> None:
        """Make the window narrow, with the side bar shut, as its user would have it there."""
        if self.front.kind == "lab":
            self.page.evaluate(
                """() => {
                    const app = window.jupyterapp;
                    if (!app.shell.leftCollapsed) void app.commands.execute('application:toggle-left-area');
                }"""
            )
        self.page.set_viewport_size({"width": width, "height": 1000})

    def shot(self, name: str) -> None:
        """A picture of the page, where the environment names a place (EXTENSO_SCREENSHOTS)."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def _let_go(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def close(self) -> None:
        """End the page and its kernel."""
        self._let_go()
        with suppress(Exception):  # a page that has crashed is closed already; the test has failed by that
            self.page.close()
        self.front.forget(self.name)


Browse = Callable[..., Notebook]


# --- fixtures --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def sample_cache(pytestconfig: pytest.Config) -> Path:
    """Pytest's own cache, with the sample archive in it: drawn once for all processes and runs, until its code changes."""
    from extenso_nb.gateway.sources.sample import archive

    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("extenso-sample")
    archive.prepare(folder)
    for old in folder.glob("sample-*-*"):
        if old.name not in {f"sample-{archive.version()}", f"sample-{archive.version()}.building"}:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _front_end(kind: str) -> Any:
    @pytest.fixture(scope="session", name={"notebook": "notebook7"}.get(kind, kind))
    def front(tmp_path_factory: pytest.TempPathFactory, sample_cache: Path) -> Iterator[FrontEnd]:
        made = FrontEnd(kind, tmp_path_factory.mktemp(kind), sample_cache)
        yield made
        made.stop()

    return front


lab, notebook7, voila = _front_end("lab"), _front_end("notebook"), _front_end("voila")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for a file of tests. No longer: Playwright's loop would meet the other tests' own."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    with launched(tmp_path_factory.mktemp("chromium")) as one:
        yield one


@contextmanager
def launched(home: Path) -> Iterator[Browser]:
    """A browser with a home of its own."""
    from playwright.sync_api import sync_playwright

    as_root = ["--no-sandbox"] if sys.platform == "linux" and os.geteuid() == 0 else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_"))}
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*_ARGUMENTS, *as_root],
            env=environment | {"HOME": str(home)},
        )
        yield one
        one.close()


@contextmanager
def opened(chromium: Browser, front: FrontEnd, *cells: str) -> Iterator[Notebook]:
    """A notebook for all tests of a file, in a page of its own; each of them asks `book.watch.check()` at its end."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1500})
    context.set_default_timeout(1000 * SECONDS)
    watch = Watch(context, TOLERATED[front.kind])
    book = Notebook(front, context.new_page(), watch, cells)
    yield book
    book.close()
    context.close()
    watch.check()


@pytest.fixture
def browse(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Browse]:
    """Open a new notebook: `browse(lab, *cells, width=1400, height=1500)`; by default one with an Explorer."""
    opened: list[tuple[BrowserContext, Notebook | None, Watch]] = []

    def browse(front: FrontEnd, *cells: str, width: int = 1400, height: int = 1500) -> Notebook:
        context = chromium.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(1000 * SECONDS)
        watch = Watch(context, TOLERATED[front.kind])
        opened.append((context, None, watch))
        book = Notebook(front, context.new_page(), watch, cells or (EXPLORER,))
        opened[-1] = (context, book, watch)
        return book

    yield browse
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    for number, (context, book, _) in enumerate(opened, 1):
        if book is not None:
            book.shot(name if len(opened) == 1 else f"{name}-{number}")
            book.close()
        context.close()
    for *_, watch in opened:
        watch.check()
