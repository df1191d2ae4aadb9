"""The viewer's server: what it answers, and what it never does."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

import skeltools
from schemas import UsageError
from skeltools import store
from skeltools.pictures import server
from skeltools.pictures.browsed import MOST_POSES, Browsed
from skeltools.pictures.listing import Listing
from tests.commands import ended, in_the_foreground
from tests.skeltools.conftest import NATIVE, make_clip

NASTY = "</script><img src=x onerror=alert(1)>\x1b[31m"
SPEC = skeltools.skeleton(NATIVE)


class Client:
    """A browser, or somebody who is none."""

    def __init__(self, at: server.Server) -> None:
        self.port, self.token = at.server_port, at.token

    def get(self, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; ``target`` goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ask(self, question: str) -> tuple[int, Any]:
        status, _, body = self.get(f"/{self.token}/api/{question}")
        return status, json.loads(body)


@contextmanager
def serving(answers: dict[str, server.Answer], page: Path) -> Iterator[Client]:
    with server.Server(answers, page=page) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield Client(made)
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A page, a folder and a link beside it, and a file of no kind that a page has."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>here</title>")
    (folder / "player.js").write_text("export {};")
    (folder / "secret.txt").write_text("no")
    (folder / "folder.js").mkdir()
    (folder / "link.js").symlink_to(Path(__file__))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of 7 clips with gaps; one class has a name that no store of ours has: HTML, and an escape."""
    clips = [make_clip(f"S001C00{n % 3 + 1}P00{n}R001A00{n % 2 + 1}", bodies=1 + n % 2) for n in range(1, 8)]
    path = tmp_path_factory.mktemp("stores") / "toy.zarr"
    summary = skeltools.write(clips, path, classes=["nod", "wave"], frames=[8])
    assert summary.manifest.samples == 7
    told = json.loads((path / "zarr.json").read_text())
    told["attributes"]["classes"][0] = NASTY
    (path / "zarr.json").write_text(json.dumps(told))
    return path


@pytest.fixture(scope="module")
def client(place: Path, page: Path) -> Iterator[Client]:
    with serving(Browsed(place).answers(), page) as made:
        yield made


