"""Files that are damaged by the grammar of what they are: YAML, JSON, pickles, zip, HDF5.

Changes of bytes (``fuzzing.mutate``) mostly break a file before anything looks at what it means. These keep
it well formed and let it say what no writer says: anchors that grow, links that lead back, counts that lie.
"""

from __future__ import annotations

import atexit
import io
import json
import pickle
import pickletools
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from schemas import SkelError
from skeltools import skeletons
from skeltools.preprocess import recipes
from tests.skeltools import archives, fuzzing, raw_files

Random = np.random.Generator


@dataclass(frozen=True)
class Grammar:
    """Sound files, what changes them by their grammar, and what uses them."""

    write: Callable[[Path], object]
    """Writes sound files into an empty folder."""
    damage: Callable[[Path, Random], str]
    """Changes the file in place; returns what was done."""
    file: str
    """Which of the files is damaged, as a pattern."""
    use: Callable[[Path], tuple[str, int]]
    """As ``fuzzing.outcome``, of the folder."""


def _pick(values: Any, rng: Random) -> Any:
    return values[int(rng.integers(len(values)))]


# ------------------------------------------------------------------------------------------------- YAML

_RAW_YAML = (
    "!!python/object/apply:os.system [touch owned]", "!!python/name:os.system ''", "!!binary aGFsbG8=",
    "!!binary '%'", "!!set {a, b}", "!!omap [a: 1, b: 2]", "!!pairs [a: 1]", "!!timestamp 2001-01-01",
    "!!timestamp x", "2001-13-45", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "9999-99-99", "!!int x",
    "!!float x", "!!bool x", "!!null x", "!!str 1", "!!seq {}", "!!map []", "!unknown x", "!<tag:x> x",
    "1:30:00", "190:20:30.15", "0x" + "f" * 4000, "9" * 5000, "-" + "9" * 4000, "0b" + "1" * 9000, "1_000",
    "0o17", "017", ".inf", "-.inf", ".nan", "1e999", "1" + "0" * 400 + ".5", "~", "null", "yes", "''", '""',
    '"\\ud800"', '"\\x00"', '"\\u001b[2J"', "'" + "x" * 3000 + "'", "[]", "{}", "[[]]", "{? [a] : b}",
    "{? {a: b} : c}", "{1: 2}", "{null: 1}", "{1.5: x}", "{2001-01-01: x}", "{=: 1}", "{<<: 1}", "{<<: [1]}",
    "{<<: {a: 1}}", "*absent", "&a [*a]", "&b {x: *b}", "[&c x, *c, *c]", "|", ">", "- x", "%x", "@x", "`x`",
    "?", ":", "? ", "!", "&", "*", "[" * 30 + "]" * 30, "[" * 100, "[" * 3000 + "]" * 3000,
    "{a: " * 70 + "1" + "}" * 70, "{x: " * 2000, "x: y", "true", "../../etc/passwd", "/dev/zero", "\t",
)  # fmt: skip
_LAUGHS = "[&l0 [x, x], " + ", ".join(f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)) + "]"
_HEADS = ("%YAML 1.1\n---\n", "%YAML 9.9\n---\n", "---\n", "\ufeff", "# \x85\n", "--- !!map\n")
_TAILS = (
    "\n---\nx: 1\n", "\n...\n", "\n<<: {units: mm}\n", "\n? [a, b]\n: c\n", "\n\tx: 1\n",
    "\nx: &x {<<: *x}\n", "\n- 1\n", "\n" + " " * 5000 + "x: 1\n", "\n" + "- " * 3000 + "1\n",
)  # fmt: skip


