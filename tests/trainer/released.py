"""State dicts of random weights as published code names them, and its networks from equations in numpy.

Sizes are tiny: skeletons of 6 and 8 joints under the names of the published ones, three blocks, clips of 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.trainer import stores
from tests.trainer.stores import FEW, MANY, write_store

Arrays = Mapping[str, NDArray[np.float64]]

JOINTS = {"kinectv2_25": FEW.num_joints, "smplx_42": MANY.num_joints}
CHANNELS, KERNEL, DIM, QUEUE, FRAMES = (4, 4, 8), 3, 8, 16, 12
STRIDES = (1, 2, 1)

_STGCN = {"channels": list(CHANNELS), "stride_blocks": [2], "temporal_kernel": KERNEL, "dropout": 0.0}
SETTINGS: dict[str, Any] = {"data.frames": FRAMES, "optimise.batch_size": 4, "runtime.device": "cpu"}
STGCN = SETTINGS | {f"encoder.options.{name}": value for name, value in _STGCN.items()}


def named_store(path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """A store whose small skeletons have the names of the published ones."""
    for name, spec in (("kinectv2_25", FEW), ("smplx_42", MANY)):
        monkeypatch.setitem(stores.SPECS, name, spec.model_copy(update={"name": name}))
    return write_store(
        path, conventions=tuple(JOINTS), frames=(FRAMES,), streams=("joint", "bone", "motion"), **more
    )


class Draw:
    """Random weights by name."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.found: dict[str, Tensor] = {}

    def normal(self, name: str, *shape: int, scale: float = 0.5) -> None:
        self.found[name] = scale * torch.randn(shape, generator=self.generator)

    def positive(self, name: str, *shape: int) -> None:
        self.found[name] = 0.5 + torch.rand(shape, generator=self.generator)

    def layer(self, name: str, *shape: int) -> None:
        self.normal(f"{name}.weight", *shape)
        self.normal(f"{name}.bias", shape[0], scale=0.2)

    def norm(self, name: str, size: int) -> None:
        self.positive(f"{name}.weight", size)
        self.normal(f"{name}.bias", size, scale=0.2)
        self.normal(f"{name}.running_mean", size, scale=0.3)
        self.positive(f"{name}.running_var", size)
        self.found[f"{name}.num_batches_tracked"] = torch.tensor(7)


def head(draw: Draw, width: int = CHANNELS[-1], *, norm: bool = False) -> None:
    draw.layer("fc.0", width, width)
    if norm:
        draw.norm("fc.1", width)
    draw.layer("fc.3" if norm else "fc.2", DIM, width)


def blocks(draw: Draw) -> None:
    for place, (inner, outer) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
        name = f"st_gcn_networks.{place}"
        draw.layer(f"{name}.gcn.conv", 3 * outer, inner, 1, 1)
        draw.norm(f"{name}.tcn.0", outer)
        draw.layer(f"{name}.tcn.2", outer, outer, KERNEL, 1)
        draw.norm(f"{name}.tcn.3", outer)
        if place and (inner != outer or STRIDES[place] != 1):
            draw.layer(f"{name}.residual.0", outer, inner, 1, 1)
            draw.norm(f"{name}.residual.1", outer)


def stgcn(seed: int, *, norm: bool = False) -> dict[str, Tensor]:
    """A network of CrosSCLR, AimCLR and SkeleMixCLR, whose graph is any."""
    draw, joints = Draw(seed), JOINTS["kinectv2_25"]
    draw.positive("A", 3, joints, joints)
    draw.norm("data_bn", 3 * joints)
    blocks(draw)
    head(draw, norm=norm)
    for place in range(len(CHANNELS)):
        draw.positive(f"edge_importance.{place}", 3, joints, joints)
    return draw.found


def flexible(seed: int) -> dict[str, Tensor]:
    """A network of MS-CLR: graphs and importances padded with zeros to the largest skeleton."""
    draw, size = Draw(seed), max(JOINTS.values())
    for layout, convention in (("ntu-rgb+d", "kinectv2_25"), ("smplx_42", "smplx_42")):
        joints = JOINTS[convention]
        names = [f"A_{layout}", *(f"edge_importance.{layout}.{place}" for place in range(len(CHANNELS)))]
        for name in names:
            draw.positive(name, 3, size, size)
            draw.found[name][:, joints:] = 0
            draw.found[name][:, :, joints:] = 0
        draw.norm(f"data_bn.{layout}", 3 * joints)
    blocks(draw)
    head(draw)
    return draw.found


