"""Check on many tiny samples that every step is linear in time and bounded in memory.

    python -m benchmarks.scale [--samples 200000] [--work FOLDER] [--quick]

Clips of 4 frames and 15 joints, one file each, go through conversion, inspect, validate, streams and the
first batch of a training, each in a separate process, for an eighth, half and all of the samples. It reports
processor seconds (which other load on the machine hardly affects), elapsed seconds and peak resident memory.
Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record

FRAMES, CONVENTION, JOINTS, CLASSES = 4, "openpose_mpi_15", 15, 10
FOLDER = 1000
"""Number of files per folder."""

FIRST_BATCH = f"""
import sys, trainer
opened = trainer.open_store(sys.argv[1])
clips = trainer.load_clips(
    opened, split="main", part="train", conventions=["{CONVENTION}"], frames={FRAMES}
)
next(trainer.batches(clips, batch_size=128))
"""
"""The work before the first step of a training: loading half of the samples, and making a batch."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--work", type=Path, help="folder for the raw files and stores")
    parser.add_argument("--quick", action="store_true", help="2,000 samples, not written")
    options = parser.parse_args()
    most = 2000 if options.quick else options.samples
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = []
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for samples in (most // 8, most // 2, most):
            rows.append({"samples": samples, **measure(Path(folder, str(samples)), samples)})
            print(rows[-1], flush=True)
            result = {"benchmark": f"clips of {FRAMES} frames, {JOINTS} joints, a file each", "runs": rows}
            if not options.quick:  # written after each row, to keep it if a later one fails
                print(f"written to {record.write('scale', result).name}", flush=True)


def measure(folder: Path, samples: int) -> dict[str, Any]:
    """Step -> seconds and memory."""
    write_raw(folder / "raw", samples)
    store = str(folder / "s.zarr")
    convert = ["convert", "custom", "--raw", str(folder / "raw"), "--out", store, "--frames", str(FRAMES)]
    commands = {
        "convert": ["-m", "skeltools", *convert],
        "inspect": ["-m", "skeltools", "inspect", store],
        "validate": ["-m", "skeltools", "validate", store],
        "streams": ["-m", "skeltools", "streams", store, "--bone", "--motion"],
        "first batch": ["-c", FIRST_BATCH, store],
    }
    return {name: run([sys.executable, *command]) for name, command in commands.items()}


def write_raw(folder: Path, samples: int) -> None:
    """Write clips of a standing person with a little noise, with ten classes, and their dataset.yaml."""
    draw = np.random.default_rng(0)
    pose = draw.normal(size=(1, JOINTS, 3)) * 0.3 + [0, 1, 3]
    lines = ["file,label,subject"]
    for number in range(samples):
        name = f"{number // FOLDER:03}/{number:06}.npy"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, (pose + 0.01 * draw.normal(size=(FRAMES, JOINTS, 3))).astype(np.float32))
        lines.append(f"{name},{number % CLASSES},{1 + number % 40}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "dataset.yaml").write_text(
        f"name: tiny\nconvention: {CONVENTION}\nunits: m\nlayout: T V C\nfiles: '*.npy'\nlabels: labels.csv\n"
        f"splits:\n  main: {{train: {{subject: {list(range(1, 21))}}}}}\n"
    )


def run(command: list[str]) -> dict[str, float]:
    """Seconds and memory of a process, which must succeed."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return {
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "seconds": round(time.perf_counter() - begin, 2),
        "peak_megabytes": round(used.ru_maxrss * 1024 / 1e6),
    }


if __name__ == "__main__":
    main()
