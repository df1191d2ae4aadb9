"""Regular expressions of settings, on names of clips: an answer, or an error soon.

Python's ``re`` goes back and tries again, for patterns such as ``(a+)+b`` longer than anybody waits, and
nothing but the end of its process stops it: a pattern that may take long is matched in a process of its own.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence

from schemas import ConfigError

LONGEST = 10_000
"""Characters of a pattern."""
SECONDS = 2
"""Of the processor, for all names of a pattern; one more for each ``NAMES_A_SECOND``."""
NAMES_A_SECOND = 10_000
"""A hundredth of what a usual pattern does."""
_WAITED = 30
"""On the clock, as many times: other processes may have the processor, and Windows measures nothing else."""
_MEMORY = 2**30
_FEW = 100_000
"""Ways that are tried in this process: some hundredths of a second."""
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_GROUP = re.compile(r"\(\?(?:P<\w+>|:)")
_CHOICE = re.compile(r"[*+?{|]")
_AGAIN = re.compile(r"\)[*+{]")

_CHILD = """
import json, re, sys
pattern, names, seconds, memory = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
except (ImportError, ValueError, OSError):
    pass
fits = re.compile(pattern).fullmatch
for name in names:
    found = fits(name)
    print(json.dumps(found and found.groupdict()), flush=True)
"""

_REMEDY = "Repeat nothing that repeats already, as (a+)+ does; (a++)+ and [a-z]+ in place of .* go back less"

Groups = dict[str, str | None]


def check(pattern: str) -> None:
    """Raises ValueError for what is no regular expression."""
    if len(pattern) > LONGEST:
        raise ValueError(f"'{short(pattern)}' has more than {LONGEST} characters")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"'{short(pattern)}' is not a regular expression ({error})") from error


def named(pattern: str | None) -> set[str]:
    """The names of its groups."""
    return set(re.compile(pattern or "").groupindex)


def match(pattern: str, names: Sequence[str], *, where: object) -> list[Groups | None]:
    """Of every name that ``pattern`` fits as a whole the groups that have names, else None.

    Raises ConfigError for a pattern that is not done in time (``SECONDS``), with the name that it met.
    """
    if _ways(pattern, names) > _FEW:
        return _elsewhere(pattern, names, where)
    fits = re.compile(pattern).fullmatch
    return [hit and hit.groupdict() for hit in map(fits, names)]


def _ways(pattern: str, names: Sequence[str]) -> float:
    """A bound of the ways in which ``re`` may try to fit a pattern to names.

    k repeats, one behind the other, divide n characters in (n + k over k) ways; an ``|`` and a ``?`` double
    them, which is less. For repeats of groups, which may hold repeats, there is no such bound.
    """
    plain = _GROUP.sub("(", _ESCAPED.sub("x", pattern))
    if re.compile(pattern).flags & re.VERBOSE or _AGAIN.search(plain):
        return math.inf
    choices = len(_CHOICE.findall(plain))
    return sum(math.comb(max(len(name), choices) + choices, choices) for name in names)


def _elsewhere(pattern: str, names: Sequence[str], where: object) -> list[Groups | None]:
    seconds = SECONDS + len(names) // NAMES_A_SECOND
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    given = json.dumps([pattern, list(names), seconds, _MEMORY])
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=_WAITED * seconds
        )
        lines = done.stdout.splitlines()
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").decode().splitlines()
    if len(lines) < len(names):
        what = f"'{short(pattern)}' takes more than {seconds} s, or too much memory, on the name"
        raise ConfigError(f"{what} '{short(names[len(lines)])}'", where=where, remedy=_REMEDY)
    return [json.loads(line) for line in lines]


def short(text: str) -> str:
    """For messages."""
    return text if len(text) <= 60 else f"{text[:60]}..."
