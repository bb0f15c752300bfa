"""What init does with the state on data, its own text run by a shell on made-up folders: every order of power cuts.

Mounting is left out (a real boot does that in tests/vm); everything that writes to data is the real thing. A cut is
simulated before each command that changes something: the shell and all its children are killed there, and the next boot
must end in exactly what an undisturbed one ends in.
"""

from __future__ import annotations

import shutil
import signal
import stat
import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.image.initrd import INIT

FUNCTIONS = INIT.read_text().partition("# --- the way through")[0]
FRAME = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
new=$1 slot=$2 hash=$3 cut=$4
say() { :; }
mount() { :; }
umount() { :; }
steps=0
step() { steps=$((steps + 1)); [ "$steps" != "$cut" ] || kill -9 0; }
for name in mv rm cp mkdir sync chown chmod; do
    eval "$name() { step; command $name \\"\\$@\\"; }"
done
read_state
[ "${5-}" = "" ] || var=$5
here=/data/slots/$slot
prepare_state || exit 1
echo "$slot" >$new/data/slots/last
"""


def boot(device: Path, slot: str, content: str, *, cut: int = 0) -> int:
    """One boot's state work; with `cut`, the power fails before that many'th change. Returns the shell's exit code."""
    words = ["sh", "-c", FUNCTIONS + FRAME, "init", str(device), slot, content, str(cut)]
    return subprocess.run(words, start_new_session=True, check=False, stderr=subprocess.DEVNULL).returncode


