"""The personal file: what both sides take for one, and that nothing in it breaks out of the files it becomes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, personal
from ovenbird_device.format.personal import Account, Address, Personal, Wifi, WifiNetwork
from ovenbird_device.network.settings import NetworkSettings
from ovenbird_device.personal import wifi

KEY = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
passphrases = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=63)
names = st.text(min_size=1, max_size=40)
networks = st.builds(
    WifiNetwork,
    ssid=names,
    secret=st.just("") | passphrases | st.just(KEY) | st.text(max_size=70),
    security=st.sampled_from(["wpa2", "wpa3", "wpa2-wpa3", "open"]),
    hidden=st.booleans(),
)
anything = st.builds(
    Personal,
    hostname=st.just("") | st.from_regex(r"[a-z0-9.-]{1,70}", fullmatch=True) | names,
    account=st.none() | st.builds(Account, name=st.just("anna") | names, password=st.text(max_size=40)),
    wifi=st.none() | st.builds(Wifi, country=st.just("AT") | names, networks=st.lists(networks, max_size=3).map(tuple)),
    timezone=st.sampled_from(["", "Europe/Vienna", "../../etc/shadow", "/etc", "a/../b"]) | names,
    locale=st.just("de_AT.UTF-8") | names,
    server=st.just("https://updates.example.org/x") | names,
    secrets=st.dictionaries(names, st.dictionaries(names, st.just("czNjcmV0") | names, max_size=2), max_size=2),
)


@given(anything)
def test_what_is_taken_is_the_same_on_the_other_side(given_one: Personal) -> None:
    try:
        checked = personal.check(given_one)
    except FormatError as error:
        assert str(error).isprintable()  # noqa: PT017 - most of what is made here is refused, and all of it in words
        return
    assert personal.load(personal.dump(checked)) == checked
    assert personal.check(checked) == checked
    for text in (checked.hostname, checked.timezone, checked.locale, checked.server):
        assert re.fullmatch(r"[\x21-\x7e]*", text)
        assert ".." not in text.split("/")
        assert not text.startswith("/")
    for app, values in checked.secrets.items():
        for name in (app, *values):
            assert "/" not in name
            assert not name.startswith(".")


@given(st.binary(max_size=300))
def test_noise_is_no_personal_file(noise: bytes) -> None:
    with pytest.raises(FormatError):
        personal.load(noise)


def test_a_newer_workstation_may_say_more() -> None:
    assert personal.load(b'{"hostname": "x", "colour": "clay"}') == Personal(hostname="x")
    with pytest.raises(FormatError, match="format 2"):
        personal.load(b'{"format": 2}')


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Personal(account=Account(name="root")), "not a user"),
        (Personal(account=Account(name="ovenbird")), "not a user"),
        (Personal(account=Account(name="anna\nroot")), "no name of a user"),
        (Personal(account=Account(name="anna", password="$6$x$\n:")), "hash"),
        (Personal(account=Account(name="anna", keys=("command=x ssh-ed25519 AAAA",))), "SSH key"),
        (Personal(wifi=Wifi(country="at")), "two letters"),
        (Personal(wifi=Wifi(networks=(WifiNetwork(ssid="a\0b", secret="long enough"),))), "1 to 32 bytes"),
        (Personal(wifi=Wifi(networks=(WifiNetwork(ssid="ä" * 17, secret="long enough"),))), "1 to 32 bytes"),
        (Personal(wifi=Wifi(networks=(WifiNetwork(ssid="a"),))), "needs its passphrase"),
        (Personal(address=Address(interface="lo")), "no interface"),
        (Personal(address=Address(settings=NetworkSettings(gateways=("10.0.0.1",)))), "fixed addresses"),
        (Personal(secrets={"keeper": {"token": "not base64!"}}), "not base64"),
        (Personal(server="http://x y"), "address of a server"),
    ],
)
def test_what_is_wrong_is_told(wrong: Personal, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        personal.check(wrong)


@given(st.lists(networks, max_size=4).map(tuple), st.sampled_from(["", "AT"]))
def test_no_name_and_no_passphrase_ends_its_line(found: tuple[WifiNetwork, ...], country: str) -> None:
    given_wifi = Wifi(country=country, networks=found)
    try:
        personal.check(Personal(wifi=given_wifi))
    except FormatError:
        return
    text = wifi.render(given_wifi)
    assert text.count("network={") == len(found)
    inside = [line for line in text.splitlines() if line.startswith("\t")]
    for line in inside:
        assert re.fullmatch(
            r"\t(ssid|psk|sae_password)=[0-9a-f]+|\t(scan_ssid|ieee80211w)=[012]|\tkey_mgmt=[A-Z0-9 -]+", line
        )
    for one in found:
        assert f"\tssid={one.ssid.encode().hex()}" in inside


def test_each_kind_of_network_has_what_it_needs() -> None:
    def lines(one: WifiNetwork) -> set[str]:
        return {line.strip() for line in wifi.render(Wifi(networks=(one,))).splitlines()}

    old = lines(WifiNetwork(ssid="IEEE", secret=KEY))
    assert {f"psk={KEY}", "ieee80211w=1", "key_mgmt=WPA-PSK WPA-PSK-SHA256"} <= old
    new = lines(WifiNetwork(ssid="IEEE", secret="password", security="wpa3"))
    assert {"sae_password=70617373776f7264", "ieee80211w=2", "key_mgmt=SAE"} <= new
    assert not [line for line in new if line.startswith("psk=")]
    both = lines(WifiNetwork(ssid="IEEE", secret="password", security="wpa2-wpa3", hidden=True))
    assert {f"psk={KEY}", "sae_password=70617373776f7264", "scan_ssid=1"} <= both
    assert "key_mgmt=NONE" in lines(WifiNetwork(ssid="IEEE", security="open"))
