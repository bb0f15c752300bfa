"""`ovenbird update` and `ovenbird slots`, as installed, against the real agent and steward.

A thread plays what needs a machine: it restarts the device when the steward orders it, and says what health would say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab import MIB, PASSWORD, Cutting, Lab, Maker, lab, wait_for

Judge = Callable[[Lab], None]


def run(*words: str | Path, password: str | None = PASSWORD) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    environment = {**os.environ, **({"OVENBIRD_PASSWORD": password} if password else {})}
    program = Path(sys.executable).with_name("ovenbird")
    return subprocess.run(
        [program, *map(str, words)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `--json` printed of one device."""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0]


@contextmanager
def life(device: Lab, judge: Judge) -> Generator[None]:
    """Restart the device whenever it wants to, and judge its trials."""
    over = threading.Event()
    trouble: list[BaseException] = []

    def live() -> None:
        try:
            while not over.wait(0.05):
                if "reboot" in device.orders:
                    device.restart()
                    if device.trial:
                        judge(device)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
    assert not trouble, trouble


def commits(device: Lab) -> None:
    device.health("checking", ("agent", "waiting", ""), ("web", "waiting", ""))
    time.sleep(1.2)
    device.health("checking", ("agent", "ok", ""), ("web", "failing", "not yet"))
    time.sleep(1.2)
    device.commit()


def gives_up(device: Lab) -> None:
    device.health("checking", ("web", "failing", "connection refused"))
    time.sleep(1.2)
    device.health("rolling-back", ("web", "failing", "connection refused"), reason="web: connection refused")
    device.give_up("web: connection refused")
    time.sleep(0.8)
    (device.folder / "orders").write_text("reboot\n")


def test_a_good_update(device: Lab, maker: Maker) -> None:
    with life(device, commits):
        done = run("update", device.url, "--bundle", maker.bundle("1.1.0"))
    assert done.returncode == 0, done.stderr
    assert "version 1.1.0 is committed in slot b (upload and write " in done.stdout
    assert "restart" in done.stdout
    assert "trial" in done.stdout
    slots = run("slots", device.url)
    assert slots.stdout.splitlines()[1].split() == ["slot", "b", "hello", "1.1.0", "running,", "active,", "proved"]


def test_a_rollback_has_its_reason_and_its_exit_code(device: Lab, maker: Maker) -> None:
    with life(device, gives_up):
        done = run("update", device.url, "--bundle", maker.bundle("1.1.0"))
    assert done.returncode == 1, done.stderr
    assert "version 1.1.0 was rolled back: web: connection refused" in done.stdout
    assert f"{device.url}/update/log" in done.stdout
    again = run("update", device.url, "--bundle", maker.bundle("1.1.0"), "--json")
    assert again.returncode == 1
    assert (outcome(again)["state"], outcome(again)["reason"]) == ("refused", "failed-before")
    with life(device, commits):
        forced = run("update", device.url, "--bundle", maker.bundle("1.1.0"), "--force", "--json")
    assert (forced.returncode, outcome(forced)["state"]) == (0, "committed")


def test_a_trial_that_never_comes_up(device: Lab, maker: Maker) -> None:
    """The restart after the trial's: GRUB's tries are used up, and nobody could write down why."""

    def hangs(lab: Lab) -> None:
        for _ in range(3):
            lab.restart()
        lab.health("good")

    with life(device, hangs):
        done = run("update", device.url, "--bundle", maker.bundle("1.1.0"), "--json", "--trial-only")
    assert done.returncode == 1
    assert outcome(done)["state"] == "rolled-back"
    assert "back on slot a" in outcome(done)["message"]