def agcn(seed: int) -> dict[str, Tensor]:
    draw, joints = Draw(seed), JOINTS["kinectv2_25"]
    draw.norm("data_bn", 2 * joints * 3)
    for place, (inner, outer) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
        name = f"l{place + 1}"
        draw.normal(f"{name}.gcn1.PA", 3, joints, joints, scale=0.1)
        for part in range(3):
            draw.layer(f"{name}.gcn1.conv_a.{part}", outer // 4, inner, 1, 1)
            draw.layer(f"{name}.gcn1.conv_b.{part}", outer // 4, inner, 1, 1)
            draw.layer(f"{name}.gcn1.conv_d.{part}", outer, inner, 1, 1)
        if inner != outer:
            draw.layer(f"{name}.gcn1.down.0", outer, inner, 1, 1)
            draw.norm(f"{name}.gcn1.down.1", outer)
        draw.norm(f"{name}.gcn1.bn", outer)
        draw.layer(f"{name}.tcn1.conv", outer, outer, KERNEL, 1)
        draw.norm(f"{name}.tcn1.bn", outer)
        if place and (inner != outer or STRIDES[place] != 1):
            draw.layer(f"{name}.residual.conv", outer, inner, 1, 1)
            draw.norm(f"{name}.residual.bn", outer)
    head(draw)
    return draw.found


def bigru(seed: int, *, units: int = 4, layers: int = 2) -> dict[str, Tensor]:
    draw, inputs = Draw(seed), 2 * JOINTS["kinectv2_25"] * 3
    for layer in range(layers):
        for way in ("", "_reverse"):
            end = f"_l{layer}{way}"
            draw.normal(f"encoder.gru.weight_ih{end}", 3 * units, inputs if layer == 0 else 2 * units)
            draw.normal(f"encoder.gru.weight_hh{end}", 3 * units, units)
            draw.normal(f"encoder.gru.bias_ih{end}", 3 * units)
            draw.normal(f"encoder.gru.bias_hh{end}", 3 * units)
    head(draw, 2 * units)
    return draw.found


def below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in weights.items()}


def queue(mark: str = "", *, name: str = "queue", pointer: str = "queue_ptr") -> dict[str, Tensor]:
    keys = torch.randn(DIM, QUEUE, generator=torch.Generator().manual_seed(9))
    return {f"{name}{mark}": keys / keys.norm(dim=0), f"{pointer}{mark}": torch.tensor([12])}


def single(make: Any, **options: Any) -> dict[str, Tensor]:
    """A checkpoint of a method with one pair of networks."""
    return below("encoder_q", make(1, **options)) | below("encoder_k", make(2, **options)) | queue()


def crosclr() -> dict[str, Tensor]:
    """Motion and bone have an own first layer of the head, and the joints' whole head behind it."""
    found: dict[str, Tensor] = {}
    for seed, (side, mark) in enumerate((s, m) for m in ("", "_motion", "_bone") for s in "qk"):
        network = stgcn(seed)
        if mark:
            del network["fc.2.weight"], network["fc.2.bias"]
            first = {n.split("fc.")[1]: w for n, w in found.items() if n.startswith(f"encoder_{side}.fc.")}
            network |= {f"fc.2.{name}": value for name, value in first.items()}
        found |= below(f"encoder_{side}{mark}", network) | queue(mark)
    return found


def isc() -> dict[str, Tensor]:
    """Series and graph."""
    pairs = {"q": bigru(1), "k": bigru(2), "r": agcn(3), "l": agcn(4)}
    networks = [below(f"encoder_{name}", network) for name, network in pairs.items()]
    queues = queue("_S1", name="Queue") | queue("_S2", name="Queue")
    return {name: value for each in (*networks, queues) for name, value in each.items()}


# --- the networks, from their equations


def arrays(weights: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    return {name: value.double().numpy() for name, value in weights.items()}


def batch_norm(x: NDArray[np.float64], w: Arrays, name: str, *, training: bool) -> NDArray[np.float64]:
    """Of axis 1, with the statistics of the batch or those of the weights."""
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    mean = x.mean(others) if training else w[f"{name}.running_mean"]
    variance = x.var(others) if training else w[f"{name}.running_var"]
    scaled = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
    out: NDArray[np.float64] = scaled * w[f"{name}.weight"].reshape(shape) + w[f"{name}.bias"].reshape(shape)
    return out


def over_time(x: NDArray[np.float64], w: Arrays, name: str, *, stride: int) -> NDArray[np.float64]:
    """[N,C,T,V] -> [N,O,ceil(T / stride),V]: a convolution along time, zeros around."""
    weight, frames = w[f"{name}.weight"][..., 0], x.shape[2]
    side = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (side, side), (0, 0)))
    out = sum(
        np.einsum("oc,nctv->notv", weight[:, :, tap], padded[:, :, tap : tap + frames])
        for tap in range(weight.shape[2])
    )
    return (out + w[f"{name}.bias"][:, None, None])[:, :, ::stride]


def points(x: NDArray[np.float64], w: Arrays, name: str) -> NDArray[np.float64]:
    """A 1x1 convolution."""
    return over_time(x, w, name, stride=1)


