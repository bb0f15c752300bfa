"""The terminal through the real agent and steward: who gets a shell, who does not, and what the changes say."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.lab import Lab, Maker, lab, wait_for
from tests.terminal import PROTOCOL, Page

from ovenbird_device.terminal import frames
from ovenbird_device.terminal.ended import main as ended
from ovenbird_device.terminal.frames import Size
from ovenbird_device.terminal.opening import Places

from .conftest import PASSWORD, opened
from .test_shell import gone


def ticket(client: httpx.Client, **form: str) -> str:
    answer = client.post("/terminal", data=form)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["path"], told["protocol"]) == ("/terminal/socket", PROTOCOL)
    found: str = told["ticket"]
    return found


@contextmanager
def terminal(device: Lab, given: str | None = None, **headers: str) -> Generator[Page]:
    """An open terminal with a shell that has its size."""
    if given is None:
        with device.client() as client:
            given = ticket(client)
    page = Page(device.port, PROTOCOL, given, **headers)
    try:
        assert page.accepted is True
        page.send(Size(80, 24))
        yield page
    finally:
        page.cut()


@contextmanager
def browser(device: Lab) -> Generator[httpx.Client]:
    """Somebody who is signed in, with what browsers send."""
    with device.client(signed_in=False, headers={"Origin": device.url}) as client:
        assert client.post("/login", data={"password": PASSWORD}).status_code == 303
        yield client


def opened_now(device: Lab) -> int:
    with device.client() as client:
        found: int = client.get("/terminal").json()["open"]
        return found


def test_a_program_gets_a_shell(device: Lab) -> None:
    with terminal(device) as page:
        page.type("echo $((6*7)); stty size; echo shell=$$\r")
        page.until(r"\b42\b")
        page.until("24 80")
        shell = int(page.until(r"shell=(\d+)")[1])
        page.send(Size(120, 40))
        page.type("stty size\r")
        page.until("40 120")
        assert opened_now(device) == 1
    gone(shell)
    wait_for(lambda: opened_now(device) == 0)


def test_off_there_is_nothing(tmp_path: Path, maker: Maker) -> None:
    with lab(tmp_path / "off", maker) as device, device.client() as client:
        assert client.get("/terminal").status_code == 404
        assert client.post("/terminal", data={"password": PASSWORD}).status_code == 404
        assert client.get("/terminal/socket").status_code == 404
        assert "erminal" not in client.get("/", headers={"Accept": "text/html"}).text
        assert "/terminal" not in client.get("/openapi.json").json()["paths"]
        assert Page(device.port, PROTOCOL, "x").accepted is False
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(device.folder / "run/ovenbird/steward.sock"))
            link.sendall(json.dumps({"action": "terminal", "password": PASSWORD}).encode() + b"\n")
            assert json.loads(link.recv(4096))["reason"] == "unknown"


def test_a_session_is_not_enough(device: Lab) -> None:
    with browser(device) as client:
        assert client.get("/terminal").json() == {"user": "tester", "open": 0, "most": 2}
        assert client.post("/terminal").status_code == 401
        assert client.post("/terminal", data={"password": "wrong one"}).status_code == 401
        given = ticket(client, password=PASSWORD)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        with terminal(device, given, Cookie=cookie, Origin=device.url) as page:
            page.type("echo $((6*7))\r")
            page.until(r"\b42\b")
            client.post("/logout")
            assert page.until_closed() == (1008, "You are signed out.")


def test_without_anything(device: Lab) -> None:
    with device.client(signed_in=False) as client:
        assert client.post("/terminal", data={"password": PASSWORD}).status_code == 401
        page = client.get("/terminal", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=/terminal")
        other = client.post("/terminal", data={"password": PASSWORD}, headers={"Origin": "http://evil.example"})
        assert other.status_code == 403
    with browser(device) as client:
        told = client.post("/terminal", data={"password": PASSWORD}, headers={"Accept": "text/html"})
        assert (told.status_code, "needs JavaScript" in told.text) == (400, True)
    assert opened_now(device) == 0


@pytest.mark.parametrize("protocols", [(), (PROTOCOL,), (PROTOCOL, "guess"), ("guess", PROTOCOL)])
def test_no_ticket(device: Lab, protocols: tuple[str, ...]) -> None:
    assert Page(device.port, *protocols).accepted is False


def test_a_ticket_is_for_once(device: Lab) -> None:
    with device.client() as client:
        given = ticket(client)
    with terminal(device, given) as page:
        assert Page(device.port, PROTOCOL, given).accepted is False
        page.type("echo $((6*7))\r")
        page.until(r"\b42\b")


def test_a_ticket_is_for_its_own_session(device: Lab) -> None:
    """Whoever reads it over somebody's shoulder has no use of it; and it is used up."""
    with browser(device) as client:
        given = ticket(client, password=PASSWORD)
        assert Page(device.port, PROTOCOL, given, Cookie="ovenbird=stranger").accepted is False
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        assert Page(device.port, PROTOCOL, given, Cookie=cookie, Origin=device.url).accepted is False
    wait_for(lambda: opened_now(device) == 0)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site(device: Lab, headers: dict[str, str]) -> None:
    with device.client() as client:
        given = ticket(client)
    assert Page(device.port, PROTOCOL, given, **headers).accepted is False
    with terminal(device, given) as page:  # it never got there
        page.until(r"\$|#")


