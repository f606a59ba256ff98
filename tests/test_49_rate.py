"""The rate limit: an account's own, waited out by the client, of bounded memory, and no hindrance to anybody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from archive import write_archive
from hypothesis import given
from hypothesis import strategies as st
from scripted import Gateway, ScriptedSource, served

from extenso_nb import errors, wire
from extenso_nb.cli import _rate, main, parser
from extenso_nb.client import Client
from extenso_nb.gateway.rate import BURST, Rate, address_key
from extenso_nb.gateway.serve import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(rate: Rate, who: str, tries: int) -> int:
    done = 0
    for _ in range(tries):
        try:
            rate.take(who)
        except errors.TooManyRequests:
            continue
        done += 1
    return done


# --- the bucket ------------------------------------------------------------------------------------------------------
def test_a_burst_and_then_so_many_a_second() -> None:
    clock = Clock()
    rate = Rate(10, clock=clock)
    assert taken(rate, "a", 100) == 10 * BURST
    assert taken(rate, "b", 100) == 10 * BURST, "another one has a bucket of his own"
    clock.now += 1
    assert taken(rate, "a", 100) == 10
    clock.now += 3600
    assert taken(rate, "a", 100) == 10 * BURST, "no more than the bucket holds"


def test_the_wait_that_is_told_is_enough_and_not_too_long() -> None:
    clock = Clock()
    rate = Rate(0.5, burst=1, clock=clock)
    rate.take("a")
    with pytest.raises(errors.TooManyRequests) as refused:
        rate.take("a")
    assert refused.value.retry_after == pytest.approx(2.0)
    clock.now += refused.value.retry_after - 0.01
    with pytest.raises(errors.TooManyRequests):
        rate.take("a")
    clock.now += 0.02
    rate.take("a")


@given(
    st.floats(0.1, 1000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=20),
)
def test_never_more_than_the_burst_and_what_came_in(per_second: float, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    rate = Rate(per_second, clock=clock)
    done = 0
    for pause, tries in steps:
        clock.now += pause
        done += taken(rate, "a", tries)
    assert done <= rate.burst + (clock.now - 1000.0) * per_second + 1e-6


def test_memory_is_bounded_and_a_clock_that_goes_back_does_no_harm() -> None:
    clock = Clock()
    rate = Rate(1, most=100, clock=clock)
    for number in range(5_000):
        rate.take(f"asker {number}")
    assert len(rate) == 100
    clock.now -= 500
    assert taken(rate, "asker 4999", 10) == BURST - 1


def test_threads_do_not_take_more_than_there_is() -> None:
    rate = Rate(1, burst=100, clock=Clock())
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(taken(rate, "a", 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 100


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_rates_that_are_none(wrong: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(wrong)


def test_addresses() -> None:
    assert address_key("2001:db8:1:2:3:4:5:6") == address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:10.0.0.1") != address_key("::ffff:10.0.0.2")
    assert address_key("10.0.0.1") == "10.0.0.1"
    assert address_key("fe80::1%eth0") == "fe80::/64"
    assert address_key(None) == "unknown"


# --- the gateway -----------------------------------------------------------------------------------------------------
@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    source = ScriptedSource()
    source.add(1)
    made = Gateway(tmp_path, source)
    yield made
    made.stop()


def test_each_account_has_its_own_and_is_told_when_to_come_again(gateway: Gateway) -> None:
    gateway.store.add_account("maria", key="maria")
    owner, maria = ({"Authorization": f"Bearer {gateway.access.login(key)}"} for key in (gateway.key, "maria"))
    me = wire.VERBS["me"].url()
    with served(gateway, rate=2) as url, httpx.Client(base_url=url, trust_env=False) as http:
        answers = [http.get(me, headers=owner) for _ in range(12)]
        late = [answer for answer in answers if answer.status_code == 429]
        assert 2 <= len(late) <= 4, "eight at once, and what comes in meanwhile"
        assert late[0].json()["internalCode"] == errors.TooManyRequests.code
        assert int(late[0].headers["retry-after"]) == 1
        assert http.get(me, headers=maria).status_code == 200
        # A refused token is not the owner's doing, and is counted where it comes from, as the token request is.
        bad = [http.get(me, headers={"Authorization": "Bearer x"}).status_code for _ in range(12)]
        assert set(bad) == {401, 429}
        form = {"apikey": "guess", "grant_type": "api_key", "client_id": "IDP"}
        assert http.post(wire.TOKEN_PATH, data=form).status_code == 429
        assert http.get(me, headers=maria).status_code == 200


def test_the_client_waits_and_goes_on(gateway: Gateway) -> None:
    with served(gateway, rate=3) as url, Client(url, api_key=gateway.key) as client:
        begun = time.monotonic()
        names = {client.me().name for _ in range(3 * BURST + 3)}
        assert names == {"owner"}
        assert time.monotonic() - begun > 0.9, "it was made to wait"


def test_links_are_not_counted(gateway: Gateway) -> None:
    gateway.storage.put_bytes("k", b"content")
    path, _ = gateway.access.link("k")
    with served(gateway, rate=1) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert {http.get(path).status_code for _ in range(20)} == {200}


def test_what_the_command_line_says_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _rate(None, embedded=False) == Settings(tmp_path).rate == 50
    assert _rate(None, embedded=True) is None
    assert _rate(0, embedded=False) is None
    assert _rate(7.5, embedded=True) == 7.5
    assert parser().parse_args(["serve", "--rate", "7.5"]).rate == 7.5
    for wrong in ("-1", "nan", "inf", "1e300"):
        assert main(["serve", "--rate", wrong, "--data-dir", str(tmp_path)]) == 2
        assert "\n  -> " in capsys.readouterr().err


def test_a_served_gateway_keeps_to_the_rate_it_was_given(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", count=1, size=1_000)
    command = [sys.executable, "-m", "extenso_nb.cli", "serve", "--data-dir", str(tmp_path / "data")]
    command += ["--source", f"folder:{archive}", "--port", "0", "--rate", "1"]
    environment = {"HOME": str(tmp_path), "EXTENSO_API_KEY": "exk_of_the_test", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            told = re.search(r"http://[\d.:]+\d", process.stdout.readline())
            assert told
            with httpx.Client(base_url=told[0], trust_env=False, timeout=30) as http:
                form = {"apikey": "exk_of_the_test", "grant_type": "api_key", "client_id": "IDP"}
                token = http.post(wire.TOKEN_PATH, data=form).json()["access_token"]
                asked = [
                    http.get(wire.VERBS["me"].url(), headers={"Authorization": f"Bearer {token}"}) for _ in range(20)
                ]
            assert [answer.status_code for answer in asked[:BURST]] == [200] * BURST
            assert 429 in {answer.status_code for answer in asked}
        finally:
            process.terminate()
            process.wait(30)