def yaml_file(path: Path, rng: Random) -> str:
    """Up to two values of a JSON file changed, and written as YAML with anchors, tags and merges."""
    content = json.loads(path.read_text())
    if rng.random() < 0.3:
        content = fuzzing.changed_json(content, rng)
    places = fuzzing._places(content)
    for _ in range(rng.integers(0, 3) if places else 0):
        node, key = _pick(places, rng)
        if isinstance(node, dict) or key < len(node):
            node[key] = _Written(_LAUGHS if rng.random() < 0.05 else _pick(_RAW_YAML, rng))
    head, tail = (_pick(odd, rng) if rng.random() < 0.1 else "" for odd in (_HEADS, _TAILS))
    text = head + _mapping(content, rng) + tail
    encoding = _pick(["utf-16", "utf-32", "utf-8-sig"], rng) if rng.random() < 0.03 else "utf-8"
    path.write_bytes(text.encode(encoding, "surrogatepass"))
    return "yaml"


class _Written(str):
    """Text that stands in the file as it is."""


def _mapping(content: Any, rng: Random) -> str:
    """A mapping line by line, all else in brackets."""
    if not isinstance(content, dict):
        return _flow(content, rng)
    lines = [f"{_key(key, rng)}: {_flow(value, rng)}" for key, value in content.items()]
    if lines and rng.random() < 0.03:
        lines.append(_pick(lines, rng))
    return "\n".join(lines)


def _flow(node: Any, rng: Random) -> str:
    if isinstance(node, _Written):
        return node
    mark = _pick(["&m ", "!!map ", "!!seq ", "!!str ", "!x "], rng) if rng.random() < 0.005 else ""
    if isinstance(node, dict):
        return (
            mark
            + "{"
            + ", ".join(f"{_key(key, rng)}: {_flow(value, rng)}" for key, value in node.items())
            + "}"
        )
    if isinstance(node, list):
        return mark + "[" + ", ".join(_flow(value, rng) for value in node) + "]"
    return mark + json.dumps(node)


def _key(key: str, rng: Random) -> str:
    if rng.random() > 0.004:
        return json.dumps(key)
    return str(
        _pick(["<<", "1", "null", "? [x]", "=", "!!int x", "2001-01-01", '"\\ud800"', "*m", ".nan"], rng)
    )


# ------------------------------------------------------------------------------------------------- JSON

_JSON_TEXT = (
    b"[" * 100_000, b'{"a":' * 50_000, b'{"a":' * 80 + b"1" + b"}" * 80, b"9" * 5000, b"1e999", b"NaN",
    b"-Infinity", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'{"a": 1, "a": 2}', b"1 2", b"[1,]",
    b"\xef\xbb\xbf{}", b'"' + b"x" * 100_000 + b'"', b"[" + b"0," * 100_000 + b"0]", b"-0", b"1.5", b"1E400",
    b"0.1e-999",
)  # fmt: skip


def json_file(path: Path, rng: Random) -> str:
    """Values replaced, or written as JSON that few writers make."""
    content = fuzzing.changed_json(json.loads(path.read_text()), rng)
    data = json.dumps(content).encode()
    if rng.random() < 0.5 and isinstance(content, dict | list) and fuzzing._places(content):
        node, key = _pick(fuzzing._places(content), rng)
        node[key] = "HERE"
        data = json.dumps(content).encode().replace(b'"HERE"', _pick(_JSON_TEXT, rng), 1)
    path.write_bytes(data)
    return "json"


def convention(path: Path, rng: Random) -> str:
    """A convention whose edges, parents, names and sides do not fit each other; else as ``json_file``."""
    if rng.random() < 0.4:
        return json_file(path, rng)
    content = json.loads(path.read_text())
    for _ in range(rng.integers(1, 4)):
        key = _pick(list(content), rng)
        value = content[key]
        joints = [joint for joint in content.get("joints", ["x"]) if isinstance(joint, str)] or ["x"]
        odd = [*joints[:3], "absent", "", -1, 0, 1000, 2**40, None, [], ["a"], "\ud800", "\x1b[2J"]
        if isinstance(value, list) and value:
            place = int(rng.integers(len(value)))
            what = rng.integers(5)
            if what == 0:
                value[place] = _pick(value, rng)
            elif what == 1:
                value *= int(_pick([2, 20, 200], rng))
            elif what == 2 and isinstance(value[place], list) and value[place]:
                value[place][int(rng.integers(len(value[place])))] = _pick(odd, rng)
            elif what == 3:
                value[place] = [_pick(odd, rng), _pick(odd, rng)]
            else:
                del value[place:]
        elif isinstance(value, dict) and value:
            value[_pick([*value, *joints], rng)] = _pick([*odd, *joints, [_pick(joints, rng)] * 2], rng)
        else:
            content[key] = _pick(odd, rng)
    path.write_text(json.dumps(content))
    return "convention"


