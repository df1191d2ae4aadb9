"""Pace and remaining time of a training session."""

from __future__ import annotations

import time


class Clock:
    """Measures pace from the step ``done`` at which this session began; ``total`` is the run's last step."""

    def __init__(self, done: int, *, total: int, clips_per_step: int) -> None:
        self.first, self.total, self.clips = done, total, clips_per_step
        self.start = time.perf_counter()
        self.lap = (self.start, done)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def new_lap(self, done: int) -> None:
        self.lap = (time.perf_counter(), done)

    def lap_speed(self, done: int) -> float:
        """Clips per second since the lap began."""
        began, first = self.lap
        return self._speed(done - first, time.perf_counter() - began)

    def speed(self, done: int) -> float:
        """Clips per second over the session."""
        return self._speed(done - self.first, self.seconds)

    def remaining(self, done: int) -> float:
        """Seconds left to the last step at the session's pace."""
        return self.seconds / max(done - self.first, 1) * (self.total - done)

    def _speed(self, steps: int, seconds: float) -> float:
        return steps * self.clips / max(seconds, 1e-9)
