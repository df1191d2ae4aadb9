"""``python -m trainer`` and ``torchrun ... -m trainer``: the command line."""

from trainer.cli import main

main()
