"""The URL `/dev` with a real agent and a real steward."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from tests.unit.dev.conftest import UNIT, Bench, archive
from tests.unit.device.conftest import wait_for

from ovenbird_device.dev import session

PROGRAM = archive(("main.py", b"print('new')"), ("lib/x.py", b""))
HELLO = {"app": "hello"}


def send(client: httpx.Client, data: bytes = PROGRAM, app: str = "hello") -> httpx.Response:
    return client.post("/dev", params={"app": app}, content=data)


def places(bench: Bench) -> session.Places:
    return session.Places(bench.folder / "apps.json", bench.folder / "state", bench.folder / "units.d")


def test_a_program_in_place_of_the_packed_one_and_back(bench: Bench) -> None:
    with bench.client() as client:
        answer = send(client)
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"app": "hello", "entries": 3, "size": 12}
        (program,) = (Path(one) for one in bench.programs)
        assert program.parent == bench.folder / "state/dev/hello"
        assert (program / "main.py").read_text() == "print('new')"
        assert (program / "ovenbird_device").readlink() == Path("/usr/lib/ovenbird/ovenbird_device")
        assert f"BindReadOnlyPaths={program.parent}/now:/usr/lib/ovenbird-apps/hello\n" in bench.drop_in.read_text()
        assert bench.orders[:2] == ["daemon-reload", "restart -- ovenbird-dev@hello.timer"]
        assert bench.orders[-1] == f"restart -- {UNIT}"
        assert send(client, archive(("main.py", b"print('newer')"))).status_code == 202
        assert (Path(bench.programs[-1]) / "main.py").read_text() == "print('newer')"
        assert bench.orders.count("daemon-reload") == 1
        assert client.delete("/dev", params=HELLO).status_code == 202
    assert bench.programs[-1] == "packed"
    assert not bench.drop_in.exists()
    assert not (bench.folder / "state/dev/hello").exists()
    assert "stop -- ovenbird-dev@hello.timer" in bench.orders


def test_who_ran_another_program_is_on_the_list_of_changes(bench: Bench) -> None:
    with bench.client() as client:
        send(client)
        send(client, app="packed")
        for _ in range(2):  # the one who worked on it, and the agent when the connection is gone
            assert client.delete("/dev", params=HELLO).status_code == 202
        told = [(one["by"], one["what"], one["done"]) for one in client.get("/changes").json()["changes"]]
    assert told == [
        ("127.0.0.1", "Put the packed program of hello back", True),
        ("127.0.0.1", "Run another program in place of packed", False),
        ("127.0.0.1", "Run another program in place of hello", True),
    ]


def test_only_the_last_programs_are_kept(bench: Bench) -> None:
    with bench.client() as client:
        for number in range(5):
            assert send(client, archive(("main.py", str(number).encode()))).status_code == 202
    kept = [one.name for one in (bench.folder / "state/dev/hello").iterdir() if not one.is_symlink()]
    assert len(kept) == 2
    assert Path(bench.programs[-1]).name in kept


def test_an_app_that_did_not_run_does_not_run_afterwards(bench: Bench) -> None:
    bench.unit(UNIT, ActiveState="inactive", SubState="dead")
    with bench.client() as client:
        send(client)
        send(client)
        client.delete("/dev", params=HELLO)
    assert bench.orders[-1] == f"stop -- {UNIT}"


def test_without_the_password(bench: Bench) -> None:
    with bench.device.client() as client:
        assert send(client).status_code == 401
        assert client.get("/dev", params=HELLO).status_code == 401
        assert client.delete("/dev", params=HELLO).status_code == 401
        foreign = {"Origin": "http://evil.example"}
        assert client.post("/dev", params=HELLO, content=PROGRAM, headers=foreign).status_code == 403
    assert bench.programs == []


@pytest.mark.parametrize(
    ("app", "status", "words"),
    [
        ("packed", 403, "development = true"),
        ("box", 403, "container"),
        ("mighty", 403, "root"),
        ("nosuch", 404, "no such app"),
        ("../etc", 404, "no such app"),
    ],
)
def test_what_the_image_does_not_allow(bench: Bench, app: str, status: int, words: str) -> None:
    with bench.client() as client:
        answer = send(client, app=app)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]
        large = send(client, archive(("main.py", b"x" * 3_000_000)), app=app)
        assert large.status_code == status
    assert bench.orders == []
    assert not (bench.folder / "state/dev").exists()


def test_a_program_that_cannot_be_taken_changes_nothing(bench: Bench) -> None:
    with bench.client() as client:
        send(client)
        before = bench.drop_in.read_text(), bench.programs
        bad = send(client, archive(("main.py", b"x"), ("../out", b"y")))
        assert bad.status_code == 400
        assert "no path inside" in bad.json()["error"]
        assert send(client, PROGRAM[:700]).status_code == 400
        assert send(client, b"").status_code == 400
        assert send(client, b"no tar" * 500).status_code == 400
        assert (bench.drop_in.read_text(), bench.programs) == before
    assert len([one for one in (bench.folder / "state/dev/hello").iterdir() if not one.is_symlink()]) == 1


def test_a_holder_that_goes_away_ends_it(bench: Bench) -> None:
    with bench.client() as client:
        assert client.get("/dev", params=HELLO).status_code == 404
        send(client)
        with client.stream("GET", "/dev", params=HELLO) as answer:
            assert answer.status_code == 200
            assert next(answer.iter_bytes()).startswith(b": held")
        with client.stream("GET", "/dev", params=HELLO) as again:
            assert again.status_code == 200
            time.sleep(12)  # longer than what the first one had left
            assert bench.drop_in.exists()
    wait_for(lambda: bench.programs[-1] == "packed", 30)
    assert not bench.drop_in.exists()


def test_the_lease_alone_ends_it(bench: Bench) -> None:
    """What the timer starts, when agent and steward are gone."""
    with bench.client() as client:
        send(client)
    session.end("hello", places(bench))
    assert bench.programs[-1] == "packed"
    assert not bench.drop_in.exists()
    count = len(bench.orders)
    session.end("hello", places(bench))
    assert bench.orders[count:] == ["stop -- ovenbird-dev@hello.timer"]
    with pytest.raises(session.DevError) as caught:
        session.keep("hello", places(bench))
    assert caught.value.reason == "over"


def test_a_device_that_cannot_start_it_has_the_packed_one(bench: Bench) -> None:
    (bench.folder / "units/ovenbird-dev@hello.timer").unlink()
    with bench.client() as client:
        answer = send(client)
    assert answer.status_code == 400
    assert "not found" in answer.json()["error"]
    assert not bench.drop_in.exists()
    assert bench.programs == ["packed"]
