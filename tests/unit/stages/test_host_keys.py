"""`ssh-host-keys`, the script that a device runs at each boot: with the real ssh-keygen, also after a power cut."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovenbird.recipe.stage import STOCK

SCRIPT = STOCK / "ssh" / "ssh-host-keys"


def make(folder: Path, kinds: str = "ed25519 ecdsa") -> dict[str, bytes]:
    """Run the script; the files that are there afterwards."""
    subprocess.run(["sh", SCRIPT, folder], env={"HOST_KEYS": kinds, "PATH": "/usr/bin:/bin"}, check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_first_boot_makes_keys_for_the_owner_only(tmp_path: Path) -> None:
    files = make(tmp_path)
    assert sorted(files) == [
        "ssh_host_ecdsa_key",
        "ssh_host_ecdsa_key.pub",
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
    ]
    assert (tmp_path / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_two_devices_have_different_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert not set(make(tmp_path / "one").values()) & set(make(tmp_path / "two").values())


def test_later_boots_keep_the_keys(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)


@pytest.mark.parametrize("left", [0, 1, 100, 300])
def test_a_key_that_was_cut_short_is_made_again(tmp_path: Path, left: int) -> None:
    before = make(tmp_path)
    key = tmp_path / "ssh_host_ed25519_key"
    key.write_bytes(before[key.name][:left])
    after = make(tmp_path)
    assert after["ssh_host_ecdsa_key"] == before["ssh_host_ecdsa_key"]
    assert after[key.name] != before[key.name]
    known = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert known.split()[1] == after["ssh_host_ed25519_key.pub"].decode().split()[1]


def test_a_public_half_that_was_lost_comes_from_the_private_one(tmp_path: Path) -> None:
    before = make(tmp_path)
    public = tmp_path / "ssh_host_ed25519_key.pub"
    public.write_bytes(b"")
    after = make(tmp_path)
    assert after["ssh_host_ed25519_key"] == before["ssh_host_ed25519_key"]
    assert after[public.name].split()[1] == before[public.name].split()[1]


def test_leftovers_of_a_power_cut_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / ".new-ssh_host_ed25519_key").write_text("half a k")
    assert ".new-ssh_host_ed25519_key" not in make(tmp_path, "ed25519")
