"""Real Jupyter servers for the tests, on loopback and with a home of their own, and the kernels behind their pages."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from seaweed import free_port

import extenso_nb
from extenso_nb.gateway.embed import find
from extenso_nb.gateway.serve import CARD
from extenso_nb.gateway.sources.sample import archive

KINDS = ("lab", "notebook", "voila")
_MODULES = {"lab": "jupyterlab", "notebook": "notebook", "voila": "voila"}
_PAGES = {"lab": "lab/tree/{}", "notebook": "notebooks/{}", "voila": "voila/render/{}"}

_SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    # Cells out of sight are taken off the page otherwise, and a widget with them.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
# What a user who opens JupyterLab for the first time is told would lie over the widgets.
_LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}


def until(holds: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first value of `holds()` that is true. Raises AssertionError with `what` when none comes."""
    end = time.monotonic() + seconds
    while True:
        if value := holds():
            return value
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


class Kernel:
    """A kernel that a page has started, asked beside the page: by its connection file, on a thread, with time limits.

    A promise of the page has none: who awaits one of a kernel that has died waits for ever.
    """

    def __init__(self, connection_file: Path) -> None:
        # A thread of its own: within the test's, Playwright has a loop that runs, in which this client cannot.
        self._thread = ThreadPoolExecutor(1, "kernel-client")
        self._answers: dict[str, Any] = {}
        self._client = self._thread.submit(self._connected, connection_file).result(30)

    @staticmethod
    def _connected(connection_file: Path) -> Any:
        from jupyter_client import BlockingKernelClient

        client = BlockingKernelClient(connection_file=str(connection_file))
        client.load_connection_file()
        client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        return client

    def start(self, code: str, expression: str = "None") -> str:
        """Begin to run code, and then to evaluate an expression; a handle for `result`."""
        asked = {"value": f"__import__('json').dumps({expression})"}
        return self._thread.submit(
            lambda: str(
                self._client.execute(
                    code,
                    silent=True,
                    store_history=False,
                    user_expressions=asked,
                    allow_stdin=False,
                    stop_on_error=False,
                )
            )
        ).result(30)

    def result(self, handle: str, seconds: float = 60.0) -> Any:
        """The value of what was begun. Raises AssertionError with what the kernel raised, or when it does not answer."""
        return self._thread.submit(self._answer, handle, seconds).result(seconds + 10)

    def done(self, handle: str) -> bool:
        """Whether what was begun has ended."""
        return self._thread.submit(self._received, handle, 0.0).result(30) is not None

    def _received(self, handle: str, seconds: float) -> Any:
        """The answer to what was begun, or None when it does not come in time. Answers to others are kept."""
        end = time.monotonic() + seconds
        while handle not in self._answers:
            try:
                message = self._client.get_shell_msg(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                return None
            self._answers[message["parent_header"].get("msg_id")] = message["content"]
        return self._answers[handle]

    def _answer(self, handle: str, seconds: float) -> Any:
        content = self._received(handle, seconds)
        assert content is not None, f"the kernel did not answer within {seconds:g} s"
        del self._answers[handle]
        if content["status"] != "ok":
            raise AssertionError("in the kernel:\n" + "\n".join(content.get("traceback", [content["status"]])))
        value = content["user_expressions"]["value"]
        if value["status"] != "ok":
            raise AssertionError(f"in the kernel: {value['ename']}: {value['evalue']}")
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def run(self, code: str, seconds: float = 60.0) -> None:
        """Run statements in the notebook's own names."""
        self.result(self.start(code), seconds)

    def value(self, expression: str, seconds: float = 60.0) -> Any:
        """What an expression is there, as JSON values."""
        return self.result(self.start("", expression), seconds)

    def until(self, expression: str, seconds: float = 60.0) -> Any:
        """The first true value of an expression."""
        return until(lambda: self.value(expression, seconds), expression, seconds)

    def resident(self) -> float:
        """Memory of the kernel, resident, in megabytes (10^6)."""
        return float(self.value("__import__('psutil').Process().memory_info().rss / 1e6"))

    def close(self) -> None:
        """Let go of the channels; the kernel goes on."""
        self._thread.submit(self._ended).result(30)
        self._thread.shutdown()

    def _ended(self) -> None:
        from jupyter_core.utils import ensure_event_loop

        self._client.stop_channels()
        ensure_event_loop().close()  # that which the client has made for this thread


class FrontEnd:
    """A server of one front end: JupyterLab, Notebook 7 or Voila.

    Parameters
    ----------
    kind
        One of `KINDS`.
    folder
        In which its home, its settings and its notebooks are made.
    cache
        With the sample archive, drawn; and with what matplotlib keeps.
    """

    def __init__(self, kind: str, folder: Path, cache: Path) -> None:
        self.kind, self.folder = kind, folder
        self.token = secrets.token_hex(12)
        self.root = folder / "notebooks"
        self.data_dir = folder / "gateway"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._count = 0
        self._log = folder / "server.log"
        self._environment = self._surroundings(cache)
        self._process = self._started()

    def _surroundings(self, cache: Path) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "JUPYTER", "XDG_"))
        }
        own = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
        }
        own |= {
            "XDG_DATA_HOME": "share",
            "XDG_CONFIG_HOME": "settings",
            "XDG_STATE_HOME": "state",
            "IPYTHONDIR": "ipython",
        }
        places = {name: self.folder / place for name, place in own.items()}
        for place in (*places.values(), self.root, self.folder / "lab"):
            place.mkdir(parents=True, exist_ok=True)
        (self.folder / "runtime").chmod(0o700)
        (self.folder / "cache" / "extenso_nb").mkdir(parents=True)
        drawn = archive.prepare(cache)
        (self.folder / "cache" / "extenso_nb" / drawn.name).symlink_to(drawn)
        kept |= {name: str(place) for name, place in places.items()}
        # The list of fonts takes matplotlib seconds to make, and is the same for all.
        return kept | {
            "EXTENSO_DATA_DIR": str(self.data_dir),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "MPLCONFIGDIR": str(cache / "matplotlib"),
            # The package under test, wherever another one may be installed.
            "PYTHONPATH": str(Path(extenso_nb.__file__).parents[1]),
        }

    def _configure(self) -> None:
        """Write the settings into a file: the token is not to be read in the list of processes."""
        overrides = _SETTINGS | (_LAB_SETTINGS if self.kind == "lab" else {})
        (self.folder / "lab" / "overrides.json").write_text(json.dumps(overrides))
        if self.kind == "voila":
            asked: dict[str, Any] = {"port": self.port, "port_retries": 0, "ip": "127.0.0.1", "open_browser": False}
            asked |= {"root_dir": str(self.root), "connection_dir_root": str(self.folder / "runtime")}
            settings: dict[str, Any] = {"Voila": asked | {"token": self.token}}
            (self.folder / "config" / "voila.json").write_text(json.dumps(settings))
            return
        asked = {"app_settings_dir": str(self.folder / "lab"), "expose_app_in_browser": True}
        asked |= {"workspaces_dir": str(self.folder / "workspaces"), "user_settings_dir": str(self.folder / "user")}
        application = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[self.kind]
        settings = {
            "ServerApp": {
                "port": self.port, "port_retries": 0, "ip": "127.0.0.1", "open_browser": False, "root_dir": str(self.root),
                "allow_root": os.geteuid() == 0, "jpserver_extensions": {"voila.server_extension": False},
            },
            "IdentityProvider": {"token": self.token},
            "LabApp": {"extension_manager": "readonly", "news_url": None},
        }  # fmt: skip
        settings[application] = settings.get(application, {}) | asked | {"open_browser": False}
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(settings))

    def _started(self) -> subprocess.Popen[bytes]:
        self._configure()
        command = [sys.executable, "-m", _MODULES[self.kind]]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.root, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C in pytest is not for it
            )  # fmt: skip
        try:
            until(lambda: self._answers(process), f"an answer of {self.kind}, which says\n{self.said()}", 90)
        except BaseException:
            process.kill()
            process.wait(30)
            raise
        return process

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.said()
        with contextlib.suppress(OSError):
            self.ask("voila/tree" if self.kind == "voila" else "api/status", raw=True)
            return True
        return False

    def said(self) -> str:
        """The last words of the server."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    def ask(self, path: str, *, method: str = "GET", body: Any = None, raw: bool = False) -> Any:
        """An answer of the server's own interface."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return content if raw or not content else json.loads(content)

    # --- notebooks and kernels -----------------------------------------------------------------------------------
    def write(self, *cells: str) -> str:
        """A new notebook; its name. Never an old one: a page would be given the kernel of that."""
        self._count += 1
        name = f"test-{self._count}.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, self.root / name)
        return name

    def page(self, name: str) -> str:
        """The address at which a notebook is opened, with the token."""
        reset = "&reset" if self.kind == "lab" else ""
        return f"{self.url}{_PAGES[self.kind].format(urllib.parse.quote(name))}?token={self.token}{reset}"

    def sessions(self, name: str) -> list[dict[str, Any]]:
        """The sessions of a notebook."""
        return [session for session in self.ask("api/sessions") if session["path"] == name]

    def connection_file(self, kernel_id: str) -> Path:
        """Where a kernel says how it is reached."""
        pattern = f"**/kernel-{kernel_id}.json"
        return Path(until(lambda: next((self.folder / "runtime").glob(pattern), None), f"kernel {kernel_id}", 60))

    def has_settings(self) -> bool:
        """Whether a page has changed settings, the theme say."""
        return any((self.folder / "user").rglob("*.jupyterlab-settings"))

    def forget(self, name: str) -> None:
        """End the sessions of a notebook, with their kernels; drop the settings that its page has changed."""
        shutil.rmtree(self.folder / "user", ignore_errors=True)
        if self.kind != "voila":  # which ends the kernel of a page that is left
            for session in self.sessions(name):
                self.ask(f"api/sessions/{session['id']}", method="DELETE", raw=True)

    def stop(self) -> None:
        """End the server, its kernels, and the gateways that they have started."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        for pid in list(_gateways(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda pid=pid: _gone(pid), f"the end of gateway {pid}", 30)


def _gateways(folder: Path) -> Iterator[int]:
    for card in folder.rglob(CARD):
        if found := find(card.parent):
            yield found.pid


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
