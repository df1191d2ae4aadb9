"""The pages are true: every block of README and docs runs, or its commands are parsed, and the site builds.

A page's blocks run in order in a folder of their own, on the built-in demo data; training is shortened to an
epoch. Comments in a page, which a reader does not see, say what its blocks need:

    <!-- given: raw, store.zarr, examples -->    what lies in the folder from here on
    <!-- before: trainer pretrain ... -->        commands that run first, one a line
    <!-- not run: why -->                        the next block is only parsed
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import skeltools
import trainer
from skeltools.cli import cli as skeltools_cli
from skeltools.cli import run as run_skeltools
from skeltools.cli.docs import pages
from trainer.cli import cli as trainer_cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUPS: dict[str, click.Group] = {"skeltools": skeltools_cli, "trainer": trainer_cli}
PIECE = re.compile(
    r"^<!-- (given|before|not run): (.*?) ?-->$|^( *)```(\w+)\n(.*?)^\3```$", re.MULTILINE | re.DOTALL
)
SHORTER = {
    "demo": ["--subjects", "3"],
    "pretrain": ["--epochs", "1", "--set", "runtime.knn_every=0"],
}
"""Command -> what is added to it in a test."""

MADE = {
    "skeltools demo raw/": "raw",
    "skeltools convert ntu60 --out store.zarr": "store.zarr",
    "skeltools convert ntu60 --raw raw/ --out store.zarr": "store.zarr",
}
"""Command -> what it makes: it runs in README.md, and other pages are given what was made once."""

SHORTER_PROTOCOLS = {
    "linear": ["linear.epochs=5"],
    "finetune": ["finetune.epochs=1", "finetune.schedule=small"],
    "supervised": ["supervised.epochs=1"],
    "transfer": ["transfer.epochs=1"],
    "semi": ["semi.epochs=1", "semi.draws=1", "semi.shares=[20]"],
}


@dataclass(frozen=True)
class Block:
    """What a page says at one place: a comment for the tests, or a block of a language."""

    kind: str
    text: str

    def lines(self) -> list[str]:
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    found = PIECE.findall(page.read_text(encoding="utf-8"))
    return [Block(kind or language, words or text) for kind, words, _, language, text in found]


def runs(page: Path) -> list[Block]:
    """The blocks of a page that run, with their comments; those after ``not run`` are left out."""
    every = blocks(page)
    skipped = [False, *(block.kind == "not run" for block in every)]
    return [
        block for block, skip in zip(every, skipped, strict=False) if not skip and block.kind != "not run"
    ]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def words_of(line: str) -> list[str]:
    """The words of a command; settings of the environment before it, and its comment, are left out."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return [word.removeprefix(".venv/bin/") for word in words[:1]] + words[1:]


