"""Writers that are gone at every moment: what is there is the old or the new, or nothing, never a mixture,
and the same work again gives what it gives undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from schemas import SkelError
from schemas.system import replacing
from tests.killed import killed_before
from tests.trainer import results, runs
from tests.trainer.stores import write_store
from trainer import checkpoint, loop
from trainer.export import load_encoder
from trainer.export.write import export_run
from trainer.run import read_result

MOST = 40
"""Changes of names that a writer may make."""


def at_every_moment(write: Callable[[], object], check: Callable[[], None]) -> int:
    """Kill ``write`` before each of its changes, ``check`` what is there; the number of kills."""
    for number in range(1, MOST):
        if not killed_before(number, write):
            check()
            return number - 1
        check()
    raise AssertionError("it goes on and on")


def test_a_result_and_its_scores_belong_together(tmp_path: Path) -> None:
    old, new = (results.scores(seed=seed) for seed in (0, 1))
    path = results.write(tmp_path, of=old, top1=0.25)

    def check() -> None:
        if path.exists():
            saved = read_result(path)
            kept = {0.25: old, 0.75: new}[saved.result.top1]
            assert torch.equal(saved.scores().values, kept.values)

    assert at_every_moment(lambda: results.write(tmp_path, of=new, top1=0.75), check) >= 3
    assert read_result(path).result.top1 == 0.75


def test_a_checkpoint_is_the_old_or_the_new(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s.zarr")
    loop.pretrain(runs.tiny_config(store, optimise__epochs=1), out=tmp_path / "run")
    path = tmp_path / "run" / checkpoint.LAST
    saved = checkpoint.load(path)
    later = checkpoint.Checkpoint(**{**saved.__dict__, "step": 7})

    def check() -> None:
        assert checkpoint.load(path).step in (saved.step, 7)

    assert at_every_moment(lambda: checkpoint.save(later, path), check) >= 2
    assert checkpoint.load(path).step == 7
    _check_export(tmp_path)


def _check_export(folder: Path) -> None:
    out = folder / "encoder"
    export_run(folder / "run", out=out)
    before = load_encoder(out).state_dict()

    def check() -> None:
        try:
            found = load_encoder(out).state_dict()
        except SkelError:
            return  # it is told that it is not whole
        assert all(torch.equal(value, found[name]) for name, value in before.items())

    assert at_every_moment(lambda: export_run(folder / "run", out=out, force=True), check) >= 3
    assert load_encoder(out).state_dict().keys() == before.keys()
    _check_new_folders(folder)


def _check_new_folders(folder: Path) -> None:
    """Where there is none, or an empty one, it is there as a whole: the same command again needs no force."""
    for number in range(1, MOST):
        out = folder / f"new-{number}"
        if number % 2:
            out.mkdir()
        killed = killed_before(number, lambda out=out: export_run(folder / "run", out=out))  # type: ignore[misc]
        if not out.exists() or not any(out.iterdir()):
            export_run(folder / "run", out=out)
        load_encoder(out)
        if not killed:
            return
    raise AssertionError("it goes on and on")


@pytest.mark.parametrize("old", [True, False])
def test_a_file_is_the_old_or_the_new(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "x"
    if old:
        path.write_text("old")

    def write() -> None:
        with replacing(path) as partial:
            partial.write_text("new")

    def check() -> None:
        assert not path.exists() or path.read_text() in ("old", "new")
        assert path.exists() or not old

    assert at_every_moment(write, check) >= 1
    assert path.read_text() == "new"


def test_a_training_that_was_killed_at_its_start_begins_again(tmp_path: Path) -> None:
    store, out = write_store(tmp_path / "s.zarr"), tmp_path / "run"
    out.mkdir()
    (out / ".config.yaml.partial-1").write_text("half")
    loop.pretrain(runs.tiny_config(store, optimise__epochs=1), out=out, resume=False)
    assert checkpoint.load(out / checkpoint.LAST).epoch == 1
