"""Features of a frozen encoder, computed once: no augmentation, BatchNorm with its running statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from schemas import DataConfig, SkelError, StoreError
from trainer import seeds
from trainer import store as stores
from trainer.data import Source
from trainer.evaluate.crop import Crop
from trainer.evaluate.halves import chunks, open_half, open_halves, stored
from trainer.evaluate.rank import spread
from trainer.run import JOINED
from trainer.store import OnProgress, Samples, Selection, Store
from trainer.streams import STREAMS


@dataclass(frozen=True)
class Features:
    """The input of a protocol on a frozen encoder: one half of a split."""

    values: Tensor
    """[N, D] float32 on the CPU."""
    labels: Tensor
    """[N] int64 on the CPU."""
    ids: tuple[str, ...] = ()
    """Ids of the N samples; empty if they are not needed."""
    encoder: str = ""
    """Name of the encoder in the method; several are joined by ``+``, as are their streams."""
    stream: str = ""
    widths: tuple[int, ...] = ()
    """Feature widths of the encoders whose features lie side by side, D in total; empty for one encoder."""
    anew: Callable[[int], Tensor] | None = None
    """Epoch, counted from 0 -> values encoded anew for that epoch, for temporal crops that differ from epoch
    to epoch; ``values`` are those of epoch 0. None if the values do not change."""


@dataclass(frozen=True)
class Split:
    """A split of a store, read according to the settings of a run."""

    store: Store
    name: str
    data: DataConfig
    _last: dict[tuple[str, ...], tuple[Source, Source]] = field(default_factory=dict, repr=False)
    """Only the halves that were read last: one stream in memory is enough."""

    def halves(self, convention: str, stream: str) -> tuple[Source, Source]:
        """The labelled samples of the training and test halves, within the run's ``data.memory_limit``.

        Raises StoreError when a half has none, and when all training samples are of one class. A test half
        may lack classes, which a note reports; a training half of one class teaches nothing.
        """
        key = self._key(convention, stream)
        if key in self._last:
            return self._last[key]
        self._last.clear()
        selected = [self.select(part, convention, stream) for part in ("train", "test")]
        train, test = open_halves(*selected, memory_limit=self.data.memory_limit)
        if len(train.labels.unique()) < 2:
            name = self.store.manifest.classes[int(train.labels[0])]
            raise StoreError(
                f"all {len(train)} training samples of {self.name} are of one class, '{name}': any figure "
                "would be meaningless",
                where=self.store.path,
                remedy="Evaluate on a split with two classes or more",
            )
        self._last[key] = train, test
        return train, test

    def unlabelled(self, part: str, conventions: Sequence[str]) -> int:
        """How many samples of a half are left out by ``halves`` because they have no label."""
        return int((self._labels(part, conventions) < 0).sum())

    def unmeasurable(self, convention: str) -> str:
        """Why the halves allow no measurement, in words; empty if they do."""
        for part, half in (("test", "test half"), ("train", "training half")):
            labels = self._labels(part, [convention])
            if not len(labels):
                return f"the split '{self.name}' has no {half}"
            if not (labels >= 0).any():
                return f"no sample of the {half} has a label"
        classes = labels[labels >= 0].unique().tolist()
        if len(classes) > 1:
            return ""
        name = self.store.manifest.classes[classes[0]]
        return f"all labelled training samples are of one class, '{name}'"

    def _labels(self, part: str, conventions: Sequence[str]) -> Tensor:
        return stores.labels_of(self.store, split=self.name, part=part, conventions=conventions)

    def trained_on(self, convention: str, stream: str) -> Source:
        """The training half including unlabelled samples, as pre-training sees it."""
        last = self._last.get(self._key(convention, stream))
        if last is not None and not self.unlabelled("train", [convention]):
            return last[0]
        return stored(self.select("train", convention, stream, labelled=False))

    def _key(self, convention: str, stream: str) -> tuple[str, ...]:
        return str(self.store.path), self.name, convention, stream

    def half(self, part: str, convention: str, stream: str) -> Source:
        """The labelled samples of one half, ``train`` or ``test``, within the run's ``data.memory_limit``."""
        return open_half(self.select(part, convention, stream), memory_limit=self.data.memory_limit)

    def select(self, part: str, convention: str, stream: str, *, labelled: bool = True) -> Selection:
        """The samples of a half, without reading their clips."""
        return stores.select(
            self.store,
            split=self.name,
            part=part,
            conventions=[convention],
            frames=self.data.frames,
            stream=stream,
            labelled=labelled,
            bodies=self.data.bodies,
        )


def stream_of(encoder: str, data: DataConfig) -> str:
    """The stored stream that a method's encoder is evaluated on: its own, or else the run's.

    Encoders are named after their stream, or after a representation of the run's only stream.
    """
    return encoder if encoder in STREAMS else data.stream


