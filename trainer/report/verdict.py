"""The head of the page: a one-sentence conclusion for each run, and the most requested facts.

A difference is called clear if chance is an unlikely reason: from a random encoder, if its kNN accuracy is
below the 95 % interval of the run's; from a baseline, if McNemar's test on the same samples has p < 0.05;
from a published figure never, because its samples are not available.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from statistics import mean, stdev

from schemas import EvaluationResult, SkelError
from trainer import config as configs
from trainer.config import Override
from trainer.evaluate import ensemble
from trainer.report.collect import RunFolder, headline
from trainer.report.gains import shared
from trainer.report.parts import interval, percent
from trainer.report.settings import flat
from trainer.report.tables import best_match, differences
from trainer.run import SavedResult, apart_from_seed, kind_of, measured_on

LEVEL = 0.05
"""Significance level of McNemar's test."""


def verdicts(runs: Sequence[RunFolder], baseline: RunFolder | None) -> tuple[str, ...]:
    """A sentence for each run, or for each group of runs that differ only in the seed."""
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        if run is not baseline or len(runs) == 1:
            groups.setdefault(apart_from_seed(run.config), []).append(run)
    return tuple(_verdict(group, baseline) for group in groups.values())


def _verdict(group: Sequence[RunFolder], baseline: RunFolder | None) -> str:
    run, best = group[0], headline(group[0].results, group[0].reference)
    name = ", ".join(each.name for each in group)
    if best is None:
        return f"{name}: not evaluated yet, so nothing is known of how good it is."
    result = best.result
    what = f"{result.method} on {'demo data in place of ' if result.synthetic else ''}{result.dataset}"
    said = [f"{name}: {what} {result.split}, {_figure(group, best)}", _random(run, result)]
    said += [_against(run, baseline)] if baseline is not None and baseline not in group else []
    said += [] if run.finished else [f"after {run.epoch} of {run.config.optimise.epochs} epochs"]
    return "; ".join([*filter(None, said), _published(run, result)]) + "."


def _figure(group: Sequence[RunFolder], best: SavedResult) -> str:
    """Accuracy with its interval, or mean and deviation over several seeds."""
    result, kind = best.result, kind_of(best)
    alike = [saved.result.top1 for run in group for saved in run.results if kind_of(saved) == kind]
    on = f"{result.figure}, {measured_on(result)}"
    if len(group) > 1 and len(alike) == len(group):
        return f"{percent(mean(alike))} ± {100 * stdev(alike):.1f} % over {len(alike)} seeds ({on})"
    ends = "" if result.interval is None else f", 95 % {interval(result.interval)}"
    return f"{percent(result.top1)} % ({on}{ends})"


def _random(run: RunFolder, result: EvaluationResult) -> str:
    """Compare like with like: kNN of the trained encoder with kNN of the random one."""
    if result.random_knn is None:
        return ""
    chance = f"random encoder {percent(result.random_knn)} %"
    same = (result.convention, result.encoder, result.checkpoint_hash)
    for saved in run.results:
        mine = saved.result
        if mine.figure == "knn" and (mine.convention, mine.encoder, mine.checkpoint_hash) == same:
            return f"kNN {percent(mine.top1)} %, {chance}: {_better(mine, result.random_knn)}"
    return f"kNN of a {chance}"


def _better(result: EvaluationResult, chance: float) -> str:
    if result.top1 <= chance:
        return "not better"
    clear = result.interval is not None and result.interval[0] > chance
    return "clearly better" if clear else "not clearly better"


def _against(run: RunFolder, baseline: RunFolder) -> str:
    pair = shared(run, baseline)
    if pair is None:
        return f"no figure in common with baseline {baseline.name}"
    points = f"{100 * (pair[0].result.top1 - pair[1].result.top1):+.1f} points against {baseline.name}"
    try:
        p = ensemble.compare(*pair).p
    except SkelError:
        return f"{points}: not tested, the scores of the same samples are not at hand"
    return f"{points}: {'clear' if p < LEVEL else 'not clear'} (p = {p:.2g})"


