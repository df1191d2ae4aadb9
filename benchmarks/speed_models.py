"""Speed table, rows about networks: the encoder, a step of every method, epochs, linear evaluation, kNN."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import baseline, bulk, floor, plain_views
from benchmarks.floor import Layer, Rates
from benchmarks.timing import Row, Setting, gpu_megabytes, in_turn
from schemas import RunConfig
from trainer import config, data, device, encoders, methods, optim
from trainer.evaluate import knn, linear
from trainer.evaluate.features import Features, extract
from trainer.kernels.temporal import conv_time
from trainer.loop import step
from trainer.loop.compiled import compile_method
from trainer.methods import METHODS
from trainer.store import Samples

NTU_CLIPS = 40_091
"""Number of training clips of NTU-60 xsub, for projected epochs."""
EPOCHS = 300
CLASSES = 60
NAMES = tuple(f"class {number}" for number in range(CLASSES))

PASSES = {"skeletonclr": (1, 1, 1), "aimclr": (2, 1, 3)}
"""Method -> encoder passes with gradients, passes without, and queries: the counts of its floor."""


def config_of(method: str, setting: Setting) -> RunConfig:
    """The configuration of a run with the paper's preset."""
    tree = config.find_preset(method, "paper").tree
    runtime = {**tree.get("runtime", {}), "device": str(setting.device), "precision": setting.precision}
    where = {"data": {**tree["data"], "store": "-"}, "runtime": runtime, "preset": f"{method}/paper"}
    return RunConfig.model_validate({**tree, **where})


def layers_of(encoder: encoders.STGCN, *, frames: int = 50) -> list[Layer]:
    """Layer counts of an ST-GCN for one convention and two bodies."""
    options = encoder.options
    return floor.stgcn(
        bulk.skeleton(bulk.CONVENTION).adjacency,
        frames=frames,
        bodies=2,
        channels=options.channels,
        stride_blocks=options.stride_blocks,
        kernel=options.temporal_kernel,
    )


def encoder(setting: Setting, rates: Rates) -> Iterator[Row]:
    """The paper's ST-GCN on T = 50, V = 25, M = 2, in evaluation and in training."""
    skeleton = bulk.skeleton(bulk.CONVENTION)
    built = encoders.build(config_of("aimclr", setting).encoder, {bulk.CONVENTION: skeleton})
    assert isinstance(built, encoders.STGCN)
    ours, plain = built.to(setting.device), baseline.STGCN(skeleton.adjacency).to(setting.device)
    x = torch.from_numpy(bulk.clips(setting.batch)).to(setting.device)
    layers = [_times(layer, setting.batch) for layer in layers_of(ours)]
    size = 2 if setting.precision == "bf16" else 4

    def forward() -> Tensor:
        with torch.no_grad(), device.autocast(setting.device, setting.precision):
            return ours(x, bulk.CONVENTION)

    def both() -> None:
        with device.autocast(setting.device, setting.precision):
            features = ours(x, bulk.CONVENTION)
        features.sum().backward()

    ours.eval(), plain.eval()
    seconds = in_turn({"ours": forward, "plain": torch.no_grad()(lambda: plain(x))}, setting)
    bound = floor.forward(layers, rates, value_bytes=size)
    yield _row("encoder, evaluation, forward", setting, seconds, bound, forward)
    ours.train(), plain.train()
    seconds = in_turn({"ours": both, "plain": lambda: plain(x).sum().backward()}, setting)
    bound = floor.training(layers, rates, value_bytes=size)
    yield _row("encoder, training, forward and backward", setting, seconds, bound, both)
    yield last_convolution(setting)


