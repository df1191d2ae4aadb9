"""Read a store, which is plain zarr, with zarr and numpy alone, without this package.

python examples/read_zarr.py store.zarr
"""

from __future__ import annotations

import sys

import numpy as np
import zarr


def main(path: str) -> None:
    root = zarr.open_group(path, mode="r")
    manifest = root.attrs.asdict()
    print(f"{manifest['dataset']}: {manifest['samples']} samples, recipe {manifest['recipe']['name']}")

    convention = next(iter(manifest["conventions"]))
    offsets = root[f"sequences/{convention}/offsets"][:]
    labels = root["samples/label"][:]
    first, last = offsets[0], offsets[1]
    joints = root[f"sequences/{convention}/joints"][first:last]  # [T, M, V, 3] metres, canonical axes
    name = manifest["classes"][labels[0]]
    print(f"{root['samples/id'][0]}: '{name}', {len(joints)} frames, joints {joints.shape} in {convention}")

    present = root[f"sequences/{convention}/present"][first:last]
    steps = np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=-1)[present[1:, 0] & present[:-1, 0]]
    print(f"median speed of a joint: {np.median(steps) * 30:.2f} m/s at 30 frames per second")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "store.zarr")
