"""``hf://user/name`` wherever a published folder is taken, with a stand-in for ``huggingface_hub``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from schemas import SkelError, UsageError
from tests.trainer.command import call
from tests.trainer.hugging_face import HuggingFace
from tests.trainer.own import FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_arguments, tiny_config
from trainer import hub, loop
from trainer.checkpoint import LAST, load
from trainer.run import open_run

ADDRESS = "hf://user/tiny"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_store(tmp_path_factory.mktemp("own") / "own.zarr", streams=())


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES, optimise__epochs=1), out=out)
    open_run(out, device="cpu").evaluate("knn", "linear", options={"linear": {"epochs": 3}})
    return out


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HuggingFace:
    stand_in = HuggingFace(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in.module)
    return stand_in


def test_what_is_published_there_is_loaded_asked_started_from_and_verified(
    there: HuggingFace, run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, "publish", run, "--to", ADDRESS, "--private")
    assert code == 0, error
    assert out.startswith(f"{ADDRESS}: skeletonclr joint, ")
    assert (there.private, len(there.commits)) == ({"user/tiny"}, 1)
    card = (there.root / "user" / "tiny" / "README.md").read_text()
    assert f'trainer.load("{ADDRESS}")' in card
    clips = list(raw_clips(4).values())
    expected = trainer.load(run).embed(clips)
    assert np.array_equal(trainer.load(ADDRESS).embed(clips), expected)
    assert trainer.load_encoder(f"{ADDRESS}@v1").card == trainer.load(ADDRESS).card
    code, out, error = call(capsys, "verify", ADDRESS, "--store", store)
    assert code == 0, out + error
    code, _, error = call(capsys, "embed", ADDRESS, store, "--out", tmp_path / "f.npz")
    assert code == 0, error
    code, out, error = call(capsys, "predict", ADDRESS, store, "--part", "test")
    assert code == 0, error
    code, _, error = call(
        capsys, "pretrain", "--store", store, "--method", "skeletonclr", "--preset", "paper",
        *tiny_arguments(optimise__epochs=1), "--init-from", ADDRESS, "--init-skip", "*.projector.*",
        "--out", tmp_path / "next",
    )  # fmt: skip
    assert code == 0, error
    init = load(tmp_path / "next" / LAST).config.init_from
    assert init is not None
    assert init.path == ADDRESS
    code, _, error = call(capsys, "publish", run, "--to", ADDRESS)
    assert code == 2
    assert "hf://user/tiny: the repository has files: README.md, " in error
    (there.root / "user" / "tiny" / "old.txt").touch()
    assert call(capsys, "publish", run, "--to", ADDRESS, "--force")[0] == 0
    assert "old.txt" not in there.list_repo_files("user/tiny")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Max retries"), "hf://user/tiny: Hugging Face: Max retries. Is there a network?"),
        (type("GatedRepoError", (OSError,), {})("403"), "403. Ask its owners for access, and log in"),
        (type("ConnectError", (Exception,), {})(""), "ConnectError. Is there a network?"),
        (type("RevisionNotFoundError", (OSError,), {})("404"), "404. Look at its name and revision"),
    ],
)
def test_what_hugging_face_refuses_is_a_sentence(
    there: HuggingFace, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def refuses(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(there, "snapshot_download", refuses)
    monkeypatch.setitem(sys.modules, "huggingface_hub", there.module)
    with pytest.raises(SkelError) as found:
        trainer.load(ADDRESS)
    assert message in str(found.value)


def test_a_repository_that_there_is_not(there: HuggingFace) -> None:
    with pytest.raises(SkelError, match=r"hf://user/gone: Hugging Face: 404 Client Error. Look at its name"):
        trainer.load("hf://user/gone")


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SkelError, match=r"huggingface_hub is not installed.*pip install '\.\[hub\]'"):
        trainer.load(ADDRESS)


@pytest.mark.parametrize("path", ["hf://user", "hf://user/name/more", "hf:/", "hf://user/na me"])
def test_a_damaged_address_is_told(path: str) -> None:
    with pytest.raises(UsageError, match=r"is no address of a model repository.*hf://user/name"):
        hub.local(path)


def test_a_revision_is_not_written(run: Path) -> None:
    with pytest.raises(UsageError, match="a revision is read, not written"):
        trainer.publish(run, f"{ADDRESS}@v1")


def test_addresses_survive_a_path_and_paths_stay(tmp_path: Path) -> None:
    assert hub.address(Path(ADDRESS)) == ADDRESS
    assert hub.parsed(Path("hf://user/tiny@main")) == ("user/tiny", "main")
    assert hub.local(tmp_path) == tmp_path


def test_the_package_has_what_is_called() -> None:
    package = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    for ours in (HuggingFace.create_repo, HuggingFace.list_repo_files, HuggingFace.upload_folder):
        theirs = inspect.signature(getattr(package.HfApi, ours.__name__)).parameters
        assert set(inspect.signature(ours).parameters) <= set(theirs)
    theirs = inspect.signature(package.snapshot_download).parameters
    assert set(inspect.signature(HuggingFace.snapshot_download).parameters) - {"self"} <= set(theirs)
