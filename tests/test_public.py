"""What the two packages offer to Python: names, types, documentation, examples, and what importing costs."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skeltools
import trainer
from schemas import SkelError
from trainer.cli import cli as trainer_command

ROOT = Path(__file__).parents[1]
PACKAGES = [skeltools, trainer]
HEAVY = (
    "torch",
    "zarr",
    "numpy",
    "scipy",
    "cv2",
    "h5py",
    "pydantic",
    "yaml",
    "click",
    "safetensors",
    "schemas",
)

both = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)


@pytest.fixture(scope="module")
def folder(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw demo data, a store, a short run and an export of it, under the names that the examples use."""
    folder = tmp_path_factory.mktemp("public")
    for name in ("raw", "store.zarr"):
        shutil.copytree(demo_data / name, folder / name)
    store, run = (str(folder / name) for name in ("store.zarr", "runs/skeletonclr"))
    command = ["pretrain", "--store", store, "--method", "skeletonclr", "--split", "xview", "--epochs", "1"]
    trainer_command.main([*command, "--out", run], standalone_mode=False)
    trainer_command.main(["export", run, "--out", str(folder / "encoder")], standalone_mode=False)
    return folder


@both
def test_importing_loads_nothing_but_the_package(package: ModuleType) -> None:
    name = package.__name__
    code = f"import sys, json, {name}; print(json.dumps([sorted(m for m in {HEAVY!r} if m in sys.modules), "
    code += f"[m for m in sys.modules if m.startswith('{name}.')]]))"
    heavy, own = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert heavy == []
    assert own == []


@both
def test_clips_and_settings_are_looked_at_without_torch(package: ModuleType, folder: Path) -> None:
    works = {
        "skeltools": f"clip = skeltools.open({str(folder / 'store.zarr')!r})[0]; "
        "skeltools.prepare([clip], frames=8)",
        "trainer": "trainer.EvaluationResult, trainer.Run",
    }
    name = package.__name__
    code = f"import sys, {name}; {works[name]}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@both
def test_names_are_sorted_listed_and_loaded_on_use(package: ModuleType) -> None:
    assert list(package.__all__) == sorted(set(package.__all__))
    assert {*package.__all__, "__version__"} == set(dir(package))
    for name in package.__all__:
        assert getattr(package, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@both
def test_type_checkers_see_the_names_that_are_loaded(package: ModuleType) -> None:
    """The imports under TYPE_CHECKING are those of ``_HOMES``."""
    tree = ast.parse(Path(inspect.getfile(package)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == package._HOMES


@both
def test_the_reference_lists_what_is_public(package: ModuleType) -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    listed = set(re.findall(rf"^::: (?:{package.__name__}|schemas)\.(\w+)$", page, re.MULTILINE))
    own = set(re.findall(rf"^::: {package.__name__}\.(\w+)$", page, re.MULTILINE))
    assert own <= set(package.__all__) <= listed


@both
def test_public_functions_have_types(package: ModuleType) -> None:
    for name in package.__all__:
        function = getattr(package, name)
        if inspect.isfunction(function):
            signature = inspect.signature(function)
            assert signature.return_annotation is not signature.empty, name
            for parameter in signature.parameters.values():
                assert parameter.annotation is not parameter.empty, f"{name}({parameter.name})"


@both
def test_the_examples_of_docstrings_run(
    package: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in package.__all__:
        value = inspect.unwrap(getattr(package, name))
        module = inspect.getmodule(value)
        for test in finder.find(value, name, globs={**vars(module)} if module else {}):
            runner.run(test)
    assert runner.tries >= 3
    assert runner.failures == 0


@both
def test_the_example_of_the_package_runs(
    package: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("raw", "store.zarr") if package is trainer else ("raw",):
        (tmp_path / name).symlink_to(folder / name)
    assert package.__doc__
    lines = [line[4:] for line in package.__doc__.splitlines() if line.startswith("    ")]
    code = "\n".join(line for line in lines if "->" not in line).replace("epochs=100", "epochs=1")
    names: dict[str, Any] = {}
    exec(compile(code, package.__name__, "exec"), names)
    assert len(names) > 2


def test_every_package_of_the_wheel_has_types() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) == {"schemas", "skeltools", "trainer"}
    for name in packages:
        assert (ROOT / name / "py.typed").is_file()


NOTHING: list[Any] = [None, 5, -1.5, "", "nowhere", b"x", [], {}, object(), float("nan")]


@pytest.mark.parametrize("value", NOTHING, ids=lambda value: type(value).__name__ + str(value)[:9])
@pytest.mark.parametrize(
    "name",
    [
        "skeltools.open",
        "skeltools.skeleton",
        "skeltools.validate",
        "skeltools.add_streams",
        "skeltools.convert",
        "skeltools.add_metrabs",
        "skeltools.map_store",
        "skeltools.merge",
        "skeltools.write",
        "skeltools.prepare",
        "trainer.open",
        "trainer.open_store",
        "trainer.load_encoder",
        "trainer.bank",
        "trainer.pretrain",
        "trainer.sweep",
        "trainer.encoder",
        "trainer.augmentation",
        "trainer.batches",
        "trainer.skeletons",
        "trainer.features",
        "trainer.knn",
        "trainer.accuracy",
        "trainer.info_nce",
        "trainer.load_clips",
    ],
)
def test_a_first_argument_that_is_nothing_of_the_kind_is_a_sentence(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package, function = name.split(".")
    more: dict[str, Any] = {
        "convert": {"out": "out.zarr"},
        "add_metrabs": {"out": "out.zarr"},
        "map_store": {"to": "coco_17", "out": "out.zarr"},
        "merge": {"out": "out.zarr"},
        "write": {"path": "out.zarr"},
        "prepare": {"frames": 8},
        "pretrain": {"method": "aimclr", "out": "run"},
        "encoder": {"skeletons": {}},
        "batches": {"batch_size": 2},
        "skeletons": {"conventions": ["coco_17"]},
        "features": {"clips": None, "convention": "coco_17"},
        "knn": {"train_labels": [0], "test": [[0.0]], "classes": 1},
        "accuracy": {"labels": [0]},
        "info_nce": {"k": None, "queue": None, "temperature": 1.0},
        "load_clips": {"split": "xsub", "part": "train", "conventions": ["coco_17"], "frames": 8},
    }.get(function, {})
    with pytest.raises(SkelError) as caught:
        getattr({"skeltools": skeltools, "trainer": trainer}[package], function)(value, **more)
    assert len(str(caught.value)) > 20
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
