"""The small shell scripts that units call, run as they are, with their folders elsewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ovenbird.build.apps import step

SCRIPTS = Path(step.__file__).parent


def run(name: str, *words: str, places: dict[str, Path], path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script with other folders in the place of the device's."""
    text = (SCRIPTS / name).read_text()
    for place, other in places.items():
        assert place in text
        text = text.replace(place, str(other))
    environment = {"PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    command = ["sh", "-c", text, name, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A folder for programs that note how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_state_is_made_once_and_kept(tmp_path: Path) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for _ in range(2):
        ended = run("app-state", "hello", user, places={"/data/apps": tmp_path / "apps"})
        assert (ended.returncode, ended.stderr) == (0, "")
    folder = tmp_path / "apps/hello"
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "kept").write_text("x")
    assert run("app-state", "hello", user, places={"/data/apps": tmp_path / "apps"}).returncode == 0
    assert (folder / "kept").read_text() == "x"


def test_the_state_changes_hands_with_the_user_s_number(tmp_path: Path, fake: Path) -> None:
    program(fake, "id", "echo 4711")
    program(fake, "chown", f'echo "$@" >>{tmp_path}/said')
    (tmp_path / "apps/hello/inner").mkdir(parents=True)
    (tmp_path / "apps/hello/inner/file").write_text("x")
    (tmp_path / "apps/hello/link").symlink_to("/etc/passwd")
    assert run("app-state", "hello", "app-hello", places={"/data/apps": tmp_path / "apps"}, path=fake).returncode == 0
    inside, last = (tmp_path / "said").read_text().splitlines()
    assert inside.startswith("-h 4711:4711 ")
    assert {Path(word).name for word in inside.split()[2:]} == {"inner", "file", "link"}
    assert last == f"4711:4711 {tmp_path}/apps/hello", "the folder itself must come last"


def test_a_user_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = run("app-state", "hello", "no-such-user", places={"/data/apps": tmp_path / "apps"})
    assert ended.returncode != 0
    assert "no-such-user" in ended.stderr


def clock(folder: Path, *words: str, synchronized: bool = False, kept: str = "0") -> subprocess.CompletedProcess[str]:
    """Run a program by app-clock, on a device with such a clock; `bin` in the folder has its other programs."""
    note, clocks = folder / "synchronized", folder / "rtc"
    (clocks / "rtc0").mkdir(parents=True)
    (clocks / "rtc0/hctosys").write_text(f"{kept}\n")
    if synchronized:
        note.touch()
    places = {"/run/systemd/timesync/synchronized": note, "/sys/class/rtc": clocks}
    return run("app-clock", *words, places=places, path=folder / "bin")


def test_the_program_starts_when_the_clock_is_right(tmp_path: Path, fake: Path) -> None:
    program(fake, "timedatectl", "echo no")
    assert clock(tmp_path, "printf", "%s|", "a b", "$c", synchronized=True).stdout == "a b|$c|"


def test_a_clock_with_a_battery_counts(tmp_path: Path, fake: Path) -> None:
    program(fake, "timedatectl", "echo no")
    assert clock(tmp_path, "echo", "started", kept="1").stdout == "started\n"


def test_the_program_waits_for_the_clock(tmp_path: Path, fake: Path) -> None:
    program(fake, "timedatectl", f"echo asked >>{tmp_path}/said; echo no")
    program(
        fake,
        "sleep",
        f"echo >>{tmp_path}/slept; [ $(wc -l <{tmp_path}/slept) -lt 30 ] || touch {tmp_path}/synchronized",
    )
    assert clock(tmp_path, "echo", "started").stdout == "waiting for the right time\nstarted\n"
    assert (tmp_path / "said").read_text().count("asked") == 2, "it costs a service each time"


def test_another_keeper_of_the_clock_counts(tmp_path: Path, fake: Path) -> None:
    program(fake, "timedatectl", "echo yes")
    assert clock(tmp_path, "echo", "started").stdout == "started\n"


def test_an_image_is_put_into_storage_once(tmp_path: Path, fake: Path) -> None:
    said = tmp_path / "said"
    program(
        fake,
        "podman",
        f'echo "$@" >>{said}\n'
        'case "$1 $2" in\n'
        '    "image exists") exit 1 ;;\n'
        '    "pull --quiet") echo abc123 ;;\n'
        '    "images --noheading") echo localhost/ovenbird/web:new; echo localhost/ovenbird/web:old ;;\n'
        "esac",
    )
    ended = run("app-image", "web", "localhost/ovenbird/web:new", places={}, path=fake)
    assert (ended.returncode, ended.stderr) == (0, "")
    calls = said.read_text().splitlines()
    assert calls[1:3] == ["pull --quiet oci:/usr/lib/ovenbird-apps/web/image", "tag abc123 localhost/ovenbird/web:new"]
    assert [call for call in calls if call.startswith("untag")] == ["untag localhost/ovenbird/web:old"]
    said.unlink()
    program(fake, "podman", f'echo "$@" >>{said}')
    assert run("app-image", "web", "localhost/ovenbird/web:new", places={}, path=fake).returncode == 0
    assert said.read_text() == "image exists localhost/ovenbird/web:new\n"
