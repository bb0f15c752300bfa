"""The library for programs, run as programs run it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import ovenbird_device
from ovenbird_device import app

PACKAGES = Path(ovenbird_device.__file__).parents[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter that has nothing but the standard library."""
    command = [sys.executable, "-S", "-P", *arguments]
    own = {"PYTHONPATH": str(PACKAGES), "PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=60)


def test_it_needs_nothing_but_the_standard_library() -> None:
    done = run("-c", "from ovenbird_device import app; print(app.is_private('10.1.2.3'), app.model() != '')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


def test_the_commands() -> None:
    for words, code in ((["is-private", "192.168.1.1"], 0), (["is-private", "8.8.8.8"], 1), (["model"], 0)):
        assert run("-m", "ovenbird_device.app", *words).returncode == code
    assert run("-m", "ovenbird_device.app", "private-addresses").returncode == 0
    assert run("-m", "ovenbird_device.app", "make-coffee").returncode == 2


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("169.254.3.4", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("2001:db8::1", False),
        ("::ffff:192.168.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("hello", False),
        ("", False),
    ],
)
def test_private_addresses(address: str, private: bool) -> None:
    assert app.is_private(address) is private


def test_the_clock(tmp_path: Path) -> None:
    """A synchronized clock, and one with a battery; a machine with neither is only as good as its kernel says."""
    (tmp_path / "synchronized").touch()
    assert app.clock_is_set(tmp_path / "synchronized", tmp_path)
    clock = tmp_path / "class/rtc/rtc0"
    clock.mkdir(parents=True)
    (clock / "hctosys").write_text("1\n")
    assert app.clock_is_set(tmp_path / "none", tmp_path)


def test_waiting_tells_whether_the_clock_is_set() -> None:
    """Whatever this machine's clock is, waiting and asking agree."""
    known = app.clock_is_set()
    assert app.wait_for_clock(0.0) is known
    done = run("-m", "ovenbird_device.app", "wait-for-clock", "--timeout", "0.1")
    assert done.returncode == (0 if known else 1)


def test_not_at_boot_but_by_hand(tmp_path: Path) -> None:
    program = "from ovenbird_device import app; app.dont_start_on_boot(); print('runs')"
    first = run("-c", program, OVENBIRD_STATE=str(tmp_path))
    assert (first.returncode, first.stdout) == (125, "")
    second = run("-c", program, OVENBIRD_STATE=str(tmp_path))
    assert (second.returncode, second.stdout) == (0, "runs\n")
    boot = tmp_path / "proc/sys/kernel/random"
    boot.mkdir(parents=True)
    (boot / "boot_id").write_text("another boot\n")
    with pytest.raises(SystemExit) as ended:
        app.dont_start_on_boot(tmp_path, tmp_path / "proc")
    assert ended.value.code == 125


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        program = "from ovenbird_device import app; app.notify_ready()"
        assert run("-c", program, NOTIFY_SOCKET=str(tmp_path / "notify")).returncode == 0
        listener.settimeout(5)
        assert listener.recv(100) == b"READY=1"
    assert run("-c", program).returncode == 0
