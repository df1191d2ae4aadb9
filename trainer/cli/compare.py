"""``trainer compare``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.commands import echo
from trainer.cli.figures import print_results
from trainer.cli.options import PATH

if TYPE_CHECKING:
    from trainer.evaluate.significance import McNemar
    from trainer.run import SavedResult


@click.command("compare")
@click.argument("first", metavar="RUN_A", type=PATH)
@click.argument("second", metavar="RUN_B", type=PATH)
@click.option("--protocol", default="linear", show_default=True, help="Protocol whose scores are compared.")
@click.option(
    "--convention", "conventions", multiple=True, help="Convention of the result, when there are several."
)
@click.option(
    "--encoder", "encoders", multiple=True, help="Encoder of the result, such as joint or joint+motion+bone."
)
@click.option("--json", "as_json", is_flag=True, help="Print the test as JSON.")
def command(
    first: Path,
    second: Path,
    protocol: str,
    conventions: tuple[str, ...],
    encoders: tuple[str, ...],
    as_json: bool,
) -> None:
    """McNemar's test: do two evaluations differ by more than chance, on the same test samples?

    RUN_A and RUN_B are run folders or single result files. From two runs, results of the same convention,
    stream and encoder are used if there are any; otherwise a warning names both. RUN/untrained has
    what `trainer evaluate RUN --untrained` measured. Only saved scores are read: no store, no GPU.

    \b
    Examples:
      trainer compare runs/ms-clr runs/aimclr --protocol linear
      trainer compare runs/csclr/results/linear-kinectv2_25-joint.json runs/aimclr --json
      trainer compare runs/aimclr runs/aimclr/untrained --protocol semi-1
    """
    from trainer.evaluate import ensemble
    from trainer.run import find_results, kind_of, measured_on, only_like, only_result

    results = [
        find_results(run, protocol=protocol, conventions=conventions, encoders=encoders)
        for run in (first, second)
    ]
    pair = only_like(*results)
    one, two = pair or (only_result(results[0], where=first), only_result(results[1], where=second))
    alike = kind_of(one) == kind_of(two)
    test = ensemble.compare(one, two)
    if as_json:
        files = {"first": str(one.path), "second": str(two.path)}
        what = {"first_of": measured_on(one.result), "second_of": measured_on(two.result), "alike": alike}
        echo(json.dumps(files | what | asdict(test) | {"difference": test.difference}, indent=2))
    else:
        _print(one, two, test)
    if not alike:
        echo(
            f"warning: not like with like: A is {one.result.figure} of {measured_on(one.result)}, B "
            f"{two.result.figure} of {measured_on(two.result)}; a part of the difference is theirs. Choose "
            "with --convention and --encoder, or evaluate both on the same",
            err=True,
        )


def _print(one: SavedResult, two: SavedResult, test: McNemar) -> None:
    print_results([one.result, two.result], [f"A: {one.path}", f"B: {two.path}"])
    from trainer.run import measured_on

    echo(f"A: {measured_on(one.result)}; B: {measured_on(two.result)}")
    echo(
        f"both right {test.both}, only A {test.only_first}, only B {test.only_second}, neither {test.neither}"
    )
    echo(
        f"A - B = {100 * test.difference:+.1f} points; McNemar ({test.test}): p = {test.p:.2g}"
        + (", not significant at the 5 % level" if test.p >= 0.05 else "")
    )
