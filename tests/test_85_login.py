"""`extenso login`, `sources` and `doctor`, as a shell, a pipe and a terminal see them; and what of a secret is left anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive import write_archive

from extenso_nb.gateway.embed import find, find_or_start
from extenso_nb.session import connect

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SECRET = "PLANTED-pässword=5f1c0a"
USER = "PLANTED-me@example.org"

# The command line over a stand-in of every archive, whose check of a login does as it is told.
STAND_IN = """
import sys, types
from extenso_nb.errors import SourceUnavailable
from extenso_nb.gateway.sources import Limits, Profile
from extenso_nb.gateway.sources.registry import KINDS
from extenso_nb.gateway.sources.token import Login, Token

class Archive:
    profile, limits = Profile(), Limits()
    def __init__(self, credentials=lambda: None, *, name="x", **told):
        self.name = name
        self.token = Token(Login(name, KINDS[name].account or "none", credentials, self.exchange))
        self.tries = 0
    def exchange(self, given):
        self.tries += 1
        print(f"tried {self.tries}", file=sys.stderr)
        said = given.get("password") or given.get("token") or ""
        if "wrong" in said:
            raise SourceUnavailable("it says: Invalid user credentials.", status=401)
        if "down" in said:
            raise SourceUnavailable("it does not answer.", status=503)
        return "token", 600
    def check_login(self):
        self.token.header()
    def check(self):
        return None
    def close(self):
        print("closed", file=sys.stderr)

class Mute(Archive):
    check_login = None

for known in KINDS.values():
    module, _, name = known.where.partition(":")
    made = types.ModuleType("extenso_nb.gateway.sources." + module)
    setattr(made, name, Mute if module == "sobloo" else Archive)
    sys.modules[made.__name__] = made
