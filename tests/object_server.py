"""An S3 server on 127.0.0.1, moto's, that fails when it is told to, and a web server of files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
DROPPED = "dropped"


@dataclass
class Server:
    """Requests are answered by moto, but for those that meet a fault."""

    application: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    faults: dict[str, list[int | str]] = field(default_factory=dict)
    """Part of ``METHOD path`` -> how the next requests with it fail: a status, or DROPPED in the middle."""
    asked: list[str] = field(default_factory=list)
    """``METHOD path`` of every request."""
    ranges: list[str] = field(default_factory=list)
    at_once: int = 0
    """The most requests at a time."""
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        request = f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}"
        with self._lock:
            self.asked.append(request)
            self.ranges += [environment["HTTP_RANGE"]] if "HTTP_RANGE" in environment else []
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            fault = next((how.pop(0) for part, how in self.faults.items() if part in request and how), None)
        try:
            return self._answer(fault, environment, start)
        finally:
            with self._lock:
                self._now -= 1

    def _answer(self, fault: int | str | None, environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        if isinstance(fault, int):
            start(f"{fault} as told", [("Content-Type", "text/xml")])
            return [b"<Error><Code>AsTold</Code></Error>"]
        body = b"".join(self.application(environment, start))
        return _half(body) if fault == DROPPED else [body]

    def forget(self) -> None:
        self.faults.clear()
        self.asked.clear()
        self.ranges.clear()
        self.at_once = 0

    def names(self) -> set[str]:
        """What lies in the bucket."""
        from schemas import objects
        from schemas.places import Place

        return set(objects.connect(Place(f"s3://{BUCKET}")).list())


def _half(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionResetError


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any, **named: Any) -> None:
        pass


@contextmanager
def s3_server() -> Iterator[Server]:
    """With a bucket; the environment names the server and credentials for it."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = Server()
    made = make_server("127.0.0.1", 0, server, threaded=True, request_handler=_Quiet)
    with _running(made) as port, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        with urlopen(Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")):
            yield server


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Its address."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: _Files(*given, directory=str(folder)))
    with _running(made) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(server: Any) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
