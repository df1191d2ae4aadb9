"""Make text from files safe for files, tables and terminals."""

from __future__ import annotations

import json


def escaped(text: str) -> str:
    """Escape text for any file, table or terminal.

    What is not printable, and what is not Unicode in file names, becomes a backslash escape.

    >>> escaped("a\\x1b[2J\\udcff\\n")
    'a\\\\x1b[2J\\\\udcff\\\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    """Escape text for a terminal, which only ends of lines and tabs in it may control.

    The escapes are those of JSON, so that JSON keeps its values.

    >>> shown("one\\ttwo\\x1b[2J\\nthree")
    'one\\ttwo\\\\u001b[2J\\nthree'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text)
