"""What a search of 1,000 products costs until there is a table: our CDSE adapter against eodag, on the same pages.

Pages are those that CDSE's OData catalogue gave eodag's authors, each entry multiplied: names, identifiers, dates and
footprints differ. They come from a server on loopback that is a process of its own. Each contestant is a process of its
own, too, warm by a search before the one that is measured, and asks for pages of 1,000.

Compared is CPU time of the process, and of that what is left without the requests themselves (sent, waited for, and their
bytes received): for eodag what `search` does with the answer, up to its products; for us the same up to the end of
`SearchResult.gdf`, a GeoDataFrame. The third line has eodag's products made a GeoDataFrame, too, in the way that its
documentation shows: features, then `from_features`.

    python benchmarks/catalogues.py [--count 1000] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

RECORDED = "catalog/eodag_provider_responses/cop_dataspace_search.json"
HERE = Path(__file__).resolve()
sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE.parent]  # `requests` there is a benchmark


# --- pages -----------------------------------------------------------------------------------------------------------
def multiplied(recorded: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Entries like the recorded ones, all different."""
    return [_another(recorded[number % len(recorded)], number) for number in range(count)]


def _another(entry: dict[str, Any], number: int) -> dict[str, Any]:
    made = copy.deepcopy(entry)
    begin = datetime.fromisoformat(entry["ContentDate"]["Start"]) + timedelta(minutes=number)
    head, _, rest = entry["Name"].partition("_2020")  # S2A_MSIL1C_<start>_N0500_R045_T54PXA_<made>.SAFE
    made["Name"] = f"{head}_{begin:%Y%m%dT%H%M%S}_{rest.partition('_')[2]}"
    made["Id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, made["Name"]))
    stamp = begin.isoformat(timespec="microseconds").replace("+00:00", "Z")
    made["ContentDate"] = {"Start": stamp, "End": stamp}
    ring = [[x - number / 10, y - number / 100] for x, y in entry["GeoFootprint"]["coordinates"][0]]
    made["GeoFootprint"] = {"type": "Polygon", "coordinates": [ring]}
    made["Footprint"] = f"geography'SRID=4326;POLYGON (({', '.join(f'{x} {y}' for x, y in ring)}))'"
    return made


def serve(data: Path, count: int) -> None:
    """Give pages until killed; the first line of output is the address."""
    entries = multiplied(json.loads((data / RECORDED).read_bytes())["value"], count)
    pages: dict[tuple[int, int], bytes] = {}

    class Pages(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if urlsplit(self.path).path.endswith("/openid-configuration"):
                base = f"http://{self.headers['host']}"
                self._answer(json.dumps(dict.fromkeys(("token_endpoint", "jwks_uri", "issuer"), base)).encode())
                return
            asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
            key = int(asked.get("$skip", 0)), int(asked.get("$top", 20))
            if key not in pages:
                pages[key] = self._page(asked, *key)
            self._answer(pages[key])

        def _page(self, asked: dict[str, str], skip: int, top: int) -> bytes:
            answer = {
                "@odata.context": "$metadata#Products",
                "@odata.count": count,
                "value": entries[skip : skip + top],
            }
            if skip + top < count:
                following = urlencode({**asked, "$skip": skip + top})
                answer["@odata.nextLink"] = f"http://{self.headers['host']}/odata/v1/Products?{following}"
            return json.dumps(answer).encode()

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


# --- contestants -----------------------------------------------------------------------------------------------------
class Spent:
    """CPU seconds within calls of a function that is watched, and how many calls there were."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    def watch(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self.seconds += time.process_time() - began
                self.calls += 1

        return watched


def measured(work: Callable[[], int], http: Spent, count: int) -> dict[str, float]:
    """Wall and CPU seconds of a piece of work, and CPU without requests."""
    http.seconds, http.calls = 0.0, 0
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert found == count, found
    return {"wall": wall, "cpu": cpu, "parsing": cpu - http.seconds, "requests": http.calls}


def ours(url: str, count: int) -> dict[str, dict[str, float]]:
    """Our adapter, up to the GeoDataFrame; the best of three, which differ by what else runs on the machine."""
    from extenso_nb import query
    from extenso_nb.gateway.sources.cdse import CdseSource
    from extenso_nb.gateway.sources.remote import Remote
    from extenso_nb.results import SearchResult

    http = Spent()
    Remote._whole = http.watch(Remote._whole)  # type: ignore[method-assign] # noqa: SLF001 - that is what is measured

    def search(source: CdseSource, rows: int, *, table: bool = True) -> int:
        parsed = query.parse("producttype:S2MSI1C")
        hits = source.search("S2", parsed, start=0, rows=rows, orderby="beginposition asc")
        if not table:
            return len(hits.products)
        return len(SearchResult(hits.products, total=hits.total, collection="S2", q=str(parsed)).gdf)

    def run(*, table: bool) -> dict[str, float]:
        source = CdseSource(catalogue=f"{url}/odata/v1")  # a new one: searches are kept for a while
        try:
            return measured(lambda: search(source, count, table=table), http, count)
        finally:
            source.close()

    search(CdseSource(catalogue=f"{url}/odata/v1"), 20)
    names = {"ours, to its products": False, "ours, to a GeoDataFrame": True}
    return {name: min((run(table=table) for _ in range(3)), key=_cpu) for name, table in names.items()}


def _cpu(figures: dict[str, float]) -> float:
    return figures["parsing"]


def eodag(url: str, count: int) -> dict[str, dict[str, float]]:
    """eodag: one search, page after page."""
    import tempfile

    import geopandas
    from eodag import EODataAccessGateway, SearchResult
    from eodag.config import EODAGSettings
    from eodag.plugins.search.qssearch import QueryStringSearch

    http, found = Spent(), list[Any]()
    QueryStringSearch._request = http.watch(QueryStringSearch._request)  # noqa: SLF001 - that is what is measured
    with tempfile.TemporaryDirectory() as folder:
        settings = EODAGSettings(cfg_dir=folder, ext_collections_cfg_uri="", providers_whitelist=["cop_dataspace"])
        dag = EODataAccessGateway(settings=settings)
        where = {"search": {"api_endpoint": f"{url}/odata/v1/Products"},
                 "auth": {"matching_url": url, "oidc_config_url": f"{url}/.well-known/openid-configuration"}}  # fmt: skip
        dag.update_providers_config(dict_conf={"cop_dataspace": where})

        def search(limit: int) -> int:
            found[:] = []
            asked = {"collection": "S2_MSI_L1C", "provider": "cop_dataspace", "raise_errors": True, "validate": False}
            result = dag.search(limit=limit, count=True, **asked)
            found.extend(result)
            if limit > 20:
                for page in result.next_page(update=False):
                    found.extend(page)
            return len(found)

        def table() -> int:
            features = SearchResult(found).as_dict()["features"]  # the way that its documentation shows
            return len(geopandas.GeoDataFrame.from_features(features, crs="EPSG:4326"))

        search(20)
        first = measured(lambda: search(1000), http, count)
        more = measured(table, Spent(), count)
        both = {name: first[name] + more[name] for name in first}
    return {"eodag, to its products": first, "eodag, to a GeoDataFrame": both}


# --- both ------------------------------------------------------------------------------------------------------------
def compare(data: Path, count: int) -> None:
    """Run both, and print what they took."""
    command = [sys.executable, str(HERE)]
    serving = [*command, "--serve", "--data", str(data), "--count", str(count)]
    rows: dict[str, dict[str, float]] = {}
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            for who in ("ours", "eodag"):
                asked = [*command, "--who", who, "--url", url, "--count", str(count)]
                done = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
                rows |= json.loads(done.stdout.splitlines()[-1])
        finally:
            server.kill()
    print(f"{count:,} products            wall s    CPU s    CPU without requests s    requests")
    for name, row in rows.items():
        print(f"{name:26} {row['wall']:7.2f} {row['cpu']:8.2f} {row['parsing']:17.3f} {row['requests']:18.0f}")
    for what in ("to a GeoDataFrame", "to its products"):
        mine, theirs = (rows[f"{who}, {what}"]["parsing"] for who in ("ours", "eodag"))
        print(f"{what}: ours takes {mine / theirs:.1%} of eodag's")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent.parent / "shared" / "data")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--who", choices=["ours", "eodag"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.data, given.count)
    elif given.who:
        print(json.dumps({"ours": ours, "eodag": eodag}[given.who](given.url, given.count)))
    else:
        compare(given.data, given.count)


if __name__ == "__main__":
    main()
