"""The import rules of the house, read from the source with ast: nothing is imported to check them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"schemas": {"schemas"}, "skeltools": {"skeltools", "schemas"}, "trainer": {"trainer", "schemas"}}
SOURCES = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]

ONLY_IN = {
    "zarr": {"skeltools/store/", "trainer/store.py", "trainer/use/embedded_files.py"},
    "pyarrow": {"trainer/use/embedded_files.py"},
    "click": {"skeltools/cli/", "trainer/cli", "schemas/commands.py"},
    "rich": {"skeltools/cli/", "trainer/cli", "schemas/commands.py"},
    "h5py": {"skeltools/custom/", "skeltools/files/hdf5", "skeltools/formats/", "skeltools/metrabs/"},
    "cv2": {"skeltools/preprocess/timing.py", "skeltools/video.py", "skeltools/pictures/"},
    "PIL": {"skeltools/pictures/"},
    "matplotlib": {"trainer/report/", "skeltools/pictures/"},
    "jinja2": {"schemas/templates.py"},
}

MORE_IN_SCHEMAS = {"yaml_text.py": {"yaml"}, "commands.py": {"click", "rich"}, "templates.py": {"jinja2"}}

BRIDGES = {
    "trainer/use/raw.py": "skeltools",
    "trainer/report/": "skeltools.pictures",
    "trainer/view/": "skeltools.pictures",
}
"""Where the trainer calls what of skeltools, inside functions alone. Raw clips are prepared by the code that
prepares those of a store, and pictures of both share one design. The rest of the trainer does without."""

# Inside trainer imports point down this list, or stay on a line.
LAYERS = [
    {"cli", "sweeping"},
    {"view"},
    {"publishing"},
    {"use"},
    {"blocks", "pretraining", "sweeps"},
    {"report", "released"},
    {"config"},
    {"loop", "evaluate", "export", "run", "start", "tables"},
    {"loggers"},
    {"checkpoint", "logbook", "metrics", "optim"},
    {"methods"},
    {"encoders", "momentum", "losses"},
    {"kernels"},
    {"augment", "streams"},
    {"data"},
    {"shards"},
    {"store"},
    {"batch_norm"},
    {
        "skeleton",
        "batch",
        "device",
        "distributed",
        "memory",
        "seeds",
        "options",
        "span",
        "few",
        "cards",
        "hub",
    },
]


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted name, True when at module level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or "", node in top


def _over_a_bridge(path: Path, name: str) -> bool:
    return any(
        _name(path).startswith(place) and f"{name}.".startswith(f"{what}.") for place, what in BRIDGES.items()
    )


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_package_imports_only_what_it_may(path: Path) -> None:
    package = _name(path).split("/")[0]
    for name, top in _imports(path):
        root = name.split(".")[0]
        if root in OURS and (top or not _over_a_bridge(path, name)):
            assert root in OURS[package], f"{_name(path)} imports {name}"
        if root in ONLY_IN:
            assert any(_name(path).startswith(place) for place in ONLY_IN[root]), f"{_name(path)}: {name}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_schemas_are_light_and_skeltools_has_no_torch(path: Path) -> None:
    package = _name(path).split("/")[0]
    for name, top in _imports(path):
        root = name.split(".")[0]
        if package == "schemas":
            own = {"schemas", "pydantic", *MORE_IN_SCHEMAS.get(path.name, ())}
            assert root in own | set(sys.stdlib_module_names), name
        if package == "skeltools":
            assert root != "torch" or not top, f"{_name(path)} imports torch at module level"


@pytest.mark.parametrize("path", [p for p in SOURCES if _name(p).startswith("trainer/")], ids=_name)
def test_imports_inside_trainer_point_down(path: Path) -> None:
    layer_of = {module: depth for depth, modules in enumerate(LAYERS) for module in modules}
    here = path.relative_to(ROOT / "trainer").parts[0].removesuffix(".py")
    if here == "__init__" or here == "__main__":
        return
    assert here in layer_of, f"put trainer/{here} into LAYERS"
    for name, _ in _imports(path):
        parts = name.split(".")
        if parts[0] == "trainer" and len(parts) > 1:
            assert layer_of[parts[1]] >= layer_of[here], f"{_name(path)} imports {name}, which is above it"


def test_importing_skeltools_loads_neither_torch_nor_trainer() -> None:
    code = "import sys, skeltools.cli; print(sorted({'torch', 'trainer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_trainer_loads_neither_skeltools_nor_cv2() -> None:
    code = "import sys, trainer.cli; print(sorted({'skeltools', 'cv2', 'h5py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
