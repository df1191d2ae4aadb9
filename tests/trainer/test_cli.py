"""The command line: what it prints, its exit codes, one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.command import call
from tests.trainer.runs import tiny_arguments
from tests.trainer.stores import write_store
from trainer import checkpoint, cli, config
from trainer.methods import METHODS, MSCLR, options_of

TRAINING = ["pretrain", "--store", "STORE", "--method", "skeletonclr", *tiny_arguments()]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", manifest={"synthetic": True})


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                "pretrain",
                "--store",
                str(store),
                "--method",
                "skeletonclr",
                "--out",
                str(out),
                *tiny_arguments(),
            ]
        )
    assert ended.value.code == 0
    return out


def test_pretrain_reports_its_epochs_and_what_comes_next(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, "pretrain", "--store", store, "--method", "skeletonclr", *tiny_arguments())
    assert code == 0
    assert out.splitlines()[-1] == "next: trainer evaluate runs/skeletonclr --protocol knn --protocol linear"
    lines = err.splitlines()
    assert lines[0].startswith("runs/skeletonclr: skeletonclr/demo on cpu (")
    assert [line.split()[1] for line in lines[1:]] == ["1/2", "2/2"]
    assert all(word in lines[2] for word in ("loss ", "clips/s", "0:00 left"))
    assert checkpoint.load(tmp_path / "runs/skeletonclr" / checkpoint.LAST).epoch == 2


def test_a_profile_is_there_for_programs(store: Path, tmp_path: Path, capsys: Capture) -> None:
    words = [*TRAINING, "--out", tmp_path / "run"]
    words[2] = store
    code, out, _ = call(capsys, *words, "--profile", 2, "--json")
    found = json.loads(out)
    assert (code, found["steps"]) == (0, 2)
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"], rel=0.2)
    assert {"name", "seconds", "calls"} <= found["operations"][0].keys()
    assert Path(found["trace"]).is_file()
    code, _, err = call(capsys, *words, "--json")
    assert (code, err) == (2, "error: --json is of a profile. Add --profile N\n")


def test_shortcuts_set_what_they_say(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(
        capsys, "pretrain", "--store", store, "--method", "aimclr", "--preset", "paper",
        "--split", "xview", "--stream", "bone", "--convention", "few_6", "--epochs", 3, "--seed", 5,
        "--device", "cpu", "--precision", "bf16",
        "--batch-size", 8, "--accumulate", 2, "--compile",
        "--set", "optimise.lr=2e-1", "--set", "data.frames=12", "--out", tmp_path / "run", "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert not (tmp_path / "run").exists()
    shown = {
        line.split("#")[0].strip(): line.split("#")[1].strip() for line in out.splitlines() if "#" in line
    }
    for line, origin in (
        ('split: "xview"', "--split"),
        ('stream: "bone"', "--stream"),
        ('conventions: ["few_6"]', "--convention"),
        ("epochs: 3", "--epochs"),
        ("seed: 5", "--seed"),
        ('device: "cpu"', "--device"),
        ('precision: "bf16"', "--precision"),
        ("batch_size: 8", "--batch-size"),
        ("accumulate: 2", "--accumulate"),
        ("compile: true", "--compile"),
        ("lr: 0.2", "--set"),
        ("queue: 32768", "AimCLR, Pretext training: memory bank of 32768"),
    ):
        assert shown[line] == origin


def test_resume_needs_nothing_but_the_folder(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    start = ["pretrain", "--store", store, "--method", "skeletonclr", "--out", out, *tiny_arguments()]
    assert call(capsys, *start)[0] == 0
    code, _, err = call(capsys, *start)
    assert (code, err.count("\n")) == (2, 1)
    assert "--resume" in err
    assert call(capsys, "pretrain", "--out", out, "--resume", "--epochs", 3)[0] == 0
    assert checkpoint.load(out / checkpoint.LAST).epoch == 3
    code, _, err = call(capsys, "pretrain", "--out", out, "--resume", "--seed", 4)
    assert code == 2
    assert err.startswith("error: runtime.seed: the run was started with 0")
    assert call(capsys, *start, "--force")[0] == 0
    assert checkpoint.load(out / checkpoint.LAST).epoch == 2


def test_evaluate_prints_a_table_and_what_the_data_are(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(
        capsys, "evaluate", run, "--protocol", "knn", "--protocol", "linear", "--device", "cpu"
    )
    assert code == 0
    assert "skeletonclr, epoch 2, toy xview (21 train, 9 test), few_6, joint" in out
    assert "random encoder kNN %" in out
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["knn", "knn1", "linear"]
    assert out.splitlines()[-1] == "built-in demo data: numbers say nothing about NTU RGB+D"
    assert {path.name for path in (run / "results").iterdir()} == {
        "linear-few_6.safetensors",
        *(f"{figure}-few_6.{kind}" for figure in ("knn", "knn1", "linear") for kind in ("json", "npz")),
    }


def test_evaluate_prints_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(
        capsys,
        "evaluate",
        run,
        "--protocol",
        "linear",
        "--json",
        "--set",
        "linear.epochs=3",
        "--device",
        "cpu",
    )
    (result,) = json.loads(out)
    assert code == 0
    assert result["settings"]["epochs"] == 3
    assert result["synthetic"] is True


def test_methods_lists_presets_and_papers(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods")
    assert code == 0
    named = [line.partition(":")[0] for line in out.splitlines() if not line.startswith(" ")]
    assert named == sorted([*METHODS, MSCLR])
    assert "  presets: paper, released, pku-1, pku-2, nw-ucla, demo" in out
    assert "  paper: Guo et al." in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("method", sorted([*METHODS, MSCLR]))
def test_methods_explains_one(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", method)
    assert code == 0
    for preset in config.preset_names(method):
        assert f"\n{method}-{preset}: " in out
    assert out.count("\n  stage  ") == len(config.preset_names(method)), "every preset's schedule is drawn"
    for name in options_of(method).model_fields:
        assert f"\n  {name} = " in out


def test_methods_explains_options_encoders_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "methods", "aimclr")
    assert "\nencoders: agcn, ctrgcn, stgcn, vit\n" in out
    assert "  nnm_reduction = sum (sum | mean)\n      Terms of several positives" in out
    assert "  stage  | 1 contrast" in out
    assert "aimclr-released: as the released AimCLR code" in out
    assert "method.options.nnm_reduction = sum  # AimCLR Eq. 9: a sum over the positives" in out


def test_a_stage_that_is_never_reached_is_noted(store: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["pretrain", "--store", store, "--method", "aimclr-paper", *tiny_arguments(), "--dry-run"]
    code, out, err = call(capsys, *arguments)
    assert code == 0
    assert err == "note: stage 2 'mining' would begin after 150 epochs, the run has 2\n"
    assert "# stage  | 1 contrast" in out
    (tmp_path / "settings.yaml").write_text(out)
    again = call(capsys, "pretrain", "--store", store, "--config", tmp_path / "settings.yaml", "--dry-run")
    assert again[0] == 0, "the schedule is a comment"


def test_stages_and_alarms_are_told(store: Path, tmp_path: Path, capsys: Capture) -> None:
    changes = {"method__options__mine_from": 1, "method__options__temperature": 1000}
    arguments = ["--method", "aimclr-paper", "--out", tmp_path / "run", *tiny_arguments(**changes)]
    code, _, err = call(capsys, "pretrain", "--store", store, *arguments)
    assert code == 0
    assert "epoch 1/2  stage 1/2 contrast  loss" in err
    assert "epoch 2/2  stage 2/2 mining  loss" in err
    assert err.count("warning: epoch 1: queries do not find their own key: info_nce 2.8") == 1


@pytest.mark.parametrize("command", [[], ["pretrain"], ["evaluate"], ["ensemble"], ["compare"], ["methods"]])
def test_every_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, *command, "--help")
    assert code == 0
    assert "Example" in out
    assert "trainer " in out.split("Example")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["pretrain", "--store", "STORE", "--method", "aimcrl"],
            2,
            "unknown method 'aimcrl'. Did you mean 'aimclr'?",
        ),
        (
            ["pretrain", "--store", "STORE", "--method", "aimclr", "--preset", "x"],
            2,
            "unknown preset of aimclr 'x'",
        ),
        (
            ["pretrain", "--store", "STORE", "--method", "aimclr", "--set", "optimise.lrr=1"],
            2,
            "optimise.lrr: unknown",
        ),
        (
            ["pretrain", "--store", "STORE", "--method", "aimclr", "--set", "optimise"],
            2,
            "expected KEY=VALUE",
        ),
        (["pretrain", "--store", "STORE", "--method", "aimclr", "--device", "cuda:77"], 2, "PyTorch sees"),
        (["pretrain", "--store", "STORE", "--method", "ms-clr"], 2, "needs two or more, found few_6"),
        (["pretrain", "--store", "STORE", "--method", "skeletonclr-paper"], 1, "skeltools streams"),
        (["pretrain", "--store", "NOWHERE", "--method", "aimclr"], 1, "no such store"),
        (["pretrain", "--store", "FOLDER", "--method", "aimclr"], 1, "is not a skeleton store"),
        (["pretrain", "--method", "aimclr"], 2, "no store given"),
        (["pretrain", "--store", "STORE"], 2, "no method given"),
        (["pretrain", "--resume", "--out", "FOLDER"], 1, "no checkpoint here"),
        (["pretrain", "--sotre", "x"], 2, "No such option"),
        (
            [*TRAINING, "--accumulate", "3"],
            2,
            "optimise.batch_size: a batch of 4 clips cannot be worked on in 3 equal parts",
        ),
        (
            [*TRAINING, "--profile", "99"],
            2,
            "--profile: a profile of 99 steps takes 3 more to warm up, the run has 10 left",
        ),
        (["evaluate", "FOLDER"], 1, "no checkpoint here"),
        (["evaluate"], 2, "Missing argument 'RUN'"),
        (["evaluate", "RUN", "--protocol", "finetun"], 2, "unknown protocol 'finetun'"),
        (["evaluate", "RUN", "--convention", "smplx_42"], 2, "trained on few_6"),
        (["evaluate", "RUN", "--store", "FOLDER"], 1, "is not a skeleton store"),
        (["evaluate", "RUN", "--memory-limit", "much"], 2, "'--memory-limit': 'much' is no size of memory"),
        (["evaluate", "RUN", "--memory-limit", "0"], 2, "give one such as 8GB"),
        (["methods", "simclr"], 2, "unknown method 'simclr'"),
        (["trian"], 2, "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    store: Path,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    names = {"STORE": store, "RUN": run, "FOLDER": tmp_path / "folder", "NOWHERE": tmp_path / "nowhere"}
    found, out, err = call(capsys, *(names.get(argument, argument) for argument in arguments))
    assert found == code
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_unexpected_error_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import config

    monkeypatch.setattr(config, "preset_methods", lambda: 1 // 0)
    code, _, err = call(capsys, "methods")
    assert code == 1
    problem = "ZeroDivisionError: integer division or modulo by zero"
    assert err == f"error: internal error ({problem}); run again with --debug to see where\n"
    code, _, err = call(capsys, "--debug", "methods")
    assert code == 1
    assert "Traceback" in err


def test_ctrl_c_outside_of_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import config

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "preset_methods", interrupted)
    code, _, err = call(capsys, "methods")
    assert code == 130
    assert err.strip() == "error: interrupted; nothing was left half-written"


def test_the_store_is_the_variables_or_the_one_in_the_folder(
    store: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["pretrain", "--method", "aimclr", "--dry-run", *tiny_arguments()]
    monkeypatch.setenv("SKELTOOLS_STORE", str(store))
    code, out, err = call(capsys, *arguments)
    assert code == 0, err
    assert f'store: "{store}"' in out
    monkeypatch.setenv("SKELTOOLS_STORE", "nowhere")
    assert "nowhere: no such store" in call(capsys, *arguments)[2]
    monkeypatch.delenv("SKELTOOLS_STORE")
    assert "no store given" in call(capsys, *arguments)[2]
    (tmp_path / "store.zarr").symlink_to(store)
    assert call(capsys, *arguments)[0] == 0


def test_a_settings_file_names_the_store_before_the_variable_does(
    store: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKELTOOLS_STORE", "nowhere")
    (tmp_path / "mine.yaml").write_text(f"data: {{store: {store}}}\n")
    arguments = ["--method", "aimclr", "--config", tmp_path / "mine.yaml", "--dry-run", *tiny_arguments()]
    code, out, err = call(capsys, "pretrain", *arguments)
    assert code == 0, err
    assert f'store: "{store}"' in out
