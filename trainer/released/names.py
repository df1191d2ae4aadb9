"""Names of weights in published code, and their names here.

The names are those of the released repositories: CrosSCLR, AimCLR and SkeleMixCLR share an ST-GCN; MS-CLR has
one with a graph, an input BatchNorm and edge importances for each skeleton; skeleton-contrast (ISC) has a
GRU, an A-GCN and an HCN. Here a network consists of ``encoder.`` and ``projector.``; ``{c}`` is the
convention.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LAYOUTS = {
    "ntu-rgb+d": "kinectv2_25",
    "smplx_42": "smplx_42",
    "smpl_24": "smpl_24",
    "berkeley_mhad_43": "berkeley_mhad_43",
}
"""Skeletons of released MS-CLR -> our conventions."""

# CrosSCLR's motion and bone heads contain the whole joint head in place of their last layer.
_HEAD = {r"fc\.(\d)\.(\w+)": r"projector.\1.\2", r"fc\.2\.(\d)\.(\w+)": r"projector.2.\1.\2"}

_BLOCKS = {
    r"st_gcn_networks\.(\d+)\.gcn\.conv\.(\w+)": r"encoder.blocks.\1.graph.conv.\2",
    r"st_gcn_networks\.(\d+)\.tcn\.0\.(\w+)": r"encoder.blocks.\1.graph_bn.\2",
    r"st_gcn_networks\.(\d+)\.tcn\.2\.(\w+)": r"encoder.blocks.\1.temporal.\2",
    r"st_gcn_networks\.(\d+)\.tcn\.3\.(\w+)": r"encoder.blocks.\1.temporal_bn.\2",
    r"st_gcn_networks\.(\d+)\.residual\.(\d)\.(\w+)": r"encoder.blocks.\1.residual.\2.\3",
}

_STGCN = {
    r"A": r"encoder.conventions.{c}.adjacency",
    r"data_bn\.(\w+)": r"encoder.conventions.{c}.data_bn.\1",
    r"edge_importance\.(\d+)": r"encoder.conventions.{c}.importance.\1",
} | _BLOCKS

_MSCLR = {
    r"A_([^.]+)": r"encoder.conventions.<\1>.adjacency",
    r"data_bn\.([^.]+)\.(\w+)": r"encoder.conventions.<\1>.data_bn.\2",
    r"edge_importance\.([^.]+)\.(\d+)": r"encoder.conventions.<\1>.importance.\2",
} | _BLOCKS

# Block l1 is blocks.0 here: <l1>. Parts #0, #1, ... are joined into one weight, in this order.
_AGCN = {
    r"data_bn\.(\w+)": r"encoder.conventions.{c}.data_bn.\1",
    r"(l\d+)\.gcn1\.PA": r"encoder.conventions.{c}.learned.<\1>",
    r"(l\d+)\.gcn1\.conv_a\.(\d)\.(\w+)": r"encoder.blocks.<\1>.graph.theta.\3#\2",
    r"(l\d+)\.gcn1\.conv_b\.(\d)\.(\w+)": r"encoder.blocks.<\1>.graph.phi.\3#\2",
    r"(l\d+)\.gcn1\.conv_d\.(\d)\.(\w+)": r"encoder.blocks.<\1>.graph.conv.\3#\2",
    r"(l\d+)\.gcn1\.bn\.(\w+)": r"encoder.blocks.<\1>.graph_bn.\2",
    r"(l\d+)\.gcn1\.down\.(\d)\.(\w+)": r"encoder.blocks.<\1>.shortcut.\2.\3",
    r"(l\d+)\.tcn1\.conv\.(\w+)": r"encoder.blocks.<\1>.temporal.\2",
    r"(l\d+)\.tcn1\.bn\.(\w+)": r"encoder.blocks.<\1>.temporal_bn.\2",
    r"(l\d+)\.residual\.conv\.(\w+)": r"encoder.blocks.<\1>.residual.0.\2",
    r"(l\d+)\.residual\.bn\.(\w+)": r"encoder.blocks.<\1>.residual.1.\2",
}

# Layer l1 of the GRU is layer 0 of those after the first, written <l1> as well.
_BIGRU = {
    r"encoder\.gru\.(weight|bias)_(ih|hh)_l0((?:_reverse)?)": r"encoder.first.{c}.\1_\2_l0\3",
    r"encoder\.gru\.(weight|bias)_(ih|hh)_(l[1-9])((?:_reverse)?)": r"encoder.rest.\1_\2_l<\3>\4",
}

_HCN = {
    rf"conv{layer}{mark}{dot}\.(\w+)": rf"encoder.{branch}.{ours}.\1"
    for mark, branch in (("", "position"), ("m", "motion"))
    for layer, dot, ours in (
        (1, r"\.0", "point"),
        (2, "", "time"),
        (3, r"\.0", "together.{c}"),
        (4, r"\.0", "fourth"),
    )
} | {r"conv5\.0\.(\w+)": r"encoder.fifth.\1", r"conv6\.0\.(\w+)": r"encoder.sixth.\1"}

RULES = {"stgcn": _STGCN, "ms-clr": _MSCLR, "agcn": _AGCN, "bigru": _BIGRU, "hcn": _HCN}
"""Architecture -> pattern of a released name, matched as a whole -> ours."""


@dataclass(frozen=True)
class Renamed:
    """A network's weights under our names, and their origins."""

    weights: dict[str, Tensor]
    names: dict[str, str]
    """Released name -> ours."""
    unknown: tuple[str, ...]


