"""Accounts and their SSH keys: which keys are taken, and what then stands in the file that sshd reads."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.device import conftest as device
from tests.unit.services.test_http import BASIC, HTML, sign_in

from ovenbird_device.accounts import keys, users

PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
ovenbird:x:990:990::/nonexistent:/usr/sbin/nologin
admin:x:1000:1000:,,,:/home/admin:/bin/bash
app-web:x:61184:61184::/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/bin/sh
broken
../etc:x:1001:1001::/:/bin/sh
"""
SSHD = "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u /etc/ovenbird/users/%u.keys .ssh/authorized_keys\n"


def make(folder: Path, kind: str = "ed25519", *options: str) -> str:
    """A public key made by ssh-keygen, and its fingerprint as that shows it."""
    path = folder / f"key-{kind}-{len(list(folder.glob('key-*.pub')))}"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"me@{kind}", "-f", str(path), *options]
    subprocess.run(command, check=True)
    return path.with_suffix(".pub").read_text()


def fingerprint(folder: Path, line: str) -> str:
    (folder / "one.pub").write_text(line)
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(folder / "one.pub")], capture_output=True, text=True, check=True
    )
    return told.stdout.split()[1]


@dataclass
class Housed:
    """A device with accounts."""

    device: device.Device
    places: users.Places
    folder: Path

    def kept(self, name: str = "admin") -> str:
        """The keys that were given here."""
        file = self.places.kept_file(name)
        return file.read_text() if file.exists() else ""


@pytest.fixture
def housed(tmp_path: Path) -> Iterator[Housed]:
    """A device of the test's own."""
    places = users.Places(tmp_path / "users", tmp_path / "passwd", tmp_path / "ssh")
    places.passwd.write_text(PASSWD)
    (places.ssh / "sshd_config.d").mkdir(parents=True)
    (places.ssh / "sshd_config.d/10-keys-only.conf").write_text(SSHD)
    (places.ssh / "authorized_keys.d").mkdir()
    options = ("--users", str(places.kept), "--passwd", str(places.passwd), "--ssh", str(places.ssh))
    running = device.start(tmp_path, *options)
    path = tmp_path / "run/ovenbird/steward.sock"
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
    command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--state", str(tmp_path / "state")]
    for name in ("kept", "passwd", "ssh"):
        command += [f"--users-{name}", str(getattr(places, name))]
    running.stewards.append(subprocess.Popen(command))
    device.wait_for(lambda: device.listens(path))
    yield Housed(running, places, tmp_path)
    device.stop(running)


def test_keys_are_given_shown_and_taken(housed: Housed) -> None:
    image, mine, other = (make(housed.folder) for _ in range(3))
    (housed.places.ssh / "authorized_keys.d/admin").write_text(f'# ours\nfrom="10.0.0.0/8" {image}')
    with housed.device.client(auth=BASIC) as client:
        found = client.get("/users").json()
        assert found["ssh"] is True
        assert [one["name"] for one in found["users"]] == ["root", "admin"]
        assert found["users"][1]["keys"] == [
            {"kind": "ssh-ed25519", "fingerprint": fingerprint(housed.folder, image), "comment": "me@ed25519",
             "source": "image"}
        ]  # fmt: skip
        assert client.post("/users/admin/keys", data={"key": f"  {mine}\n"}).status_code == 200
        assert client.post("/users/admin/keys", data={"key": mine}).status_code == 400  # twice
        answer = client.post("/users/admin/keys", data={"key": other})
        assert [one["source"] for one in answer.json()["users"][1]["keys"]] == ["image", "device", "device"]
        assert housed.kept() == mine + other
        assert housed.places.kept_file("admin").stat().st_mode & 0o777 == 0o644
        gone = {"fingerprint": fingerprint(housed.folder, mine)}
        assert client.post("/users/admin/keys/remove", data=gone).status_code == 200
        assert housed.kept() == other
        assert client.post("/users/admin/keys/remove", data=gone).status_code == 404
        image_key = {"fingerprint": fingerprint(housed.folder, image)}
        assert client.post("/users/admin/keys/remove", data=image_key).status_code == 404  # it is the image's
        told = [(one["what"], one["done"]) for one in client.get("/changes").json()["changes"]]
        assert told[-1] == (f"Give admin the key {fingerprint(housed.folder, mine)} me@ed25519", True)


