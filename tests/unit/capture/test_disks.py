"""Disk images as machines: real file systems and partition tables, never mounted, and everything that is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.capture.machines import CAPABILITY, FILES, MIB, debugfs, disk, ext4, fill, members, take

from ovenbird.base import tar
from ovenbird.capture.rules import Rules, parse, read_rules
from ovenbird.errors import DiskFullError, ImageError, UsageError
from ovenbird.files import sha256_of
from ovenbird.recipe.size import parse_size

LUKS = b"LUKS\xba\xbe\x00\x02" + bytes(4096)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 file system with a machine's files. It is shared: change nothing in it."""
    folder = tmp_path_factory.mktemp("machine")
    return ext4(folder / "root.img", fill(folder / "tree"))


def test_everything_that_belongs_to_a_file_is_kept(machine: Path, tmp_path: Path) -> None:
    captured = take(machine, tmp_path / "out", Rules(()))
    found = members(captured)
    for name, content in FILES.items():
        assert found[f"/{name}"][1] == content, name
    ping = found["/usr/bin/ping"][0]
    assert ping.mode == 0o4755
    assert ping.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == CAPABILITY
    assert found["/srv/large"][0].pax_headers["SCHILY.xattr.user.colour"] == "blue"
    notes = found["/home/anna/notes"][0]
    assert (notes.uid, notes.gid) == (70000, 1000)
    assert found["/srv/twin"][0].linkname == "./home/anna/notes"
    assert found["/srv/twin"][0].islnk()
    assert found["/bin"][0].linkname == "usr/bin"
    assert found["/etc/long"][0].linkname == "../" * 30 + "srv/large"
    assert "/srv/null" not in found
    assert found["/srv/pipe"][0].isfifo()
    names = [name.encode("utf-8", "surrogateescape") for name in found]
    assert names == sorted(names)


def test_gnu_tar_unpacks_it(machine: Path, tmp_path: Path) -> None:
    captured = take(machine, tmp_path / "out", Rules(()))
    subprocess.run(
        ["tar", "-C", tmp_path, "--zstd", "-xf", captured.tarball, "--no-same-owner"],
        check=True,
    )
    assert (tmp_path / "srv/large").read_bytes() == FILES["srv/large"]
    assert (tmp_path / "srv/twin").samefile(tmp_path / "home/anna/notes")


def test_what_is_personal_or_useless_is_left_out(machine: Path, tmp_path: Path) -> None:
    captured = take(machine, tmp_path / "out")
    found = members(captured)
    every = b"".join(content for _, content in found.values())
    for secret in (b"secret", b"somebody", b"10.1.2.3", b"0123456789abcdef", b"UUID=1234", b"deb\n"):
        assert secret not in every
    assert found["/etc/shadow"][1].splitlines()[0] == b"root:*:19000:0:99999:7:::"
    assert found["/etc/shadow"][0].mode == 0o640
    assert found["/etc/machine-id"][1] == b""
    assert found["/etc/fstab"][1] == b""
    assert "/var/log/nginx" in found
    assert "/var/log/nginx/access.log" not in found
    assert found["/home/anna/notes"][1] == b"kept\n"
    assert found["/home/anna/.ssh/id_ed25519.pub"][1] == b"public\n"
    assert not [path for path in found if path.startswith("/boot/")]
    assert captured.left > 5


def test_a_kept_file_keeps_the_folders_above_it(machine: Path, tmp_path: Path) -> None:
    rules = Rules(parse("leave /home\ntake /home/anna/notes", "own"))
    found = members(take(machine, tmp_path / "out", rules))
    assert [path for path in found if path.startswith("/home")] == ["/home", "/home/anna", "/home/anna/notes"]


def test_the_base_takes_it(machine: Path, tmp_path: Path) -> None:
    tarball = take(machine, tmp_path / "out", Rules(())).tarball
    root = tar.inspect(tarball)
    tar.check(root, tarball, init="/sbin/init", architecture="amd64")
    assert root.systemd
    tar.write_root(tarball, root, tmp_path / "root.tar")


def test_the_recipe_fits(machine: Path, tmp_path: Path) -> None:
    from ovenbird.recipe.load import load

    captured = take(machine, tmp_path / "out")
    recipe = load(captured.recipe).recipe
    assert (recipe.image.name, recipe.image.board, recipe.base.distribution) == ("kiosk-7", "vm", "tar")
    assert recipe.base.sha256 == captured.sha256 == sha256_of(captured.tarball)
    assert (recipe.base.init, recipe.base.release) == ("/sbin/init", "bookworm")
    assert recipe.disk.root == parse_size("512M")
    assert any("apt-get install" in note and "python3" in note for note in captured.notes)
    captured.recipe.write_text(captured.recipe.read_text().replace("1.0.0", "1.1.0"))
    again = take(machine, tmp_path / "out", Rules(parse("leave /srv", "own", read_rules().rules)))
    recipe = load(again.recipe).recipe
    assert (recipe.image.version, recipe.base.sha256, again.fresh) == ("1.1.0", again.sha256, False)
    assert again.sha256 != captured.sha256


