"""Settings: layers in their order, every wrong key named with its path and the closest right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas import Component, ConfigError, OptimiseConfig, RunConfig, SkelError, StoreError, UsageError
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import config, device, methods
from trainer import store as stores
from trainer.config import Override
from trainer.config.trees import merge, set_value
from trainer.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("data")
    return stores.open_store(write_store(folder / "toy.zarr", conventions=("few_6", "many_8")))


def resolved(store: Store, *pairs: tuple[str, Any], method: str = "skeletonclr", **more: Any) -> RunConfig:
    overrides = [Override(path, value) for path, value in pairs]
    return config.resolve(store, method=method, overrides=overrides, **more).config


def test_later_layers_win(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optimise: {lr: 5e-2, epochs: 7}\nmethod: {options: {temperature: 3e-1}}\n")
    settings = config.resolve(
        store, method="skeletonclr", preset="paper", file=file, overrides=[Override("optimise.epochs", 9)]
    )
    optimise = settings.config.optimise
    assert (optimise.lr, optimise.epochs, optimise.batch_size) == (0.05, 9, 128)
    assert settings.sources["optimise.lr"] == str(file)
    assert settings.sources["optimise.epochs"] == "--set"
    assert settings.sources["optimise.batch_size"].startswith("released CrosSCLR")


def test_a_saved_configuration_is_a_settings_file(store: Store, tmp_path: Path) -> None:
    before = resolved(store, ("data.frames", 12), ("optimise.lr", 0.5), method="ms-clr-released")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(before.model_dump(mode="json")))
    assert config.resolve(store, file=tmp_path / "config.yaml").config == before


def test_a_rendered_configuration_is_one_too(store: Store, tmp_path: Path) -> None:
    settings = config.resolve(store, method="aimclr", preset="paper")
    text = config.render(settings)
    (tmp_path / "config.yaml").write_text(text)
    assert config.resolve(store, file=tmp_path / "config.yaml").config == settings.config
    assert "AimCLR, Pretext training: tau 0.07" in text
    assert all(
        "#" in line or line.rstrip().endswith(":") or line.startswith("preset") for line in text.splitlines()
    )


def test_the_store_picks_the_preset(tmp_path: Path, store: Store) -> None:
    assert resolved(store).preset == "skeletonclr/small"
    ntu = stores.open_store(write_store(tmp_path / "ntu.zarr", manifest={"dataset": "ntu60"}))
    assert resolved(ntu).preset == "skeletonclr/paper"
    demo = stores.open_store(write_store(tmp_path / "demo.zarr", manifest={"synthetic": True}))
    assert resolved(demo).preset == "skeletonclr/demo"
    ucla = stores.open_store(write_store(tmp_path / "ucla.zarr", manifest={"dataset": "nw-ucla"}))
    assert resolved(ucla).preset == "skeletonclr/nw-ucla"
    assert resolved(ucla, method="aimclr").preset == "aimclr/nw-ucla"
    assert resolved(ucla, method="aimclr-released").preset == "aimclr/released"
    for part in (1, 2):
        path = tmp_path / f"pku{part}.zarr"
        pku = stores.open_store(write_store(path, manifest={"dataset": f"pku-mmd-{part}"}))
        assert resolved(pku, method="aimclr").preset == f"aimclr/pku-{part}"
    assert resolved(ucla, preset="paper").preset == "skeletonclr/paper"


@pytest.mark.parametrize(
    ("share", "epochs", "begin"), [(0.5, 60, 30), (0.75, 10, 8), (0.01, 20, 0), (150, 60, 150), (0, 60, 0)]
)
def test_a_stage_may_begin_after_a_share_of_the_epochs(
    store: Store, share: float, epochs: int, begin: int
) -> None:
    pairs = [("method.options.mine_from", share), ("optimise.epochs", epochs)]
    assert resolved(store, *pairs, method="aimclr").method.options["mine_from"] == begin
    base = [("method.options.base.options.mine_from", share), ("optimise.epochs", epochs)]
    wrapped = resolved(store, *base, method="ms-clr").method.options["base"]["options"]
    assert wrapped["mine_from"] == begin


def test_a_share_says_where_it_came_from_and_stands_after_a_resume(store: Store) -> None:
    overrides = [Override("method.options.mine_from", 0.75), Override("optimise.epochs", 60)]
    settings = config.resolve(store, method="aimclr", overrides=overrides)
    assert settings.sources["method.options.mine_from"] == "0.75 of 60 epochs; --set"
    assert config.resume(settings.config, overrides=overrides).config == settings.config
    longer = config.resume(settings.config, overrides=[Override("optimise.epochs", 90)]).config
    assert longer.method.options["mine_from"] == 45
    with pytest.raises(ConfigError, match=r"mine_from: the run was started with 45, .* make it 68"):
        config.resume(settings.config, overrides=[overrides[0], Override("optimise.epochs", 90)])


@pytest.mark.parametrize(
    ("schedule", "epochs", "told"), [("cosine", 9, True), ("cosine", 6, False), ("constant", 9, False)]
)
def test_more_epochs_of_a_cosine_are_told(store: Store, schedule: str, epochs: int, told: bool) -> None:
    begun = resolved(store, ("optimise.epochs", 6), ("optimise.schedule", schedule), method="aimclr")
    notes = config.resume(begun, overrides=[Override("optimise.epochs", epochs)]).notes
    assert [note.partition(" epochs,")[0] for note in notes] == (
        ["the cosine of the rate is stretched from 6 to 9"] if told else []
    )


@pytest.mark.parametrize("value", [1.0, 1.5, -0.5, 0.0])
def test_a_share_lies_between_zero_and_one(store: Store, value: float) -> None:
    with pytest.raises(ConfigError, match=r"method\.options\.mine_from: expected an epoch .* or a share"):
        resolved(store, ("method.options.mine_from", value), method="aimclr")


def test_a_schedule_is_drawn() -> None:
    optimise = OptimiseConfig(epochs=300, schedule="step", milestones=(250,))
    method = Component(name="aimclr")
    lines = config.draw(method, optimise)
    assert lines[:4] == [
        "epochs 0                                 150                     250      300",
        "       +---------------------------------+-----------------------+----------+",
        "stage  | 1 contrast                      | 2 mining                         |",
        "rate   | 0.1                                                     | 0.01     |",
    ]
    assert "(from epoch 151)" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("epochs", [1, 2, 7, 60, 149, 150, 151, 10000])
@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 5])
def test_every_schedule_fits_eighty_columns(epochs: int, schedule: str, warmup: int) -> None:
    optimise = OptimiseConfig(epochs=epochs, schedule=schedule, milestones=(140, 141), warmup_epochs=warmup)
    lines = config.draw(Component(name="csclr"), optimise)
    assert all(len(line) <= 78 and line.isascii() for line in lines)
    assert lines[0].split()[-1] == str(epochs)
    assert ("not reached" in " ".join(lines)) == (epochs <= 300)


def test_stages_that_a_short_run_misses_are_named(store: Store) -> None:
    stages = methods.stages(Component(name="aimclr"))
    assert config.unreached(stages, 60) == ["stage 2 'mining' would begin after 150 epochs, the run has 60"]
    assert config.unreached(stages, 150) == [], "set to the last epoch it is left out on purpose"


def test_options_are_explained_by_their_docstrings() -> None:
    found = {option.name: option for option in config.options(methods.METHODS["aimclr"].Options)}
    assert found["mine_from"].default == "150"
    assert found["mine_from"].text.startswith("First epoch (0-based) of the second stage")
    assert found["nnm_reduction"].choices == ("sum", "mean")
    assert found["hidden"].default == "null"


@pytest.mark.parametrize("method", sorted(methods.METHODS))
def test_every_option_of_every_method_is_explained(method: str) -> None:
    missing = [option.name for option in config.options(methods.METHODS[method].Options) if not option.text]
    assert missing == []


def test_the_method_may_carry_its_preset(store: Store) -> None:
    assert resolved(store, method="aimclr-released").preset == "aimclr/released"
    assert resolved(store, method="ms-clr-released").preset == "ms-clr/released"
    assert resolved(store, method="skeletonclr-t02").data.frames == 64
    assert resolved(store, method="skeletonclr-t02", preset="t02").preset == "skeletonclr/t02"
    with pytest.raises(UsageError, match="asks for preset 't02', --preset for 'paper'"):
        resolved(store, method="skeletonclr-t02", preset="paper")


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_is_settled_when_a_run_begins(
    store: Store, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(device, "computes_bf16", lambda _: native)
    asked = [Override("runtime.precision", "auto")]
    settings = config.resolve(store, method="skeletonclr", overrides=asked)
    assert settings.config.runtime.precision == ("bf16" if native else "fp32")
    verb = "computes" if native else "would emulate"
    assert settings.sources["runtime.precision"] == f"auto: this cpu {verb} bf16"
    again = config.resume(settings.config, overrides=asked)
    assert again.config.runtime.precision == settings.config.runtime.precision


def test_the_earlier_name_of_the_split_is_read(store: Store, tmp_path: Path) -> None:
    assert config.parse_override("data.protocol=xview") == Override("data.split", "xview")
    before = resolved(store)
    stored = before.model_dump(mode="json")
    stored["data"]["protocol"] = stored["data"].pop("split")
    assert RunConfig.model_validate(stored) == before
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    settings = config.resolve(store, file=tmp_path / "config.yaml")
    assert settings.config == before
    assert settings.sources["data.split"] == str(tmp_path / "config.yaml")


def test_the_split_by_both_of_its_names_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text("data: {split: xview, protocol: xsub}")
    with pytest.raises(ConfigError, match=r"data\.protocol: unknown key"):
        resolved(store, file=tmp_path / "both.yaml")


def test_split_and_conventions_come_from_the_store(store: Store) -> None:
    assert resolved(store).data.split == "xview"
    assert resolved(store).data.conventions == ("few_6",)
    assert resolved(store, method="ms-clr").data.conventions == ("few_6", "many_8")
    asked = resolved(store, ("data.conventions", ["many_8", "few_6"]), method="ms-clr")
    assert asked.data.conventions == ("many_8", "few_6")
    assert resolved(store, ("data.conventions", "many_8")).data.conventions == ("many_8",)


@pytest.mark.parametrize(
    ("pairs", "kind", "words"),
    [
        (
            [("optimise.lrr", 1)],
            ConfigError,
            ["optimise.lrr: unknown key", "Did you mean 'lr'?", "batch_size"],
        ),
        ([("optimiser.lr", 1)], ConfigError, ["optimiser: unknown key", "Did you mean 'optimise'?"]),
        ([("lr", 1)], ConfigError, ["lr: unknown key"]),
        ([("optimise.lr", -1)], ConfigError, ["optimise.lr: expected a number greater than 0, found -1"]),
        ([("optimise.lr", "fast")], ConfigError, ["optimise.lr: ", "found 'fast'"]),
        (
            [("optimise.schedule", "linear")],
            ConfigError,
            ["optimise.schedule: ", "'cosine'", "found 'linear'"],
        ),
        ([("optimise.batch_size", 1)], ConfigError, ["optimise.batch_size", "greater than or equal to 2"]),
        ([("runtime.precision", "fp16")], ConfigError, ["runtime.precision", "'bf16'"]),
        ([("data.stream", "angle")], ConfigError, ["data.stream", "'motion'"]),
        ([("augment.normal.7.name", "x")], ConfigError, ["augment.normal.7: expected a number from 0 to 1"]),
        ([("augment.normal.0.nam", "x")], ConfigError, ["augment.normal.0.nam: unknown key", "'name'"]),
        ([("optimise.lr.x", 1)], ConfigError, ["optimise.lr: is a value (0.1)"]),
        ([("data.conventions", ["few_6", "many_8"])], ConfigError, ["one skeleton convention", "ms-clr"]),
        ([("data.conventions", ["few_6", "few_6"])], ConfigError, ["named twice"]),
        ([("data.conventions", ["smplx_42"])], StoreError, ["no convention 'smplx_42'"]),
        ([("data.split", "xsub")], StoreError, ["no split 'xsub'"]),
    ],
)
def test_a_wrong_setting_is_named(
    store: Store, pairs: list[tuple[str, Any]], kind: type[SkelError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        resolved(store, *pairs, preset="paper")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_wrong_names_come_with_the_right_ones(store: Store) -> None:
    with pytest.raises(UsageError, match=r"unknown method 'aimcrl'\. Did you mean 'aimclr'\?.*ms-clr"):
        resolved(store, method="aimcrl")
    with pytest.raises(UsageError, match=r"unknown preset of aimclr 'papr'\. Did you mean 'paper'"):
        resolved(store, method="aimclr", preset="papr")
    with pytest.raises(UsageError, match=r"no method given.*--method: aimclr, .*ms-clr"):
        config.resolve(store)


def test_a_settings_file_that_cannot_be_read(store: Store, tmp_path: Path) -> None:
    for content, word in (
        ("a: [", "not valid YAML"),
        ("- 1", "expected a mapping"),
        ("\x00", "not valid YAML"),
    ):
        (tmp_path / "c.yaml").write_text(content)
        with pytest.raises(ConfigError, match=rf"c\.yaml: {word}"):
            resolved(store, file=tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read the settings \(No such file"):
        resolved(store, file=tmp_path / "none.yaml")


def test_overrides_are_parsed_as_yaml() -> None:
    assert config.parse_override("a.b=[1, 2]") == Override("a.b", [1, 2])
    assert config.parse_override("a=true").value is True
    assert config.parse_override("a=x=y").value == "x=y"
    for text in ("a", "=1"):
        with pytest.raises(UsageError, match="expected KEY=VALUE"):
            config.parse_override(text)
    with pytest.raises(UsageError, match="not a valid YAML value"):
        config.parse_override("a=[1")


def test_another_component_drops_the_options_of_the_old_one() -> None:
    lower = {"encoder": {"name": "stgcn", "options": {"channels": [1]}}}
    assert merge(lower, {"encoder": {"name": "gru"}}) == {"encoder": {"name": "gru"}}
    assert merge(lower, {"encoder": {"options": {"dropout": 0}}})["encoder"] == {
        "name": "stgcn",
        "options": {"channels": [1], "dropout": 0},
    }
    set_value(lower, "encoder.name", "gru")
    assert lower == {"encoder": {"name": "gru", "options": {}}}


keys = st.sampled_from("abc")
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


@given(lower=st.dictionaries(keys, trees), upper=st.dictionaries(keys, trees))
def test_merging_keeps_all_of_the_upper_and_changes_neither(
    lower: dict[str, Any], upper: dict[str, Any]
) -> None:
    before = repr((lower, upper))
    merged = merge(lower, upper)
    assert repr((lower, upper)) == before
    assert merge(merged, upper) == merged
    assert merge({}, upper) == upper
    filled = {path: value for path, value in config.leaves(upper) if value != {}}
    assert filled.items() <= dict(config.leaves(merged)).items()


def test_overrides_do_not_leak_into_presets(store: Store) -> None:
    before = repr(config.find_preset("aimclr", "paper"))
    resolved(store, ("augment.extreme.2.options.p", 0.1), ("method.options.queue", 3), method="aimclr")
    assert repr(config.find_preset("aimclr", "paper")) == before


def test_resuming_takes_the_runs_own_settings(store: Store) -> None:
    saved = tiny_config(store.path)
    assert config.resume(saved).config == saved
    again = [Override("optimise.batch_size", 4), Override("data.frames", 12)]
    repeated = config.resume(saved, method="skeletonclr", preset="paper", store=store.path, overrides=again)
    assert repeated.config == saved
    longer = config.resume(saved, overrides=[Override("optimise.epochs", 50, "--epochs")])
    assert longer.config.optimise.epochs == 50
    assert longer.sources["optimise.epochs"] == "--epochs"
    assert longer.sources["optimise.lr"] == "the run"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"overrides": [Override("optimise.lr", 0.2)]}, "optimise.lr"),
        ({"overrides": [Override("runtime.seed", 1)]}, "runtime.seed"),
        ({"method": "aimclr"}, "method.name"),
        ({"preset": "demo"}, "preset"),
        ({"base": "aimclr"}, "method.options.base.name"),
    ],
)
def test_resuming_refuses_to_make_another_run(store: Store, asked: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{path}: the run was started with .* --resume cannot"):
        config.resume(tiny_config(store.path), **asked)
