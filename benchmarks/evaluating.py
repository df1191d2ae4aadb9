"""Evaluation at the size of NTU RGB+D 60: time and memory of kNN and linear probe, against re-encoding.

    python -m benchmarks.evaluating [--train 40000] [--test 16000]

Features are synthetic: 256 numbers per clip, in clouds around the centres of 60 classes. Each part runs in a
separate process, so that its peak memory is its own. Re-encoding in every epoch, as released code does, is
measured on a sample of clips (ST-GCN of the papers, T = 50, 25 joints, 2 bodies) and projected to all clips
and epochs; it is not run. ``processor_seconds`` is the sum over all threads: what ``seconds`` would be on one
idle core. The result is written to benchmarks/results/evaluating.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import torch

from benchmarks import record
from trainer import seeds
from trainer.evaluate import knn, linear
from trainer.evaluate.features import Features
from trainer.metrics import accuracy

WIDTH, CLASSES = 256, 60
NAMES = tuple(f"class {number}" for number in range(CLASSES))
CLIP = (3, 50, 25, 2)
_SPREAD = 6.0
"""Width of the clouds, chosen so that neither probe is perfect."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--test", type=int, default=16_000)
    parser.add_argument("--clips", type=int, default=1024, help="that are encoded to measure the encoder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        torch.set_num_threads(options.threads)
        print(json.dumps(PARTS[options.part](options) | {"peak_mb": peak_mb()}))
        return
    parts = {part: run(part) for part in PARTS}
    result = {
        "benchmark": f"{options.train} x {options.test} synthetic features, {options.threads} threads",
        **parts,
        "re_encoding": projection(parts["encoder"], parts["linear"], options),
    }
    print(json.dumps(result, indent=2))
    print(f"written to {record.write('evaluating', result).name}")


def run(part: str) -> dict[str, Any]:
    """Run one part in a separate process with the same options."""
    command = [sys.executable, "-m", "benchmarks.evaluating", *sys.argv[1:], "--part", part]
    # Spinning threads would count as processor time and starve other processes.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def halves(options: argparse.Namespace) -> tuple[Features, Features]:
    centres = torch.randn(CLASSES, WIDTH, generator=seeds.generator("cpu", 0, "centres"))

    def half(name: str, rows: int) -> Features:
        draw = seeds.generator("cpu", 0, name)
        labels = torch.randint(CLASSES, (rows,), generator=draw)
        noise = torch.randn(rows, WIDTH, generator=draw)
        return Features((centres[labels] + _SPREAD * noise) / WIDTH**0.5, labels)

    return half("train", options.train), half("test", options.test)


def nearest(options: argparse.Namespace) -> dict[str, Any]:
    train, test = halves(options)
    seconds, processor = time.perf_counter(), time.process_time()
    several = knn.evaluate(train, test, classes=NAMES, seed=0, options=knn.Options())
    return took(seconds, processor) | {
        scores.protocol: round(100 * accuracy(scores.values, test.labels), 2) for scores in several
    }


def probe(options: argparse.Namespace) -> dict[str, Any]:
    train, test = halves(options)
    chosen = linear.Options()
    seconds, processor = time.perf_counter(), time.process_time()
    (scores,) = linear.evaluate(train, test, classes=NAMES, seed=0, options=chosen)
    return took(seconds, processor) | {
        "epochs": chosen.epochs,
        "top1": round(100 * accuracy(scores.values, test.labels), 2),
    }


@torch.no_grad()
def encoder(options: argparse.Namespace) -> dict[str, Any]:
    """Clips per second of the forward pass in evaluation mode, as for computing features."""
    from skeltools import graph, skeletons
    from trainer.encoders.stgcn import STGCN, STGCNOptions
    from trainer.skeleton import Skeleton

    spec = skeletons.load("kinectv2_25")
    partitions = (graph.spatial_partition(spec), graph.degenerate_partition(spec))
    skeleton = Skeleton(spec, *map(torch.from_numpy, partitions))
    model = STGCN({spec.name: skeleton}, options=STGCNOptions()).eval()
    clips = torch.randn(256, *CLIP, generator=seeds.generator("cpu", 0, "clips"))
    model(clips[:32], spec.name)
    rounds = max(1, options.clips // len(clips))
    seconds, processor = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        model(clips, spec.name)
    spent, done = took(seconds, processor), rounds * len(clips)
    return spent | {"clips": done, "clips_per_second": round(done / spent["seconds"], 1)}


def projection(
    encoder: dict[str, Any], linear: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Projected time of encoding both halves in every epoch, against encoding them once plus the probe."""
    once = (options.train + options.test) / encoder["clips_per_second"]
    every, probing = once * linear["epochs"], linear["seconds"]
    return {
        "kind": f"projection from {encoder['clips']} clips",
        "encoding_once_seconds": round(once, 1),
        "encoding_every_epoch_seconds": round(every, 1),
        "times_as_fast_after_the_features_are_there": round(every / probing, 1),
        "times_as_fast_with_encoding_once": round((every + probing) / (once + probing), 1),
    }


def took(seconds: float, processor: float) -> dict[str, float]:
    return {
        "seconds": round(time.perf_counter() - seconds, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def peak_mb() -> int:
    """Largest resident memory of this process so far, PyTorch itself included (about 300 MB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


PARTS = {"knn": nearest, "linear": probe, "encoder": encoder}


if __name__ == "__main__":
    main()
