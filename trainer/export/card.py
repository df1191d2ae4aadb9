"""The card of an exported encoder, ``encoder.json``: everything that its weights do not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from schemas import CheckpointError, Component, SkeletonSpec
from schemas._model import Model
from trainer.cards import checked, read
from trainer.evaluate.heads import Recipe
from trainer.run import EXPORTED

FORMAT = 3
"""3 for 2D poses, 2 with classifiers, 1 for neither: a card has the lowest possible format, so that the
earliest versions can read it."""
CARD = EXPORTED
WEIGHTS = "encoder.safetensors"

_KIND = "skeltools encoder"


class Input(Model):
    """The format of a clip."""

    layout: Literal["N C T V M"] = "N C T V M"
    dtype: Literal["float32"] = "float32"
    stream: Literal["joint", "bone", "motion"]
    """``bone``: joint minus its parent in the convention's tree, zero for the root. ``motion``: next frame
    minus this one, zero for the last. Both are computed on joints after the recipe."""
    frames: int = Field(ge=1)
    """T of the training; the encoders accept any."""
    bodies: int = Field(ge=1)
    """M of the training; an absent body is all zeros."""
    units: Literal["metres"] = "metres"
    axes: tuple[str, str, str] = ("left", "up", "forward")
    """Directions of x, y and z as seen from the sensor, before a recipe turns the clip."""
    coordinates: Literal["xyz", "xy"] = "xyz"
    """``xy``: 2D poses, whose z is 0."""

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write ``coordinates`` only for 2D poses: cards of 3D poses stay as they are."""
        return {k: v for k, v in serialise(self).items() if (k, v) != ("coordinates", "xyz")}


class OnnxFile(Model):
    file: str
    sha256: str
    opset: int
    max_abs_difference: float
    """Largest difference of a feature from PyTorch's, over the clips of the check."""


class KeptClassifier(Model):
    """A classifier included in the export."""

    file: str
    sha256: str
    figure: str
    """The evaluation it comes from: ``linear``, ``finetune``, ``semi-5``, ..."""
    finetuned: bool
    """Whether the encoder was trained with it: the weights of this export are then no longer the run's
    own."""
    classes: tuple[str, ...]
    onnx: OnnxFile | None = None
    """Graph from clips to ``features``, ``logits`` and ``probabilities``."""


class EncoderCard(Model):
    """The card, in the format that ``FORMAT`` describes."""

    kind: Literal["skeltools encoder"] = "skeltools encoder"
    format: int = Field(ge=1)
    tool: str
    encoder: Component
    name: str
    """Which of the method's encoders: a stream, or a representation of it."""
    feature_dim: int = Field(ge=1)
    input: Input
    conventions: dict[str, SkeletonSpec] = Field(min_length=1)
    """The conventions that the encoder knows; the first is the default. Units and axes in here are those of
    the convention's source."""
    adjacency: str | None
    """The partition of the joints that the graphs in the weights use; None for encoders without a graph."""
    recipe: Recipe
    method: str
    preset: str
    epoch: int = Field(ge=0)
    epochs: int = Field(ge=1)
    """Planned epochs of the run."""
    dataset: str
    synthetic: bool
    """Trained on the built-in demo data: suitable for trying the format, not for skeletons of people."""
    split: str
    store: str
    store_hash: str
    checkpoint_hash: str
    """Sha256 of the checkpoint file that the weights are from."""
    weights_hash: str
    """Sha256 of the weights file that belongs to this card."""
    licence: str
    """What is known of the terms of the data that the weights were trained on."""
    onnx: dict[str, OnnxFile] = {}
    """Convention -> file, if any."""
    classifiers: dict[str, KeptClassifier] = {}
    """Convention -> its classifier, if any."""


def write_card(card: EncoderCard, folder: Path) -> EncoderCard:
    """Write the card in the lowest format that can express it; returns it as written."""
    number = 3 if card.input.coordinates == "xy" else 2 if card.classifiers else 1
    card = card.model_copy(update={"format": number})
    left_out = None if card.classifiers else {"classifiers"}
    text = card.model_dump_json(indent=2, exclude=left_out)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
    return card


def read_card(folder: Path) -> EncoderCard:
    """Read the card; raises CheckpointError if it is absent, damaged, newer or something else."""
    path = folder / CARD
    if not path.exists():
        raise CheckpointError(
            f"no {CARD} here", where=folder, remedy="Name a folder that `trainer export` wrote"
        )
    return checked(
        read(path, _unreadable), path, kind=_KIND, newest=FORMAT, model=EncoderCard, refuse=_unreadable
    )


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"this is not a card of `trainer export`, or it is damaged: {(reason or 'empty').splitlines()[0]}",
        where=path,
        remedy="Export the run again",
    )
