"""Claims about an encoder: evaluation results with everything needed to measure them again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from schemas import EvaluationResult
from schemas._model import Model
from trainer.evaluate import PROTOCOLS
from trainer.run import RESULTS, Run, read_results

FORMAT = 1
KIND = "skeltools figures"


class Claim(Model):
    """A claim that ``trainer verify`` measures again; accuracies are fractions in 0..1, on the test half."""

    figure: str
    """Name of the figure: ``linear``, ``knn1``, ``semi-5``, ..."""
    protocol: str
    settings: dict[str, Any]
    """Settings of the protocol."""
    seed: int = Field(ge=0)
    """Seed of the run, from which the protocol draws."""
    dataset: str
    synthetic: bool
    store: str
    store_hash: str
    """The store's fingerprint: samples, splits, sequences, recipe."""
    recipe: str
    split: str
    convention: str
    stream: str
    encoder: str
    train_samples: int = Field(ge=0)
    test_samples: int = Field(ge=1)
    top1: float = Field(ge=0, le=1)
    """The mean over several random draws; ``top5`` and ``macro`` are of the first draw."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of ``top1`` over the test samples."""
    draws: tuple[float, ...]
    top5: float | None = Field(ge=0, le=1)
    macro: float | None = Field(ge=0, le=1)
    """Mean over the classes."""
    notes: tuple[str, ...]
    command: str
    """The command that measured it; RUN is the run's folder."""

    @property
    def first(self) -> float:
        """Top-1 accuracy of the first draw, whose classifier is the one saved."""
        return self.draws[0] if self.draws else self.top1


class Figures(Model):
    """Format 1: ``figures.json``."""

    kind: Literal["skeltools figures"] = "skeltools figures"
    format: int = Field(ge=1)
    claims: tuple[Claim, ...]


def claims_of(
    run: Run, encoder: str, conventions: Sequence[str], *, learned: str | None = None
) -> list[Claim]:
    """Results of the run's last checkpoint for this encoder alone, each in one convention.

    ``learned``: the figure of a classifier whose encoder was trained with it, so that other figures are of a
    different encoder; None: figures of the frozen encoder. Raises SkelError for a damaged result.
    """
    results = read_results(run.path) if (run.path / RESULTS).is_dir() else []
    of_encoder = [
        saved
        for saved in results
        if saved.result.checkpoint_hash == run.checkpoint_hash
        and saved.result.encoder == encoder
        and saved.result.convention in conventions
        and (is_frozen(saved.result) if learned is None else saved.result.figure == learned)
        and (learned is None or saved.result.store_hash == run.store.hash)
    ]
    order = [*PROTOCOLS]
    of_encoder.sort(key=lambda saved: (order.index(base_of(saved.result.protocol)), saved.path.name))
    return [claim_of(saved.result, seed=run.config.runtime.seed) for saved in of_encoder]


def is_frozen(result: EvaluationResult | Claim) -> bool:
    """Whether a result is of the encoder as pre-trained."""
    return base_of(result.protocol) in PROTOCOLS and not PROTOCOLS[base_of(result.protocol)].NEEDS.clips


def base_of(protocol: str) -> str:
    """The protocol that produces it: ``knn`` also produces ``knn1``."""
    return "knn" if protocol == "knn1" else protocol


def claim_of(result: EvaluationResult, *, seed: int) -> Claim:
    same = {name: getattr(result, name) for name in Claim.model_fields if name in type(result).model_fields}
    return Claim(**same, figure=result.figure, seed=seed, command=_command(result))


def _command(result: EvaluationResult) -> str:
    protocol = base_of(result.protocol)
    words = ["trainer evaluate RUN --protocol", protocol, "--convention", result.convention]
    if "transfer" in result.details:
        words += ["--target", result.store, "--target-split", result.split]
    usual = PROTOCOLS[protocol].Options().model_dump(mode="json")
    for name in usual if result.protocol == protocol else ():
        value = result.settings.get(name, usual[name])
        if value != usual[name]:
            words += ["--set", shlex.quote(f"{protocol}.{name}={_written(value)}")]
    return " ".join(words)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