def rename(weights: Mapping[str, Tensor], architecture: str, *, convention: str) -> Renamed:
    """One network's weights, e.g. those below ``encoder_q.``, as ``encoder.*`` and ``projector.*``."""
    rules = {re.compile(theirs): ours for theirs, ours in (RULES[architecture] | _HEAD).items()}
    parts: dict[str, dict[int, Tensor]] = defaultdict(dict)
    names, unknown = {}, []
    for name, value in weights.items():
        ours = _ours(name, rules, convention)
        if ours is None:
            unknown.append(name)
            continue
        target, _, part = ours.partition("#")
        parts[target][int(part or 0)] = value
        names[name] = target
    joined = {target: _joined(pieces) for target, pieces in parts.items()}
    if architecture == "agcn":
        _fold_biases(joined, names)
    return Renamed(joined, names, tuple(unknown))


def _ours(name: str, rules: Mapping[re.Pattern[str], str], convention: str) -> str | None:
    for pattern, template in rules.items():
        match = pattern.fullmatch(name)
        if match is not None:
            ours = match.expand(template).replace("{c}", convention)
            return re.sub("<(.+)>", lambda inner: _renumbered(inner[1]), ours)
    return None


def _renumbered(part: str) -> str:
    """A skeleton of MS-CLR as our convention, or a block ``l3`` as ``2``."""
    return str(int(part[1:]) - 1) if re.fullmatch(r"l\d+", part) else LAYOUTS.get(part, part)


def _joined(parts: Mapping[int, Tensor]) -> Tensor:
    if len(parts) == 1:
        return next(iter(parts.values()))
    return torch.cat([parts[place] for place in sorted(parts)])


def _fold_biases(weights: dict[str, Tensor], names: dict[str, str]) -> None:
    """Fold biases of the graph layers into the running means of the BatchNorms after them.

    The layers here have no bias: BatchNorm cancels it in training, and in evaluation ``y + b`` minus the mean
    is ``y`` minus ``mean - b``.
    """
    for name in [name for name in weights if name.endswith("graph.conv.bias")]:
        mean = name.replace("graph.conv.bias", "graph_bn.running_mean")
        bias = weights.pop(name)
        if mean in weights and bias.numel() % weights[mean].numel() == 0:
            weights[mean] = weights[mean] - bias.view(-1, *weights[mean].shape).sum(0)
        names.update({released: mean for released, ours in names.items() if ours == name})


def below(weights: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """The weights of one network of a file, without its name."""
    start = f"{network}."
    return {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}


def joints(weights: Mapping[str, Tensor], architecture: str, *, layout: str = "") -> int | None:
    """Number of joints of the skeleton that a network was trained on, from its shapes; None if unknown."""
    name, axis, each = {
        "stgcn": ("data_bn.weight", 0, 3),
        "ms-clr": (f"data_bn.{layout}.weight", 0, 3),
        "agcn": ("l1.gcn1.PA", 1, 1),
        "bigru": ("encoder.gru.weight_ih_l0", 1, 6),
        "hcn": ("conv3.0.weight", 1, 1),
    }[architecture]
    value = weights.get(name)
    return None if value is None or value.dim() <= axis else value.shape[axis] // each


def architecture(weights: Mapping[str, Tensor]) -> str | None:
    """The known network that has weights of these names; None if there is none."""
    signs = {
        "bigru": r"encoder\.gru\..*",
        "agcn": r"l1\.gcn1\..*",
        "hcn": r"conv1\.0\..*",
        "ms-clr": r"data_bn\.[^.]+\.weight",
        "stgcn": r"data_bn\.weight",
    }
    return next((kind for kind, sign in signs.items() if any(re.fullmatch(sign, n) for n in weights)), None)
