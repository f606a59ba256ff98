"""Bytes a second from an HTTP source into SeaweedFS: a whole delivery against `curl` piped into a multipart upload.

With `--without-checksums` the source gives none, and the files in the zip are compared with the product's manifest instead.
"""

from __future__ import annotations

import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import parts
import seaweed
from scripted import Gateway, product_id

from extenso_nb.storage import BucketStorage

MEGABYTES = 500
ROUNDS = 5
UPLOAD = """
import datetime, sys, obstore
from obstore.store import S3Store
url, key = sys.argv[1:]
store = S3Store("deliveries", endpoint=url, access_key_id={access!r}, secret_access_key={secret!r}, region="us-east-1",
                virtual_hosted_style_request=False, client_options={{"allow_http": True}})
blocks = iter(lambda: sys.stdin.buffer.read(8 * 2**20), b"")
obstore.put(store, key, blocks, use_multipart=True, chunk_size=8 * 2**20, max_concurrency=4)
"""


def delivery(gateway: Gateway, number: int) -> float:
    """Seconds from the beginning of a transfer to `delivered`, verified and with its metadata."""
    order, _ = gateway.service.create_order(gateway.account, [product_id(number)])
    assert gateway.wait(order.id, 300) == "delivered", gateway.store.deliveries(gateway.account, order_id=order.id)
    trail = gateway.store.work(f"{order.id}-1")[1].trail
    begun = next(entry.time for entry in trail if entry.event == "transfer begins")
    gateway.service.delete(gateway.account, order.id)
    return (trail[-1].time - begun).total_seconds()


def piped(source: str, s3: str, command: list[str], number: int) -> float:
    """Seconds of `curl URL | COMMAND`."""
    begun = time.monotonic()
    curl = subprocess.Popen(["curl", "-s", f"{source}/{product_id(number)}"], stdout=subprocess.PIPE)
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": seaweed.ACCESS, "AWS_SECRET_ACCESS_KEY": seaweed.SECRET}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    subprocess.run(command, stdin=curl.stdout, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert curl.wait() == 0
    return time.monotonic() - begun


def main() -> None:
    """Print medians and ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = parts.big_zip(folder / "big.zip", MEGABYTES)
        size = file.stat().st_size / 1e6
        (folder / "weed").mkdir()
        with (
            parts.source_server(file, *sys.argv[1:]) as url,
            seaweed.serving(folder / "weed", volume_megabytes=2000) as s3,
        ):
            storage = BucketStorage(seaweed.bucket_of(s3, "deliveries", prefix="gateway"))
            script = UPLOAD.format(access=seaweed.ACCESS, secret=seaweed.SECRET)
            ways = {"curl | multipart": [sys.executable, "-c", script, s3, "piped"]}
            if shutil.which("aws"):
                ways["curl | aws s3 cp"] = ["aws", "--endpoint-url", s3, "s3", "cp", "-", "s3://deliveries/piped"]
            gateway = Gateway(folder, parts.source(url), storage=storage)
            gateway.store.set_quota(gateway.account, 10**12)
            seconds: dict[str, list[float]] = {way: [] for way in ["delivery", *ways]}
            for number in range(ROUNDS):
                seconds["delivery"].append(delivery(gateway, number))
                for way, command in ways.items():
                    seconds[way].append(piped(url, s3, command, number))
            gateway.stop()
    for way, times in seconds.items():
        ratios = [other / own for own, other in zip(seconds["delivery"], times, strict=True)]
        print(
            f"{way:<18} {size / statistics.median(times):6.0f} MB/s;"
            f" delivery / this: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=True)
    main()
    os._exit(0)
