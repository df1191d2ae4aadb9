"""Building blocks of a custom training script, with plain arguments; see examples/pretrain.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, InstanceOf, SkipValidation
from torch import Tensor, nn

from schemas import Component, Count, UsageError, checks_arguments, unknown
from trainer import data, encoders, losses, metrics
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.augment.chain import Chain
from trainer.batch import Batch
from trainer.evaluate import features as encoded
from trainer.evaluate.features import Features
from trainer.evaluate.knn import Options, vote
from trainer.options import checked
from trainer.skeleton import Skeleton
from trainer.store import Samples, Store

Values = TypeVar("Values", Tensor, NDArray[Any])
"""Tensors or NumPy arrays; the result is of the same kind as the arguments."""


@checks_arguments
def load_clips(
    store: InstanceOf[Store],
    *,
    split: str,
    part: Literal["train", "test"],
    conventions: Annotated[Sequence[str], Field(min_length=1)],
    frames: int,
    stream: Literal["joint", "bone", "motion"] = "joint",
) -> Samples:
    """Load one half of a split into memory: ``clips[convention]`` [N, 3, T, V, M] and ``labels`` [N].

    Only rows that all the conventions have are loaded. Raises StoreError, naming what the store has instead.
    """
    return stores.load(store, split=split, part=part, conventions=conventions, frames=frames, stream=stream)


@checks_arguments
def batches(
    clips: InstanceOf[Samples], *, batch_size: Count, seed: int = 0, epoch: int = 0
) -> Iterator[Batch]:
    """Yield the batches of one epoch on the clips' device, in an order that depends only on (seed, epoch).

    An incomplete last batch is dropped unless it is the only one. Raises StoreError for fewer than two clips.
    """
    return data.batches(clips, batch_size=batch_size, seed=seed, epoch=epoch)


def augmentation(*steps: str | tuple[str, Mapping[str, Any]]) -> Chain:
    """Build a chain of augmentations ``(x [N,3,T,V,M], skeleton, generator) -> x``, drawn anew per sample.

    A step is a name, or a name with its options: ``("shear", {"amplitude": 0.5})``. Raises UsageError for an
    unknown name and ConfigError for invalid options.

        >>> import trainer
        >>> chain = trainer.augmentation(("shear", {"amplitude": 0.5}), "temporal_flip")
    """
    return compile_chain([_step(step) for step in steps])


def _step(step: Any) -> Component:
    if isinstance(step, str):
        return Component(name=step)
    if isinstance(step, tuple | list) and len(step) == 2 and isinstance(step[1], Mapping):
        return Component(name=str(step[0]), options=dict(step[1]))
    raise UsageError(
        f"expected the name of an augmentation, or its name and options, found {step!r}",
        remedy="For example ('shear', {'amplitude': 0.5})",
    )


@checks_arguments
def encoder(
    name: str, skeletons: Mapping[str, InstanceOf[Skeleton]], *, seed: int = 0, **options: Any
) -> encoders.Encoder:
    """Build an encoder ``(x [N,3,T,V,M], convention) -> [N, feature_dim]`` for these conventions, on the CPU.

    ``name`` is stgcn, agcn, ctrgcn, vit, bigru or hcn; ``seed`` determines the initial weights. Raises
    UsageError for any other name and ConfigError for invalid options.
    """
    if not skeletons:
        raise UsageError("an encoder needs a skeleton", remedy="trainer.skeletons(store, conventions)")
    generator = torch.Generator().manual_seed(seed)
    return encoders.build(Component(name=name, options=options), skeletons, generator=generator)


@checks_arguments
def info_nce(
    q: InstanceOf[Tensor], k: InstanceOf[Tensor], queue: InstanceOf[Tensor], *, temperature: float
) -> Tensor:
    """The contrastive loss: ``-log(exp(q.k/tau) / (exp(q.k/tau) + sum_i exp(q.m_i/tau)))``, batch mean.

    ``q`` and ``k`` [N, D], the two views of N clips, and ``queue`` [K, D], the negatives, are unit vectors;
    ``temperature`` is tau. Source: AimCLR, Eq. (1). Raises UsageError for mismatched shapes.
    """
    if q.dim() != 2 or k.shape != q.shape or queue.dim() != 2 or queue.shape[1] != q.shape[1]:
        raise UsageError(
            f"q {list(q.shape)}, k {list(k.shape)} and queue {list(queue.shape)} do not fit: expected "
            "[N, D], [N, D] and [K, D]"
        )
    if not temperature > 0:
        raise UsageError(f"temperature is {temperature}, expected a number larger than 0")
    return losses.info_nce(q, k, queue, temperature=temperature)


@checks_arguments
def features(encoder: InstanceOf[nn.Module], clips: InstanceOf[Samples], convention: str) -> Tensor:
    """Encode every clip in evaluation mode: [N, feature_dim] float32 on the CPU.

    Raises UsageError for a convention that ``clips`` does not have.
    """
    if convention not in clips.clips:
        raise unknown("convention of the clips", convention, clips.clips)
    device = next(encoder.parameters()).device
    return encoded.extract(encoder, clips, convention=convention, device=device).values


@checks_arguments
def knn(
    train: Annotated[Values, SkipValidation],
    train_labels: Annotated[Values, SkipValidation],
    test: Annotated[Values, SkipValidation],
    *,
    classes: Count,
    k: int = 20,
    temperature: float = 0.1,
) -> Values:
    """kNN votes [N_test, classes] float32 of the ``k`` nearest training features by cosine similarity.

    Each neighbour votes exp(similarity / temperature). ``train`` [N, D], ``train_labels`` [N] (0-based) and
    ``test`` [N_test, D] are tensors on the CPU or NumPy arrays; the votes are of the same kind. Raises
    UsageError for mismatched shapes and invalid labels.
    """
    bank, labels, queries = (
        _tensor(name, values, axes=axes)
        for name, values, axes in (("train", train, 2), ("train_labels", train_labels, 1), ("test", test, 2))
    )
    if not len(bank) or len(bank) != len(labels) or bank.shape[1] != queries.shape[1]:
        raise UsageError(
            f"train {list(bank.shape)}, train_labels {list(labels.shape)} and test {list(queries.shape)} do "
            "not fit: expected [N, D], [N] and [N_test, D]"
        )
    _check_labels(labels, classes)
    labels, queries = labels.to(bank.device), queries.to(bank.device)
    unlabelled = torch.full((len(queries),), -1)
    options = checked(Options, {"k": k, "temperature": temperature}, where="knn")
    votes = vote(
        Features(bank, labels.long()), Features(queries, unlabelled), classes=classes, options=options
    )
    return votes.numpy() if isinstance(train, np.ndarray) else votes


@checks_arguments
def accuracy(scores: Any, labels: Any, *, top: Count = 1) -> float:
    """Fraction of the rows of ``scores`` [N, classes] whose label is among the ``top`` highest.

    Accepts tensors or NumPy arrays. Raises UsageError for mismatched shapes and invalid labels.
    """
    rows, own = _tensor("scores", scores, axes=2), _tensor("labels", labels, axes=1)
    if not len(rows) or len(rows) != len(own):
        raise UsageError(f"scores {list(rows.shape)} and labels {list(own.shape)} do not fit")
    _check_labels(own, rows.shape[1])
    return metrics.accuracy(rows, own.to(rows.device).long(), top=top)


def _tensor(name: str, values: Any, *, axes: int) -> Tensor:
    try:
        tensor = values if isinstance(values, Tensor) else torch.tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: expected numbers, found {type(values).__name__}") from error
    if tensor.dim() != axes:
        raise UsageError(f"{name} has shape {list(tensor.shape)}, expected {axes} axes")
    return tensor.detach()


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UsageError(f"labels are {labels.dtype}, expected whole numbers")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UsageError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but there are {classes} classes"
        )
