"""Turn a released checkpoint into a run folder: settings, checkpoint and log, as if trained here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from schemas import CheckpointError, RunConfig, UsageError, unknown
from trainer import checkpoint, config, logbook, optim
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.config import Override
from trainer.loop.session import check_folder, prepare_folder
from trainer.released.names import LAYOUTS, below, joints, rename
from trainer.released.read import Released, few, read_released
from trainer.released.sources import SOURCES, Pair, Plan
from trainer.skeleton import Skeleton

_OURS_ALONE = re.compile(r".*\.queue\.(rows|steps)|.*\.encoder\.conventions\.[^.]+\.graph")
"""Weights that no released file has: rows and ages of the keys, and the A-GCN graph, derived from the
tree."""

BESIDE = ("queue_label",)
"""Buffers of released code that training never reads: SkeleMixCLR's labels of the keys."""


@dataclass(frozen=True)
class Imported:
    """The outcome of an import."""

    folder: Path
    config: RunConfig
    epoch: int
    names: dict[str, str]
    """Released name -> our weight that it became or was merged into."""
    left_out: tuple[str, ...]
    """What the file contains besides weights."""
    notes: tuple[str, ...]
    """Notes for the user."""


def import_released(
    path: Path,
    code: str,
    *,
    store: Path,
    out: Path,
    preset: str = "released",
    conventions: Sequence[str] = (),
    overrides: Sequence[Override] = (),
    force: bool = False,
) -> Imported:
    """Create the run folder ``out`` from a checkpoint written by the published ``code``.

    Settings are those of the method's ``preset``, and those that the file determines: queue size, streams,
    representations, conventions of ``ms-clr``. ``store`` provides the skeleton, and is what the run is
    evaluated and trained on. ``conventions`` empty selects the preset's. Everything is checked before the
    folder is touched. Raises CheckpointError for an unknown file, name or shape, UsageError for an unknown
    code base, and ConfigError and StoreError as ``trainer pretrain`` does.
    """
    if code not in SOURCES:
        raise unknown("code base", code, SOURCES, where="--from")
    released = read_released(path)
    with _naming(path):
        plan = SOURCES[code](released.weights)
        opened = stores.open_store(store)
        decided = _decided(plan, released, path, code, conventions)
        resolved = config.resolve(
            opened, method=plan.method, preset=preset, overrides=[*decided, *overrides]
        ).config
        skeletons = stores.skeletons(opened, resolved.data.conventions)
        _check_joints(plan, released.weights, skeletons)
        method = checkpoint.fresh_method(resolved, skeletons, seed=resolved.runtime.seed)
        own = method.state_dict()
        ours, names = _placed(plan, released.weights, own, next(iter(skeletons)))
        _check_fit(own, ours, names)
        notes = (*_recipe_notes(code, opened.manifest.recipe.label), *_graph_notes(own, ours))
        method.load_state_dict(own | ours)
        check_folder(out, force=force)
        prepare_folder(out, resolved)
        epoch = resolved.optimise.epochs
        position = _write_log(out, resolved, epoch, names, released)
        optimiser = optim.build(method.parameters(), resolved.optimise).state_dict()
        saved = Checkpoint(resolved, opened.hash, epoch, 0, method.state_dict(), optimiser, [], position)
        checkpoint.save(saved, out / LAST)
    left_out = (*released.beside, *(name for name in BESIDE if name in released.weights))
    return Imported(out, resolved, epoch, names, left_out, notes)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the released file in every CheckpointError that names no place."""
    try:
        yield
    except CheckpointError as error:
        if error.where is not None:
            raise
        raise CheckpointError(error.message, where=path, remedy=error.remedy) from error


def _decided(
    plan: Plan, released: Released, path: Path, code: str, conventions: Sequence[str]
) -> list[Override]:
    """The settings that the file determines, including its origin."""
    if plan.conventions is not None and conventions and set(conventions) != set(plan.conventions):
        raise UsageError(
            f"the file has weights of {', '.join(plan.conventions)}, found {', '.join(conventions)}",
            where="--convention",
            remedy="Leave --convention out",
        )
    values = dict(plan.settings)
    queues = [released.weights[pair.queue] for pair in plan.pairs if pair.queue in released.weights]
    sizes = {queue.shape[1] for queue in queues if queue.dim() == 2}
    if len(sizes) == 1:
        values[plan.queue_option] = sizes.pop()
    if released.epoch is not None:
        values["optimise.epochs"] = released.epoch
    if plan.conventions or conventions:
        values["data.conventions"] = list(plan.conventions or conventions)
    start = {"kind": "released", "path": str(path.resolve()), "sha256": released.sha256, "code": code}
    values |= {f"init_from.{key}": value for key, value in start.items()}
    return [Override(name, value, "the released file") for name, value in values.items()]


def _check_joints(plan: Plan, weights: Mapping[str, Tensor], skeletons: Mapping[str, Skeleton]) -> None:
    """Raises CheckpointError if a network's skeleton has another number of joints than ours."""
    layouts = {ours: released for released, ours in LAYOUTS.items()}
    for pair in plan.pairs:
        network = below(weights, pair.query)
        for name, skeleton in skeletons.items():
            count = joints(network, pair.architecture, layout=layouts.get(name, ""))
            if count is not None and count != skeleton.num_joints:
                raise CheckpointError(
                    f"{pair.query} was trained on a skeleton of {count} joints, {name} has "
                    f"{skeleton.num_joints}",
                    remedy="Name the convention of the file with --convention, and a store that has it",
                )


