"""Grids of runs: one file, its runs on this machine or as an array of SLURM, one table."""

from trainer.sweeps.plan import Plan, Task, keep_file, plan_of, read_plan

__all__ = ["Plan", "Task", "keep_file", "plan_of", "read_plan"]
