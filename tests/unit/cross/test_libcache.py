"""The cache of libraries, held against the real ldconfig on libraries of this machine."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ovenbird.boards.board import ARCHITECTURES
from ovenbird.build.cross import libcache
from ovenbird.build.cross.crossing import host_architecture
from ovenbird.build.cross.libcache import encode, entries, generator_of, library_order
from ovenbird.build.cross.rooted import Rooted
from ovenbird.build.elf import is_static, machine_of, read_library

HOST = host_architecture()
LIBRARIES = Path("/usr/lib") / HOST.facts.triplet


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with some of this machine's libraries, and one folder of the tree's own."""
    folder = tmp_path / "usr/lib" / HOST.facts.triplet
    folder.mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    for library in sorted(LIBRARIES.glob("lib[a-m]*.so.*"))[:60]:
        shutil.copy(library, folder, follow_symlinks=False)
    for link in list(folder.iterdir()):
        if not link.exists():
            link.unlink()
    own = tmp_path / "opt/own"
    own.mkdir(parents=True)
    shutil.copy(LIBRARIES / "libc.so.6", own / "libown.so.3")
    (own / "libtext.so").write_text("INPUT(libc.so.6)\n")
    (own / "libbroken.so.1").write_bytes(b"\x7fELF\x02\x01\x01")
    parts = tmp_path / "etc/ld.so.conf.d"
    parts.mkdir(parents=True)
    (tmp_path / "etc/ld.so.conf").write_text(
        "include /etc/ld.so.conf.d/*.conf\n# a comment\n/opt/own  # mine\n/missing\n"
    )
    (parts / "host.conf").write_text(f"/lib/{HOST.facts.triplet}\n/usr/lib/{HOST.facts.triplet}\n")
    return tmp_path


def test_the_cache_is_the_one_that_ldconfig_writes(tree: Path) -> None:
    subprocess.run(["/sbin/ldconfig", "-X", "-r", tree], check=True, capture_output=True)
    real = (tree / libcache.PLACE).read_bytes()
    found = entries(Rooted(tree), HOST.facts)
    assert len(found) > 20
    assert encode(found, HOST.facts, generator_of(real)) == real


def test_libraries_of_another_architecture_are_left_out(tree: Path) -> None:
    other = next(one for one in ARCHITECTURES if one is not HOST)
    assert entries(Rooted(tree), other.facts) == []


NAMES = st.text(st.sampled_from("ab019.-"), max_size=8)


@given(st.lists(NAMES, min_size=2))
def test_the_order_of_libraries_is_an_order(names: list[str]) -> None:
    ordered = sorted(names, key=functools.cmp_to_key(library_order))
    assert all(library_order(one, two) <= 0 for one, two in itertools.pairwise(ordered))
    assert library_order("libx.so.9", "libx.so.10") < 0
    assert all(library_order(name, name) == 0 for name in names)


@given(st.binary(max_size=200))
def test_anything_is_read_without_harm(data: bytes) -> None:
    machine_of(data)
    generator_of(libcache.MAGIC + data)


def test_elf_files_tell_what_they_are() -> None:
    with (LIBRARIES / "libc.so.6").open("rb") as stream:
        assert machine_of(stream.read(64)) == HOST.facts.elf
    library = read_library(LIBRARIES / "libc.so.6")
    assert library is not None
    assert (library.machine, library.soname) == (HOST.facts.elf, "libc.so.6")
    assert not is_static(Path("/bin/true"))
    assert is_static(Path("/sbin/ldconfig"))


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6))
@example([(39, 128)])  # Its program headers are where no file ends.
@example([(64 + 56 * number, 0) for number in range(8)])  # Nothing is loaded at the address of its names.
def test_a_damaged_library_is_no_library_but_no_crash(changes: list[tuple[int, int]]) -> None:
    raw = bytearray((LIBRARIES / "libdl.so.2").read_bytes()[:4096])
    for at, byte in changes:
        raw[at] = byte
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(raw)
        file.flush()
        read_library(Path(file.name))
        is_static(Path(file.name))
