"""The first boot's work with a personal file, by the real program on a made-up system: all but the account.

The account is the system's own tools' work and is looked at in a real boot (tests/vm/test_flash.py).
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ovenbird_device.format import personal
from ovenbird_device.format.personal import Address, Personal, Wifi, WifiNetwork
from ovenbird_device.network import settings as network
from ovenbird_device.network.settings import NetworkSettings
from ovenbird_device.provision import password

ADDRESS = NetworkSettings(addresses=("192.168.1.7/24",), gateways=("192.168.1.1",), dns=("192.168.1.1",))
GIVEN = Personal(
    hostname="kitchen",
    password=password.make("tobak-mirun-depol", "flashed"),
    wifi=Wifi(country="AT", networks=(WifiNetwork(ssid="Nest", secret="geheim geheim"),)),
    address=Address(settings=ADDRESS),
    locale="de_AT.UTF-8",
    timezone="Europe/Vienna",
    server="https://updates.example.org/",
    secrets={"keeper": {"token": "czNjcmV0"}},
)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A system in a folder, with a fresh card's data beside it."""
    for name in (
        "root/etc/default", "root/usr/lib/locale/de_AT.utf8", "root/usr/share/zoneinfo/Europe", "root/run",
        "root/usr/lib/systemd/network", "data/ovenbird",
    ):  # fmt: skip
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 flashed\n::1 localhost\n")
    (tmp_path / "root/etc/hostname").write_text("flashed\n")
    (tmp_path / "root/usr/share/zoneinfo/Europe/Vienna").write_text("TZif")
    (tmp_path / "root/usr/lib/systemd/network/80-ovenbird.network").write_text("[Network]\nMulticastDNS=yes\n")
    put(tmp_path, GIVEN)
    return tmp_path


def put(device: Path, given: Personal) -> None:
    (device / "data/ovenbird/personal.json").write_bytes(personal.dump(given))


def boot(device: Path) -> subprocess.CompletedProcess[str]:
    """Run it as its unit does."""
    words = ["--root", str(device / "root"), "--data", str(device / "data")]
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.personal", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def left(device: Path) -> Personal:
    return personal.load((device / "data/ovenbird/personal.json").read_bytes())


def mark(device: Path) -> str:
    file = device / "root/etc/ovenbird/personal"
    return file.read_text().strip() if file.exists() else ""


def test_a_first_boot_makes_it_this_device(device: Path) -> None:
    assert boot(device).stderr == ""
    etc, data = device / "root/etc", device / "data/ovenbird"
    assert (etc / "hostname").read_text() == "kitchen\n"
    assert (etc / "hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 kitchen\n::1 localhost\n"
    assert str((etc / "localtime").readlink()) == "../usr/share/zoneinfo/Europe/Vienna"
    assert (etc / "timezone").read_text() == "Europe/Vienna\n"
    assert (etc / "locale.conf").read_text() == (etc / "default/locale").read_text() == "LANG=de_AT.UTF-8\n"
    kept = password.read(data / "password.json")
    assert kept is not None
    assert password.matches(kept, "tobak-mirun-depol")
    assert (data / "update-server").read_text() == "https://updates.example.org/\n"
    assert "ssid=4e657374" in (etc / "ovenbird/wifi/wpa_supplicant.conf").read_text()
    wired = etc / "ovenbird/network/all/wired.network"
    assert network.read(wired) == ADDRESS
    assert "[Match]\nType=ether\nKind=!*\n" in wired.read_text()
    assert "MulticastDNS=yes" in wired.read_text()
    for private in (etc / "ovenbird/wifi/wpa_supplicant.conf", data / "secrets/keeper/token", data / "personal.json"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert (data / "secrets/keeper/token").read_bytes() == b"s3cret"
    # The card knows nothing any more, and the slot knows the card.
    assert left(device) == Personal(applied=True)
    assert mark(device) == hashlib.sha256((data / "personal.json").read_bytes()).hexdigest()


def test_a_new_system_takes_nothing_back_that_its_owner_changed(device: Path) -> None:
    boot(device)
    (device / "root/etc/hostname").write_text("cellar\n")
    (device / "root/etc/ovenbird/personal").unlink()  # a fresh /etc, with what is carried over
    boot(device)
    assert (device / "root/etc/hostname").read_text() == "cellar\n"
    assert mark(device)


@pytest.mark.parametrize("interface", ["wifi", "enp0s9"])
def test_an_address_is_for_a_kind_or_for_one(device: Path, interface: str) -> None:
    put(device, Personal(address=Address(interface=interface, settings=ADDRESS)))
    boot(device)
    folder = device / "root/etc/ovenbird/network"
    file = folder / "all/wifi.network" if interface == "wifi" else folder / f"{interface}.network"
    assert network.read(file) == ADDRESS
    assert ("[Match]\nType=wlan\n" if interface == "wifi" else "[Match]\nName=enp0s9\n") in file.read_text()


def test_what_the_image_cannot_be_is_told_and_the_rest_is_done(device: Path) -> None:
    put(device, Personal(hostname="kitchen", locale="fr_FR.UTF-8", timezone="Mars/Olympus"))
    done = boot(device)
    assert "this image has no locale fr_FR.UTF-8" in done.stderr
    banner = (device / "root/run/issue.d/40-ovenbird-personal.issue").read_text()
    assert "this image has no time zone Mars/Olympus" in banner
    assert (device / "root/etc/hostname").read_text() == "kitchen\n"
    # It will not be otherwise at the next boot, so nothing secret waits for it.
    assert left(device).applied
    assert mark(device)


def test_what_may_go_well_another_time_is_tried_again(device: Path) -> None:
    (device / "root/etc/ovenbird").mkdir()
    (device / "root/etc/ovenbird/wifi").write_text("in the way")
    done = boot(device)
    assert "the Wi-Fi: " in done.stderr
    assert left(device).wifi is not None
    assert mark(device) == ""
    assert (device / "root/etc/hostname").read_text() == "kitchen\n"
    (device / "root/etc/ovenbird/wifi").unlink()
    assert boot(device).stderr == ""
    assert left(device) == Personal(applied=True)
    assert not (device / "root/run/issue.d/40-ovenbird-personal.issue").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 9}', b'{"hostname": "Not One"}', b"\xff" * 100])
def test_a_damaged_file_is_told_at_each_boot_and_holds_up_nothing(device: Path, damage: bytes) -> None:
    (device / "data/ovenbird/personal.json").write_bytes(damage)
    for _ in range(2):
        assert "ovenbird-personal: " in boot(device).stderr
    assert (device / "root/etc/hostname").read_text() == "flashed\n"
    assert (device / "data/ovenbird/personal.json").read_bytes() == damage
    assert "Not all that this card" in (device / "root/run/issue.d/40-ovenbird-personal.issue").read_text()


def test_a_power_cut_before_the_file_forgets_means_doing_it_again(device: Path) -> None:
    boot(device)
    after = {path: path.read_bytes() for path in sorted((device / "root/etc").rglob("*")) if path.is_file()}
    put(device, GIVEN)
    (device / "root/etc/ovenbird/personal").unlink()
    boot(device)
    assert after == {path: path.read_bytes() for path in sorted((device / "root/etc").rglob("*")) if path.is_file()}
    assert os.listdir(device / "data/ovenbird/secrets") == ["keeper"]  # noqa: PTH208


def test_without_a_file_nothing_is_done(device: Path) -> None:
    (device / "data/ovenbird/personal.json").unlink()
    boot(device)
    assert (device / "root/etc/hostname").read_text() == "flashed\n"
    assert mark(device) == ""
