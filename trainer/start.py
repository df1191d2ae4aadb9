"""``--init-from``: the weights that a training starts from instead of random ones.

Weights are named ``ENCODER.encoder.*`` and ``ENCODER.projector.*`` here for every method; encoders are
``joint``, ``bone``, ``seq``, ... A weight without a counterpart is an error unless a pattern leaves it out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from schemas import CheckpointError, InitConfig, UsageError
from schemas.places import Place
from trainer import checkpoint, hub
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.export.card import CARD, WEIGHTS, read_card
from trainer.export.read import read_weights
from trainer.methods import Method
from trainer.store import Store

_QUERY = re.compile(r"(?:(?:.*\.)?(?P<of>\w+)\.query|network)\.(?P<rest>(?:encoder|projector)\..+)")
_ONLY = (None, "moco")
"""Attribute that holds the MoCo in methods with one encoder, None where they have only a network; the encoder
is named after the run's stream."""


@dataclass(frozen=True)
class Start:
    """The weights of a run's query networks, or of an exported encoder."""

    weights: dict[str, Tensor]
    adjacency: str | None
    """The joint partition of an ST-GCN's graphs; None for other encoders."""
    exported: bool


def describe(path: Path, *, skip: Sequence[str] = ()) -> InitConfig:
    """Describe ``path``, a run folder, an exported encoder or ``hf://user/name``, for the settings.

    Raises CheckpointError for anything else.
    """
    asked, path = path, hub.local(path)
    kind = "export" if (path / CARD).is_file() else "run"
    file = path / (WEIGHTS if kind == "export" else LAST)
    if not file.is_file():
        raise CheckpointError(
            f"expected a run folder ({LAST}) or an encoder of `trainer export` ({CARD}, {WEIGHTS}), "
            "found neither",
            where=path,
            remedy="A released .pt file becomes a run with `trainer import`",
        )
    address = hub.address(asked) if hub.is_address(asked) else str(path.resolve())
    return InitConfig(kind=kind, path=address, sha256=checkpoint.file_hash(file), skip=tuple(skip))


def initialise(method: Method, init: InitConfig) -> None:
    """Set the networks of a method to the weights that ``init`` describes.

    Key networks start as copies, as in MoCo; queues do not change. Raises CheckpointError that names every
    weight that is missing, unexpected or of another shape, and UsageError for a pattern that matches nothing.
    """
    _load(dict(method.networks.items()), read_start(init), init)
    method.follow()


def initialise_encoders(encoders: Mapping[str, nn.Module], init: InitConfig) -> None:
    """Like ``initialise``, for encoders without projectors."""
    start = read_start(init)
    weights = {name: value for name, value in start.weights.items() if name.split(".")[1] == "encoder"}
    modules = {name: nn.ModuleDict({"encoder": encoder}) for name, encoder in encoders.items()}
    _load(modules, Start(weights, start.adjacency, start.exported), init)


def check_kind(init: InitConfig, store: Store, convention: str) -> str:
    """Check that weights and store are of the same kind of poses; returns a note where that is unknown.

    The note is empty where the kinds agree. Raises CheckpointError for weights of 3D poses where the store's
    are 2D, and vice versa.
    """
    here, trained_on = stores.kind_of(store, convention), _kind_of(init)
    if trained_on is None:
        return (
            f"whether the weights of {init.path} are of 2D or of 3D poses is not known: their store is gone"
        )
    if trained_on != here:
        raise CheckpointError(
            f"the weights were trained on {trained_on} poses, and the poses of {store.path} are {here}",
            where=init.path,
            remedy=f"Start from weights of {here} poses, or leave --init-from out to start at random",
        )
    return ""


def _kind_of(init: InitConfig) -> str | None:
    """2D or 3D; None where it cannot be determined. All published code is for 3D poses."""
    if init.kind == "released":
        return "3D"
    path = hub.local(init.path)
    if init.kind == "export":
        return "2D" if read_card(path).input.coordinates == "xy" else "3D"
    saved = checkpoint.load(path / LAST)
    if saved.config.init_from is not None and saved.config.init_from.kind == "released":
        return "3D"
    store = Place(saved.config.data.store)
    if not store.exists() or (opened := stores.open_store(store)).hash != saved.store_hash:
        return None
    return stores.kind_of(opened, saved.config.data.conventions[0])


def read_start(init: InitConfig) -> Start:
    """Read the weights that ``init`` describes. Raises CheckpointError when they have changed."""
    path = Path(init.path)
    if init.kind == "released":
        raise CheckpointError(
            "these are settings of an imported run; a released file cannot be started from by itself",
            where="init_from",
            remedy="Name the imported run with --init-from RUN",
        )
    digest = describe(path).sha256
    if digest != init.sha256:
        raise CheckpointError(
            f"the settings name weights of sha256 {init.sha256[:12]}, found {digest[:12]}",
            where=path,
            remedy="Restore the file, or name it anew with --init-from",
        )
    path = hub.local(path)
    return _of_export(path) if init.kind == "export" else _of_run(path)


