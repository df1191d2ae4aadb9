"""Read NTU text: our reader against one that builds a dict per joint, on one core, in the same run.

    python -m benchmarks.reading [--files 60] [--repeats 9] [--record]

Writes synthetic clips of NTU's length and number format to a temporary folder, reads all of them with each
reader in turn, and prints the median over the repeats. Both must yield the same array of joints. With
--record the result replaces benchmarks/results/reading.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from skeltools.datasets import ntu
from skeltools.raw_items import RawItem

NAMES = (
    "x", "y", "z", "depthX", "depthY", "colorX", "colorY",
    "orientationW", "orientationX", "orientationY", "orientationZ", "trackingState",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--record", action="store_true", help="Replace the recorded result.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), options.files)
        items = ntu.discover(Path(folder)).items
        for item in items:
            np.testing.assert_array_equal(ours(item), dict_per_joint(item))
        seconds = measure({"dict per joint": dict_per_joint, "skeltools": ours}, items, options.repeats)
    size = sum(item.size for item in items)
    result = report(seconds, len(items), size, options.repeats)
    if options.record:
        print(f"written to {record.write('reading', result).name}")


def ours(item: RawItem) -> NDArray[np.float32]:
    return ntu.read(item).joints


def dict_per_joint(item: RawItem) -> NDArray[np.float32]:
    """The common way: read line by line, make a dict for every body and every joint, then an array."""
    frames = []
    with open(item.path) as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                fields = file.readline().split()
                body: dict[str, Any] = {"bodyID": int(fields[0]), "joints": []}
                for _ in range(int(file.readline())):
                    values = map(float, file.readline().split())
                    body["joints"].append(dict(zip(NAMES, values, strict=True)))
                bodies.append(body)
            frames.append(bodies)
    slots: dict[int, int] = {}
    for bodies in frames:
        for body in bodies:
            slots.setdefault(body["bodyID"], len(slots))
    joints = np.zeros((len(frames), len(slots), 25, 3), np.float32)
    for frame, bodies in enumerate(frames):
        for body in bodies:
            joints[frame, slots[body["bodyID"]]] = [[j["x"], j["y"], j["z"]] for j in body["joints"]]
    return joints


def measure(
    readers: dict[str, Callable[[RawItem], Any]], items: tuple[RawItem, ...], repeats: int
) -> dict[str, list[float]]:
    """Seconds for all files, per repeat; the readers take turns, so that other load affects both."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name, read in readers.items():
            begin = time.perf_counter()
            for item in items:
                read(item)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def write_clips(folder: Path, count: int) -> None:
    """Write clips of 40 to 150 frames, every fifth with two people, with seven digits as in NTU's files."""
    rng = np.random.default_rng(0)
    for number in range(count):
        frames, bodies = int(rng.integers(40, 150)), 1 + (number % 5 == 4)
        joints = rng.normal([0, 0, 3], 0.4, (frames, bodies, 25, 3))
        others = rng.uniform(-1, 1, (frames, bodies, 25, 8)) * [200, 200, 900, 500, 1, 1, 1, 1]
        lines = [f"{frames}"]
        for frame in range(frames):
            lines.append(f"{bodies}")
            for body in range(bodies):
                lines += [f"{72057594037931101 + body} 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
                for row in np.concatenate([joints[frame, body], others[frame, body]], axis=1).tolist():
                    lines.append(" ".join(f"{value:.7g}" for value in (*row, 2)))
        (folder / f"S001C001P{number + 1:03}R001A001.skeleton").write_text("\r\n".join(lines) + "\r\n")


def report(seconds: dict[str, list[float]], files: int, size: int, repeats: int) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["dict per joint"] / medians["skeltools"]
    print(f"{files} files, {size / 1e6:.1f} MB, median of {repeats}, one core")
    print(f"{'reader':16}{'ms a file':>12}{'files/s':>10}{'MB/s':>8}")
    for name, median in medians.items():
        print(f"{name:16}{median / files * 1e3:12.2f}{files / median:10.0f}{size / median / 1e6:8.0f}")
    print(f"skeltools is {ratio:.1f} times as fast")
    return {
        "benchmark": "reading NTU text",
        "files": files,
        "bytes": size,
        "repeats": repeats,
        "seconds": {name: round(median, 5) for name, median in medians.items()},
        "ratio": round(ratio, 2),
    }


if __name__ == "__main__":
    main()
