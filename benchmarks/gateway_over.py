"""A gateway process over the fast source: `python gateway_over.py FOLDER SOURCE_URL S3_URL TRANSFERS NUMBER` orders and waits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import parts
import seaweed
from scripted import Gateway, product_id

from extenso_nb.gateway.serve import give_memory_back
from extenso_nb.storage import BucketStorage


def main() -> None:
    """Order `NUMBER` products, say so, and wait until all are delivered."""
    give_memory_back()  # as `extenso serve` does
    folder, url, s3, transfers, number = sys.argv[1:]
    storage = BucketStorage(seaweed.bucket_of(s3, "deliveries", prefix="memory"))
    gateway = Gateway(Path(folder), parts.source(url, transfers=int(transfers)), storage=storage)
    gateway.store.set_quota(gateway.account, 10**12)
    print("begin", flush=True)
    order, _ = gateway.service.create_order(gateway.account, [product_id(one) for one in range(int(number))])
    assert gateway.wait(order.id, 900) == "delivered"
    print("end", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
