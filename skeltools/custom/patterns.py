"""Match regular expressions from the settings against clip names in bounded time.

Python's ``re`` backtracks, exponentially for patterns such as ``(a+)+b``, and can only be stopped by ending
its process: a pattern that may take long is matched in a separate process.
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
"""Most characters of a pattern."""
SECONDS = 2
"""Processor seconds allowed for all names of a pattern, plus one for every ``NAMES_A_SECOND`` names."""
NAMES_A_SECOND = 10_000
"""A hundredth of the speed of a typical pattern."""
_WAITED = 30
"""Elapsed time allowed, as a multiple of the processor time: other processes may hold the processor, and
Windows cannot limit processor time."""
_MEMORY = 2**30
_FEW = 100_000
"""Most ways of matching that are tried in this process: a few hundredths of a second."""
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
    """Raise ValueError for an invalid or overlong regular expression."""
    if len(pattern) > LONGEST:
        raise ValueError(f"'{short(pattern)}' has more than {LONGEST} characters")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"'{short(pattern)}' is not a regular expression ({error})") from error


def named(pattern: str | None) -> set[str]:
    """The names of the pattern's groups."""
    return set(re.compile(pattern or "").groupindex)


def match(pattern: str, names: Sequence[str], *, where: object) -> list[Groups | None]:
    """The named groups for every name that ``pattern`` matches in full, None for the others.

    Raises ConfigError, with the name it stopped at, for a pattern that exceeds the time limit (``SECONDS``).
    """
    if _ways(pattern, names) > _FEW:
        return _elsewhere(pattern, names, where)
    fits = re.compile(pattern).fullmatch
    return [hit and hit.groupdict() for hit in map(fits, names)]


def _ways(pattern: str, names: Sequence[str]) -> float:
    """An upper bound on the ways in which ``re`` may try to match a pattern against the names.

    k consecutive repeats divide n characters in (n + k over k) ways; a ``|`` or a ``?`` only doubles the
    count, which is less. Repeated groups, which may contain repeats, have no such bound.
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
    """A text cut to at most 60 characters, for messages."""
    return text if len(text) <= 60 else f"{text[:60]}..."