# ---------------------------------------------------------------------------------------------- pickles

_CALLS = (
    b"cos\nsystem\n(S'touch owned'\ntR", b"\x8c\x02os\x8c\x06system\x93\x8c\x0btouch owned\x85R",
    b"(S'touch owned'\nios\nsystem\n", b"c__builtin__\neval\n(S'1'\ntR",
    b"cnumpy\nfromfile\n(S'/dev/zero'\ntR", b"cnumpy.core.multiarray\n_reconstruct\n)R",
    b"cnumpy\nndarray\n(J\xff\xff\xff\x7f\x85tR", b"cnumpy\ndtype\n(S'O'\ntR",
    b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'f8'\ntRS'x'\ntR", b"ccollections\nOrderedDict\n)R",
    b"c__builtin__\nlist\n(K\x01tR", b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR",
    b"c_codecs\nencode\n(Vx\nVrot13\ntR", b"c_codecs\nencode\n(J\x01\x00\x00\x00Vlatin1\ntR", b"\x82\x01",
    b"\x84\xff\xff\xff\x7f", b"Px\n", b"K\x01Q", b")\x81", b"}\x92", b"\x97", b"\x98",
)  # fmt: skip
_CODES = (
    b"h\xff", b"j\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"q\x00", b"g999999999\n", b"p-1\n", b"\x94" * 50,
    b"0" * 9, b"2" * 400, b"(" * 1000, b"(" * 1000 + b"t" * 1000, b"]" + b"\x94h\x00a" * 20, b"]q\x00h\x00a",
    b"}q\x01h\x01h\x01s", b"t", b"R", b"b", b"s", b"u", b"a", b"e", b"\x90", b"\x91", b"1", b"2", b".",
    b"\x80\xff", b"\x80\x00", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x95\x00\x00\x00\x00\x00\x00\x00\x00", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\x00\x00\x00\x00", b"\x96\x00\x00\x00\x00\x00\x01\x00\x00", b"B\xff\xff\xff\x7f",
    b"X\xff\xff\xff\xff", b"T\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f", b"\x8b\x00\x00\x00\x80",
    b"\x8a\xff" + b"\x7f" * 255, b"L" + b"9" * 5000 + b"L\n", b"I" + b"9" * 5000 + b"\n", b"F1e999\n",
    b"Fnan\n", b"I01\n", b"V\\ud800\n", b"S'\n", b"G\x7f\xf0\x00\x00\x00\x00\x00\x00", b"J\xff\xff\xff\xff",
    b"N", b"\x88", b"]" * 2000, b"K\x05" * 2000,
)  # fmt: skip
_LAUGHING = b"](K\x01K\x02e" + b"".join(b"q%c](" % n + b"h%c" % n * 9 + b"e" for n in range(1, 12))
_SIZES = (0, 1, -1, 2**31 - 1, 2**31, 2**40, 2**62, 10**9)


