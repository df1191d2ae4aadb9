"""A sweep as a SLURM array: one script for sbatch, whose tasks are the runs by name.

A task calls ``trainer sweep FILE --run NAME``, so that a requeued task resumes where it was. Before its time
is over, and before it is preempted, SLURM sends SIGTERM: the run saves everything, and the script requeues
its task.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.sweeps.here import LOGS
from trainer.sweeps.plan import Plan, Task

SCRIPT = "sweep.sbatch"
_GRACE = 120
"""Seconds between SIGTERM and the end of a task's time: saving the papers' models takes a while."""

_BODY = """
set -u
{setup}
runs=(
{names}
)
run=${{runs[$SLURM_ARRAY_TASK_ID]}}
echo "$(date -Is) $run on $(hostname), start ${{SLURM_RESTART_COUNT:-0}}"

{command} --run "$run" --no-check &
child=$!
stopped=
trap 'stopped=yes; kill -TERM "$child"' TERM USR1
wait "$child"; code=$?
while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done  # a trap ends the first wait
if [ -n "$stopped" ] && [ "$code" -gt 128 ]; then  # saved, not finished: into the queue again
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


def write(plan: Plan, tasks: Sequence[Task]) -> Path:
    """Write the script of the tasks to the folder of the sweep; they run where sbatch is called."""
    path = plan.out / SCRIPT
    text = script(plan, tasks)
    (plan.out / LOGS).mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def script(plan: Plan, tasks: Sequence[Task]) -> str:
    """The text of the script; options of the file override the defaults and are written unchanged."""
    asked = plan.config.slurm
    at_once = f"%{asked.at_once}" if asked.at_once else ""
    options: dict[str, str | int] = {
        "job-name": plan.out.name,
        "array": f"0-{len(tasks) - 1}{at_once}",
        "output": str(plan.out / LOGS / "slurm-%A_%a.log"),
        "open-mode": "append",
        "signal": f"B:TERM@{_GRACE}",
        **asked.options,
    }
    head = [f"#SBATCH --{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "trainer", "sweep", str(plan.file), "--out", str(plan.out)]
    body = _BODY.format(
        setup="\n".join(asked.setup),
        names="\n".join(f"    {shlex.quote(task.name)}" for task in tasks),
        command=shlex.join(command),
    )
    return "\n".join(["#!/bin/bash", *head, "#SBATCH --requeue", body.lstrip("\n")])
