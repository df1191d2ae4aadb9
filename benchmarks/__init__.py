"""Benchmarks of speed, memory and accuracy: `python -m benchmarks.NAME`. Results are in `results/`."""