def pickled(data: bytes, rng: Random) -> bytes:
    """Operations repeated, dropped, exchanged, put in, or with another argument; bytes of what is none."""
    try:
        codes = _operations(data)
    except ValueError:  # it was changed before
        return fuzzing.mutate(data, rng)
    for _ in range(rng.integers(1, 4)):
        place, what = int(rng.integers(len(codes))), rng.integers(9)
        if what == 0:
            codes[place:place] = codes[place : place + int(rng.integers(1, 20))] * int(rng.integers(1, 4))
        elif what == 1:
            del codes[place : place + int(rng.integers(1, 3))]
        elif what == 2:
            other = int(rng.integers(len(codes)))
            codes[place], codes[other] = codes[other], codes[place]
        elif what == 3:
            codes.insert(place, _pick(_CALLS, rng))
        elif what == 4:
            codes[place] = _pick(_CALLS, rng)
        elif what == 5:
            codes[place] = _LAUGHING if rng.random() < 0.2 else _pick(_CODES, rng)
        elif what == 6:
            codes.insert(place, _LAUGHING if rng.random() < 0.2 else _pick(_CODES, rng))
        elif what == 7:
            codes = codes[: place + 1]
        else:
            place = _pick([n for n, code in enumerate(codes) if code[:1] in b"KMJ"] or [place], rng)
            codes[place] = pickle.dumps(int(_pick(_SIZES, rng)), 2)[2:-1]
        if not codes:
            break
    return b"".join(codes)


def _operations(data: bytes) -> list[bytes]:
    starts = [place or 0 for _, _, place in pickletools.genops(data)]
    return [data[one:other] for one, other in zip(starts, [*starts[1:], len(data)], strict=True)]


def pickle_file(path: Path, rng: Random) -> str:
    """A pickle, or an array of objects in ``.npy``, whose pickle follows its header."""
    data, start = path.read_bytes(), 0
    if data.startswith(b"\x93NUMPY"):
        start = 10 + struct.unpack("<H", data[8:10])[0]
    path.write_bytes(data[:start] + pickled(data[start:], rng))
    return "pickle"


# -------------------------------------------------------------------------------------------------- zip

_HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 75), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000, 25, 3), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 25, 3), }",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (True, 25, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }",
    "{'descr': '|V2000000000', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<U500000000', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '|S0', 'fortran_order': False, 'shape': (99999999999,), }",
    "{'descr': [('a', '<f4', (1000000000, 1000000000))], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (4,), }",
    "{'descr': '<c16', 'fortran_order': False, 'shape': (4, 25, 3), }",
    "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,) , 'x': 1}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 70 + "), }",
    "{'descr': " + "(" * 200 + "1" + ")" * 200 + "}", "[" * 3000, "__import__('os').system('touch owned')",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (9" + "9" * 5000 + ",), }", "\0" * 50, "",
)  # fmt: skip


@lru_cache(maxsize=2)
def _zeros(size: int) -> bytes:
    """A deflated stream of so many bytes: a thousandth of them."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x", "w") as member:
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    with zipfile.ZipFile(made) as archive:
        info = archive.infolist()[0]
    start = 30 + len(info.filename)
    return made.getvalue()[start : start + info.compress_size]


def zipped(data: bytes, rng: Random, *, inside: Callable[[bytes, Random], bytes]) -> bytes:
    """Members changed ``inside``, renamed, doubled, bombs, many; then central directory and end that lie."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
        plain = not any(info.external_attr for info in archive.infolist())
    bomb = False
    for _ in range(rng.integers(1, 3)):
        place, what = int(rng.integers(len(members))), rng.integers(9)
        name, content, kind = members[place]
        if what < 4:
            members[place] = (name, inside(content, rng), kind)
        elif what == 4:
            odd = [
                "../x.npy",
                "/etc/x",
                "",
                "x/",
                "x" * 60_000,
                "\x1b[2J.npy",
                "a\\b",
                name,
                "data.pkl",
                "ä.npy",
            ]
            members.insert(place, (_pick(odd, rng), content, kind))
        elif what == 5 and len(members) < 50:
            members += [(f"{name}{n}", b"", 0) for n in range(int(_pick([10, 1000, 3000], rng)))]
        elif what == 6:
            members[place], bomb = (name, content[:100] + b"bomb", 8), True
        elif what == 7:
            del members[place]
            members = members or [("x", b"", 0)]
        else:
            members[place] = (name, content, int(_pick([0, 8, 12, 14], rng)))
    made = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(made, "w") as archive:
        for name, content, kind in members:
            archive.writestr(zipfile.ZipInfo(name), content, kind)
        for info in archive.infolist():  # zipfile gives each member the rights of a file
            info.external_attr = 0 if plain else info.external_attr
    out = bytearray(made.getvalue())
    return bytes(_bombed(out, rng) if bomb else _lying(out, rng) if rng.random() < 0.7 else out)


