"""`trainer sweep`: what a file stands for, that a sweep stops, fails and goes on, and what it writes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
import pytest
import yaml

import trainer
from schemas import ConfigError, SkelError
from tests.trainer.command import call
from tests.trainer.runs import TINY
from tests.trainer.stores import write_store
from trainer import tables
from trainer.cli import cli
from trainer.cli import evaluate as evaluate_command
from trainer.cli import pretrain as pretrain_command
from trainer.run import find_results, read_config
from trainer.sweeps import here, read_plan, slurm, state
from trainer.sweeps.plan import command_of

Capture = pytest.CaptureFixture[str]
GIVEN = {
    "store": "store.zarr",
    "method": "skeletonclr",
    "preset": "paper",
    **{name: value for name, value in TINY.items() if name != "optimise.epochs"},
    "method.options.queue": 16,
    "epochs": 1,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "store.zarr"
    return write_store(path, conventions=("few_6", "many_8"), streams=("joint", "bone"))


@pytest.fixture
def folder(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "store.zarr").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **keys: Any) -> Path:
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({"given": GIVEN, **keys}, sort_keys=False), encoding="utf-8")
    return file


def plan_of(folder: Path, **keys: Any) -> Any:
    return read_plan(write(folder, **keys))


def names(plan: Any) -> list[str]:
    return [task.name for task in plan.runs]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are run, in this process: the same functions without the start of Python."""
    run: list[list[str]] = []

    def execute(work: Any, words: Any, log: Path, *, held: int, device: str) -> int:
        run.append(list(words))
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with redirect_stdout(io.StringIO()):
                cli.main([*words], standalone_mode=False)
        except SkelError as error:
            log.write_text(f"error: {error}\n", encoding="utf-8")
            return 1
        return 0

    monkeypatch.setattr(here, "_execute", execute)
    return run


# The file


def test_a_grid_is_every_combination_with_the_last_axis_fastest(folder: Path) -> None:
    plan = plan_of(folder, grid={"stream": ["joint", "bone"], "seed": [0, 1], "optimise.lr": [0.1]})
    assert names(plan) == [f"{stream}-seed{seed}-lr0.1" for stream in ("joint", "bone") for seed in (0, 1)]
    assert plan.out == Path("runs/grid")


def test_several_grids_stand_side_by_side_and_values_may_have_names(folder: Path) -> None:
    grids = [
        {"method": "skeletonclr", "convention": [["few_6", "many_8"], "few_6"]},
        {"variant": {"short": {"epochs": 1}, "warm": {"optimise.warmup_epochs": 1, "preset": None}}},
    ]
    plan = plan_of(folder, grid=grids)
    assert names(plan) == ["skeletonclr-few_6+many_8", "skeletonclr-few_6", "short", "warm"]
    both, _, short, warm = (" ".join(task.commands[0]) for task in plan.runs)
    assert "--convention few_6 --convention many_8" in both
    assert "--epochs 1" in short
    assert "--set optimise.warmup_epochs=1" in warm
    assert "--preset" not in warm


