"""The ground: errors, wire, retry, progress, HTML fragments and the API's nouns."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from extenso_nb import _html, errors, models, progress, retry, wire
from extenso_nb.refusals import from_response


# --- errors ----------------------------------------------------------------------------------------------------------
def every_error() -> list[type[errors.ExtensoError]]:
    found: list[type[errors.ExtensoError]] = []
    queue: list[type[errors.ExtensoError]] = [errors.ExtensoError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue += kind.__subclasses__()
    return sorted((kind for kind in set(found) if kind.__module__ == errors.__name__), key=lambda kind: kind.__name__)


ALL = every_error()
OVER_HTTP = [kind for kind in ALL if kind.status is not None]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert len(ALL) > 40
    assert {kind.__name__ for kind in ALL} == {name for name in errors.__all__ if name[0].isupper()}
    drawing = str(errors.__doc__)
    for kind in ALL:
        assert re.search(rf"\b{kind.__name__}\b", drawing), kind


def test_status_and_code_name_one_class() -> None:
    pairs = [(kind.status, kind.code) for kind in OVER_HTTP]
    assert len(set(pairs)) == len(pairs)
    assert set(errors.table().values()) == set(OVER_HTTP)
    assert len({kind.code for kind in OVER_HTTP}) == len(OVER_HTTP)
    for kind in OVER_HTTP:
        assert "status" in vars(kind), f"{kind.__name__} inherits its status and would stand in the table twice"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_what_and_what_next_and_survives_pickling(kind: type[errors.ExtensoError]) -> None:
    assert kind.default_hint
    assert kind.__doc__
    error = kind("The thing 7 failed.", products=["a", "b"], free=3)
    error.correlation_id = "c-1"
    assert "The thing 7 failed." in str(error)
    assert kind.default_hint in str(error)
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is kind
        assert str(copied) == str(error)
        assert (copied.message, copied.hint, copied.details) == (error.message, error.hint, error.details)
        assert copied.correlation_id == "c-1"
    assert "do this" in str(kind("x", hint="do this"))


@pytest.mark.parametrize("kind", OVER_HTTP, ids=lambda kind: kind.__name__)
def test_every_error_crosses_http(kind: type[errors.ExtensoError]) -> None:
    sent = kind("Order 7 is not there.", hint="Look again.", order=7)
    body = {
        "correlationId": "c-2",
        "hint": sent.hint,
        "internalCode": sent.code,
        "message": sent.message,
        "timestamp": "2026-01-01T00:00:00Z",
        "details": sent.details,
    }
    got = from_response(int(kind.status or 0), json.loads(json.dumps(body)), request="GET /x")
    assert type(got) is kind
    assert (got.message, got.hint, got.correlation_id) == (sent.message, sent.hint, "c-2")
    assert got.details == sent.details
    assert str(got) == str(sent)


def test_query_error_points_over_http() -> None:
    sent = errors.QueryError(
        "No keyword `cloud`.", query="cloud:3 AND x:1", position=0, suggestion="cloudcoverpercentage"
    )
    body = {"message": sent.message, "hint": sent.hint, "internalCode": sent.code, "details": sent.details}
    got = from_response(400, json.loads(json.dumps(body)), request="GET /q")
    assert isinstance(got, errors.QueryError)
    assert (got.query, got.position, got.suggestion) == (sent.query, 0, "cloudcoverpercentage")
    lines = str(errors.QueryError("Bad.", query="a:1 OR", position=6)).splitlines()
    assert lines[1] == "  a:1 OR"
    assert lines[2].index("^") == 2 + 6
    assert "^" not in str(errors.QueryError("Bad.", query="a\nb", position=1))


@given(
    st.sampled_from([400, 401, 403, 404, 405, 409, 413, 418, 422, 429, 500, 502, 503, 504]),
    st.none()
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(
        st.sampled_from(["message", "hint", "internalCode", "details", "correlationId"]),
        st.none()
        | st.integers()
        | st.text(max_size=5)
        | st.dictionaries(
            st.sampled_from(["message", "hint", "query", "position", "retry_after", "self", "x y"]),
            st.none() | st.text(),
        ),
    ),
)
def test_any_answer_becomes_an_error(status: int, body: Any) -> None:
    found = from_response(status, body, request="GET /x", retry_after=3.0)
    assert isinstance(found, errors.ExtensoError)
    assert str(found)
    assert type(pickle.loads(pickle.dumps(found))) is type(found)
    if isinstance(found, errors.TooManyRequests):
        assert found.retry_after == 3.0


def test_a_proxy_is_no_gateway() -> None:
    found = from_response(502, None, request="GET /orders")
    assert isinstance(found, errors.SourceUnavailable)
    assert "GET /orders" in found.message
    assert "not by an extenSO gateway" in found.message


def test_errors_are_also_what_python_calls_them() -> None:
    for kind, builtin in [
        (errors.AreaError, ValueError),
        (errors.Forbidden, PermissionError),
        (errors.UnknownOrder, LookupError),
        (errors.WaitTimeout, TimeoutError),
        (errors.UnknownBand, KeyError),
    ]:
        assert issubclass(kind, builtin)


# --- wire ------------------------------------------------------------------------------------------------------------
def test_verbs_have_one_path_each() -> None:
    routes = [(verb.method, verb.template) for verb in wire.VERBS.values()]
    assert len(set(routes)) == len(routes)
    for name, verb in wire.VERBS.items():
        assert verb.name == name
        assert verb.summary.endswith(".")
        filled = dict.fromkeys(verb.parameters, "7")
        assert "{" not in verb.url(**filled)
        assert verb.repeatable == (verb.method in {"GET", "DELETE"} or name in {"login", "estimate"})
    assert wire.VERBS["create_order"].repeatable is False


@given(st.text(min_size=1, max_size=20))
def test_a_parameter_stays_one_segment(text: str) -> None:
    verb = wire.VERBS["order"]
    if text in {".", ".."} or any(0xD800 <= ord(char) < 0xE000 for char in text):
        return
    url = verb.url(order_id=text)
    assert url.count("/") == verb.template.count("/")
    assert not set("?#%") & set(re.sub("%[0-9A-F]{2}", "", url))


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_a_parameter_cannot_lead_elsewhere(text: str) -> None:
    """`delete("")` would name the list of orders."""
    with pytest.raises(errors.InputError, match="is no order id"):
        wire.VERBS["delete"].url(order_id=text)


# --- retry -----------------------------------------------------------------------------------------------------------
def test_schedule() -> None:
    plain = retry.Retry(attempts=4, first=1, factor=3, longest=5, jitter=0.2)
    assert list(plain.schedule()) == [1, 3, 5]
    assert plain.wait(4) is None
    assert plain.wait(1, chance=0) == pytest.approx(0.8)
    assert plain.wait(1, chance=1) == pytest.approx(1.2)
    assert str(plain) == "4 tries, waiting 1 s, 3 s, 5 s"
    assert str(retry.Retry(attempts=1)) == "1 tries"
    assert str(retry.POLL).startswith("without end, waiting 0.2 s")
    assert sum(retry.REQUEST.schedule()) < 5
    assert plain.patch(attempts=2).attempts == 2


@given(st.integers(1, 10**6), st.floats(0, 1e6), st.floats(1, 1e300), st.floats(0, 1e6), st.floats(0, 1))
def test_waits_are_finite(attempt: int, first: float, factor: float, longest: float, chance: float) -> None:
    wait = retry.Retry(attempts=None, first=first, factor=factor, longest=longest, jitter=1).wait(
        attempt, chance=chance
    )
    assert wait is not None
    assert 0 <= wait <= 2 * longest


@pytest.mark.parametrize("asked", [math.nan, math.inf, -math.inf])
def test_a_wait_that_is_no_number_is_not_obeyed(asked: float) -> None:
    assert retry.Retry(first=1, jitter=0).wait(1, retry_after=asked) == 1
    assert retry.Retry(first=1).wait(1, retry_after=-3) == 0
    assert retry.Retry(first=1).wait(1, retry_after=300) == 300


@pytest.mark.parametrize(
    "values",
    [
        {"attempts": 0},
        {"first": -1},
        {"factor": 0.5},
        {"longest": -1},
        {"jitter": 1.5},
        {"first": math.nan},
        {"longest": math.inf},
    ],
)
def test_waits_that_cannot_be(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        retry.Retry(**values)  # type: ignore[arg-type]


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("1.5", 1.5),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 12:01:00 -0000", 60),
        ("Thu, 99 Jan 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry.retry_after_seconds(value, now=NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_finite_or_none(value: str) -> None:
    found = retry.retry_after_seconds(value, now=NOW)
    assert found is None or (math.isfinite(found) and found >= 0)


# --- progress --------------------------------------------------------------------------------------------------------
def test_text_listener_writes_changes_and_not_every_block() -> None:
    stream = io.StringIO()
    listen = progress.text(stream, every=1000)
    for done in range(0, 101, 10):
        listen(progress.Progress("17-1", "S2B", "transferring", done * 1_000_000, 100_000_000))
    listen(progress.Progress("17-2", "S1A", "queued"))
    for _ in range(3):
        listen(progress.Progress("17-1", "S2B", "delivered", 100_000_000, 100_000_000))
    listen(progress.Progress("17-2", "S1A", "failed", note="no <source>"))
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["transferring", "queued", "delivered", "failed"]
    assert "100%" in lines[2]
    assert "100 MB of 100 MB" in lines[2]
    assert "(no <source>)" in lines[3]


def test_fractions_stay_within_0_and_1() -> None:
    assert progress.Progress("a", "a", "transferring", 5, 0).fraction == 0
    assert progress.Progress("a", "a", "transferring", 50, 10).fraction == 1
    assert progress.Progress("a", "a", "delivered").fraction == 1
    assert progress.Progress("a", "a", "failed").ended


def test_bars_are_escaped() -> None:
    html = progress.bars([progress.Progress("k", '"><script>x</script>', "failed", 1, 2, "<b>note</b>")])
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&quot;&gt;&lt;script&gt;" in html
    assert 'aria-valuenow="50"' in html


def test_listener_chooses() -> None:
    heard: list[progress.Progress] = []
    assert progress.listener(heard.append) == heard.append
    assert progress.listener(False) is progress.quiet
    event = progress.Progress("a", "a", "queued")
    progress.listener(False)(event)
    progress.listener(heard.append)(event)
    assert heard == [event]
    assert not progress.in_notebook()


def test_text_listener_is_the_one_of_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    progress.listener(None)(progress.Progress("a", "S2B", "queued"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("queued")


def test_notebook_listener_keeps_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    drawn: list[str] = []

    class Handle:
        def update(self, shown: Any) -> None:
            drawn.append(shown.data)

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: Handle())
    listen = progress.notebook()
    listen(progress.Progress("1", "first", "queued"))
    listen(progress.Progress("2", "second", "queued"))
    for done in range(100):
        listen(progress.Progress("2", "second", "transferring", done, 100))
    assert len(drawn) < 10
    assert "first" in drawn[-1]
    assert "second" in drawn[-1]


# --- HTML ------------------------------------------------------------------------------------------------------------
EVIL = "<img src=x onerror=\"alert('1')\">&"


def test_every_fragment_is_escaped() -> None:
    fragments = [
        _html.card(EVIL, [(EVIL, EVIL), (EVIL, {EVIL: EVIL}), (EVIL, [EVIL] * 9)]),
        _html.table(EVIL, [EVIL], [[EVIL]]),
        _html.image(None, alt=EVIL),
        _html.image(b"\x89PNG", alt=EVIL),
        _html.sheet(EVIL, [], note=EVIL),
    ]
    for fragment in fragments:
        assert "<img src=x" not in fragment
        assert 'onerror="' not in fragment
        assert "&lt;img" in fragment
        assert not re.search(r"https?://|<script|<link|@import", fragment)


def test_pictures_are_named_by_their_bytes() -> None:
    assert _html.data_uri(b"\x89PNG\r\n").startswith("data:image/png;base64,")
    assert _html.data_uri(b"RIFF\x00\x00\x00\x00WEBP").startswith("data:image/webp;base64,")
    assert _html.data_uri(b"\xff\xd8\xff").startswith("data:image/jpeg;base64,")
    assert _html.data_uri(b'"><svg onload=x>').count('"') == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (812_345_678, "812 MB"),
        (1_234_567, "1.23 MB"),
        (999_999, "1 MB"),
        (10_000_000_000, "10 GB"),
        (2.5e12, "2.5 TB"),
        (-5_000_000, "-5 MB"),
    ],
)
def test_sizes(size: float | None, text: str) -> None:
    assert _html.bytes_text(size) == text


def test_values_are_one_short_line() -> None:
    assert _html.value_text(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05"
    assert _html.value_text([1, 2, 3, 4, 5]) == "1, 2, 3, 4 ... (5 in all)"
    assert len(_html.value_text("x" * 1000)) == 160


# --- nouns -----------------------------------------------------------------------------------------------------------
PRODUCT = {
    "id": "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512",
    "uuid": "u-1",
    "collection": "S2",
    "platform": "Sentinel-2B",
    "instrument": "MSI",
    "productType": "S2MSI2A",
    "processingLevel": "L2A",
    "beginPosition": "2024-06-01T10:56:19.024Z",
    "endPosition": "2024-06-01T10:56:19.024Z",
    "ingestionDate": "2024-06-01T18:00:00Z",
    "size": 812_000_000,
    "online": True,
    "cloudCover": 12.5,
    "relativeOrbitNumber": 94,
    "_links": {"quicklook": {"href": "/q", "method": "GET"}},
}


def test_a_product_crosses_the_wire() -> None:
    product = models.Product.from_wire(PRODUCT | {"fieldOfANewerGateway": 1})
    sent = product.to_wire()
    assert PRODUCT.items() <= sent.items()
    assert "orbitDirection" not in sent
    assert models.Product.from_wire(json.loads(json.dumps(sent))) == product
    assert pickle.loads(pickle.dumps(product)) == product
    assert repr(product) == f"<Product {product.id}: 812 MB, 12 % cloud, online>"
    with pytest.raises(ValidationError):
        product.size = 3


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.integers(-14, 14))
def test_moments_are_utc_on_the_wire(moment: datetime, hours: int) -> None:
    from datetime import timezone

    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    product = models.Product.from_wire(PRODUCT | {"beginPosition": aware.isoformat()})
    text = product.to_wire()["beginPosition"]
    assert text.endswith("Z")
    again = models.Product.from_wire(PRODUCT | {"beginPosition": text}).begin_position
    assert timedelta(0) <= aware - again < timedelta(milliseconds=1)


SECRET, ACCESS = "sEcReT/+key=0123456789", "AKIDEXAMPLE99"


def bucket() -> models.BucketProperties:
    return models.BucketProperties.from_wire(
        {"endpoint": "https://s3.example.org/bucket", "accessKey": ACCESS, "secretKey": SECRET, "region": "eu"}
    )


def test_keys_go_into_the_body_of_an_order_and_nowhere_else() -> None:
    one = bucket()
    body = one.to_wire()
    assert (body["accessKey"], body["secretKey"], body["region"]) == (ACCESS, SECRET, "eu")
    assert models.BucketProperties.from_wire(body) == one
    shown = [repr(one), str(one), f"{one}", f"{[one]}", one.model_dump_json(), str(one.model_dump()), one._repr_html_()]
    shown += [repr(one.access_key), str(vars(one)), models.Noun._repr_html_(one), format(one), repr(copy.deepcopy(one))]
    for text in shown:
        assert SECRET not in text
        assert ACCESS not in text


def test_keys_are_not_pickled() -> None:
    for value in (bucket(), [bucket()], {"a": bucket().model_copy()}):
        with pytest.raises(TypeError, match="holds keys"):
            pickle.dumps(value)


@pytest.mark.parametrize(
    "change",
    [
        {"secretKey": [SECRET]},
        {"accessKey": {"a": SECRET}},
        {"addressingStyle": SECRET},
        {"secret": SECRET},
        {"endpoint": None},
    ],
)
def test_validation_errors_do_not_show_keys(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        models.BucketProperties.from_wire(bucket().to_wire() | change)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_signed_urls_hide_their_signature() -> None:
    url = models.SignedUrl(url="https://h/f.zip?X-Signature=abc", expires_at=NOW)
    for text in (repr(url), str(url), url._repr_html_()):
        assert "abc" not in text
        assert "https://h/f.zip" in text
    assert url.to_wire()["url"].endswith("abc")


def test_nouns_are_escaped_in_notebooks() -> None:
    error = "<script>alert(1)</script>"
    delivery = models.Delivery(
        id="17-2", order_id=17, product_id="<b>", status="failed", created_at=NOW, updated_at=NOW, error=error
    )
    estimate = models.Estimate(
        products=(models.ProductEstimate(id="<b>", error=error),),
        total=0,
        storage_before=models.Storage(quota=10, used=0, reserved=0, free=10),
        storage_after=models.Storage(quota=10, used=0, reserved=0, free=10),
        fits=True,
    )
    for noun in (delivery, estimate):
        html = noun._repr_html_()
        assert "<script>" not in html
        assert "<b>" not in html
        assert "&lt;script&gt;" in html
    assert estimate.errors == {"<b>": error}
    assert delivery.ended
    page = models.Page[models.Delivery].from_wire(
        {"itemsPerPage": 10, "startIndex": 0, "totalResults": 1, "data": [delivery.to_wire()]}
    )
    assert page.data == (delivery,)
    assert repr(page) == "<Page 1 to 1 of 1>"
