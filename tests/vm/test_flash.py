"""A device that gets all that is its own from its card: flashed by the installed program, then booted.

The tests share one machine, in this order. Its radios are the kernel's own stand-ins (mac80211_hwsim): one is the
device's, the other is in a network namespace, where hostapd makes a network of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.tool import Tool
from tests.vm.guest import PATIENCE, Guest, guest, wait

pytestmark = pytest.mark.vm

PASSWORD = "tobak-mirun-depol"
DEVICES = """
[all]
user = "anna"
keys = ["{key}.pub"]
country = "AT"
locale = "de_AT.UTF-8"
timezone = "Europe/Vienna"
[[all.wifi]]
ssid = "Nest"
passphrase = {{ env = "PASSPHRASE" }}
security = "wpa2-wpa3"

[device.kitchen]
password = {{ file = "password" }}
addresses = ["10.0.2.15/24"]
gateway = "10.0.2.2"
dns = ["10.0.2.3"]
server = "http://10.0.2.2:1/"
secrets.keeper.token = {{ env = "TOKEN" }}
"""
PASSPHRASE, TOKEN = "geheim geheim", "s3cret-token"
NETWORK = """
[ ! -f /run/ap.pid ] || {{ kill $(cat /run/ap.pid); while [ -e /run/ap.pid ]; do sleep 0.2; done; }}
cat >/run/ap.conf <<END
interface=wlan1
driver=nl80211
ssid=Nest
hw_mode=g
channel=1
wpa=2
rsn_pairwise=CCMP
{lines}
END
ip netns exec ap hostapd -B -P /run/ap.pid /run/ap.conf >/dev/null
"""
WPA2 = "wpa_key_mgmt=WPA-PSK\nwpa_passphrase={word}"
WPA3 = "wpa_key_mgmt=SAE\nieee80211w=2\nsae_password={word}"


@pytest.fixture(scope="module")
def kitchen(flashable: Path, tool: Tool, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device, at its first boot."""
    folder = tmp_path_factory.mktemp("flash")
    card = folder / "card"
    card.mkdir()
    (folder / "devices.toml").write_text(DEVICES.format(key=key))
    (folder / "password").write_text(f"{PASSWORD}\n")
    done = tool.run(
        "flash", flashable, "--to", card / "disk.img", "--devices", folder / "devices.toml", "--device", "kitchen",
        env={"PASSPHRASE": PASSPHRASE, "TOKEN": TOKEN},
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "holds flashed 1.0.0 as kitchen" in done.out
    shutil.copy(flashable / "manifest.json", card)
    with guest(card, folder, password=None, key=key) as device:
        device.password = PASSWORD
        yield device


def restart(device: Guest) -> None:
    assert device.ask("POST", "/reboot", PASSWORD).status == 202
    device.wait_for_boot()


def test_the_device_is_who_its_card_says(kitchen: Guest) -> None:
    assert kitchen.overview()["hostname"] == "kitchen"
    assert kitchen.run("cat /etc/hostname; hostname; getent hosts kitchen | cut -d ' ' -f 1") == (
        "kitchen\nkitchen\n127.0.1.1"
    )
    assert kitchen.run("readlink /etc/localtime; date -d '2026-07-01 12:00' +%Z") == (
        "../usr/share/zoneinfo/Europe/Vienna\nCEST"
    )
    assert kitchen.run("cat /etc/locale.conf") == "LANG=de_AT.UTF-8"
    assert kitchen.run("cat /data/apps/keeper/kept") == TOKEN
    assert kitchen.run("cat /data/ovenbird/update-server") == "http://10.0.2.2:1/"
    # The page knows its password, and made up none of its own.
    assert "with password:" not in kitchen.machine.console
    assert kitchen.ask("POST", "/network/enp9s9/undo", PASSWORD).status != 401
    assert kitchen.run("systemctl --failed --no-legend") == ""


def test_its_user_gets_in_by_key_and_becomes_root_by_password(kitchen: Guest) -> None:
    assert kitchen.ssh("id -un; id -u; pwd", user="anna").stdout.split() == ["anna", "3000", "/home/anna"]
    assert kitchen.ssh("sudo -n true", user="anna").returncode != 0
    assert kitchen.ssh(f"echo {PASSWORD} | sudo -S -p '' id -un", user="anna").stdout == "root\n"
    assert kitchen.ssh("locale | head -n 1", user="anna").stdout == "LANG=de_AT.UTF-8\n"


def test_its_address_is_fixed(kitchen: Guest) -> None:
    address = kitchen.run("ip -4 -o address show scope global")
    assert "10.0.2.15/24" in address
    assert "dynamic" not in address
    (link,) = [one for one in kitchen.ask("GET", "/network").json()["network"]["links"] if one["kind"] == "wired"]
    assert link["settings"] == {"addresses": ["10.0.2.15/24"], "gateways": ["10.0.2.2"], "dns": ["10.0.2.3"]}


def test_secrets_are_where_they_belong_and_nowhere_else(kitchen: Guest) -> None:
    personal = kitchen.run("cat /data/ovenbird/personal.json; stat -c '%a %U' /data/ovenbird/personal.json")
    assert '"applied":true' in personal
    assert personal.endswith("600 root")
    journal = kitchen.run("journalctl --no-pager -b -o cat")
    for word in (PASSWORD, PASSPHRASE, TOKEN, PASSPHRASE.encode().hex()):
        assert word not in personal
        assert word not in journal
    kept = "/etc/ovenbird/wifi/wpa_supplicant.conf /data/ovenbird/secrets/keeper/token"
    assert kitchen.run(f"stat -c '%a %U' {kept}") == "600 root\n600 root"
    assert kitchen.run(f"for file in {kept}; do sudo -u ovenbird cat $file 2>/dev/null || echo no; done") == "no\nno"


# --- later boots, and other systems -----------------------------------------------------------------------------------


def test_what_its_owner_changes_stays_changed(kitchen: Guest) -> None:
    kitchen.run("hostnamectl set-hostname cellar; echo mine >/home/anna/mine; chown anna /home/anna/mine")
    kitchen.run("echo anna:another-word | chpasswd")
    restart(kitchen)
    assert kitchen.overview()["hostname"] == "cellar"
    assert kitchen.run("systemctl show -P ExecMainStartTimestamp ovenbird-personal") == ""
    assert kitchen.ssh("echo another-word | sudo -S -p '' id -un", user="anna").stdout == "root\n"


def test_a_new_system_in_the_other_slot_has_it_all(kitchen: Guest) -> None:
    """As after an update: a slot whose content is new to the device, and another that ran last."""
    kitchen.run("mv /data/slots/a /data/slots/b; echo b >/data/slots/last; sync")
    restart(kitchen)
    assert kitchen.overview()["etc"] == "fresh"
    assert kitchen.overview()["hostname"] == "cellar"
    assert kitchen.ssh("id -u; cat mine", user="anna").stdout == "3000\nmine\n"
    assert kitchen.ssh("echo another-word | sudo -S -p '' id -un", user="anna").stdout == "root\n"
    assert kitchen.run("stat -c '%a %U' /etc/ovenbird/wifi/wpa_supplicant.conf") == "600 root"
    assert kitchen.run("date -d '2026-07-01 12:00' +%Z; cat /etc/locale.conf") == "CEST\nLANG=de_AT.UTF-8"
    assert "10.0.2.15/24" in kitchen.run("ip -4 -o address show scope global")
    assert kitchen.run("systemctl --failed --no-legend") == ""


# --- Wi-Fi ------------------------------------------------------------------------------------------------------------


def radio(device: Guest) -> dict[str, str]:
    """What the page says of the device's own radio."""
    links = device.ask("GET", "/network").json()["network"]["links"]
    found: dict[str, str] | None = next(one for one in links if one["name"] == "wlan0")["radio"]
    return found or {}


def until(device: Guest, state: str) -> None:
    try:
        wait(lambda: radio(device) == {"state": state, "ssid": "Nest"}, PATIENCE, every=2)
    except TimeoutError as error:
        said = device.run("journalctl --no-pager -o cat -u ovenbird-wifi@wlan0 | tail -n 40")
        raise AssertionError(f"{radio(device)}\n{said}") from error


def test_a_radio_that_appears_looks_for_its_network(kitchen: Guest) -> None:
    kitchen.run("modprobe mac80211_hwsim radios=2")
    wait(lambda: "wlan1" in kitchen.run("ls /sys/class/net"), PATIENCE)
    kitchen.run("ip netns add ap; iw phy phy1 set netns name ap")
    wait(lambda: radio(kitchen).get("state") == "searching", PATIENCE)


@pytest.mark.parametrize("kind", [WPA2, WPA3], ids=["WPA2", "WPA3"])
def test_a_wrong_password_is_told_and_the_right_one_connects(kitchen: Guest, kind: str) -> None:
    begin = len(kitchen.machine.console)
    kitchen.run(NETWORK.format(lines=kind.format(word="another word")))
    until(kitchen, "refused")
    kitchen.machine.wait_for('Wi-Fi: "Nest" does not take this device', PATIENCE, since=begin)
    with urlopen(Request(f"{kitchen.url}network", headers={"Accept": "text/html"})) as answer:
        page = answer.read().decode()
    assert "“Nest” does not take this device&#39;s password" in page
    assert kitchen.run("systemctl is-system-running") == "running"
    kitchen.run(NETWORK.format(lines=kind.format(word=PASSPHRASE)))
    until(kitchen, "connected")
    assert "does not take" not in kitchen.run("cat /run/issue.d/*")
    assert "SSID: Nest" in kitchen.run("iw dev wlan0 link")
