"""What the form asks for, and the order of what is selected, as Python, as commands and as curl: text that runs as it is."""

from __future__ import annotations

import json
import math
import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from extenso_nb import wire
from extenso_nb.errors import InputError
from extenso_nb.models import BucketProperties
from extenso_nb.widgets.state import ExplorerState

__all__ = ["KINDS", "text", "to_cli", "to_curl", "to_python"]

KINDS = ("python", "cli", "curl")

ACCESS, SECRET = "EXTENSO_S3_ACCESS_KEY", "EXTENSO_S3_SECRET_KEY"
"""Environment variables with the keys of the user's own bucket: keys themselves are never in what is exported."""
_WIDE = 100
"""Characters of a line where it can be broken."""
_LEAVE_OUT = "The order of what is selected. Leave it out to search only."


def text(state: ExplorerState, kind: str, *, url: str = "", local: bool = False) -> str:
    """One of the three, for the gateway at `url`; that of this machine is left out where it is found without.

    Raises InputError for another kind; else as the three do.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} is none of {', '.join(KINDS)}.", hint='Give "python", "cli" or "curl".')
    with state.lock:
        if kind == "curl":
            return to_curl(state, url or None)
        write = to_python if kind == "python" else to_cli
        return write(state, url=None if local or not url else url)


def to_python(state: ExplorerState, *, url: str | None = None) -> str:
    """The search as Python, which leaves `scenes`; then the order of what is selected, which leaves `order`.

    Parameters
    ----------
    url
        Of the gateway; by default the one that `connect()` finds. Its key is taken from where `connect()` takes it.

    Raises
    ------
    InputError, AreaError, QueryError
        When the form cannot be searched.
    """
    asked = _asked(state)
    given = {name: _literal(value) for name, value in asked.arguments.items()}
    head, area = ["import extenso_nb as ex"], []
    if "intersects" in given and len(given["intersects"]) > _WIDE - 30:
        text = _wrapped(f"area = {given['intersects']}")
        area, given["intersects"] = ["", text], "area"
    connected = "eo = ex.connect()" if url is None else f"eo = ex.connect({_literal(_address(url))})"
    search = _call(
        "scenes = eo.search", [_literal(asked.collection), *(f"{name}={text}" for name, text in given.items())]
    )
    order = _python_order(state)
    if "os.environ" in "".join(order):
        head = ["import os", "", *head]
    return "\n".join([*head, *area, "", connected, search, 'print(*scenes.ids, sep="\\n")', *order]) + "\n"


def _python_order(state: ExplorerState) -> list[str]:
    if not state.selected:
        return []
    lines, bucket, rest = ["", f"# {_LEAVE_OUT}"], _bucket(state), ""
    if bucket is not None:
        keys = [f'access_key=os.environ["{ACCESS}"]', f'secret_key=os.environ["{SECRET}"]']
        lines.append(
            _call("bucket = ex.BucketProperties", [f"{name}={_literal(text)}" for name, text in bucket] + keys)
        )
        rest = ", bucket=bucket"
    lines += ["chosen = [", *(f"    {_literal(key)}," for key in state.selected), "]"]
    lines.append(f"order = eo.wait(eo.order(chosen{rest}))")
    return lines if bucket is not None else [*lines, "trees = eo.open(order)  # one lazy xarray.DataTree a product"]


def to_cli(state: ExplorerState, *, url: str | None = None) -> str:
    """The search as commands for bash, which print identifiers; then the order of what is selected.

    The gateway is that of `url`, or the one that the command line finds. Raises as `to_python`, and InputError for text
    that no command line can carry.
    """
    asked = _asked(state)
    gateway = [] if url is None else [f"--url={_word(_address(url))}"]
    words = [*gateway, *(_option(name, value) for name, value in asked.arguments.items()), "--ids"]
    lines = [_command(f"extenso search {asked.collection}", words)]
    if not state.selected:
        return "\n".join([*lines, "# ... | extenso order --wait    orders all of them"]) + "\n"
    bucket = _bucket(state)
    if bucket is not None:
        lines += ["", f"# {_LEAVE_OUT}", f"# The keys of the bucket are those of {ACCESS} and {SECRET}."]
        gateway.append(f"--bucket={_word(_bucket_address(dict(bucket)))}")
    else:
        lines += ["", f"# {_LEAVE_OUT}"]
    # After `--` nothing is taken for an option.
    lines.append(_command("extenso order --wait", [*gateway, "--", *map(_word, state.selected)]))
    return "\n".join(lines) + "\n"


def to_curl(state: ExplorerState, url: str | None = None) -> str:
    """The search as requests of curl, for bash, which print identifiers; then the order of what is selected.

    The key of the account comes from EXTENSO_API_KEY, the gateway's address from `url`, or else from EXTENSO_URL. python3
    reads the answers. Raises as `to_cli`.
    """
    asked = _asked(state)
    gateway = '"${EXTENSO_URL:?}"' if url is None else _word(_address(url).rstrip("/"))
    orderby = asked.arguments.get("orderby")
    window = [f"q={asked.q}", f"rows={asked.rows}", *([f"orderby={orderby}"] if orderby else [])]
    path = wire.VERBS["search_ids"].url(collection=asked.collection)
    search = [f'ask "$GATEWAY{path}" --get', *(f"--data-urlencode {_word(text)}" for text in window)]
    ids = '| python3 -c \'import json, sys; print(*json.load(sys.stdin)["data"], sep="\\n")\''
    if asked.pages == 1:
        found = [_broken([*search, ids])]
    else:
        starts = " ".join(str(asked.rows * page) for page in range(asked.pages))
        found = [f"for START in {starts}; do", _broken([*search, '--data start="$START"', ids]), "done"]
    token = [
        'TOKEN=$(printf %s "${EXTENSO_API_KEY:?}"',
        f'| curl --silent --show-error --fail "$GATEWAY{wire.TOKEN_PATH}"',
        "--data-urlencode apikey@- --data grant_type=api_key --data client_id=IDP | field '[\"access_token\"]')",
    ]
    lines = [
        "# EXTENSO_API_KEY holds the key of your account.",
        f"GATEWAY={gateway}",
        'field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }',
        _broken(token),
        'ask() { curl --silent --show-error --fail --header "Authorization: Bearer $TOKEN" "$@"; }',
        "",
        *found,
        *_curl_order(state),
    ]
    return "\n".join(lines) + "\n"


def _curl_order(state: ExplorerState) -> list[str]:
    if not state.selected:
        return []
    bucket = _bucket(state)
    body: dict[str, Any] = {"products": list(state.selected)}
    lines = ["", f"# {_LEAVE_OUT}"]
    if bucket is None:
        made = f"printf %s {_word(json.dumps(body))}"
    else:
        names = {"addressing_style": "addressingStyle"}
        body["bucketProperties"] = {names.get(name, name): text for name, text in bucket}
        lines.append(f"# The keys of the bucket are those of {ACCESS} and {SECRET}.")
        code = (
            "import json, os, sys\nbody = json.loads(sys.argv[1])\n"
            f'body["bucketProperties"].update(accessKey=os.environ["{ACCESS}"], secretKey=os.environ["{SECRET}"])\n'
            "print(json.dumps(body))"
        )
        made = f"python3 -c {_word(code)} {_word(json.dumps(body))}"
    path = wire.VERBS["create_order"].url()
    sent = f"""ask "$GATEWAY{path}" --header 'Content-Type: application/json' --data @- | field '["id"]')"""
    return [
        *lines,
        _broken([f"ORDER=$({made}", f"| {sent}"]),
        f"""while STATUS=$(ask "$GATEWAY{path}/$ORDER" | field '["status"]'); do""",
        '  case "$STATUS" in queued | running) sleep 1 ;; *) break ;; esac',
        "done",
        'echo "Order $ORDER: $STATUS"',
    ]


# --- what is asked ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Asked:
    """A search: the arguments of the client's `search` that are set, and the same as the API has it."""

    collection: str
    arguments: dict[str, Any]
    q: str
    rows: int
    pages: int


