"""A small device over real HTTP that speaks the agreed JSON and SSE, and that can be cut, restarted and changed.

`python speaker.py ADDRESS PORT` serves one.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PASSWORD = "tobak-mirun-depol"


def line(number: int, text: str, **more: object) -> dict[str, Any]:
    """A line of a log."""
    return {
        "cursor": f"i={number}",
        "time": 1_700_000_000_000_000 + number * 1_000_000,
        "level": 6,
        "text": text,
        "pid": 7,
        "unit": "app-hello.service",
        "source": "hello",
        **more,
    }


@dataclass
class Speaker:
    """The device's state; tests change it."""

    server: ThreadingHTTPServer
    password: str = PASSWORD
    boot: int = 1
    id: str = "0123"
    health: str = "ok"
    reserved: bool = False
    """Whether reading needs the password."""
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    services: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    requests: list[str] = field(default_factory=list[str])
    down: bool = False
    lose_answer: bool = False
    """Whether the next change is made, and its answer lost."""
    cuts: list[int] = field(default_factory=list[int])
    """After how many lines each reader in turn is cut off."""
    changes: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    """What a service becomes, a step at each look, after an order."""

    restart: Callable[[Speaker], None] = field(default=lambda speaker: speaker.come_back())
    """What a restart does."""

    def come_back(self) -> None:
        """Go down, and come up as another boot."""
        time.sleep(0.2)
        self.down = True
        time.sleep(0.6)
        self.boot += 1
        self.down = False

    @property
    def port(self) -> int:
        """Where it answers."""
        return int(self.server.server_address[1])

    @property
    def name(self) -> str:
        """How a user writes it."""
        return f"127.0.0.1:{self.port}"

    def say(self, text: str, **more: object) -> None:
        """Log a line."""
        self.lines.append(line(len(self.lines) + 1, text, **more))


def service(name: str, **more: object) -> dict[str, Any]:
    """A service that runs."""
    return {
        "name": name,
        "unit": f"app-{name}.service",
        "app": True,
        "kind": "python",
        "description": "",
        "state": "running",
        "since_s": 7300.0,
        "restarts": 0,
        "memory": 12 << 20,
        "cpu_s": 1.25,
        "pid": 100,
        "exit": "",
        "last_line": "listening",
        "ports": ["8000/tcp"],
        "start": "boot",
        **more,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    speaker: Speaker

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        """Whatever is read."""
        if self._closed():
            return None
        speaker, path, query = self.speaker, *self._asked()
        if path == "/status":
            return self._answer(200, _status(speaker))
        if speaker.reserved and not self._signed():
            return self._answer(401, {"error": "This needs the device's password."})
        if path == "/update":
            state = {"state": "idle", "boot_id": str(speaker.boot), "running": {"slot": "a", "name": "", "version": ""}}
            return self._answer(200 if self._signed() else 401, state)
        if path == "/services":
            units = [service("ssh", app=False, unit="ssh.service")] if "all" in query else []
            return self._answer(200, {"apps": list(speaker.services.values()), "units": units})
        if path.endswith("/logs"):
            name = path.removesuffix("/logs").removeprefix("/services").strip("/")
            if name and name not in speaker.services:
                return self._unknown(name)
            return self._logs(query)
        name = path.removeprefix("/services/")
        if name not in speaker.services:
            return self._unknown(name)
        if steps := speaker.changes.get(name):
            speaker.services[name] |= steps.pop(0)
        return self._answer(200, speaker.services[name])

    def do_POST(self) -> None:
        """Whatever is changed."""
        if self._closed():
            return None
        speaker, (path, _) = self.speaker, self._asked()
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if not (form.get("old") == [speaker.password] if path == "/password" else self._signed()):
            return self._answer(401, {"error": "That is not this device's password."})
        answer: tuple[int, dict[str, Any]] = (202, {"accepted": path.strip("/")})
        if path == "/reboot":
            threading.Thread(target=speaker.restart, args=(speaker,), daemon=True).start()
        elif path == "/password":
            if len(form.get("new", [""])[0]) < 8:
                return self._answer(422, {"error": "The new password is too short.", "hint": "Take 8 characters."})
            speaker.password = form["new"][0]
        else:
            _, _, name, order = path.split("/")
            if name not in speaker.services:
                return self._unknown(name)
            answer = (202, {"name": name, "state": {"stop": "stopped"}.get(order, "starting")})
        if speaker.lose_answer:
            speaker.lose_answer = False
            self.close_connection = True
            return None
        return self._answer(*answer)

    def _logs(self, query: dict[str, str]) -> None:
        speaker = self.speaker
        if "text/event-stream" not in self.headers.get("Accept", ""):
            place = int(query["before"].removeprefix("i=")) - 1 if "before" in query else len(speaker.lines)
            begin = max(0, place - int(query["lines"]))
            found = speaker.lines[begin:place]
            return self._answer(200, {"lines": found, "more": begin > 0, "before": found[0]["cursor"] if found else ""})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        since = self.headers.get("Last-Event-ID")
        place = int(since.removeprefix("i=")) if since else max(0, len(speaker.lines) - int(query["lines"]))
        sent = 0
        while not speaker.down:
            for one in speaker.lines[place:]:
                self.wfile.write(f"id: {one['cursor']}\r\ndata: {json.dumps(one, ensure_ascii=False)}\n\n".encode())
                place, sent = place + 1, sent + 1
                if speaker.cuts and sent == speaker.cuts[0]:
                    speaker.cuts.pop(0)
                    self.wfile.write(b"id: i=9999\ndata: {")  # a line that is cut off
                    self.close_connection = True
                    return None
            self.wfile.write(b": here\n\n")
            time.sleep(0.02)
        self.close_connection = True
        return None

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        signed = " signed" if "Authorization" in self.headers else ""
        self.speaker.requests.append(f"{self.command} {self.path}{signed}")
        return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}

    def _closed(self) -> bool:
        if self.speaker.down:
            self.close_connection = True
        return self.speaker.down

    def _signed(self) -> bool:
        wanted = base64.b64encode(f"ovenbird:{self.speaker.password}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _unknown(self, name: str) -> None:
        self._answer(404, {"error": f"There is no service {name}."})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _status(speaker: Speaker) -> dict[str, str]:
    return {
        "name": "hello",
        "version": "1.4.0",
        "board": "vm",
        "model": "QEMU Standard PC",
        "slot": "a",
        "health": speaker.health,
        "boot_id": str(speaker.boot),
        "hostname": "oven",
        "id": speaker.id,
    }


def start(address: str = "127.0.0.1", port: int = 0) -> Speaker:
    """A device that answers."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    speaker = Speaker(server, services={"hello": service("hello")})
    Handler.speaker = speaker
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return speaker


if __name__ == "__main__":
    start(sys.argv[1], int(sys.argv[2]))
    threading.Event().wait()
