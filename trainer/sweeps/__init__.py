"""Grids of runs: one file describes them, run on this machine or as a SLURM array, with one table."""

from trainer.sweeps.plan import Plan, Task, keep_file, plan_of, read_plan

__all__ = ["Plan", "Task", "keep_file", "plan_of", "read_plan"]
