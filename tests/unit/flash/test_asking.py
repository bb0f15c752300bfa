"""`ovenbird flash` as somebody meets it who sits before a terminal: what it asks, and what comes of the answers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from tests.tool import Tool
from tests.unit.flash.conftest import Card
from tests.unit.flash.test_fitting import image
from tests.unit.flash.test_handover import data_of, debugfs

from ovenbird.deliver.flash import source
from ovenbird_device.format import personal

DEVICES = """\
[device.kitchen]
hostname = "kitchen"
[device.attic]
hostname = "attic"
timezone = "Europe/Berlin"
"""


def typed(tool: Tool, *words: str | Path, answers: dict[str, str], home: Path) -> tuple[str, int | None]:
    """All that the program said on a terminal, and its exit code. Each question must come, in this order."""
    environment = tool.environment({"HOME": str(home)})
    command = [str(one) for one in (*tool.program, "flash", *words)]
    child: pexpect.spawn[str] = pexpect.spawn(command[0], command[1:], env=environment, encoding="utf-8", timeout=60)
    said = ""
    for question, answer in answers.items():
        child.expect_exact(question)
        said += (child.before or "") + question
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    return said + (child.before or ""), child.exitstatus


def given(disk: Path, written: Path, folder: Path) -> personal.Personal:
    """What a card's file says of its device."""
    text = debugfs(data_of(source.whole(disk), written, folder), "cat ovenbird/personal.json")
    return personal.load(text.encode())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home with a key."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "otto@pc", "-f", home / ".ssh/id_ed25519"], check=True
    )
    return home


def test_all_of_a_device_is_asked_for(tool: Tool, tmp_path: Path, home: Path) -> None:
    disk, out = image(tmp_path), tmp_path / "card.img"
    answers = {
        "Host name: ": "kitchen",
        "Set the page's password now, too? [y/N] ": "y",
        "New password: ": "morgen-abend",
        "same again: ": "morgen-abend",
        "User who may log in: ": "otto",
        f"Public SSH key [{home}/.ssh/id_ed25519.pub]: ": "",
        "Wi-Fi network: ": "Nest",
        'Passphrase of "Nest": ': "lehm und halme",
        "Country of the device (two letters): ": "at",
        "Time zone": "Europe/Vienna",
        "Fixed address, as 192.168.1.7/24: ": "192.168.1.7/24",
        "Gateway: ": "192.168.1.1",
        "Name servers: ": "192.168.1.1, 192.168.1.2",
    }
    said, code = typed(tool, disk, "--to", out, "--ask", answers=answers, home=home)
    assert code == 0, said
    assert "morgen-abend" not in said
    assert "lehm und halme" not in said
    assert "as kitchen" in said
    found = given(disk, out, tmp_path)
    assert (found.hostname, found.timezone) == ("kitchen", "Europe/Vienna")
    assert found.account is not None
    assert (found.account.name, "".join(found.account.keys)) == ("otto", (home / ".ssh/id_ed25519.pub").read_text())
    assert found.wifi is not None
    assert (found.wifi.country, [one.ssid for one in found.wifi.networks]) == ("AT", ["Nest"])
    assert b"lehm und halme" not in out.read_bytes()
    assert found.address is not None
    assert found.address.settings.addresses == ("192.168.1.7/24",)
    assert found.address.settings.dns == ("192.168.1.1", "192.168.1.2")


def test_what_is_known_is_not_asked_and_an_empty_answer_changes_nothing(tool: Tool, tmp_path: Path, home: Path) -> None:
    disk, out = image(tmp_path), tmp_path / "card.img"
    words: list[str | Path] = [disk, "--to", out, "--ask", "--hostname", "attic", "--timezone", "Europe/Berlin"]
    answers = {
        "Set the page's password now, too? [y/N] ": "",
        "User who may log in: ": "",
        "Wi-Fi network: ": "",
        "Fixed address, as 192.168.1.7/24: ": "",
    }
    said, code = typed(tool, *words, answers=answers, home=home)
    assert code == 0, said
    assert given(disk, out, tmp_path) == personal.Personal(hostname="attic", timezone="Europe/Berlin")


def test_which_device_of_a_file(tool: Tool, tmp_path: Path, home: Path) -> None:
    disk, out = image(tmp_path), tmp_path / "card.img"
    (tmp_path / "devices.toml").write_text(DEVICES)
    words: list[str | Path] = [disk, "--to", out, "--devices", tmp_path / "devices.toml"]
    said, code = typed(tool, *words, answers={"Which device? ": "attik"}, home=home)
    assert code == 2
    assert "attic" in said.partition("Which device? ")[2]
    assert not out.exists()
    said, code = typed(tool, *words, answers={"  kitchen\r\n  attic\r\nWhich device? ": "attic"}, home=home)
    assert code == 0, said
    assert given(disk, out, tmp_path) == personal.Personal(hostname="attic", timezone="Europe/Berlin")


def test_a_card_is_erased_only_by_a_yes_and_the_next_is_waited_for(
    tool: Tool, tmp_path: Path, home: Path, card: Callable[[int], Card]
) -> None:
    disk = image(tmp_path)
    made = card(disk.stat().st_size)
    if made.path == made.backing:  # A file, as this user can make no block devices: it is never taken for a card.
        said, code = typed(tool, made.path, disk, answers={}, home=home)
        assert (code, "is a file, not a card" in said) == (2, True)
        return
    words: list[str | Path] = [made.path, disk, "--force", "--hostname", "pi-{n}"]
    before = made.backing.read_bytes()
    said, code = typed(tool, *words, answers={"will be lost. Go on? [y/N] ": ""}, home=home)
    assert (code, "nothing was written" in said) == (2, True)
    assert made.backing.read_bytes() == before
    answers = {
        "will be lost. Go on? [y/N] ": "y",
        "Put in the card for pi-2, then press Enter. ": "",
        "lost. Go on? [y/N] ": "yes",
    }
    said, code = typed(tool, *words, "--count", "2", answers=answers, home=home)
    assert code == 0, said
    assert said.index("as pi-1") < said.index("Put in the card for pi-2") < said.index("as pi-2")
    assert given(disk, made.backing, tmp_path).hostname == "pi-2"