def test_two_at_once(device: Lab) -> None:
    with device.client() as client:
        given = [ticket(client), ticket(client)]
        third = client.post("/terminal")
        assert (third.status_code, third.json()["error"]) == (409, "2 terminals are open already.")
    for one in given:
        with terminal(device, one) as page:
            page.until(r"\$|#")
    wait_for(lambda: opened_now(device) == 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff" * 40, 1008),
        (b"", 1008),
        ("echo 1", 1008),
        (b"\x01\x00\x00\x00\x00", 1008),
        (b"\x00" * 5000, 1009),
        (b"\x00" * 100_000, 1009),
    ],
    ids=["binary", "empty", "text", "size", "large", "huge"],
)
def test_hostile_messages(device: Lab, message: bytes | str, code: int) -> None:
    with terminal(device) as page:
        page.type("echo shell=$$\r")
        shell = int(page.until(r"shell=(\d+)")[1])
        page.send(message)
        assert page.until_closed()[0] == code
    gone(shell)
    wait_for(lambda: opened_now(device) == 0)
    with device.client() as client:
        assert client.get("/health").status_code == 200


def test_a_flood_leaves_the_device_usable(device: Lab) -> None:
    """A page that reads nothing, and one that never says it has."""
    with terminal(device) as page, device.client() as client:
        page.type("yes\r")
        page.until("y\r\ny\r\n")
        while len(page.printed) < frames.WINDOW:
            page.hear()
        assert client.get("/health").status_code == 200
        page.send(frames.Seen(frames.WINDOW))
        page.type("\x03echo $((6*7))\r")
        page.until(r"\b42\b")


def test_the_shell_ends(device: Lab) -> None:
    with terminal(device) as page:
        page.type("exit\r")
        assert page.until_closed() == (1000, "The shell has ended.")


def test_nobody_types(tmp_path: Path, maker: Maker) -> None:
    with opened(tmp_path / "device", maker, "--idle", "1") as device, terminal(device) as page:
        assert page.until_closed() == (1000, "Nobody typed anything for a while.")


def test_an_agent_that_ends_takes_the_shells_along(device: Lab) -> None:
    with terminal(device) as page:
        page.type("echo shell=$$\r")
        shell = int(page.until(r"shell=(\d+)")[1])
        assert device.agent is not None
        device.agent.kill()
        device.agent.wait(10)
        gone(shell)


def test_another_password_closes_it(device: Lab) -> None:
    with terminal(device) as page, device.client() as client:
        assert client.post("/password", data={"old": PASSWORD, "new": "something else"}).status_code == 200
        assert page.until_closed()[0] == 1008


def test_the_list_of_changes(device: Lab) -> None:
    with device.client() as client:
        with terminal(device, ticket(client)) as page:
            page.type("echo a secret word\r")
            page.until("secret word")
        notes = Places(notes=device.folder / "notes")
        assert [note.name for note in notes.notes.iterdir()] == ["7-1-0"]
        # systemd runs this when all of the unit has ended.
        for _ in range(2):
            assert ended(["7-1-0"], notes, device.state) == 0
        listed = client.get("/changes").json()["changes"]
        assert [(one["by"], one["action"], one["done"]) for one in listed] == [
            ("127.0.0.1", "terminal-end", True),
            ("127.0.0.1", "terminal", True),
        ]
        assert listed[0]["message"] == "It was open for less than a minute."
        assert "secret" not in json.dumps(listed)
        assert PASSWORD not in json.dumps(listed)


def steward(device: Lab, given: str) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(device.folder / "run/ovenbird/steward.sock"))
        link.sendall(json.dumps({"action": "terminal", "password": given}).encode() + b"\n")
        line, numbers, _, _ = socket.recv_fds(link, 4096, 1)
        assert numbers == []
        found: dict[str, object] = json.loads(line)
        return found


def test_the_steward_looks_for_itself(device: Lab) -> None:
    """An agent that was taken over opens no shell without the password, and none of root's at all."""
    assert steward(device, "wrong one")["reason"] == "password"
    for passwd in ("", "tester:x:0:0::/root:/bin/bash\n", "tester:x:1000:1000::/:/usr/sbin/nologin\n"):
        (device.folder / "passwd").write_text(passwd)
        assert steward(device, PASSWORD)["reason"] == "terminal"
    with device.client() as client:
        listed = client.get("/changes").json()["changes"]
    assert [one["done"] for one in listed] == [False] * 4


def test_systemd_starts_none(device: Lab) -> None:
    (device.folder / "terminal.sock").unlink()
    with device.client() as client:
        answer = client.post("/terminal")
        assert (answer.status_code, "cannot be started" in answer.json()["error"]) == (503, True)
    assert opened_now(device) == 0
