"""A small HTTP server with ranges for tests, which can be told to misbehave; what it was asked is kept."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """What is sent: `status`, of the content the first `cut` bytes (None: all), and `length` as the headers have it."""

    content: bytes = b""
    status: int = 200
    cut: int | None = None
    length: int | None = None


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    range: str
    sent: int = 0


@dataclass
class Site:
    """Answers by path: the next of a list, and the last one for ever. HEAD takes nothing from the lists."""

    answers: Mapping[str, list[Answer]]
    asked: list[Asked] = field(default_factory=list[Asked])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, *, take: bool) -> Answer:
        """What to say to a request for `path`."""
        with self.lock:
            answers = self.answers.get(path)
            if not answers:
                return Answer(status=404)
            return answers.pop(0) if take and len(answers) > 1 else answers[0]

    def of(self, path: str, method: str = "GET") -> list[Asked]:
        """The requests for one path."""
        return [one for one in self.asked if (one.method, one.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]  # what socketserver hands over

    def do_HEAD(self) -> None:
        self._send(body=False)

    def do_GET(self) -> None:
        self._send(body=True)

    def _send(self, *, body: bool) -> None:
        answer = self.site.answer(self.path, take=body)
        wanted = self.headers.get("Range", "")
        asked = Asked(self.command, self.path, wanted)
        self.site.asked.append(asked)
        content, status = answer.content, answer.status
        if (match := re.fullmatch(r"bytes=(\d+)-", wanted)) and status == 200:
            begin = int(match[1])
            status = 206 if begin < len(content) else 416
            self.send_response(status)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            content = content[begin:]
        else:
            self.send_response(status)
        self.send_header("Content-Length", str(len(content) if answer.length is None else answer.length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if body:
            sent = content if answer.cut is None else content[: answer.cut]
            asked.sent = len(sent)
            with suppress(ConnectionError):  # whoever asked has had enough
                self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at `asked`."""


@contextmanager
def serving(
    answers: Mapping[str, list[Answer]], *, port: int = 0, certificate: Path | None = None
) -> Generator[tuple[int, Site, Callable[[], None]]]:
    """Serve on a port of the loopback address; gives port, site, and what ends it before its time.

    With `certificate` (a PEM with its key) it speaks TLS.
    """
    site = Site(answers)
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, site))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    try:
        yield server.server_address[1], site, stop
    finally:
        if thread.is_alive():
            stop()