from extenso_nb.cli import main
sys.exit(main(sys.argv[1:]))
"""
# In a session of its own a terminal has to be taken for the controlling one, as a shell's is.
ON_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + STAND_IN


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    known = {
        name: value for name, value in os.environ.items() if not name.startswith(("EXTENSO_", "XDG_", "EARTHDATA_"))
    }
    return known | {
        "HOME": str(home),
        "EXTENSO_DATA_DIR": str(home / "data"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONUTF8": "1",
    }


@pytest.fixture
def extenso(environment: dict[str, str]) -> Run:
    def run(*arguments: str, given: str | bytes = "", **more: str) -> subprocess.CompletedProcess[str]:
        content = given.encode() if isinstance(given, str) else given
        done = subprocess.run(
            [sys.executable, "-c", STAND_IN, *arguments],
            input=content,
            capture_output=True,
            timeout=60,
            env=environment | more,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        assert "PLANTED" not in out + err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


def failed(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done
    assert "extenso: " in done.stderr
    assert "\n  -> " in done.stderr
    for word in words:
        assert word in done.stderr


def kept(home: Path) -> dict[str, dict[str, dict[str, str]]]:
    path = home / ".config" / "extenso_nb" / "credentials.json"
    if not path.exists():
        return {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    accounts: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text())["accounts"]
    return accounts


LINES = f"username={USER}\npassword={SECRET}\n"
PAIR = {"username": USER, "password": SECRET}


# --- a pipe ----------------------------------------------------------------------------------------------------------
def test_from_a_pipe_to_the_file_and_away_again(extenso: Run, home: Path) -> None:
    done = extenso("login", "cdse", "--stdin", given=LINES)
    assert (done.returncode, done.stderr) == (0, "tried 1\nclosed\n")
    assert done.stdout == f"cdse: stored in the file {home}/.config/extenso_nb/credentials.json, and checked\n"
    assert kept(home) == {"cdse": {"fields": PAIR}}
    listed = extenso("login", "--list").stdout.splitlines()
    assert [line.split()[:3] for line in listed if "file" in line] == [["cdse", "the", "file"]]
    assert [line.split()[0] for line in listed] == ["cdse", "earthdata", "planetary_computer", "dhus", "sobloo"]
    assert extenso("login", "cdse", "--forget").stdout == "cdse: forgotten\n"
    assert kept(home) == {}
    assert extenso("login", "cdse", "--forget").stdout == "cdse: nothing was stored\n"


@pytest.mark.parametrize(
    "given",
    [
        f"\ufeff{LINES}",
        LINES.replace("\n", "\r\n"),
        f"\n  \n{LINES}\n\n",
        LINES.rstrip("\n"),
        LINES.replace("user", " user", 1),
    ],
)
def test_a_pipe_is_read_as_it_comes(extenso: Run, home: Path, given: str) -> None:
    assert extenso("login", "cdse", "--stdin", "--no-check", given=given).returncode == 0
    assert kept(home) == {"cdse": {"fields": PAIR}}


def test_a_user_name_may_be_an_option(extenso: Run, home: Path) -> None:
    done = extenso("login", "dhus@hub.example.org", "--stdin", "--username", "me", given="password=a=b\n")
    assert done.returncode == 0, done.stderr
    assert "not checked" in done.stdout
    assert kept(home) == {"dhus@hub.example.org": {"fields": {"username": "me", "password": "a=b"}}}
    failed(extenso("login", "cdse", "--stdin", "--username", "me", given=LINES), 2, "given twice")
    help_text = extenso("login", "--help").stdout
    assert "--password" not in help_text
    assert "--token" not in help_text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "not enough"),
        (SECRET.encode(), "Line 1"),
        (f"{SECRET}\nusername=me\n".encode(), "Line 1"),
        (f"username=me\npasswort={SECRET}\n".encode(), "Line 2"),
        (f"username=me\npassword={SECRET}\npassword={SECRET}\n".encode(), "given twice"),
        (f"username=me\npassword={SECRET}\0x\n".encode(), "control character"),
        (f"username=me\npassword={SECRET}\rx\n".encode(), "control character"),
        (f"username=me\npassword={SECRET}\x1b[2J\n".encode(), "control character"),
        (f"username=me\npassword={SECRET}\n".encode("latin-1"), "no UTF-8"),
        (f"username=me\npassword={SECRET}\n".encode("utf-16"), "no UTF-8"),
        (f"username={USER}\n".encode(), "not enough"),
        (f"username=me\npassword=\ntotp={SECRET}\n".encode(), "password of cdse is empty"),
        (b"username=me\npassword=" + b"PLANTED" * 20_000, "longer than"),
        (f"s3_access_key=A\nusername=me\npassword={SECRET}".encode(), "not enough"),
    ],
)
def test_what_cannot_be_used_is_said_without_being_shown(extenso: Run, home: Path, given: bytes, said: str) -> None:
    extenso("login", "cdse", "--stdin", "--no-check", given="username=a\npassword=b\n")
    failed(extenso("login", "cdse", "--stdin", given=given), 2, said)
    assert kept(home) == {"cdse": {"fields": {"username": "a", "password": "b"}}}, "nothing was changed"


def test_a_name_that_is_no_account_is_said(extenso: Run) -> None:
    failed(extenso("login", "cdsee", "--stdin", given=LINES), 2, "cdse, earthdata")
    failed(extenso("login", "asf", "--stdin", given=LINES), 2, "extenso login earthdata")
    failed(extenso("login", "google"), 2, "It needs none")
    failed(extenso("login", "dhus@h/x", "--forget"), 2, "host")
    failed(extenso("login"), 2, "--list")


def test_nobody_is_asked_without_a_terminal(extenso: Run, home: Path) -> None:
    failed(extenso("login", "cdse"), 2, "no terminal", "--stdin", "EXTENSO_CDSE_PASSWORD")
    assert kept(home) == {}


# --- the service -----------------------------------------------------------------------------------------------------
def test_a_wrong_password_is_tried_once_and_not_stored(extenso: Run, home: Path) -> None:
    extenso("login", "cdse", "--stdin", given="username=a\npassword=right\n")
    done = extenso("login", "cdse", "--stdin", given="username=PLANTED-a\npassword=PLANTED-wrong\n")
    failed(done, 3, "refused the credentials", "Invalid user credentials", "Nothing was stored")
    assert done.stderr.count("tried") == 1
    assert "closed" in done.stderr
    assert kept(home)["cdse"]["fields"]["password"] == "right"


def test_a_service_that_is_down_keeps_nobody_from_it(extenso: Run, home: Path) -> None:
    done = extenso("login", "earthdata", "--stdin", given="token=PLANTED-down\n")
    assert done.returncode == 0
    assert "not checked: it does not answer." in done.stdout
    assert kept(home)["earthdata"]["fields"] == {"token": "PLANTED-down"}
    done = extenso("login", "cdse", "--stdin", "--no-check", given="username=a\npassword=wrong\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not checked: as was asked" in done.stdout
    done = extenso("login", "sobloo", "--stdin", given="apikey=PLANTED\n")
    assert (done.returncode, "no way to" in done.stdout) == (0, True)


def test_what_goes_before_is_noted(extenso: Run) -> None:
    more = {"EXTENSO_CDSE_USERNAME": USER, "EXTENSO_CDSE_PASSWORD": SECRET}
    done = extenso("login", "cdse", "--stdin", given=LINES, **more, EXTENSO_URL="https://gateway.example.org")
    assert done.returncode == 0
    assert "note: the environment (EXTENSO_CDSE_USERNAME, EXTENSO_CDSE_PASSWORD) goes before it" in done.stderr
    assert "EXTENSO_URL names another gateway" in done.stderr
    assert "there are some still, in the environment" in extenso("login", "cdse", "--forget", **more).stderr
    half = {"EXTENSO_CDSE_PASSWORD": SECRET}
    assert "cannot be used: The environment has" in extenso("login", "--list", **half).stdout


def test_a_file_that_others_can_read_is_refused_by_every_command(extenso: Run, home: Path) -> None:
    extenso("login", "cdse", "--stdin", "--no-check", given=LINES)
    path = home / ".config" / "extenso_nb" / "credentials.json"
    path.chmod(0o644)
    for arguments in (("--list",), ("cdse", "--forget"), ("cdse", "--stdin", "--no-check")):
        failed(extenso("login", *arguments, given=LINES), 3, "can be read by others", f"chmod 600 {path}")
    shown = extenso("sources")
    assert (shown.returncode, f"chmod 600 {path}" in shown.stdout) == (0, True)


# --- a terminal ------------------------------------------------------------------------------------------------------
class Terminal:
    """A command on a terminal of its own: what it shows, and what is typed."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def until(self, words: str) -> None:
        """Wait until it shows something that it had not before."""
        seen, end = "", time.monotonic() + 30
        while words not in seen:
            assert time.monotonic() < end, f"it shows {self.shown!r}, and not {words!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    seen += (block := os.read(self.master, 4096).decode())
                except OSError:  # its other end is closed
                    raise AssertionError(f"it ended after {self.shown!r}") from None
                self.shown += block

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        end = time.monotonic() + 30
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                if select.select([self.master], [], [], 0.1)[0]:
                    self.shown += os.read(self.master, 4096).decode()
        return self.process.wait(timeout=30)