def read(track: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Positions [T, M, V, 3] and what is seen [T, M, V]."""
    shape = (track["frames"], track["bodies"], len(track["joints"]))
    numbers = np.frombuffer(base64.b64decode(track["positions"]), "<i2").reshape(*shape, 3)
    seen = np.frombuffer(base64.b64decode(track["seen"]), np.uint8).reshape(shape) > 0
    return numbers * track["scale"] + np.array(track["origin"]), seen


# What is asked for


def test_the_store_says_what_is_in_it(client: Client, place: Path) -> None:
    status, told = client.ask("store")
    assert status == 200
    assert (told["name"], told["samples"], told["classes"][1]) == ("toy.zarr", 7, "wave")
    assert told["conventions"] == [{"name": NATIVE, "joints": 25, "coordinates": "xyz", "missing": 0}]
    assert told["streams"] == [f"joint, 8 frames, {NATIVE}"]
    assert told["tabs"] == []


def test_rows_are_the_columns_of_the_store(client: Client, place: Path) -> None:
    opened = skeltools.open(place)
    status, told = client.ask("rows")
    assert status == 200
    assert told["id"] == list(opened.ids)
    assert told["label"] == opened.labels.tolist()
    assert told["frames"] == [len(clip.joints) for clip in opened.clips()]
    assert told["camera"] == [clip.camera for clip in opened.clips()]
    assert told["split"] == {"all": opened.splits["all"].tolist()}
    part = client.ask("rows?from=2&count=3")[1]
    assert (part["from"], part["count"], part["total"]) == (2, 3, 7)
    for name in ("id", "label", "subject", "camera", "frames", "findings", "bodies"):
        assert part[name] == told[name][2:5]
    assert client.ask("rows?from=7")[1]["id"] == []


def test_a_sample_is_its_clip(client: Client, place: Path) -> None:
    clip = skeltools.open(place)[3]
    status, told = client.ask(f"sample?id={clip.id}")
    assert status == 200
    assert (told["row"], told["conventions"]) == (3, [NATIVE])
    assert "window" not in told
    positions, seen = read(told["tracks"][0])
    np.testing.assert_array_equal(seen, np.broadcast_to(clip.present[..., None], seen.shape))
    assert np.abs(positions - clip.joints)[seen].max() < 2e-4


def test_a_window_of_a_recording(client: Client, place: Path) -> None:
    clip = skeltools.open(place)[0]
    told = client.ask(f"sample?id={clip.id}&from=4&count=5")[1]
    assert told["window"] == {"from": 4, "count": 5, "of": len(clip.joints)}
    positions, seen = read(told["tracks"][0])
    assert np.abs(positions - clip.joints[4:9])[seen].max() < 2e-4
    assert client.ask(f"sample?id={clip.id}&from=9999")[1]["window"]["count"] == 0


def test_a_long_recording_is_sent_in_parts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skeltools.pictures.listing.MOST_NUMBERS", 5 * 25 * 3)
    listing = Listing(place)
    one = next(clip for clip in listing.opened.clips() if clip.joints.shape[1] == 1)
    told = listing.sample(one.id)
    assert told["window"] == {"from": 0, "count": 5, "of": len(one.joints)}


def test_poses_are_the_middle_frames(client: Client, place: Path) -> None:
    clips = list(skeltools.open(place).clips())
    status, told = client.ask("poses?rows=5,0,5")
    assert (status, told["rows"]) == (200, [5, 0, 5])
    positions, seen = read(told["track"])
    for at, row in enumerate(told["rows"]):
        clip = clips[row]
        middle, bodies = len(clip.joints) // 2, clip.joints.shape[1]
        np.testing.assert_array_equal(seen[at, :bodies, 0], clip.present[middle])
        assert not seen[at, bodies:].any()
        wrong = np.abs(positions[at, :bodies] - clip.joints[middle])[seen[at, :bodies]]
        assert wrong.max(initial=0) < 2e-4
    assert client.ask("poses?from=5&count=9")[1]["rows"] == [5, 6]


def test_several_conventions_and_what_one_lacks(tmp_path: Path, recordings) -> None:
    ids = ["S001C001P001R001A001", "S001C002P001R001A002"]
    recordings.add(*(make_clip(id, frames=9) for id in ids))
    recordings.add(make_clip(ids[0], "smplx_42", frames=9))
    skeltools.convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr", frames=[8])
    listing = Listing(tmp_path / "s.zarr")
    both = listing.sample(ids[0], [NATIVE, "smplx_42"], "bone")
    assert [(track["name"], track["kind"]) for track in both["tracks"]] == [
        (NATIVE, "bone"),
        ("smplx_42", "bone"),
    ]
    lacking = listing.sample(ids[1], [NATIVE, "smplx_42"])
    assert [track["name"] for track in lacking["tracks"]] == [NATIVE]
    assert lacking["conventions"] == [NATIVE]
    with pytest.raises(UsageError, match=r"not in smplx_42.*It is in kinectv2_25"):
        listing.sample(ids[1], ["smplx_42"])


def test_findings_stand_with_their_samples(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(6, 25, 3))
    joints[2, 4] = np.nan
    clips = {"good": joints[3:], "hop.1": joints}
    skeltools.write(clips, tmp_path / "s.zarr", convention=NATIVE, frames=[4])
    listing = Listing(tmp_path / "s.zarr")
    assert [each["problem"] for each in listing.findings("hop.1")["findings"]] == ["joints not seen"]
    assert listing.rows()["findings"] == [0, 1]
    assert listing.findings("good") == {"findings": []}
    assert listing.sample("hop.1")["findings"][0]["file"] == "hop.1.npy"
    _, seen = read(listing.sample("hop.1")["tracks"][0])
    assert not seen[2, 0, 4]
    assert seen.sum() == 6 * 25 - 1


def test_findings_of_a_merged_store_keep_their_samples(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(6, 25, 3))
    joints[2, 4] = np.nan
    for name in ("a", "b"):
        skeltools.write({"hop": joints}, tmp_path / name, convention=NATIVE, frames=[4], name=name)
    skeltools.merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "both.zarr")
    rows = Listing(tmp_path / "both.zarr").rows()
    assert rows["id"] == ["a-hop", "b-hop"]
    assert rows["findings"] == [1, 1]


def test_hands_poses_in_2d_and_clips_without_labels(tmp_path: Path) -> None:
    flat = np.random.default_rng(0).normal(size=(6, 21, 3))
    flat[..., 2] = 0
    hand = {"convention": "mediapipe_hand_21", "recipe": "raw", "frames": [4]}
    skeltools.write({"one": flat}, tmp_path / "s.zarr", **hand)
    listing = Listing(tmp_path / "s.zarr")
    told = listing.store()
    assert (told["classes"], told["splits"]) == ([], ["all"])
    assert listing.rows()["label"] == [-1]
    assert listing.rows()["subject"] is None
    track = listing.sample("one")["tracks"][0]
    assert set(track["sides"]) == {"centre"}
    assert track["coordinates"] == "xy"
    assert listing.poses([0])["track"]["bodies"] == 1


def test_a_store_of_nothing(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "s.zarr"
    shutil.copytree(place, path)
    manifest, root = skeltools.open(place).manifest, store.reopen(path)
    for name, info in manifest.arrays.items():
        if info.dimensions[0] in ("N", "N+1", "F"):
            array = store.array(store.open_store(place), name)
            root[name].resize((int(info.dimensions[0] == "N+1"), *array.shape[1:]))
    halves = {
        name: info.model_copy(update={"train": 0, "test": 0}) for name, info in manifest.protocols.items()
    }
    empty = {"samples": 0, "arrays": store.describe_all(root), "protocols": halves}
    store.write_manifest(path, manifest.model_copy(update=empty))
    listing = Listing(path)
    assert listing.store()["samples"] == 0
    rows = listing.rows()
    assert (rows["total"], rows["id"], rows["frames"], rows["split"]) == (0, [], [], {"all": []})
    assert listing.poses([])["track"]["frames"] == 0


# What is refused


@pytest.mark.parametrize(
    ("question", "status", "sentence"),
    [
        ("sample?id=nobody", 404, "there is no sample 'nobody'. Choose one of the list"),
        ("sample", 400, "the id of a sample is missing"),
        ("sample?id=a&id=b", 400, "takes one value"),
        ("sample?id=S001C002P001R001A002&convention=coco", 400, "unknown convention 'coco'"),
        ("sample?id=S001C002P001R001A002&kind=speed", 400, "unknown kind 'speed'"),
        ("sample?id=S001C002P001R001A002&from=-1", 400, "from is a whole number from 0, found '-1'"),
        ("rows?from=1e3", 400, "from is a whole number"),
        ("rows?count=" + "9" * 400, 400, "count is a whole number"),
        ("rows?from=%D9%A3", 400, "from is a whole number"),
        ("poses?rows=7", 400, "rows count from 0"),
        ("poses?rows=1,x", 400, "rows is a whole number"),
        ("poses?rows=" + "1," * (MOST_POSES + 1), 400, "257 poses are asked for"),
        ("poses?count=300", 200, None),
        ("rows?" + "a&" * 300, 400, "asks for too much"),
        ("rows?from=" + "1" * 9000, 414, "longer than 8192"),
        ("nothing", 404, "There is no such page"),
        ("", 404, "There is no such page"),
        ("sample/../store", 404, "There is no such page"),
    ],
)
def test_questions_that_make_no_sense_get_a_sentence(
    client: Client, question: str, status: int, sentence: str | None
) -> None:
    found, told = client.ask(question)
    assert found == status
    assert sentence is None or sentence in told["error"]


def test_only_files_of_the_page_are_served(client: Client, page: Path) -> None:
    at = f"/{client.token}/"
    assert client.get(at)[2] == (page / "index.html").read_bytes()
    assert client.get(f"{at}player.js")[1]["content-type"] == "text/javascript; charset=utf-8"
    assert client.get(f"{at}design.css")[0] == 200
    wrong = [
        "secret.txt", "folder.js", "folder.js/", "link.js", "index.html/", "INDEX.HTML", ".", "..", "%2e%2e/",
        "../server.py", "..%2fserver.py", "%2e%2e%2fserver.py", "%252e%252e%252fserver.py", "..\\server.py",
        "./index.html", "/index.html", "//index.html", "%69ndex.html", "page/index.html", "index.html%00.js",
        str(Path(__file__)), quote(str(page / "index.html"), safe=""), "api", "api/../index.html", "file:///etc/passwd",
    ]  # fmt: skip
    for name in wrong:
        status, _, body = client.get(at + name)
        assert (status, json.loads(body)) == (404, {"error": "There is no such page"}), name


def test_without_the_token_nothing_is_told(client: Client) -> None:
    token = client.token
    refusal = client.get(f"/{token}/nothing")[2]
    wrong = [
        token[:-1],
        f"{token}x",
        token.swapcase(),
        f"%{ord(token[0]):x}{token[1:]}",
        "%C3%A9",
        "",
        "x",
        "..",
    ]
    targets = [f"/{each}/{name}" for each in wrong for name in ("", "index.html", "api/store")]
    for target in ["/", "*", "/index.html", "/api/store", f"/{token}", f"//{token}x/", *targets]:
        status, _, body = client.get(target)
        assert (status, body) == (404, refusal), target


def test_every_server_has_a_token_of_its_own_that_is_compared_in_constant_time(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return given == known

    monkeypatch.setattr(server.hmac, "compare_digest", compare)
    with server.Server({}, page=page) as one, server.Server({}, page=page) as other:
        assert len(one.token) >= 32
        assert one.token != other.token
        assert one.reply(f"/{other.token}/").status == 404
        assert one.reply(f"/{one.token}/").status == 200
        assert compared == [(other.token.encode(), one.token.encode()), (one.token.encode(),) * 2]
        assert one.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:80", 200),
        ("127.0.0.1:1234", 200),
        ("LocalHost", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example@127.0.0.1", 403),
        ("127.0.0.1:80@evil.example", 403),
        ("127.0.0.2", 403),
        ("0.0.0.0", 403),
        ("", 403),
    ],
)
def test_a_page_under_a_foreign_name_gets_nothing(client: Client, host: str, status: int) -> None:
    assert client.get(f"/{client.token}/api/store", Host=host)[0] == status


def raw(client: Client, request: bytes) -> bytes:
    """What comes back for bytes that no browser sends."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_request_without_a_host_or_with_two_gets_nothing(client: Client) -> None:
    start = f"GET /{client.token}/api/store HTTP/1.1\r\n".encode()
    two = b"Host: localhost\r\nHost: evil.example\r\n\r\n"
    for request in (start + b"\r\n", start + two):
        assert raw(client, request).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT", "<b>"]
)
def test_only_get_is_answered(client: Client, method: str) -> None:
    status, headers, body = client.get(f"/{client.token}/api/store", method)
    assert (status, headers["allow"]) == (405, "GET")
    assert method == "HEAD" or json.loads(body) == {"error": "Only GET is answered"}


