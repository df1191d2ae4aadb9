"""Evaluating a finished run: from its folder to the files in ``results/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from schemas import EvaluationResult, InitConfig, UsageError, unknown
from trainer import device as devices
from trainer import start
from trainer.evaluate import PROTOCOLS, fusion, protocol_options, transfer
from trainer.evaluate.measure import Figure, measured, over_conventions
from trainer.evaluate.occasion import Occasion, chosen_conventions, loader, open_occasion
from trainer.evaluate.results import FOLDER, write_result
from trainer.evaluate.subject import Subject, random_method, run_method, subjects
from trainer.evaluate.verdict import result_of, scores_of
from trainer.streams import STREAMS

Options = Mapping[str, Mapping[str, Any]]
OnProgress = Callable[[int, int], None]

_STARTING = ("finetune", "semi", "supervised")
"""Protocols that can start from the weights of another run or export."""


def evaluate_run(
    run: Path,
    *,
    protocols: Sequence[str] = ("knn",),
    conventions: Sequence[str] = (),
    store: Path | None = None,
    target: Path | None = None,
    target_split: str | None = None,
    device: str = "auto",
    options: Options | None = None,
    untrained: bool = False,
    unfinished: bool = False,
    init_from: Path | None = None,
    init_skip: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> list[EvaluationResult]:
    """Runs the protocols on the last checkpoint of a run; writes a result and its scores for each figure.

    Every encoder of the method is evaluated on its own stored stream: ``<figure>-<convention>.json`` for a
    method with one, ``<figure>-<convention>-<encoder>.json`` for several, and these together behind them.
    Scores are in the ``.npz`` of the same name. ``options``: protocol or ``fusion`` -> options, over those of
    the run's settings, over their own. ``conventions``: none takes the run's first, the reference; ``all``
    stands for all of the run; several are evaluated one by one and then as an ensemble. ``target``: the store
    that ``transfer`` trains on. ``untrained`` replaces the weights by random ones, to see what the training
    was worth, and writes nothing. ``unfinished`` takes a run that has not reached its last epoch.
    ``init_from``: finetune, semi and supervised start from the weights of that run or export, but for those
    that ``init_skip`` matches, and their files are named after them. Raises UsageError, StoreError and
    CheckpointError for whatever does not fit together.
    """
    _check_names(protocols, options or {})  # a slip of the pen is told before anything is read
    _check_target(protocols, target, target_split)
    init = _init(protocols, init_from, init_skip)
    occasion = open_occasion(
        run,
        store=store,
        target=target,
        target_split=target_split,
        device=devices.choose(device),
        untrained=untrained,
        unfinished=unfinished,
    )
    chosen = protocol_options([*protocols, "fusion"], occasion.saved.config.evaluate, options or {})
    fusing = chosen.pop("fusion")
    named = chosen_conventions(occasion.saved, conventions, run)
    method = run_method(occasion)
    given = (options or {}).get("fusion", {})
    _check_fusion(occasion.saved.config.method.name, method, given, several=len(named) > 1)
    _check_together(occasion.saved.config.method.name, method, chosen)
    others = _others(occasion, init)
    found = [_in_convention(occasion, method, each, chosen, fusing, others, on_progress) for each in named]
    found = [[_named_after(init, figure) for figure in several] for several in found]
    figures = [figure for several in found for figure in several]
    if len(named) > 1:
        figures += [over_conventions(same, scores=fusing.scores) for same in zip(*found, strict=True)]
    figures.sort(key=lambda figure: list(chosen).index(figure.protocol))
    return [_published(occasion, figure, several=len(method.encoders) > 1) for figure in figures]


def _in_convention(
    occasion: Occasion,
    method: Any,
    convention: str,
    chosen: Mapping[str, Any],
    fusing: fusion.Options,
    others: Mapping[str, nn.Module],
    on_progress: OnProgress | None,
) -> list[Figure]:
    """The figures of all protocols in one convention; ``others`` start in the place of the run's encoders."""
    if "target" in occasion.grounds:
        trained = occasion.saved.config.data.conventions
        target = occasion.grounds["target"].store
        transfer.check_target(occasion.store, target, convention, trained=trained)
    load = loader(occasion, convention)
    found = subjects(method, occasion, convention, load=load, on_progress=on_progress)
    found = [_starting_from(others, subject, occasion) for subject in found]
    return [
        figure
        for name, settings in chosen.items()
        for figure in measured(
            occasion,
            found,
            convention,
            name,
            settings=settings,
            fusing=fusing,
            load=load,
            on_progress=on_progress,
        )
    ]


