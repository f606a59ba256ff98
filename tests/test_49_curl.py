"""The recipes of docs/service.md with the real curl: token, redirect, two steps, going on, and where the token goes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Gateway, ScriptedSource, served
from seaweed import bucket_of

from extenso_nb import wire
from extenso_nb.models import Product
from extenso_nb.storage import BucketStorage

ROOT = Path(__file__).resolve().parent.parent


class Cloudy(ScriptedSource):
    """With clouds, for the query of the recipe."""

    def _product(self, name: str) -> Product:
        return super()._product(name).model_copy(update={"cloud_cover": 5.0})


@pytest.fixture
def source() -> ScriptedSource:
    made = Cloudy()
    made.add(1)
    return made


@pytest.fixture
def gateway(tmp_path: Path, source: ScriptedSource) -> Iterator[Gateway]:
    (tmp_path / "gateway").mkdir()
    made = Gateway(tmp_path / "gateway", source)
    yield made
    made.stop()


def recipes() -> str:
    text = (ROOT / "docs" / "service.md").read_text()
    section = text[text.index("with curl") : text.index("## Orders and deliveries")]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 4
    return "".join(blocks)


def shell(code: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=kept | {"HOME": str(folder)} | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_recipes_run_as_they_are_written(gateway: Gateway, source: ScriptedSource, tmp_path: Path) -> None:
    (content,) = source.data.values()
    with served(gateway) as url:
        done = shell(recipes(), tmp_path, EXTENSO_URL=url, EXTENSO_API_KEY=gateway.key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["delivered"]
    for name in ("product.zip", "again.zip", "resumed.zip"):
        assert (tmp_path / name).read_bytes() == content, name


def test_a_recipe_that_cannot_succeed_fails(gateway: Gateway, tmp_path: Path) -> None:
    with served(gateway) as url:
        done = shell(recipes(), tmp_path, EXTENSO_URL=url, EXTENSO_API_KEY="wrong")
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.zip"))


def test_going_on_where_a_download_stopped_asks_for_the_rest_only(
    gateway: Gateway, source: ScriptedSource, tmp_path: Path
) -> None:
    ((name, content),) = source.data.items()
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"
    path = wire.VERBS["download"].url(order_id=order.id, delivery_id=f"{order.id}-1")
    with served(gateway) as url:
        token = gateway.access.login(gateway.key)
        (tmp_path / "part.zip").write_bytes(content[: len(content) // 2])
        code = f'curl --silent --fail -LC - -H "Authorization: Bearer {token}" -D head "{url}{path}" -o part.zip'
        done = shell(code, tmp_path)
        assert done.returncode == 0, done.stderr
        head = (tmp_path / "head").read_text().lower()
        half = len(content) // 2
        assert f"content-range: bytes {half}-{len(content) - 1}/{len(content)}" in head
        assert (tmp_path / "part.zip").read_bytes() == content
        again = shell(code, tmp_path)  # it is whole by now: nothing is added to it
        assert again.returncode in {0, 22}, again.stderr
        assert (tmp_path / "part.zip").read_bytes() == content


def test_the_token_goes_to_the_gateway_and_to_nobody_else(tmp_path: Path, source: ScriptedSource, s3: str) -> None:
    ((name, content),) = source.data.items()
    (tmp_path / "gateway").mkdir()
    storage = BucketStorage(bucket_of(s3, "deliveries", prefix="free-of-curl"))
    gateway = Gateway(tmp_path / "gateway", source, storage=storage)
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        path = wire.VERBS["download"].url(order_id=order.id, delivery_id=f"{order.id}-1")
        with served(gateway) as url:
            token = gateway.access.login(gateway.key)
            code = f'curl -v --fail -L -H "Authorization: Bearer {token}" "{url}{path}" -o product.zip'
            done = shell(code, tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "product.zip").read_bytes() == content
        first, second = re.split(r"^> GET ", done.stderr, flags=re.MULTILINE)[1:]
        assert "> authorization: bearer" in first.lower()
        assert s3.removeprefix("http://") in second
        assert "> authorization" not in second.lower()
        assert token not in second
    finally:
        gateway.stop()