@torch.no_grad()
def extract(
    encoder: nn.Module,
    samples: Source,
    *,
    convention: str,
    device: torch.device,
    on_progress: OnProgress | None = None,
    view: Callable[[Tensor, int], Tensor] | None = None,
) -> Features:
    """Encode every clip of one convention in float32; the encoder keeps its train or eval mode.

    Clips in the store are read shard by shard. ``view(clips, n)`` turns the n-th chunk, on the device, into
    what is encoded instead; the chunks are the same wherever the clips are.
    """
    training = encoder.training
    encoder.eval()
    try:
        parts, done = [], 0
        for number, chunk in enumerate(chunks(samples, convention)):
            clips = chunk.to(device)
            seen = clips if view is None else view(clips, number)
            parts.append(encoder(seen, convention).float().cpu())
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, len(samples))
    finally:
        encoder.train(training)
    return Features(torch.cat(parts), samples.labels.cpu(), samples.ids)


def picked(samples: Source, convention: str, *, most: int) -> Samples:
    """At most ``most`` clips of one convention in memory, evenly spread over the samples."""
    rows = spread(len(samples), most).to(samples.labels.device)
    start, pieces = 0, []
    for chunk in chunks(samples, convention):
        here = rows[(rows >= start) & (rows < start + len(chunk))]
        pieces.append(chunk[(here - start).to(chunk.device)])
        start += len(chunk)
    ids = tuple(samples.ids[row] for row in rows.tolist())
    return Samples({convention: torch.cat(pieces)}, samples.labels[rows], ids, rows)


def check_finite(features: Features, samples: Source, *, encoder: str, convention: str) -> None:
    """Raises SkelError if a feature is nan or infinite: neighbours and classifiers would be meaningless."""
    bad = (~features.values.isfinite()).any(dim=1)
    if not bad.any():
        return
    count, first = int(bad.sum()), samples.ids[int(bad.nonzero()[0])]
    finite = _finite(samples, bad, convention)
    raise SkelError(
        f"{count} of {len(bad)} clips have features that are not finite, {first} first"
        + ("" if finite else "; the clips themselves are not"),
        where=f"encoder {encoder}, {convention}",
        remedy="The training diverged: look at the loss in metrics.jsonl and train with a lower optimise.lr"
        if finite
        else "`skeltools validate` lists what is wrong with the store; convert the raw data again",
    )


def _finite(samples: Source, rows: Tensor, convention: str) -> bool:
    """Whether all clips in the rows selected by [N] bool are finite."""
    start = 0
    for chunk in chunks(samples, convention):
        if not chunk[rows[start : start + len(chunk)]].isfinite().all():
            return False
        start += len(chunk)
    return True


@torch.no_grad()
def calibrate(encoder: nn.Module, samples: Source, *, convention: str, device: torch.device) -> None:
    """Set BatchNorm's running statistics to those of ``samples``, for an encoder that was never trained.

    Otherwise a random encoder would be normalised by arbitrary constants and look worse than it is. Only
    BatchNorm is in training mode meanwhile: nothing is dropped, so equal weights give equal figures.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    for module in encoder.modules():
        module.training = any(part in norms for part in module.modules())
    for chunk in chunks(samples, convention):
        if len(chunk) > 1:
            encoder(chunk.to(device), convention)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    encoder.eval()


def cropped(
    encoder: nn.Module,
    halves: tuple[Source, Source],
    crop: Crop,
    *,
    convention: str,
    device: torch.device,
    seed: int,
) -> tuple[Features, Features]:
    """Features of temporal crops of both halves; all encoders given the same seed see the same crops."""
    train, test = halves

    def drawn(epoch: int) -> Features:
        def cut(clips: Tensor, chunk: int) -> Tensor:
            return crop.drawn(clips, seeds.generator(device, seed, "crop", epoch, chunk))

        return extract(encoder, train, convention=convention, device=device, view=cut)

    middle = extract(
        encoder, test, convention=convention, device=device, view=lambda clips, _: crop.centre(clips)
    )
    return replace(drawn(0), anew=lambda epoch: drawn(epoch).values), middle


def concatenated(encoders: Sequence[Features], *, unit: bool = False) -> Features:
    """The features of several encoders side by side, [N, D1 + D2 + ...].

    ``unit``: scale each encoder's features to unit length first, so that the cosine between rows is the mean
    of the encoders' cosines, whatever the lengths of their features.
    """

    def joined(values: Sequence[Tensor]) -> Tensor:
        return torch.cat([normalize(each, dim=1) if unit else each for each in values], dim=1)

    draws = [each.anew for each in encoders if each.anew is not None]
    return replace(
        encoders[0],
        values=joined([each.values for each in encoders]),
        encoder=JOINED.join(each.encoder for each in encoders),
        stream=JOINED.join(dict.fromkeys(each.stream for each in encoders)),
        widths=tuple(each.values.shape[1] for each in encoders),
        anew=(lambda epoch: joined([anew(epoch) for anew in draws])) if draws else None,
    )
