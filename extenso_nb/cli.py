"""The command line: extenso search, estimate, order, status, wait, get, open, serve, worker, login, sources, admin ..."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO
from urllib.parse import parse_qsl, urlsplit

from extenso_nb._version import __version__
from extenso_nb.errors import ExtensoError, InputError

if TYPE_CHECKING:
    from extenso_nb.gateway.serve import Settings
    from extenso_nb.models import BucketProperties, Delivery, Order
    from extenso_nb.session import Session

__all__ = ["main", "parser"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. Errors go to standard error as two lines: what failed, and the next step."""
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int | None] = options.command
    try:
        return command(options) or 0
    except ExtensoError as error:
        print(f"extenso: {error}", file=sys.stderr)
        return type(error).exit_status
    except KeyboardInterrupt:
        print("extenso: interrupted; orders go on by themselves.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has seen enough (`| head`). Python would complain once more while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(
        prog="extenso",
        description="Search, order, deliver and open Copernicus Sentinel products.",
        epilog="Without --url or EXTENSO_URL the gateway of this machine is used, and started when it does not run.",
    )
    top.add_argument("--version", action="version", version=f"extenso_nb {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_search(commands)
    _add_orders(commands)
    _add_gateway(commands)
    return top


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, *, gateway: bool = True
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    made.set_defaults(command=run)
    if gateway:
        made.add_argument("--url", help="gateway to use; by default EXTENSO_URL, or this machine's own")
        # No --api-key: it would stand in the list of processes and in the shell's history.
        made.add_argument("--json", action="store_true", help="print JSON")
    return made


_WORDS = {
    "platform": "satellite, as Sentinel-2 or S2A",
    "processing_level": "as L1C or L2A",
    "orbit_direction": "ascending or descending",
    "polarisation": "channels that it must all have, as VV or 'VV VH'",
    "sensor_mode": "as IW",
    "tile": "MGRS tile, as 31TCJ or '31T*'",
    "timeliness": "as NT or OFFL",
}
"""Arguments of a search that are words: name in Python, and what stands in the help."""


def _add_search(commands: Any) -> None:
    search = _command(commands, "search", _search, "find products")
    search.add_argument("collection", help="S1, S2, S3 or S5P")
    search.add_argument("--q", help="query in the full-text language, as in docs/query.md")
    search.add_argument("--bbox", help="west,south,east,north in degrees")
    search.add_argument("--area", help="file (GeoJSON, zipped shapefile, GPKG, KML ...) or WKT")
    search.add_argument("--datetime", help="2024-06, 2024-06-01/2024-06-15 ...")
    search.add_argument("--cloud", type=float, help="at most so much cloud, per cent")
    search.add_argument("--type", help="product type, as S2MSI2A")
    for name, text in _WORDS.items():
        search.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=text)
    search.add_argument("--relative-orbit", type=int, metavar="NUMBER", help="relative orbit")
    some = search.add_mutually_exclusive_group()
    some.add_argument("--limit", type=int, default=50, help="at most so many products (default 50)")
    some.add_argument("--all", action="store_true", help="all products that match")
    search.add_argument("--orderby", help="as 'cloudcoverpercentage asc'")
    search.add_argument("--ids", action="store_true", help="print identifiers only, one a line")


def _add_orders(commands: Any) -> None:
    for name, run, text in (("estimate", _estimate, "size against what is free"), ("order", _order, "order products")):
        made = _command(commands, name, run, text)
        made.add_argument("products", nargs="*", help="identifiers; - or nothing reads them from standard input")
        if name == "order":
            made.add_argument(
                "--bucket",
                metavar="PLACE",
                help="your own bucket: s3://BUCKET[/PREFIX]?endpoint=https://HOST[&region=...][&addressing=virtual] with"
                " the keys in EXTENSO_S3_ACCESS_KEY and EXTENSO_S3_SECRET_KEY; by default the free storage",
            )
            made.add_argument("--wait", action="store_true", help="wait until all are delivered")
            made.add_argument("--partial", action="store_true", help="order the others when some are unknown")
    status = _command(commands, "status", _status, "orders, or the deliveries of one")
    status.add_argument("order", nargs="?", type=int)
    wait = _command(commands, "wait", _wait, "wait until an order has ended")
    wait.add_argument("order", type=int)
    wait.add_argument("--timeout", type=float, help="seconds")
    get = _command(commands, "get", _get, "download what an order delivered; goes on where it broke off")
    get.add_argument("order", type=int)
    get.add_argument("--to", type=Path, default=Path(), help="directory (default: here)")
    opened = _command(commands, "open", _open, "show what is in a product", gateway=False)
    opened.add_argument("product", help="folder, zip or file")


