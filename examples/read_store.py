"""Read a store from Python: clips by id, other conventions, streams as NumPy arrays.

python examples/read_store.py store.zarr

A store is plain zarr: examples/read_zarr.py reads one without this package.
"""

from __future__ import annotations

import sys

import numpy as np

import skeltools


def main(path: str) -> None:
    s = skeltools.open(path)
    print(f"{s.manifest.dataset}: {len(s)} samples, recipe {s.manifest.recipe.name}")
    print(f"conventions: {', '.join(s.conventions)}; splits: {', '.join(s.splits)}")

    clip = s[s.ids[0]]  # or s["S001C001P001R001A001"]
    print(f"{clip.id}: '{clip.class_name}', joints {clip.joints.shape} in {clip.convention}")
    steps = np.linalg.norm(np.diff(clip.joints[:, 0], axis=0), axis=-1)  # [T-1, V] metres per frame
    seen = clip.present[1:, 0] & clip.present[:-1, 0]
    fastest = clip.names[np.median(steps[seen], axis=0).argmax()]
    print(f"median speed of a joint: {np.median(steps[seen]) * 30:.2f} m/s at 30 frames per second")
    print(f"the joint that moves most is {fastest}")

    for convention in s.conventions[1:]:
        other = s.clip(clip.id, convention)
        print(f"the same clip in {convention}: {len(other.names)} joints, {other.names[0]} first")

    frames = min(int(array.split("/")[2][1:]) for array in s.manifest.arrays if array.startswith("streams/"))
    joints = s.stream("joint", frames=frames, in_memory=True)  # [N, 3, T, V, M], the input of an encoder
    train = s.rows(next(iter(s.splits)), "train")
    print(f"training half of the first split: clips {joints[train].shape}, labels {s.labels[train][:5]}...")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "store.zarr")
