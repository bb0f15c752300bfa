"""The support bundle: whole, valid, streamed; and secrets planted wherever a device has them are not in it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import httpx
from tests.lab import wait_for
from tests.unit.services.conftest import Served
from tests.unit.services.test_http import BASIC, HTML, A, sign_in

from ovenbird_device.health import report
from ovenbird_device.provision import password
from ovenbird_device.support.redact import GONE

PLANTED = [f"plant{number}QxZ{number}secret" for number in range(12)]


def bundle(client: httpx.Client) -> zipfile.ZipFile:
    answer = client.get("/support.zip")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert re.match(r'attachment; filename="support-[\w-]+-\d{8}-\d{4}\.zip"\Z', answer.headers["content-disposition"])
    return zipfile.ZipFile(io.BytesIO(answer.content))


def plant(served: Served) -> None:
    """Secrets at all places where a device keeps them, and in all that its programs may say."""
    state = served.device.folder / "state"
    secret = iter(PLANTED)
    (state / "secrets/hello").mkdir(parents=True)
    (state / "secrets/hello/token").write_text(next(secret))
    (state / "tls").mkdir()
    (state / "tls/key.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{next(secret)}\n-----END PRIVATE KEY-----\n")
    (served.device.folder / "etc/ovenbird").mkdir(parents=True)
    (served.device.folder / "etc/ovenbird/wifi.conf").write_text(f"psk={next(secret)}")
    served.journal.say(
        A,
        f"connecting with password={next(secret)}",
        f"GET https://host/?token={next(secret)}",
        f"postgres://app:{next(secret)}@db/app",
        f'{{"api_key": "{next(secret)}", "user": "me"}}',
        f"Authorization: Bearer {next(secret)}",
        f"-----BEGIN EC PRIVATE KEY-----\n{next(secret)}\n{PLANTED[8]}\n-----END EC PRIVATE KEY-----",
        f"typed {BASIC[1]} at the prompt",
        "the last line that says nothing of it",
    )
    served.journal.wait(A, "the last line that says nothing of it")
    lost = f"[1.0] app: secret: {next(secret)} refused\n[2.0] app: secret={next(secret)} refused\n"
    report.keep(report.Trial(number=0, outcome="rolled-back", slot="a", reason="x"), lost.encode(), state / "trials")
    served.unit("ssh.service", Description=f"A page --token {next(secret)}")


def test_planted_secrets_are_not_in_it(served: Served) -> None:
    plant(served)
    with served.device.client(auth=BASIC) as client:
        client.post("/password", data={"old": BASIC[1], "new": "another-device-password"})
        client.auth = ("ovenbird", "another-device-password")
        found = bundle(client)
    kept = password.read(served.device.folder / "state/password.json")
    assert kept is not None
    secrets = [*PLANTED, BASIC[1], "another-device-password", kept.hash, kept.salt, "BEGIN"]
    for name in found.namelist():
        text = found.read(name).decode()
        for secret in secrets:
            assert secret not in text, f"{secret} in {name}"
    assert GONE in found.read("journal/this-boot.txt").decode()
    assert "the last line that says nothing of it" in found.read("journal/this-boot.txt").decode()
    assert GONE in found.read("trials/0001.txt").decode()
    assert json.loads(found.read("services.json"))["units"][-1]["description"] == f"A page --token {GONE}"


def test_it_is_whole_and_others_can_read_it(served: Served, tmp_path: Path) -> None:
    with served.device.client(auth=BASIC) as client:
        answer = client.get("/support.zip")
    (tmp_path / "support.zip").write_bytes(answer.content)
    listed = subprocess.run(
        ["python3", "-m", "zipfile", "-t", str(tmp_path / "support.zip")], capture_output=True, text=True, check=True
    )
    assert "Done testing" in listed.stdout
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    assert found.namelist()[0] == "README.txt"
    for name in found.namelist():
        assert re.fullmatch(r"[\w./-]+", name)
        assert ".." not in name
        if name.endswith(".json") and "/" not in name:
            json.loads(found.read(name))
    assert json.loads(found.read("overview.json"))["image"]["name"] == "hello"
    assert "no such" not in found.read("system/proc-meminfo").decode()
    assert json.loads(found.read("slots.json"))["error"]  # this device was not booted from a slot, and says so


def test_it_needs_the_password_and_comes_once_at_a_time(served: Served) -> None:
    with served.device.client() as client:
        assert client.get("/support.zip").status_code == 401
        assert client.get("/support").status_code == 401
        assert client.get("/support.zip", headers=HTML).status_code == 303
        sign_in(client)
        page = client.get("/support", headers=HTML)
        assert 'href="/support.zip"' in page.text
        assert client.get("/support").status_code == 404
        slow = served.device.folder / "tools/timedatectl"
        slow.write_text("#!/bin/sh\nsleep 60\n")
        slow.chmod(0o755)
        with client.stream("GET", "/support.zip") as first:
            pieces = first.iter_bytes()
            next(pieces)
            assert client.get("/support.zip").status_code == 503
        slow.unlink()
        wait_for(lambda: client.get("/support.zip").status_code == 200)  # who hung up does not block it for good