def _add_gateway(commands: Any) -> None:
    serve = _command(commands, "serve", _serve, "run a gateway", gateway=False)
    _add_process(serve, "tables, storage and lock; by default the user's data directory")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, default=8065, help="port (default 8065; 0 for any free one)")
    serve.add_argument("--no-work", action="store_true", help="only answer; `extenso worker` processes deliver")
    serve.add_argument(
        "--rate",
        type=float,
        metavar="N",
        help="requests per second of one account, with bursts of four times as many; 0 for no limit (default 50;"
        " none with --idle)",
    )
    serve.add_argument("--idle", type=float, metavar="SECONDS", help="end when so long nobody asked for anything")
    worker = _command(commands, "worker", _worker, "deliver for gateways that share a database", gateway=False)
    _add_process(worker, "where the file `secret` is, unless EXTENSO_SECRET is set")
    stop = _command(commands, "stop", _stop, "end the gateway of this machine", gateway=False)
    stop.add_argument("--data-dir", type=Path)
    login = _command(commands, "login", _login, "give a live archive its credentials", gateway=False)
    login.description = "Credentials of live archives, where the gateway runs: asked for on a terminal, or piped in."
    login.add_argument("account", nargs="?", help="as cdse, earthdata, dhus@HOST; all of them: --list")
    login.add_argument("--username", help="user name; what is secret has no option, for a command line can be read")
    login.add_argument("--stdin", action="store_true", help="read field=value lines from a pipe, and ask nothing")
    login.add_argument("--no-check", action="store_true", help="store without trying them at the service")
    what = login.add_mutually_exclusive_group()
    what.add_argument("--forget", action="store_true", help="remove what is stored of the account")
    what.add_argument("--list", action="store_true", help="say for which accounts there are credentials, and where")
    _command(commands, "sources", _sources, "sources of the gateway that runs, and all kinds that there are")
    admin = _command(commands, "admin", _admin, "accounts of a gateway: create, list, revoke, quota", gateway=False)
    admin.add_argument("action", choices=("create", "list", "revoke", "quota"))
    admin.add_argument("account", nargs="?", help="name of the new account; id of one that there is")
    admin.add_argument("--quota", help="free storage, as 500MB or 10GB (for a new account: default 10GB)")
    admin.add_argument("--role", choices=("user", "operator"), default="user")
    admin.add_argument("--data-dir", type=Path, help="of the gateway; by default the user's data directory")
    _add_database(admin)
    postman = _command(commands, "postman", _postman, "write the API as a collection for Postman", gateway=False)
    postman.add_argument("--out", type=Path, default=Path(), help="where the two files go (default: here)")
    postman.add_argument("--url", help="address of the gateway; by default EXTENSO_URL, or http://127.0.0.1:8065")
    demo = _command(commands, "demo", _demo, "the whole way on the sample archive", gateway=False)
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), help="where the picture and the report go (default demo)"
    )
    _command(commands, "doctor", _doctor, "say what is wrong with this installation", gateway=False)


