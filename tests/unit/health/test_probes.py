"""Every kind of check against something real: programs, sockets, a web server; and programs that do not behave."""

from __future__ import annotations

import asyncio
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovenbird_device.format.settings import Check as Setting
from ovenbird_device.health import probes
from ovenbird_device.health.check import Check, Look, run_program
from ovenbird_device.health.watch import Watch


def look(check: Check) -> Look:
    return asyncio.run(check.look())


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:  # The library's name.
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (399, True), (404, False), (503, False)])
def test_http(port: int, status: int, ok: bool) -> None:
    address = f"http://127.0.0.1:{port}/{status}"
    assert look(probes.Http("x", address)) == Look(ok, f"{address} answers with {status}")
    assert look(probes.Http("x", address, any_status=True)).ok


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_nobody_listens() -> None:
    port = free_port()
    assert not look(probes.Http("x", f"http://127.0.0.1:{port}/")).ok
    found = look(probes.Tcp("x", f"127.0.0.1:{port}"))
    assert not found.ok
    assert "refused" in found.detail.lower()


def test_tcp(port: int) -> None:
    assert look(probes.Tcp("x", f"127.0.0.1:{port}")).ok
    assert look(probes.Tcp("x", f"localhost:{port}")).ok


def test_what_is_no_web_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-hello\r\n")

        threading.Thread(target=greet, daemon=True).start()
        found = look(probes.Http("x", f"http://127.0.0.1:{listener.getsockname()[1]}/"))
    assert not found.ok
    assert found.detail.endswith("does not answer as a web server")


@pytest.mark.parametrize(
    ("script", "ok", "detail"),
    [
        ("true", True, ""),
        ("echo all is well", True, "all is well"),
        ("echo one; echo two >&2; exit 3", False, "ended with 3: two"),
        ("kill -TERM $$", False, "was killed by signal 15"),
        ("no-such-program-at-all", False, "ended with 127"),
        ("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end", True, "the end"),
        ("sleep 1000 & echo left one behind", True, "left one behind"),
    ],
)
def test_commands(script: str, ok: bool, detail: str) -> None:
    found = look(probes.Program("x", ("/bin/sh", "-c", script)))
    assert found.ok is ok
    assert found.detail.startswith(detail)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        look(probes.Program("x", ("/no/such/program",)))


def test_a_look_that_never_ends_is_cut_off_with_all_its_processes(tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ >{tmp_path}/first; sleep 987 & echo $! >{tmp_path}/second; wait"

    async def watched() -> tuple[bool, str]:
        watch = Watch([probes.Program("stuck", ("/bin/sh", "-c", script), timeout_s=1.0)], hold=0)
        with watch.running():
            settled = await watch.settled(time.monotonic() + 2.5)
            return settled, watch.complaint()

    settled, complaint = asyncio.run(watched())
    assert not settled
    assert complaint == "stuck: took longer than 1 s"
    for name in ("first", "second"):
        process = int((tmp_path / name).read_text())
        deadline = time.monotonic() + 5
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(process)


def alive(process: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_cancelling_kills() -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_program(("sleep", "765")), 0.5)

    asyncio.run(cancelled())
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 765" not in listed.splitlines()


def test_each_kind_of_the_recipe() -> None:
    settings = [
        Setting("a", command="true", timeout_s=7, every_s=9),
        Setting("b", http="http://localhost/"),
        Setting("c", tcp="localhost:1"),
        Setting("d", unit="x.service"),
        Setting("e", container="web"),
        Setting("f"),
    ]
    found = probes.from_recipe(settings)
    kinds: list[type] = [probes.Program, probes.Http, probes.Tcp, probes.Unit, probes.Container, probes.Broken]
    assert [type(check) for check in found] == kinds
    assert [check.name for check in found] == list("abcdef")
    assert {check.kind for check in found} == {"recipe"}
    assert (found[0].timeout_s, found[0].every_s) == (7, 9)
    assert not look(found[-1]).ok


def test_programs_of_a_folder(tmp_path: Path) -> None:
    for name, mode in (("20-second", 0o755), ("10-first", 0o755), ("README", 0o644), (".hidden", 0o755)):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()
    found = probes.from_folder(tmp_path)
    assert [check.name for check in found] == ["10-first", "20-second"]
    assert all(look(check).ok for check in found)
    assert probes.from_folder(tmp_path / "none") == []


def test_podman_is_asked_rightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that prints what podman prints for these words (podman-container-inspect(1))."""
    program = tmp_path / "podman"
    program.write_text('#!/bin/sh\n[ "$6" = web ] && echo "$STATE" || { echo "no such container" >&2; exit 125; }\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for state, ok in (("running ", True), ("running healthy", True), ("running starting", False), ("exited ", False)):
        monkeypatch.setenv("STATE", state)
        assert look(probes.Container("x", "web")).ok is ok
    assert look(probes.Container("x", "other")) == Look(False, "no such container")
