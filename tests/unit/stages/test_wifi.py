"""What the stage wifi makes of wpa_supplicant's words: the real script, with a program in that one's place that says
what it said in real runs.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovenbird.recipe.stage import STOCK
from ovenbird_device.facts import network

SCRIPT = STOCK / "wifi/ovenbird-wifi"
ASSOCIATE = "wlan0: Trying to associate with 02:00:00:00:01:00 (SSID='{}' freq=2412 MHz)"
TRY = "wlan0: SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='{}' freq=2412 MHz)"
WRONG_KEY = (
    "wlan0: WPA: 4-Way Handshake failed - pre-shared key may be incorrect\n"
    'wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="{}" auth_failures=1 duration=10 reason=WRONG_KEY'
)
WRONG_SAE = "wlan0: CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=1"
DISABLED = 'wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="{}" auth_failures=1 duration=10 reason=CONN_FAILED'
CONNECTED = "wlan0: CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]"
LOST = "wlan0: CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3"


def told(folder: Path, *lines: str, ssid: str = "Nest", patience: str = "60") -> tuple[network.Radio, str]:
    """What is noted for the page and shown before the login prompt, once all lines were said."""
    said = folder / "said"
    said.write_text("".join(f"{line.format(ssid)}\n" for line in lines))
    program = folder / "wpa_supplicant"
    program.write_text(f'#!/bin/sh\ncat "{said}"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin", "OVENBIRD_RUN": str(folder / "run"), "OVENBIRD_WIFI_PATIENCE": patience,
    }  # fmt: skip
    done = subprocess.run(["sh", SCRIPT, "wlan0"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == said.read_text()
    radio = network.radio(folder / "run/ovenbird/wifi/wlan0")
    assert radio is not None
    issue = folder / "run/issue.d/60-ovenbird-wifi-wlan0.issue"
    return radio, issue.read_text() if issue.exists() else ""


@pytest.mark.parametrize(
    ("lines", "state", "words"),
    [
        ((), "searching", ""),
        ((TRY,), "searching", ""),
        ((TRY, ASSOCIATE, WRONG_KEY), "refused", '"Nest" does not take this device\'s password.'),
        ((TRY, WRONG_SAE), "refused", "does not take"),
        ((TRY, WRONG_SAE, DISABLED), "refused", "does not take"),
        ((TRY, DISABLED), "failed", "perhaps the password is another one"),
        ((TRY, ASSOCIATE, CONNECTED), "connected", ""),
        ((TRY, ASSOCIATE, WRONG_KEY, ASSOCIATE, CONNECTED), "connected", ""),
        ((TRY, ASSOCIATE, CONNECTED, LOST), "lost", ""),
        ((TRY, ASSOCIATE, LOST), "searching", ""),
    ],
)
def test_each_turn_is_told(tmp_path: Path, lines: tuple[str, ...], state: str, words: str) -> None:
    radio, issue = told(tmp_path, *lines)
    assert radio.state == state
    assert words in issue
    assert bool(issue) == bool(words)


@pytest.mark.parametrize(
    ("written", "name", "shown"),
    [
        ("N est", "N est", "N est"),
        (r"Caf\xc3\xa9", "Café", r"Caf\\xc3\\xa9"),
        (r"a\\4\"b", 'a\\4"b', r"a\\\\4\\" + '"b'),
        ("' freq=1 (SSID='x", "' freq=1 (SSID='x", "' freq=1 (SSID='x"),
        ("$(reboot)`x`", "$(reboot)`x`", "$(reboot)`x`"),
        (r"\xff\n", "�?", r"\\xff\\n"),
    ],
)
def test_a_networks_name_is_a_name_only(tmp_path: Path, written: str, name: str, shown: str) -> None:
    """As wpa_supplicant writes it; for agetty a backslash is doubled."""
    radio, issue = told(tmp_path, TRY.replace("{}", written), WRONG_KEY.replace("{}", written))
    assert radio.ssid == name
    assert f'"{shown}" does not take' in issue
    assert issue.count("\n") == 2


def test_an_interface_that_nobody_looks_after_has_no_note(tmp_path: Path) -> None:
    assert network.radio(tmp_path / "wlan0") is None