def _add_process(made: argparse.ArgumentParser, data_dir: str) -> None:
    """What a gateway and its workers are told alike."""
    made.add_argument(
        "--source",
        action="append",
        metavar="SOURCE",
        help="sample (default), folder:PATH, a live archive (cdse, google, meeo, planetary_computer, asf, earth_search,"
        " dhus:https://HOST/dhus, sobloo, eodag), open (those without account), or live (those of today); NAME=SOURCE names it"
        " otherwise; may be repeated",
    )
    made.add_argument("--data-dir", type=Path, help=data_dir)
    _add_database(made)
    made.add_argument(
        "--storage",
        metavar="PLACE",
        help="free storage: folder:PATH, or s3://BUCKET[/PREFIX]?endpoint=https://HOST[&region=...] with the keys in"
        " EXTENSO_S3_ACCESS_KEY and EXTENSO_S3_SECRET_KEY; by default a folder in the data directory",
    )
    made.add_argument(
        "--private-buckets",
        action=argparse.BooleanOptionalAction,
        help="whether users' own buckets may lie in private networks; by default only those of operators, when listening"
        " on loopback without --database",
    )
    made.add_argument(
        "--silent",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="with --database: after so long without a sign of life others take over (default 30)",
    )


def _add_database(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--database",
        metavar="URL",
        help="PostgreSQL that several processes share: postgresql://USER@HOST/NAME. A command line can be read by"
        " others: put a password into EXTENSO_DATABASE (the whole URL) instead, or into ~/.pgpass",
    )


def _connected(options: argparse.Namespace) -> Session:
    from extenso_nb.session import connect

    return connect(options.url)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


# --- commands --------------------------------------------------------------------------------------------------------
def _search(options: argparse.Namespace) -> None:
    arguments: dict[str, Any] = {
        "q": options.q,
        "intersects": options.area,
        "datetime": options.datetime,
        "cloud_cover": options.cloud,
        "product_type": options.type,
        "relative_orbit": options.relative_orbit,
        "orderby": options.orderby,
    }
    arguments |= {name: getattr(options, name) for name in _WORDS}
    if options.bbox:
        arguments["bbox"] = _box(options.bbox)
    given = {name: value for name, value in arguments.items() if value is not None}
    with _connected(options) as eo:
        found = eo.search(options.collection, limit=None if options.all else options.limit, **given)
    if options.json:
        _print_json([product.to_wire() for product in found])
    elif options.ids:
        print(*found.ids, sep="\n", end="\n" if found.ids else "")
    else:
        for product in found:
            print(repr(product)[9:-1])
        print(f"{len(found)} of {found.total} products", file=sys.stderr)
    for note in found.notes:
        print(f"extenso: {note}", file=sys.stderr)


def _box(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--bbox {text!r} is not four numbers.", hint="Give west,south,east,north in degrees."
        ) from None


def _products(options: argparse.Namespace, stream: TextIO) -> list[str]:
    if options.products and options.products != ["-"]:
        return list(options.products)
    if stream.isatty():
        raise InputError(
            "No products were named.", hint="Name identifiers, or pipe them in: extenso search ... --ids | ..."
        )
    return stream.read().split()


def _estimate(options: argparse.Namespace) -> int:
    with _connected(options) as eo:
        estimate = eo.estimate(_products(options, sys.stdin))
    if options.json:
        _print_json(estimate.to_wire())
    else:
        print(repr(estimate)[1:-1])
        for product_id, reason in estimate.errors.items():
            print(f"  {product_id}: {reason}")
    return 0 if estimate.fits and not estimate.errors else 5


def _order(options: argparse.Namespace) -> None:
    bucket = _bucket(options.bucket, "--bucket") if options.bucket else None
    with _connected(options) as eo:
        order = eo.order(_products(options, sys.stdin), partial=options.partial, bucket=bucket)
        if options.wait:
            order = eo.wait(order)
    _show_order(order, as_json=options.json)


def _show_order(order: Order, *, as_json: bool) -> None:
    if as_json:
        _print_json(order.to_wire())
    else:
        print(repr(order)[1:-1])


def _status(options: argparse.Namespace) -> None:
    with _connected(options) as eo:
        if options.order is None:
            nouns: Sequence[Order | Delivery] = eo.orders()
        else:
            nouns = eo.deliveries(options.order)
    if options.json:
        _print_json([noun.to_wire() for noun in nouns])
    else:
        for noun in nouns:
            print(repr(noun)[1:-1])
            if options.order is not None and getattr(noun, "error", None):
                print(f"    {getattr(noun, 'error', '')}")


def _wait(options: argparse.Namespace) -> None:
    with _connected(options) as eo:
        _show_order(eo.wait(options.order, timeout=options.timeout), as_json=options.json)


