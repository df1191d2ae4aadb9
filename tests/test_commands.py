"""What both programs have in common: how they start, what they import, options that are given twice."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from skeltools import __version__, trainer_command
from skeltools.cli.docs import pages

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
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{program} {__version__}\n", "")
    done = python("-m", program, "nothing")
    assert (done.returncode, done.stderr) == (2, "error: No such command 'nothing'.\n")


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
