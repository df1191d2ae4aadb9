"""Pictures of a whole store: their numbers against slow oracles, their files decoded."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra plots is not installed")

from PIL import Image

import skeltools
from skeltools.inspect.survey import facing, survey
from skeltools.pictures import gallery, plots

SPEC = skeltools.skeleton("kinectv2_25")
Run = Callable[..., tuple[int, str, str]]


def clips() -> list[skeltools.SkeletonSequence]:
    """Two classes, three subjects, random joints; some were not seen, some frames are empty."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(7):
        joints = rng.normal(size=(4 + number, 2, 25, 3)).astype(np.float32)
        joints[rng.random(joints.shape[:3]) < 0.2] = np.nan
        joints[1, 1] = 0
        told = {"label": number % 2, "subject": number % 3, "camera": 1 + number % 2}
        found.append(skeltools.SkeletonSequence.from_joints(f"c{number}", joints, "kinectv2_25", **told))
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plots") / "s.zarr"
    skeltools.write(clips(), path, classes=["wave <b>", "sit $x$"])
    return path


@pytest.fixture(scope="module")
def drawn(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "plots"
    gallery.write(store, out)
    return out


def test_unseen_joints_are_counted_by_class(store: Path) -> None:
    poses, unseen = np.zeros(2, int), np.zeros((2, 25), int)
    for clip in skeltools.open(store).clips():
        for frame, body in np.argwhere(clip.present):
            poses[clip.label] += 1
            for joint in range(25):
                assert clip.unseen is not None
                unseen[clip.label, joint] += clip.unseen[frame, body, joint]
    found = survey(store, "kinectv2_25")
    assert found.labels == (0, 1)
    np.testing.assert_array_equal(found.poses, poses)
    np.testing.assert_array_equal(found.unseen, unseen)
    np.testing.assert_allclose(found.share, unseen / poses[:, None])
    assert 0.1 < found.share.mean() < 0.3


def test_bones_are_measured_subject_by_subject(store: Path) -> None:
    lengths: dict[tuple[int, int], list[float]] = {}
    for clip in skeltools.open(store).clips():
        for frame, body in np.argwhere(clip.present):
            for bone, (child, parent) in enumerate(clip.spec.edges):
                assert clip.unseen is not None
                if not clip.unseen[frame, body, [child, parent]].any():
                    ends = clip.joints[frame, body].astype(float)
                    length = float(np.linalg.norm(ends[child] - ends[parent]))
                    lengths.setdefault((clip.subject or 0, bone), []).append(length)
    found = survey(store, "kinectv2_25")
    assert found.subjects == (0, 1, 2)
    for (subject, bone), each in lengths.items():
        assert found.lengths[subject, bone] == len(each)
        assert found.mean[subject, bone] == pytest.approx(np.mean(each))
        assert found.variation[subject, bone] == pytest.approx(np.std(each) / np.mean(each))


def test_the_mean_pose_is_that_of_bodies_turned_one_by_one(store: Path) -> None:
    assert SPEC.shoulders is not None
    left, right = SPEC.shoulders
    turned: list[np.ndarray] = []
    for clip in skeltools.open(store).clips():
        for frame, body in np.argwhere(clip.present):
            assert clip.unseen is not None
            hidden = clip.unseen[frame, body]
            if hidden[[left, right, SPEC.center]].any():
                continue
            pose = clip.joints[frame, body].astype(float) - clip.joints[frame, body, SPEC.center]
            across = pose[right] - pose[left]
            angle = np.arctan2(across[2], across[0])
            turn = np.array(
                [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
            )
            turned.append(np.where(hidden[:, None], np.nan, pose @ turn.T))
    found = survey(store, "kinectv2_25")
    np.testing.assert_allclose(found.pose, np.nanmean(turned, axis=0), atol=1e-6)


def test_facing_puts_the_left_shoulder_to_the_sensors_right() -> None:
    assert SPEC.shoulders is not None
    left, right = SPEC.shoulders
    joints = np.random.default_rng(1).normal(size=(5, 25, 3))
    turned = facing(joints, SPEC)
    assert (turned[:, left, 0] < turned[:, right, 0]).all()
    np.testing.assert_allclose(turned[:, left, 2], turned[:, right, 2], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(joints, axis=-1))
    assert np.linalg.det(turned[:, :3]) == pytest.approx(np.linalg.det(joints[:, :3]))


def test_each_picture_has_two_files_axes_with_names_and_a_sentence(store: Path, drawn: Path) -> None:
    page = (drawn / gallery.PAGE).read_text(encoding="utf-8")
    made = list(plots.draw(store))
    assert [each.name for each in made] == [
        "classes",
        "frames",
        "bodies",
        "subject-camera",
        "unseen-kinectv2_25",
        "bones-kinectv2_25",
        "mean-pose",
        "findings",
    ]
    for plot in made:
        assert re.search(r"^[A-Z][^.]+\.$", plot.caption), plot.caption
        assert f'<figure id="{plot.name}">' in page
        with Image.open(drawn / f"{plot.name}.png") as image:
            assert image.width > 300
            assert len(np.unique(np.asarray(image.convert("L")))) > 4
        svg = ET.parse(drawn / f"{plot.name}.svg").getroot()
        texts = " ".join("".join(each.itertext()) for each in svg.iter("{http://www.w3.org/2000/svg}text"))
        for axes in plot.figure.axes[: 1 if plot.name != "mean-pose" else 0]:
            assert axes.get_xlabel()
            assert axes.get_xlabel() in texts
            assert axes.get_ylabel() in texts
    assert {each.suffix for each in drawn.iterdir()} == {".html", ".svg", ".png"}


def test_bars_and_cells_show_the_counts(store: Path) -> None:
    made = {plot.name: plot.figure for plot in plots.draw(store)}
    axes = made["classes"].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [4, 3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wave <b>", "sit $x$"]
    cells = made["subject-camera"].axes[0].images[0].get_array()
    assert np.asarray(cells).tolist() == [[2, 1, 1], [1, 1, 1]]
    share = np.asarray(made["unseen-kinectv2_25"].axes[0].images[0].get_array())
    np.testing.assert_allclose(share, 100 * survey(store, "kinectv2_25").share.T)


def test_names_of_classes_are_text(drawn: Path) -> None:
    assert "wave &lt;b&gt;" in (drawn / "classes.svg").read_text(encoding="utf-8")
    assert "sit $x$" in (drawn / "classes.svg").read_text(encoding="utf-8")
    assert "<b>" not in (drawn / gallery.PAGE).read_text(encoding="utf-8")


def test_the_page_loads_nothing_from_elsewhere(drawn: Path) -> None:
    page = (drawn / gallery.PAGE).read_text(encoding="utf-8")
    assert all((drawn / name).is_file() for name in re.findall(r'(?:src|href)="([^"]+)"', page))
    assert "<script" not in page


def test_the_same_store_gives_the_same_pictures(
    store: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [plot for plot in plots.draw(store) if plot.name in ("classes", "subject-camera", "mean-pose")]
    monkeypatch.setattr(gallery, "draw", lambda _: few)
    for file in gallery.write(store, tmp_path / "again"):
        if file.name != gallery.PAGE:
            assert file.read_bytes() == (drawn / file.name).read_bytes(), file.name


def test_the_command_says_what_it_wrote_and_writes_over_nothing(
    store: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(plots.draw(store))
    monkeypatch.setattr(gallery, "draw", lambda _: [first])
    code, out, _ = run("inspect", store, "--plots", "p")
    assert code == 0
    assert out.splitlines()[0] == "p/index.html"
    assert all((tmp_path / line).is_file() for line in out.splitlines())
    code, _, error = run("inspect", store, "--plots", "p")
    assert (code, error) == (2, "error: p: is there already. Name another folder, or give --force\n")
    (tmp_path / "p" / "mine.txt").write_text("mine")
    assert run("inspect", store, "--plots", "p", "--force")[0] == 0
    assert (tmp_path / "p" / "mine.txt").read_text() == "mine"
    assert "there is no folder no" in run("inspect", store, "--plots", "no/p")[2]
    assert "--force needs --plots" in run("inspect", store, "--force")[2]


def test_a_store_without_subjects_labels_or_centre_is_drawn(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(3, 1, 20, 3)).astype(np.float32)
    joints[:, :, skeltools.skeleton("kinectv1_20").center] = np.nan
    empty = skeltools.SkeletonSequence.from_joints("a", joints, "kinectv1_20")
    skeltools.write([empty], tmp_path / "s.zarr")
    found = [plot.name for plot in plots.draw(tmp_path / "s.zarr")]
    assert found[:2] == ["classes", "frames"]
    assert "mean-pose" not in found