def write(device: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = device / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def install(device: Path, version: str) -> None:
    """The image's side of a device: what the squashfs would show."""
    for folder in ("etc", "var", "home", "root", "usr", "opt"):
        shutil.rmtree(device / folder, ignore_errors=True)
    write(
        device,
        {
            "usr/lib/ovenbird/state": "var persistent\npersist /etc/app\npersist /opt/app data\n",
            "etc/app/conf": f"from {version}",
            "etc/os": version,
            "etc/ssh/sshd_config": version,
            "var/lib/dpkg/status": version,
            "var/lib/thing/seed": version,
            f"var/lib/only-{version}/file": version,
            "home/user/.profile": version,
            "root/.profile": version,
            "opt/app data/seed": version,
        },
    )
    (device / "etc/ssh").chmod(0o711)
    (device / "root").chmod(0o700)


def first_life(device: Path) -> None:
    """What a device does with itself while it runs slot a."""
    upper = device / "data/slots/a/etc"
    write(
        upper,
        {
            "machine-id": "f00d",
            "ssh/ssh_host_key": "secret",
            "app/conf": "mine",
            "ovenbird/network/static": "10.0.0.1",
            "other": "gone with the slot",
        },
    )
    (upper / "ssh/ssh_host_key").chmod(0o600)
    (upper / "ssh").chmod(0o711)
    write(device, {"data/var/lib/thing/seed": "changed", "data/var/lib/thing/own": "mine", "data/home/user/x": "x"})
    (device / "data/var/lib/only-1/file").unlink()


def tree(folder: Path) -> dict[str, tuple[str, str]]:
    """Every path below a folder with its mode and content."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.rglob("*")):
        mode = stat.filemode(path.lstat().st_mode)
        found[str(path.relative_to(folder))] = (mode, path.read_text() if path.is_file() else "")
    return found


@pytest.fixture
def device(tmp_path: Path) -> Path:
    made = tmp_path / "device"
    (made / "data").mkdir(parents=True)
    install(made, "1")
    return made


def test_the_first_boot_hands_over_what_the_image_brings(device: Path) -> None:
    assert boot(device, "a", "hash1") == 0
    data = tree(device / "data")
    assert data["slots/a/content"][1] == "hash1\n"
    assert data["slots/a/etc"][0] == "drwxr-xr-x"
    assert not [name for name in data if name.startswith("slots/a/etc/")]
    assert data["var/lib/thing/seed"][1] == "1"
    assert data["root"][0] == "drwx------"
    assert data["persist/opt/app data/seed"][1] == "1"
    assert not [name for name in data if ".new" in name or name.endswith("/old")]


def test_a_second_boot_changes_nothing(device: Path) -> None:
    boot(device, "a", "hash1")
    first_life(device)
    before = tree(device / "data")
    assert boot(device, "a", "hash1") == 0
    assert tree(device / "data") == before


def test_an_update_gets_a_fresh_etc_with_what_persists(device: Path) -> None:
    boot(device, "a", "hash1")
    first_life(device)
    install(device, "2")
    assert boot(device, "b", "hash2") == 0
    data = tree(device / "data")
    assert {
        name.removeprefix("slots/b/etc/"): value for name, value in data.items() if name.startswith("slots/b/etc/")
    } == {
        "machine-id": ("-rw-r--r--", "f00d"),
        "ssh": ("drwx--x--x", ""),
        "ssh/ssh_host_key": ("-rw-------", "secret"),
        "app": ("drwxr-xr-x", ""),
        "app/conf": ("-rw-r--r--", "mine"),
        "ovenbird": ("drwxr-xr-x", ""),
        "ovenbird/network": ("drwxr-xr-x", ""),
        "ovenbird/network/static": ("-rw-r--r--", "10.0.0.1"),
    }
    assert data["slots/a/etc/other"][1] == "gone with the slot"
    assert data["var/lib/thing/seed"][1] == "changed"
    assert data["var/lib/only-2/file"][1] == "2"
    assert "var/lib/only-1/file" not in data  # removed on the device: each path is handed over once
    assert "var/lib/dpkg/status" not in data or data["var/lib/dpkg/status"][1] == "1"
    assert data["home/user/.profile"][1] == "1"


def test_a_slot_that_is_written_over_keeps_its_own(device: Path) -> None:
    boot(device, "a", "hash1")
    first_life(device)
    install(device, "2")
    assert boot(device, "a", "hash2") == 0
    data = tree(device / "data")
    assert data["slots/a/etc/app/conf"][1] == "mine"
    assert "slots/a/etc/other" not in data
    assert "slots/a/old" not in data


@pytest.mark.parametrize("case", ["first boot", "update", "written over"])
def test_a_power_cut_at_any_point_is_made_good_by_the_next_boot(device: Path, tmp_path: Path, case: str) -> None:
    slot, content = "a", "hash1"
    if case != "first boot":
        boot(device, "a", "hash1")
        first_life(device)
        install(device, "2")
        slot, content = ("b" if case == "update" else "a"), "hash2"
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(device, undisturbed, symlinks=True)
    assert boot(undisturbed, slot, content) == 0
    expected = tree(undisturbed / "data")
    cut = 0
    while True:
        cut += 1
        disturbed = tmp_path / "disturbed"
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(device, disturbed, symlinks=True)
        ended = boot(disturbed, slot, content, cut=cut)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        assert boot(disturbed, slot, content) == 0
        assert tree(disturbed / "data") == expected, f"cut before change {cut}"
    assert cut > 15


def test_a_power_cut_before_the_marker_never_leaves_a_half_made_etc_for_good(device: Path, tmp_path: Path) -> None:
    """Two cuts in a row, at every pair of the last points: the worst that the order of renames has to bear."""
    boot(device, "a", "hash1")
    first_life(device)
    install(device, "2")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(device, undisturbed, symlinks=True)
    boot(undisturbed, "a", "hash2")
    expected = tree(undisturbed / "data")
    for first in range(3, 60, 11):
        for second in range(2, 60, 13):
            disturbed = tmp_path / "disturbed"
            shutil.rmtree(disturbed, ignore_errors=True)
            shutil.copytree(device, disturbed, symlinks=True)
            boot(disturbed, "a", "hash2", cut=first)
            boot(disturbed, "a", "hash2", cut=second)
            assert boot(disturbed, "a", "hash2") == 0
            assert tree(disturbed / "data") == expected, f"cuts before changes {first} and {second}"


RESET = (
    FRAME.partition("read_state")[0]
    + """
note() { echo "$1"; }
factory_reset
"""
)


def factory_reset(device: Path, *, cut: int = 0) -> int:
    """What a boot does with an order to reset, with the power cut before that many'th change."""
    words = ["sh", "-c", FUNCTIONS + RESET, "init", str(device), "a", "hash", str(cut)]
    return subprocess.run(words, start_new_session=True, check=False, stderr=subprocess.DEVNULL).returncode


@pytest.fixture
def lived(device: Path) -> Path:
    """A device that has been used for a while."""
    boot(device, "a", "hash1")
    first_life(device)
    own = {"password.json": "hash", "changes.jsonl": "x", "secrets/web/token": "x", ".hidden": "x", "..odd": "x"}
    write(device / "data/ovenbird", own)
    write(device / "data", {".hidden": "x", "..odd": "x", "apps/a b/file": "x", "lost+found/#1": "x"})
    (device / "precious").mkdir()
    (device / "precious/file").write_text("not on data")
    (device / "data/link").symlink_to(device / "precious")
    return device


def test_without_an_order_nothing_is_erased(lived: Path) -> None:
    before = tree(lived / "data")
    assert factory_reset(lived) == 0
    assert tree(lived / "data") == before


def test_a_factory_reset_leaves_the_password_and_the_next_boot_begins_anew(lived: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    (new / "data").mkdir(parents=True)
    install(new, "1")
    assert boot(new, "a", "hash1") == 0
    write(new / "data", {"ovenbird/password.json": "hash", "lost+found/#1": "x"})
    write(lived / "data/ovenbird", {"factory-reset": '"factory reset"'})
    assert factory_reset(lived) == 0
    assert sorted(path.name for path in (lived / "data").iterdir()) == ["lost+found", "ovenbird"]
    assert [path.name for path in (lived / "data/ovenbird").iterdir()] == ["password.json"]
    assert (lived / "precious/file").is_file()
    assert boot(lived, "a", "hash1") == 0
    assert tree(lived / "data") == tree(new / "data")


def test_a_factory_reset_that_is_cut_off_is_gone_on_with(lived: Path, tmp_path: Path) -> None:
    write(lived / "data/ovenbird", {"factory-reset": '"factory reset"'})
    cut = 0
    while True:
        cut += 1
        disturbed = tmp_path / "disturbed"
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(lived, disturbed, symlinks=True)
        ended = factory_reset(disturbed, cut=cut)
        assert (disturbed / "data/ovenbird/password.json").read_text() == "hash"
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        assert factory_reset(disturbed) == 0
        left = sorted(str(path.relative_to(disturbed / "data")) for path in (disturbed / "data").rglob("*"))
        assert left == ["lost+found", "lost+found/#1", "ovenbird", "ovenbird/password.json"], f"cut {cut}"
    assert cut > 10


@settings(max_examples=25)
@given(st.uuids())
def test_a_partuuid_is_turned_into_its_bytes_on_disk(value: uuid.UUID) -> None:
    for text in (str(value), str(value).upper()):
        script = f'{FUNCTIONS}\nPATH=/usr/bin:/bin\non_disk {text}\necho "$bytes"'
        found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        assert found == value.bytes_le.hex()


def test_times_are_numbers_that_a_shell_can_reckon_with(tmp_path: Path) -> None:
    for uptime, expected in {"0.05": "50", "0.95": "950", "2.07": "2070", "120.00": "120000"}.items():
        (tmp_path / "uptime").write_text(f"{uptime} 1.00\n")
        script = FUNCTIONS.replace("/proc/uptime", str(tmp_path / "uptime")) + "\nnow\necho $((ms + 0))"
        assert (
            subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip() == expected
        )
