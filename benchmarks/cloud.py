"""Read a store over the S3 protocol on loopback, against reading it from the local disk in the same run.

    python -m benchmarks.cloud [--count 8192] [--repeats 5] [--record]

Writes a store of NTU's shapes to a temporary folder and to an S3 server (moto, in a separate process), and
loads all rows of a split in turn: from the folder, from the address with an empty cache, and again with a
warm cache. Figures are medians over the repeats; all must load the same clips. Server and reader share the
machine's cores. With --record the result replaces benchmarks/results/cloud.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks import bulk, record
from schemas.places import Place
from skeltools.conversion import upload
from trainer import store as stores

ADDRESS = "s3://bucket/ntu.zarr"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=8192, help="Rows of the store.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="Replace the recorded result.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, serving():
        os.environ["SKELTOOLS_CACHE"] = f"{work}/cache"
        folder = bulk.write_store(Path(work) / "ntu.zarr", count=options.count)
        upload.send(folder, Place(ADDRESS), force=True)
        result = measure(folder, Path(work) / "cache", options.repeats)
    result |= {"rows": options.count, "repeats": options.repeats}
    print(result)
    if options.record:
        print(f"written to {record.write('cloud', result).name}")


def measure(folder: Path, cache: Path, repeats: int) -> dict[str, Any]:
    """Seconds for each source, and the speed of both network reads relative to the disk."""
    expected, _ = load(folder)
    seconds: dict[str, list[float]] = {"disk": [], "address": [], "address, kept": []}
    for _ in range(repeats):
        shutil.rmtree(cache, ignore_errors=True)
        for way, place in zip(seconds, (folder, ADDRESS, ADDRESS), strict=True):
            values, taken = load(place)
            assert torch.equal(values, expected)
            seconds[way].append(taken)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    stored = sum(file.stat().st_size for file in (folder / "streams").rglob("*") if file.is_file())
    return {
        "benchmark": "reading a store over the S3 protocol on loopback",
        "bytes": {"stored": stored, "clips read": expected.numel() * expected.element_size()},
        "seconds": {way: round(value, 4) for way, value in medians.items()},
        "share_of_disk": {way: round(medians["disk"] / value, 3) for way, value in medians.items()},
    }


def load(place: Path | str) -> tuple[torch.Tensor, float]:
    """The clips of the training half, and the seconds for opening and reading."""
    start = time.perf_counter()
    opened = stores.open_store(place)
    split = next(iter(opened.manifest.protocols))
    samples = stores.load(opened, split=split, part="train", conventions=[bulk.CONVENTION], frames=50)
    return samples.clips[bulk.CONVENTION], time.perf_counter() - start


@contextmanager
def serving() -> Iterator[None]:
    """Run a server in a separate process, with the environment pointing to it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        os.environ |= ours.recv()
        yield
    finally:
        process.terminate()
        process.join()


def _serve(out: Connection) -> None:
    from tests.object_server import s3_server

    with s3_server():
        out.send({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
