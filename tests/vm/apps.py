"""What the tests of a device's apps ask it and tell it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ovenbird.vm.network import ADDRESS
from tests.tool import RECIPES, Done, Tool
from tests.vm.guest import PATIENCE, Guest, wait

RECIPE = RECIPES / "apps"
DRAFT = """
[image]
name = "apps"
version = "1.0.0"
board = "vm"

[[app]]
name = "draft"
python = "./draft"
development = true
"""
"""A recipe that knows one app of the device's, to work on it."""


def target(device: Guest) -> str:
    """The device as the tool is told of it."""
    return f"http://ovenbird:{device.password}@{ADDRESS}:{device.machine.port(80)}/"


def order(device: Guest, name: str, verb: str) -> None:
    """Give an order as a program would."""
    answer = device.ask("POST", f"/services/{name}/{verb}", device.password)
    assert answer.status == 202, answer


def service(device: Guest, name: str) -> Any:  # noqa: ANN401  # The device's JSON.
    """What the device says of an app."""
    answer = device.ask("GET", f"/services/{name}", device.password)
    assert answer.status == 200, answer
    return answer.json()


def becomes(device: Guest, name: str, *states: str) -> Any:  # noqa: ANN401  # The device's JSON.
    """Wait until an app is in one of these states; returns what the device says of it then."""

    def there() -> Any:  # noqa: ANN401  # The device's JSON.
        told = service(device, name)
        return told if told["state"] in states else None

    try:
        return wait(there, PATIENCE, 1.0)
    except TimeoutError as error:
        raise AssertionError(f"{name} does not become {states}: {service(device, name)}") from error


def lines(device: Guest, name: str) -> list[str]:
    """What an app itself said (not systemd about it), oldest first."""
    answer = device.ask("GET", f"/services/{name}/logs?lines=1000", device.password)
    assert answer.status == 200, answer
    return [line["text"] for line in answer.json()["lines"] if line["source"] == name]


def properties(device: Guest, unit: str, *names: str) -> dict[str, str]:
    """What systemd itself says of a unit."""
    shown = device.run(f"systemctl show --property={','.join(names)} {unit}")
    return dict(line.split("=", 1) for line in shown.splitlines())


def silent(device: Guest, port: int) -> str | None:
    """What a port answers, or nothing while nobody does."""
    try:
        return device.ask("GET", "/", port=port, timeout=10).text
    except OSError:
        return None


def count_to(number: int, name: str) -> str:
    """A script that writes so many numbered lines to the journal, in the background."""
    loop = f"for i in $(seq 1 {number}); do echo {name} $i; sleep 0.05; done"
    return f"systemd-run --quiet --collect --unit={name} sh -c '{loop}'"


def resident(device: Guest) -> int:
    """Bytes of the agent's resident memory."""
    found = device.run("awk '/^VmRSS/ { print $2 }' /proc/$(systemctl show -P MainPID ovenbird-agent)/status")
    print(f"the agent has {int(found) / 1024:.1f} MiB")
    return 1024 * int(found)


def change(device: Guest, new: str) -> None:
    """Give the device another password, and check what became of the old one and of the file."""
    old = device.password
    assert old is not None
    assert device.ask("POST", "/password", form={"old": "wrong one", "new": new}).status == 401
    assert device.ask("POST", "/password", form={"old": old, "new": "short"}).status == 400
    answer = device.ask("POST", "/password", form={"old": old, "new": new})
    assert answer.status == 200, answer
    assert answer.json()["changed"] is True
    assert device.ask("GET", "/logs?lines=1", old).status == 401
    assert device.ask("GET", "/logs?lines=1", new).status == 200
    device.password = new
    assert device.run("stat -c '%a %U %G' /data/ovenbird/password.json") == "640 root ovenbird"


def hear(said: Sequence[str], words: str) -> None:
    """Wait until one of the lines has these words."""
    wait(lambda: any(words in line for line in said) or None, PATIENCE)


def lay_out_draft(folder: Path) -> Path:
    """A working copy of the app `draft`; returns its program."""
    shutil.copytree(RECIPE / "programs/draft", folder / "draft")
    (folder / "ovenbird.toml").write_text(DRAFT)
    return folder / "draft/main.py"


def run(tool: Tool, home: Mapping[str, str], *words: str) -> Done:
    """The tool, with an ordinary user's patience and none of a real user's files."""
    return tool.run(*words, env=home, within=2 * PATIENCE)
