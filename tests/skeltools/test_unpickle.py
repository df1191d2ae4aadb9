from __future__ import annotations

import codecs
import collections
import datetime
import io
import os
import pickle
import struct
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas import RawDataError
from skeltools.formats import unpickle
from tests.skeltools.archives import write_pickle


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        native = a.dtype.newbyteorder("=")  # pickle itself swaps the bytes of some
        return (
            isinstance(b, np.ndarray)
            and (native, a.shape) == (b.dtype.newbyteorder("="), b.shape)
            and a.astype(native).tobytes() == b.astype(native).tobytes()
        )
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b) and isinstance(a, type(b))


SHARED = np.arange(6, dtype=np.float32).reshape(2, 3)
PLAIN = {
    "text": ["x", "é", "\ud800", "x" * 300],
    "nothing": None,
    "flags": (True, False),
    "numbers": [0, 255, 70_000, -5, 2**70, -(2**40), 1.5],
    "bytes": b"\x00\xff",
    "nested": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ()),
    7: {"a": {}},
}
ARRAYS = [
    SHARED,
    SHARED,
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
    np.arange(5, dtype=">i2"),
    np.array(["ab", "c"]),
    np.array([b"ab", b"c"]),
    np.zeros((0, 3), np.uint8),
    np.array(2.5),
    np.arange(24, dtype=np.float16).reshape(2, 12)[:, ::2],
    np.array([True, False]),
]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays(tmp_path, protocol):
    content = {**PLAIN, "arrays": ARRAYS}
    assert same(content, unpickle.load(write_pickle(tmp_path / "x.pkl", content, protocol)))


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_become_plain(tmp_path, protocol):
    content = [np.float32(0.5), np.int64(7), np.bool_(True)]
    found = unpickle.load(write_pickle(tmp_path / "x.pkl", content, protocol))
    assert found == [0.5, 7, True]
    assert [type(value) for value in found] == [float, int, bool]


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = plain | st.tuples(plain, st.tuples(plain))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | hnp.arrays(
        st.sampled_from(["f4", ">f8", "i8", "u1"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values, protocol=st.integers(0, 5))
def test_whatever_is_plain_is_read_as_pickle_reads_it(tmp_path, value, protocol):
    path = write_pickle(tmp_path / "x.pkl", value, protocol)
    assert same(pickle.loads(path.read_bytes()), unpickle.load(path))


MINUTES = datetime.timezone(datetime.timedelta(minutes=-90))
HARMLESS = {
    "an ordered dict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "objects": (np.array(["a", None, {"b": (1,)}], dtype=object), ["a", None, {"b": (1,)}]),
    "an object of no axes": (np.array({"a": 1}, dtype=object), {"a": 1}),
    "nothing of no axes": (np.array(None, dtype=object), None),
    "objects in rows": (np.array([["a", 1], [None, 2]], dtype=object), [["a", 1], [None, 2]]),
    "objects in columns": (np.array([["a", 1], [None, 2]], dtype=object).T, [["a", None], [1, 2]]),
    "no objects": (np.zeros((0, 3), dtype=object), []),
    "rows of no objects": (np.zeros((2, 0), dtype=object), []),
    "a date": (datetime.date(2020, 2, 29), "2020-02-29"),
    "a moment": (datetime.datetime(2020, 2, 29, 23, 59, 58, 70_000), "2020-02-29T23:59:58.070000"),
    "a moment in a zone": (datetime.datetime(2020, 1, 1, tzinfo=MINUTES), "2020-01-01T00:00:00-01:30"),
    "a moment in UTC": (datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "2020-01-01T00:00:00+00:00"),
    "a time": (datetime.time(1, 2, 3), "01:02:03"),
    "a duration": (datetime.timedelta(days=-1, seconds=5), -86395.0),
    "a date of numpy": (np.datetime64("2020-02-29"), "2020-02-29"),
    "a path": (PurePosixPath("a/b.npy"), "a/b.npy"),
    "objects in a cube": (np.arange(8).reshape(2, 2, 2).astype(object), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    "a dtype": ({"dtype": np.dtype("f4")}, {"dtype": "float32"}),
    "a type of numbers": (np.float32, "float32"),
    "keys": (
        {1: 1, 1.5: 2, None: 3, (1, ("a", None)): 4, b"x": 5, False: 6},
        {1: 1, 1.5: 2, None: 3, (1, ("a", None)): 4, b"x": 5, False: 6},
    ),
    "a key of numpy": ({np.int64(7): 1, np.str_("a"): 2}, {7: 1, "a": 2}),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_gets_its_plain_form(tmp_path, name, protocol):
    content, expected = HARMLESS[name]
    path = write_pickle(tmp_path / "x.pkl", [content, content], protocol)
    assert same([expected, expected], unpickle.load(path))


@pytest.mark.parametrize("protocol", range(6))
def test_dates_in_arrays(tmp_path, protocol):
    content = np.array(["2020-01-01", "NaT"], "M8[D]")
    assert same(content, unpickle.load(write_pickle(tmp_path / "x.pkl", content, protocol)))


def npy(content: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, np.array(content, dtype=object), allow_pickle=True)
    return made.getvalue()


def test_arrays_of_objects_in_npy_files():
    assert unpickle.of_npy(npy({"a": 1}), where="x.npy") == {"a": 1}
    assert unpickle.of_npy(npy(["a", None]), where="x.npy") == ["a", None]
    whole = npy(["a", None])
    for length in range(len(whole)):
        with pytest.raises(RawDataError, match=r"x\.npy: "):
            unpickle.of_npy(whole[:length], where="x.npy")
    with pytest.raises(RawDataError, match="refused to unpickle"):
        unpickle.of_npy(npy(Plain()), where="x.npy")
    made = io.BytesIO()
    np.save(made, np.arange(3))
    with pytest.raises(RawDataError, match="array of int64, not of objects"):
        unpickle.of_npy(made.getvalue(), where="x.npy")


def test_one_list_is_not_told_to_be_many_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_OPERATIONS", 1000)
    whole = pickle.dumps([np.array([[1, 2], [3, 4]], dtype=object)] * 2, protocol=4)
    (tmp_path / "x.pkl").write_bytes(whole)
    assert unpickle.load(tmp_path / "x.pkl") == [[[1, 2], [3, 4]]] * 2
    many = [np.array([[n] * 100], dtype=object) for n in range(12)]
    with pytest.raises(RawDataError, match="more than 1000"):
        unpickle.load(write_pickle(tmp_path / "y.pkl", many))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": 2}, "a dict of 2 keys ('a', 'b')"),
        (dict.fromkeys(range(9)), "a dict of 9 keys (0, 1, 2, 3, ...)"),
        ({"skel_body0": 1}, "a dict of skel_body0 ..., as txt2npy.py of NTU RGB+D writes it"),
        ((["a"], [1]), "a pair of lists of 1 and 1, as a label file of CrosSCLR is"),
        ([1, 2, 3], "a list of 3 of int"),
        ((), "a tuple of 0"),
        (np.zeros((2, 3)), "an array of float64 (2, 3)"),
        (None, "a NoneType"),
    ],
)
def test_what_a_pickle_holds_in_words(value, text):
    assert unpickle.describe(value) == text


FOREIGN = {
    "a numpy array": lambda path: path.write_bytes(npy(["a"])),
    "a zip file": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)),
    "an HDF5 file": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50)),
    "a gzip file": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(50)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_named_for_what_they_are(tmp_path, name):
    FOREIGN[name](tmp_path / "x.pkl")
    with pytest.raises(RawDataError, match=f"this is {name}.*, not the label pickle"):
        unpickle.load(tmp_path / "x.pkl", kind="the label pickle")


