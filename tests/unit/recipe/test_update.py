"""`[update]` and `[[health]]`: what a recipe says about updates, and the times in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.recipe.duration import format_duration, parse_duration
from ovenbird.recipe.load import load
from ovenbird.recipe.rules import host_and_port, unit, web_address

from .conftest import IMAGE, Write, Wrong

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PRIVATE = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


def test_everything_given(write: Write) -> None:
    write(CERTIFICATE, "keys/a.pem")
    file = write(
        IMAGE + "[disk]\nrescue = '128M'\n[update]\nkeys = ['keys/a.pem']\ncompatible = ['station-2', 'station-1']\n"
        "deadline = '90s'\ntries = 2\nusb = true\nswupdate_api = true\nserver = 'https://updates.example.org/'\n"
        "[[health]]\nname = 'page'\nhttp = 'http://localhost:8000/'\ntimeout = '1m'\n"
        "[[health]]\nname = 'broker'\ntcp = '[::1]:1883'\nevery = '2s'\n"
        "[[health]]\nname = 'unit'\nunit = 'getty@tty1.service'\n"
    )
    recipe = load(file).recipe
    assert recipe.disk.rescue == 128 << 20
    assert recipe.update.keys == (file.parent / "keys/a.pem",)
    assert recipe.update.compatible == ("station-2", "station-1")
    assert (recipe.update.deadline, recipe.update.tries) == (90, 2)
    assert [check.kinds for check in recipe.health] == [["http"], ["tcp"], ["unit"]]
    assert (recipe.health[0].timeout, recipe.health[1].every) == (60, 2)


def test_without_them_updates_are_refused_and_nothing_is_checked_but_the_built_in(write: Write) -> None:
    recipe = load(write(IMAGE)).recipe
    assert recipe.update.keys == ()
    assert recipe.update.deadline == 300
    assert recipe.disk.rescue is None
    assert recipe.health == ()


def test_included_checks_and_keys_append(write: Write) -> None:
    write(CERTIFICATE, "common/a.pem")
    write("[update]\nkeys = ['a.pem']\n[[health]]\nname = 'a'\nunit = 'a.service'\n", "common/common.toml")
    write(CERTIFICATE, "b.pem")
    text = f"include = ['common/common.toml']\n{IMAGE}[update]\nkeys = ['b.pem']\n"
    recipe = load(write(text + "[[health]]\nname = 'b'\nunit = 'b.service'\n")).recipe
    assert [file.name for file in recipe.update.keys] == ["a.pem", "b.pem"]
    assert [check.name for check in recipe.health] == ["a", "b"]


def test_a_private_key_is_never_taken_for_a_certificate(write: Write, wrong: Wrong) -> None:
    write(CERTIFICATE + PRIVATE, "both.pem")
    [problem] = wrong(IMAGE + "[update]\nkeys = ['both.pem']\n")
    assert "private key, which must never be in an image" in problem.message


@given(st.integers(0, 10**8))
def test_times_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_a_clear_error(text: str) -> None:
    said = ""
    try:
        parse_duration(text)
    except ValueError as error:
        said = str(error)
    assert not said or "is not a time" in said


@pytest.mark.parametrize("text", ["localhost:80", "a.example.org:65535", "[::1]:80", "[fe80::1%eth0]:22", "10.0.0.1:1"])
def test_hosts_and_ports(text: str) -> None:
    assert host_and_port(text) is None


@pytest.mark.parametrize("text", ["localhost", ":80", "a:0", "a:65536", "a b:80", "[::1:80", "a:8o", "a:\u0661"])
def test_no_hosts_and_ports(text: str) -> None:
    assert host_and_port(text) is not None


@given(st.text(max_size=30))
def test_rules_never_fail(text: str) -> None:
    for rule in (host_and_port, unit, web_address):
        rule(text)
