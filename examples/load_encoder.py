"""An exported encoder without run and store: features of clips of your own.

trainer export runs/skeletonclr --out encoder
python examples/load_encoder.py encoder
"""

from __future__ import annotations

import sys

import torch

from trainer.export import load_encoder


def main(folder: str) -> None:
    encoder = load_encoder(folder)
    convention, spec = next(iter(encoder.card.conventions.items()))
    given = encoder.card.input
    print(f"{encoder.card.method}, {given.stream} stream, {convention}: {spec.num_joints} joints")

    # Here would be yours: metres, Kinect axes, through the recipe that the card names.
    clips = torch.zeros(2, 3, given.frames, spec.num_joints, given.bodies)
    clips[0, 1] = torch.linspace(0, 1, spec.num_joints)[:, None]
    clips[1, 1, :, :, 0] = torch.linspace(0, 2, given.frames)[:, None]  # one body that floats up

    features = encoder(clips)
    cosine = torch.cosine_similarity(features[0], features[1], dim=0)
    print(f"features {tuple(features.shape)}, cosine of the two {cosine:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "encoder")
