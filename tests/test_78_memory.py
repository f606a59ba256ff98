"""The last search of a gateway outlives the kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from desk_gateway import Gateway, box, browser_sends, until

from extenso_nb.widgets import memory
from extenso_nb.widgets.desk import Desk
from extenso_nb.widgets.form import SearchForm
from extenso_nb.widgets.state import ExplorerState


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "extenso_nb" / "searches.json"


class Session:
    where = "gateway.example:8065"

    def async_client(self) -> Gateway:
        return Gateway()

    def open(self, delivery: object) -> object:
        return delivery


def searched(**form: object) -> Desk:
    desk = Desk(Session(), state=ExplorerState(**form))
    desk.search().result(10)
    return desk


def test_a_new_desk_takes_up_the_last_search(folder: Path) -> None:
    desk = searched(aoi=box(0, 39, 3.5, 42), start="2024-06-02", cloud=30.0, filters={"tile": "31TCJ"})
    found = desk.result.ids
    desk.close()
    assert folder.stat().st_mode & 0o777 == 0o600
    again = Desk(Session())
    assert again.remembered() is not None
    again.restore().result(10)
    assert again.state.search_form() == desk.state.search_form()
    assert again.state.aoi == desk.state.aoi
    assert again.result.ids == found
    again.close()


def test_each_gateway_has_its_own_and_a_search_that_failed_is_not_kept(folder: Path) -> None:
    searched(start="2024-06-02").close()
    assert memory.recall("another") is None
    failing = Desk(Session(), state=ExplorerState(start="2024-07-01", stop="2024-06-01"))
    failing.search().result(10)
    assert failing.state.failed
    failing.close()
    assert memory.recall(Session.where)["start"] == "2024-06-02"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"gateway.example:8065": 7}', "\x00"])
def test_a_damaged_file_remembers_nothing_and_is_written_over(folder: Path, content: str) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text(content)
    assert memory.recall(Session.where) is None
    searched().close()
    assert memory.recall(Session.where)["collection"] == "S2"


def test_values_of_another_version_are_said_and_change_nothing(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text(json.dumps({Session.where: {"collection": "S9", "cloud": 5}}))
    desk = Desk(Session())
    assert desk.restore() is None
    assert desk.state.message["level"] == "error"
    assert (desk.state.collection, desk.state.cloud) == ("S2", 100)
    desk.close()


def test_a_place_that_cannot_be_written_stops_no_search(folder: Path) -> None:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.write_text("a file where the folder should be")
    desk = searched()
    until(lambda: desk.state.searched)
    assert not desk.state.failed
    desk.close()


def test_the_form_offers_the_last_search_until_something_is_searched(folder: Path) -> None:
    first = Desk(Session(), state=ExplorerState(start="2024-06-02", cloud=30.0))
    form = SearchForm(first)
    assert not form.last, "nothing was searched with this gateway"
    first.search().result(10)
    assert not form.last, "what is searched already need not be taken up"
    form.close()
    first.close()
    again = Desk(Session())
    form = SearchForm(again)
    assert form.last
    browser_sends(form, kind="restore")
    until(lambda: again.state.searched)
    assert not form.last
    assert (form.values["start"], form.values["cloud"]) == ("2024-06-02", 30)
    form.close()
    again.close()