def test_on_a_terminal_what_is_secret_is_not_shown(environment: dict[str, str], home: Path) -> None:
    with Terminal(environment, "login", "cdse") as terminal:
        terminal.until("user name (an e-mail address): ")
        terminal.type(f"{USER}\n")
        terminal.until("password: ")
        terminal.type(f"{SECRET}\n")
        terminal.until("Enter: none]: ")
        terminal.type("\n")
        terminal.until("access key of S3 (eodata) [optional; Enter: none]: ")
        terminal.type("PLANTED-key\n")
        terminal.until("secret key of S3")
        terminal.type("PLANTED-s3-secret\n")
        assert terminal.end() == 0, terminal.shown
        assert "and checked" in terminal.shown
        assert terminal.shown.count("PLANTED") == 1, "the user name, as it was typed"
    keys = {"s3_access_key": "PLANTED-key", "s3_secret_key": "PLANTED-s3-secret"}
    assert kept(home) == {"cdse": {"fields": PAIR | keys}}
    # A new password: the rest stays as it is with Enter.
    with Terminal(environment, "login", "cdse") as terminal:
        terminal.until("[Enter: as before]: ")
        terminal.type("\n")
        terminal.until("password: ")
        terminal.type("another\n")
        terminal.until("second factor is on [optional; Enter: none]: ")
        terminal.type("\n")
        terminal.until("access key of S3 (eodata) [optional; Enter: as before]: ")
        terminal.type("\n")
        terminal.until("secret key of S3 (eodata) [optional; Enter: as before]: ")
        terminal.type("\n")
        assert terminal.end() == 0, terminal.shown
        assert "PLANTED" not in terminal.shown
    assert kept(home) == {"cdse": {"fields": PAIR | keys | {"password": "another"}}}


