"""Conversion: speed against a plain reader and writer, memory as the data grow, loading speed of the store.

    python -m benchmarks.converting [--quick]

speed    reading NTU-format demo text and writing what training needs: ours, on one core, against common
         practice (a dict for every joint, one padded array per half, .npy and .pkl), in the same run. The
         latter reads all files once for each of the two protocols; figures for one protocol are included.
         Ratios on one core are of processor time, which other load on the machine does not change
memory   peak of the summed resident memory of all processes, for growing numbers of clips in two
         conventions (links to the same demo files under other names)
loading  opening a store and loading its streams through trainer.store

Writes benchmarks/results/converting.json.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pickle
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.reading import dict_per_joint
from skeltools import streams
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.datasets import ntu
from skeltools.demo import write_demo
from skeltools.preprocess import resize_time
from skeltools.skeletons import load as load_skeleton

CONVENTIONS = ("kinectv2_25", "smplx_42")
PUBLISHED_FRAMES = 300
"""Length of the array in the published reader."""
SHARES = {
    "tokens": ("ntu_text.py", "tokenise"),
    "decimals": ("ntu_text.py", "decimals"),
    "reading": ("ntu.py", "read"),
    "prepare": ("recipes.py", "prepare"),
    "part files": ("chunks.py", "write"),
    "array files": ("writing.py", "_write"),
    "checksums": ("describing.py", "checksum"),
    "discover": ("planning.py", "discover"),
    "bringing to disk": ("~", "<built-in method posix.fsync>"),
}
"""Part of the work -> file and function with its cumulative time; reading includes tokens and decimals."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, and nothing is written to results/")
    parser.add_argument(
        "--only", choices=["speed", "memory", "loading"], help="one part; nothing is written to results/"
    )
    options = parser.parse_args()
    quick = options.quick
    os.environ["OMP_NUM_THREADS"] = "1"
    parts: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
        "speed": speed,
        "memory": memory,
        "loading": loading,
    }
    result: dict[str, Any] = {"benchmark": "converting NTU-format demo clips"}
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder, "demo")
        write_demo(demo, subjects=4 if quick else 16)
        for name in [options.only] if options.only else parts:
            result[name] = parts[name](Path(folder), quick)
            print(name, result[name], flush=True)
    if not (quick or options.only):
        print(f"written to {record.write('converting', result).name}")


# ------------------------------------------------------------------------------------------------ speed


