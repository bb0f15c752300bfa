"""`[page] terminal`: what it may be, and what it puts into an image."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.recipe.conftest import IMAGE, Write, Wrong, write, wrong

from ovenbird.build import terminal
from ovenbird.recipe.load import load
from ovenbird.recipe.model import Recipe
from ovenbird.run import CommandError, Completed
from ovenbird_device.format import FormatError
from ovenbird_device.format import terminal as said
from ovenbird_device.terminal.opening import MOST

__all__ = ["write", "wrong"]
OPEN = IMAGE + "[page]\nterminal = 'anna'\n"


def recipe(write: Write, text: str) -> Recipe:
    return load(write(text)).recipe


def test_off_there_is_nothing_in_the_image(write: Write) -> None:
    plain = recipe(write, IMAGE)
    assert plain.page.terminal is None
    assert terminal.terminal_files(plain) == {}
    assert terminal.instructions(plain) == ""


def test_on_it_is_the_user_s(write: Write, tmp_path: Path) -> None:
    files = terminal.terminal_files(recipe(write, OPEN))
    assert said.load(files["usr/lib/ovenbird/terminal.json"].encode()) == said.Terminal("anna")
    service = files["usr/lib/systemd/system/ovenbird-terminal@.service"]
    assert "\nUser=anna\n" in service
    assert "@USER@" not in service
    assert f"\nMaxConnections={2 * MOST}\n" in files["usr/lib/systemd/system/ovenbird-terminal.socket"]
    for name in terminal.UNITS:
        (tmp_path / name).write_text(files[f"usr/lib/systemd/system/{name}"])
    paths = [str(tmp_path / name.replace("@.", "@1.")) for name in terminal.UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    # Whether the user exists is a matter of the image.
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "nknown" in line] == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'root'", "root has no password and no shell on the page"),
        ("'Anna'", '"Anna" is no name of a user'),
        ("'anna; reboot'", "is no name of a user"),
        ("''", "is no name of a user"),
        ("true", "terminal"),
    ],
)
def test_no_user(wrong: Wrong, value: str, message: str) -> None:
    [problem] = wrong(IMAGE + f"[page]\nterminal = {value}\n")
    assert message in problem.message


@pytest.mark.parametrize(
    ("passwd", "complaint"),
    [
        ("anna:x:1000:1000::/home/anna:/bin/bash\n", ""),
        ("ben:x:1000:1000::/home/ben:/bin/bash\n", 'there is no user "anna" in the image'),
        ("anna:x:999:999::/home/anna:/bin/bash\n", 'nobody can log in as the user "anna" in the image'),
        ("anna:x:0:0::/root:/bin/bash\n", 'nobody can log in as the user "anna" in the image'),
        ("anna:x:1000:1000::/home/anna:/usr/sbin/nologin\n", 'nobody can log in as the user "anna" in the image'),
        ("anna:x:1000:1000::/home/anna:\n", 'nobody can log in as the user "anna" in the image'),
    ],
)
def test_the_build_looks_whether_it_can_log_in(write: Write, tmp_path: Path, passwd: str, complaint: str) -> None:
    """The instructions in a real shell; the image's accounts are in a file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "passwd").write_text(passwd)
    for name, script in {
        "getent": f'grep "^$2:" {tmp_path}/passwd',
        "id": f'grep "^$2:" {tmp_path}/passwd | cut -d: -f3',
        "systemctl": f'echo "$@" >>{tmp_path}/orders',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    command = ["sh", "-c", terminal.instructions(recipe(write, OPEN)).removeprefix("RUN ")]
    done = subprocess.run(command, env={"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not complaint)
    assert (tmp_path / "orders").exists() == (not complaint)
    found = terminal.complaint(CommandError(Completed(tuple(command), 1, done.stdout, done.stderr), None))
    assert (found.message if found else "") == complaint


def test_what_the_device_reads(tmp_path: Path) -> None:
    assert said.read(tmp_path / "none") is None
    (tmp_path / "terminal.json").write_text('{"user": 5}')
    assert said.read(tmp_path / "terminal.json") is None
    with pytest.raises(FormatError, match=r"terminal\.json"):
        said.load(b"{}")
