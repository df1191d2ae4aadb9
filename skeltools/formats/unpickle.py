"""Read pickled names, labels and poses without executing anything.

A pickle is a program: unpickling a downloaded file runs its author's code. Here its opcodes
(``pickletools.genops``) are interpreted by a machine that supports plain values, plain containers, and the
numpy calls that represent arrays, scalars and dtypes. It resolves names in its own table and imports, calls
and builds nothing else; a pickle that names anything else is refused. Sizes are checked against the available
bytes before memory is allocated, keys must be plain values, and the number of operations is limited.

Values are simplified where possible: arrays of objects become lists, ordered dicts become dicts, dates, times
and paths become text. Protocols 0 to 5 are supported; numpy arrays in protocol 0 must have been written by
Python 3.
"""

from __future__ import annotations

import datetime
import io
import math
import os
import pickletools
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from schemas import RawDataError, regular
from schemas.parsing import reason
from skeltools.files.arrays import HEADER_ERRORS

LIMIT_VARIABLE = "SKELTOOLS_MAX_PICKLE"
"""Environment variable for the size limit of pickles, in bytes."""
MAX_BYTES = 8 * 2**30
"""Default size limit: NTU RGB+D 120 with two people at full length takes about 3 GB."""
MAX_OPERATIONS = 20_000_000
"""Two and a half times what NTU RGB+D 120 needs with one entry per sample."""

MAX_KEY = 64
"""Most values in a key, counting those of nested tuples: hashing a tuple is recursive."""

_CODE = re.compile(r"[<>=|]?(\?|[biuf][1248]|f16|[mM]8|[SU]\d{1,4}|O8?)", re.ASCII)
_UNIT = re.compile(r"Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as|generic", re.ASCII)
_OBJECTS = "O"
_LONGEST_PATH = 4096  # characters, PATH_MAX of Linux
_MAGIC = {
    npy.MAGIC_PREFIX: "a numpy array (.npy)",
    b"PK\x03\x04": "a zip file (.npz, or weights of PyTorch)",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file: unpack it",
}
"""First bytes of files that are mistaken for pickles."""
_ERRORS = (ValueError, TypeError, KeyError, IndexError, OverflowError, EOFError, MemoryError, RecursionError)


def load(path: Path | str, *, kind: str = "a pickle") -> Any:
    """Read a pickle file: None, bool, int, float, str, bytes, list, tuple, dict and numpy arrays.

    Arrays may be read-only; numpy scalars become Python scalars. ``kind`` names the expected file in
    messages. Raises RawDataError that names what was refused, or why the pickle is incomplete.
    """
    path = Path(path)
    limit = _limit()
    try:
        size = regular.check(path)
        if size > limit:
            raise RawDataError(
                f"{size} bytes are more than the {limit} that a pickle may have",
                where=path,
                remedy=f"Set ${LIMIT_VARIABLE} to more bytes if the memory is there",
            )
        with regular.open_file(path) as file:
            _check_magic(file.read(len(npy.MAGIC_PREFIX)), path, kind)
            file.seek(0)
            return _run(_Measured(file, size), path)
    except (OSError, ValueError) as error:
        raise RawDataError(f"cannot be read ({reason(error)})", where=path) from error


def tree(path: Path | str, *, kind: str = "a pickle") -> Any:
    """Like ``load``, for a value that is used as a tree: a shared list counts once for each reference.

    Raises RawDataError like ``load``, and for more than ``MAX_OPERATIONS`` lists, tuples and dicts, or deeper
    nesting than settings may have.
    """
    value = load(path, kind=kind)
    try:
        regular.check_size(value, _containers, most=MAX_OPERATIONS)
    except ValueError as error:
        raise _refused(path, f"its value {error}") from error
    return value


def _check_magic(start: bytes, path: Path, kind: str) -> None:
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise RawDataError(
                f"no complete pickle: this is {what}, not {kind}",
                where=path,
                remedy="Name the pickle, or read the file as what it is",
            )


def of_npy(data: bytes, *, where: Path | str) -> Any:
    """Read a ``.npy`` file with an array of objects, which is a pickle after a header.

    A 0-d array becomes the object itself, others become nested lists. Raises RawDataError like ``load``, and
    for an array of numbers.
    """
    file = io.BytesIO(data)
    try:
        header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        _, _, dtype = header(file)
    except HEADER_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"cannot be read as an array ({reason})", where=where) from error
    if not dtype.hasobject:
        raise RawDataError(f"is an array of {dtype}, not of objects", where=where)
    return _run(_Measured(file, len(data)), where)


