"""The Postman collection: of the shape that Postman imports, whole, and each request of it sent to a real gateway."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from drawn import real
from PIL import Image
from scripted import Gateway, ScriptedSource, cut_at, product_id, served
from seaweed import ACCESS, SECRET

from extenso_nb import postman, wire
from extenso_nb.cli import main
from extenso_nb.models import Product


class Pictured(ScriptedSource):
    """With pictures, and clouds for the query of the example."""

    def _product(self, name: str) -> Product:
        return super()._product(name).model_copy(update={"cloud_cover": 5.0})

    def quicklook(self, product_id: str) -> bytes:
        buffer = io.BytesIO()
        Image.radial_gradient("L").save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    source = Pictured()
    for number in range(4):
        source.add(number, data=real())
    return source


# --- the little of Postman that a collection needs -------------------------------------------------------------------
class Runner:
    """Fills in variables, sends requests, carries out their test scripts."""

    def __init__(self, http: httpx.Client, collection: Any, environment: Any) -> None:
        self.requests = {item["name"]: item for folder in collection["item"] for item in folder["item"]}
        self.auth = collection["auth"]
        self.variables = {value["key"]: value["value"] for value in environment["values"] if value["enabled"]}
        self.http = http

    def fill(self, text: str) -> str:
        filled = re.sub(r"\{\{(\w+)\}\}", lambda found: self.variables[found[1]], text)
        assert "{{" not in filled
        return filled

    def send(self, name: str) -> httpx.Response:
        item = self.requests[name]
        request, url = item["request"], item["request"]["url"]
        address = "/".join(self.fill(part) for part in (*url["host"], *url["path"]))
        query = [(part["key"], self.fill(part["value"])) for part in url.get("query", []) if not part.get("disabled")]
        assert self.fill(url["raw"]).partition("?")[0] == address
        headers = {part["key"]: part["value"] for part in request["header"] if not part.get("disabled")}
        if request.get("auth", self.auth)["type"] == "bearer":
            headers["Authorization"] = f"Bearer {self.fill(self.auth['bearer'][0]['value'])}"
        body: dict[str, Any] = {}
        if request.get("body", {}).get("mode") == "urlencoded":
            body["data"] = {part["key"]: self.fill(part["value"]) for part in request["body"]["urlencoded"]}
        elif "body" in request:
            body["content"] = self.fill(request["body"]["raw"])
        answer = self.http.request(request["method"], address, params=query, headers=headers, **body)
        for event in item["event"]:
            assert event["listen"] == "test"
            for line in event["script"]["exec"]:
                self._carry_out(line, answer)
        return answer

    def _carry_out(self, line: str, answer: httpx.Response) -> None:
        if expected := re.fullmatch(r'pm\.test\("success", \(\) => pm\.response\.to\.have\.status\((\d+)\)\);', line):
            assert answer.status_code == int(expected[1]), answer.text
            return
        kept = re.fullmatch(r'pm\.environment\.set\("(\w+)", pm\.response\.json\(\)\.([\w.\[\]]+)\);', line)
        assert kept, line
        value = answer.json()
        for part in re.findall(r"\w+", kept[2]):
            value = value[int(part)] if part.isdigit() else value[part]
        assert kept[1] in self.variables, "a variable of the environment"
        self.variables[kept[1]] = str(value)


def test_every_request_succeeds_in_the_order_of_the_guide(
    gateway: Gateway, source: ScriptedSource, tmp_path: Path, s3: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(gateway) as url, httpx.Client(trust_env=False, follow_redirects=True) as http:
        assert main(["postman", "--out", str(tmp_path / "out"), "--url", url + "/"]) == 0
        files = [Path(line) for line in capsys.readouterr().out.split()]
        assert [path.name for path in files] == [postman.COLLECTION, postman.ENVIRONMENT]
        collection, environment = (json.loads(path.read_text()) for path in files)
        runner = Runner(http, collection, environment)
        runner.variables |= {"apikey": gateway.key, "endpoint": f"{s3}/deliveries"}
        runner.variables |= {"accessKey": ACCESS, "secretKey": SECRET}
        before = ["One Atlas authenticate", "Search Metadata", "Search Ids", "Quicklook", "Thumbnail", "Estimate"]
        sent = [runner.send(name) for name in [*before, "Me", "Health"]]
        assert runner.variables["productId"] == sent[2].json()["data"][0]
        runner.send("Create order in your own bucket")
        gateway.wait(int(runner.variables["orderId"]))
        runner.send("Create order")
        gateway.wait(int(runner.variables["orderId"]))
        after = ["All orders", "One order", "All deliveries", "Deliveries of an order", "One delivery"]
        for name in [*after, "Download url", "Delivery metadata", "Delivery index"]:
            runner.send(name)
        assert runner.send("Download").content == source.data[runner.variables["productId"]]
        runner.send("Delete")
        source.script[runner.variables["productId"]] = [cut_at(0)] * 9
        runner.send("Create order")
        assert runner.send("Cancel").json()["status"] == "cancelled"
        used = {*before, "Me", "Health", "Create order in your own bucket", "Create order", *after}
        assert (
            used | {"Download url", "Delivery metadata", "Delivery index", "Download", "Delete", "Cancel"}
            == runner.requests.keys()
        )


# --- its shape -------------------------------------------------------------------------------------------------------
def test_the_collection_is_of_the_shape_that_postman_imports() -> None:
    made = postman.collection()
    assert made["info"]["schema"] == "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    assert made["info"]["name"] == "extenSO"
    assert re.fullmatch(r"[0-9a-f-]{36}", made["info"]["_postman_id"])
    assert [folder["name"] for folder in made["item"]][:4] == ["Login", "Search", "Order", "User storage"]
    assert made["auth"] == {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]}
    asked = []
    for folder in made["item"]:
        assert folder.keys() == {"name", "item"}
        for item in folder["item"]:
            assert item.keys() == {"name", "request", "response", "event"}
            assert item["request"].keys() <= {"method", "header", "url", "description", "auth", "body"}
            url = item["request"]["url"]
            assert url.keys() <= {"raw", "host", "path", "query"}
            assert all(isinstance(part, str) for part in (*url["host"], *url["path"]))
            for part in (*url.get("query", []), *item["request"]["header"]):
                assert isinstance(part["key"], str)
                assert isinstance(part["value"], str)
            if "body" in item["request"]:
                mode = item["request"]["body"]["mode"]
                assert mode in {"raw", "urlencoded"}
                assert mode in item["request"]["body"]
            path = re.sub(r"\{\{\w+\}\}", "{}", "/" + "/".join(url["path"]))
            asked.append((item["request"]["method"], path))
    routes = {(verb.method, re.sub(r"\{\w+\}", "{}", verb.template)) for verb in wire.VERBS.values()}
    assert set(asked) == routes, "each verb, and no other"


def test_the_environment_holds_no_key_and_hides_those_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSO_API_KEY", "exk_planted")
    made = postman.environment("https://extenso.example.org/")
    assert made["_postman_variable_scope"] == "environment"
    by_name = {value["key"]: value for value in made["values"]}
    assert by_name["url"]["value"] == "https://extenso.example.org"
    for name in ("apikey", "token", "accessKey", "secretKey"):
        assert (by_name[name]["value"], by_name[name]["type"]) == ("", "secret")
    named = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(postman.collection())))
    assert named <= by_name.keys(), "every variable that a request needs is there"
    assert "planted" not in json.dumps([made, postman.collection()])


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["postman", "--out", str(tmp_path / "file")]) == 2
    assert main(["postman", "--out", str(tmp_path), "--url", "extenso.example.org"]) == 2
    assert "\n  -> " in capsys.readouterr().err
    assert product_id(1) not in json.dumps(postman.collection())