def test_the_commands_ask_for_what_the_file_says(folder: Path) -> None:
    """Every value comes back from the words of the command as it stood in the file."""
    settings = {
        "augment.normal": [{"name": "shear", "options": {}}],
        "runtime.log": "on",
        "optimise.lr": 1e-5,
        "init_skip": ["*.projector.*", "a b"],
        "data.memory_limit": None,
    }
    evaluation = {"protocol": ["linear"], "convention": "all", "set": {"linear.standardise": True}}
    plan = plan_of(folder, given=GIVEN | settings, grid={"seed": [3]}, evaluate=evaluation)
    training, measuring = plan.runs[0].commands
    context = pretrain_command.command.make_context("pretrain", list(training[1:]))
    overrides = {
        each.path: each.value
        for each in pretrain_command._overrides(context.params | {"init_from": None, "init_skip": ()})
    }
    assert {name: overrides.get(name) for name in settings if "." in name} == {
        name: value for name, value in settings.items() if "." in name
    }
    assert context.params["init_skip"] == ("*.projector.*", "a b")
    assert (context.params["seed"], context.params["resume"]) == (3, "auto")
    measured = evaluate_command.command.make_context("evaluate", list(measuring[1:])).params
    assert measured["conventions"] == ("all",)
    assert evaluate_command.options_of(measured["assignments"]) == {"linear": {"standardise": True}}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"grid": {"sed": [1]}}, "grid.yaml: grid: expected store, store_weight"),
        ({"grid": {"seed": []}}, "grid.yaml: grid: expected values of seed, found none"),
        ({"grid": {"variant": {"a": {"lr": 1}}}}, "or a dotted path such as optimise.lr, found 'lr'"),
        ({"given": {"metod": "aimclr"}, "grid": {"seed": 1}}, "grid.yaml: given: expected"),
        ({"grids": {"seed": [1]}}, "Did you mean 'grid'"),
        ({}, "grid.yaml: grid: is missing"),
        ({"grid": {"seed": [1, 1]}}, "two runs have the name 'seed1'"),
        ({"grid": {"seed": list(range(101)), "epochs": list(range(100))}}, "10100 runs, 10000 are the most"),
        ({"grid": {"seed": 1}, "ensemble": {"over": "steam"}}, "ensemble.0.over: unknown axis 'steam'"),
        ({"grid": {"seed": 1}, "evaluate": [{"protocols": ["knn"]}]}, "Did you mean 'protocol'"),
        ({"grid": {"seed": 1}, "slurm": {"options": {"time": 86400}}}, 'a time in quotes, as "24:00:00"'),
        ({"grid": {"seed": 1}, "slurm": {"options": {"mem": "1\nrm -r x"}}}, "options of one line each"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_with_its_place(keys: Any, told: str, folder: Path) -> None:
    with pytest.raises((ConfigError, SkelError)) as refused:
        plan_of(folder, **keys)
    assert told in str(refused.value)
    assert "grid.yaml" in str(refused.value)


# Running


def test_a_sweep_trains_measures_joins_and_fills_one_table(
    folder: Path, in_process: list[list[str]], capsys: Capture
) -> None:
    grids = [{"stream": "joint", "seed": [0, 1]}, {"stream": "bone", "seed": 0}]
    file = write(folder, grid=grids, evaluate=["knn"], ensemble={"over": "stream", "protocol": "knn"})
    code, out, err = call(capsys, "sweep", file)
    assert (code, len(in_process)) == (0, 3 * 2 + 1), err
    table = list(csv.DictReader(io.StringIO((folder / "runs/grid/table.csv").read_text())))
    runs, together = ["joint-seed0", "joint-seed1", "bone-seed0"], "seed0-joint+bone-knn"
    assert list(dict.fromkeys(line["run"] for line in table)) == [*runs, together]
    for name in runs:
        stored = find_results(folder / "runs/grid" / name, protocol="knn")
        written = [float(line["top1"]) for line in table if (line["run"], line["figure"]) == (name, "knn")]
        assert written == [round(100 * saved.result.top1, 2) for saved in stored]
    assert read_config(folder / "runs/grid/joint-seed1").runtime.seed == 1
    assert [line.split()[0] for line in out.splitlines() if "few_6" in line] == [
        "joint",
        "bone",
        "joint+bone",
    ]
    seeds = [float(line["top1"]) for line in table if line["stream"] == "joint" and line["figure"] == "knn"]
    assert f" {mean(seeds):.1f} ± {stdev(seeds):.1f} (2)" in out
    given = tables.read_sources([folder / "runs/grid"])
    assert [each.path.name for each in given] == [*sorted(runs), "ensembles"]
    code, out, _ = call(capsys, "sweep", file, "--json")
    assert (code, len(in_process)) == (0, 7)  # everything was there
    assert [line["run"] for line in json.loads(out)] == [line["run"] for line in table]


def test_python_gets_the_lines_of_the_table_and_what_failed(
    folder: Path, in_process: list[list[str]], caplog: pytest.LogCaptureFixture, capsys: Capture
) -> None:
    told: list[tuple[str, str]] = []
    bad = {"method.options.queue": 0}
    grid: Any = {"given": GIVEN | {"store": Path("store.zarr")}}
    grid["grid"] = {"variant": {"good": {}, "bad": bad}}
    with pytest.raises(ConfigError, match=r"sweep\.yaml: run bad: method\.options\.queue"):
        trainer.sweep(grid, out="grid")
    assert not in_process
    assert not (folder / "grid").exists()

    found = trainer.sweep(
        grid | {"evaluate": ["knn"]}, out="grid", check=False, on_run=lambda *how: told.append(how)
    )
    assert told == [("good", "started"), ("good", "done"), ("bad", "started"), ("bad", "failed")]
    assert [(line["run"], line["figure"]) for line in found.lines] == [("good", "knn"), ("good", "knn1")]
    assert list(found.failed) == ["bad"]
    assert "queue" in found.failed["bad"]
    assert "warning: bad failed" in caplog.text
    assert repr(found) == "<sweep grid: 2 results, 1 failed>"
    assert trainer.open(found.out / "good", device="cpu").config.optimise.epochs == 1

    plan = read_plan(Path("grid/sweep.yaml"), out=Path("grid"))
    assert command_of(plan) == "trainer sweep grid/sweep.yaml --out grid"
    assert command_of(read_plan(plan.file), "--table") == "trainer sweep grid/sweep.yaml --table"
    code, out, _ = call(capsys, "sweep", "grid/sweep.yaml", "--out", "grid", "--table", "--json")
    assert (code, json.loads(out)) == (0, list(found.lines))
    del grid["grid"]["variant"]["bad"]
    commands = len(in_process)
    again = trainer.sweep(write(folder, grid=grid["grid"], evaluate=["knn"]), out="grid")
    assert (again.lines, again.failed, len(in_process)) == (found.lines, {}, commands)


@pytest.mark.parametrize(
    ("grid", "options", "words"),
    [
        ({"grid": {"seed": [0]}}, {}, r"needs a folder for the runs of a mapping\. Give out"),
        ({"grid": {"seed": [object()]}}, {"out": "x"}, "a value of the grid is no plain one"),
        ({"gird": {}}, {"out": "x"}, r"sweep\.yaml: gird: unknown key\. Did you mean 'grid'"),
        ({"grid": {"seed": [0]}}, {"out": "x", "jobs": 0}, "jobs is 0, expected 1 or more"),
        ("nowhere.yaml", {}, "nowhere.yaml: cannot read the settings"),
    ],
)
def test_a_sweep_that_cannot_be_is_a_sentence(
    folder: Path, grid: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SkelError, match=words):
        trainer.sweep(grid, **options)
    assert not (folder / "x").exists()


def test_a_run_that_fails_leaves_the_others_alone_and_is_named(
    folder: Path, in_process: list[list[str]], capsys: Capture
) -> None:
    """The folder of the first is in use; nothing tells that before it starts."""
    (folder / "runs/grid/seed0").mkdir(parents=True)
    (folder / "runs/grid/seed0/thesis.txt").touch()
    file = write(folder, grid={"seed": [0, 1]}, evaluate=["knn"])
    code, out, err = call(capsys, "sweep", file)
    assert code == 1
    assert "failed: seed0: runs/grid/seed0: exists and is not a run folder" in err
    assert "(log: runs/grid/logs/seed0.log)" in err
    assert "[2/2] seed1: done" in err
    assert "1 of 2 failed" in err
    assert "runs/grid/table.csv" in out
    assert [words[0] for words in in_process] == ["pretrain", "pretrain", "evaluate"]


def test_wrong_settings_of_a_run_are_told_before_the_first_starts(
    folder: Path, in_process: list[list[str]], capsys: Capture
) -> None:
    file = write(folder, grid={"stream": ["joint", "bones"]})
    code, _, err = call(capsys, "sweep", file)
    assert (code, in_process) == (2, [])
    assert err.startswith(f"error: {file}: run bones: data.stream: ")
    file = write(folder, grid={"seed": 0}, evaluate=["kn"])
    code, _, err = call(capsys, "sweep", file)
    assert (code, in_process) == (2, [])
    assert "run seed0: unknown protocol 'kn'. Did you mean 'knn'?" in err
    assert call(capsys, "sweep", file, "--run", "seed7", "--no-check")[2].startswith(
        f"error: {file}: unknown run 'seed7'. Did you mean 'seed0'?"
    )
    assert "given together" in call(capsys, "sweep", file, "--dry-run", "--slurm")[2]


FAKE = """
import json, os, pathlib, signal, sys, time
words = sys.argv[1:]
if words[0] == "evaluate":
    (pathlib.Path(words[1]) / "results").mkdir(exist_ok=True)
    (pathlib.Path(words[1]) / "results" / "knn.json").write_text("{}")
    sys.exit()
out = pathlib.Path(words[words.index("--out") + 1])
(out / "checkpoints").mkdir(parents=True, exist_ok=True)
resumed = (out / "checkpoints" / "last.pt").exists()
(out / "checkpoints" / "last.pt").touch()
with (out / "starts").open("a") as log:
    log.write(f"{os.environ.get('OMP_NUM_THREADS')} {words[-1]}\\n")
if pathlib.Path("wait").exists() and not resumed:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (out / "waits").touch()
    time.sleep(30)
"""
"""Stands for `trainer`: leaves the files that a sweep looks at, and waits for a signal in its first start."""


@pytest.fixture
def fake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "fake.py"
    program.write_text(FAKE, encoding="utf-8")
    monkeypatch.setattr(here, "_program", lambda launch, words: [sys.executable, "-S", str(program)])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return folder


def run_all(plan: Any, **more: Any) -> tuple[list[str], int | None]:
    told: Callable[..., None] = lambda task, outcome: None  # noqa: E731
    outcomes, stopped = here.run(plan, plan.runs, on_task=told, **more)
    return [outcome.how for outcome in outcomes], stopped


def test_several_runs_at_a_time_share_processors_and_devices(fake: Path) -> None:
    plan = plan_of(fake, grid={"seed": [0, 1, 2]})
    assert run_all(plan, jobs=2, devices=["cuda:0", "cuda:1"]) == (["done"] * 3, None)
    starts = [(task.folder / "starts").read_text().split() for task in plan.runs]
    assert {threads for threads, _ in starts} == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert {device for _, device in starts} == {"cuda:0", "cuda:1"}


def test_a_signal_stops_all_runs_and_the_next_call_goes_on(fake: Path) -> None:
    (fake / "wait").touch()
    plan = plan_of(fake, grid={"seed": [0, 1]}, evaluate=["knn"])

    def when_started() -> None:
        while not (plan.runs[0].folder / "waits").exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=when_started).start()
    assert run_all(plan, jobs=1) == (["stopped", "stopped"], signal.SIGTERM)
    assert not plan.runs[1].folder.exists()
    (fake / "wait").unlink()
    assert run_all(plan, jobs=1) == (["done", "done"], None)
    assert run_all(plan, jobs=1) == (["there", "there"], None)