def _published(occasion: Occasion, figure: Figure, *, several: bool) -> EvaluationResult:
    """The result, written with its scores unless the weights were random."""
    result = result_of(occasion, figure)
    if not occasion.checkpoint_hash:
        return result
    parts = [result.figure, figure.convention, *([figure.encoder] if several else [])]
    if figure.ground is not occasion.grounds["run"]:
        parts.insert(1, figure.ground.store.path.stem)
    stem = "-".join(parts)
    result = result.model_copy(update={"scores": f"{stem}.npz"})
    write_result(result, scores_of(figure), occasion.run / FOLDER / f"{stem}.json")
    return result


def _init(protocols: Sequence[str], path: Path | None, skip: Sequence[str]) -> InitConfig | None:
    """Raises UsageError for protocols that do not begin with an encoder's weights and go on from there."""
    if path is None:
        if skip:
            raise UsageError(
                "there are no weights to leave out", where="--init-skip", remedy="Add --init-from PATH"
            )
        return None
    frozen = [name for name in protocols if name not in _STARTING]
    if frozen:
        raise UsageError(
            f"--init-from is for {', '.join(_STARTING)}, found {frozen[0]}",
            remedy=f"Evaluate {path} itself: an imported run is a run",
        )
    return start.describe(path, skip=skip)


def _others(occasion: Occasion, init: InitConfig | None) -> dict[str, nn.Module]:
    """The encoders of the run's architecture with other weights; none without ``init``."""
    if init is None:
        return {}
    encoders: dict[str, nn.Module] = random_method(occasion).encoders
    start.initialise_encoders(encoders, init)
    return encoders


def _starting_from(others: Mapping[str, nn.Module], subject: Subject, occasion: Occasion) -> Subject:
    if subject.encoder not in others:
        return subject
    other = others[subject.encoder].to(occasion.device)
    return replace(subject, modules=dict.fromkeys(subject.modules, other))


def _named_after(init: InitConfig | None, figure: Figure) -> Figure:
    """With the weights that it started from in its name and settings: it is no figure of the run's own."""
    if init is None:
        return figure
    outcome = figure.outcome
    name = f"{outcome.name or outcome.protocol}-from-{init.sha256[:8]}"
    settings = outcome.settings | {"init_from": init.model_dump(mode="json")}
    return replace(figure, outcome=replace(outcome, name=name, settings=settings))


def _check_names(protocols: Sequence[str], options: Options) -> None:
    for name in protocols:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, PROTOCOLS)
    protocol_options([*protocols, "fusion"], options)


def _check_fusion(name: str, method: Any, given: Mapping[str, Any], *, several: bool) -> None:
    """One encoder has no streams to weigh; conventions can only be averaged, as softmax or as logits."""
    if given and len(method.encoders) == 1 and not (several and set(given) == {"scores"}):
        raise UsageError(f"{name} trains one encoder, there is nothing to fuse", where="fusion")


def _check_together(name: str, method: Any, chosen: Mapping[str, Any]) -> None:
    """Classifiers learn together over streams; several representations of one have one classifier anyway."""
    if getattr(chosen.get("linear"), "streams", "apart") == "together" and not (
        len(method.encoders) > 1 and set(method.encoders) <= set(STREAMS)
    ):
        raise UsageError(
            f"{name} trains one stream, there are no classifiers to train together",
            where="linear.streams",
            remedy="Leave it out, or take a method that trains several: crosclr, csclr",
        )


def _check_target(protocols: Sequence[str], target: Path | None, target_split: str | None) -> None:
    """``--target`` goes with the protocols that learn on another store, and only with those."""
    needing = [name for name in protocols if getattr(PROTOCOLS[name], "SAMPLES", "run") == "target"]
    if needing and target is None:
        raise UsageError(
            f"{needing[0]} learns on another store, and none was named", remedy="Name it with --target STORE"
        )
    if not needing and (target is not None or target_split is not None):
        raise UsageError(
            f"--target is for transfer, not for {', '.join(protocols)}", remedy="Add --protocol transfer"
        )
