"""What writes on a full disk, into places that take no files, or beside another writer: one sentence, and
what there was before is untouched."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from schemas import StoreError
from schemas.locks import locked
from schemas.system import refusal, replacing
from tests.full_disk import content, full_disk
from tests.trainer import runs
from tests.trainer.stores import write_store
from trainer import loop
from trainer.loop.session import LOCK


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a run with results, and all that is written of them."""
    path = tmp_path_factory.mktemp("full")
    write_store(path / "s.zarr")
    loop.pretrain(runs.tiny_config(path / "s.zarr", optimise__epochs=1), out=path / "run")
    for name, arguments in WRITERS.items():
        assert name == "pretrain" or _trainer(path, *arguments) == 0
    return path


WRITERS: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "{0}/run", "--protocol", "knn"),
    "embed": ("embed", "{0}/run", "{0}/s.zarr", "--out", "{0}/f.npz"),
    "embed to zarr": ("embed", "{0}/run", "{0}/s.zarr", "--out", "{0}/f.zarr"),
    "export": ("export", "{0}/run", "--out", "{0}/encoder", "--force"),
    "publish": ("publish", "{0}/run", "--to", "{0}/published", "--force"),
    "report": ("report", "{0}/run", "--no-encoders", "--out", "{0}/page.html", "--markdown", "{0}/page.md"),
    "pretrain": ("pretrain", "--config", "{0}/run/config.yaml", "--out", "{0}/again", "--force"),
}


def _trainer(folder: Path, *arguments: str) -> int:
    from trainer.cli import main

    with pytest.raises(SystemExit) as done:
        main([argument.format(folder) for argument in arguments])
    return int(done.value.code or 0)


@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "pretrain"])
def test_a_full_disk_leaves_what_there_was(
    folder: Path, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(folder)
    with full_disk(most=100):
        code = _trainer(folder, *WRITERS[writer])
    told = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert told.startswith("error: ")
    assert "File too large" in told
    assert "run the same command again" in told
    assert "internal" not in told
    assert "partial" not in told
    assert content(folder) == before


@pytest.mark.parametrize("name", ["embed", "export", "publish", "report", "pretrain"])
def test_places_that_take_no_files(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"/proc/{name}.npz"
    arguments = [place if at in ("--out", "--to") else each for at, each in _pairs(WRITERS[name])]
    assert _trainer(folder, *arguments) in (1, 2)
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert "/proc" in told
    assert "internal" not in told


def _pairs(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(("", *arguments), arguments, strict=False))


def test_a_training_on_a_full_disk_keeps_its_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = runs.tiny_config(folder / "s.zarr", optimise__epochs=2)
    loop.pretrain(settings, out=tmp_path / "whole")
    out = tmp_path / "cut"
    shutil.copytree(folder / "run", out)  # one epoch
    before = (out / "checkpoints" / "last.pt").read_bytes()
    with full_disk(most=5000), pytest.raises(OSError, match="File too large") as raised:
        loop.pretrain(settings, out=out, resume=True)
    assert str(refusal(raised.value)).startswith(f"{out}/checkpoints/last.pt: File too large.")
    assert (out / "checkpoints" / "last.pt").read_bytes() == before
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["last.pt"]
    loop.pretrain(settings, out=out, resume=True)
    assert runs_equal(out, tmp_path / "whole")


def runs_equal(one: Path, other: Path) -> bool:
    from trainer import checkpoint

    first, second = (checkpoint.load(path / checkpoint.LAST) for path in (one, other))
    return first.epoch == second.epoch and all(
        value.equal(second.model[name]) for name, value in first.model.items()
    )


def test_one_training_at_a_time(folder: Path, tmp_path: Path) -> None:
    settings = runs.tiny_config(folder / "s.zarr", optimise__epochs=1)
    out = tmp_path / "run"
    with (
        locked(out / LOCK, what=out),
        pytest.raises(StoreError, match=r"run: is being written by another process .process id \d+"),
    ):
        loop.pretrain(settings, out=out)
    assert not out.exists() or not list(out.iterdir())
    loop.pretrain(settings, out=out)
    assert not (out / LOCK).exists()


def test_refusals_say_what_to_do() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "here")
    assert str(refusal(full)) == (
        "here: No space left on device. Make room on the disk, then run the same command again"
    )
    assert "Look whether the disk is full" in str(refusal(OSError("8 requested and 0 written")))
    assert str(refusal(MemoryError())).startswith("there is not enough memory for this.")


def test_files_beside_are_never_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="x") as raised, replacing(tmp_path / "a" / "x") as partial:
        (partial / "deep").write_text("no folder")
    assert raised.value.filename == str(tmp_path / "a" / "x")