def _asked(state: ExplorerState) -> _Asked:
    """The search on the form; of as many products as are shown of it, or else of one page."""
    from extenso_nb import query

    arguments = state.search_arguments()
    q = query.combine(state.q, query.build(**arguments))
    text = state.q.strip()
    shown = len(state.products) if state.searched and not state.failed and not state.outdated() else 0
    pages = max(1, math.ceil(shown / state.page_size))
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == "intersects":
            found |= _area(value)
        else:
            found[name] = _short(value[1]) if name == "cloud_cover" else value
    found |= {"q": text} if text not in {"", "*"} else {}
    found |= {"orderby": state.sort} if state.sort else {}
    found["limit"] = pages * state.page_size
    return _Asked(state.collection, found, q, state.page_size, pages)


def _area(geometry: Any) -> dict[str, Any]:
    """The area as `bbox` where it is one, else as a GeoJSON geometry; with the six decimals that a query has."""
    import shapely

    from extenso_nb import aoi

    exact = aoi.area(geometry)
    rounded = shapely.set_precision(shapely.force_2d(exact.geometry), 1e-6)
    found = exact if rounded.is_empty or rounded.area == 0 else aoi.area(rounded)
    corners = tuple(_short(round(value, 6)) for value in found.bounds)
    if found.geometry.geom_type in {"Polygon", "MultiPolygon"} and corners[1] < corners[3] and corners[0] != corners[2]:
        box = shapely.set_precision(aoi.area(corners).geometry, 1e-6)
        if box.equals(shapely.set_precision(found.geometry, 1e-6)):
            return {"bbox": corners}
    return {"intersects": found.geojson}


