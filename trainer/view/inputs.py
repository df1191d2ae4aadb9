"""The inputs of a method's encoders, recorded from the method itself while it processes a batch.

Nothing is computed a second time: augmentations, streams and mixing are those of the method's own
``forward``, with its own draws. Only the encoders process one clip instead of the batch, because what follows
them does not change any view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from schemas import SkeletonSpec
from trainer.augment.chain import Chain
from trainer.batch import Batch
from trainer.methods import Method
from trainer.methods.parts import Views
from trainer.skeleton import Skeleton
from trainer.streams import STREAMS, derive

VIEW = "view"
"""Role of an encoder's input in a method without queries and keys."""

MIXED = "mixed"
"""Name of a view not made by an augmentation chain: a clip with a part of another one."""


@dataclass(frozen=True, eq=False)
class EncoderInput:
    """The input of an encoder for the N clips of a batch."""

    role: str
    """``query``, ``key``, or ``view`` if a method does not distinguish them."""
    name: str
    """``normal``, ``extreme`` or ``mixed``."""
    convention: str
    stream: str
    joints: Tensor
    """[N, 3, T, V, M]: the joints of the view. For a mixed view in another stream, the joints before
    mixing."""
    values: Tensor
    """[N, 3, T, V, M]: the input of the encoder, in its stream."""
    taken: Tensor | None = None
    """[T, V] bool, for a mixed view: the parts that come from another clip or were removed."""


@dataclass(frozen=True, eq=False)
class _ChainOutput:
    """The output of an augmentation chain."""

    name: str
    spec: SkeletonSpec
    joints: Tensor


def distinct_inputs(method: Method, batch: Batch) -> list[EncoderInput]:
    """The ``inputs`` with each view once per role: encoders of several streams or kinds see the same view."""
    unique: dict[tuple[Any, ...], EncoderInput] = {}
    for each in inputs(method, batch):
        unique.setdefault((each.role, each.name, each.convention, each.joints.data_ptr()), each)
    return list(unique.values())


@torch.no_grad()
def inputs(method: Method, batch: Batch) -> list[EncoderInput]:
    """The inputs of the encoders of ``method`` when it is called with ``batch``, in their order.

    The method must be in eval mode: its weights and its queue stay unchanged. It is modified while this runs,
    so nothing else may use it meanwhile.
    """
    with _recording(method) as seen:
        method(batch)
    return seen


@contextmanager
def _recording(method: Method) -> Iterator[list[EncoderInput]]:
    seen: list[EncoderInput] = []
    made: list[_ChainOutput] = []
    views = {name: each for name, each in vars(method).items() if isinstance(each, Views)}
    for name, each in views.items():
        recorded = replace(
            each,
            normal_chain=_recorded_chain("normal", each.normal_chain, made),
            extreme_chain=_recorded_chain("extreme", each.extreme_chain, made),
        )
        setattr(method, name, recorded)
    encoders = _encoders(method)
    for encoder, role in encoders:
        encoder.feature_map = _recorded_map(encoder.feature_map, role, made, seen)
    try:
        yield seen
    finally:
        for name, each in views.items():
            setattr(method, name, each)
        for encoder, _ in encoders:
            del encoder.feature_map


def _encoders(method: Method) -> list[tuple[Any, str]]:
    """The encoders with their roles."""
    keys = getattr(method, "key_networks", None)
    roles = {} if keys is None else {"query": method.networks, "key": keys}
    of = {id(network.encoder): role for role, each in roles.items() for network in each.values()}
    encoders = [module for module in method.modules() if hasattr(module, "feature_map")]
    return [(encoder, of.get(id(encoder), VIEW)) for encoder in encoders]


def _recorded_chain(name: str, chain: Chain, made: list[_ChainOutput]) -> Chain:
    """Wrap a chain so that its outputs are recorded."""

    def call(x: Tensor, skeleton: Skeleton, generator: torch.Generator) -> Tensor:
        joints = chain(x, skeleton, generator)
        made.append(_ChainOutput(name, skeleton.spec, joints))
        return joints

    return cast(Chain, call)


def _recorded_map(
    feature_map: Callable[[Tensor, str], Tensor],
    role: str,
    made: list[_ChainOutput],
    seen: list[EncoderInput],
) -> Callable[[Tensor, str], Tensor]:
    """A replacement that records x and returns a map of the right shape: that of the first clip, repeated."""

    def call(x: Tensor, convention: str) -> Tensor:
        seen.append(_identified(role, convention, x, [each for each in made if each.spec.name == convention]))
        one = feature_map(x[:1], convention)
        return one.repeat(len(x), *[1] * (one.dim() - 1))

    return call


def _identified(role: str, convention: str, x: Tensor, made: list[_ChainOutput]) -> EncoderInput:
    """Identify x: the latest chain output equal to it, else a mixed view of the least different one."""
    known = [
        (each, stream, derive(each.joints, stream, each.spec))
        for each in reversed(made)
        for stream in STREAMS
    ]
    for each, stream, values in known:
        if torch.equal(values, x):
            return EncoderInput(role, each.name, convention, stream, each.joints, x)
    same = [(each, stream, values) for each, stream, values in known if values.shape == x.shape]
    each, stream, values = min(same, key=lambda one: int((one[2] != x).sum()))
    taken = (values != x).any(dim=4).any(dim=1).any(dim=0)
    joints = x if stream == "joint" else each.joints
    return EncoderInput(role, MIXED, convention, stream, joints, x, taken)