def test_only_what_is_left_runs(fake: Path, capsys: Capture) -> None:
    plan = plan_of(fake, grid={"seed": [0, 1]}, evaluate=["knn"])
    run_all(plan, jobs=2)
    longer = plan_of(fake, grid={"seed": [0, 1, 2]}, evaluate=["knn", "linear"])
    assert [[words[0] for words in state.left(longer.out, task)] for task in longer.runs] == [
        ["evaluate"],
        ["evaluate"],
        ["pretrain", "evaluate"],
    ]
    shutil.rmtree(plan.runs[0].folder)
    other = plan_of(fake, given=GIVEN | {"epochs": 2}, grid={"seed": [1]}, evaluate=["knn"])
    assert [words[0] for words in state.left(other.out, other.runs[0])] == ["pretrain", "evaluate"]
    file = write(fake, grid={"seed": [0, 1]}, evaluate=["knn"])
    code, out, _ = call(capsys, "sweep", file, "--dry-run", "--no-check")
    assert code == 0
    assert "# 2 runs in runs/grid, 1 of them whole, 1 to do\n# seed0\ntrainer pretrain --store" in out
    assert out.endswith("# seed1: whole\n")


def test_a_run_that_another_process_works_on_is_left_out(fake: Path) -> None:
    pytest.importorskip("fcntl", reason="locks of POSIX")
    plan = plan_of(fake, grid={"seed": [0, 1]})
    with state.claimed(plan.out, plan.runs[0]) as held:
        assert held is not None
        assert run_all(plan, jobs=1)[0] == ["taken", "done"]