def _short(value: float) -> float:
    """A whole number without its point."""
    return int(value) if float(value).is_integer() else float(value)


class _Property(NamedTuple):
    """A field of BucketProperties and what stands there."""

    name: str
    text: str


def _bucket(state: ExplorerState) -> list[_Property] | None:
    """The user's own bucket without its keys; None for the free storage. Raises BucketRefused for what is none."""
    from extenso_nb.storage import locate_bucket

    if state.destination["kind"] != "bucket":
        return None
    named = {name: state.destination.get(name) for name in ("endpoint", "bucket", "prefix")}
    more = {} if state.bucket is None else state.bucket.model_dump(include={"region", "addressing_style"})
    keys = {"access_key": SecretStr("-"), "secret_key": SecretStr("-")}
    found = locate_bucket(BucketProperties.model_validate({**named, **more, **keys}))
    pairs = [
        ("endpoint", found.endpoint), ("bucket", found.name), ("prefix", found.prefix), ("region", more.get("region")),
        ("addressing_style", None if found.path_style else "virtual"),
    ]  # fmt: skip
    return [_Property(name, text) for name, text in pairs if text]


def _bucket_address(bucket: dict[str, str]) -> str:
    """As `extenso order --bucket` takes it."""
    prefix = bucket.get("prefix", "")
    plain = prefix == quote(prefix)
    asked = {
        "endpoint": bucket["endpoint"],
        "region": bucket.get("region"),
        "addressing": bucket.get("addressing_style"),
        "prefix": None if plain else prefix,
    }
    given = "&".join(f"{name}={quote(text, safe='/:')}" for name, text in asked.items() if text)
    return f"s3://{bucket['bucket']}{'/' * bool(prefix and plain)}{prefix if plain else ''}?{given}"


def _address(url: str) -> str:
    """The gateway's address without user, password and query: those would be secrets."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError("The gateway's address is no http(s) address.", hint="Give it as https://host.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# --- text ------------------------------------------------------------------------------------------------------------
def _literal(value: Any) -> str:
    """A value as Python; text in double quotes, as people write it, and escaped where it cannot be seen."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return repr(value)


def _wrapped(text: str) -> str:
    """A geometry over several lines, never between the two numbers of a point."""
    tied = re.sub(r"(\d), (-?\d)", "\\1,\0\\2", text)
    return textwrap.fill(tied, _WIDE, subsequent_indent="    ", break_on_hyphens=False).replace("\0", " ")


def _call(function: str, arguments: Sequence[str]) -> str:
    """A call, on one line where it fits."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDE:
        return line
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in arguments), ")"])


_OPTIONS = {"cloud_cover": "cloud", "product_type": "type", "intersects": "area"}
"""Arguments of which the option has another name."""


def _option(name: str, value: Any) -> str:
    """An argument of a search as `--name=value`: with the sign of equality a value may begin with a minus."""
    import shapely

    if name == "bbox":
        text = ",".join(map(repr, value))
    elif name == "intersects":
        text = shapely.to_wkt(shapely.geometry.shape(value), rounding_precision=-1, trim=True)
    else:
        text = str(value)
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}={_word(text)}"


def _word(text: str) -> str:
    """One word of bash."""
    if "\0" in text:
        raise InputError("A command line cannot carry a NUL character.", hint="Take it out of the text.")
    return shlex.quote(text)


def _command(name: str, words: Iterable[str]) -> str:
    """A command, on one line where it fits."""
    given = list(words)
    line = " ".join([name, *given])
    return line if len(line) <= _WIDE else _broken([name, *given])


def _broken(words: Sequence[str]) -> str:
    """A command of bash over several lines."""
    return " \\\n  ".join(words)