def test_one_secret_or_two_words(environment: dict[str, str], home: Path) -> None:
    with Terminal(environment, "login", "earthdata", "--no-check") as terminal:
        terminal.until("[Enter: give username and password instead]: ")
        terminal.type("PLANTED-token\n")
        assert terminal.end() == 0, terminal.shown
        assert "PLANTED" not in terminal.shown
    assert kept(home) == {"earthdata": {"fields": {"token": "PLANTED-token"}}}
    with Terminal(environment, "login", "earthdata", "--no-check") as terminal:
        terminal.until("[Enter: give username and password instead]: ")
        terminal.type("\n")
        terminal.until("user name: ")
        terminal.type("me\n")
        terminal.until("password: ")
        terminal.type(f"{SECRET}\n")
        assert terminal.end() == 0, terminal.shown
    assert kept(home) == {"earthdata": {"fields": {"username": "me", "password": SECRET}}}
    with Terminal(environment, "login", "dhus", "--username", "me") as terminal:
        terminal.until("password: ")
        terminal.type(f"{SECRET}\n")
        assert terminal.end() == 0, terminal.shown


@pytest.mark.parametrize("ends", ["\n", "\x04", "\x03"])
def test_who_gives_up_changes_nothing(environment: dict[str, str], home: Path, ends: str) -> None:
    with Terminal(environment, "login", "cdse") as terminal:
        terminal.until("address): ")
        terminal.type("me\n")
        terminal.until("password: ")
        terminal.type(ends)
        assert terminal.end() == (130 if ends == "\x03" else 2), terminal.shown
        assert "Traceback" not in terminal.shown
    assert kept(home) == {}


def test_a_terminal_is_no_pipe_and_a_refused_file_is_told_before_typing(
    environment: dict[str, str], home: Path
) -> None:
    with Terminal(environment, "login", "cdse", "--stdin") as terminal:
        assert terminal.end() == 2
        assert "this is a terminal" in terminal.shown
    folder = home / ".config" / "extenso_nb"
    folder.mkdir(parents=True)
    (folder / "credentials.json").write_text('{"accounts": {}}')
    (folder / "credentials.json").chmod(0o644)
    with Terminal(environment, "login", "cdse") as terminal:
        assert terminal.end() == 3
        assert "chmod 600" in terminal.shown


def test_no_command_but_login_asks(environment: dict[str, str], tmp_path: Path) -> None:
    """A gateway over an archive without credentials starts, and says what it lacks, on a terminal as well."""
    with Terminal(environment, "serve", "--port", "0", "--source", "cdse") as terminal:
        terminal.until("extenSO gateway at http://127.0.0.1:")
        assert "password" not in terminal.shown
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
    with Terminal(environment, "sources") as terminal:
        assert terminal.end() == 0
        assert "cdse (not set)" in terminal.shown


