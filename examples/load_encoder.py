"""Features of your own clips from a trained encoder, without a run or store.

trainer export runs/skeletonclr --out encoder
python examples/load_encoder.py encoder
"""

from __future__ import annotations

import sys

import numpy as np

import skeltools
import trainer


def main(path: str) -> None:
    encoder = trainer.load_encoder(path)
    joints = encoder.conventions[encoder.convention].num_joints
    print(f"{encoder.card.method}, {encoder.stream} stream, {encoder.convention}: {joints} joints")

    # Put your clips here: [T, M, V, 3] of any length, metres, x to the sensor's left, y up, z away from it.
    draws = np.random.default_rng(0)
    standing = np.array([0, 1, 3]) + draws.normal(size=(1, 1, joints, 3))
    still = np.repeat(standing, 90, axis=0)
    rising = still[:70] + np.linspace(0, 0.5, 70)[:, None, None, None] * [0, 1, 0]

    # Apply the recipe, length and stream of the encoder's training; then [N, 3, T, V, M] -> [N, D].
    clips = skeltools.prepare(
        [still, rising],
        convention=encoder.conventions[encoder.convention],
        recipe=encoder.recipe,
        frames=encoder.frames,
        bodies=encoder.bodies,
        stream=encoder.stream,
    )
    features = encoder(clips)
    first, second = features / np.linalg.norm(features, axis=1, keepdims=True)
    print(f"features {features.shape}, cosine of the two {first @ second:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "encoder")