def _placed(
    plan: Plan, weights: Mapping[str, Tensor], own: Mapping[str, Tensor], convention: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All weights of the file under our method's names, and released name -> ours.

    Raises CheckpointError for unknown names.
    """
    ours: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    if not any(name.startswith(f"{pair.key}.") for name in weights for pair in plan.pairs):
        raise CheckpointError(
            f"expected a file of pre-training, found no key encoder ({plan.pairs[0].key}.*): linear "
            "evaluation and finetuning write such files, and scripts that save the query encoder alone",
            remedy="Import the whole checkpoint of the pre-training",
        )
    for pair in plan.pairs:
        for network, side in ((pair.query, "query"), (pair.key, "key")):
            renamed = rename(below(weights, network), pair.architecture, convention=convention)
            prefix = f"{pair.ours}.{side}."
            ours |= {prefix + name: value for name, value in renamed.weights.items()}
            names |= {f"{network}.{name}": prefix + target for name, target in renamed.names.items()}
        ours |= _queue(pair, weights, names)
    strange = [name for name in weights if name not in names and name not in BESIDE]
    if strange:
        known = [
            each
            for pair in plan.pairs
            for each in (f"{pair.query}.*", f"{pair.key}.*", pair.queue, pair.pointer)
        ]
        raise CheckpointError(
            f"names that {plan.method} does not know: {few(strange)}; expected {', '.join(known)} with the "
            f"layers of {', '.join(dict.fromkeys(pair.architecture for pair in plan.pairs))}",
            remedy="Name its code base with --from; `skeltools docs import` lists the names",
        )
    for name, value in ours.items():
        if plan.pairs[0].architecture == "ms-clr" and name in own:
            ours[name] = _without_padding(name, value, own[name].shape)
    return ours, names


def _queue(pair: Pair, weights: Mapping[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The state of a queue: its keys, assumed to be from a single step, and the position of the next.

    The rows of the keys are unknown.
    """
    state: dict[str, Tensor] = {}
    keys, pointer = weights.get(pair.queue), weights.get(pair.pointer)
    if keys is not None and keys.dim() == 2:
        target = names[pair.queue] = f"{pair.ours}.queue.keys"
        state[target] = keys.t().contiguous()
        state[f"{pair.ours}.queue.steps"] = torch.ones(keys.shape[1], dtype=torch.int64)
    if pointer is not None and pointer.numel() == 1 and not pointer.is_floating_point():
        target = names[pair.pointer] = f"{pair.ours}.queue.pointer"
        state[target] = pointer.reshape(()).long()
        if keys is not None and keys.dim() == 2 and not 0 <= int(pointer) < keys.shape[-1]:
            raise CheckpointError(
                f"{pair.pointer} is {int(pointer)}, outside of a queue of {keys.shape[-1]} keys"
            )
    return state


def _without_padding(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    """A graph or importance [3, Vmax, Vmax] of released MS-CLR, cut to the skeleton's V joints.

    Raises CheckpointError when a graph has edges beyond these.
    """
    if not name.endswith("adjacency") and ".importance." not in name:
        return value
    size = shape[-1]
    cut = value[..., :size, :size]
    if name.endswith("adjacency") and value.count_nonzero() != cut.count_nonzero():
        raise CheckpointError(
            f"{name}: the file's graph has edges beyond the {size} joints of the convention"
        )
    return cut


def _check_fit(own: Mapping[str, Tensor], ours: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Raises CheckpointError naming weights that are missing, unexpected, or of another shape or type."""
    released = {target: name for name, target in reversed(list(names.items()))}
    problems = {
        "missing in the file": [n for n in own if n not in ours and not _OURS_ALONE.fullmatch(n)],
        "without a place here": [released.get(n, n) for n in ours if n not in own],
        "of another shape": [
            f"{released.get(n, n)} {tuple(ours[n].shape)} instead of {tuple(own[n].shape)}"
            for n in ours
            if n in own and ours[n].shape != own[n].shape
        ],
        "of another type": [
            f"{released.get(n, n)} {ours[n].dtype} instead of {own[n].dtype}"
            for n in ours
            if n in own and ours[n].dtype != own[n].dtype
        ],
    }
    texts = [f"{what}: {few(which)}" for what, which in problems.items() if which]
    if texts:
        raise CheckpointError(
            f"the weights do not fit the settings of the preset; {'; '.join(texts)}",
            remedy="For a network of other sizes set them, as --set encoder.options.channels=[...] or "
            "encoder.options.units=...; `trainer methods METHOD` has the options",
        )


def _recipe_notes(code: str, recipe: str) -> tuple[str, ...]:
    """A note if the store is not preprocessed like the clips that the weights were trained on."""
    expected = "isc" if code == "skeleton-contrast" else "crossclr"
    if recipe == expected:
        return ()
    return (f"the weights were trained on recipe {expected}, the store's is {recipe}: expect low figures",)


def _graph_notes(own: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Notes where the file's graph, which is used, differs from the one in the settings."""
    notes = []
    for name, value in ours.items():
        if (
            name.endswith(".adjacency")
            and ".query." in name
            and not torch.allclose(value, own[name], atol=1e-6)
        ):
            apart = (value - own[name]).abs()
            notes.append(
                f"{name}: the file's graph differs from the convention's in {int((apart > 1e-6).sum())} of "
                f"{value.numel()} entries, by {float(apart.max()):.3g} at most; the file's is used"
            )
    return tuple(notes)


def _write_log(
    out: Path, settings: RunConfig, epoch: int, names: Mapping[str, str], released: Released
) -> int:
    """Write the single line of the log; returns its length in bytes."""
    assert settings.init_from is not None
    record: dict[str, Any] = {"event": "imported", "epoch": epoch, "step": 0}
    record |= settings.init_from.model_dump(mode="json", include={"code", "path", "sha256"})
    record |= {"weights": len(names), "left_out": list(released.beside)}
    with logbook.open_logbook(out / "metrics.jsonl") as log:
        log.write(record, global_step=0)
        return log.position