def _bombed(data: bytearray, rng: Random) -> bytearray:
    """An archive of one member that grows to 600 MB, and says so or something else."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [info.filename for info in archive.infolist()]
    size, stream = 600 * 2**20, _zeros(600 * 2**20)
    told = int(_pick([size, 1000, 0, 2**32 - 2], rng))
    name = _pick(names, rng).encode("utf-8", "replace")[:1000]
    sizes = struct.pack("<3I2H", 0, len(stream), told, len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<5H", 20, 0, 8, 0, 0x21) + sizes + name + stream
    central = b"PK\x01\x02" + struct.pack("<6H", 20, 20, 0, 8, 0, 0x21) + sizes + bytes(14) + name
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 1, 1, len(central), len(local), 0)
    return bytearray(local + central + end)


def _lying(data: bytearray, rng: Random) -> bytearray:
    """One field of the central directory, of a local header or of the end of the archive is another one."""
    for _ in range(rng.integers(1, 3)):
        kind = _pick([b"PK\x01\x02", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"], rng)
        places, start = [], data.find(kind)
        while start >= 0 and len(places) < 50:
            places.append(start)
            start = data.find(kind, start + 1)
        if not places:
            continue
        place = _pick(places, rng)
        offset, width = _pick(
            {
                b"PK\x01\x02": [
                    (6, 2),
                    (8, 2),
                    (10, 2),
                    (16, 4),
                    (20, 4),
                    (24, 4),
                    (28, 2),
                    (30, 2),
                    (32, 2),
                    (42, 4),
                ],
                b"PK\x03\x04": [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
                b"PK\x05\x06": [(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
            }[kind],
            rng,
        )
        most = 2 ** (8 * width) - 1
        value = int(_pick([0, 1, 8, 99, most, most // 2, len(data), place, 2**20], rng)) & most
        data[place + offset : place + offset + width] = value.to_bytes(width, "little")
    return data


def array(data: bytes, rng: Random) -> bytes:
    """A ``.npy`` with another header, version or content."""
    if not data.startswith(b"\x93NUMPY") or rng.random() < 0.3:
        return fuzzing.mutate(data, rng)
    size = struct.unpack("<H", data[8:10])[0]
    header, values = _pick(_HEADERS, rng).encode("latin1"), data[10 + size :]
    version = int(_pick([1, 1, 2, 3, 9], rng))
    length = struct.pack(
        "<H" if version == 1 else "<I", int(_pick([len(header), len(header), 65535, 0], rng))
    )
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + _pick([values, b"", values * 50], rng)


def arrays_file(path: Path, rng: Random) -> str:
    path.write_bytes(zipped(path.read_bytes(), rng, inside=array))
    return "arrays"


def archive_file(path: Path, rng: Random) -> str:
    path.write_bytes(zipped(path.read_bytes(), rng, inside=fuzzing.mutate))
    return "archive"


def tensors_file(path: Path, rng: Random) -> str:
    """Of a PyTorch file the pickle is changed as one."""

    def inside(data: bytes, rng: Random) -> bytes:
        return pickled(data, rng) if data.startswith(b"\x80") else fuzzing.mutate(data, rng)

    path.write_bytes(zipped(path.read_bytes(), rng, inside=inside))
    return "tensors"


# ------------------------------------------------------------------------------------------------- HDF5

_TYPES: tuple[Any, ...] = (
    "f8", "f2", ">f4", "i8", "u1", "?", "c8", "S5", "V7", h5py.string_dtype(), h5py.vlen_dtype(np.float32),
    h5py.ref_dtype, h5py.enum_dtype({"a": 1}), np.dtype([("x", "f4"), ("y", "f4")]), np.dtype(("f4", (3,))),
)  # fmt: skip
_SHAPES = (
    (), (0,), (0, 25, 3), (1,) * 32, (10**12, 1, 25, 3), (2**40,), (3, 25), (10**7, 1, 25, 3), (4, 2, 25, 3),
)  # fmt: skip


def hdf5_file(path: Path, rng: Random) -> str:
    """A dataset or group becomes a link that leads out or back, storage elsewhere, or another one."""
    for _ in range(rng.integers(1, 3)):
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            drawn = _pick(_LINKS, rng)
            with suppress(ValueError, KeyError, OSError, RuntimeError, TypeError):  # HDF5 itself refuses it
                drawn(file, _pick(names or ["x"], rng), rng)
    return str(drawn.__name__)


def _gone(file: Any, name: str) -> None:
    if name in file:
        del file[name]


def _link_out(file: Any, name: str, rng: Random) -> None:
    _gone(file, name)
    file[name] = h5py.ExternalLink(
        _pick(["/dev/zero", "/etc/passwd", file.filename, "absent.h5", ""], rng), "/x"
    )


def _link_back(file: Any, name: str, rng: Random) -> None:
    """Soft links to themselves, to each other, to the root; hard links of a group into itself."""
    what = rng.integers(4)
    parent = file[name].parent.name if name in file else "/"
    _gone(file, name)
    if what == 0:
        file[name] = h5py.SoftLink(f"/{name}")
    elif what == 1:
        file[name], file[f"{name}-2"] = h5py.SoftLink(f"/{name}-2"), h5py.SoftLink(f"/{name}")
    elif what == 2:
        file[name] = h5py.SoftLink(_pick(["/", "..", "", "/absent", "//", "/" + "x/" * 5000], rng))
    else:
        file[name] = file[parent]


def _virtual(file: Any, name: str, rng: Random) -> None:
    shape = _pick([(4, 2, 25, 3), (10**9, 1, 25, 3)], rng)
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:4] = h5py.VirtualSource(
        _pick([".", "/dev/zero", "absent.h5"], rng), _pick([name, "x"], rng), shape
    )[:4]
    _gone(file, name)
    file.create_virtual_dataset(name, layout, fillvalue=float(rng.integers(3)))


def _external(file: Any, name: str, rng: Random) -> None:
    _gone(file, name)
    place = _pick(["/etc/passwd", "/dev/zero", "absent.raw"], rng)
    file.create_dataset(name, (4, 2, 25, 3), "f4", external=[(place, 0, 2400)])


def _storage(file: Any, name: str, rng: Random) -> None:
    """Chunks that are huge, and filters: nothing is written, so that all is the fill value."""
    _gone(file, name)
    shape = _pick([(10**9, 1, 25, 3), (2**20, 2, 25, 3), (4, 2, 25, 3)], rng)
    chunks = _pick([(1, 1, 1, 1), (2**16, 1, 25, 3), (2**18, 2, 25, 3), (3, 1, 25, 3)], rng)
    chunks = tuple(min(one, other) for one, other in zip(chunks, shape, strict=True))
    filters = _pick(
        [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}], rng
    )
    made = file.create_dataset(
        name,
        shape,
        _pick(["f4", "f8"], rng),
        chunks=chunks,
        fillvalue=float(_pick([0, 1, np.nan], rng)),
        **filters,
    )
    if rng.random() < 0.5:
        made[-1:] = 1


def _zeros_packed(file: Any, name: str, rng: Random) -> None:
    """Zeros that pack to a thousandth of them."""
    _gone(file, name)
    rows = int(_pick([10_000, 300_000], rng))
    shape = (rows, 1, 25, 3)
    file.create_dataset(name, shape, "f4", chunks=(rows, 1, 25, 3), compression="gzip")
    file[name].id.write_direct_chunk((0, 0, 0, 0), _zlib_zeros(rows * 300))


@lru_cache(maxsize=4)
def _zlib_zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 1)


def _another(file: Any, name: str, rng: Random) -> None:
    """Another type, shape, or a group in its place."""
    _gone(file, name)
    if rng.random() < 0.2:
        file.create_group(f"{name}/inner")
        return
    shape, dtype = _pick(_SHAPES, rng), _pick(_TYPES, rng)
    small = int(np.prod(shape, dtype=float)) < 10**6
    file.create_dataset(name, shape, dtype, **({} if small else {"chunks": tuple(min(n, 64) for n in shape)}))


def _attributes(file: Any, name: str, rng: Random) -> None:
    place = _pick([file, file.get(name, file)], rng)
    key = _pick([*place.attrs, "x", "recipe", "fps"], rng)
    value = _pick(
        [np.zeros(8000), "x" * 60_000, "[" * 5000, b"\xff", h5py.Empty("f4"), -1, 2**63 - 1, np.nan,
         "\x1b[2J", np.void(b"x"), np.array(["a", "b"], object), '{"x": 1}', True], rng,
    )  # fmt: skip
    place.attrs[key] = value


def _names(file: Any, name: str, rng: Random) -> None:
    """Names that are no text, that command terminals, or many."""
    what = rng.integers(3)
    if what == 0:
        file.move(name, _pick([b"\xff\xfe", b"\x1b[2J", b"x" * 5000, b"a\nb"], rng))
    elif what == 1:
        for number in range(int(_pick([10, 500], rng))):
            file.create_group(f"many{number}")
    else:
        file["/".join("d" * int(_pick([3, 60, 300], rng)))] = np.zeros(3)


_LINKS = (
    _link_out, _link_back, _virtual, _external, _storage, _zeros_packed, _another, _another, _attributes,
    _attributes, _names,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- uses


def _reads(reader: str) -> Callable[[Path], tuple[str, int]]:
    return lambda raw: fuzzing.outcome(reader, raw)


def _opens(name: str, read: Callable[[Path], object]) -> Callable[[Path], tuple[str, int]]:
    """One file of a folder is read."""

    def use(raw: Path) -> tuple[str, int]:
        try:
            read(raw / name)
        except SkelError as error:
            fuzzing._check_message(error)
            return "refused", 0
        return "accepted", 0

    return use


_FULL = {
    "name": "mine", "convention": "kinectv2_25", "layout": "T M V C", "units": "mm", "fps": 30, "bodies": 2,
    "axes": {"x": "left", "y": "up", "z": "forward"}, "pattern": "(?P<label>[a-z]+)_s(?P<subject>\\d+)",
    "splits": {"xsub": {"train": {"subject": [1]}, "test": {"subject": [2]}}}, "classes": ["wave", "sit"],
    "segments": {"unit": "frames"}, "csv": {"delimiter": ","}, "leave_out": [], "missing": "nan",
}  # fmt: skip


def _described(raw: Path) -> None:
    (raw / "dataset.yaml").write_text(json.dumps(_FULL))
    for name in ("wave_s1", "sit_s2"):
        np.save(raw / f"{name}.npy", raw_files.poses(4, 2))


def _own_convention(raw: Path) -> None:
    folder = Path(skeletons.__file__).parent
    (raw / "mine.json").write_bytes((folder / "sensors" / "kinectv2_25.json").read_bytes())
    told = {"name": "mine", "convention": "mine.json", "layout": "T M V C"}
    (raw / "dataset.yaml").write_text(json.dumps(told))
    np.save(raw / "wave.npy", raw_files.poses(4, 2))


def _recipe(raw: Path) -> None:
    steps = [{step.name: step.options} for step in recipes.load("default").steps]
    (raw / "mine.yaml").write_text(json.dumps(steps, default=list))


@lru_cache
def _opened() -> Any:
    """A store that settings are completed for."""
    from tests.trainer.stores import write_store
    from trainer.store import open_store

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return open_store(write_store(folder / "s.zarr"))


def _settings(raw: Path) -> None:
    from tests.trainer import runs

    content = runs.tiny_config(_opened().path).model_dump(mode="json")
    (raw / "config.yaml").write_text(json.dumps(content))


def _read_settings(path: Path) -> object:
    """As the settings of a run, and as settings for one."""
    from trainer import config
    from trainer.run import read_config

    try:
        read_config(path.parent)
    except SkelError as error:
        fuzzing._check_message(error)
    return config.resolve(_opened(), method="skeletonclr", file=path)


@lru_cache
def _trained() -> bytes:
    """The checkpoint of one epoch."""
    from tests.trainer import runs
    from trainer import checkpoint, loop

    out = _opened().path.parent / "run"
    loop.pretrain(runs.tiny_config(_opened().path, optimise__epochs=1), out=out)
    return (out / checkpoint.LAST).read_bytes()


def _checkpoint(raw: Path) -> None:
    (raw / "last.pt").write_bytes(_trained())


def _read_checkpoint(path: Path) -> object:
    from trainer import checkpoint
    from trainer.released import read

    try:
        read.read_released(path)
    except SkelError as error:
        fuzzing._check_message(error)
    return checkpoint.load(path)


def _pyskl(raw: Path) -> None:
    archives.write_pickle(raw / "ntu60_3danno.pkl", archives.pyskl_content(fuzzing.SMALL))


def _format(name: str) -> Callable[[Path], object]:
    return fuzzing.FORMATS[name][1]


GRAMMARS: dict[str, Grammar] = {
    "YAML of a data set": Grammar(_described, yaml_file, "dataset.yaml", _reads("custom")),
    "YAML of a recipe": Grammar(
        _recipe, yaml_file, "mine.yaml", _opens("mine.yaml", lambda path: recipes.load(str(path)))
    ),
    "YAML of settings": Grammar(_settings, yaml_file, "config.yaml", _opens("config.yaml", _read_settings)),
    "JSON of a convention": Grammar(_own_convention, convention, "mine.json", _reads("custom")),
    "JSON of poses": Grammar(_format("custom coco"), json_file, "all.json", _reads("custom")),
    "pickle of pyskl": Grammar(_pyskl, pickle_file, "*.pkl", _reads("pyskl")),
    "pickle of labels": Grammar(_format("crossclr"), pickle_file, "*.pkl", _reads("crossclr")),
    "pickle in npy": Grammar(_format("ntu npy"), pickle_file, "*.npy", _reads("ntu")),
    "zip of arrays": Grammar(_format("custom npz"), arrays_file, "*.npz", _reads("custom")),
    "zip of estimated poses": Grammar(_format("metrabs npz"), arrays_file, "*.npz", _reads("metrabs")),
    "zip of a whole set": Grammar(_format("ctrgcn"), arrays_file, "*.npz", _reads("ctrgcn")),
    "zip of clips": Grammar(_format("ntu zip"), archive_file, "*.zip", _reads("ntu")),
    "zip of tensors": Grammar(_format("metrabs pt"), tensors_file, "*.pt", _reads("metrabs")),
    "zip of a checkpoint": Grammar(_checkpoint, tensors_file, "last.pt", _opens("last.pt", _read_checkpoint)),
    "HDF5 of own poses": Grammar(_format("custom h5"), hdf5_file, "*.h5", _reads("custom")),
    "HDF5 of estimated poses": Grammar(_format("metrabs h5"), hdf5_file, "*.h5", _reads("metrabs")),
    "HDF5 of a store": Grammar(_format("hdf5"), hdf5_file, "*.h5", _reads("hdf5")),
}
"""Kind -> its grammar. That of zarr is in hostile_stores.py."""
