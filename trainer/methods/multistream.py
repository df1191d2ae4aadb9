"""Several streams of a clip, each with its own encoder pair and queue, updated in lockstep."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from schemas import ConfigError, UsageError
from trainer import losses
from trainer.methods.moco import MoCo, MoCoOptions, Network
from trainer.methods.parts import Parts

Stream = Literal["joint", "bone", "motion"]


def _distinct(streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
    if len(streams) < 2 or len(set(streams)) != len(streams):
        raise ValueError("must name two or more different streams")
    return streams


Streams = Annotated[tuple[Stream, ...], AfterValidator(_distinct)]


class StreamMoCos(nn.Module):
    """A MoCo per stream; the queues are filled together, so entry i is the same clip in all of them."""

    def __init__(
        self,
        options: MoCoOptions,
        parts: Parts,
        streams: Sequence[str],
        *,
        heads: Literal["independent", "shared"] = "independent",
    ) -> None:
        super().__init__()
        self.mocos = {stream: MoCo(options, parts) for stream in streams}
        self.streams = nn.ModuleDict(self.mocos)
        if heads == "shared":
            first, *others = self.mocos.values()
            for moco in others:
                _share_projector(moco.query, first.query)
                _share_projector(moco.key, first.key)

    def advance(self, streams: Collection[str] | None = None) -> None:
        """Move the key networks of ``streams`` (None: all) towards their query networks, in training."""
        for stream, moco in self.mocos.items():
            if streams is None or stream in streams:
                moco.advance()

    def queries(self, views: Mapping[str, Tensor], convention: str) -> dict[str, Tensor]:
        """stream -> x [N,3,T,V,M] to stream -> [N, dim] unit vectors."""
        return {stream: moco.query(views[stream], convention) for stream, moco in self.mocos.items()}

    def keys(self, views: Mapping[str, Tensor], convention: str) -> dict[str, Tensor]:
        """Like ``queries``, by the key networks and without a gradient."""
        return {stream: moco.keys(views[stream], convention) for stream, moco in self.mocos.items()}

    def scores(self, q: Mapping[str, Tensor], k: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """stream -> [N, 1+K]: similarities to the stream's own key and queue, divided by the temperature."""
        return {stream: moco.scores(q[stream], k[stream], rows) for stream, moco in self.mocos.items()}

    def similarities(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``MoCo.similarities`` averaged over the streams, and ``positive_STREAM`` of every stream."""
        of = {stream: moco.similarities(scores[stream]) for stream, moco in self.mocos.items()}
        metrics = list(next(iter(of.values())))
        means = {metric: torch.stack([each[metric] for each in of.values()]).mean() for metric in metrics}
        positives = {stream: each["positive"] for stream, each in of.items()}
        return {**means, **named("positive", positives)}

    def mined_rows(self, scores: Mapping[str, Tensor], neighbours: int) -> Tensor:
        """[N, streams * neighbours] int64: rows of each stream's nearest keys, -1 if unknown; for the log."""
        rows = [
            moco.mined_rows(losses.nearest(scores[stream], neighbours), neighbours)
            for stream, moco in self.mocos.items()
        ]
        return torch.cat(rows, dim=1)

    def remember(self, k: Mapping[str, Tensor], rows: Tensor) -> None:
        """Enqueue the keys of the clips ``rows`` at the same places of all queues; only in training."""
        for stream, moco in self.mocos.items():
            moco.remember(k[stream], rows)


def _share_projector(network: Network, first: Network) -> None:
    """In place, replace the projector's last layer by the whole projector of ``first``."""
    *layers, last = network.projector
    if last.in_features != first.encoder.feature_dim:
        raise ConfigError(
            f"heads shared puts the first stream's head, which takes {first.encoder.feature_dim} values, "
            f"after a hidden layer of {last.in_features}",
            where="method.options.hidden",
            remedy="Leave it at null: as wide as the feature",
        )
    network.projector = nn.Sequential(*layers, first.projector)


def named(metric: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``metric_STREAM`` -> detached scalar, for the log."""
    return {f"{metric}_{stream}": value.detach() for stream, value in values.items()}


def total(values: Mapping[str, Tensor]) -> Tensor:
    """The sum over the streams."""
    return torch.stack(list(values.values())).sum()


def no_single_stream(parts: Parts, *, method: str) -> None:
    """Raises UsageError when ``data.stream`` selects a single stream for a method that trains several."""
    if parts.stream != "joint":
        raise UsageError(
            f"{method} trains several streams at once and derives them from the joints, "
            f"found stream '{parts.stream}'",
            where="data.stream",
            remedy="Leave --stream out; method.options.streams says which streams are trained",
        )