# SLURM

SCONTROL = """#!/bin/bash
echo "$@" >> requeued
"""


def test_a_task_of_the_array_runs_its_run_and_is_queued_again_after_sigterm(folder: Path) -> None:
    """The script itself, as bash runs it, with stand-ins for Python and for scontrol."""
    keys = {"options": {"partition": "gpu", "time": "24:00:00"}, "at_once": 2, "setup": ["export CHOSEN=yes"]}
    plan = plan_of(folder, grid={"seed": [0, 1, 2]}, slurm=keys)
    text = slurm.write(plan, plan.runs[1:]).read_text()
    head = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --array=0-1%2", "#SBATCH --partition=gpu", "#SBATCH --requeue"} <= set(head)
    assert "#SBATCH --signal=B:TERM@120" in head
    (folder / "bin").mkdir()
    program = (
        "#!/bin/bash\ntrap 'exit 143' TERM\necho \"$CHOSEN $@\" >> ran\n"
        "if [ -e wait ]; then touch waits; while :; do sleep 0.01; done; fi\n"
    )
    for name, body in (("python", program), ("scontrol", SCONTROL)):
        (folder / "bin" / name).write_text(body, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    script = folder / "script"
    script.write_text(text.replace(f"\n{sys.executable} ", "\npython "), encoding="utf-8")
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_ARRAY_JOB_ID": "77",
    }
    subprocess.run(["bash", str(script)], env=environment, check=True, capture_output=True)
    assert (folder / "ran").read_text().split()[0] == "yes"
    assert (folder / "ran").read_text().rstrip().endswith("--run seed2 --no-check")
    assert not (folder / "requeued").exists()
    (folder / "wait").touch()
    job = subprocess.Popen(["bash", str(script)], env=environment, stdout=subprocess.DEVNULL)
    while not (folder / "waits").exists():
        threading.Event().wait(0.01)
    job.send_signal(signal.SIGTERM)
    assert job.wait() == 143
    assert (folder / "requeued").read_text() == "requeue 77_1\n"


def test_the_command_writes_the_script_of_what_is_left(folder: Path, capsys: Capture) -> None:
    file = write(folder, grid={"seed": [0, 1]})
    code, out, _ = call(capsys, "sweep", file, "--slurm", "--no-check")
    assert code == 0
    assert out.splitlines()[1] == "next: sbatch runs/grid/sweep.sbatch"
    assert "seed0\n    seed1\n" in (folder / "runs/grid/sweep.sbatch").read_text()
    assert isinstance(cli.commands["sweep"], click.Command)
