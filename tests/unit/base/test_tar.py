"""Tarballs of roots: what is taken over, and what is refused with one clear error each."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.base import tar
from ovenbird.errors import RecipeError

AMD64, ARM64 = 62, 183
Mode = Literal["w:", "w:gz", "w:bz2"]


def elf(machine: int) -> bytes:
    """The head of a program: elf(5)."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, machine, 1) + bytes(40)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime, info.mode = kind, link, 1_700_000_000, 0o755
    return info


Pack = Callable[..., Path]
ROOT = {"bin/sh": elf(AMD64), "sbin/init": elf(AMD64), "etc/passwd": b"root:x:0:0::/root:/bin/sh\n"}


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Writes a tarball of files and further members."""

    def _pack(files: dict[str, bytes], *more: tarfile.TarInfo, packed: str = "gz", name: str = "root.tar") -> Path:
        out = tmp_path / name
        with tarfile.open(out, cast("Mode", f"w:{packed}"), format=tarfile.PAX_FORMAT) as archive:
            for path, content in files.items():
                info = member(path)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for info in more:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
        return out

    return _pack


def refused(tarball: Path, *, init: str | None = "/sbin/init") -> str:
    """What is said against a tarball: one error, with its place."""
    with pytest.raises(RecipeError) as caught:
        tar.check(tar.inspect(tarball), tarball, init=init, architecture="amd64")
    assert caught.value.where == str(tarball)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("packed", ["", "gz", "bz2", "xz"])
def test_a_root_is_taken_over(pack: Pack, tmp_path: Path, packed: str) -> None:
    shell = member("bin/ash", tarfile.SYMTYPE, "sh")
    again = member("bin/again", tarfile.LNKTYPE, "bin/sh")
    tarball = pack(ROOT, shell, again, member("dev/null", tarfile.CHRTYPE), member("run/old"), packed=packed)
    root = tar.inspect(tarball)
    tar.check(root, tarball, init="/sbin/init", architecture="amd64")
    assert root.missing == ("no systemd", "no Python")
    assert root.newest == 1_700_000_000
    tar.write_root(tarball, root, tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        names = archive.getnames()
        assert {"proc", "sys", "dev", "run", "data", "var", *ROOT} <= set(names)
        assert not {"dev/null", "run/old"} & set(names)
        assert archive.getmember("bin/ash").linkname == "sh"
        taken = archive.extractfile("bin/again")
        assert taken is not None
        assert taken.read() == ROOT["bin/sh"]


def test_zstd_and_a_root_in_a_folder(pack: Pack, tmp_path: Path) -> None:
    inner = {f"root.x86_64/{name}": content for name, content in ROOT.items()}
    plain = pack(
        {"pkglist.txt": b"", **inner}, member("root.x86_64/bin/b", tarfile.LNKTYPE, "root.x86_64/bin/sh"), packed=""
    )
    packed = tmp_path / "root.tar.zst"
    subprocess.run(["zstd", "-q", plain, "-o", packed], check=True)
    root = tar.inspect(packed)
    assert root.prefix == "root.x86_64"
    tar.check(root, packed, init="/sbin/init", architecture="amd64")
    tar.write_root(packed, root, tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert "bin/sh" in archive.getnames()
        assert "pkglist.txt" not in archive.getnames()
        assert archive.getmember("bin/b").linkname == "bin/sh"


def test_extended_attributes_and_owners_stay(pack: Pack, tmp_path: Path) -> None:
    capable = member("bin/ping")
    capable.pax_headers = {"SCHILY.xattr.security.capability": "x"}
    capable.uid = 1234
    tarball = pack(ROOT, capable)
    tar.write_root(tarball, tar.inspect(tarball), tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        taken = archive.getmember("bin/ping")
        assert (taken.uid, taken.pax_headers["SCHILY.xattr.security.capability"]) == (1234, "x")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((member("../etc/passwd"),), "leads out of the tree"),
        ((member("etc/../../passwd"),), "leads out of the tree"),
        ((member("/etc/passwd"),), "absolute path"),
        ((member("out", tarfile.SYMTYPE, "/etc"), member("out/passwd")), 'through the link "out" (to "/etc")'),
        ((member("out", tarfile.SYMTYPE, "../.."), member("out/a/b")), 'through the link "out"'),
        ((member("stolen", tarfile.LNKTYPE, "/etc/shadow"),), "absolute path"),
        ((member("stolen", tarfile.LNKTYPE, "../../etc/shadow"),), "leads out of the tree"),
        ((member("stolen", tarfile.LNKTYPE, "etc/shadow"),), "no file before it"),
        ((member("out", tarfile.SYMTYPE, "/etc"), member("stolen", tarfile.LNKTYPE, "out/shadow")), "through the link"),
        ((member("srv/disk", tarfile.BLKTYPE),), "device node outside of /dev"),
        ((member("srv/mem", tarfile.CHRTYPE),), "device node outside of /dev"),
        ((member("etc/.wh.passwd"),), "order to delete"),
    ],
)
def test_what_would_be_written_outside_is_refused(pack: Pack, more: tuple[tarfile.TarInfo, ...], said: str) -> None:
    assert said in refused(pack(ROOT, *more))


def test_a_link_may_lead_anywhere_as_long_as_nothing_goes_through_it(pack: Pack) -> None:
    tarball = pack(
        ROOT, member("etc/mtab", tarfile.SYMTYPE, "/proc/self/mounts"), member("up", tarfile.SYMTYPE, "../..")
    )
    tar.check(tar.inspect(tarball), tarball, init="/sbin/init", architecture="amd64")


def test_no_root_inside(pack: Pack) -> None:
    assert "no root file tree" in refused(pack({"README": b"hello", "src/main.c": b""}))
    assert "no root file tree" in refused(pack({}))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x1f\x8b\x08" + bytes(40), b"\x28\xb5\x2f\xfd" + bytes(40)])
def test_no_archive_at_all(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "root.tar"
    file.write_bytes(content)
    assert "no whole tar archive" in refused(file) or "no root file tree" in refused(file)


def test_an_archive_that_was_cut_off(pack: Pack) -> None:
    tarball = pack({**ROOT, "usr/share/noise": bytes(range(256)) * 4096})
    tarball.write_bytes(tarball.read_bytes()[: tarball.stat().st_size // 2])
    assert "no whole tar archive" in refused(tarball)


def test_no_init(pack: Pack) -> None:
    files = {"bin/sh": elf(AMD64), "bin/busybox": elf(AMD64)}
    assert "no init /sbin/init" in refused(pack(files))
    tarball = pack(files)
    root = tar.inspect(tarball)
    with pytest.raises(RecipeError) as caught:
        tar.check(root, tarball, init="/sbin/init", architecture="amd64")
    assert caught.value.hint == 'write `init = "/bin/busybox"` in [base]'
    dangling = member("sbin/init", tarfile.SYMTYPE, "/lib/systemd/systemd")
    assert "no init /sbin/init" in refused(pack(files, dangling))
    around = (member("sbin/init", tarfile.SYMTYPE, "again"), member("sbin/again", tarfile.SYMTYPE, "init"))
    assert "no init /sbin/init" in refused(pack(files, *around))


def test_an_init_behind_links(pack: Pack) -> None:
    links = (
        member("sbin", tarfile.SYMTYPE, "usr/bin"),
        member("bin", tarfile.SYMTYPE, "usr/bin"),
        member("usr/bin/init", tarfile.SYMTYPE, "../lib/systemd/systemd"),
    )
    tarball = pack({"usr/bin/sh": elf(AMD64), "usr/lib/systemd/systemd": elf(AMD64)}, *links)
    tar.check(tar.inspect(tarball), tarball, init="/sbin/init", architecture="amd64")


def test_another_architecture(pack: Pack) -> None:
    foreign = {**ROOT, "sbin/init": elf(ARM64), "bin/sh": elf(ARM64)}
    assert "the root is for arm64 (its /sbin/init is), but the board's architecture is amd64" in refused(pack(foreign))
    script = {**foreign, "sbin/init": b"#!/bin/sh\nexec sleep 1000000\n"}
    assert "its /bin/sh is" in refused(pack(script))


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"usr/lib/systemd/systemd": b"", "usr/bin/python3.13": b"", "lib/ld-linux-x86-64.so.2": b""}, ()),
        ({"usr/lib/systemd/systemd": b"", "usr/bin/python3.9": b""}, ("Python 3.9, which is older than 3.11",)),
        ({"usr/bin/python3.12": b"", "lib/ld-musl-x86_64.so.1": b""}, ("no systemd", "musl in place of glibc")),
    ],
)
def test_what_the_agent_would_miss(pack: Pack, files: dict[str, bytes], missing: tuple[str, ...]) -> None:
    assert tar.inspect(pack({**ROOT, **files})).missing == missing


NAMES = st.lists(st.sampled_from(["..", ".", "", "a", "b", "bin", "sh", "etc"]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), max_size=6))
def test_nothing_that_is_taken_over_leaves_the_tree(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    """Whatever is in an archive: it is refused, or GNU tar unpacks what was made of it and touches nothing else."""
    folder = tmp_path_factory.mktemp("root")
    tarball, out, tree = folder / "in.tar", folder / "out.tar", folder / "room/inner/tree"
    tree.mkdir(parents=True)
    with tarfile.open(tarball, "w") as archive:
        for path, content in ROOT.items():
            info = member(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, kind, link in members:
            archive.addfile(member(name, kind, link))
    try:
        root = tar.inspect(tarball)
        tar.write_root(tarball, root, out)
    except RecipeError:
        return
    subprocess.run(["tar", "-P", "-C", tree, "-xf", out], check=False, capture_output=True)
    assert sorted(path.name for path in (folder / "room").iterdir()) == ["inner"]
    assert sorted(path.name for path in (folder / "room/inner").iterdir()) == ["tree"]
