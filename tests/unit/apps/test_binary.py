"""Finished programs: files, and files from an address with a digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ovenbird.build.apps import step
from ovenbird.errors import NetworkError, OvenbirdError, RecipeError

from .conftest import AMD64, ARM64, Load, Make, Write

SCRIPT = b"#!/bin/sh\necho hello\n"


def elf(machine: int) -> bytes:
    """The head of an ELF program for a processor."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + bytes(44)


@pytest.fixture
def server() -> Iterator[str]:
    """A server that has `/tool` and nothing else; it counts what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/tool" else 404)
            self.end_headers()
            self.wfile.write(SCRIPT)

        def log_message(self, format: str, *args: object) -> None: ...

    asked.clear()
    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


asked: list[str] = []


def test_a_file_becomes_a_program(read: Load, make: Make, write: Write) -> None:
    write("tool", elf(62))
    write("more/a.txt", "a")
    write("page.conf", "b")
    text = "[[app]]\nname='a'\nbinary='tool'\nfiles={ 'share' = 'more', '/etc/page.conf' = 'page.conf' }\n"
    [app] = read(text).recipe.app
    folder = make(app)
    assert (folder / "program/a").stat().st_mode & 0o777 == 0o755
    assert (folder / "program/share/a.txt").read_text() == "a"
    assert (folder / "files/etc/page.conf").read_text() == "b"
    assert step.KINDS["binary"].command(app) == ("/usr/lib/ovenbird-apps/a/a",)
    inputs = step.app_inputs(app, AMD64)
    assert {"file binary", "file share/a.txt", "file /etc/page.conf"} <= set(inputs)
    write("tool", elf(62) + b"x")
    assert step.app_inputs(app, AMD64) != inputs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (elf(183), "is a program for arm64, but the board's architecture is amd64"),
        (elf(9999), "ELF machine 9999"),
        (b"PK\x03\x04 an archive", "neither an ELF file nor a script"),
        (b"", "neither an ELF file nor a script"),
    ],
)
def test_what_the_device_cannot_run(read: Load, make: Make, write: Write, content: bytes, message: str) -> None:
    write("tool", content)
    [app] = read("[[app]]\nname='a'\nbinary='tool'\n").recipe.app
    with pytest.raises(RecipeError) as caught:
        make(app)
    assert message in caught.value.message
    assert caught.value.where
    assert caught.value.where.endswith("/tool")


def test_a_foreign_program_is_right_on_its_own_board(read: Load, make: Make, write: Write) -> None:
    write("tool", elf(183))
    [app] = read("[[app]]\nname='a'\nbinary='tool'\n").recipe.app
    assert (make(app, ARM64) / "program/a").is_file()


def test_an_address_is_fetched_once(read: Load, make: Make, server: str) -> None:
    digest = hashlib.sha256(SCRIPT).hexdigest()
    [app] = read(f"[[app]]\nname='a'\nbinary='{server}/tool'\nsha256='{digest}'\n").recipe.app
    assert (make(app) / "program/a").read_bytes() == SCRIPT
    assert (make(app) / "program/a").read_bytes() == SCRIPT
    assert asked == ["/tool"]
    assert step.app_inputs(app, AMD64)["file binary"] == digest


@pytest.mark.parametrize(
    ("path", "message"), [("tool", "what is there has the sha256"), ("nothing", "the server answers 404")]
)
def test_an_address_with_something_else(read: Load, make: Make, server: str, path: str, message: str) -> None:
    [app] = read(f"[[app]]\nname='a'\nbinary='{server}/{path}'\nsha256='{'0' * 64}'\n").recipe.app
    for _ in range(2):  # Nothing of the wrong file is kept.
        with pytest.raises(NetworkError) as caught:
            make(app)
        assert message in caught.value.message
        assert caught.value.where == f"{server}/{path}"


def test_a_server_that_is_not_there(read: Load, make: Make) -> None:
    [app] = read(f"[[app]]\nname='a'\nbinary='http://127.0.0.1:1/x'\nsha256='{'0' * 64}'\n").recipe.app
    with pytest.raises(OvenbirdError, match="cannot be fetched"):
        make(app)
