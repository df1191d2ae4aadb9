from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas import UsageError
from skeltools import skeletons
from skeltools.cli.convert import command as convert_command
from skeltools.conversion import convert
from skeltools.datasets import DATASETS, NAMES, choose, facts, find_raw
from tests.skeltools.raw_files import ntu_text, poses

CLIP = {
    "ntu60": "S001C001P001R001A001.skeleton",
    "ntu120": "S020C001P001R001A090.skeleton",
    "nw-ucla": "a01_s01_e00_v01.json",
    "pku-mmd-1": "0002-L.txt",
    "pku-mmd-2": "A01N01-L.txt",
}


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def _zip(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


# ---- facts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "classes", "missing"),
    [
        ("ntu60", 60, 302),
        ("ntu120", 120, 535),
        ("nw-ucla", 10, 0),
        ("pku-mmd-1", 51, 0),
        ("pku-mmd-2", 51, 0),
    ],
)
def test_classes_and_missing_lists_have_the_published_sizes(name: str, classes: int, missing: int) -> None:
    dataset = DATASETS[name]
    assert len(dataset.classes) == len(set(dataset.classes)) == classes
    assert len(dataset.missing) == missing
    assert all(dataset.accepts(id) for id in dataset.missing)
    assert skeletons.load(dataset.convention)
    assert dataset.name == name


def test_class_names_stand_at_their_label() -> None:
    ntu = DATASETS["ntu120"].classes
    numbered = {1: "drink water", 50: "punching/slapping other person", 60: "walking apart from each other",
                61: "put on headphone", 112: "high-five"}  # fmt: skip
    assert {number: ntu[number - 1] for number in numbered} == numbered
    assert DATASETS["ntu60"].classes == ntu[:60]


def test_nw_ucla_numbers_its_actions_with_gaps() -> None:
    assert [number for number, _ in facts.actions("nwucla")] == [1, 2, 3, 4, 5, 6, 8, 9, 11, 12]
    assert DATASETS["nw-ucla"].classes[6] == "donning"


def test_the_missing_lists_are_nested() -> None:
    assert DATASETS["ntu60"].missing < DATASETS["ntu120"].missing
    assert "S001C002P005R002A008" in DATASETS["ntu60"].missing


def test_ntu60_is_setups_1_to_17_and_actions_1_to_60() -> None:
    accepted = {"S017C003P020R002A060": True, "S018C003P020R002A001": False, "S001C001P001R001A061": False,
                "S000C001P001R001A001": False, "somebody": False}  # fmt: skip
    assert {id: DATASETS["ntu60"].accepts(id) for id in accepted} == accepted
    assert DATASETS["ntu120"].accepts("S018C003P020R002A061")


def test_a_data_set_travels_to_workers() -> None:
    for dataset in DATASETS.values():
        assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_data_sets_are_chosen_by_name() -> None:
    assert [choose(name) for name in DATASETS] == list(DATASETS.values())
    assert set(NAMES) == {*DATASETS, "custom"}
    with pytest.raises(UsageError, match=r"unknown data set 'pku-mmd'\. Did you mean 'pku-mmd-"):
        choose("pku-mmd")


def test_the_help_names_every_data_set() -> None:
    text = CliRunner().invoke(convert_command, ["--help"]).output
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize(("name", "yes", "no"), [("pku-mmd-1", "0002-L_003", "A01N01-L_003"),
                                                 ("pku-mmd-2", "A01N01-R_1000", "0002-L_003")])  # fmt: skip
def test_the_parts_of_pku_mmd_are_told_by_their_ids(name: str, yes: str, no: str) -> None:
    assert DATASETS[name].accepts(yes)
    assert not DATASETS[name].accepts(no)
    assert not DATASETS[name].accepts(yes.partition("_")[0])


# ---- where the raw files are ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS)
def test_a_parent_resolves_to_each_data_sets_own_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other, clip in CLIP.items():
        _file(tmp_path / other / "inside" / clip)
    assert find_raw(DATASETS[name], tmp_path) == tmp_path / name
    assert find_raw(DATASETS[name], tmp_path / name) == tmp_path / name
    monkeypatch.setenv("SKELTOOLS_RAW", str(tmp_path))
    assert find_raw(DATASETS[name]) == tmp_path / name


@pytest.mark.parametrize("name", DATASETS)
def test_zip_files_are_found_by_name_by_content_and_directly(name: str, tmp_path: Path) -> None:
    archive = _zip(tmp_path / "parent" / f"{name}.zip", f"deep/inside/{CLIP[name]}")
    other = _zip(tmp_path / "own" / "download (1).zip", CLIP[name])
    assert find_raw(DATASETS[name], tmp_path / "parent") == archive
    assert find_raw(DATASETS[name], archive) == archive
    assert find_raw(DATASETS[name], other.parent) == other.parent


