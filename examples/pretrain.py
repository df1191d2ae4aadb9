"""A complete contrastive training on one page: SkeletonCLR (MoCo v2 on skeletons) from the package's blocks.

    skeltools demo raw/ && skeltools convert ntu60 --out store.zarr
    python examples/pretrain.py store.zarr

`trainer pretrain` does the same with presets, checkpoints, logs and every method; this script is for reading
and for prototyping new methods.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional as F

import trainer


class Network(nn.Module):
    """An encoder followed by MoCo's projector: clips [N, 3, T, V, M] -> unit vectors [N, 128]."""

    def __init__(self, encoder: nn.Module, dim: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = trainer.projector(encoder.feature_dim, encoder.feature_dim, dim)

    def forward(self, x: torch.Tensor, convention: str) -> torch.Tensor:
        return F.normalize(self.projector(self.encoder(x, convention)), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", nargs="?", default="store.zarr")
    parser.add_argument("--split", default="xview")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--queue", type=int, default=256)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    # The store: clips of both halves in one convention. Labels are used only for the evaluation at the end.
    store = trainer.open_store(options.store)
    convention = store.native
    skeletons = trainer.skeletons(store, [convention])
    skeleton = skeletons[convention]
    chosen = {"split": options.split, "conventions": [convention], "frames": 24}
    train = trainer.load_clips(store, part="train", **chosen).to(device)
    test = trainer.load_clips(store, part="test", **chosen).to(device)

    # Two views of a clip, an encoder with a momentum key network, and a queue of past keys.
    augment = trainer.augmentation(("shear", {"amplitude": 0.5}), ("temporal_crop", {"ratio": 6}))
    encoder = trainer.encoder("stgcn", skeletons, channels=[16, 16, 32, 64], stride_blocks=[3], dropout=0.0)
    query = Network(encoder).to(device)
    key = trainer.frozen_copy(query)
    queue = trainer.Queue(options.queue, 128, generator=torch.Generator().manual_seed(0)).to(device)
    optimiser = torch.optim.SGD(query.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    for epoch in range(options.epochs):
        losses = []
        for batch in trainer.batches(train, batch_size=options.batch_size, seed=0, epoch=epoch):
            clips = batch.clips[convention]
            q = query(augment(clips, skeleton, batch.generator), convention)
            with torch.no_grad():
                trainer.update_(key, query, momentum=0.99)
                k = key(augment(clips, skeleton, batch.generator), convention)
            loss = trainer.info_nce(q, k, queue.keys, temperature=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            queue.enqueue(k, batch.rows)
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}")

    # Evaluation: the nearest neighbours in the training half vote on the class.
    bank, queries = (trainer.features(query.encoder, clips, convention) for clips in (train, test))
    votes = trainer.knn(bank, train.labels, queries, classes=len(store.manifest.classes))
    print(f"20 nearest neighbours: {trainer.accuracy(votes, test.labels):.1%} of {len(test)} test clips")


if __name__ == "__main__":
    main()
