"""The networks and queues of a released checkpoint, and their places in our methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from schemas import CheckpointError
from trainer.released.names import LAYOUTS, architecture, below

Weights = Mapping[str, Tensor]

REPRESENTATIONS = {"bigru": "seq", "agcn": "graph", "hcn": "img"}
"""Architecture of released ISC -> name of the representation here."""


@dataclass(frozen=True)
class Pair:
    """A query and a key network with their queue, in the file and here."""

    query: str
    key: str
    queue: str
    pointer: str
    ours: str
    """Prefix of the MoCo in our method's state dict."""
    architecture: str
    """One of ``names.RULES``."""


@dataclass(frozen=True)
class Plan:
    """What a released checkpoint becomes."""

    method: str
    pairs: tuple[Pair, ...]
    queue_option: str = "method.options.queue"
    """Dotted path of the setting for the size of the file's queues."""
    conventions: tuple[str, ...] | None = None
    """The conventions, if named in the file; None: the one that the user or the preset names."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Other settings determined by the file: dotted path, value."""


def _one(architecture: str, *, ours: str = "moco") -> Pair:
    return Pair("encoder_q", "encoder_k", "queue", "queue_ptr", ours, architecture)


def _aimclr(weights: Weights) -> Plan:
    return Plan("aimclr", (_one("stgcn"),))


def _skelemixclr(weights: Weights) -> Plan:
    return Plan("skelemixclr", (_one("stgcn"),))


def _crosclr(weights: Weights) -> Plan:
    """CrosSCLR for the streams whose encoders the file has; for one, SkeletonCLR, from the same code."""
    marks = {"joint": "", "motion": "_motion", "bone": "_bone"}
    there = [name for name, mark in marks.items() if any(n.startswith(f"encoder_q{mark}.") for n in weights)]
    if len(there) < 2:
        return Plan("skeletonclr", (_one("stgcn"),))
    pairs = tuple(
        Pair(
            f"encoder_q{marks[name]}",
            f"encoder_k{marks[name]}",
            f"queue{marks[name]}",
            f"queue_ptr{marks[name]}",
            f"moco.streams.{name}",
            "stgcn",
        )
        for name in there
    )
    return Plan("crosclr", pairs, settings=(("method.options.streams", there),))


def _msclr(weights: Weights) -> Plan:
    """MS-CLR for several skeletons; for one, the released code is AimCLR."""
    layouts = [name.split(".")[-1].removeprefix("A_") for name in weights if name.startswith("encoder_q.A_")]
    strange = [name for name in layouts if name not in LAYOUTS]
    if strange or not layouts:
        raise CheckpointError(
            f"expected weights of the skeletons {', '.join(LAYOUTS)} (encoder_q.A_NAME), found "
            f"{', '.join(strange) or 'none'}",
            remedy="Name the code base that the file is of with --from",
        )
    conventions = tuple(LAYOUTS[name] for name in layouts)
    if len(layouts) == 1:
        return Plan("aimclr", (_one("ms-clr"),), conventions=conventions)
    option = "method.options.base.options.queue"
    return Plan("ms-clr", (_one("ms-clr", ours="moco"),), option, conventions)


def _isc(weights: Weights) -> Plan:
    """One representation by itself, or two that are contrasted."""
    kinds = [architecture(below(weights, network)) for network in ("encoder_q", "encoder_r")]
    architectures = [kind for kind in kinds if kind is not None]
    if not architectures or any(kind not in REPRESENTATIONS for kind in architectures):
        raise CheckpointError(
            "expected encoder_q, and perhaps encoder_r, with the weights of a GRU (encoder_q.encoder.gru.*), "
            "an A-GCN (encoder_q.l1.*) or an HCN (encoder_q.conv1.*), found none of these",
            remedy="Name the code base that the file is of with --from",
        )
    names = [f"mocos.{REPRESENTATIONS[kind]}" for kind in architectures]
    if len(architectures) == 1:
        pairs: tuple[Pair, ...] = (_one(architectures[0], ours=names[0]),)
    else:
        pairs = (
            Pair("encoder_q", "encoder_k", "Queue_S1", "queue_ptr_S1", names[0], architectures[0]),
            Pair("encoder_r", "encoder_l", "Queue_S2", "queue_ptr_S2", names[1], architectures[1]),
        )
    return Plan("isc", pairs, settings=_representations(architectures, weights))


def _representations(kinds: list[str], weights: Weights) -> tuple[tuple[str, Any], ...]:
    """Settings for representations other than the preset's pair of series and graph."""
    if kinds == ["bigru", "agcn"]:
        return ()
    first, *others = kinds
    components = {REPRESENTATIONS[kind]: {"name": kind, "options": RELEASED_OPTIONS[kind]} for kind in others}
    mode = "inter" if others else "intra"
    return (
        ("encoder.name", first),
        ("encoder.options", RELEASED_OPTIONS[first]),
        ("method.options.representations", {REPRESENTATIONS[first]: None, **components}),
        ("method.options.mode", mode),
    )


RELEASED_OPTIONS: dict[str, dict[str, Any]] = {
    "bigru": {"unidirectional_inference": True, "init": "xavier"},
    "agcn": {"init": "released", "input_norm": "slot"},
    "hcn": {"fourth_relu": False, "init": "xavier"},
}
"""Options with which our encoders compute the same as those of released ISC; the defaults are the papers'."""

SOURCES: dict[str, Callable[[Weights], Plan]] = {
    "aimclr": _aimclr,
    "crosclr": _crosclr,
    "skelemixclr": _skelemixclr,
    "skeleton-contrast": _isc,
    "ms-clr": _msclr,
}
"""Published code base -> what a checkpoint of it becomes."""
