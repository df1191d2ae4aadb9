"""Grids of runs: one file, its runs on this machine or as an array of SLURM, one table."""

from trainer.sweep.plan import Plan, Task, read_plan

__all__ = ["Plan", "Task", "read_plan"]
