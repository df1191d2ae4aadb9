"""The speed baseline: pre-training and linear evaluation in the common, unoptimised style.

Written for this project from the papers' equations, in the style that released code shares: eager float32 in
the layout [N, C, T, V], graph convolution as a 1x1 convolution to 3 C' channels and an einsum, separate
modules for ReLU, BatchNorm and dropout, a moving average over one parameter at a time, a queue written slot
by slot, and a linear evaluation that re-encodes all clips in every epoch. It computes the same as ours: with
our weights it yields our features (tests/test_benchmarks.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (16, 16, 16, 16, 32, 32, 32, 64, 64, 256)
STRIDE_BLOCKS = (5, 8)
KERNEL, DROPOUT = 9, 0.5
"""ST-GCN at a quarter of its width, as in CrosSCLR and AimCLR."""

QUEUE, DIM, TEMPERATURE, MOMENTUM, THRESHOLD = 32768, 128, 0.07, 0.999, 0.7
"""From AimCLR, Pretext training; the threshold is from its released code."""


class GraphConvolution(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3 * out, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = self.conv(x)
        samples, channels, frames, joints = x.shape
        x = x.view(samples, 3, channels // 3, frames, joints)
        return torch.einsum("nkctv,kvw->nctw", x, adjacency).contiguous()


class Block(nn.Module):
    def __init__(self, channels: int, out: int, *, stride: int, first: bool) -> None:
        super().__init__()
        self.graph = GraphConvolution(channels, out)
        self.graph_bn = nn.BatchNorm2d(out)
        self.between = nn.ReLU(inplace=True)
        self.temporal = nn.Conv2d(out, out, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0))
        self.temporal_bn = nn.BatchNorm2d(out)
        self.dropout = nn.Dropout(0.0 if first else DROPOUT, inplace=True)
        self.first = first
        self.residual: nn.Module = nn.Identity()
        if not first and (channels != out or stride != 1):
            self.residual = nn.Sequential(nn.Conv2d(channels, out, 1, (stride, 1)), nn.BatchNorm2d(out))
        self.after = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        shortcut = 0 if self.first else self.residual(x)
        x = self.between(self.graph_bn(self.graph(x, adjacency)))
        x = self.dropout(self.temporal_bn(self.temporal(x)))
        return self.after(x + shortcut)


class STGCN(nn.Module):
    """x [N, 3, T, V, M] -> features [N, 256]; internally, every body is a sample of the batch."""

    def __init__(self, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency.clone())
        self.importance = nn.ParameterList(torch.ones_like(adjacency) for _ in CHANNELS)
        self.data_bn = nn.BatchNorm1d(3 * adjacency.shape[1])
        widths = (3, *CHANNELS)
        self.blocks = nn.ModuleList(
            Block(widths[i], widths[i + 1], stride=2 if i + 1 in STRIDE_BLOCKS else 1, first=i == 0)
            for i in range(len(CHANNELS))
        )

    def feature_map(self, x: Tensor) -> Tensor:
        samples, channels, frames, joints, bodies = x.shape
        x = x.permute(0, 4, 3, 1, 2).contiguous().view(samples * bodies, joints * channels, frames)
        x = self.data_bn(x).view(samples, bodies, joints, channels, frames)
        x = x.permute(0, 1, 3, 4, 2).contiguous().view(samples * bodies, channels, frames, joints)
        for block, importance in zip(self.blocks, self.importance, strict=True):
            x = block(x, self.adjacency * importance)
        return x

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        pooled = F.avg_pool2d(features, features.shape[2:])
        return pooled.view(-1, bodies, features.shape[1]).mean(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.feature_map(x), x.shape[4])


def weights_from(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a single-convention ``trainer`` ST-GCN, with this module's names."""
    return {(".".join(name.split(".")[2:]) if name.startswith("conventions.") else name): value
            for name, value in ours.items()}  # fmt: skip


class Network(nn.Module):
    """Encoder and projector."""

    def __init__(self, adjacency: Tensor) -> None:
        super().__init__()
        width = CHANNELS[-1]
        self.encoder = STGCN(adjacency)
        self.projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, DIM))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.projector(self.encoder(x)), dim=1)