def stgcn_features(
    w: Arrays,
    x: NDArray[np.float64],
    *,
    training: bool,
    graph: str = "A",
    norm: str = "data_bn",
    edges: str = "",
) -> NDArray[np.float64]:
    """x [N,3,T,V,M] -> [N, C]. Yan et al. 2018, Eq. (10): ``sum_k W_k x (A_k * M_k)``, then along time.

    A graph of more joints than x has, as MS-CLR's smaller skeletons have: zeros join behind the input's norm,
    are in the statistics of all others, and are left out of the mean over the joints.
    """
    n, c, t, v, m = x.shape
    flat = x.transpose(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
    y = batch_norm(flat, w, norm, training=training).reshape(n * m, v, c, t).transpose(0, 2, 3, 1)
    y = np.pad(y, [(0, 0), (0, 0), (0, 0), (0, w[graph].shape[2] - v)])
    for place, stride in enumerate(STRIDES):
        name, before = f"st_gcn_networks.{place}", y
        weighted = w[graph] * w[f"edge_importance.{edges}{place}"]
        mixed = points(y, w, f"{name}.gcn.conv")
        y = np.einsum("nkctv,kvw->nctw", mixed.reshape(len(y), 3, -1, *mixed.shape[2:]), weighted)
        y = np.maximum(batch_norm(y, w, f"{name}.tcn.0", training=training), 0)
        y = over_time(y, w, f"{name}.tcn.2", stride=stride)
        y = batch_norm(y, w, f"{name}.tcn.3", training=training)
        if place:
            if f"{name}.residual.0.weight" in w:
                before = over_time(before, w, f"{name}.residual.0", stride=stride)
                before = batch_norm(before, w, f"{name}.residual.1", training=training)
            y = y + before
        y = np.maximum(y, 0)
    return y[..., :v].mean((2, 3)).reshape(n, m, -1).mean(1)


def agcn_features(
    w: Arrays, x: NDArray[np.float64], graph: NDArray[np.float64], *, training: bool
) -> NDArray[np.float64]:
    """x [N,3,T,V,2] -> [N, C]. Shi et al. 2019, Eq. (3): ``sum_k W_k x (A_k + B_k + C_k)``."""
    n, c, t, v, m = x.shape
    flat = x.transpose(0, 4, 3, 1, 2).reshape(n, m * v * c, t)
    y = batch_norm(flat, w, "data_bn", training=training).reshape(n * m, v, c, t).transpose(0, 2, 3, 1)
    for place, stride in enumerate(STRIDES):
        name, before, mixed = f"l{place + 1}", y, 0.0
        for k in range(3):
            theta, phi = (points(y, w, f"{name}.gcn1.conv_{each}.{k}") for each in "ab")
            scores = np.exp(np.einsum("nctv,nctw->nvw", theta, phi) / (theta.shape[1] * theta.shape[2]))
            made = scores / scores.sum(1, keepdims=True)
            seen = np.einsum("nctv,nvw->nctw", y, graph[k] + w[f"{name}.gcn1.PA"][k] + made)
            mixed = mixed + points(seen, w, f"{name}.gcn1.conv_d.{k}")
        own = y
        if f"{name}.gcn1.down.0.weight" in w:
            own = batch_norm(points(y, w, f"{name}.gcn1.down.0"), w, f"{name}.gcn1.down.1", training=training)
        y = np.maximum(batch_norm(np.asarray(mixed), w, f"{name}.gcn1.bn", training=training) + own, 0)
        y = batch_norm(
            over_time(y, w, f"{name}.tcn1.conv", stride=stride), w, f"{name}.tcn1.bn", training=training
        )
        if place:
            if f"{name}.residual.conv.weight" in w:
                before = over_time(before, w, f"{name}.residual.conv", stride=stride)
                before = batch_norm(before, w, f"{name}.residual.bn", training=training)
            y = y + before
        y = np.maximum(y, 0)
    return y.mean((2, 3)).reshape(n, m, -1).mean(1)


def bigru_features(w: Arrays, x: NDArray[np.float64], *, layers: int = 2) -> NDArray[np.float64]:
    """x [N,3,T,V,2] -> [N, 2 * units]: both directions stepped forward in time, as the released code does."""
    n, _, t, _, _ = x.shape
    series = x.transpose(0, 2, 4, 3, 1).reshape(n, t, -1)
    for layer in range(layers):
        ways = [_stepped(w, series, f"_l{layer}{way}") for way in ("", "_reverse")]
        series = np.concatenate(ways, axis=2)
    return series[:, -1]


def _stepped(w: Arrays, series: NDArray[np.float64], end: str) -> NDArray[np.float64]:
    """Cho et al. 2014, with the reset gate behind the product as in cuDNN: [N,T,I] -> [N,T,H]."""

    def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = 1 / (1 + np.exp(-values))
        return out

    inner, outer = (w[f"encoder.gru.weight_{each}{end}"].T for each in ("ih", "hh"))
    state, out = np.zeros((len(series), outer.shape[0])), []
    for frame in series.transpose(1, 0, 2):
        given = np.split(frame @ inner + w[f"encoder.gru.bias_ih{end}"], 3, axis=1)
        kept = np.split(state @ outer + w[f"encoder.gru.bias_hh{end}"], 3, axis=1)
        reset, update = sigmoid(given[0] + kept[0]), sigmoid(given[1] + kept[1])
        state = (1 - update) * np.tanh(given[2] + reset * kept[2]) + update * state
        out.append(state)
    return np.stack(out, axis=1)
