"""Cost of using a trained encoder: classifying a clip, features of a store, a data set for PyTorch.

    python -m benchmarks.use [--repeats 15] [--record]

The encoder is the papers' ST-GCN at a quarter of its width, for 50 frames, after a few steps on the demo: its
weights do not affect the time. Alternatives are measured in turn; figures are medians. Times are processor
seconds, which other load on the machine affects less than elapsed time; data loaders with workers are timed
by elapsed time. One core, float32. With --record the result replaces benchmarks/results/use.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

import skeltools
import trainer
from benchmarks import bulk, record
from skeltools.cli import run as run_skeltools
from trainer import config, data, loop
from trainer import store as stores
from trainer.config import Override
from trainer.export import export_run
from trainer.use import embedded, raw
from trainer.use.predictions import predicted
from trainer.use.sources import Asked

FRAMES, BATCH, CLIPS = 50, 128, 2048
WORKERS = 2
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--record", action="store_true", help="Replace the recorded result.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, files = make(folder)
        result = {
            "benchmark": "using an encoder",
            "repeats": options.repeats,
            "clip": [clip_to_class(made, file, options.repeats) for file in files],
            "embed": embedding(made, folder / "store.zarr", max(3, options.repeats // 5)),
            "data": loading(bulk.write_store(folder / "noise.zarr", count=CLIPS), options.repeats),
        }
    show(result)
    if options.record:
        print(f"written to {record.write('use', result).name}")


def make(folder: Path) -> tuple[Path, list[Path]]:
    """Make an export with a classifier and ONNX graphs, beside its store; raw files of one and two people."""
    raw_data, store = folder / "raw", folder / "store.zarr"
    assert run_skeltools(["demo", str(raw_data), "--subjects", "3"]) == 0
    convert = ["convert", "ntu60", "--raw", str(raw_data), "--out", str(store), "--frames", str(FRAMES)]
    assert run_skeltools(convert) == 0
    few = {
        "optimise.epochs": 1,
        "optimise.batch_size": 8,
        "method.options.queue": 64,
        "runtime.device": "cpu",
    }
    overrides = [Override(path, value) for path, value in few.items()]
    settings = config.resolve(
        stores.open_store(store), method="skeletonclr", preset="paper", overrides=overrides
    )
    loop.pretrain(settings.config, out=folder / "run")
    trainer.open(folder / "run", device="cpu").evaluate("linear", options={"linear": {"epochs": 20}})
    export_run(folder / "run", folder / "export", classifier="linear", onnx=True)
    by_people = {clip.joints.shape[1]: clip.id for clip in skeltools.open(store).clips()}
    return folder / "export", [next(raw_data.rglob(f"{by_people[count]}*.skeleton")) for count in (1, 2)]


def clip_to_class(export: Path, file: Path, repeats: int) -> dict[str, Any]:
    """Milliseconds of each part, and of the whole path from joints in memory."""
    import onnxruntime

    model = trainer.load(export)
    name = next(iter(model.conventions))
    spec, classifier = model.conventions[name], model.classifier(name)

    def read() -> Any:
        return next(raw.read_files(file, spec, settings=None)).sequence

    clip = read()
    joints = clip.joints
    prepared = model.preprocess(joints)
    features = model.encoder(torch.from_numpy(prepared))
    single = onnxruntime.SessionOptions()
    single.intra_op_num_threads = 1
    graph = str(export / f"classifier-{name}.onnx")
    session = onnxruntime.InferenceSession(graph, single, providers=["CPUExecutionProvider"])

    def by_onnx(clips: NDArray[np.float32]) -> Any:
        return session.run(None, {"clips": clips})

    by_part = in_turn(
        {
            "read": read,
            "prepare": lambda: model.preprocess(joints),
            "encode": lambda: model.encoder(torch.from_numpy(prepared)),
            "head": lambda: predicted(classifier, features, by=None, keep=0.95),
            "whole": lambda: model.predict(joints),
            "onnx_encode_and_head": lambda: by_onnx(prepared),
            "onnx_whole": lambda: by_onnx(model.preprocess(joints)),
        },
        repeats,
    )
    people, frames = joints.shape[1], joints.shape[0]
    milliseconds = {part: round(1e3 * median(seconds), 3) for part, seconds in by_part.items()}
    least = {part: round(1e3 * min(seconds), 3) for part, seconds in by_part.items()}
    return {"people": people, "frames": frames, "milliseconds": milliseconds, "least": least}


def embedding(export: Path, store: Path, repeats: int) -> dict[str, Any]:
    """Speed of ``trainer embed`` from opening the store on, and of the encoder's forward pass alone."""
    model = trainer.load(export)
    opened = stores.open_store(store)
    name = next(iter(model.conventions))
    clips = stores.load(opened, split=None, part="train", conventions=[name], frames=FRAMES, bodies=2)

    def forward() -> list[Tensor]:
        return [model.encoder(part) for part in clips.clips[name].split(256)]

    def embed() -> object:
        return embedded.embedded({"joint": model}, Asked((store,)), on_problem=print)

    seconds = in_turn({"embed": embed, "forward": forward}, repeats)
    ratios = [one / other for one, other in zip(seconds["embed"], seconds["forward"], strict=True)]
    rates = {f"{way}_clips_per_second": round(len(clips) / median(each), 1) for way, each in seconds.items()}
    return {"clips": len(clips), **rates, "times_the_forward_pass": round(median(ratios), 3)}