def _get(options: argparse.Namespace) -> None:
    with _connected(options) as eo:
        paths = eo.download(options.order, options.to)
    if options.json:
        _print_json([str(path) for path in paths])
    else:
        print(*paths, sep="\n")


def _open(options: argparse.Namespace) -> None:
    from extenso_nb.readers import open_product

    print(open_product(options.product))


def _serve(options: argparse.Namespace) -> None:
    from extenso_nb.gateway.serve import serve

    embedded = options.idle is not None
    settings = replace(
        _settings(options),
        host=options.host,
        port=0 if embedded else options.port,
        idle_seconds=options.idle,
        api_key=os.environ.get("EXTENSO_API_KEY", "").strip()
        or None,  # as clients do: out of a file it ends with a newline
        deliver=not options.no_work,
        rate=_rate(options.rate, embedded=embedded),
    )
    _until_told(lambda: serve(settings))


def _worker(options: argparse.Namespace) -> None:
    from extenso_nb.gateway.serve import work

    settings = _settings(options)
    _until_told(lambda: work(settings))


def _settings(options: argparse.Namespace) -> Settings:
    from extenso_nb.gateway.embed import default_data_dir
    from extenso_nb.gateway.serve import Settings

    return Settings(
        data_dir=options.data_dir or default_data_dir(),
        sources=tuple(options.source or ["sample"]),
        storage=_place(options.storage) if options.storage else None,
        private_buckets=options.private_buckets,
        database=_database(options),
        secret=os.environ.get("EXTENSO_SECRET") or None,
        silent_seconds=options.silent,
    )


def _database(options: argparse.Namespace) -> str | None:
    return options.database or os.environ.get("EXTENSO_DATABASE") or None


def _until_told(run: Callable[[], None]) -> NoReturn:
    # uvicorn ends on SIGTERM and then sends it once more, which would kill the process before it has tidied up.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        run()
    # Transfers under way would hold the process until they are done. They need no end of their own: the next gateway
    # takes them up, just as after a crash.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _place(text: str) -> BucketProperties | Path:
    kind, _, folder = text.partition(":")
    if kind == "folder" and folder:
        return Path(folder).expanduser().absolute()
    return _bucket(text)


def _rate(given: float | None, *, embedded: bool) -> float | None:
    """An embedded gateway has one user, whom it protects from nobody; all others have a limit unless told otherwise."""
    if given is None:
        return None if embedded else 50.0
    if not 0 <= given <= 1e6:  # neither is NaN
        raise InputError(f"--rate {given:g} is no number of requests per second.", hint="Give 50, or 0 for no limit.")
    return given or None


def _bucket(url: str, option: str = "--storage") -> BucketProperties:
    """The bucket of an option; its keys come from the environment, for a command line can be read by others."""
    from pydantic import SecretStr

    from extenso_nb.models import BucketProperties

    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    asked = dict(parse_qsl(parts.query))
    keys = {name: os.environ.get(f"EXTENSO_S3_{name.upper()}", "") for name in ("access_key", "secret_key")}
    unknown = asked.keys() - {"endpoint", "region", "addressing", "prefix"}
    style = asked.get("addressing", "auto")
    if (
        parts.scheme != "s3"
        or not parts.hostname
        or "endpoint" not in asked
        or unknown
        or style not in {"auto", "path", "virtual"}
    ):
        raise InputError(
            f"{option} {url!r} is {'neither a folder nor' if option == '--storage' else 'not'} the address of a bucket.",
            hint=f"Write {'folder:/PATH, or ' * (option == '--storage')}s3://BUCKET/PREFIX?endpoint=https://HOST",
        )
    if not all(keys.values()):
        what = "storage" if option == "--storage" else "bucket"
        raise InputError(
            f"The keys of the {what} are not set.", hint="Set EXTENSO_S3_ACCESS_KEY and EXTENSO_S3_SECRET_KEY."
        )
    return BucketProperties.model_validate(
        {
            "endpoint": asked["endpoint"],
            "bucket": parts.netloc,
            # A prefix that would not be one in a path: `?`, `#`, `%` mean something there.
            "prefix": asked.get("prefix") or parts.path.strip("/") or None,
            "region": asked.get("region"),
            "addressing_style": style,
            **{name: SecretStr(key) for name, key in keys.items()},
        }
    )