# --- what is left ----------------------------------------------------------------------------------------------------
def test_the_secret_is_in_no_command_line_and_in_one_file(environment: dict[str, str], home: Path) -> None:
    """Seen from outside while it waits for its input: /proc shows a command's arguments to everybody."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, "login", "cdse", "--stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    assert process.stdin is not None
    process.stdin.write(LINES.encode())
    process.stdin.flush()
    end = time.monotonic() + 30
    while b"login\0cdse\0--stdin" not in (arguments := Path(f"/proc/{process.pid}/cmdline").read_bytes()):
        assert time.monotonic() < end, arguments
    assert b"PLANTED" not in arguments
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, b"PLANTED" in out) == (0, False)
    holding = [path for path in home.rglob("*") if path.is_file() and b"PLANTED" in path.read_bytes()]
    assert [path.name for path in holding] == ["credentials.json"]


# --- gateways --------------------------------------------------------------------------------------------------------
@pytest.fixture
def data_dir(home: Path) -> Iterator[Path]:
    yield home / "data"
    if (found := find(home / "data")) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)


def test_sources_of_the_gateway_that_runs_and_none_is_started(
    extenso: Run, home: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = extenso("sources")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No gateway runs" in done.stdout
    assert not data_dir.exists()
    assert json.loads(extenso("sources", "--json").stdout)["gateway"] is None
    failed(extenso("sources", "--url", "http://127.0.0.1:9", EXTENSO_API_KEY="k"), 11, "127.0.0.1:9")
    archive = write_archive(home / "archive", count=3, size=1000)
    monkeypatch.setenv("EXTENSO_CDSE_PASSWORD", SECRET)
    monkeypatch.setenv("EXTENSO_CDSE_USERNAME", USER)
    found = find_or_start(data_dir, sources=(f"folder:{archive}",), timeout=60)
    # Credentials of the environment reach the gateway; nothing of them is in its card, log or command.
    there = Path(f"/proc/{found.pid}/environ").read_bytes()
    assert f"EXTENSO_CDSE_PASSWORD={SECRET}".encode() in there
    assert b"PLANTED" not in Path(f"/proc/{found.pid}/cmdline").read_bytes()
    assert not [path for path in data_dir.rglob("*") if path.is_file() and b"PLANTED" in path.read_bytes()]
    shown = extenso("sources").stdout
    assert "folder: ok, 3 products" in shown
    assert "cdse (not set)" in shown
    told = json.loads(extenso("sources", "--json").stdout)
    assert told["gateway"]["sources"][0]["name"] == "folder"
    assert {kind["kind"]: kind.get("credentials") for kind in told["kinds"]}["cdse"] is False
    extenso("login", "cdse", "--stdin", "--no-check", given=LINES)
    assert "cdse (set)" in extenso("sources").stdout


def test_doctor_says_for_whom_there_are_credentials(extenso: Run, data_dir: Path, home: Path) -> None:
    write_archive(home / "archive", count=1, size=1000)
    more = {"EXTENSO_SOURCES": f"folder:{home / 'archive'}"}
    extenso("login", "cdse", "--stdin", "--no-check", given=LINES)
    done = extenso("doctor", **more)
    assert (done.returncode, "credentials of live archives: for cdse\n" in done.stdout) == (0, True), done
    (home / ".config" / "extenso_nb" / "credentials.json").chmod(0o640)
    done = extenso("doctor", **more)
    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert "chmod 600" in done.stdout


def test_a_notebook_names_archives_as_the_command_line_does(data_dir: Path, home: Path) -> None:
    folder = write_archive(home / "archive", count=1, size=1000)
    (found, wanted) = (f"folder:{folder}", [f"a=folder:{folder}", f"b=folder:{folder}"])
    with connect(sources=wanted, data_dir=data_dir) as eo:
        assert [source.name for source in eo.health().sources] == ["a", "b"]
    with pytest.raises(ValueError, match=r"has the sources .* not google, meeo, planetary_computer, earth_search"):
        connect(sources="open", data_dir=data_dir)
    with pytest.raises(ValueError, match="has the sources"):
        connect(sources=found, data_dir=data_dir)
