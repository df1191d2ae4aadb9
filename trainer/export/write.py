"""Export an encoder from a run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from schemas import Component, RunConfig, StoreManifest, UsageError
from trainer import __version__, checkpoint
from trainer import store as stores
from trainer.encoders import AGCN, ENCODERS, STGCN, Encoder
from trainer.evaluate.features import stream_of
from trainer.evaluate.heads import Recipe
from trainer.export.card import CARD, WEIGHTS, EncoderCard, Input, write_card
from trainer.export.classifier import Kept, convention_of, figures_of, kept_by, write_classifier
from trainer.export.onnx import require_onnx, write_onnx
from trainer.export.read import build_network
from trainer.run import JOINED, Run, open_run

_NTU = "NTU RGB+D is for research only, on request to its authors. Ask them before you pass on weights."
_PKU = "PKU-MMD is free for research. Ask its authors before you pass on weights."
LICENCES = {"ntu60": _NTU, "ntu120": _NTU, "pku-mmd-1": _PKU, "pku-mmd-2": _PKU}
"""Known terms of a data set, as on the data card of a store."""

_UNKNOWN = "The terms of the training data are not known here: state them before you pass on weights."
_SYNTHETIC = "Trained on the built-in demo data, which are free of terms."


def export_run(
    run: Path,
    out: Path,
    *,
    encoder: str | None = None,
    conventions: Sequence[str] = (),
    store: Path | Sequence[Path] | None = None,
    classifier: str | None = None,
    onnx: bool = False,
    unfinished: bool = False,
    force: bool = False,
) -> EncoderCard:
    """Write a query encoder of the run's last checkpoint to the folder ``out``; returns its card.

    ``encoder`` may be omitted if the method trains only one. ``conventions`` empty selects all of the run.
    ``classifier``: a figure of the run's results, such as ``linear``, whose classifier is included, for only
    those conventions that have one; ``finetune``, ``semi-5`` and ``supervised`` include their own encoder,
    which is of one convention. The run's store is read for its skeletons and recipe, at ``store`` or where
    the run has it. Raises UsageError for names that the run does not have, and StoreError and CheckpointError
    as evaluation does.
    """
    if onnx:
        require_onnx()  # fails before anything is read
    _check_folder(out, force=force)
    opened = open_run(run, store=store, device="cpu", unfinished=unfinished)
    name = opened.encoder_name(encoder)
    classifiers = (
        {} if classifier is None else _classifiers(opened, classifier, conventions, encoder=name, onnx=onnx)
    )
    card, network, weights = take_encoder(opened, name, conventions=list(classifiers) or conventions)
    learned = next((each.head.encoder for each in classifiers.values() if each.learned_encoder), None)
    if learned is not None:
        weights = {key: learned[key] for key in weights if key in learned}
        checkpoint.load_weights(network, weights, where=run)
    return _write(card, network, weights, out, onnx=onnx, classifiers=classifiers)


def _classifiers(
    run: Run, figure: str, conventions: Sequence[str], *, encoder: str, onnx: bool
) -> dict[str, Kept]:
    """Convention -> classifier: named conventions must have one; without names, those that have one."""
    only = convention_of(run, figure)
    asked = run.conventions(conventions) if conventions else _known(run) if only is None else [only]
    known = [
        name
        for name in asked
        if conventions or only or figure in figures_of(run, convention=name, encoder=encoder)
    ]
    classifiers = {
        name: kept_by(run, figure, convention=name, encoder=encoder) for name in known or run.conventions()
    }
    if onnx and any(each.crop is not None for each in classifiers.values()):
        raise UsageError(
            f"{figure} saw stretches of the clips, which the graph cannot cut",
            where="--onnx",
            remedy=f"Leave out one of them, or evaluate without {figure}.crop",
        )
    if len(classifiers) > 1 and any(each.learned_encoder for each in classifiers.values()):
        raise UsageError(
            f"{figure} has an encoder of its own for each of {', '.join(classifiers)}",
            where="--classifier",
            remedy=f"Choose one, as --convention {next(iter(classifiers))}",
        )
    return classifiers


def take_encoder(
    run: Run, encoder: str | None, *, conventions: Sequence[str] = ()
) -> tuple[EncoderCard, Encoder, dict[str, Tensor]]:
    """An encoder of a run with its card, which has no file hash yet, and its weights, on the CPU.

    It is rebuilt as a reader will rebuild it: an encoder of fewer conventions has only their weights.
    Arguments and errors are those of ``export_run``.
    """
    chosen = run.conventions(conventions) if conventions else _known(run)
    name = run.encoder_name(encoder)
    trained = run.encoder(name)
    card = _card(run, chosen, name=name, network=trained)
    network = build_network(card, where=run.path)
    weights = {key: trained.state_dict()[key].contiguous() for key in network.state_dict()}
    network.load_state_dict(weights)
    network.eval().requires_grad_(False)
    return card, network, weights


def _known(run: Run) -> list[str]:
    """All conventions of the encoder, starting with those of the run's (selected) store."""
    return list(dict.fromkeys([*run.conventions(["all"]), *run.skeletons]))