def _stop(options: argparse.Namespace) -> None:
    from extenso_nb.gateway.embed import default_data_dir, find

    folder = options.data_dir or default_data_dir()
    found = find(folder)
    if found is None:
        print(f"No gateway holds {folder}.")
        return
    os.kill(found.pid, signal.SIGTERM)
    print(
        f"The gateway at {found.url} (process {found.pid}) was told to end; open deliveries go on when it is started again."
    )


def _login(options: argparse.Namespace) -> None:
    from extenso_nb import archives

    if options.list:
        print(*archives.listed(), sep="\n")
        return
    if not options.account:
        raise InputError("`login` needs an account.", hint="See `extenso login --list`.")
    if options.forget:
        lines = archives.forget(options.account)
    else:
        username = options.username
        if options.stdin:
            values = archives.read_lines(options.account, sys.stdin.buffer, username)
        else:
            values = archives.asked(options.account, username)
        lines = archives.log_in(options.account, values, check=not options.no_check)
    print(lines[0])
    print(*lines[1:], sep="\n", end="\n" if lines[1:] else "", file=sys.stderr)


def _sources(options: argparse.Namespace) -> None:
    from extenso_nb import archives
    from extenso_nb.session import running

    eo = running(options.url)
    health = None
    if eo is not None:
        with eo:
            health = eo.health().to_wire()
    kinds = archives.described()
    if options.json:
        _print_json({"gateway": health, "kinds": kinds})
        return
    if eo is None or health is None:
        print("No gateway runs; `extenso serve`, or any command that needs one, starts it.")
    else:
        print(f"{repr(eo)[1:-1]}, its sources:", *archives.gateway_lines(health), sep="\n")
    print("", *archives.kind_lines(kinds), sep="\n")


def _admin(options: argparse.Namespace) -> None:
    from extenso_nb import admin
    from extenso_nb.gateway.embed import default_data_dir

    place, account = _database(options) or options.data_dir or default_data_dir(), options.account
    if options.action == "list":
        print(*admin.listed(place), sep="\n")
        return
    if not account:
        hint = "Give it a name." if options.action == "create" else "See `extenso admin list`."
        raise InputError(f"`admin {options.action}` needs an account.", hint=hint)
    if options.action == "create":
        made, key = admin.create(place, account, role=options.role, quota=admin.quota_bytes(options.quota or "10GB"))
        # The one moment at which a key is shown: nobody can look it up later. It alone goes to standard output.
        print(f"account {made} for {account}; its API key, shown only now:", file=sys.stderr, flush=True)
        print(key)
    elif options.action == "quota":
        if options.quota is None:
            raise InputError("`admin quota` needs the size.", hint="Give it as --quota 50GB.")
        admin.set_quota(place, account, admin.quota_bytes(options.quota))
    else:
        admin.revoke(place, account)


def _postman(options: argparse.Namespace) -> None:
    from extenso_nb import postman

    url = options.url or os.environ.get("EXTENSO_URL") or "http://127.0.0.1:8065"
    print(*postman.write(options.out, url), sep="\n")


def _demo(options: argparse.Namespace) -> None:
    from extenso_nb import demo
    from extenso_nb.session import connect

    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{options.out} cannot be written: {error.strerror or error}.", hint="Name another folder with --out."
        ) from error
    print("starting the gateway of this machine; the first start draws the sample archive (some 20 s)", flush=True)
    # Always the sample archive: a gateway that happens to be configured is not a place for a demonstration.
    folder = os.environ.get("EXTENSO_DATA_DIR")
    with connect(sources="sample", data_dir=folder or _own_data_dir()) as eo:
        demo.run(eo, options.out)


def _own_data_dir() -> Path:
    from extenso_nb.gateway.embed import default_data_dir

    return default_data_dir()


def _doctor(options: argparse.Namespace) -> int:
    from extenso_nb import doctor

    findings = doctor.examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.good for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