class Plain(Dataset[Any]):
    """A typical data set of released code: an array of clips, accessed one clip at a time."""

    def __init__(self, clips: NDArray[np.float32], labels: list[int]) -> None:
        self.clips, self.labels = clips, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[NDArray[np.float32], int]:
        return np.array(self.clips[row]), self.labels[row]


def loading(store: Path, repeats: int) -> dict[str, Any]:
    """Clips per second over an epoch of shuffled batches, for each loader."""
    dataset = trainer.SkeletonDataset(store, frames=FRAMES)
    plain = Plain(dataset.clips.numpy(), dataset.labels.tolist())
    sampler = BatchSampler(RandomSampler(dataset), BATCH, drop_last=True)
    opened, names = stores.open_store(store), [bulk.CONVENTION]
    samples = stores.load(opened, split=None, part="train", conventions=names, frames=FRAMES, bodies=2)
    workers: dict[str, Any] = {"num_workers": WORKERS, "persistent_workers": True}
    shuffled: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "drop_last": True}
    by_clock = {
        "two_workers": DataLoader(dataset, **shuffled, **workers),
        "two_workers_whole_batches": DataLoader(dataset, sampler=sampler, batch_size=None, **workers),
        "two_workers_plain": DataLoader(plain, **shuffled, **workers),
    }
    here = {
        "one_process": DataLoader(dataset, **shuffled),
        "whole_batches": DataLoader(dataset, sampler=sampler, batch_size=None),
        "plain": DataLoader(plain, **shuffled),
    }
    epochs = {name: _epoch(loader) for name, loader in here.items()}
    epochs["own_loop"] = lambda: _drained(data.batches(samples, batch_size=BATCH, seed=0, epoch=0))
    by_way = in_turn({name: _epoch(loader) for name, loader in by_clock.items()}, repeats, time.perf_counter)
    by_way |= in_turn(epochs, repeats)
    rates = {name: round(CLIPS / median(seconds)) for name, seconds in by_way.items()}
    return {
        "clips": CLIPS,
        "clips_per_second": rates,
        "two_workers_against_plain": _ratio(by_way, "two_workers", "two_workers_plain"),
        "whole_batches_with_two_workers_against_plain": _ratio(
            by_way, "two_workers_whole_batches", "two_workers_plain"
        ),
        "one_process_against_plain": _ratio(by_way, "one_process", "plain"),
        "whole_batches_against_own_loop": _ratio(by_way, "whole_batches", "own_loop"),
    }


def _epoch(loader: DataLoader[Any]) -> Work:
    return lambda: _drained(iter(loader))


def _drained(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def _ratio(seconds: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """Speed-up factor, the median over turns."""
    pairs = zip(seconds[ours], seconds[theirs], strict=True)
    return round(median(other / own for own, other in pairs), 2)


def in_turn(
    work: Mapping[str, Work], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each call, after two warm-up calls."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    with torch.no_grad():
        for turn in range(-2, repeats):
            for name, call in work.items():
                begin = clock()
                call()
                if turn >= 0:
                    seconds[name].append(clock() - begin)
    return seconds


def show(result: Mapping[str, Any]) -> None:
    for clip in result["clip"]:
        print(f"a clip of {clip['people']} people, {clip['frames']} frames; milliseconds, median and least")
        for part, value in clip["milliseconds"].items():
            print(f"  {part:24}{value:10.2f}{clip['least'][part]:10.2f}")
    for part in ("embed", "data"):
        for name, value in result[part].items():
            print(f"{part} {name}: {value}")


if __name__ == "__main__":
    main()
