"""The viewer's server: the page's files and the answers to its requests, for browsers on this machine only.

    GET /TOKEN/            the page
    GET /TOKEN/NAME        a file that was in the page's folder when the server started
    GET /TOKEN/api/NAME    an answer, as JSON

Nothing else is served: both are looked up in tables, and request paths never become file paths.
"""

from __future__ import annotations

import gzip
import hmac
import json
import os
import re
import secrets
import socketserver
import sys
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from schemas import SkelError, StoreError, UnknownSampleError, UsageError
from skeltools.pictures import design

Query = Mapping[str, list[str]]
"""Name -> values, decoded."""

Answer = Callable[[Query], Any]
"""Returns values for JSON, or JSON as bytes. Raises SkelError, whose message the page shows."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Suffix -> media type of the page's files."""

PAGE = Path(__file__).with_name("page")
"""Folder of the page's files."""

HOST = "127.0.0.1"
"""Listening address, which other machines cannot reach."""

_LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""Host names that a browser on this machine may use. Any other name indicates DNS rebinding by a foreign
page. Any port is accepted, since ``ssh -L`` may have changed it."""

LONGEST = 8192
"""Most characters of a request's path and query."""

_PACKED_FROM = 4096
"""Number of bytes from which an answer is compressed."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every reply, including errors."""


class StaleError(StoreError):
    """The data that the page shows were changed or removed while the page was open."""


_STATUS = ((StaleError, 410), (UnknownSampleError, 404), (UsageError, 400), (SkelError, 500))


@dataclass(frozen=True)
class Reply:
    """A response to the browser."""

    status: int
    body: bytes
    kind: str = "application/json"


def page_files(folder: Path = PAGE) -> dict[str, Reply]:
    """Name -> file of the page; "" is ``index.html``. Only regular files of known kinds, no symlinks."""
    files = {"design.css": Reply(200, design.css().encode(), KINDS[".css"])}
    for each in sorted(folder.iterdir()):
        if each.suffix in KINDS and each.is_file() and not each.is_symlink():
            files[each.name] = Reply(200, each.read_bytes(), KINDS[each.suffix])
    return {**files, "": files["index.html"]} if "index.html" in files else files


class Server(ThreadingHTTPServer):
    """A server on a local port, unreachable from the network. ``serve_forever`` runs it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: Mapping[str, Answer], *, port: int = 0, page: Path = PAGE) -> None:
        """``answers``: by name; ``port``: 0 chooses a free one. Raises UsageError for a port in use."""
        self.answers = answers
        self.files = page_files(page)
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror or error})",
                remedy="Choose another with --port, or leave it out for a free one",
            ) from error

    def server_bind(self) -> None:
        """Bind without looking up the machine's host name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that close the connection in the middle of an answer."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Address of the page. Its token of 192 random bits grants access."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def reply(self, target: str) -> Reply:
        """The reply to a request's target: path and query as received."""
        if len(target) > LONGEST:
            return refused(414, f"The request is longer than {LONGEST} characters")
        path, _, query = target.partition("?")
        token, slash, name = path.removeprefix("/").partition("/")
        known = slash and hmac.compare_digest(token.encode(), self.token.encode())
        if known and name in self.files:
            return self.files[name]
        answer = self.answers.get(name.removeprefix("api/")) if name.startswith("api/") else None
        return _answered(answer, query) if known and answer else refused(404, "There is no such page")


def refused(status: int, sentence: str) -> Reply:
    """An error in the form that the page expects."""
    return Reply(status, json.dumps({"error": sentence}).encode())


def _answered(answer: Answer, query: str) -> Reply:
    try:
        asked = parse_qs(query, keep_blank_values=True, max_num_fields=256)
    except ValueError:
        return refused(400, "The request asks for too much at once")
    try:
        content = answer(asked)
        body = content if isinstance(content, bytes) else json.dumps(content, allow_nan=False).encode()
        return Reply(200, body)
    except SkelError as error:
        return refused(next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        return refused(
            500, f"This could not be read ({type(error).__name__}): see whether the data are whole"
        )


class _Handler(BaseHTTPRequestHandler):
    """A connection to a browser."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may be idle
    wbufsize = (
        -1
    )  # send head and body together: sent separately, the body waits 40 ms for the head's acknowledgement
    server: Server

    def do_GET(self) -> None:
        if not self._is_local():
            self._send(refused(403, "This page is for the browser of its own machine"), close=True)
        else:
            self._send(self.server.reply(self.path))

    def _is_local(self) -> bool:
        """Whether the request has exactly one Host header, which names this machine."""
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and _LOCAL.fullmatch(hosts[0]) is not None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Report invalid requests and methods other than GET as JSON as well."""
        if code == 501:
            self._send(refused(405, "Only GET is answered"), {"Allow": "GET"}, close=True)
        else:
            self._send(refused(code, "This is no request that a browser sends"), close=True)

    def _send(self, reply: Reply, more: Mapping[str, str] = {}, *, close: bool = False) -> None:
        headers = {**HEADERS, "Content-Type": reply.kind, **more}
        body = reply.body
        if len(body) >= _PACKED_FROM and self._takes_gzip():
            body, headers["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def _takes_gzip(self) -> bool:
        headers = getattr(self, "headers", None)  # missing if the request could not be parsed
        return headers is not None and "gzip" in (headers.get("Accept-Encoding") or "")

    def version_string(self) -> str:
        return "skeltools"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: whoever started the server is looking at the page."""


def serve(
    answers: Mapping[str, Answer], *, port: int = 0, browser: bool = True, say: Callable[[str], None]
) -> None:
    """Serve the page until Ctrl-C. ``say`` receives its address; a browser opens if there is a display.

    Raises UsageError for a port in use.
    """
    with Server(answers, port=port) as server:
        say(f"{server.url} (Ctrl-C ends)")
        if browser and _has_screen():
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("closed")


def _has_screen() -> bool:
    """Whether a browser would open in a window: a text browser would take over the terminal."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
