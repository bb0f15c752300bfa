"""What is taken out of texts, and what stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.provision import password
from ovenbird_device.support.redact import GONE, Redactor, clean

PLAIN = "hunter2hunter2"


@pytest.mark.parametrize(
    "line",
    [
        f"password={PLAIN}",
        f"DB_PASSWORD={PLAIN} and more",
        f'{{"password": "{PLAIN}", "user": "x"}}',
        f"password is {PLAIN}",
        f"Passwort/passwd: {PLAIN}",
        f"wpa_passphrase={PLAIN}",
        f'psk="{PLAIN}"',
        f'psk="{PLAIN} never ends',
        f'psk = "two {PLAIN} words"',
        f"api_key: '{PLAIN}'",
        f"apiKey={PLAIN}",
        f"--token {PLAIN}",
        f"--db-password={PLAIN}",
        f"GET http://user:{PLAIN}@host/path",
        f"mqtt://u:{PLAIN}@broker:1883",
        f"https://host/?access_token={PLAIN}&x=1",
        f"Authorization: Basic {PLAIN}",
        f"authorization: Bearer {PLAIN}.{PLAIN}",
        f"using bearer {PLAIN} for it",
        f"Cookie: a=b; session={PLAIN}",
        f"Set-Cookie: ovenbird-1234={PLAIN}; Path=/",
        f'env: {{\\"SECRET_TOKEN\\": \\"{PLAIN}\\"}}',
        f"client_secret => {PLAIN}",
        f"aws_secret_access_key = {PLAIN}",
        f"eyJhbGciOiJI.{PLAIN}.{PLAIN}",
        f"ghp_{PLAIN}{PLAIN}{PLAIN}",
        f"root:$6$rounds=5000$salt${PLAIN}:19000:0",
        f"$y$j9T${PLAIN}$abc",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PLAIN}\n{PLAIN}\n-----END OPENSSH PRIVATE KEY-----\n",
        f"-----BEGIN PRIVATE KEY-----\\n{PLAIN}\\n-----END PRIVATE KEY----- ok",
        f"    -----BEGIN RSA PRIVATE KEY-----\n    {PLAIN}\n",
    ],
)
def test_what_goes(line: str) -> None:
    found = clean(f"before\n{line}\nafter")
    assert PLAIN not in found
    assert GONE in found
    assert found.startswith("before\n")


def test_passwords_that_devices_make_go() -> None:
    for made in (password.generate() for _ in range(300)):
        assert made not in clean(f"somebody typed {made} here")


@pytest.mark.parametrize(
    "line",
    [
        "GET /page/3 200 in 4 ms",
        "sshd[412]: Accepted publickey for admin from 192.168.1.5 port 50222",
        "kernel: usb 1-1: new high-speed USB device number 2 using xhci_hcd",
        "http://host:8080/path?x=1",
        "systemd[1]: Started app-hello.service - A page.",
        "2026-01-01T00:00:00.000Z x: a@b.example",
        "basic health checks passed",
    ],
)
def test_what_stays(line: str) -> None:
    assert clean(line) == line


def test_json_stays_json() -> None:
    found = json.loads(clean(json.dumps({"password": 'a"b', "message": f'said "token={PLAIN}" twice', "port": 80})))
    assert found["port"] == 80
    assert found["password"] == GONE
    assert PLAIN not in found["message"]


def test_a_key_over_many_pieces_goes_and_the_rest_stays() -> None:
    redactor = Redactor()
    pieces = ["one\n-----BEGIN EC PRIVATE KEY-----\n", f"{PLAIN}\n", f"{PLAIN}\n-----END EC PRIVATE KEY-----\ntwo\n"]
    assert "".join(map(redactor.clean, pieces)) == f"one\n{GONE}\n\ntwo\n"
    endless = Redactor()
    endless.clean("-----BEGIN PRIVATE KEY-----\n")
    lines = [endless.clean(f"line {number}\n") for number in range(1000)]
    assert "".join(lines).count("line") > 500  # a key that never ends does not take the rest of the log along


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    found = clean(text)
    assert found.endswith("\n") == text.endswith("\n") or GONE in found