# Running


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages are given: raw data, a store, the examples; and runs that several of them begin with."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("raw", "store.zarr"):
        give(demo_data / name, folder / name)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.kind in ("sh", "python") for block in runs(page))],
    ids=name_of,
)
def test_the_blocks_of_a_page_run_in_order(
    page: Path,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKELTOOLS_STORE", raising=False)
    monkeypatch.delenv("SKELTOOLS_RAW", raising=False)
    names: dict[str, Any] = {}
    for block in runs(page):
        if block.kind == "given":
            for name in re.findall(r"[\w.]+", block.text):
                give(demo / name, tmp_path / name)
        elif block.kind in ("sh", "before"):
            for line in block.lines():
                command = shlex.join(words_of(line))
                if page.name != "README.md" and command in MADE:
                    give(demo / MADE[command], tmp_path / MADE[command])
                elif block.kind == "before" and command.startswith("trainer pretrain --store store.zarr"):
                    shutil.copytree(trained(demo, command, capsys), run_of(command), symlinks=True)
                else:
                    execute(line, capsys)
        elif block.kind == "python":
            exec(compile(block.text, name_of(page), "exec"), names)


def trained(demo: Path, command: str, capsys: pytest.CaptureFixture[str]) -> Path:
    """The run of a training on the demo store, done for the first page that needs it."""
    with contextlib.chdir(demo):
        if not run_of(command).exists():
            execute(command, capsys)
    return demo / run_of(command)


def run_of(command: str) -> Path:
    """Where a training writes, from its words."""
    words = words_of(command)
    if "--out" in words:
        return Path(words[words.index("--out") + 1])
    return Path("runs") / words[words.index("--method") + 1]


def give(source: Path, target: Path) -> None:
    """A file or folder of the demo; nothing in it is changed in place, so files are linked."""
    if source.name == "nothing" or target.exists():
        return
    if source.is_symlink():
        shutil.copytree(source, target)
    else:
        shutil.copytree(source, target, copy_function=os.link)


def execute(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(line)
    if not words:
        return
    words, target = (words[: words.index(">")], words[-1]) if ">" in words else (words, None)
    program, *arguments = words
    capsys.readouterr()
    if program == "skeltools":
        assert run_skeltools([*arguments, *SHORTER.get(arguments[0], ())]) == 0, (
            f"{line}\n{capsys.readouterr().err}"
        )
    elif program == "trainer":
        trainer_cli.main([*arguments, *shorter(arguments)], prog_name="trainer", standalone_mode=False)
    elif program == "python" and arguments[0].startswith("examples/"):
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    else:
        parse(line)
    if target is not None:
        Path(target).write_text(capsys.readouterr().out, encoding="utf-8")


def shorter(arguments: list[str]) -> list[str]:
    if arguments[0] == "pretrain":
        if "--profile" in arguments:
            small = ["encoder.options.channels=[8]", "encoder.options.stride_blocks=[]"]
            return ["--epochs", "8", *(word for value in small for word in ("--set", value))]  # stops itself
        return [] if {"--resume", "--dry-run"} & set(arguments) else SHORTER["pretrain"]
    if arguments[0] == "segment":
        return ["--stride", "30"] if "linear" not in arguments else []
    if arguments[0] == "evaluate":
        protocols = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--protocol"]
        values = [value for name in protocols for value in SHORTER_PROTOCOLS.get(name, ())]
        return [word for value in values for word in ("--set", value)]
    return []


# Parsing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_is_one(page: Path) -> None:
    every = blocks(page)
    for block in every:
        if block.kind == "sh":
            for line in block.lines():
                parse(line)
        elif block.kind == "yaml":
            assert yaml.safe_load(block.text)
        elif block.kind == "python":
            compile(block.text, name_of(page), "exec")
        else:
            assert block.kind in {"given", "before", "not run", "text", "json"}, (
                f"{block.kind}: say how it runs"
            )
            assert block.text.strip()


def parse(line: str) -> None:
    """Raises unless the program, the command and its options are there."""
    words = words_of(line)
    if not words:
        return
    program, *arguments = words[: words.index(">")] if ">" in words else words
    if program in GROUPS:
        _parse(program, arguments)
    elif program == "torchrun":
        assert arguments[arguments.index("-m") + 1] == "trainer"
        _parse("trainer", arguments[arguments.index("-m") + 2 :])
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(arguments) <= set(targets), line
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if "--no-deps" in arguments or "click" in arguments:  # held by tests/test_commands.py
            return
        extras = re.search(r"\.\[([\w,]+)\]", line)
        assert extras is not None, f"{line}: the package is on no index, so it is installed as '.[EXTRA]'"
        assert set(extras[1].split(",")) <= set(project["optional-dependencies"]), line
    elif program == "sbatch":
        assert arguments[0].endswith(".sbatch"), line
    elif program in ("python", "python3") and arguments[0] == "-m":
        module = arguments[1]
        assert module == "venv" or (ROOT / f"{module.replace('.', '/')}.py").exists(), line
    elif program == "python":
        assert (ROOT / arguments[0]).exists(), line
    else:
        assert line == ". .venv/bin/activate", f"no test knows how to check: {line}"


def _parse(program: str, arguments: list[str]) -> None:
    group = GROUPS[program]
    context = group.make_context(program, list(arguments))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert name is not None
    assert command is not None
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_inside_a_sentence_has_options_that_exist(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", text):
        for program, command, options in commands_in(span):
            assert command in GROUPS[program].commands, f"`{span}`: no command {command}"
            known = {
                name
                for option in GROUPS[program].commands[command].params
                for name in option.opts + option.secondary_opts
            }
            assert options <= known, f"`{span}`: {program} {command} has no {options - known}"


def commands_in(span: str) -> Iterator[tuple[str, str, set[str]]]:
    """(program, command, options) of a span that is a command: ``skeltools inspect [--json]``."""
    match = re.match(r"(?:torchrun .*-m )?(skeltools|trainer) ([a-z]+)\b(?!\.)(.*)", span)
    if match and match[2] != "--":
        yield match[1], match[2], set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", match[3]))


# Pages and links


def test_pages_have_different_names() -> None:
    """`skeltools docs NAME` prints them by name, whatever folder they are in."""
    assert len(pages()) == len(list((ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize(
    "path",
    sorted({*PAGES, *ROOT.glob("*.md")}),
    ids=name_of,
)
def test_a_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not link.startswith(("http", "#")):
            assert (path.parent / link.split("#")[0]).exists() or link.startswith(
                ("../reference/command-line.md", "reference/command-line.md")
            ), f"{link} in {name_of(path)}"


@pytest.mark.parametrize("package", ["schemas", "skeltools", "trainer", "benchmarks", "examples", "tests"])
def test_a_page_that_code_names_is_there(package: str) -> None:
    files = [path for kind in ("py", "yaml") for path in (ROOT / package).rglob(f"*.{kind}")]
    for path in files:
        for named in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{name_of(path)} names {named}"


def test_readme_fits_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 650


@pytest.mark.parametrize(
    "line",
    [
        "skeltools convert ntu60 --out store.zarr",
        "skeltools streams --bone --motion",
        "trainer pretrain --store store.zarr --method ms-clr",
    ],
)
def test_the_first_lines_stand_in_the_readme(line: str) -> None:
    assert line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def test_the_page_of_licences_has_every_dependency_in_the_tested_version() -> None:
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \|", text, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    for requirement in wanted:
        package = re.split(r"[\[<>=]", requirement)[0]
        assert package in rows, f"{package}: run python website/licences.py > docs/licences.md"
        assert f"{package}=={rows[package]}".lower() in constraints


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(
            r"<(?:script|img|link(?=[^>]*stylesheet))[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", text
        )
        assert not loaded, f"{page.name} loads {loaded}"
    public = (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")
    for package in (skeltools, trainer):
        for name in package.__all__:
            shown = f'id="{package.__name__}.{name}"' in public or f'id="schemas.{name}"' in public
            assert shown, f"{package.__name__}.{name} is public and not on the page"
