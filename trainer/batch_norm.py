"""BatchNorm with statistics computed over the batch of all processes.

Networks are converted after they are built; parameters, buffers and their names do not change, so checkpoints
are the same with and without it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer import distributed


class JoinedBatchNorm(_BatchNorm):
    """BatchNorm over all dimensions but the second and, in training mode, over all processes.

    Written in plain tensor operations for devices that PyTorch's ``SyncBatchNorm`` does not support. The
    processes may have different numbers of rows.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> same."""
        if not self.training or distributed.size() == 1:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        dims = [dim for dim in range(x.dim()) if dim != 1]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        rows = x.new_tensor([x.numel() / x.shape[1]])
        sums, count = distributed.total(torch.cat([x.sum(dims), rows])).split([x.shape[1], 1])
        mean = sums / count
        away = x - mean.view(shape)
        variance = distributed.total(away.square().sum(dims)) / count
        track(self, mean.detach(), variance.detach() * count / (count - 1))
        out = away * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)


@torch.no_grad()
def track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics of ``norm``, if it has any, with the mean and variance [C] of a batch.

    ``variance`` is the unbiased estimate.
    """
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def join_(network: nn.Module) -> None:
    """In place, make every BatchNorm of the network compute its statistics over all processes."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, _joined(child))


def running_statistics(module: nn.Module) -> list[Tensor]:
    """The running means and variances of every BatchNorm."""
    norms = (each for each in module.modules() if isinstance(each, _BatchNorm))
    pairs = [(each.running_mean, each.running_var) for each in norms]
    return [tensor for pair in pairs for tensor in pair if tensor is not None]


def _joined(norm: _BatchNorm) -> _BatchNorm:
    kind = nn.SyncBatchNorm if norm.weight is not None and norm.weight.is_cuda else JoinedBatchNorm
    made: _BatchNorm = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    # The same tensor objects, not copies: an optimiser may hold references to them.
    made._parameters, made._buffers = norm._parameters, norm._buffers
    return made.train(norm.training)
