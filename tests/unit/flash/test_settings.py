"""What is said of a device: in files, by options, when asked; and what becomes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.flash.keys import PUBLIC

from ovenbird.deliver.flash import asking, job, settings
from ovenbird.deliver.flash.command import Said, said
from ovenbird.deliver.flash.making import make
from ovenbird.errors import OvenbirdError, UsageError
from ovenbird.progress import QuietProgress
from ovenbird_device.format import personal
from ovenbird_device.provision import password

DEVICES = """
[all]
user = "anna"
country = "at"
timezone = "Europe/Vienna"
keys = ["keys/*.pub"]
[[all.wifi]]
ssid = "Nest"
passphrase = { file = "wifi.txt" }

[device.kitchen]
addresses = ["192.168.1.7/24"]
gateway = "192.168.1.1"
[device.kitchen.secrets.keeper]
token = { env = "TOKEN" }

[device.attic]
hostname = "attic-{n:03}"
password = "tobak-mirun-depol"
[[device.attic.wifi]]
ssid = "Roof"
security = "wpa3"
passphrase = "geheim geheim"
"""


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with two devices, and what it names."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/one.pub").write_text(f"{PUBLIC}\n")
    (tmp_path / "wifi.txt").write_text("ThisIsAPassword\n")
    (tmp_path / "devices.toml").write_text(DEVICES)
    monkeypatch.setenv("TOKEN", "s3cret")
    return tmp_path / "devices.toml"


def device(file: Path, name: str, **options: object) -> personal.Personal:
    """A device of a file, as it goes onto its card."""
    node = settings.over(settings.pick(settings.read_devices(file), name, file), settings.as_node(options))
    return make(settings.settle(node), number=7, name=name)


def test_a_file_describes_many_devices(devices: Path) -> None:
    kitchen, attic = device(devices, "kitchen"), device(devices, "attic")
    assert (kitchen.hostname, attic.hostname) == ("kitchen", "attic-007")
    assert kitchen.account is not None
    assert kitchen.account.keys == (f"{PUBLIC}\n",)
    assert kitchen.address is not None
    assert kitchen.address.settings.addresses == ("192.168.1.7/24",)
    assert kitchen.secrets == {"keeper": {"token": "czNjcmV0"}}
    assert kitchen.wifi is not None
    assert kitchen.wifi.country == "AT"
    assert attic.wifi is not None
    assert [one.ssid for one in attic.wifi.networks] == ["Nest", "Roof"]
    assert attic.wifi.networks[1].secret == "geheim geheim"
    assert attic.address is None


def test_of_secrets_only_hashes_are_put_onto_a_card(devices: Path) -> None:
    attic = device(devices, "attic")
    text = personal.dump(attic).decode()
    assert "tobak" not in text
    assert "ThisIsAPassword" not in text
    assert attic.password is not None
    assert password.matches(attic.password, "tobak-mirun-depol")
    assert attic.account is not None
    salt = attic.account.password.split("$")[2]
    words = ["openssl", "passwd", "-6", "-salt", salt, "tobak-mirun-depol"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == attic.account.password


def test_the_key_of_a_network_is_the_standards() -> None:
    """IEEE 802.11, annex "Passphrase-to-PSK mapping", its own examples."""
    for ssid, passphrase, key in (
        ("IEEE", "password", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"),
        ("ThisIsASSID", "ThisIsAPassword", "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"),
    ):
        said = {"wifi": [{"ssid": ssid, "passphrase": passphrase}]}
        made = make(settings.settle(settings.as_node(said)))
        assert made.wifi is not None
        assert made.wifi.networks[0].secret == key


def test_options_come_over_the_file_and_keys_add_up(devices: Path) -> None:
    made = device(devices, "kitchen", hostname="cellar", keys=[PUBLIC.replace("AAAAI", "AAAAI", 1)], addresses=[
        "10.0.0.2/8"
    ], gateway="10.0.0.1")  # fmt: skip
    assert made.hostname == "cellar"
    assert made.account is not None
    assert len(made.account.keys) == 1
    assert made.address is not None
    assert made.address.settings.addresses == ("10.0.0.2/8",)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[device.x]\nhostnam = "a"', r"devices.toml:2: unknown key `hostnam`"),
        ('[device.x]\nhostname = "Not One"', r"devices.toml:2: `hostname`: .* is no host name"),
        (
            '[device.x]\nuser = "anna"\nkeys = ["nothing.pub"]',
            r'devices.toml:3: `keys`: there is no file "nothing.pub"',
        ),
        ('[device.x]\npassword = { env = "NOT_SET" }', r"devices.toml:2: the variable NOT_SET is not set"),
        ('[device.x]\npassword = { command = "x" }', r"devices.toml:2: `password` is a table, but must be a text"),
        ('[devices.x]\nhostname = "a"', r"unknown section `devices`"),
        ("[device]\n", "the file has no device"),
        ("x = ", "not TOML"),
        ('[device.x]\nhostname = "x"\n[[device.x.wifi]]\nssid = "N"\nsecurity = "wep"', r"`wifi.security` cannot be"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "devices.toml"
    file.write_text(text)
    with pytest.raises(OvenbirdError, match=wrong) as caught:
        device(file, "x")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            '[device.a]\nhostname = "pi"\n[device.b]\nhostname = "pi"',
            'devices.toml:4: the devices a and b would both be called "pi"',
        ),
        ('[device.a]\n[device.b]\nhostname = "a"', 'devices.toml:3: the devices a and b would both be called "a"'),
        ('[all]\nhostname = "pi"\n[device.a]\n[device.b]', "devices.toml:2: the devices a and b would both be called"),
        ("[device.a]\n[device.a]", "devices.toml:2: not TOML"),
    ],
)
def test_a_name_that_is_given_twice_is_one_error(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "devices.toml"
    file.write_text(text)
    with pytest.raises(OvenbirdError) as caught:
        settings.read_devices(file)
    assert wrong in str(caught.value)
    assert caught.value.exit_code == 2


CLUSTER = """
[all]
hostname = "node-{n}"
[device.first]
addresses = ["10.0.0.11/24"]
[device.second]
addresses = ["10.0.0.12/24"]
[device.third]
hostname = "{third}"
addresses = ["{address}"]
"""


def flash_all(folder: Path, more: dict[str, Any]) -> None:
    """Flash all of a file to files, up to where an image is needed."""
    third, address = more.pop("third", "{name}"), more.pop("address", "10.0.0.13/24")
    file = folder / "devices.toml"
    file.write_text(CLUSTER.replace("{third}", third).replace("{address}", address))
    request = job.Request(folder / "none.img", to=folder / "{name}.img", devices=file, every=True, **more)
    list(job.flash(request, QuietProgress()))


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"third": "node-1"}, 'devices.toml:9: the devices first and third would both be called "node-1"'),
        ({"third": "node-{n}"}, "there is no image"),
        ({"third": "node-7", "first": 7}, 'first and third would both be called "node-7"'),
        ({"address": "10.0.0.12/16"}, "devices.toml:10: the devices second and third have one address"),
        ({"said": {"hostname": "pi"}}, 'first and second would both be called "pi"'),
        ({"start": "fourth"}, 'there is no device "fourth"'),
        ({"start": "third"}, "there is no image"),
        ({"device": "first"}, "each device once"),
        ({"count": 2}, "each device once"),
    ],
)
def test_all_devices_are_judged_before_anything_is_done(tmp_path: Path, more: dict[str, Any], wrong: str) -> None:
    with pytest.raises(OvenbirdError) as caught:
        flash_all(tmp_path, dict(more))
    assert wrong in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_without_a_file_is_told(tmp_path: Path) -> None:
    for request, wrong in (
        (job.Request(tmp_path, to=tmp_path / "x", every=True), "--all means the devices of a file"),
        (job.Request(tmp_path, to=tmp_path / "x", start="first"), "--from says where --all begins"),
    ):
        with pytest.raises(UsageError, match=wrong):
            list(job.flash(request, QuietProgress()))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"keys": [PUBLIC]}, "need a user"),
        ({"gateway": "10.0.0.1"}, "go with a fixed address"),
        ({"addresses": ["10.0.0.2/8"], "gateway": "192.168.0.1"}, "is in none of the networks"),
        ({"wifi": [{"ssid": "N", "passphrase": "short"}]}, "8 to 63"),
        ({"wifi": [{"ssid": "N" * 33, "passphrase": "long enough"}]}, "1 to 32 bytes"),
        ({"wifi": [{"ssid": "N", "passphrase": "a" * 64, "security": "wpa3"}]}, "WPA3 needs the passphrase"),
        ({"wifi": [{"ssid": "N", "passphrase": "geheim geheim", "security": "open"}]}, "said to be open"),
        ({"country": "Austria"}, "two letters"),
        ({"timezone": "../../etc/passwd"}, "no time zone"),
        ({"locale": "de AT"}, "no locale"),
        ({"server": "ftp://x"}, "no web address"),
        ({"password": "short"}, "at least 8"),
        ({"user": "anna", "password_hash": "in clear"}, "hash of the user's password is none"),
        ({"user": "anna", "keys": ["ssh-ed25519 AAAA"]}, "SSH key of anna"),
        ({"user": "root"}, "root has no password"),
        ({"interface": "no such thing!", "addresses": ["10.0.0.2/8"]}, "no interface"),
        ({"secrets": {"keeper": {"../x": "y"}}}, "no name of a secret"),
    ],
)
def test_what_cannot_be_is_told_before_a_card_is_written(options: dict[str, object], wrong: str) -> None:
    with pytest.raises(OvenbirdError, match=wrong) as caught:
        make(settings.settle(settings.as_node(options)))
    assert caught.value.exit_code == 2


def test_options_say_what_a_file_would(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "wifi").write_text("geheim geheim\r\n")
    given = Said(
        hostname="pi-{n}", user="anna", keys=[PUBLIC], sudo=False, ssid="Nest", hidden=True, country="AT",
        passphrase_file=tmp_path / "wifi", secrets=[f"keeper/token={tmp_path}/token"],
    )  # fmt: skip
    made = make(settings.settle(settings.as_node(said(given))), number=12)
    assert made.hostname == "pi-12"
    assert made.account is not None
    assert not made.account.sudo
    assert made.wifi is not None
    assert made.wifi.networks[0].hidden
    assert made.secrets == {"keeper": {"token": "czNjcmV0"}}
    assert settings.settle(settings.as_node(said(Said()))).is_empty


@pytest.mark.parametrize("text", ["keeper", "keeper/token", "keeper=x", "/x=y", "keeper/=y", "keeper/x="])
def test_a_secret_that_is_said_wrongly_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="APP/NAME=FILE"):
        said(Said(secrets=[text]))


def test_nobody_is_asked_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(asking.PASSPHRASE, raising=False)
    with pytest.raises(UsageError, match='the passphrase of "Nest" is missing'):
        asking.passphrase("Nest")
    monkeypatch.setenv(asking.PASSPHRASE, "from the environment")
    assert asking.passphrase("Nest") == "from the environment"
    with pytest.raises(UsageError, match="no terminal"):
        asking.everything({})


@given(st.text(alphabet="pi-{n}:0123456789x", max_size=20), st.integers(0, 9999))
def test_numbers_in_names_never_raise(template: str, number: int) -> None:
    found = settings.numbered(template, number)
    assert "{n}" not in found
    assert settings.numbered("pi-{n:03}", number) == f"pi-{number:03}"


@given(st.text(max_size=200))
def test_any_text_as_a_devices_file_ends_well_or_in_errors(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, "utf-8", "replace")
    with pytest.raises(OvenbirdError):
        settings.read_devices(file)