def _write(
    card: EncoderCard,
    network: Encoder,
    weights: dict[str, Tensor],
    out: Path,
    *,
    onnx: bool,
    classifiers: Mapping[str, Kept],
) -> EncoderCard:
    """Write all files beside ``out`` and move them into place.

    A new export appears as a whole. When an export is replaced, the weights, whose hash is in the card, are
    moved first and the card last, so that an interruption in between is detected.
    """
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.partial-", dir=_made(out.parent)) as beside:
        partial = _made(Path(beside) / "encoder")
        (partial / WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
        card = card.model_copy(update={"weights_hash": checkpoint.file_hash(partial / WEIGHTS)})
        if onnx:
            files = {name: write_onnx(network, card, name, partial) for name in card.conventions}
            card = card.model_copy(update={"onnx": files})
        entries = {name: write_classifier(each, name, partial) for name, each in classifiers.items()}
        if onnx:
            entries = {
                name: entry.model_copy(
                    update={"onnx": write_onnx(network, card, name, partial, head=classifiers[name].head)}
                )
                for name, entry in entries.items()
            }
        if entries:
            card = card.model_copy(update={"classifiers": entries})
        card = write_card(card, partial)
        if not out.is_symlink() and not (out / CARD).is_file():
            if out.exists():
                out.rmdir()  # it is empty: everything else was refused
            partial.rename(out)
            return card
        _made(out)
        old = {file.name for kind in ("encoder-*.onnx", "classifier-*") for file in out.glob(kind)}
        new = {file.name for file in partial.iterdir()}
        for name in (WEIGHTS, *sorted(new - {WEIGHTS, CARD}), CARD):
            (partial / name).replace(out / name)
        for name in old - new:
            (out / name).unlink()
    return card


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _card(run: Run, conventions: Sequence[str], *, name: str, network: Any) -> EncoderCard:
    config, store, manifest, data = run.config, run.store, run.store.manifest, run.data
    every = [each.manifest for each in run.stores]
    return EncoderCard(
        format=1,
        tool=f"trainer {__version__}",
        encoder=_component(network),
        name=name,
        feature_dim=network.feature_dim,
        input=Input(
            stream=stream_of(name, data),
            frames=data.frames,
            bodies=run.bodies,
            coordinates="xy" if stores.kind_of(store, run.conventions()[0]) == "2D" else "xyz",
        ),
        conventions={each: run.skeletons[each].spec for each in conventions},
        adjacency=_partition(network),
        recipe=Recipe(name=manifest.recipe.name, steps=manifest.recipe.steps),
        method=config.method.name,
        preset=config.preset,
        epoch=run.checkpoint.epoch,
        epochs=config.optimise.epochs,
        dataset=JOINED.join(dict.fromkeys(each.dataset for each in every)),
        synthetic=all(each.synthetic for each in every),
        split=data.split or "",
        store=store.path.name,
        store_hash=store.hash,
        checkpoint_hash=run.checkpoint_hash,
        weights_hash="",
        licence=" ".join(dict.fromkeys(_licence(config, each) for each in every)),
    )


def _licence(config: RunConfig, manifest: StoreManifest) -> str:
    """Known terms of the data, and of the weights that the training started from."""
    terms = [_SYNTHETIC if demo else LICENCES.get(name, _UNKNOWN) for name, demo in manifest.data_sets]
    own = " ".join(dict.fromkeys(terms))
    if config.init_from is None:
        return own
    weights = f"sha256 {config.init_from.sha256[:12]}"
    if config.init_from.kind == "released":
        return (
            f"Weights of the released code {config.init_from.code} ({weights}), trained by its authors on "
            "their data: state the terms of both before you pass on weights."
        )
    return f"{own} The training started from other weights ({weights}), whose terms hold as well."


def _component(network: Encoder) -> Component:
    """Name and options from which ``encoders.build`` rebuilds the architecture."""
    name = next(name for name, kind in ENCODERS.items() if isinstance(network, kind))
    return Component(name=name, options=network.options.model_dump(mode="json"))


def _partition(network: Encoder) -> str | None:
    if isinstance(network, AGCN):
        return "inward_outward"
    return network.options.adjacency if isinstance(network, STGCN) else None


def _check_folder(out: Path, *, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / CARD).exists():
        raise UsageError("exists and is not an exported encoder", where=out, remedy="Choose another --out")
    if not force:
        raise UsageError(
            "an encoder was exported here already",
            where=out,
            remedy="Replace it with --force, or choose another --out",
        )
