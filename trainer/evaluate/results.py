"""The files of an evaluation: a result as JSON, the scores of its samples beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas import EvaluationResult, SkelError
from trainer.evaluate.fusion import JOINED
from trainer.evaluate.scores import Scores, read_scores, replacing, write_scores

FOLDER = "results"
"""Where a run folder keeps them."""


@dataclass(frozen=True)
class Found:
    """A result and the file it is in."""

    path: Path
    result: EvaluationResult

    def scores(self) -> Scores:
        """Raises SkelError when the result has none, or they are absent or damaged."""
        if self.result.scores is None:
            raise SkelError(
                "this result has no scores; an earlier version wrote it",
                where=self.path,
                remedy=f"Run `trainer evaluate RUN --protocol {self.result.protocol}` again",
            )
        return read_scores(self.path.with_name(self.result.scores))


def write_result(result: EvaluationResult, scores: Scores, path: Path) -> None:
    """``path`` and the scores beside it under the name in the result, each complete or absent."""
    assert result.scores is not None
    write_scores(scores, path.with_name(result.scores))
    with replacing(path) as partial:
        partial.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_result(path: Path) -> Found:
    """Raises SkelError when the file is absent, damaged, or something else."""
    try:
        return Found(path, EvaluationResult.model_validate_json(path.read_bytes()))
    except FileNotFoundError as error:
        raise SkelError(
            "no result here", where=path, remedy="Make one with `trainer evaluate RUN --protocol linear`"
        ) from error
    except (ValidationError, OSError) as error:
        reason = str(error).splitlines()[-1 if isinstance(error, OSError) else 0]
        raise SkelError(
            f"this is not a result of `trainer evaluate`, or it is damaged: {reason}",
            where=path,
            remedy="Evaluate the run again",
        ) from error


def read_results(run: Path) -> list[Found]:
    """All results of a run folder, sorted by file name; empty when nothing has been evaluated yet.

    Raises SkelError when there is no such folder, and for a damaged file.
    """
    if not run.is_dir():
        raise SkelError(
            "no run folder here", where=run, remedy="Name the --out folder of a `trainer pretrain`"
        )
    return [read_result(path) for path in sorted((run / FOLDER).glob("*.json"))]


def find(
    where: Path,
    *,
    protocol: str,
    conventions: Sequence[str] = (),
    encoders: Sequence[str] = (),
    joined: bool = True,
) -> list[Found]:
    """The results of a run folder that are of ``protocol``, or the one result that ``where`` is the file of.

    ``protocol``: a figure or what gave it: ``semi-5`` or ``semi``. ``conventions``, ``encoders``: only those;
    none: all. ``joined`` False: without those of several encoders or conventions together. Raises SkelError
    when nothing is left, naming what there is.
    """
    if where.is_file():
        return [read_result(where)]
    there = read_results(where)
    chosen = [
        found
        for found in there
        if protocol in (found.result.protocol, found.result.figure)
        and (not conventions or found.result.convention in conventions)
        and (not encoders or found.result.encoder in encoders)
        and (joined or JOINED not in found.result.convention + found.result.encoder)
    ]
    if not chosen:
        asked = " ".join([protocol, *conventions, *encoders])
        raise SkelError(
            f"no result of {asked}; there is {', '.join(found.path.stem for found in there) or 'none'}",
            where=where,
            remedy=f"Make it with `trainer evaluate {where} --protocol {protocol}`",
        )
    return chosen