def _of_export(path: Path) -> Start:
    card, weights = read_weights(path)
    named = {f"{card.name}.encoder.{name}": value for name, value in weights.items()}
    return Start(named, card.adjacency if card.encoder.name == "stgcn" else None, exported=True)


def _of_run(path: Path) -> Start:
    saved = checkpoint.load(path / LAST)
    matches = {name: _QUERY.fullmatch(name) for name in saved.model}
    weights = {
        f"{saved.config.data.stream if match['of'] in _ONLY else match['of']}.{match['rest']}": saved.model[
            name
        ]
        for name, match in matches.items()
        if match is not None
    }
    if not weights:
        raise CheckpointError(
            f"only query networks can be started from, and {saved.config.method.name} has none",
            where=path,
            remedy="Export its encoder with `trainer export` and name the export with --init-from",
        )
    encoder = saved.config.encoder
    adjacency = encoder.options.get("adjacency", "spatial") if encoder.name == "stgcn" else None
    return Start(weights, adjacency, exported=False)


def _load(modules: Mapping[str, nn.Module], start: Start, init: InitConfig) -> None:
    own = {
        f"{name}.{weight}": value
        for name, module in modules.items()
        for weight, value in module.state_dict().items()
    }
    left = _left_out({*own, *start.weights}, init)
    if own.keys() <= left:
        raise UsageError(
            f"{', '.join(init.skip)} leave out every weight of the run, so that none is left to start from",
            where="--init-skip",
            remedy="Leave --init-from out to start at random",
        )
    _check_fit(own, start, left, init)
    _check_graphs(modules, start, left, init)
    for name, module in modules.items():
        chosen = {
            weight: value if f"{name}.{weight}" in left else start.weights[f"{name}.{weight}"]
            for weight, value in module.state_dict().items()
        }
        module.load_state_dict(chosen)


def _left_out(names: set[str], init: InitConfig) -> set[str]:
    """The names that the patterns match. Raises UsageError for a pattern that matches none."""
    left = {pattern: {name for name in names if fnmatchcase(name, pattern)} for pattern in init.skip}
    for pattern, matched in left.items():
        if not matched:
            heads = sorted({".".join(name.split(".")[:3]) for name in names})
            raise UsageError(
                f"'{pattern}' matches no weight of {init.path} or of the run",
                where="--init-skip",
                remedy=f"Names begin with {', '.join(heads[:8])}; '*.projector.*' leaves projectors out",
            )
    return set().union(*left.values())


def _check_fit(own: Mapping[str, Tensor], start: Start, left: set[str], init: InitConfig) -> None:
    given = start.weights
    problems = {
        "missing": [name for name in own if name not in given and name not in left],
        "unexpected": [name for name in given if name not in own and name not in left],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in given and name not in left and given[name].shape != own[name].shape
        ],
    }
    texts = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if not texts:
        return
    alone = start.exported and not any(problems[what] for what in ("unexpected", "of another shape"))
    hint = "An export has an encoder alone: leave" if alone else "Leave"
    raise CheckpointError(
        f"the weights do not fit the run; {'; '.join(texts)}",
        where=init.path,
        remedy=f"{hint} out what is to start at random by name, as --init-skip '*.projector.*', or take the "
        f"settings with which the weights were trained: their --preset, or --config{_config_of(init)}",
    )


def _config_of(init: InitConfig) -> str:
    """`` RUN/config.yaml`` if the weights are of a run with settings; else empty."""
    own = Path(init.path) / "config.yaml"
    return f" {own}" if own.is_file() else ""


def _listed(names: Sequence[str]) -> str:
    """The names as text; more than 20 are grouped by encoder and projector, unless they carry shapes."""
    if len(names) <= 20 or " " in names[0]:
        return ", ".join(names)
    heads = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{head}.* ({count})" for head, count in heads.items())


def _check_graphs(modules: Mapping[str, Any], start: Start, left: set[str], init: InitConfig) -> None:
    """Raises CheckpointError when the settings name another partition of the joints than the weights have.

    Graphs are among the weights: they would be replaced and would contradict the settings.
    """
    for name, module in modules.items():
        own = module.state_dict()
        wanted = getattr(getattr(_encoder(module), "options", None), "adjacency", None)
        graphs = {f"{name}.{weight}" for weight in own if weight.endswith(".adjacency")} - left
        if graphs and start.adjacency not in (None, wanted):
            raise CheckpointError(
                f"the weights were trained on graphs of the {start.adjacency} partition, the run's settings "
                f"name {wanted}",
                where=init.path,
                remedy=f"Train with --set encoder.options.adjacency={start.adjacency}, or keep the run's "
                "graphs with --init-skip '*.adjacency'",
            )


def _encoder(module: Any) -> Any:
    return module["encoder"] if isinstance(module, nn.ModuleDict) else module.encoder
