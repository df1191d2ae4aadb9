"""The viewer on 50,000 samples: response times of the server and of the page.

    python -m benchmarks.viewer --work /tmp/viewer

The store is synthetic and stays in the work folder. Times are medians of whole requests over loopback, from
one client that keeps its connection open, as browsers do. The page is measured if Chromium is available.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record, viewer_page
from schemas import FORMAT, ConventionInfo, Finding, RecipeRecord, StoreManifest
from skeltools import skeletons, store
from skeltools.conversion import finish, from_stores
from skeltools.conversion.progress import Progress
from skeltools.pictures.browsed import Browsed
from skeltools.pictures.server import Server
from skeltools.sequence import SkeletonSequence

CONVENTION = "kinectv2_25"
CLASSES = 60
FRAMES = 40
DIFFERENT = 200
"""Number of distinct clips that the store repeats: only the total number matters."""


def write_store(path: Path, samples: int) -> None:
    """Write a store without streams; every fifth clip has two people, every tenth a finding."""
    spec = skeletons.load(CONVENTION)
    root = store.create(path)
    ids = [f"S{n // 4000 + 1:03}C{n % 3 + 1:03}P{n % 40 + 1:03}R001A{n:06}" for n in range(samples)]
    rows = from_stores.write_sequences(
        root,
        CONVENTION,
        _clips(ids),
        joints=spec.num_joints,
        bodies=2,
        progress=Progress(0, None),
    )
    number = np.arange(samples)
    columns = {"label": number % CLASSES, "subject": number % 40 + 1, "camera": number % 3 + 1}
    columns |= {"setup": number // 4000 + 1, "repetition": np.ones(samples)}
    half = (1 + (number % 3 == 0)).astype(np.uint8)
    short = {name: values.astype(np.int16) for name, values in columns.items()}
    from_stores.write_columns(root, ids, short, {"xview": half}, [rows])
    store.write_graphs(root, {CONVENTION: spec})
    problem = {"problem": "joints not seen", "action": "marked in unseen"}
    findings = [Finding(file=f"{id}.skeleton", **problem) for id in ids[::10]]
    store.write_findings(root, findings)
    manifest = StoreManifest(
        format=FORMAT,
        dataset="ntu60",
        synthetic=True,
        tool="benchmark",
        samples=samples,
        classes=tuple(f"class {label}" for label in range(CLASSES)),
        protocols={"xview": finish.split_info("synthetic", half)},
        conventions={CONVENTION: ConventionInfo(reader="synthetic", axes="none")},
        recipe=RecipeRecord(name="raw", steps=()),
        arrays=store.describe_all(root),
        findings=finish.counted(findings),
    )
    store.write_manifest(path, manifest)


def _clips(ids: list[str]) -> Iterator[SkeletonSequence]:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(DIFFERENT, FRAMES, 2, 25, 3), scale=0.01)
    moved = (rng.normal(size=(DIFFERENT, 1, 2, 25, 3)) + steps.cumsum(axis=1)).astype(np.float32)
    for number, id in enumerate(ids):
        joints = moved[number % DIFFERENT, :, : 1 + (number % 5 == 0)]
        yield SkeletonSequence.from_joints(id, joints, CONVENTION)


@contextmanager
def served(path: Path) -> Iterator[Server]:
    """The store's server, as ``skeltools view`` runs it."""
    with Server(Browsed(path).answers()) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def milliseconds(ask: Callable[[], object], times: int = 1) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        ask()
        spent.append(1000 * (time.perf_counter() - begin))
    return round(median(spent), 1)


def measure(path: Path) -> dict[str, Any]:
    """Milliseconds of each request; ``first`` is the first one after the server starts."""
    with served(path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)

        def ask(question: str) -> bytes:
            connection.request("GET", f"/{server.token}/api/{question}", headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return body

        figures: dict[str, Any] = {"store_first": milliseconds(lambda: ask("store"))}
        figures["rows_first"] = milliseconds(lambda: ask("rows"))
        figures["rows_again"] = milliseconds(lambda: ask("rows"), 5)
        body = ask("rows")
        ids = json.loads(gzip.decompress(body))["id"]
        figures["rows_bytes"] = len(body)
        chosen = np.random.default_rng(1).permutation(len(ids))
        places = iter(chosen.tolist())
        figures["sample_first"] = milliseconds(lambda: ask(f"sample?id={ids[next(places)]}"))
        figures["sample"] = milliseconds(lambda: ask(f"sample?id={ids[next(places)]}"), 50)
        begin = iter(chosen[:20].tolist())
        figures["poses_50_in_a_row"] = milliseconds(
            lambda: ask(f"poses?from={min(next(begin), len(ids) - 50)}&count=50"), 20
        )
        figures["poses_50_anywhere"] = milliseconds(
            lambda: ask("poses?rows=" + ",".join(str(next(places)) for _ in range(50))), 10
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the store")
    parser.add_argument("--samples", type=int, default=50_000)
    options = parser.parse_args()
    path = options.work / f"{options.samples}.zarr"
    if not path.exists():
        options.work.mkdir(parents=True, exist_ok=True)
        write_store(path, options.samples)
    result = {"samples": options.samples, "milliseconds": measure(path)}
    if viewer_page.CHROMIUM:
        with served(path) as server:
            result["page"] = viewer_page.measure(server.url)
    print(json.dumps(result, indent=2))
    print(record.write("viewer", result))


if __name__ == "__main__":
    main()
