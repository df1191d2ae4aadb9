"""Text from files, as files, tables and terminals may have it."""

from __future__ import annotations

import json


def escaped(text: str) -> str:
    """Text that any file, table or terminal takes: what is not printable, and what is no Unicode at all in
    the names of files, becomes a backslash escape.

    >>> escaped("a\\x1b[2J\\udcff\\n")
    'a\\\\x1b[2J\\\\udcff\\\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    """Lines as a terminal may have them: nothing in them but the ends of lines and tabs commands it. The
    escapes are those of JSON, so that JSON keeps its values.

    >>> shown("one\\ttwo\\x1b[2J\\nthree")
    'one\\ttwo\\\\u001b[2J\\nthree'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text)
