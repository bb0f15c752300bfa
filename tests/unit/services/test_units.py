"""What `systemctl show` prints, in our words; and which names are units at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services import unit

from ovenbird_device import app
from ovenbird_device.format.apps import STAY_DOWN, App
from ovenbird_device.services import names
from ovenbird_device.services.systemd import only_loaded
from ovenbird_device.services.unit import blocks, is_loaded, service
from ovenbird_device.web.services.view import ServiceView, headline

HALTING = ["systemd-poweroff", "systemd-reboot", "initrd-cleanup", "systemd-soft-reboot"]


def read(**values: str) -> ServiceView:
    (found,) = blocks(unit("app-a.service", **values))
    return ServiceView.of(service(found, 3601.0, App("a", "go", "app-a.service")))


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "running"),
        ({"ActiveState": "reloading", "SubState": "reload"}, "running"),
        ({"ActiveState": "active", "SubState": "exited", "Type": "oneshot"}, "finished"),
        ({"ActiveState": "activating", "SubState": "start-pre"}, "starting"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "restarting"),
        ({"ActiveState": "activating", "SubState": "auto-restart-queued"}, "restarting"),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, "stopping"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "stopped"),
        ({"ActiveState": "inactive", "SubState": "dead", "Type": "oneshot", "ExecMainCode": "1"}, "finished"),
        ({"ActiveState": "failed", "ExecMainCode": "1", "ExecMainStatus": "1"}, "failed"),
        ({"ActiveState": "failed", "ExecMainCode": "1", "ExecMainStatus": "125"}, "stopped"),
        ({"ActiveState": "failed", "ExecMainCode": "2", "ExecMainStatus": "9"}, "failed"),
        ({"ActiveState": "maintenance"}, "stopped"),
    ],
)
def test_states(values: dict[str, str], state: str) -> None:
    assert read(**values).one.state == state


def test_numbers_and_ends() -> None:
    running = read()
    assert running.one.since_s == 3600.0
    assert running.lead == "Running for 1 h 0 min."
    assert dict(running.facts) == {"Memory": "14 MiB", "Processor": "1.5 s"}
    killed = read(ActiveState="failed", ExecMainCode="3", ExecMainStatus="11", NRestarts="5", MemoryCurrent="[not set]")
    assert killed.one.exit == "signal 11"
    assert killed.verbs == ("start",)
    assert dict(killed.facts) == {"Processor": "1.5 s", "Restarts": "5", "Ended with": "signal 11"}
    assert read(CPUUsageNSec=str((1 << 64) - 1)).one.cpu_s is None


def test_headlines() -> None:
    well, bad = read().one, read(ActiveState="failed").one
    assert headline([]) == "This image carries no apps."
    assert headline([well]) == "One app, and it runs."
    assert headline([well, well]) == "All 2 apps run."
    assert headline([well, bad]) == "a does not stay up."
    assert headline([bad, bad, bad]) == "a, a and a do not stay up."
    assert headline([well, read(ActiveState="inactive").one]) == "1 of 2 apps runs."


def test_what_is_not_there() -> None:
    (found,) = blocks(unit("gone.service", LoadState="not-found"))
    assert not is_loaded(found)
    assert list(blocks("")) == []
    assert list(blocks("Failed to connect to bus\n")) == []


@given(st.text())
def test_any_output_is_borne(text: str) -> None:
    for found in blocks(text):
        service(found, 1.0)


@pytest.mark.parametrize(
    "name", ["ssh", "getty@tty1", "app-hello", "systemd-fsck@dev-disk-by\\x2duuid-1", "user@1000", "a.b:c_d"]
)
def test_units(name: str) -> None:
    assert names.is_unit(f"{name}.service")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "--all",
        "a b",
        "a/b",
        "../a",
        "*",
        "a*",
        "a[b]",
        "a\n",
        "a\0",
        "\u00e4",
        "rescue",
        "emergency",
        *HALTING,
        "x" * 300,
    ],
)
def test_what_is_no_unit(name: str) -> None:
    assert not names.is_unit(f"{name}.service")
    assert not names.is_unit(name)


def test_what_is_needed_stays_up() -> None:
    assert names.refusal("stop", "ovenbird-agent.service")
    assert names.refusal("restart", "ovenbird-steward.service")
    assert not names.refusal("restart", "ovenbird-agent.service")
    assert not names.refusal("stop", "ssh.service")
    assert only_loaded("ssh.service") == "ssh.servic[e]"


def test_one_number_says_stay_down() -> None:
    """Written twice, as programs that import the library need not have what the format is read with."""
    assert app.STAY_DOWN == STAY_DOWN