def last_convolution(setting: Setting) -> Row:
    """ST-GCN's largest layer, the last temporal convolution, forward and backward: ours and PyTorch's."""
    frames, joints, taps, channels = 13, 25, 9, baseline.CHANNELS[-1]
    x = torch.randn(2 * setting.batch, channels, frames, joints, device=setting.device)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    weight = torch.randn(channels, channels, taps, 1, device=setting.device).requires_grad_(True)
    bias = torch.zeros(channels, device=setting.device)

    def both(layer: Callable[[], Tensor]) -> None:
        with device.autocast(setting.device, setting.precision):
            out = layer()
        out.sum().backward()

    work = {
        "ours": lambda: both(lambda: conv_time(x, weight, bias, stride=1)),
        "plain": lambda: both(lambda: F.conv2d(x, weight, bias, padding=(taps // 2, 0))),
    }
    row = _row("its last convolution along time", setting, in_turn(work, setting), None, work["ours"])
    row.note = "baseline: PyTorch's own, in the same layout and precision"
    return row


def steps(setting: Setting, rates: Rates, only: tuple[str, ...] = ()) -> Iterator[Row]:
    """A whole step of every method, from the batch to the update, with the baseline where there is one."""
    for method in only or tuple(METHODS):
        ours = our_steps(method, setting)
        work: dict[str, Callable[[], object]] = {"ours": lambda ours=ours: next(ours)}
        if method in baseline.LOSSES:
            plain = plain_steps(method, setting)
            work["plain"] = lambda plain=plain: next(plain)
        seconds = in_turn(work, setting)
        yield _row(f"step of {method}", setting, seconds, floor_of(method, setting, rates), work["ours"])


def our_steps(
    method: str, setting: Setting, *, compiled: bool = False, graphs: bool = False, parts: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Endless steps of the training loop in the paper's sizes, with each batch in ``parts`` micro-batches."""
    settings = config_of(method, setting)
    settings = settings.model_copy(
        update={
            "runtime": settings.runtime.model_copy(update={"compile": compiled, "cuda_graphs": graphs}),
            "optimise": settings.optimise.model_copy(update={"accumulate": parts}),
        }
    )
    skeletons = {name: bulk.skeleton(name) for name in settings.data.conventions}
    rows = max(256, 2 * setting.batch)
    clips = {
        name: bulk.clips(rows, joints=each.num_joints, frames=settings.data.frames)
        for name, each in skeletons.items()
    }
    samples = bulk.samples(clips).to(setting.device)
    made = methods.build(
        settings.method,
        encoder=settings.encoder,
        skeletons=skeletons,
        augment=settings.augment,
        stream=settings.data.stream,
        generator=torch.Generator().manual_seed(0),
    ).to(setting.device)
    made.train()
    if compiled:
        compile_method(made, settings.runtime, device=setting.device)
    optimiser = optim.build(made.parameters(), settings.optimise)
    for number in itertools.count():
        # Always epoch 0: the first stage, which the baseline implements.
        for batch in data.batches(samples, batch_size=setting.batch, seed=number, epoch=0):
            yield step.take(made, optimiser, batch, config=settings, step=number)


def plain_steps(method: str, setting: Setting) -> Iterator[float]:
    """Endless steps of the baseline, with views from DataLoader workers: 4, or one per core if fewer."""
    skeleton = bulk.skeleton(bulk.CONVENTION)
    clips = bulk.clips(max(256, 4 * setting.batch))
    moco = baseline.MoCo(skeleton.adjacency).to(setting.device).train()
    optimiser = baseline.sgd(moco)
    workers = min(plain_views.WORKERS, os.cpu_count() or 1)
    swap = tuple(skeleton.spec.left_right_swap)
    loader = plain_views.loader(clips, swap, batch_size=setting.batch, workers=workers)
    while True:
        for views in loader:
            yield baseline.step(method, moco, optimiser, views, device=setting.device)


def floor_of(method: str, setting: Setting, rates: Rates) -> float | None:
    """Seconds for a step's encoder passes and its products with the queue; None for uncounted methods."""
    if method not in PASSES:
        return None
    trained, frozen, queries = PASSES[method]
    settings = config_of(method, setting)
    made = encoders.build(settings.encoder, {bulk.CONVENTION: bulk.skeleton(bulk.CONVENTION)})
    assert isinstance(made, encoders.STGCN)
    layers = [_times(layer, setting.batch) for layer in layers_of(made)]
    size = 2 if setting.precision == "bf16" else 4
    options = settings.method.options
    similarities = [floor.queue(setting.batch, keys=options["queue"], dim=options["dim"])] * queries
    return (
        trained * floor.training(layers, rates, value_bytes=size)
        + frozen * floor.forward(layers, rates, value_bytes=size)
        + 2 * floor.forward(similarities, rates)  # forward, and the gradient of the queries
    )


def projected(rows: list[Row], setting: Setting) -> Iterator[Row]:
    """Epochs of NTU-60's size, projected from the time of a step; none of them was run."""
    for row in [row for row in rows if row.name.removeprefix("step of ") in baseline.LOSSES]:
        count = NTU_CLIPS // setting.batch
        scaled = [[count * s for s in times] for times in (row.ours, row.baseline or [])]
        hours = {
            name: round(EPOCHS * median(each) / 3600, 2)
            for name, each in zip(("ours", "baseline"), scaled, strict=True)
            if each
        }
        yield Row(
            f"epoch of {row.name.removeprefix('step of ')}",
            f"{NTU_CLIPS} clips",
            scaled[0],
            scaled[1] or None,
            floor=count * row.floor if row.floor else None,
            note=f"projection: {count} steps of {setting.batch}; {EPOCHS} epochs take {hours['ours']} h",
            more={"projection": True, f"hours_for_{EPOCHS}_epochs": hours},
        )


def evaluation(setting: Setting, rates: Rates) -> Iterator[Row]:
    """Linear evaluation, encoding once or in every epoch; the probe and kNN on precomputed features."""
    yield _linear(setting, rates)
    train, test = (4000, 1600) if setting.quick else (40_000, 16_000)
    halves = [Features(*_features(count, seed)) for seed, count in enumerate((train, test))]
    options, size = linear.Options(), f"{train} x {test} features"
    once = Setting(setting.device, setting.precision, 1, setting.batch)

    def probe() -> None:
        linear.evaluate(*halves, classes=NAMES, seed=0, options=options)

    yield Row(f"linear probe, {options.epochs} epochs", size, in_turn({"ours": probe}, once)["ours"])
    neighbours = in_turn({"ours": lambda: knn.vote(*halves, classes=CLASSES, options=knn.Options())}, once)
    bound = train * test * halves[0].values.shape[1] / rates.products
    yield Row("kNN, k = 20", size, neighbours["ours"], floor=bound)


def _linear(setting: Setting, rates: Rates) -> Row:
    skeleton = bulk.skeleton(bulk.CONVENTION)
    train, test = (128, 64) if setting.quick else (512, 256)
    halves = [bulk.samples({bulk.CONVENTION: bulk.clips(count, seed=count)}) for count in (train, test)]
    ours = encoders.build(config_of("aimclr", setting).encoder, {bulk.CONVENTION: skeleton}).to(
        setting.device
    )
    plain = baseline.STGCN(skeleton.adjacency).to(setting.device)
    layer = torch.nn.Linear(baseline.CHANNELS[-1], CLASSES).to(setting.device)
    optimiser = torch.optim.SGD(layer.parameters(), lr=3.0, momentum=0.9)
    moved = [half.to(setting.device) for half in halves]
    tensors = tuple((half.clips[bulk.CONVENTION], half.labels) for half in moved)

    def evaluate() -> None:
        features = [extracted(ours, half, setting) for half in halves]
        linear.evaluate(*features, classes=NAMES, seed=0, options=linear.Options())

    work = {"ours": evaluate, "plain": lambda: baseline.linear_epoch(plain, layer, optimiser, tensors)}
    by_way = in_turn(work, setting)
    epochs = linear.Options().epochs
    encoded = [_times(each, train + test) for each in layers_of(ours)]
    return Row(
        f"linear evaluation, {epochs} epochs",
        f"{train} + {test} clips",
        by_way["ours"],
        [epochs * seconds for seconds in by_way["plain"]],
        floor=floor.forward(encoded, rates),
        note=f"baseline: one epoch measured, times {epochs}; floor: encoding once",
        more={"baseline_projection": True},
    )


def extracted(encoder: Any, samples: Samples, setting: Setting) -> Features:
    return extract(encoder, samples, convention=bulk.CONVENTION, device=setting.device)


def _features(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features around a centre for each class, so that a probe can separate them."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, baseline.CHANNELS[-1], generator=draw)
    labels = torch.arange(count) % CLASSES
    noise = torch.randn(count, baseline.CHANNELS[-1], generator=draw.manual_seed(seed))
    return (centres[labels] + 2 * noise).relu() / 10, labels


def _row(name: str, setting: Setting, seconds: dict[str, list[float]], bound: float | None, call: Any) -> Row:
    row = Row(name, f"{setting.batch} clips", seconds["ours"], seconds.get("plain"), floor=bound)
    row.more = {"clips_per_second": round(setting.batch / median(row.ours), 1)}
    row.more |= gpu_megabytes(setting.device, call)
    return row


def _times(layer: Layer, clips: int) -> Layer:
    return Layer(clips * layer.products, clips * layer.read, clips * layer.written)
