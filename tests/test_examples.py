"""Every file in examples/ does what it says. Runs are shortened; nothing else about them changes."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

import trainer as public
from skeltools import plan_shards, skeletons
from trainer import methods, tables
from trainer.cli import cli as trainer
from trainer.cli import pretrain
from trainer.sweeps import read_plan

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def store(demo_data: Path) -> Path:
    """A small demo store with all conventions."""
    return demo_data / "store.zarr"


@pytest.mark.parametrize("method", methods.names())
def test_a_settings_file_trains(method: str, store: Path, tmp_path: Path) -> None:
    settings = EXAMPLES / f"{method}.yaml"
    command = ["pretrain", "--store", str(store), "--method", method, "--config", str(settings)]
    shorter = ["--epochs", "1", "--split", "xview", "--set", "runtime.knn_every=0"]
    trainer.main([*command, *shorter, "--out", str(tmp_path / "run")], standalone_mode=False)
    used = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    for part, values in yaml.safe_load(settings.read_text(encoding="utf-8")).items():
        for key, value in values.items():
            if (part, key) in {("optimise", "epochs"), ("runtime", "knn_every"), ("method", "options")}:
                continue
            assert used[part][key] == value


def test_the_store_is_read_without_our_code(store: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "read_zarr.py"), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ntu60: 144 samples, recipe default" in done.stdout
    assert "joints (" in done.stdout


def test_the_store_is_read_with_our_code(store: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "read_store.py"), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ntu60: 144 samples, recipe default" in done.stdout
    assert "the same clip in smplx_42: 42 joints" in done.stdout
    assert "clips (96, 3, 24, 25, 2), labels [" in done.stdout


def test_an_exported_encoder_is_loaded_without_run_and_store(store: Path, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "encoder"
    command = ["pretrain", "--store", str(store), "--method", "skeletonclr", "--split", "xview"]
    trainer.main([*command, "--epochs", "1", "--out", str(run)], standalone_mode=False)
    trainer.main(["export", str(run), "--out", str(folder)], standalone_mode=False)
    shutil.rmtree(run)
    command = [sys.executable, str(EXAMPLES / "load_encoder.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "skeletonclr, joint stream, kinectv2_25: 25 joints" in done.stdout
    assert "features (2, 128)" in done.stdout


def test_the_job_array_reads_the_shard_of_its_number(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    plan_shards("ntu60", raw=store.parent / "raw", out=out, shards=2, conventions=["kinectv2_25"])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    command = ["bash", str(EXAMPLES / "slurm" / "convert.sbatch"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "shard 1: 80 samples read\n"


def test_ones_own_skeleton_is_valid() -> None:
    assert skeletons.load(str(EXAMPLES / "my_skeleton.yaml")).num_joints == 9


def test_a_training_in_plain_python_learns(store: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "pretrain.py"), str(store), "--epochs", "2", "--queue", "64"]
    done = subprocess.run([*command, "--batch-size", "16"], capture_output=True, text=True, check=True)
    assert "epoch 2: loss" in done.stdout
    assert "of 48 test clips" in done.stdout


def test_the_plain_training_uses_public_names_only() -> None:
    tree = ast.parse((EXAMPLES / "pretrain.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trainer"
    }
    assert imported == {"argparse", "torch", "trainer"}
    assert used <= set(public.__all__)


def test_the_grid_of_a_paper_makes_every_number_of_its_table() -> None:
    """The runs of the file are those that the commands of the empty table would train."""
    plan, empty = read_plan(EXAMPLES / "aimclr_table2.yaml"), tables.fill(tables.load("aimclr-table2"), ())
    commands = [line for cell in empty.cells() if cell.missing for line in cell.missing.commands]
    wanted = {_asked(shlex.split(line)[2:]) for line in commands if line.startswith("trainer pretrain")}
    assert {_asked(task.commands[0][1:]) for task in plan.runs} == wanted
    assert len(plan.runs) == len(wanted) == 30
    together = {(task.axes["data"], task.axes["method"], task.axes["stream"]) for task in plan.ensembles}
    assert len(together) == 10
    assert {stream for _, _, stream in together} == {"joint+motion+bone"}


def _asked(words: Sequence[str]) -> tuple[object, ...]:
    given = pretrain.command.make_context("pretrain", list(words)).params
    return given["stores"], given["method"], given["split"], given["stream"] or "joint", given["epochs"]


@pytest.mark.parametrize("name", ["pretrain", "nodes"])
def test_a_job_of_slurm_goes_on_when_it_is_queued_again(name: str) -> None:
    file = EXAMPLES / "slurm" / f"{name}.sbatch"
    subprocess.run(["bash", "-n", str(file)], check=True)
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if "trainer pretrain" in line)
    words = shlex.split(line.removesuffix("&"))
    given = pretrain.command.make_context("pretrain", words[words.index("pretrain") + 1 :]).params
    assert given["resume"] == "auto"
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:TERM@120"} <= set(text.splitlines())
    if words[1] == "torchrun":
        launcher = get_args_parser().parse_args(words[2 : words.index("-m") + 2])
        assert (launcher.max_restarts, launcher.rdzv_backend) == (3, "c10d")
