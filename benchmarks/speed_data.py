"""Speed table, rows about data: loading a store, batches, augmentations, sets larger than memory."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import bulk, floor, plain_views, record
from benchmarks.floor import Rates
from benchmarks.timing import Row, Setting, in_turn, resident_megabytes
from schemas import Component
from trainer import augment, config, data, loop
from trainer import store as stores
from trainer.augment import AUGMENTATIONS
from trainer.config import Override
from trainer.shards import Shards
from trainer.store import Selection

FRAMES, BATCH = 50, 128
ROWS = 8 * 2048
"""Number of rows in the store that is read: eight shards."""


def recorded() -> Iterator[Row]:
    """The last results of the separate benchmarks of reading and conversion."""
    for name, label, plain in (
        ("reading", "reading NTU text", "dict per joint"),
        ("converting", "converting NTU text, one core", "plain"),
    ):
        path = record.RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            part = result.get("speed", result)
            seconds = part.get("processor_seconds", part["seconds"])
            note = f"from results/{name}.json, commit {result['commit']}"
            yield Row(label, f"{part['files']} files", [seconds["skeltools"]], [seconds[plain]], note=note)


def loading(setting: Setting, rates: Rates, store: Path) -> Iterator[Row]:
    """Opening the store, and reading its training half into memory."""
    opened = in_turn({"open": lambda: stores.open_store(store)}, setting)["open"]
    yield Row("opening a store", f"{rows_of_store(setting)} clips", opened)
    selection = select(store)
    seconds = in_turn({"load": lambda: stores.in_memory(selection)}, setting)["load"]
    size = len(selection) * selection.clip_bytes
    yield Row(
        "loading a split",
        f"{len(selection)} of {rows_of_store(setting)} clips",
        seconds,
        floor=floor.copying(size // 4, rates),
        note="the floor is a copy of the decoded clips",
        more={"megabytes": round(size / 1e6)},
    )


def assembly(setting: Setting, rates: Rates) -> Iterator[Row]:
    """A batch of clips on the device, alone and with AimCLR's three views against one baseline worker."""
    clips = bulk.clips(4 * BATCH)
    samples = bulk.samples({bulk.CONVENTION: clips}).to(setting.device)
    spec = bulk.skeleton(bulk.CONVENTION)
    values = clips[0].size * BATCH
    taken = _endless(samples, BATCH)
    seconds = in_turn({"ours": lambda: next(taken)}, setting)["ours"]
    yield Row("batch assembly", f"{BATCH} clips", seconds, floor=floor.copying(values, rates))
    chains = aimclr_chains()

    def views() -> None:
        batch = next(taken)
        for chain in (chains["normal"], chains["normal"], chains["extreme"]):
            chain(batch.clips[bulk.CONVENTION], spec, batch.generator)

    plain = iter(_plain_batches(clips, BATCH, tuple(spec.spec.left_right_swap)))
    by_way = in_turn({"ours": views, "plain": lambda: next(plain)}, setting)
    yield Row(
        "batch assembly and AimCLR's three views",
        f"{BATCH} clips",
        by_way["ours"],
        by_way["plain"],
        floor=floor.copying(4 * values, rates),
        note=f"baseline: one worker, one core; ours: {torch.get_num_threads()} threads",
    )


def augmentations(setting: Setting, rates: Rates) -> Iterator[Row]:
    """Each of ``AUGMENTATIONS`` with its defaults, against the baseline's equivalent, clip by clip."""
    clips = bulk.clips(BATCH)
    x = torch.from_numpy(clips).to(setting.device)
    skeleton = bulk.skeleton(bulk.CONVENTION)
    generator = torch.Generator(setting.device).manual_seed(0)
    for name in AUGMENTATIONS:
        chain = augment.compile_chain([Component(name=name)])
        work: dict[str, Any] = {"ours": functools.partial(chain, x, skeleton, generator)}
        plain = getattr(plain_views, name, None)
        if plain is not None:
            more = (tuple(skeleton.spec.left_right_swap),) if name == "spatial_flip" else ()
            work["plain"] = functools.partial(_one_by_one, plain, clips, more)
        seconds = in_turn(work, setting)
        size = f"{BATCH} clips"
        yield Row(name, size, seconds["ours"], seconds.get("plain"), floor=floor.copying(clips.size, rates))


def _one_by_one(function: Any, clips: Any, more: tuple[Any, ...]) -> None:
    for clip in clips:
        np.ascontiguousarray(function(clip, *more))


def aimclr_chains() -> dict[str, augment.Chain]:
    """The chains ``normal`` and ``extreme`` of the paper's preset."""
    tree = config.find_preset("aimclr", "paper").tree["augment"]
    return {
        kind: augment.compile_chain([Component.model_validate(link) for link in links])
        for kind, links in tree.items()
    }


