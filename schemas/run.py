"""All settings of a training run, saved beside its checkpoints as the only source of settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, model_validator

from schemas._model import Model


class Component(Model):
    """A named part and its options; the part itself checks the options against its own model."""

    name: str
    options: dict[str, Any] = {}


class OtherStore(Model):
    """A store that a run is trained on besides ``data.store``; one encoder serves the clips of all."""

    store: str
    split: str | None = None
    """Its split; None uses that of ``data.split`` if the store has it, else its first."""
    conventions: tuple[str, ...] = ()
    """Its conventions.

    Empty: those of ``data.conventions`` that it has, if any were requested, else as for a run of this store
    alone.
    """


class DataConfig(Model):
    store: str
    """The store that is monitored, and evaluated unless another is named.

    A list here is read as this store and ``more``.
    """
    split: str | None = None
    """Split whose training half is used; None uses the store's first."""
    conventions: tuple[str, ...] = ()
    """Conventions; empty: those that the method's preset prefers, of those the store has."""
    stream: Literal["joint", "bone", "motion"] = "joint"
    frames: int = Field(default=50, ge=1)
    bodies: int | None = Field(default=None, ge=1)
    """Bodies M of a clip; None: as many as the store has.

    Clips of stores with fewer bodies are padded with absent ones, all zero.
    """
    memory_limit: ByteSize | None = Field(default=None, gt=0)
    """Host memory that the clips of a process may use, in bytes or as ``8GB``.

    Larger data are read from the store shard by shard, in another order. None: half of the machine's memory.
    """
    more: tuple[OtherStore, ...] = ()
    """Other stores that train the same encoder."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Share of an epoch's steps for each store, in the order of the stores.

    Empty: an epoch has every clip of each store once.
    """

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        """Read ``protocol`` of earlier versions as ``split``, and a list of stores as one and ``more``."""
        if not isinstance(values, dict):
            return values
        if "protocol" in values and "split" not in values:
            values = {"split" if key == "protocol" else key: value for key, value in values.items()}
        return with_more(values)

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.weights and len(self.weights) != 1 + len(self.more):
            raise ValueError(
                f"{len(self.weights)} weights for {1 + len(self.more)} stores; give one for each"
            )
        return self


def with_more(data: dict[str, Any]) -> dict[str, Any]:
    """Settings whose ``store`` may be a list of paths: the first stays there, the others go to ``more``.

    >>> with_more({"store": ["a.zarr", "b.zarr"]})
    {'store': 'a.zarr', 'more': [{'store': 'b.zarr'}]}
    """
    stores = data.get("store")
    if not isinstance(stores, list | tuple) or not stores:
        return data
    others = [{"store": each} for each in stores[1:]]
    return data | {"store": stores[0]} | ({"more": others} if others else {})


class AugmentConfig(Model):
    """Two chains of augmentations; a method decides which of its views uses which."""

    normal: tuple[Component, ...] = ()
    extreme: tuple[Component, ...] = ()


class OptimiseConfig(Model):
    epochs: int = Field(default=300, ge=1)
    batch_size: int = Field(default=128, ge=2)
    """Clips per step, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Parts of a step that a process works on in turn, with less memory than the whole batch."""
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """``adamw`` decouples ``weight_decay`` from the gradient; ``adam`` adds it, as ``sgd`` does."""
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD, or the first beta of Adam."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Second beta of Adam: decay of the mean of squared gradients."""
    weight_decay: float = Field(default=1e-4, ge=0)
    nesterov: bool = False
    schedule: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[int, ...] = ()
    """Epochs at which ``step`` multiplies the learning rate by ``gamma``."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    warmup_epochs: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> OptimiseConfig:
        if self.nesterov and (self.momentum == 0 or self.optimiser != "sgd"):
            raise ValueError("nesterov needs momentum > 0 and optimiser sgd")
        return self


class RuntimeConfig(Model):
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Precision of matrix products; ``auto`` becomes bf16 on devices with native bf16, else fp32."""
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of ``metrics.jsonl``."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Epochs between checkpoints; the last epoch is always saved."""
    keep_every: int = Field(default=0, ge=0)
    """Epochs between checkpoints kept in addition to the last, for ``trainer evaluate --epoch``; 0: none."""
    knn_every: int = Field(default=0, ge=0)
    """Epochs between monitors of the features, kNN and RankMe; 0 means never."""
    lidar_views: int = Field(default=0, ge=0)
    """Views of each of a thousand clips that every monitor encodes for LiDAR; 0: without LiDAR.

    Each view costs a pass. At least two are needed; LiDAR uses 50.
    """

    log: str | None = None
    """Where the records of ``metrics.jsonl`` are logged as well.

    Either ``tensorboard``, or a module with the calls of wandb: ``wandb``, ``trackio``.
    """
    batch_norm: Literal["local", "sync"] = "local"
    """What BatchNorm computes its statistics over: the clips of one process, or those of all."""
    compile: bool = False
    """Compile encoders and augmentations with ``torch.compile``.

    This takes minutes at the start, then saves passes over memory on CUDA. On the CPU, compiled steps are
    slower.
    """
    cuda_graphs: bool = False
    """With ``compile`` on CUDA: replay whole networks as graphs, which needs batches of one shape."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        """Read the boolean ``tensorboard`` of earlier versions."""
        if not isinstance(values, dict) or not isinstance(values.get("tensorboard"), bool):
            return values
        others = {key: value for key, value in values.items() if key != "tensorboard"}
        return {"log": "tensorboard"} | others if values["tensorboard"] else others

    @model_validator(mode="after")
    def _check(self) -> RuntimeConfig:
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs needs compile")
        if self.lidar_views == 1 or (self.lidar_views and not self.knn_every):
            raise ValueError("lidar_views must be 0, or 2 or more with knn_every above 0")
        return self


class InitConfig(Model):
    """Weights that a training starts from instead of random ones."""

    kind: Literal["run", "export", "released"]
    """A run folder, an encoder of ``trainer export``, or an imported checkpoint of published code."""
    path: str
    """Path of the folder, or of the released file."""
    sha256: str
    """Hash of the file that contains the weights."""
    code: str | None = None
    """The published code base of a released checkpoint, as ``trainer import --from`` names it."""
    skip: tuple[str, ...] = ()
    """Patterns of the weights that were left out and stay random."""


class RunConfig(Model):
    preset: str
    """Preset that the settings started from, e.g. ``ms-clr/demo``; the values include what was overridden."""
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    encoder: Component
    method: Component
    optimise: OptimiseConfig = OptimiseConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    evaluate: dict[str, dict[str, Any]] = {}
    """Protocol -> options that suit the run's data where the protocol's own (the papers') do not."""
    init_from: InitConfig | None = None
    """None: the weights were drawn from the seed; read when a training begins, not when it is resumed."""