def _published(run: RunFolder, result: EvaluationResult) -> str:
    printed = best_match(run, result)
    if printed is None:
        return "no published figure to compare with"
    published = f"published {printed.value:.1f} % ({printed.source})"
    differs = differences(run, result, printed)
    gap = f", {100 * result.top1 - printed.value:+.1f} points"
    return (
        f"{published}: not comparable, {differs[0]}"
        if differs
        else f"{published}{gap}, under like conditions"
    )


def facts(runs: Sequence[RunFolder]) -> tuple[tuple[str, str], ...]:
    """(name, value) of each fact; a value that differs between runs is listed for each."""
    values_of = {
        "seed": [str(run.config.runtime.seed) for run in runs],
        "device": [f"{run.config.runtime.device}, {run.config.runtime.precision}" for run in runs],
        "training": [_time(run) for run in runs],
        "evaluation": [f"{sum(saved.result.seconds for saved in run.results):.1f} s" for run in runs],
        "versions": [_versions(run) for run in runs],
        "command": [command(run) for run in runs],
    }
    names = [run.name for run in runs]
    return tuple((what, _merged(names, values)) for what, values in values_of.items())


def _merged(names: Iterable[str], values: Sequence[str]) -> str:
    if len(set(values)) == 1:
        return values[0]
    return "\n".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))


def _time(run: RunFolder) -> str:
    """Training time from the speeds in the log, which leave out monitors and checkpoints."""
    batch = run.config.optimise.batch_size
    spent = [
        batch * record["step"] / record["clips_per_second"]
        for record in run.epochs
        if record.get("clips_per_second") and isinstance(record.get("step"), int)
    ]
    if not spent or len(spent) < len(run.epochs):
        return f"{run.epoch} epochs"
    minutes, seconds = divmod(round(sum(spent)), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds:02} h" if hours else f"{minutes}:{seconds:02} min"
    return f"{run.epoch} epochs in about {clock}"


def _versions(run: RunFolder) -> str:
    tools = dict.fromkeys(saved.result.tool for saved in run.results)
    store = [] if run.store is None else [f"store by {run.store.manifest.tool}"]
    return ", ".join([*(f"results by {tool}" for tool in tools), *store]) or "not recorded"


def command(run: RunFolder) -> str:
    """The command that repeats the training: with the store if possible, else from the run's settings."""
    again = f"trainer pretrain --config {shlex.quote(str(run.path / 'config.yaml'))} --out again"
    if run.store is None or run.config.data.more or run.config.init_from is not None:
        return again
    settings, (method, _, preset) = run.config, run.config.preset.partition("/")
    options = settings.method.options
    base = options["base"]["name"] if "base" in options else None
    flags = {
        "split": ("data.split", settings.data.split),
        "convention": ("data.conventions", settings.data.conventions),
        "stream": ("data.stream", settings.data.stream),
        "epochs": ("optimise.epochs", settings.optimise.epochs),
        "seed": ("runtime.seed", settings.runtime.seed),
    }
    try:
        given = [Override(path, value) for path, value in flags.values()]
        given.append(Override("data.frames", settings.data.frames))
        plain = configs.resolve(run.store, method=method, preset=preset, base=base, overrides=given)
    except SkelError:
        return again
    words = ["trainer", "pretrain", "--store", run.store.path.name, "--method", method, "--preset", preset]
    words += [] if base is None else ["--base", base]
    for name, (_, value) in flags.items():
        for each in value if isinstance(value, tuple) else (value,):
            words += [f"--{name}", str(each)]
    words += ["--set", f"data.frames={settings.data.frames}"]
    expected = flat(plain.config)
    for path, text in flat(settings).items():
        if text != expected.get(path) and path not in ("data.store", "preset"):
            words += ["--set", f"{path}={text}"]
    return shlex.join(words)
