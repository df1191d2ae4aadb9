"""What both programs have in common: how they start, what they import, options that are given twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import click
import pytest
import yaml
from rich.table import Table

from schemas import FORMAT, SkelError, verbosity
from schemas.commands import show
from skeltools import __version__, trainer_command
from skeltools.cli import run as skeltools_run
from skeltools.cli import terminal
from skeltools.cli.docs import pages
from trainer.cli import cli as trainer_cli
from trainer.cli import display

ROOT = Path(__file__).parents[1]
PROGRAMS = ("skeltools", "trainer")
HEAVY = {"cv2", "h5py", "jinja2", "matplotlib", "numpy", "scipy", "sklearn", "torch", "yaml", "zarr"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)


def commands(program: str) -> dict[str, click.Command]:
    return dict(import_module(f"{program}.cli").cli.commands)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_package_runs_as_the_command_does(program: str) -> None:
    done = python("-m", program, "--version")
    first, second = done.stdout.splitlines()
    assert (done.returncode, first, done.stderr) == (0, f"{program} {__version__}", "")
    python_now = ".".join(map(str, sys.version_info[:3]))
    assert second.startswith(f"store format {FORMAT}, Python {python_now}, ")
    assert f"zarr {metadata.version('zarr')}" in second
    done = python("-m", program, "nothing")
    assert (done.returncode, done.stderr) == (2, "error: No such command 'nothing'.\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_command_without_arguments_shows_its_help(program: str) -> None:
    done, asked = python("-m", program), python("-m", program, "--help")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", asked.stdout)


def test_brackets_in_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[bold]run")
    table.add_row("runs/[red]x")
    show(table, "[link]y :star:")
    out = capsys.readouterr().out
    assert all(name in out for name in ("[bold]run", "runs/[red]x", "[link]y :star:"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_help_imports_anything_heavy(program: str) -> None:
    code = (
        "import sys\n"
        f"from {program}.cli import cli\n"
        "for name in ('', *cli.commands):\n"
        "    cli.main([*name.split(), '--help'], standalone_mode=False, obj={})\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("arguments", [["methods"], ["table"], ["table", "ms-clr-table1"]])
def test_commands_that_print_text_import_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from trainer.cli import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'zarr'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_trainer_without_torch_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from trainer.cli import main; main(['evaluate', 'runs/x'])"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: PyTorch is not installed, and this command needs it: pip install torch"
    )
    assert done.stderr.count("\n") == 1


def test_python_without_torch_is_told_what_to_install() -> None:
    done = python("-c", "import sys; sys.modules['torch'] = None; import trainer; trainer.pretrain")
    assert done.returncode == 1
    assert "PyTorch is not installed, and trainer.pretrain needs it: pip install torch" in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_option_that_takes_one_value_is_given_once(program: str) -> None:
    program_cli = import_module(f"{program}.cli").cli
    tried = 0
    for name, command in commands(program).items():
        for option in (each for each in command.params if isinstance(each, click.Option)):
            twice = [name, *([option.opts[-1]] * 2 if option.is_flag else [option.opts[-1], "1"] * 2)]
            if option.multiple or (option.is_flag and not option.secondary_opts):
                continue
            with pytest.raises(click.UsageError, match=f"{option.opts[-1]}.* is given twice"):
                program_cli.main(twice, standalone_mode=False, obj={})
            tried += 1
    assert tried > 5


def test_options_that_collect_and_flags_may_be_repeated() -> None:
    trainer_cli = import_module("trainer.cli").cli
    for arguments in (["--set", "a=1", "--set", "b=2"], ["--json", "--json"]):
        with pytest.raises(click.UsageError, match="Missing"):
            trainer_cli.main(["evaluate", *arguments], standalone_mode=False)


# --- another distribution that has a package called trainer


def test_our_trainer_is_known_as_ours() -> None:
    assert trainer_command.foreign() == ""


def test_a_trainer_elsewhere_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from skeltools.trainer_command import main; main()"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: the package 'trainer' that Python finds at {tmp_path}")
    assert done.stderr.count("\n") == 1


def test_a_trainer_that_overwrote_ours_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "__init__.py"
    other.write_text("from .somewhere import Trainer\n")
    monkeypatch.setattr(trainer_command, "_OURS", other)
    assert "not that of skeltools" in trainer_command.foreign()


# --- pages of the documentation


def test_every_page_that_a_message_names_exists() -> None:
    named = set()
    for package in ("schemas", *PROGRAMS):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            named |= {(path, topic) for topic in re.findall(r"`skeltools docs ([a-z-]+)`", text)}
    assert len(named) > 5
    assert {topic for _, topic in named} <= set(pages()), named


def test_docs_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    skeltools_cli = import_module("skeltools.cli")
    assert skeltools_cli.run(["docs", "findings"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "reference" / "findings.md").read_text(
        encoding="utf-8"
    )
    assert skeltools_cli.run(["docs"]) == 0
    assert "\nfindings          Findings\n" in capsys.readouterr().out
    assert skeltools_cli.run(["docs", "finding"]) == 2
    assert "unknown topic 'finding'. Did you mean 'findings'?" in capsys.readouterr().err


# What scripts use


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], ["note: n", "warning: w", "error: e"]),
        (["--log-level", "warning"], ["warning: w", "error: e"]),
        (["--quiet"], ["error: e"]),
        (["-q"], ["error: e"]),
    ],
)
def test_the_level_says_what_stands_on_stderr(
    options: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        for echo in (terminal.echo, display.echo):
            if echo is terminal.echo:
                skeltools_run([*options, "docs"])
            else:
                trainer_cli.main([*options, "table"], standalone_mode=False)
            capsys.readouterr()
            for line in ("note: n", "warning: w", "error: e"):
                echo(line, err=True)
            echo("answer")
            out, err = capsys.readouterr()
            assert (out, err.splitlines()) == ("answer\n", said)
            assert verbosity.shows_progress() == (not options)
    finally:
        verbosity.set_level("info")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_shell_completes_commands(program: str) -> None:
    environment = {"COMP_WORDS": f"{program} v", "COMP_CWORD": "1", "PATH": os.environ["PATH"]}
    environment |= {f"_{program.upper()}_COMPLETE": "bash_complete", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    known = sorted(name for name in commands(program) if name.startswith("v"))
    assert sorted(line.partition(",")[2] for line in done.stdout.splitlines()) == known


def test_lists_come_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    trainer_cli.main(["methods", "--json"], standalone_mode=False)
    assert "aimclr" in {each["name"] for each in json.loads(capsys.readouterr().out)}
    trainer_cli.main(["methods", "aimclr", "--json"], standalone_mode=False)
    paper = next(each for each in json.loads(capsys.readouterr().out) if each["preset"] == "aimclr-paper")
    assert paper["settings"]["optimise"]["epochs"] == 300
    with pytest.raises(SkelError):
        trainer_cli.main(["methods", "aimcrl", "--json"], standalone_mode=False)
    trainer_cli.main(["table", "--json"], standalone_mode=False)
    assert {"name", "caption"} == set(json.loads(capsys.readouterr().out)[0])
    assert skeltools_run(["docs", "--json"]) == 0
    assert "store-format" in json.loads(capsys.readouterr().out)


# Installs


def test_recipe_and_image_install_what_the_package_needs() -> None:
    """Conda calls two of the packages otherwise; the light image leaves PyTorch out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    conda = {"opencv-python": "py-opencv", "torch": "pytorch"}
    wanted = {f"python {project['requires-python']}"}
    names = [re.split(r"[<>=]", each)[0] for each in project["dependencies"]]
    for name, each in zip(names, project["dependencies"], strict=True):
        wanted.add(f"{conda.get(name, name).lower()} {each.removeprefix(name)}")
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["context"]["version"] == project["version"]
    assert dict(pair.split(" = ") for pair in recipe["build"]["python"]["entry_points"]) == project["scripts"]
    light = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("AS light")[2].partition("FROM")[0]
    (line,) = re.findall(r"pip install -c constraints.txt (.+)", light)
    assert line.split() == [name for name in names if name != "torch"]
    started = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    assert f"pip install -c constraints.txt {line}" in started


# --- what is printed is also there for programs


def draws_a_table(source: str) -> bool:
    return re.search(r"\b(?:Table|table_of)\(", source) is not None


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_command_that_prints_a_table_prints_json_when_asked_to(program: str) -> None:
    """Also where a module beside it draws the table."""
    folder = ROOT / program / "cli"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    drawing = {name for name, text in texts.items() if draws_a_table(text)} - {"terminal", "display"}
    found = 0
    for name, command in commands(program).items():
        module = command.callback.__module__.rpartition(".")[2] if command.callback else name
        uses = re.findall(rf"from {program}\.cli(?:\.(\w+))? import ([\w, ]+)", texts[module])
        beside = {place or each.strip() for place, names in uses for each in names.split(",")}
        if {module, *beside} & drawing:
            found += 1
            assert any("--json" in parameter.opts for parameter in command.params), name
    assert found >= 5
