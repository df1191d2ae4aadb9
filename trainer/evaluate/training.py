"""Options of joint training of encoder and classifier: published schedules by name, each value adjustable.

The papers agree on a linear classifier on top of the encoder, SGD with momentum 0.9 and batches of 128; ISC
uses Adam. Only ISC names an augmentation for it, temporal cropping (``crop``), so there is none by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from schemas import OptimiseConfig
from schemas._model import Model
from trainer.evaluate.balance import Batches, ClassWeights
from trainer.evaluate.crop import Crop

ScheduleName = Literal["aimclr", "skelemix", "isc", "small"]

SCHEDULES: dict[str, dict[str, Any]] = {
    # CSCLR, 4.2: 100 epochs, rate 0.1, weight decay 1e-4; AimCLR, Finetune Protocol, names no values of its
    # own. Neither says whether the rate decays: epoch 80 is that of CSCLR's linear evaluation.
    "aimclr": {
        "optimiser": "sgd",
        "epochs": 100,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "decay": "step",
        "milestones": (80,),
        "warmup_epochs": 0,
    },
    # SkeleMixCLR, IV-C, Finetune Protocol: 110 epochs, rate 0.1, a tenth of it from 50, 70 and 90 on, weight
    # decay 1e-4, 10 epochs of warm-up.
    "skelemix": {
        "optimiser": "sgd",
        "epochs": 110,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "decay": "step",
        "milestones": (50, 70, 90),
        "warmup_epochs": 10,
    },
    # ISC, A.1, Semi-Supervised and Transfer Learning: Adam, 50 epochs, rate 1e-4, a tenth of it after the
    # 30th and the 40th. It names no weight decay.
    "isc": {
        "optimiser": "adam",
        "epochs": 50,
        "lr": 1e-4,
        "weight_decay": 0.0,
        "decay": "step",
        "milestones": (30, 40),
        "warmup_epochs": 0,
    },
    # Of no paper: tuned by this project on the built-in demo, for stores of some hundred clips.
    "small": {
        "optimiser": "sgd",
        "epochs": 30,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "decay": "cosine",
        "warmup_epochs": 2,
        "batch_size": 32,
    },
}
"""Schedule name -> its values; values given beside the name override them."""


class Training(Model):
    """Options of a protocol that trains the encoder."""

    schedules: ClassVar[Mapping[str, Mapping[str, Any]]] = SCHEDULES

    schedule: ScheduleName = "aimclr"
    """Provides the values that are not given: ``finetune.schedule=skelemix finetune.epochs=20``."""
    epochs: int = Field(default=100, ge=1)
    optimiser: Literal["sgd", "adam"] = "sgd"
    """``adam`` uses PyTorch's default betas."""
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """For SGD."""
    nesterov: bool = False
    """For SGD. No paper names it; released SkeleMixCLR finetunes with it."""
    weight_decay: float = Field(default=1e-4, ge=0)
    decay: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[int, ...] = (80,)
    """Epochs at which ``step`` multiplies the rate by ``gamma``; warm-up epochs count."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs in which the rate rises linearly from zero."""
    batch_size: int = Field(default=128, ge=1)
    """Maximum batch size. SkeleMixCLR: 128, and all clips at once if there are fewer."""
    mode: Literal["train", "eval"] = "train"
    """Mode of BatchNorm and dropout while the encoder is trained. ``eval``: both stay as after pre-training,
    as in released code."""
    augment: Literal["none", "normal"] = "none"
    """``normal``: the run's normal chain on the stored stream of the training clips, drawn anew in every
    step. Shear and rotation act on bones and motion as they do on the joints that these are derived from."""
    crop: Crop | None = None
    """Temporal crops instead of whole clips, cut before ``augment``: ISC."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Precision of matrix products in training; scores are always computed in fp32."""
    class_weights: ClassWeights = "none"
    """Class weights of the cross-entropy: ``balanced`` weights a clip inversely to the size of its class. No
    paper does this."""
    batches: Batches = "shuffled"
    """``balanced`` draws the clips of an epoch so that every class is equally probable. No paper does
    this."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training clips of each class that is held out: the result is that of the epoch that does
    best on it; the test half is not used for this. 0: train on all clips and take the last epoch, as in the
    papers."""
    patience: int = Field(default=0, ge=0)
    """With ``validation``: number of epochs without improvement after which to stop; 0: train all."""
    test_every: int = Field(default=1, ge=0)
    """Epochs between evaluations on the test half, for the best epoch; 0: only after the last."""

    calibrate: bool = False
    """Train a second time, without a fifth of the clips, to calibrate the probabilities of the saved
    classifier. The figure stays the same."""

    @model_validator(mode="after")
    def _check(self) -> Training:
        if self.nesterov and (self.optimiser != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimiser sgd and a momentum above 0")
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation share, such as 0.2")
        return self

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        """Fill in the values of the schedule where none are given."""
        if not isinstance(given, Mapping):
            return given
        name = given.get("schedule", cls.model_fields["schedule"].default)
        published = cls.schedules.get(name, {}) if isinstance(name, str) else {}
        return {**published, **given}

    def rates(self) -> OptimiseConfig:
        """The settings that ``optim.learning_rate`` needs."""
        return OptimiseConfig(
            optimiser=self.optimiser,
            epochs=self.epochs,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            schedule=self.decay,
            milestones=self.milestones,
            gamma=self.gamma,
            warmup_epochs=self.warmup_epochs,
        )