def test_both_official_archives_of_ntu120_are_one_data_set(tmp_path: Path) -> None:
    first, second = "S001C001P001R001A001", "S018C001P041R001A061"
    for place, name in (
        ("nturgbd_skeletons_s001_to_s017", first),
        ("nturgbd_skeletons_s018_to_s032", second),
    ):
        with zipfile.ZipFile(tmp_path / f"{place}.zip", "w") as archive:
            archive.writestr(f"nturgb+d_skeletons/deep/{name}.skeleton", ntu_text(poses(8)))
    assert find_raw(DATASETS["ntu120"], tmp_path) == tmp_path
    manifests = {
        name: convert(name, raw=tmp_path, out=tmp_path / f"{name}.zarr").manifest
        for name in ("ntu60", "ntu120")
    }
    assert {name: manifest.samples for name, manifest in manifests.items()} == {"ntu60": 1, "ntu120": 2}
    assert manifests["ntu60"].findings == {"not part of this data set": 1}
    assert manifests["ntu120"].findings == {}
    nested = tmp_path / "nested" / "a" / "b"
    nested.mkdir(parents=True)
    for archive_path in tmp_path.glob("*.zip"):
        with zipfile.ZipFile(archive_path) as archive:
            archive.extractall(nested / archive_path.stem)
    folder = convert("ntu120", raw=tmp_path / "nested", out=tmp_path / "folder.zarr")
    assert (folder.manifest.samples, folder.manifest.hash) == (2, manifests["ntu120"].hash)
    assert folder.warnings == ()


@pytest.mark.parametrize(
    ("clip", "found", "other"),
    [("S001C001P001R001A001", "1 to 17", "18 to 32"), ("S018C001P041R001A061", "18 to 32", "1 to 17")],
)
def test_one_archive_of_ntu120_alone_is_warned_about(
    tmp_path: Path, clip: str, found: str, other: str
) -> None:
    (tmp_path / f"{clip}.skeleton").write_text(ntu_text(poses(8)))
    (warning,) = convert("ntu120", raw=tmp_path, out=tmp_path / "s.zarr").warnings
    assert f"only setups {found} were found" in warning
    assert f"setups {other} into the same folder" in warning


def test_other_data_sets_are_never_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    _file(tmp_path / "ntu120" / CLIP["ntu120"])
    _zip(tmp_path / "NTU120.zip", CLIP["ntu120"])
    _zip(tmp_path / "nw-ucla.zip", CLIP["nw-ucla"])
    with pytest.raises(UsageError, match=r"SsssCcccPpppRrrrAaaa\.skeleton"):
        find_raw(DATASETS["ntu60"], tmp_path)
    assert find_raw(DATASETS["ntu60"], tmp_path / "ntu120") == tmp_path / "ntu120"


def test_folder_names_are_read_in_any_case_and_folders_go_before_zips(tmp_path: Path) -> None:
    _zip(tmp_path / "ntu60.zip", CLIP["ntu60"])
    _file(tmp_path / "NTU60" / CLIP["ntu60"])
    assert find_raw(DATASETS["ntu60"], tmp_path).name == "NTU60"


def test_an_empty_folder_of_the_right_name_does_not_hide_the_data(tmp_path: Path) -> None:
    (tmp_path / "ntu60").mkdir()
    _file(tmp_path / "nturgb+d_skeletons" / CLIP["ntu60"])
    assert find_raw(DATASETS["ntu60"], tmp_path) == tmp_path


def test_metrabs_poses_alone_are_data(tmp_path: Path) -> None:
    (tmp_path / "ntu60" / "metrabs").mkdir(parents=True)
    assert find_raw(DATASETS["ntu60"], tmp_path) == tmp_path / "ntu60"


def test_the_option_goes_before_the_variable_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("option", "variable", "raw"):
        _file(tmp_path / place / CLIP["ntu60"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKELTOOLS_RAW", "variable")
    assert find_raw(DATASETS["ntu60"], Path("option")) == Path("option")
    assert find_raw(DATASETS["ntu60"]) == Path("variable")
    monkeypatch.delenv("SKELTOOLS_RAW")
    assert find_raw(DATASETS["ntu60"]) == Path("raw")


@pytest.mark.parametrize("name", DATASETS)
def test_without_data_the_error_says_where_to_get_it_and_how_to_lay_it_out(name: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 not a zip file")
    for raw in (tmp_path / "absent", tmp_path, broken):
        with pytest.raises(UsageError) as caught:
            find_raw(DATASETS[name], raw)
        text = str(caught.value)
        assert text.startswith(f"{raw}: ")
        assert "https://" in text
        assert f"raw/{name}/" in text
        assert "--raw" in text
        assert "\n" not in text
    assert "skeltools demo raw/" in DATASETS["ntu60"].hint