def describe(value: Any) -> str:
    """Briefly describe the contents of a pickle, for messages about an unexpected one."""
    if isinstance(value, dict):
        if "skel_body0" in value:
            return "a dict of skel_body0 ..., as txt2npy.py of NTU RGB+D writes it"
        keys = ", ".join(ascii(key)[:30] for key in list(value)[:4])
        return f"a dict of {len(value)} keys ({keys}{', ...' if len(value) > 4 else ''})"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {value.shape}"
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(part, list | tuple) for part in value):
            return f"a pair of lists of {len(value[0])} and {len(value[1])}, as a label file of CrosSCLR is"
        inner = f" of {type(value[0]).__name__}" if value else ""
        return f"a {type(value).__name__} of {len(value)}{inner}"
    return f"a {type(value).__name__}"


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    return int(text) if text.isdecimal() else MAX_BYTES


class _Measured:
    """A file whose reads never allocate more bytes than are left."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        left = self.size - self.file.tell()
        if count > left:
            raise ValueError(f"{count} bytes are declared where {left} are left")
        return self.file.read(count)

    def readline(self) -> bytes:
        return self.file.readline()

    def tell(self) -> int:
        return self.file.tell()


# -------------------------------------------------------------------------------------------- the machine


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    copied: int = 0
    """Number of list items made from arrays of objects: one pickled list may be the data of many arrays."""


class _Mark:
    pass


_MARK = _Mark()


@dataclass(frozen=True)
class _Name:
    """A callable or class that a pickle may name: a key of ``_CALLS``, or the array type itself."""

    name: str


@dataclass
class _Dtype:
    """``numpy.dtype(code)``; its byte order follows with BUILD."""

    code: str
    order: str = "="
    unit: str = ""

    def real(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order if self.order in '<>' else '='}{self.code}{self.unit}")


@dataclass
class _Array:
    """``_reconstruct(...)``, an array whose values follow with BUILD."""

    values: Any = None
    """An array; for objects, a list, or the single object of a 0-d array."""
    finished: bool = False


def _run(file: _Measured, path: Path | str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # invalid escapes in the text of a damaged file
        return _interpreted(file, path)


def _containers(value: Any) -> Iterator[Any]:
    """The lists, tuples and dicts directly inside a container."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return (each for each in inside if isinstance(each, dict | list | tuple))


def _interpreted(file: _Measured, path: Path | str) -> Any:
    machine = _Machine()
    try:
        for count, (opcode, argument, place) in enumerate(pickletools.genops(file)):  # type: ignore[arg-type]
            if count > MAX_OPERATIONS:
                raise _refused(path, f"it takes more than {MAX_OPERATIONS} operations")
            try:
                if opcode.name in _PUSHED:
                    machine.stack.append(argument)
                elif opcode.name != "STOP":
                    _OPERATIONS[opcode.name](machine, argument)
            except _Refusal as error:
                raise _refused(path, f"byte {place}: {error}") from error
            except KeyError as error:
                raise _refused(path, f"byte {place}: operation {opcode.name}") from error
        (value,) = machine.stack
        if type(value) in (_Dtype, _Name, _Array):
            raise _refused(path, f"it is a {type(value).__name__.strip('_').lower()}, no value")
    except _ERRORS as error:
        why = str(error)[:200] or type(error).__name__
        raise RawDataError(f"no complete pickle ({why})", where=path, remedy="Fetch it again") from error
    return value


def _refused(path: Path | str, what: str) -> RawDataError:
    return RawDataError(
        f"refused to unpickle, {what}",
        where=path,
        remedy="Only numbers, text, dates, lists, tuples, dicts and numpy arrays of them are read",
    )


class _Refusal(Exception):
    """The pickle contains something that does not belong in a data file."""


def _refuse(what: str) -> NoReturn:
    raise _Refusal(what)


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _pop(machine: _Machine) -> Any:
    value = machine.stack.pop()
    if value is _MARK:
        raise ValueError("a mark where a value is expected")
    return value


