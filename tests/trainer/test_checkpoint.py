"""Checkpoints: exact, atomic, and picky about what they are loaded from and into."""

from __future__ import annotations

import dataclasses
import errno
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from schemas import CheckpointError, Component, DataConfig, RunConfig
from trainer import checkpoint
from trainer.checkpoint import Checkpoint


def example(**changes: object) -> Checkpoint:
    config = RunConfig(
        preset="a/b",
        data=DataConfig(store="s.zarr", split="xview", conventions=("few_6",)),
        encoder=Component(name="stgcn"),
        method=Component(name="skeletonclr", options={"temperature": 0.1}),
    )
    network = nn.Linear(3, 2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    state = Checkpoint(
        config=config,
        store_hash="abc",
        epoch=3,
        step=7,
        model=network.state_dict(),
        optimiser=optimiser.state_dict(),
        meter=[{"loss": 1.5}],
        log_position=99,
    )
    return dataclasses.replace(state, **changes)  # type: ignore[arg-type]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = example()
    checkpoint.save(saved, tmp_path / "deep" / "last.pt")
    loaded = checkpoint.load(tmp_path / "deep" / "last.pt")
    for name in ("config", "store_hash", "epoch", "step", "meter", "log_position"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert all(torch.equal(loaded.model[name], value) for name, value in saved.model.items())
    buffers = [state.optimiser["state"][0]["momentum_buffer"] for state in (saved, loaded)]
    assert torch.equal(*buffers)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["last.pt"]


def test_a_failing_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(example(), path)
    before = path.read_bytes()

    def torn(content: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(example(epoch=4), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "text", "pickle", "foreign", "incomplete", "bad config"]
)
def test_other_files_are_refused_on_one_line(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.pt"
    checkpoint.save(example(), path)
    whole = torch.load(path, weights_only=True)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "foreign":
        torch.save({"state_dict": {}}, path)
    elif kind == "incomplete":
        torch.save({key: value for key, value in whole.items() if key != "model"}, path)
    else:
        torch.save(whole | {"config": '{"preset": 3}'}, path)
    with pytest.raises(CheckpointError, match=r"last\.pt: this is not a checkpoint.*damaged") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: float, flip: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "last.pt"
    whole = example()
    checkpoint.save(whole, path)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= flip
    path.write_bytes(content)
    try:
        loaded = checkpoint.load(path)
    except CheckpointError:
        return
    assert all(torch.equal(loaded.model[name], value) for name, value in whole.model.items())


def test_members_that_became_folders_are_noticed(tmp_path: Path) -> None:
    """One bit of a member's attributes; torch.load would leave its tensor as memory was."""
    checkpoint.save(example(), tmp_path / "last.pt")
    whole = (tmp_path / "last.pt").read_bytes()
    entries = [at for at in range(len(whole)) if whole.startswith(b"PK\x01\x02", at)]
    assert entries
    for entry in entries:
        content = bytearray(whole)
        content[entry + 38] ^= 16  # external attributes: the folder bit of MS-DOS
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint.load(tmp_path / "last.pt")


def test_an_absent_and_a_newer_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint here.*trainer pretrain"):
        checkpoint.load(tmp_path / "last.pt")
    checkpoint.save(example(), tmp_path / "last.pt")
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save(content | {"format": 2}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"newer version: format 2.*up to 1"):
        checkpoint.load(tmp_path / "last.pt")


def test_weights_must_fit_exactly() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    good = {name: value + 1 for name, value in module.state_dict().items()}
    checkpoint.load_weights(module, good, where="f")
    assert all(torch.equal(value, good[name]) for name, value in module.state_dict().items())
    wrong = {name: value for name, value in good.items() if name != "0.bias"}
    wrong |= {"2.bias": torch.ones(1), "1.weight": torch.ones(5, 2)}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_weights(module, wrong, where="last.pt")
    assert str(caught.value).startswith(
        "last.pt: the weights do not fit the model: 0.bias is missing; 2.bias is unexpected; "
        "1.weight has shape (5, 2) instead of (1, 2)."
    )
    assert all(torch.equal(value, good[name]) for name, value in module.state_dict().items())


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert checkpoint.file_hash(tmp_path / "f").startswith("ba7816bf8f01cfea")