def test_the_same_files_give_the_same_bytes(machine: Path, tmp_path: Path) -> None:
    tree = tmp_path / "again"
    shutil.copytree(machine.with_name("tree"), tree, symlinks=True)
    (tree / "srv/twin").unlink()
    (tree / "srv/twin").hardlink_to(tree / "home/anna/notes")
    other = ext4(tmp_path / "other.img", tree, "-b", "1024", size=40 * MIB)  # Another layout, later.
    rules = Rules(parse("leave /srv/pipe\nleave /lost+found", "own", read_rules().rules))
    first = take(machine, tmp_path / "first", rules)
    assert take(other, tmp_path / "second", rules).sha256 == first.sha256


@pytest.mark.parametrize(
    ("kind", "words"),
    [("ext2", ()), ("ext3", ("-b", "1024")), ("ext4", ("-O", "inline_data,^has_journal")), ("ext4", ("-O", "64bit"))],
)
def test_other_kinds_of_file_system(tmp_path: Path, kind: str, words: tuple[str, ...]) -> None:
    image = ext4(tmp_path / "root.img", fill(tmp_path / "tree"), *words, kind=kind)
    found = members(take(image, tmp_path / "out", Rules(())))
    assert {name: found[f"/{name}"][1] for name in FILES} == FILES
    assert found["/etc/long"][0].linkname == "../" * 30 + "srv/large"


def test_one_that_was_in_use_is_repaired_in_a_copy(machine: Path, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    shutil.copy(machine, image)
    debugfs(image, "feature needs_recovery")
    before = sha256_of(image)
    captured = take(image, tmp_path / "out")
    assert any("repaired" in note for note in captured.notes)
    assert members(captured)["/home/anna/notes"][1] == b"kept\n"
    assert sha256_of(image) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "captured.toml",
        "ovenbird.toml",
        "root.tar.zst",
    ]


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_the_root_among_partitions(machine: Path, tmp_path: Path, label: str) -> None:
    (tmp_path / "music").mkdir()
    data = tmp_path / "data.img"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "music", data, "2M"], check=True)
    image = disk(tmp_path / "disk.img", [("L", data), ("L", machine)], label)
    assert members(take(image, tmp_path / "out"))["/home/anna/notes"][1] == b"kept\n"


def test_more_than_one_root(machine: Path, tmp_path: Path) -> None:
    image = disk(tmp_path / "disk.img", [("L", machine), ("L", machine)])
    with pytest.raises(UsageError, match="more than one root: partitions 1, 2") as caught:
        take(image, tmp_path / "out")
    assert caught.value.hint == "name the one that is meant: --partition 1"
    assert take(image, tmp_path / "out", partition=2).paths
    with pytest.raises(UsageError, match="no partition 3"):
        take(image, tmp_path / "out", partition=3)


def test_disks_without_a_root(machine: Path, tmp_path: Path) -> None:
    for parts, message in (
        ([("L", LUKS)], r"partition 1 is encrypted \(LUKS\)"),
        ([("L", bytes(536) + b"LVM2 001")], "1 LVM volumes"),
        ([("L", b"XFSB"), ("S", bytes(4086) + b"SWAPSPACE2")], "1 xfs, 2 swap"),
        ([], "no partitions"),
    ):
        image = disk(tmp_path / "disk.img", parts)
        with pytest.raises(ImageError, match=message):
            take(image, tmp_path / "out")
    (tmp_path / "luks").write_bytes(LUKS + bytes(MIB))
    with pytest.raises(ImageError, match="encrypted"):
        take(tmp_path / "luks", tmp_path / "out")


def test_files_that_are_no_disks(machine: Path, tmp_path: Path) -> None:
    cases = {"text": b"hello\n", "nothing": b"", "q.qcow2": b"QFI\xfb" + bytes(100)}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError):
            take(tmp_path / name, tmp_path / "out")
    with pytest.raises(UsageError, match="no such file"):
        take(f"{tmp_path}/missing.img", tmp_path / "out")
    with pytest.raises(UsageError, match="neither a file nor a machine"):
        take("-oProxyCommand=x", tmp_path / "out")
    with pytest.raises(UsageError, match="has no slots"):
        take(machine, tmp_path / "out", slot="a")


def test_damage_is_told(machine: Path, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    shutil.copy(machine, image)
    with image.open("r+b") as file:
        file.seek(2048)  # The descriptors of the groups.
        file.write(b"\xff" * 4096)
    with pytest.raises(ImageError):
        take(image, tmp_path / "out")
    with image.open("r+b") as file:
        file.truncate(2 * MIB)
    with pytest.raises(ImageError):
        take(image, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tree_without_an_init(tmp_path: Path) -> None:
    tree = fill(tmp_path / "tree")
    image = ext4(tmp_path / "root.img", tree)
    rules = Rules(parse("leave /usr\nleave /sbin", "own"))
    with pytest.raises(ImageError, match="no init") as caught:
        take(image, tmp_path / "out", rules)
    assert "leave it out" in (caught.value.hint or "")


def test_a_full_disk(machine: Path, tmp_path: Path) -> None:
    script = f"""
mount -t tmpfs -o size=1M none {tmp_path}
exec python3 -c '
import sys
from pathlib import Path
from ovenbird.errors import DiskFullError
from tests.unit.capture.machines import take
try:
    take(Path("{machine}"), Path("{tmp_path}/out"))
except (DiskFullError, OSError) as error:
    print(type(error).__name__, error)
'
"""
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-euc", script], capture_output=True, text=True, check=True
    )
    assert "no space left" in done.stdout.lower(), done
    assert DiskFullError.__name__ in done.stdout or "OSError" in done.stdout