def test_what_python_2_wrote(tmp_path):
    text = b"(lp0\nS'S001.skeleton'\np1\naS'b'\np2\na."
    packed = b"\x80\x02]q\x00(U\x04S001q\x01K\x05e."
    (tmp_path / "a.pkl").write_bytes(text)
    (tmp_path / "b.pkl").write_bytes(packed)
    assert unpickle.load(tmp_path / "a.pkl") == ["S001.skeleton", "b"]
    assert unpickle.load(tmp_path / "b.pkl") == ["S001", 5]


# ---------------------------------------------------------------------------------------------- malicious


class Runs:
    """Reduces to a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    pass


class Zone(datetime.tzinfo):
    def utcoffset(self, when: Any) -> Any:
        return datetime.timedelta(0)


def touch(path: str) -> None:
    Path(path).touch()


MALICIOUS = {
    "os.system": lambda path: Runs(os.system, f"touch {path}"),
    "eval": lambda path: Runs(eval, f"open({path!r}, 'w')"),
    "exec": lambda path: Runs(exec, f"open({path!r}, 'w')"),
    "open": lambda path: Runs(open, path, "w"),
    "getattr": lambda path: Runs(getattr, "x", "upper"),
    "our own function": lambda path: Runs(touch, path),
    "an instance": lambda path: Plain(),
    "a class": lambda path: Plain,
    "numpy.save": lambda path: Runs(np.save, path, 1),
    "numpy.load": lambda path: Runs(np.load, path, None, True),
    "numpy.fromfile": lambda path: Runs(np.fromfile, path),
    "codecs.decode": lambda path: Runs(codecs.decode, b"x", "zlib"),
    "codecs.encode of rot13": lambda path: Runs(codecs.encode, "x", "rot13"),
    "an ordered dict of items": lambda path: Runs(collections.OrderedDict, [("a", 1)]),
    "a default dict": lambda path: collections.defaultdict(list, a=[1]),
    "a set": lambda path: {1, 2},
    "a complex number": lambda path: 1j,
    "object array": lambda path: np.array([Runs(os.system, f"touch {path}"), None], dtype=object),
    "record array": lambda path: np.zeros(2, [("x", "f4"), ("y", "i4")]),
    "masked array": lambda path: np.ma.masked_array([1, 2], [True, False]),
    "array of a foreign kind": lambda path: np.matrix([[1]]),
    "array of a class": lambda path: np.array([Plain, None], dtype=object),
    "path of a call": lambda path: Runs(PurePosixPath, Runs(os.system, f"touch {path}")),
    "date of a text": lambda path: Runs(datetime.date, "12020"),
    "date of a foreign zone": lambda path: datetime.datetime(2020, 1, 1, tzinfo=Zone()),
    "key that is an object": lambda path: {Plain(): 3},
    "key of many parts": lambda path: {tuple(range(65)): 3},
    "huge array without bytes": lambda path: Runs(np.ndarray, (10**12,)),
    "huge array to be reconstructed": lambda path: Runs(
        np.zeros(0).__reduce__()[0], np.ndarray, (10**12,), b"b"
    ),
    "huge bytes": lambda path: Runs(bytes, 10**12),
    "huge list": lambda path: Runs(list, range(3)),
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_is_executed(tmp_path, name, protocol):
    trap = tmp_path / "trap"
    path = write_pickle(tmp_path / "x.pkl", [1, MALICIOUS[name](str(trap))], protocol)
    with pytest.raises(RawDataError, match=r"x\.pkl: refused to unpickle, byte \d+: "):
        unpickle.load(path)
    assert not trap.exists()


def test_the_refused_name_is_told(tmp_path):
    path = write_pickle(tmp_path / "x.pkl", Runs(os.system, "true"))
    with pytest.raises(RawDataError, match=r"it names (posix|nt)\.system\. Only numbers, text"):
        unpickle.load(path)


def array_state(shape: tuple[int, ...], code: bytes, data: bytes) -> bytes:
    """A pickle of an array whose state is not checked by anyone who writes it."""
    whole = pickle.dumps(np.zeros(3, np.uint8), protocol=2)
    assert whole.count(b"K\x03\x85") == 1
    state = pickle.dumps(shape, protocol=2)[2:-1]
    return (
        whole.replace(b"K\x03\x85", state)
        .replace(b"X\x02\x00\x00\x00u1", code)
        .replace(b"\x00\x00\x00", data)
    )


CRAFTED = {
    "INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "NEWOBJ": b"\x80\x02cbuiltins\nlist\n)\x81.",
    "PERSID": b"Pevil\n.",
    "BINPERSID": b"\x80\x02U\x01xQ.",
    "EXT1": b"\x80\x02\x82\x01.",
    "frozenset": b"\x80\x04(K\x01\x91.",
    "EMPTY_SET": b"\x80\x04\x8f.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "state of a list": b"\x80\x02]}U\x01xK\x01sb.",
    "state of a function": b"\x80\x02c_codecs\nencode\n}U\x01xK\x01sb.",
    "items of a list": b"\x80\x02]K\x01K\x02s.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "call of a text": b"\x80\x02U\x01x)R.",
    "call of an array type": b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",
    "name that is a number": b"\x80\x04K\x01K\x02\x93.",
    "nested name": b"\x80\x04\x8c\x05numpy\x8c\x0cf2py.os.path\x93.",
    "dtype of objects": b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",
    "dtype by description": b"\x80\x02cnumpy\ndtype\nU\x05f4,i4\x85R.",
    "deeply nested key": b"\x80\x02}" + b")" + b"\x85" * 50_000 + b"K\x01s.",
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_operations_are_refused(tmp_path, name):
    (tmp_path / "x.pkl").write_bytes(CRAFTED[name])
    with pytest.raises(RawDataError, match="refused to unpickle"):
        unpickle.load(tmp_path / "x.pkl")


BROKEN = {
    "empty": b"",
    "text": b"hello, world\n",
    "zeros": bytes(100),
    "no stop": b"\x80\x04]",
    "nothing on the stack": b"\x80\x04.",
    "pop of nothing": b"0.",
    "no mark": b"\x80\x02K\x01t.",
    "two values": b"\x80\x02K\x01K\x02.",
    "memo that is empty": b"\x80\x02h\x07.",
    "bytes beyond the end": b"\x80\x04B" + struct.pack("<I", 2**31) + b"x.",
    "long bytes beyond the end": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "text beyond the end": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "byte array beyond the end": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "long number beyond the end": b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
    "number of no digits": b"Iabc\n.",
    "array with too few bytes": array_state((4,), b"U\x02u1", bytes(3)),
    "array of a huge shape": array_state((10**12,), b"U\x02u1", bytes(3)),
    "array of a wider dtype": array_state((3,), b"U\x02f8", bytes(3)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pickles(tmp_path, name):
    (tmp_path / "x.pkl").write_bytes(BROKEN[name])
    with pytest.raises(RawDataError, match=r"x\.pkl: .*(no complete pickle|refused)"):
        unpickle.load(tmp_path / "x.pkl")


def test_every_truncation_is_told(tmp_path):
    whole = pickle.dumps((["a"], [1], np.arange(5)), protocol=4)
    for length in range(len(whole)):
        (tmp_path / "x.pkl").write_bytes(whole[:length])
        with pytest.raises(RawDataError):
            unpickle.load(tmp_path / "x.pkl")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_one_changed_byte_never_gives_anything_else(tmp_path, place, byte):
    whole = bytearray(pickle.dumps((["a", "bc"], [1, 300], {"x": np.arange(5.0)}), protocol=4))
    whole[place % len(whole)] = byte
    (tmp_path / "x.pkl").write_bytes(bytes(whole))
    try:
        found = unpickle.load(tmp_path / "x.pkl")
    except RawDataError:
        return
    assert is_plain(found)


def is_plain(value: Any) -> bool:
    """Made of plain values and containers and arrays without objects, all the way down."""
    if type(value) in (list, tuple):
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(is_plain(part) for item in value.items() for part in item)
    if type(value) is np.ndarray:
        return value.dtype.kind in "?biufSUmM"
    return value is None or type(value) in (bool, int, float, str, bytes, bytearray)


def test_a_memo_place_of_four_thousand_millions_takes_no_memory(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02K\x07r\xff\xff\xff\xff.")
    assert unpickle.load(tmp_path / "x.pkl") == 7


def test_shared_containers_are_not_multiplied(tmp_path):
    bomb: Any = ["x"]
    for _ in range(200):
        bomb = [bomb] * 10
    start = time.perf_counter()
    found = unpickle.load(write_pickle(tmp_path / "x.pkl", bomb, 4))
    assert time.perf_counter() - start < 2
    assert len(found) == 10
    assert found[0] is found[9]


def test_deep_nesting_does_not_end_the_process(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02]" + b"]" * 50_000 + b"a" * 50_000 + b".")
    assert len(unpickle.load(tmp_path / "x.pkl")) == 1


def test_operations_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_OPERATIONS", 1000)
    with pytest.raises(RawDataError, match="more than 1000 operations"):
        unpickle.load(write_pickle(tmp_path / "x.pkl", list(range(1001))))


def test_the_size_is_limited_and_the_limit_can_be_set(tmp_path, monkeypatch):
    path = write_pickle(tmp_path / "x.pkl", b"x" * 1000)
    monkeypatch.setenv(unpickle.LIMIT_VARIABLE, "500")
    with pytest.raises(RawDataError, match=r"more than the 500 .*Set \$SKELTOOLS_MAX_PICKLE"):
        unpickle.load(path)
    monkeypatch.setenv(unpickle.LIMIT_VARIABLE, "5000")
    assert unpickle.load(path) == b"x" * 1000


def test_no_file(tmp_path):
    with pytest.raises(RawDataError, match="cannot be read"):
        unpickle.load(tmp_path / "x.pkl")
