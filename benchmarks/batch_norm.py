"""BatchNorm in training on the CPU in channels last: errors and time of ours against PyTorch's.

    GOMP_SPINCOUNT=10000 python -m benchmarks.batch_norm [--threads 2] [--repeats 5] [--store nw-ucla.zarr]

Errors are relative to float64: of single layers in the shapes of ST-GCN's blocks, with half of the bodies
absent, and, with ``--store`` (a store of NW-UCLA), of the gradients of SkeletonCLR's first steps.
``contiguous`` is PyTorch's kernel for that layout. Times are of an encoder pass and of steps, in turn:
elapsed time, and processor time, which other load on the machine affects less. The result is written to
benchmarks/results/batch_norm.json.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import bulk, record, speed_models
from benchmarks.timing import Setting
from trainer import config, data, encoders, losses
from trainer import store as stores
from trainer.encoders import stgcn
from trainer.kernels import conv_norm, malloc, normalise
from trainer.loop import session

Layer = Callable[[Tensor, nn.Module], Tensor]

BODIES = 256
SHAPES = ((16, 50), (32, 25), (64, 13), (256, 13), (16, 24), (32, 12), (64, 6), (256, 6))
"""(channels, frames), for clips of 50 and of 24 frames."""
JOINTS = 25
MEANS = (0.0, 10.0)
"""Means of the input before a ReLU, in standard deviations."""


def pytorch(x: Tensor, norm: nn.Module) -> Tensor:
    out: Tensor = norm(x)
    return out


def contiguous(x: Tensor, norm: nn.Module) -> Tensor:
    out: Tensor = norm(x.contiguous())
    return out.contiguous(memory_format=torch.channels_last)


LAYERS: dict[str, Layer] = {"ours": normalise.normalise, "pytorch": pytorch, "contiguous": contiguous}


@contextmanager
def encoders_with(layer: Layer) -> Iterator[None]:
    """A context in which encoders normalise with ``layer``."""
    users: tuple[Any, ...] = (conv_norm, stgcn)
    for user in users:
        user.normalise = layer
    try:
        yield
    finally:
        for user in users:
            user.normalise = normalise.normalise


def layer_errors(channels: int, frames: int, mean: float) -> dict[str, Any]:
    """The largest errors of every layer: values, gradient of the input, running mean and variance."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.randn(BODIES, channels, frames, JOINTS, generator=draw) + mean).relu_()
    x[BODIES // 2 :] = x[BODIES // 2, :, :1, :1].clone()
    slope = torch.randn(x.shape, generator=draw) + x.cos()
    x, slope = (each.contiguous(memory_format=torch.channels_last) for each in (x, slope))
    right = _passed(contiguous, x.double(), slope.double())
    spread = right[3].sqrt()
    scales = (right[0].abs().clamp_min(1), right[1].abs().max(), spread, right[3])
    names = ("values", "gradient", "running_mean", "running_variance")
    row: dict[str, Any] = {"channels": channels, "frames": frames, "mean": mean}
    for name, layer in LAYERS.items():
        triples = zip(_passed(layer, x, slope), right, scales, strict=True)
        errors = [float(((own - want).abs() / scale).max()) for own, want, scale in triples]
        row[name] = {key: _digits(error) for key, error in zip(names, errors, strict=True)}
    return row


def _passed(layer: Layer, x: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
    norm = nn.BatchNorm2d(x.shape[1], momentum=1.0, dtype=x.dtype)
    x = x.detach().requires_grad_(True)
    out = layer(x, norm)
    out.backward(slope)
    assert x.grad is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return out.detach(), x.grad, norm.running_mean, norm.running_var


def gradient_errors(store: Path) -> dict[str, list[float]]:
    """Relative distance to float64 gradients in first steps of skeletonclr/nw-ucla on real clips.

    Views, keys and dropout masks are the same; three batches.
    """
    settings = config.resolve(stores.open_store(store), method="skeletonclr", preset="nw-ucla").config
    (opened,), method, device = session.build(settings)
    assert device.type == "cpu"
    samples = session.load_training_half(opened, settings)
    (convention,) = settings.data.conventions
    distances: dict[str, list[float]] = {name: [] for name in LAYERS}
    batches = data.batches(samples, batch_size=settings.optimise.batch_size, seed=0, epoch=0)
    for batch in itertools.islice(batches, 3):
        views = [method.views.normal(batch, convention) for _ in range(2)]
        start = copy.deepcopy(method).train()
        right = _gradients(copy.deepcopy(start).double(), [view.double() for view in views], convention)
        for name, layer in LAYERS.items():
            with encoders_with(layer):
                own = _gradients(copy.deepcopy(start), views, convention)
            distances[name].append(_digits(float((own - right).norm() / right.norm())))
    return distances


def _gradients(method: Any, views: list[Tensor], convention: str) -> Tensor:
    """Gradients of SkeletonCLR's loss for all weights of the query network, concatenated, in float64."""
    torch.manual_seed(0)
    with torch.no_grad():
        keys = _embedded(method.moco.key, views[1], convention)
    queries = _embedded(method.moco.query, views[0], convention)
    losses.nce(method.moco.scores(queries, keys)).backward()
    parameters = method.moco.query.parameters()
    return torch.cat([each.grad.flatten().double() for each in parameters if each.grad is not None])


def _embedded(network: Any, view: Tensor, convention: str) -> Tensor:
    """The network's forward pass, entirely in the number format of its weights."""
    features = network.encoder.feature_map(view, convention).mean((2, 3))
    return F.normalize(network.projector(features.view(len(view), -1, features.shape[1]).mean(1)), dim=1)


def times(setting: Setting, chosen: Sequence[str]) -> dict[str, Any]:
    """Times of an encoder pass, forward and backward, and of steps: ours and PyTorch's in turn."""
    skeletons = {bulk.CONVENTION: bulk.skeleton(bulk.CONVENTION)}
    encoder = encoders.build(speed_models.config_of("aimclr", setting).encoder, skeletons).train()
    x = torch.from_numpy(bulk.clips(setting.batch))

    def encode() -> None:
        encoder(x, bulk.CONVENTION).sum().backward()

    seconds = {"encoder, forward and backward": in_turns(encode, setting)}
    for method in chosen:
        steps = speed_models.our_steps(method, setting)
        seconds[f"step of {method}"] = in_turns(lambda steps=steps: next(steps), setting)
    return seconds


def in_turns(work: Callable[[], object], setting: Setting) -> dict[str, Any]:
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    taken: dict[str, dict[str, list[float]]] = {clock: {"ours": [], "pytorch": []} for clock in clocks}
    for turn in range(setting.repeats + 1):
        for name in ("ours", "pytorch"):
            with encoders_with(LAYERS[name]):
                begin = {clock: read() for clock, read in clocks.items()}
                work()
                for clock, read in clocks.items():
                    if turn:  # the first turn is a warm-up
                        taken[clock][name].append(read() - begin[clock])
    return {
        clock: {
            **{
                name: {"median": _digits(median(each)), "min": _digits(min(each))}
                for name, each in by.items()
            },
            "speed_by_median": _digits(median(by["pytorch"]) / median(by["ours"])),
            "speed_by_min": _digits(min(by["pytorch"]) / min(by["ours"])),
        }
        for clock, by in taken.items()
    }


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--methods", nargs="*", default=["skeletonclr", "aimclr"])
    parser.add_argument("--store", type=Path, help="NW-UCLA, for the gradients of real steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    malloc.keep_freed()
    result: dict[str, Any] = {
        "benchmark": "BatchNorm in training on the CPU, channels last",
        "threads": options.threads,
        "clips": options.batch,
        "repeats": options.repeats,
        "note": "errors against float64; speed: PyTorch's time over ours, in turns, beside other jobs",
        "layers": [layer_errors(*shape, mean) for shape in SHAPES for mean in MEANS],
    }
    if options.store is not None:
        result["gradients_of_a_step"] = gradient_errors(options.store)
    setting = Setting(torch.device("cpu"), "fp32", options.repeats, options.batch)
    result["seconds"] = times(setting, options.methods)
    print(json.dumps(result["seconds"], indent=1))
    print(f"written to {record.write('batch_norm', result).name}")


if __name__ == "__main__":
    main()
