"""The password and the console: the real program, run as at boot."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird_device.provision import console, password


def provision(folder: Path, credential: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run provisioning as its unit does, in folders of the test."""
    environment = {key: value for key, value in os.environ.items() if key != "CREDENTIALS_DIRECTORY"}
    if credential is not None:
        (folder / "credentials").mkdir(exist_ok=True)
        (folder / "credentials/ovenbird.password").write_bytes(credential)
        environment["CREDENTIALS_DIRECTORY"] = str(folder / "credentials")
    for name in ("dev", "sys/class/tty/console", "run/ovenbird"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("ttyS0", "tty0"):
        (folder / "dev" / name).touch()
    (folder / "sys/class/tty/console/active").write_text("tty0 ttyS0\n")
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.provision", "--state", str(folder / "state")]
    command += ["--runtime", str(folder / "run"), "--devices", str(folder / "dev"), "--system", str(folder / "sys")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def kept(folder: Path) -> password.PasswordFile:
    file = password.read(folder / "state/password.json")
    assert file is not None
    return file


def banner(folder: Path) -> str:
    return (folder / "run/issue.d/50-ovenbird.issue").read_text()


def shown(text: str) -> str:
    found = re.search(r"password:  (\S+)", text)
    assert found is not None
    return found[1]


def test_first_boot_generates_and_shows_once(tmp_path: Path) -> None:
    done = provision(tmp_path)
    assert done.returncode == 0, done.stderr
    word = shown(banner(tmp_path))
    assert re.fullmatch(r"[a-z]{5}-[a-z]{5}-[a-z]{5}", word)
    assert password.matches(kept(tmp_path), word)
    assert kept(tmp_path).origin == "generated"
    for console_file in ("ttyS0", "tty0"):
        assert shown((tmp_path / "dev" / console_file).read_text()) == word
    # Neither the journal nor data ever holds the password itself.
    assert word not in done.stdout + done.stderr
    assert word not in (tmp_path / "state/password.json").read_text()
    assert stat.S_IMODE((tmp_path / "state/password.json").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "run/issue.d/50-ovenbird.issue").stat().st_mode) == 0o600
    before = (tmp_path / "state/password.json").read_bytes()
    assert provision(tmp_path).returncode == 0
    assert (tmp_path / "state/password.json").read_bytes() == before
    assert "password:  " not in banner(tmp_path)
    assert "device's password" in banner(tmp_path)


def test_a_credential_always_wins(tmp_path: Path) -> None:
    provision(tmp_path)
    assert provision(tmp_path, b"given by the owner\n").returncode == 0
    assert password.matches(kept(tmp_path), "given by the owner")
    assert kept(tmp_path).origin == "credential"
    before = (tmp_path / "state/password.json").read_bytes()
    provision(tmp_path, b"given by the owner")
    assert (tmp_path / "state/password.json").read_bytes() == before
    provision(tmp_path, b"another")
    assert password.matches(kept(tmp_path), "another")
    assert "another" not in banner(tmp_path)


@pytest.mark.parametrize("useless", [b"", b"\n", b"x" * 600, b"a\0b"])
def test_a_useless_credential_is_told_and_passed_over(tmp_path: Path, useless: bytes) -> None:
    done = provision(tmp_path, useless)
    assert "ovenbird.password is empty, too long or not text" in done.stderr
    assert kept(tmp_path).origin == "generated"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"algorithm":"scrypt"}', b"\xff\xff"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/password.json").write_bytes(damage)
    (tmp_path / "state/password.json.new").write_bytes(b"left by a power cut")
    assert provision(tmp_path).returncode == 0
    assert password.matches(kept(tmp_path), shown(banner(tmp_path)))


def test_degraded_data_is_on_the_console(tmp_path: Path) -> None:
    (tmp_path / "run/ovenbird").mkdir(parents=True)
    (tmp_path / "run/ovenbird/boot").write_text("data=degraded\ndata_reason=bad \\4 superblock\n")
    assert provision(tmp_path).returncode == 0
    assert "Data is degraded: bad \\\\4 superblock" in banner(tmp_path)


def test_state_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    done = provision(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "could not be kept" in done.stderr
    assert "sign in" in banner(tmp_path).lower()


def test_generated_passwords_differ() -> None:
    assert len({password.generate() for _ in range(500)}) == 500


def test_hostile_files_match_nothing() -> None:
    good = password.make("word", "generated")
    assert password.matches(good, "word")
    assert not password.matches(good, "Word")
    assert not password.matches(good, "word" * 200)
    for change in (
        {"algorithm": "plain"},
        {"cost": 1 << 40},
        {"cost": 3},
        {"cost": 0},
        {"block": -1},
        {"lanes": 0},
        {"hash": ""},
        {"hash": "###"},
        {"salt": "é"},
    ):
        assert not password.matches(msgspec.structs.replace(good, **change), "word")


@settings(max_examples=10)
@given(st.text(max_size=100))
def test_any_password_matches_itself_alone(text: str) -> None:
    made = password.make(text.encode("utf-8", "replace").decode(), "credential")
    assert password.matches(made, text.encode("utf-8", "replace").decode())
    assert not password.matches(made, text + "x")
    assert json.loads(msgspec.json.encode(made))["cost"] == 1 << 14


@given(st.text())
def test_any_reason_leaves_the_escapes_harmless(reason: str) -> None:
    text = console.banner(None, reason)
    line = next((one for one in text.split("\n") if "Data is degraded" in one), "")
    assert "\\" not in line.replace("\\\\", "")
