"""Semi-supervised: encoder and classifier are trained on several draws of a small share of the labels.

Shares and the mean of five draws: ISC, table 2. A draw takes the same number of clips from every class, or a
share of each class. The selection depends only on the seed and the ids of the samples, by SHA-256: it is the
same on every machine and for every order of the rows, and a larger share contains the smaller ones of its
draw.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Unpack

import torch
from pydantic import Field
from torch import nn

from schemas import ConfigError, StoreError
from trainer import seeds
from trainer.data import Source
from trainer.evaluate import balance
from trainer.evaluate.fit import Around, fit, settings
from trainer.evaluate.halves import chosen
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores
from trainer.evaluate.training import SCHEDULES, Training
from trainer.store import OnProgress, Samples

NEEDS = Needs(clips=True)

Percent = Annotated[float, Field(gt=0, le=100)]
Counts = Literal["equal", "rounded"]


class Options(Training):
    """Defaults: those of ``finetune``; SkeleMixCLR has its own schedule.

    The test half is evaluated only after the last epoch: it is far larger than what is trained on.
    """

    # SkeleMixCLR, IV-C, Semi-Supervised Evaluation Protocol: 100 epochs, rate 0.1, a tenth of it from 80 on,
    # 20 epochs of warm-up; the rest as for finetuning.
    schedules: ClassVar[dict[str, dict[str, Any]]] = SCHEDULES | {
        "skelemix": SCHEDULES["skelemix"] | {"epochs": 100, "milestones": (80,), "warmup_epochs": 20},
        "small": SCHEDULES["small"] | {"batch_size": 16},
    }

    shares: tuple[Percent, ...] = Field(default=(1, 5, 10, 20), min_length=1)
    """Percent of the training clips. ISC: 1, 5, 10 and 20."""
    draws: int = Field(default=5, ge=1)
    """ISC: five."""
    counts: Counts = "equal"
    """Clips drawn from a class. ``equal``: the same number for all. ``rounded``: the share of its clips,
    rounded as in Python, so possibly none; the released code of AimCLR, SkeleMixCLR and MS-CLR draws this
    way, from a generator without a seed."""
    test_every: int = Field(default=0, ge=0)


def evaluate(
    encoder: nn.Module, train: Source, test: Source, *, options: Options, **around: Unpack[Around]
) -> list[Scores]:
    """``semi-1``, ``semi-5``, ...: for each share, the scores of every draw and the ids that were drawn.

    Raises StoreError when a sample is in both halves.
    """
    _check_apart(train, test)
    trainings = 0
    scores: list[Scores] = []
    for share in options.shares:
        drawn, fits = [], []
        for draw in range(options.draws):
            rows = drawn_rows(train, share=share, seed=around["seed"], draw=draw, counts=options.counts)
            subset = _in_order(chosen(train, torch.tensor(rows)))
            drawn.append(list(subset.ids))
            here: Around = {
                **around,
                "seed": seeds.derive(around["seed"], "semi", draw),
                "on_progress": _part(around["on_progress"], trainings, len(options.shares) * options.draws),
            }
            fits.append(fit("semi", encoder, subset, test, options=options, **here))
            trainings += 1
        best = [fitted.best_top1 for fitted in fits if fitted.best_top1 is not None]
        scores.append(
            Scores(
                test.ids,
                test.labels,
                fits[0].scores,
                around["classes"],
                protocol="semi",
                name=f"semi-{share:g}",
                settings=settings(options, around["device"]) | {"shares": [share]},
                draws=tuple(fitted.scores for fitted in fits),
                best_top1=sum(best) / len(best) if best else None,
                head=fits[0].head,
                details={
                    "share_percent": share,
                    "labels": len(drawn[0]),
                    "drawn_ids": drawn,
                    "trainings": [fitted.curves() for fitted in fits],
                    "notes": _more_than_asked(f"semi-{share:g}", share, len(drawn[0]), train),
                },
            )
        )
    return scores


def drawn_rows(train: Source, *, share: float, seed: int, draw: int, counts: Counts = "equal") -> list[int]:
    """Rows of ``train``, ascending, that a draw selects: ``share`` percent of them, class by class.

    ``equal``: each of the C classes that occur gives floor(share * N / (100 * C)) clips, but at least one,
    and a class with fewer gives all: apart from that minimum of one, a draw from small or unbalanced data
    never exceeds the share. ``rounded``: a class of n clips gives round(share / 100 * n), with halves rounded
    to even. Raises ConfigError when that is none in every class.
    """
    sizes = train.labels.unique(return_counts=True)[1]
    same = max(1, math.floor(share * len(train) / (100 * len(sizes))))

    def count(clips: int) -> int:
        return same if counts == "equal" else round(share / 100 * clips)

    chosen = balance.drawn(train.labels, train.ids, count, seed=seed, address=("semi", draw))
    if not chosen.any():
        raise ConfigError(
            f"{share:g} % of no class is a clip, the largest has {int(sizes.max())}",
            where="semi.counts",
            remedy="Ask for larger semi.shares, or set semi.counts=equal",
        )
    rows: list[int] = chosen.nonzero().flatten().tolist()
    return rows


def _more_than_asked(name: str, share: float, labels: int, train: Source) -> list[str]:
    """A note where a clip of every class, the least, is over one and a half times the share."""
    actual = 100 * labels / len(train)
    if actual <= 1.5 * share:
        return []
    return [f"{name}: {labels} of {len(train)} training samples, {actual:.1f} %: no class has less than one"]


def _in_order(drawn: Source) -> Source:
    """Sort clips in memory by id, the order of the store; those in the store are already in it."""
    if not isinstance(drawn, Samples):
        return drawn
    return chosen(drawn, torch.tensor(sorted(range(len(drawn)), key=lambda row: drawn.ids[row])))


def _check_apart(train: Source, test: Source) -> None:
    both = sorted(set(train.ids) & set(test.ids))
    if both:
        raise StoreError(
            f"{len(both)} samples are in both halves of the split, {both[0]} among them",
            remedy="`skeltools validate` lists what is wrong; convert the raw data again",
        )


def _part(on_progress: OnProgress | None, done: int, parts: int) -> OnProgress | None:
    """The progress of one of ``parts`` trainings, reported as progress of all."""
    if on_progress is None:
        return None
    return lambda now, total: on_progress(done * total + now, parts * total)
