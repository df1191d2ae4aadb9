"""What every reader of a data set's own files must do, whatever the format."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from schemas import SkelError, SkeletonSpec
from skeltools import skeletons
from skeltools.datasets import DATASETS
from skeltools.formats import FORMATS
from skeltools.readers import READERS
from tests.skeltools.raw_files import SAMPLE, poses, write_ntu, write_nwucla, write_pku


def _custom(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.yaml").write_text("name: mine\nconvention: kinectv2_25\nlayout: T M V C\n")
    np.save(folder / "clip.npy", poses(12, 2))
    return folder / "clip.npy"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "ntu": lambda folder: write_ntu(folder / f"{SAMPLE}.skeleton", poses(12, 2)),
    "nwucla": lambda folder: write_nwucla(folder, "a08_s03_e02_v01", poses(12, 1, 20)[:, 0], 7),
    "pkummd1": lambda folder: write_pku(folder, "0002-L", poses(20, 2), [(3, 4, 16)])[0],
    "pkummd2": lambda folder: write_pku(folder, "A01N02-R", poses(20, 2), [(3, 4, 16)], part=2)[0],
    "pkummd1-uncut": lambda folder: write_pku(folder, "0002-L", poses(12, 2), [(3, 4, 8)])[0],
    "pkummd2-uncut": lambda folder: write_pku(folder, "A01N02-R", poses(12, 2), [(3, 4, 8)], part=2)[0],
    "custom": _custom,
}
"""Reader -> writes one clip of 12 frames and returns its file."""


def test_every_reader_of_a_data_set_is_tested_here() -> None:
    assert set(WRITERS) == set(READERS) - set(FORMATS) - {"metrabs"}
    assert {"metrabs", *FORMATS} < set(READERS)
    assert all(hasattr(reader, "discover") and hasattr(reader, "read") for reader in READERS.values())
    uncut = {name for name in WRITERS if name.endswith("-uncut")}
    assert {dataset.reader for dataset in DATASETS.values()} == set(WRITERS) - {"custom"} - uncut


@pytest.mark.parametrize("name", WRITERS)
def test_a_clip_is_what_a_sequence_promises(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    listing = READERS[name].discover(tmp_path)
    (item,) = listing.items
    assert listing.findings == ()
    clip = READERS[name].read(pickle.loads(pickle.dumps(item)))
    spec: SkeletonSpec = skeletons.load(clip.convention)
    assert (clip.id, clip.convention, clip.frames) == (item.id, item.convention, 12)
    assert clip.joints.shape == (12, clip.bodies, spec.num_joints, 3)
    assert (clip.joints.dtype, clip.present.dtype, clip.order.dtype) == (np.float32, np.bool_, np.int8)
    assert clip.present.all()
    assert np.isfinite(clip.joints).all()
    assert sorted(set(clip.order.ravel().tolist())) == list(range(clip.bodies))
    unlabelled = name == "custom" or name.endswith("-uncut")
    assert (clip.label == -1) == unlabelled
    assert item.size > 0


@pytest.mark.parametrize("name", WRITERS)
def test_listing_and_clip_do_not_depend_on_where_the_files_lie(tmp_path: Path, name: str) -> None:
    clips = []
    for place in ("a", "b/deep"):
        WRITERS[name](tmp_path / place)
        (item,) = READERS[name].discover(tmp_path / place).items
        clips.append(READERS[name].read(item))
        assert not Path(item.file).is_absolute()
    np.testing.assert_array_equal(clips[0].joints, clips[1].joints)
    assert clips[0].id == clips[1].id


@pytest.mark.parametrize("damage", ["empty", "half", "garbage", "gone"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_an_error_of_ours_on_one_line(tmp_path: Path, name: str, damage: str) -> None:
    path = WRITERS[name](tmp_path)
    (item,) = READERS[name].discover(tmp_path).items
    data = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "half": data[: len(data) // 2 + 7], "garbage": bytes(range(256))}.get(damage, b"")
    )
    if damage == "gone":
        path.unlink()
    with pytest.raises((SkelError, OSError)) as caught:
        READERS[name].read(item)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_without_clips_is_an_empty_listing(tmp_path: Path, name: str) -> None:
    if name == "custom":
        with pytest.raises(SkelError, match=r"dataset\.yaml: cannot be read"):
            READERS[name].discover(tmp_path)
    else:
        listing = READERS[name].discover(tmp_path)
        assert (listing.items, listing.findings) == ((), ())