def _pop_mark(machine: _Machine) -> list[Any]:
    """Pop everything above the last mark, and the mark."""
    stack = machine.stack
    at = next((i for i in range(len(stack) - 1, -1, -1) if stack[i] is _MARK), None)
    if at is None:
        raise ValueError("no mark where one is expected")
    values = stack[at + 1 :]
    del stack[at:]
    return values


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not list:
        _refuse(f"appending to a {type(target).__name__.strip('_')}")
    target.extend(values)


def _set(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not dict or len(values) % 2:
        _refuse(f"setting items of a {type(target).__name__.strip('_')}")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) is not str and not _is_key(key):
            _refuse(f"a key that is a {type(key).__name__.strip('_')}")
        target[key] = str(value.real()) if type(value) is _Dtype else value


_KEYS = frozenset({str, int, float, bool, bytes, type(None)})


def _is_key(key: Any) -> bool:
    """Whether a key is a plain value, or a small tuple of them."""
    waiting, count = [key], 0
    while waiting:
        part = waiting.pop()
        count += 1
        if type(part) is tuple and count + len(waiting) + len(part) <= MAX_KEY:
            waiting.extend(part)
        elif type(part) not in _KEYS:
            return False
    return True


def _tuple(machine: _Machine, count: int) -> None:
    values = [_pop(machine) for _ in range(count)]
    machine.stack.append(tuple(values[::-1]))


def _dict(machine: _Machine) -> None:
    values = _pop_mark(machine)
    machine.stack.append({})
    _set(machine, values)


def _memoize(machine: _Machine, place: int) -> None:
    machine.memo[place] = machine.stack[-1]


def _get(machine: _Machine, place: int) -> None:
    if place not in machine.memo:
        raise ValueError(f"memo {place} is empty")
    value = machine.memo[place]
    machine.stack.append(value.values if type(value) is _Array and value.finished else value)


def _look_up(machine: _Machine, module: Any, name: Any) -> None:
    known = _NAMES.get(f"{module}.{name}")
    if known is None:
        _refuse(f"it names {str(module)[:80]}.{str(name)[:80]}")
    machine.stack.append(known)


def _stack_global(machine: _Machine) -> None:
    name, module = _pop(machine), _pop(machine)
    if type(name) is not str or type(module) is not str:
        _refuse("a name that is no text")
    _look_up(machine, module, name)


def _reduce(machine: _Machine) -> None:
    arguments, called = _pop(machine), _pop(machine)
    if type(called) is not _Name or called.name not in _CALLS or type(arguments) is not tuple:
        _refuse(f"a call of {called.name if type(called) is _Name else 'no function'}")
    machine.stack.append(_CALLS[called.name](*arguments))


def _build(machine: _Machine) -> None:
    state = _pop(machine)
    target = _pop(machine)
    if type(target) is _Dtype:
        _set_order(target, state)
        machine.stack.append(target)
    elif type(target) is _Array and not target.finished:
        if type(state) is not tuple or len(state) != 5:
            _refuse("an array")
        if type(state[4]) is list and type(state[1]) is tuple:
            machine.copied += len(state[4]) * max(0, len(state[1]) - 1)
            if machine.copied > MAX_OPERATIONS:
                _refuse(f"arrays of more than {MAX_OPERATIONS} objects")
        target.values = _filled(*state[1:])
        target.finished = True
        machine.stack.append(target.values)
    else:
        _refuse(f"a state for a {type(target).__name__.strip('_')}")


# ---------------------------------------------------------------------------------------- what numpy writes


def _dtype(code: Any, *_: Any) -> _Dtype:
    match = _CODE.fullmatch(code) if type(code) is str else None
    if match is None:
        _refuse(f"an array of {str(code)[:40]}")
    return _Dtype(match[1][:1] if match[1][0] == _OBJECTS else match[1], code[0] if code[0] in "<>" else "=")


def _set_order(dtype: _Dtype, state: Any) -> None:
    if type(state) is not tuple or len(state) < 5 or any(part is not None for part in state[2:5]):
        _refuse("a structured dtype")
    if state[1] in ("<", ">"):
        dtype.order = state[1]
    if dtype.code[0] in "mM":
        dtype.unit = _unit(state[-1])