@pytest.mark.parametrize(
    ("kind", "options"), [("ed25519", ()), ("rsa", ("-b", "2048")), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "521"))]
)
def test_kinds_of_keys(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    line = make(tmp_path, kind, *options)
    key = keys.parse(line)
    assert key.line == line
    assert key.fingerprint == fingerprint(tmp_path, line)


def test_what_is_no_key(housed: Housed) -> None:
    good = make(housed.folder)
    short = make(housed.folder, "rsa", "-b", "1024")
    kind, blob, comment = good.split()
    secret = (housed.folder / "key-ed25519-0").read_text()
    bad = {
        "": "one public key",
        "hello": "begins with",
        secret: "private key",
        f"{good}{good}": "one public key",
        f"{kind} {blob[:-9]} {comment}": "damaged",
        f"ssh-rsa {blob} {comment}": "damaged",
        f"{kind} AAAA {comment}": "damaged",
        f"{kind} AAAAB3NzaC1yc2EAAAADAQABAAAAgQ": "damaged",
        f'command="/bin/sh" {good}': "no options",
        f"cert-authority {good}": "no options",
        f"# {good}": "begins with",
        short: "2048 bits",
        f"{kind} {blob} {'x' * 4000}": "one public key",
    }
    with housed.device.client(auth=BASIC) as client:
        for line, says in bad.items():
            answer = client.post("/users/admin/keys", data={"key": line})
            assert answer.status_code == 400, line
            assert says in answer.json()["error"]
        for name in ("nobody", "daemon", "..", "admin%0aroot", "x" * 300):
            assert client.post(f"/users/{name}/keys", data={"key": good}).status_code == 404
        assert client.post("/users/admin/keys", json={"key": good}).status_code == 415
        for number in range(users.MOST_KEYS):
            added = good if number == 0 else make(housed.folder)
            assert client.post("/users/admin/keys", data={"key": added}).status_code == 200
        assert client.post("/users/admin/keys", data={"key": make(housed.folder)}).status_code == 400
        changes = client.get("/changes?count=2000").text
    assert secret.splitlines()[1] not in changes
    assert housed.kept("root") == ""


def test_a_comment_brings_no_line_of_its_own(housed: Housed) -> None:
    kind, blob, _ = make(housed.folder).split()
    with housed.device.client(auth=BASIC) as client:
        text = f"{kind} {blob} a\u2028b\x85c\x0bssh-rsa\x00 <b>d"
        assert client.post("/users/admin/keys", data={"key": text}).status_code == 200
        assert housed.kept().count("\n") == 1
        assert "\x00" not in housed.kept()
        assert "&lt;b&gt;d" in client.get("/users", headers=HTML).text


def test_the_page_and_who_may_see_it(housed: Housed) -> None:
    good = make(housed.folder)
    with housed.device.client(headers=HTML) as client:
        assert client.get("/users").status_code == 303
        assert client.get("/users", headers={"Accept": "*/*"}).status_code == 401
        assert client.post("/users/admin/keys", data={"key": good}).status_code == 303
        sign_in(client)
        own = {"Origin": str(client.base_url)}
        page = client.post("/users/admin/keys", data={"key": "<i>no</i>"}, headers=own)
        assert page.status_code == 400
        assert "&lt;i&gt;no" in page.text
        assert client.post("/users/admin/keys", data={"key": good}, headers=own).status_code == 303
        assert "me@ed25519" in client.get("/users").text
        (housed.places.ssh / "sshd_config.d/10-keys-only.conf").write_text("AuthorizedKeysFile .ssh/authorized_keys\n")
        page = client.get("/users")
        assert "Nobody logs in by keys that are given here." in page.text
        assert "<textarea" not in page.text
    assert housed.kept() == good


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    keys.read(text)
    with suppress(keys.BadKeyError):
        assert keys.parse(text).line.count("\n") == 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        places = users.Places(folder, folder / "passwd", folder)
        places.passwd.write_text(text, "utf-8", "replace")
        users.known(places)
