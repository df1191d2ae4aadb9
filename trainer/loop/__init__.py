"""Training: ``pretrain`` creates or continues a run folder; ``train`` is its training loop."""

from trainer.loop.session import build, load_training_half, pretrain, resumes
from trainer.loop.signals import Stop
from trainer.loop.train import Ended, Progress, Run, train

__all__ = ["Ended", "Progress", "Run", "Stop", "build", "load_training_half", "pretrain", "resumes", "train"]