def _unit(unit: Any) -> str:
    """The unit of dates and times, pickled as ``({}, (b"D", 1, 1, 1))``, in numpy's notation, ``[D]``."""
    sound = type(unit) is tuple and len(unit) == 2 and type(unit[1]) is tuple and len(unit[1]) >= 2
    name, count = unit[1][:2] if sound else (None, None)
    name = name.decode("latin-1") if type(name) is bytes else name
    if type(name) is not str or not _UNIT.fullmatch(name) or type(count) is not int or not 0 < count < 2**31:
        _refuse("times of an unknown unit")
    return "" if name == "generic" else f"[{count}{name}]"


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _NAMES["numpy.ndarray"] or shape != (0,):
        _refuse("an array of a foreign kind")
    return _Array()


def _filled(shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
    if type(dtype) is _Dtype and dtype.code == _OBJECTS:
        return _nested(data, _checked(shape))
    return _values(data, dtype, shape, "F" if fortran else "C")


def _nested(data: Any, shape: tuple[int, ...]) -> Any:
    """Nest the objects of an array as lists; they are stored in C order whatever the order of the array."""
    if type(data) is not list or len(data) != math.prod(shape):
        _refuse("an array of objects of another number")
    if not shape:
        return data[0]
    for size in shape[:0:-1]:
        data = [data[at : at + size] for at in range(0, len(data), size)] if size else []
    return data


def _checked(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or any(type(size) is not int or size < 0 for size in shape) or len(shape) > 8:
        _refuse("an array of a shape that cannot be")
    return shape


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    """An array from a buffer; for order K, ``axes`` transposes the array from its memory layout."""
    values = _values(data, dtype, shape, "F" if order == "F" else "C")
    if order != "K" or axes is None:
        return values
    if type(axes) is not tuple or any(type(axis) is not int for axis in axes):
        _refuse("an array of axes that cannot be")
    return values.transpose(axes)


def _values(data: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    """The array, after checking that the number of bytes matches its shape."""
    if type(data) is str:
        data = data.encode("latin-1")  # written as bytes by Python 2
    if type(dtype) is not _Dtype or dtype.code == _OBJECTS or type(data) not in (bytes, bytearray):
        _refuse("an array of objects")
    shape = _checked(shape)
    real = dtype.real()
    if math.prod(shape) * real.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for an array {shape} of {real}")
    flat = np.frombuffer(data, real) if len(data) else np.zeros(0, real)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    value = _values(data, dtype, (), "C")
    return str(value) if value.dtype.kind in "mM" else value.item()


def _encode(text: Any, codec: Any) -> bytes:
    """Bytes as written by protocols 0 to 2."""
    if type(text) is not str or codec not in ("latin1", "latin-1"):
        _refuse(f"a text in {str(codec)[:40]}")
    return text.encode("latin-1")


def _container(kind: type) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        return kind() if not arguments else _refuse(f"a call of {kind.__name__} with arguments")

    return make


# ------------------------------------------------------------------------------- dates, times, paths as text


def _bytes_of(data: Any, size: int) -> bytes:
    data = data.encode("latin-1") if type(data) is str else data
    if type(data) is not bytes or len(data) != size:
        _refuse("a date of another form")
    return data


def _clock(data: bytes) -> tuple[int, int, int, int]:
    return data[0], data[1], data[2], int.from_bytes(data[3:6], "big")


def _date(data: Any, *_: Any) -> str:
    """Decode the 4 bytes of a pickled ``datetime.date``: year, month, day."""
    data = _bytes_of(data, 4)
    return datetime.date(int.from_bytes(data[:2], "big"), data[2], data[3]).isoformat()


def _time(data: Any, zone: Any = "") -> str:
    """Decode 6 bytes: hour, minute, second, microseconds; the first byte's high bit marks a repeated hour."""
    data = _bytes_of(data, 6)
    return datetime.time(data[0] & 0x7F, *_clock(data)[1:]).isoformat() + _zone_text(zone)


def _datetime(data: Any, zone: Any = "") -> str:
    """Decode 10 bytes: a date, then a time; the high bit of the month marks a repeated hour."""
    data = _bytes_of(data, 10)
    day = int.from_bytes(data[:2], "big"), data[2] & 0x7F, data[3]
    return datetime.datetime(*day, *_clock(data[4:])).isoformat() + _zone_text(zone)


def _zone_text(zone: Any) -> str:
    return zone if type(zone) is str else _refuse("a date of a foreign time zone")


def _timedelta(days: Any = 0, seconds: Any = 0, microseconds: Any = 0) -> float:
    """A duration in seconds."""
    if any(type(part) is not int for part in (days, seconds, microseconds)):
        _refuse("a duration of another form")
    return datetime.timedelta(days, seconds, microseconds).total_seconds()


def _timezone(seconds: Any, *_: Any) -> str:
    if type(seconds) is not float:
        _refuse("a time zone of another form")
    return str(datetime.timezone(datetime.timedelta(seconds=seconds)))[3:] or "+00:00"


def _path(*parts: Any) -> str:
    """A path as plain text: no path from a file is ever opened."""
    if any(type(part) is not str for part in parts) or sum(map(len, parts)) > _LONGEST_PATH:
        _refuse("a path that cannot be")
    return str(PurePosixPath(*parts))


_CALLS: dict[str, Callable[..., Any]] = {
    "dtype": _dtype,
    "reconstruct": _reconstruct,
    "scalar": _scalar,
    "frombuffer": _from_buffer,
    "encode": _encode,
    "list": _container(list),
    "dict": _container(dict),
    "bytes": _container(bytes),
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "timedelta": _timedelta,
    "timezone": _timezone,
    "path": _path,
}

_NUMBERS = ("bool", *(f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)))
_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

_NAMES: dict[str, Any] = {
    "numpy.dtype": _Name("dtype"),
    "numpy.ndarray": _Name("ndarray"),
    "_codecs.encode": _Name("encode"),
    **{
        f"numpy.{core}.multiarray.{name}": _Name(name.strip("_"))
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{f"numpy.{core}.numeric._frombuffer": _Name("frombuffer") for core in ("core", "_core")},
    **{
        f"{module}.{name}": _Name(name)
        for module in ("builtins", "__builtin__")
        for name in ("list", "dict", "bytes")
    },
    "collections.OrderedDict": _Name("dict"),
    **{f"datetime.{name}": _Name(name) for name in ("date", "time", "datetime", "timedelta", "timezone")},
    **{f"{module}.{name}": _Name("path") for module in ("pathlib", "pathlib._local") for name in _PATHS},
    **{f"numpy.{name}": name for name in (*_NUMBERS, "bool_", "float16", "float32", "float64")},
}
"""Name -> its meaning; number types are represented by their names."""

# ------------------------------------------------------------------------------------------------ opcodes

_PUSHED = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING",
        "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
        "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip
"""Opcodes that push their argument."""

_Operation = Callable[[_Machine, Any], None]

_OPERATIONS: dict[str, _Operation] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: _push(machine, None),
    "NEWTRUE": lambda machine, _: _push(machine, True),
    "NEWFALSE": lambda machine, _: _push(machine, False),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "EMPTY_TUPLE": lambda machine, _: _push(machine, ()),
    "MARK": lambda machine, _: _push(machine, _MARK),
    "POP": lambda machine, _: machine.stack.__delitem__(-1),
    "POP_MARK": lambda machine, _: machine.stack.extend(_pop_mark(machine)[:0]),
    "DUP": lambda machine, _: _push(machine, machine.stack[-1]),
    "APPEND": lambda machine, _: _append(machine, [_pop(machine)]),
    "APPENDS": lambda machine, _: _append(machine, _pop_mark(machine)),
    "SETITEM": lambda machine, _: _set(machine, [_pop(machine), _pop(machine)][::-1]),
    "SETITEMS": lambda machine, _: _set(machine, _pop_mark(machine)),
    "LIST": lambda machine, _: _push(machine, _pop_mark(machine)),
    "TUPLE": lambda machine, _: _push(machine, tuple(_pop_mark(machine))),
    "TUPLE1": lambda machine, _: _tuple(machine, 1),
    "TUPLE2": lambda machine, _: _tuple(machine, 2),
    "TUPLE3": lambda machine, _: _tuple(machine, 3),
    "DICT": lambda machine, _: _dict(machine),
    "MEMOIZE": lambda machine, _: _memoize(machine, len(machine.memo)),
    "PUT": _memoize,
    "BINPUT": _memoize,
    "LONG_BINPUT": _memoize,
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "GLOBAL": lambda machine, names: _look_up(machine, *names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: _stack_global(machine),
    "REDUCE": lambda machine, _: _reduce(machine),
    "BUILD": lambda machine, _: _build(machine),
}