def _plain_batches(clips: Any, batch: int, swap: tuple[int, ...]) -> Iterator[Any]:
    while True:
        yield from plain_views.loader(clips, swap, batch_size=batch, workers=0)


def _endless(samples: data.Source, batch: int) -> Iterator[Any]:
    epoch = 0
    while True:
        yield from data.batches(samples, batch_size=batch, seed=0, epoch=epoch)
        epoch += 1


# --------------------------------------------------------------------------------- larger than memory


def larger_than_memory(setting: Setting, store: Path) -> Iterator[Row]:
    """An epoch of batches from memory, from shuffled shards, and from a memory-mapped decoded copy."""
    selection = select(store)
    limit = Shards(selection, selection.labels, per_buffer=1).peak_bytes  # the smallest that works
    ways = {
        "batches of an epoch, split in memory": (_epoch, (store, None, BATCH)),
        "batches of an epoch, shuffled shards": (_epoch, (store, limit, BATCH)),
        "batches of an epoch, mapped .npy, warm": (_mapped_epoch, (store, BATCH, False)),
        "batches of an epoch, mapped .npy, cold": (_mapped_epoch, (store, BATCH, True)),
    }
    for name, (function, arguments) in ways.items():
        epochs = [_apart(function, *arguments) for _ in range(min(setting.repeats, 3))]
        row = Row(
            name,
            f"{len(selection)} clips, {len(selection) * selection.clip_bytes // 10**6} MB",
            [seconds for seconds, _ in epochs],
        )
        if function is _epoch:
            peak = max(above for _, above in epochs)
            row.more = {"peak_megabytes_above_start": peak}
            row.note = f"memory grew by at most {peak} MB"
            row.note += f", data.memory_limit {limit // 10**6} MB" if limit in arguments else ""
        yield row


def _apart(function: Any, *arguments: Any) -> tuple[float, int]:
    """Seconds and megabytes of a call in a separate process, which cannot reuse freed memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, torch.get_num_threads()).result()


def _epoch(store: Path, limit: int | None, batch: int, threads: int) -> tuple[float, int]:
    torch.set_num_threads(threads)
    selection, start = select(store), resident_megabytes(peak=True)
    samples = data.load(selection, device=torch.device("cpu"), memory_limit=limit)
    begin = time.perf_counter()
    for _ in data.batches(samples, batch_size=batch, seed=0, epoch=0):
        pass
    return time.perf_counter() - begin, resident_megabytes(peak=True) - start


def _mapped_epoch(store: Path, batch: int, cold: bool, threads: int) -> tuple[float, int]:
    """The rejected alternative: all rows of a decoded copy in random order, page cache warm or cold."""
    torch.set_num_threads(threads)
    selection = select(store)
    with tempfile.NamedTemporaryFile(dir=store.parent, suffix=".npy") as file:
        np.save(file, stores.in_memory(selection).clips[bulk.CONVENTION].numpy())
        os.fsync(file.fileno())
        if cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = np.load(file.name, mmap_mode="r")
        begin = time.perf_counter()
        for rows in torch.randperm(len(mapped)).split(batch):
            torch.from_numpy(mapped[rows.numpy()])
        return time.perf_counter() - begin, 0


# ------------------------------------------------------------------------------------- memory of a run


def memory_of_a_run(setting: Setting, folder: Path, *, count: int = 1024) -> Iterator[Row]:
    """Resident memory after each of three short epochs of the training loop."""
    store = bulk.write_store(folder / "small.zarr", count=count)
    wanted = {
        "data.frames": FRAMES,
        "encoder.options.channels": [8, 16],
        "encoder.options.stride_blocks": [1, 2],
        "optimise.epochs": 3,
        "optimise.batch_size": 128,
        "method.options.queue": 512,
        "runtime.device": str(setting.device),
        "runtime.knn_every": 0,
    }
    overrides = [Override(path, value) for path, value in wanted.items()]
    settings = config.resolve(stores.open_store(store), method="skeletonclr", overrides=overrides)
    after: dict[int, int] = {}
    moments = [time.perf_counter()]

    def note(progress: loop.Progress) -> None:
        if progress.step == progress.steps:
            after[progress.epoch] = resident_megabytes()
            moments.append(time.perf_counter())

    loop.pretrain(settings.config, out=folder / "run", on_progress=note)
    seconds = [later - earlier for earlier, later in pairwise(moments[1:])]
    yield Row(
        "memory over epochs",
        "3 epochs, small encoder",
        seconds,
        more={"resident_megabytes_after_each_epoch": list(after.values())},
        note="resident memory: " + ", ".join(f"{size} MB" for size in after.values()),
    )


def select(store: Path) -> Selection:
    """The training half of the synthetic store."""
    opened = stores.open_store(store)
    return stores.select(opened, split="xsub", part="train", conventions=[bulk.CONVENTION], frames=FRAMES)


def rows_of_store(setting: Setting) -> int:
    return ROWS // 2 if setting.quick else ROWS