NO_REQUESTS = [
    b"\x00\xff\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    b"<script>\r\n\r\n",
]


@pytest.mark.parametrize("request_line", NO_REQUESTS, ids=range(len(NO_REQUESTS)))
def test_what_is_no_request_gets_no_traceback(client: Client, request_line: bytes, capfd) -> None:
    answer = raw(client, request_line)
    assert b"Traceback" not in answer
    assert b"<script>" not in answer
    assert client.ask("store")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_every_reply_has_a_strict_policy(client: Client) -> None:
    at = f"/{client.token}/"
    for target in (at, f"{at}player.js", f"{at}api/store", f"{at}api/nothing", "/", f"{at}api/sample?id=x"):
        _, headers, _ = client.get(target)
        policy = dict(
            part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "python" not in headers["server"].lower()


def test_names_from_data_are_text(client: Client, place: Path) -> None:
    _, headers, body = client.get(f"/{client.token}/api/store")
    assert headers["content-type"] == "application/json"
    assert b"\x1b" not in body
    told = json.loads(body)["classes"][0]
    assert told == skeltools.open(place).classes[0]
    assert "<img" in told


def test_answers_are_packed_for_who_takes_it(client: Client) -> None:
    target = f"/{client.token}/api/poses"
    plain = client.get(target)
    packed = client.get(target, Accept_Encoding="gzip, br")
    assert "content-encoding" not in plain[1]
    assert packed[1]["content-encoding"] == "gzip"
    assert gzip.decompress(packed[2]) == plain[2]


# A store that does not stay


def test_a_store_that_is_replaced_is_told_and_opened_again(tmp_path: Path, place: Path, page: Path) -> None:
    path = tmp_path / "s.zarr"
    shutil.copytree(place, path)
    with serving(Browsed(path).answers(), page) as client:
        id = client.ask("rows")[1]["id"][0]
        skeltools.write([make_clip("S001C001P001R001A001")], path, frames=[8], force=True)
        for question in ("rows", f"sample?id={id}", "poses", "findings", "sample?id=nobody"):
            status, told = client.ask(question)
            assert status == 410
            assert told["error"] == "s.zarr: the store was changed or removed. Load the page again"
        assert client.ask("store")[1]["samples"] == 1
        assert client.ask("rows")[1]["id"] == ["S001C001P001R001A001"]


def test_a_store_that_disappears_gets_sentences(tmp_path: Path, place: Path, page: Path, capfd) -> None:
    path = tmp_path / "s.zarr"
    shutil.copytree(place, path)
    with serving(Browsed(path).answers(), page) as client:
        assert client.ask("store")[0] == 200
        shutil.rmtree(path)
        assert client.ask("sample?id=S001C002P001R001A002")[0] == 410
        status, told = client.ask("store")
        assert status == 500
        assert "no such store" in told["error"]
        assert client.ask("sample?id=S001C002P001R001A002")[0] == 410  # of another tab that was open
    assert "Traceback" not in capfd.readouterr().err


def test_a_damaged_store_gets_a_sentence(tmp_path: Path, place: Path, page: Path) -> None:
    path = tmp_path / "s.zarr"
    shutil.copytree(place, path)
    for each in (path / "sequences").rglob("c/*"):
        if each.is_file():
            each.write_bytes(b"\0" * each.stat().st_size)
    with serving(Browsed(path).answers(), page) as client:
        status, told = client.ask("sample?id=S001C002P001R001A002")
        assert status == 500
        assert "s.zarr: damaged store" in told["error"]


def test_an_answer_that_breaks_is_a_sentence(page: Path) -> None:
    def broken(query: server.Query) -> Any:
        raise RuntimeError("secret of the inside")

    with serving({"broken": broken, "nan": lambda query: float("nan")}, page) as client:
        for question in ("broken", "nan"):
            status, told = client.ask(question)
            assert status == 500
            assert "secret" not in told["error"]
            assert "could not be read" in told["error"]


# The command


def test_a_port_that_is_taken_and_a_store_that_is_none(run, place: Path, tmp_path: Path) -> None:
    with server.Server({}) as other:
        code, _, err = run("view", place, "--no-browser", "--port", other.server_port)
    assert code == 2
    assert f"port {other.server_port} cannot be used" in err
    code, _, err = run("view", tmp_path / "none.zarr", "--no-browser")
    assert code == 1
    assert "no such store" in err


def test_the_command_prints_its_address_and_ends_with_ctrl_c(place: Path) -> None:
    command = [*in_the_foreground("skeltools"), "view", str(place), "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running, ended(running):
        assert running.stderr is not None
        url = running.stderr.readline().split()[0]
        with urllib.request.urlopen(f"{url}api/store", timeout=30) as answer:
            assert json.load(answer)["samples"] == 7
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
        assert running.stderr.read() == "closed\n"


def test_a_browser_opens_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(server.Server, "serve_forever", _interrupted)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    server.serve({}, say=said.append)
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    server.serve({}, say=said.append)
    server.serve({}, browser=False, say=said.append)
    assert [f"{opened[0]} (Ctrl-C ends)", "closed"] == said[2:4]
    assert len(opened) == 1


def _interrupted(self: server.Server) -> None:
    raise KeyboardInterrupt
