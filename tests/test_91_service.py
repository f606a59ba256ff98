"""docs/service.md against the code: every endpoint, parameter, state, error and setting, and nothing that is not there."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from extenso_nb import cli, errors, models, wire
from extenso_nb.gateway import bodies
from extenso_nb.gateway.access import LINK_SECONDS, TOKEN_SECONDS
from extenso_nb.gateway.credentials import ACCOUNTS
from extenso_nb.gateway.openapi import document, errors_of
from extenso_nb.gateway.rate import BURST
from extenso_nb.gateway.serve import Settings
from extenso_nb.gateway.store import DEFAULT_QUOTA
from extenso_nb.retry import DELIVERY

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "service.md").read_text()
DOCUMENT = document("test")
SHARED = {
    errors.InvalidRequest,
    errors.NotAuthenticated,
    errors.UnknownRoute,
    errors.TooManyRequests,
    errors.GatewayFault,
    errors.DatabaseUnavailable,
}


def table(first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has this title."""
    lines = TEXT.splitlines()
    (begin,) = (number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip()[1:-1].split("|")])
    assert rows
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- endpoints -------------------------------------------------------------------------------------------------------
def test_every_endpoint_with_its_answers_and_errors() -> None:
    rows = table("verb")
    assert [names(row[0])[0] for row in rows] == list(wire.VERBS)
    for row in rows:
        verb = wire.VERBS[names(row[0])[0]]
        operation = DOCUMENT["paths"][verb.template][verb.method.lower()]
        query = "?" + "&".join(f"{name}=" for name in verb.query) if verb.query else ""
        assert row[1] == f"{verb.method} `{verb.path}{query}`"
        assert row[2] == verb.summary + ("" if verb.token else " No token.")
        assert row[3].split(", ") == [status for status in operation["responses"] if int(status) < 400]
        assert names(row[4]) == [kind.__name__ for kind in errors_of(verb.name) if kind not in SHARED], verb.name


def test_what_all_endpoints_share_is_said_once() -> None:
    said = TEXT[TEXT.index("Any call can also end") : TEXT.index("| parameter |")]
    for kind in SHARED:
        assert f"{kind.status} `{kind.__name__}`" in said.replace("\n", " ")


def test_every_parameter_with_its_limits() -> None:
    told = {
        (item["in"], item["name"]): item["schema"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        for item in operation.get("parameters", ())
    }
    rows = table("parameter")
    assert {(row[1], names(row[0])[0]) for row in rows} == set(told)
    for row in rows:
        schema = told[row[1], names(row[0])[0]]
        for limit in ("minimum", "maximum", "maxLength"):
            if limit in schema:
                assert str(schema[limit]) in row[2], (row, limit)
        if "default" in schema:
            assert f"default {str(schema['default']).lower()}" in row[2].replace("`", ""), row


def test_the_numbers_in_the_text() -> None:
    said = re.sub(r"\s+", " ", TEXT)
    assert f"at most {wire.MAX_BODY:,} bytes" in said
    assert f"at most {wire.MAX_PRODUCTS:,} products" in said
    assert bodies.BODY_SECONDS == 60
    assert "arrives within a minute" in said
    assert f"({DEFAULT_QUOTA:,} bytes)" in said
    assert (LINK_SECONDS, TOKEN_SECONDS) == (3600, 3600)
    assert "expires after an hour" in said
    assert "A token, which is good for an hour" in said
    rate = Settings(Path()).rate
    assert rate is not None
    assert f"{rate:g} times a second in the long run and {rate * BURST:g} times at once" in said
    waits = list(DELIVERY.schedule(1000))
    shown = [f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.0f} min" for seconds in waits if seconds < 3600]
    assert f"again after {', '.join(shown)}, and then every hour for a day" in said
    assert waits.count(3600) == 24
    assert wire.OPENAPI_PATH in said


# --- states ----------------------------------------------------------------------------------------------------------
def test_every_state() -> None:
    rows = table("status of an order")
    assert [names(row[0])[0] for row in rows] == list(get_args(models.OrderStatus))
    assert {names(row[0])[0] for row in rows if row[1].startswith("ended") or row[0] == "`delivered`"} == set(
        models.ORDER_ENDED
    )
    rows = table("status of a delivery")
    assert [names(row[0])[0] for row in rows] == list(models.DELIVERY_STATUSES)
    ended = {names(row[0])[0] for row in rows if not row[2]}
    assert ended == set(models.DELIVERY_ENDED), "nothing follows these"
    assert {name for row in rows for name in names(row[-1]) if row[0].strip("`") not in ended} <= set(
        models.DELIVERY_STATUSES
    )


# --- errors ----------------------------------------------------------------------------------------------------------
def test_every_error() -> None:
    rows = table("status")
    expected = sorted(
        (
            [str(status), str(code), f"`{kind.__name__}`", " ".join((kind.__doc__ or "").split())]
            for (status, code), kind in errors.table().items()
        ),
        key=lambda row: (int(row[0]), int(row[1])),
    )
    by_number = sorted(rows, key=lambda row: (int(row[0]), int(row[1])))
    assert [row[:3] for row in by_number] == [row[:3] for row in expected]
    for row, other in zip(by_number, expected, strict=True):
        assert other[3].startswith(row[3].partition(": ")[0].split(". ")[0].rstrip(".")), (row, other)


# --- settings --------------------------------------------------------------------------------------------------------
def serve_options() -> dict[str, argparse.Action]:
    (commands,) = (part for part in cli.parser()._actions if isinstance(part, argparse._SubParsersAction))
    serve = commands.choices["serve"]
    return {
        name: action
        for action in serve._actions
        for name in action.option_strings
        if name.startswith("--") and name != "--help"
    }


def test_every_setting() -> None:
    rows = table("command line")
    told = {name: row for row in rows for name in names(row[0])}
    options = serve_options()
    assert set(told) == set(options) | {"--url"}, "--url is the client's"
    for name, action in options.items():
        if isinstance(action.default, str | int) and not isinstance(action.default, bool):
            assert str(action.default) in told[name][2], name
    variables = {name for row in rows for name in names(row[1]) if name.startswith("EXTENSO_")}
    code = "".join(path.read_text() for path in (ROOT / "extenso_nb").rglob("*.py"))
    used = set(re.findall(r"EXTENSO_[A-Z0-9_]*[A-Z0-9]\b", code)) - {"EXTENSO_S3"}
    # Those of the accounts of live archives are in docs/sources.md.
    used = {name for name in used if not name.startswith(tuple(f"EXTENSO_{account.upper()}_" for account in ACCOUNTS))}
    assert variables == used | {"EXTENSO_S3_ACCESS_KEY", "EXTENSO_S3_SECRET_KEY"}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Settings)])
def test_every_setting_of_a_gateway_can_be_set_or_is_our_own(field: str) -> None:
    spelled = {"sources": "--source", "idle_seconds": "--idle", "silent_seconds": "--silent", "deliver": "--no-work"}
    spelled |= {"api_key": "EXTENSO_API_KEY", "secret": "EXTENSO_SECRET"}
    ours = {"cache_dir", "schedule"}  # for tests; a gateway has no reason to change them
    if field in ours:
        return
    option = spelled.get(field, "--" + field.replace("_", "-"))
    assert option in serve_options() or option.startswith("EXTENSO_")
    assert f"`{option}`" in TEXT