class MoCo(nn.Module):
    """Query and key networks and a queue [DIM, K], laid out as in MoCo's code."""

    def __init__(self, adjacency: Tensor, *, queue: int = QUEUE) -> None:
        super().__init__()
        self.query = Network(adjacency)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(DIM, queue), dim=0))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def keys(self, x: Tensor) -> Tensor:
        """The keys, after the momentum update of the key network."""
        for query, key in zip(self.query.parameters(), self.key.parameters(), strict=True):
            key.data = key.data * MOMENTUM + query.data * (1 - MOMENTUM)
        return self.key(x)

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        positive = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        return torch.cat([positive, negative], dim=1) / TEMPERATURE

    @torch.no_grad()
    def enqueue(self, k: Tensor) -> None:
        start, size = int(self.pointer), self.queue.shape[1]
        if size % len(k):
            raise ValueError("the queue must be a multiple of the batch")
        self.queue[:, start : start + len(k)] = k.T
        self.pointer[0] = (start + len(k)) % size


def skeletonclr_loss(moco: MoCo, views: tuple[Tensor, ...]) -> Tensor:
    """InfoNCE between the two normal views."""
    q = moco.query(views[0])
    k = moco.keys(views[1])
    logits = moco.logits(q, k)
    moco.enqueue(k)
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def aimclr_loss(moco: MoCo, views: tuple[Tensor, ...]) -> Tensor:
    """AimCLR's first stage: InfoNCE of the normal view, and divergence of the extreme and dropped ones."""
    normal, other, extreme = views
    q = moco.query(normal)
    features = moco.query.encoder.feature_map(extreme)
    bodies = extreme.shape[4]
    embed = moco.query.projector
    q_extreme = F.normalize(embed(moco.query.encoder.pool(features, bodies)), dim=1)
    q_dropped = F.normalize(embed(moco.query.encoder.pool(drop(features), bodies)), dim=1)
    k = moco.keys(other)
    logits, harder, dropped = (moco.logits(each, k) for each in (q, q_extreme, q_dropped))
    target = torch.softmax(logits, dim=1).detach()
    divergence = sum(
        -torch.mean(torch.sum(torch.log(torch.softmax(each, dim=1)) * target, dim=1))
        for each in (harder, dropped)
    )
    moco.enqueue(k)
    labels = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(logits, labels) + divergence / 2


def drop(x: Tensor) -> Tensor:
    """EADM: zero joints, then neurons, whose attention reaches the threshold. [B, C, T, V] -> same."""
    deviation = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
    variance = deviation.sum(dim=[2, 3], keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    attention = torch.sigmoid(deviation / (4 * (variance + 1e-4)) + 0.5).detach()
    for weight in (attention.mean(dim=[1, 2], keepdim=True), attention):
        mask = (weight < THRESHOLD).float()
        x = x * mask * mask.numel() / mask.sum()
    return x


LOSSES: dict[str, Callable[[MoCo, tuple[Tensor, ...]], Tensor]] = {
    "aimclr": aimclr_loss,
    "skeletonclr": skeletonclr_loss,
}


def step(
    name: str, moco: MoCo, optimiser: torch.optim.Optimizer, views: Iterable[Tensor], *, device: torch.device
) -> float:
    """One step on a batch of views; the loss is read immediately, as for a progress bar."""
    moved = tuple(view.to(device, non_blocking=True) for view in views)
    loss = LOSSES[name](moco, moved)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.item())


def sgd(moco: MoCo) -> torch.optim.SGD:
    """The optimiser of the papers."""
    return torch.optim.SGD(moco.query.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, foreach=False)


def linear_epoch(
    encoder: STGCN,
    layer: nn.Linear,
    optimiser: torch.optim.Optimizer,
    halves: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    batch_size: int = 128,
) -> float:
    """One epoch of the linear probe that re-encodes both halves (clips, labels); returns test accuracy."""
    encoder.eval()
    (clips, labels), (test_clips, test_labels) = halves
    for rows in torch.randperm(len(clips)).split(batch_size):
        with torch.no_grad():
            features = encoder(clips[rows])
        loss = F.cross_entropy(layer(features), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        parts = zip(test_clips.split(batch_size), test_labels.split(batch_size), strict=True)
        right = sum(int((layer(encoder(x)).argmax(dim=1) == y).sum()) for x, y in parts)
    return right / len(test_labels)