def speed(folder: Path, quick: bool) -> dict[str, Any]:
    """Both read the same native files; ours also writes sequences at full length, and checksums."""
    raw = Path(folder, "demo", "ntu60")
    items = ntu.discover(raw).items
    size = sum(item.size for item in items)
    runs: dict[str, Callable[[], None]] = {
        "plain": lambda: plain(folder, items, ("xsub", "xview")),
        "plain, one protocol": lambda: plain(folder, items, ("xsub",)),
        "skeltools": lambda: run_ours(folder, raw, workers=0),
        "skeltools, 2 workers": lambda: run_ours(folder, raw, workers=2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 if quick else 3):
        for name, run in runs.items():
            begin, used = time.perf_counter(), time.process_time()
            run()
            processor[name].append(time.process_time() - used)
            seconds[name].append(time.perf_counter() - begin)
    medians = {name: median(values) for name, values in seconds.items()}
    used = {name: median(processor[name]) for name in ("plain", "plain, one protocol", "skeltools")}
    return {
        "files": len(items),
        "bytes": size,
        "seconds": {name: round(value, 2) for name, value in medians.items()},
        "processor_seconds": {name: round(value, 2) for name, value in used.items()},
        "files_per_processor_second": {name: round(len(items) / value) for name, value in used.items()},
        "megabytes_per_processor_second": {
            name: round(size / value / 1e6, 1) for name, value in used.items()
        },
        "times_as_fast_as_plain": round(used["plain"] / used["skeltools"], 2),
        "times_as_fast_as_plain_for_one_protocol": round(used["plain, one protocol"] / used["skeltools"], 2),
        "two_workers_times_as_fast_as_none": round(medians["skeltools"] / medians["skeltools, 2 workers"], 2),
        "share_of_time": profile(folder, raw),
    }


def run_ours(folder: Path, raw: Path, *, workers: int) -> None:
    out = folder / "speed.zarr"
    convert("ntu60", raw=raw, out=out, conventions=CONVENTIONS[:1], workers=workers, force=True)


def plain(folder: Path, items: Any, protocols: tuple[str, ...]) -> None:
    """Common practice: all clips of a half in one array of 300 frames, centred, then resized to 50."""
    for protocol in protocols:
        for half in ("train", "val"):
            chosen = [item for item in items if (_is_train(item.id, protocol)) == (half == "train")]
            clips = np.zeros((len(chosen), 3, PUBLISHED_FRAMES, 25, 2), np.float32)
            labels = []
            for row, item in enumerate(chosen):
                joints = dict_per_joint(item)[:PUBLISHED_FRAMES, :2]
                joints = joints - joints[:, :1, 1:2]
                clips[row, :, : len(joints), :, : joints.shape[1]] = joints.transpose(3, 0, 2, 1)
                labels.append(int(item.id[-3:]) - 1)
            np.save(folder / f"{protocol}_{half}.npy", clips)
            with open(folder / f"{protocol}_{half}_label.pkl", "wb") as file:
                pickle.dump(([item.id for item in chosen], labels), file)
            short = np.zeros((len(chosen), 3, 50, 25, 2), np.float32)
            for row, clip in enumerate(clips):
                count = max(1, int(clip.any(axis=(0, 2, 3)).sum()))
                short[row] = np.moveaxis(resize_time(np.moveaxis(clip[:, :count], 1, 0), 50), 0, 1)
            np.save(folder / f"{protocol}_{half}_position.npy", short)


def _is_train(id: str, protocol: str) -> bool:
    return int(id[9:12]) % 2 == 1 if protocol == "xsub" else id[5:8] != "001"


def profile(folder: Path, raw: Path) -> dict[str, float]:
    """Percentage of time in each part of one conversion in this process."""
    profiler = cProfile.Profile()
    profiler.runcall(run_ours, folder, raw, workers=0)
    stats: Any = pstats.Stats(profiler)
    total = max(row[3] for row in stats.stats.values())
    shares = {}
    for name, (file, function) in SHARES.items():
        spent = sum(
            row[3] for key, row in stats.stats.items() if Path(key[0]).name == file and key[2] == function
        )
        shares[name] = round(100 * spent / total, 1)
    return shares


# ----------------------------------------------------------------------------------------------- memory


def memory(folder: Path, quick: bool) -> dict[str, Any]:
    """Peak resident memory in megabytes, of the process and its children, by number of clips."""
    sizes = (100, 200) if quick else (1000, 5000, 20000)
    workers = 2
    rows = []
    for clips in sizes:
        raw = folder / f"raw{clips}" / "ntu60"
        replicate(folder / "demo" / "ntu60", raw, clips)
        out = folder / f"memory{clips}.zarr"
        chosen = [part for name in CONVENTIONS for part in ("--convention", name)]
        arguments = ["convert", "ntu60", "--raw", raw, "--out", out, "--workers", workers, *chosen]
        begin = time.perf_counter()
        peak = watch([sys.executable, "-m", "skeltools.cli", *map(str, arguments)])
        seconds = time.perf_counter() - begin
        rows.append({"clips": clips, "peak_megabytes": round(peak / 1e6), "seconds": round(seconds, 1)})
        print(rows[-1], flush=True)
        subprocess.run(["rm", "-r", str(out), str(raw)], check=True)
    return {"workers": workers, "conventions": len(CONVENTIONS), "runs": rows}


def replicate(demo: Path, raw: Path, clips: int) -> None:
    """Make links to the demo's files under new NTU names, with increasing setup and repetition."""
    natives = sorted(demo.rglob("*.skeleton"))
    poses = {path.stem: path for path in demo.glob(f"metrabs/{CONVENTIONS[1]}/*.npz")}
    (raw / "skeletons").mkdir(parents=True)
    (raw / "metrabs" / CONVENTIONS[1]).mkdir(parents=True)
    for number in range(clips):
        native = natives[number % len(natives)]
        copy, action = number // len(natives), native.stem[16:]
        id = f"S{1 + copy % 17:03}{native.stem[4:12]}R{1 + copy // 17:03}{action}"
        os.symlink(native, raw / "skeletons" / f"{id}.skeleton")
        os.symlink(poses[native.stem], raw / "metrabs" / CONVENTIONS[1] / f"{id}.npz")


def watch(command: list[str]) -> int:
    """Peak summed resident memory of a process and its children, in bytes; sampled 20 times a second."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(resident(number) for number in family(process.pid)))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"conversion failed: {process.returncode}")
    return peak


def family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        children = []
    return [process, *(number for child in children for number in family(int(child)))]


def resident(process: int) -> int:
    """Resident bytes of a process; libraries, which processes share, count for each."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


# ---------------------------------------------------------------------------------------------- loading


def loading(folder: Path, quick: bool) -> dict[str, Any]:
    """Open a store, and load three streams in two conventions into memory through trainer.store.

    Only the training half is kept, but all samples are read and decoded, as both halves share the files.
    """
    from trainer import store as reader

    raw, out = folder / "loading" / "ntu60", folder / "loading.zarr"
    replicate(folder / "demo" / "ntu60", raw, 200 if quick else 2000)
    convert("ntu60", raw=raw, out=out, conventions=CONVENTIONS, workers=2)
    add_streams(out, kinds=tuple(name for name in ("bone", "motion") if hasattr(streams, name)))
    opening, rates, size = [], [], 0
    for _ in range(3):
        begin = time.perf_counter()
        opened = reader.open_store(out)
        opening.append(time.perf_counter() - begin)
        begin, size = time.perf_counter(), 0
        for stream in ("joint", "bone", "motion"):
            loaded = reader.load(
                opened, split="xsub", part="train", conventions=CONVENTIONS, frames=50, stream=stream
            )
            size += sum(clips.nbytes for clips in loaded.clips.values())
        rates.append(size / (time.perf_counter() - begin))
    return {
        "samples": opened.manifest.samples,
        "joints": [load_skeleton(name).num_joints for name in CONVENTIONS],
        "loaded_megabytes": round(size / 1e6),
        "open_milliseconds": round(1e3 * median(opening), 1),
        "megabytes_kept_per_second": round(median(rates) / 1e6),
        "megabytes_read_per_second": round(median(rates) * opened.manifest.samples / len(loaded) / 1e6),
    }


if __name__ == "__main__":
    main()