def test_trial_only_and_by_hand(device: Lab, maker: Maker) -> None:
    with life(device, lambda lab: lab.health("waiting", ("agent", "ok", ""))):
        done = run("update", device.url, "--bundle", maker.bundle("1.1.0"), "--trial-only")
    assert done.returncode == 0, done.stderr
    assert "waits to be committed" in done.stdout
    assert "ovenbird slots" in done.stdout
    committed = run("slots", device.url, "commit", "--json")
    assert json.loads(committed.stdout)["active"] == "b"
    with life(device, commits):
        rolled = run("slots", device.url, "rollback", "--reboot")
        assert rolled.returncode == 0, rolled.stderr
        wait_for(lambda: device.slot == "a")


def test_no_wait(device: Lab, maker: Maker) -> None:
    done = run("update", device.url, "--bundle", maker.bundle("1.1.0"), "--no-wait", "--json")
    assert (done.returncode, outcome(done)["state"]) == (0, "armed")


def test_refusals_and_the_network(device: Lab, maker: Maker) -> None:
    older = maker.bundle("0.9.0")
    for words, reason in (
        ((older,), "older"),
        ((maker.bundle("1.1.0", stranger=True),), "signature"),
        ((maker.bundle("1.1.0", board="pc"),), "compatible"),
    ):
        done = run("update", device.url, "--json", "--bundle", *words)
        assert (done.returncode, outcome(done)["state"], outcome(done)["reason"]) == (1, "refused", reason)
    with life(device, commits):
        assert run("update", device.url, "--bundle", older, "--allow-downgrade").returncode == 0
    nobody = run("update", "127.0.0.1:9", "--bundle", older, "--json")
    assert (nobody.returncode, outcome(nobody)["state"]) == (4, "unreachable")
    assert "does not answer" in outcome(nobody)["message"]
    missing = run("update", device.url, "--bundle", "nothing.swu")
    assert (missing.returncode, "there is no such bundle" in missing.stderr) == (2, True)
    twice = run("update", device.url, device.url, "--bundle", older)
    assert (twice.returncode, "named twice" in twice.stderr) == (2, True)


def test_a_password_is_remembered_once_it_was_taken(device: Lab, maker: Maker, remembered: Path) -> None:
    bundle = maker.bundle("1.1.0")
    none = run("update", device.url, "--bundle", bundle, password=None)
    assert (none.returncode, "wants its password" in none.stdout) == (1, True)
    wrong = run("update", device.url, "--bundle", bundle, password="wrong")
    assert (wrong.returncode, "not this device's password" in wrong.stdout) == (1, True)
    address = f"127.0.0.1:{device.port}"
    wrong = run("update", f"http://ovenbird:wrong@{address}/", "--bundle", bundle, password=None)
    assert wrong.returncode == 1
    assert not remembered.exists()
    right = run("update", f"http://ovenbird:{PASSWORD}@{address}/", "--bundle", bundle, "--no-wait", password=None)
    assert right.returncode == 0, right.stdout
    (file,) = remembered.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("slots", address, "rollback", password=None).returncode == 0


def test_a_connection_that_breaks_twice(device: Lab, maker: Maker) -> None:
    with Cutting(device.port, [2 * MIB, 3 * MIB]) as network, life(device, commits):
        bundle = maker.bundle("1.1.0", size=12 * MIB)
        done = run("update", f"127.0.0.1:{network.port}", "--bundle", bundle, "--json")
        assert network.cuts == []
    found = outcome(done)
    assert (done.returncode, found["state"]) == (0, "committed"), done.stderr
    assert 1 <= found["resumed"] <= 2  # One that comes before the device has read anything is none.


def test_several_devices_side_by_side(device: Lab, maker: Maker, tmp_path: Path) -> None:
    with lab(tmp_path / "second", maker) as second, life(device, commits), life(second, gives_up):
        done = run("update", device.url, second.url, "--bundle", maker.bundle("1.1.0"))
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("127.0.0.1:")]
    assert "is committed" in lines[0]
    assert "was rolled back" in lines[1]
    assert f"127.0.0.1:{second.port}: trial" in done.stderr
