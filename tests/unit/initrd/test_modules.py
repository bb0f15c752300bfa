"""Choosing kernel modules: what is needed comes along and before, nothing else does."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.errors import BuildError
from ovenbird.image.initrd import ModuleIndex, canonical, module_name, read_module

DEPENDENCIES = """\
kernel/fs/squashfs/squashfs.ko.xz: kernel/lib/zstd/zstd-decompress.ko.xz kernel/lib/xxhash.ko.xz
kernel/lib/zstd/zstd-decompress.ko.xz: kernel/lib/xxhash.ko.xz
kernel/lib/xxhash.ko.xz:
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/drivers/usb/storage/usb-storage.ko.xz:
kernel/net/unrelated.ko.xz:
"""


def index(folder: Path) -> ModuleIndex:
    (folder / "modules.dep").write_text(DEPENDENCIES)
    (folder / "modules.builtin").write_text("kernel/fs/overlayfs/overlay.ko\n")
    (folder / "modules.softdep").write_text("# comment\nsoftdep ext4 pre: crc32c\nsoftdep jbd2 pre: nothing-known\n")
    (folder / "modules.alias").write_text(
        "# comment\nalias crc32c crc32c_intel\nalias crc32c crc32c_generic\nalias fs-ext4 ext4\n"
        "alias usb:v0001p*d* usb_storage\nalias usb:v0002p*d* unrelated\n"
        "alias devname:loop-control loop\nalias block-major-7-* loop\n"
    )
    return ModuleIndex.read(folder)


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    assert index(tmp_path).closure(["squashfs"]) == ["xxhash", "zstd_decompress", "squashfs"]


def test_soft_dependencies_are_resolved_by_alias(tmp_path: Path) -> None:
    assert index(tmp_path).closure(["ext4"]) == ["jbd2", "crc32c_intel", "crc32c_generic", "ext4"]


def test_dashes_and_underscores_mean_the_same(tmp_path: Path) -> None:
    found = index(tmp_path)
    assert found.closure(["usb_storage"]) == found.closure(["usb-storage"]) == ["usb_storage"]
    assert found.files["usb_storage"].endswith("usb-storage.ko.xz")


def test_built_in_and_unknown_modules_are_left_out(tmp_path: Path) -> None:
    assert index(tmp_path).closure(["overlay", "of-no-such-name"]) == []


def test_only_aliases_of_devices_of_chosen_modules_are_kept(tmp_path: Path) -> None:
    found = index(tmp_path).device_aliases(["usb_storage", "ext4", "loop"])
    assert found == [("usb:v0001p*d*", "usb_storage")]


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no modules\.dep"):
        ModuleIndex.read(tmp_path)


NAMES = [f"m{number}" for number in range(8)]
GRAPHS = st.lists(st.lists(st.sampled_from(range(8)), max_size=4, unique=True), min_size=8, max_size=8)


@given(GRAPHS, st.lists(st.sampled_from(NAMES), max_size=4))
def test_closure_is_complete_ordered_and_no_larger_than_needed(graph: list[list[int]], wanted: list[str]) -> None:
    # modules.dep has no circles: each module needs earlier ones only, and all that these need.
    needs: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(NAMES):
        direct = [NAMES[other] for other in graph[number] if other < number]
        whole = dict.fromkeys([*direct, *(module_name(file) for near in direct for file in needs[near])])
        needs[name] = tuple(f"{other}.ko" for other in sorted(whole, reverse=True))
    made = ModuleIndex({name: f"{name}.ko" for name in NAMES}, needs, frozenset(), {}, ())
    chosen = made.closure(wanted)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == {*wanted, *(module_name(file) for name in wanted for file in needs[name])}
    for place, name in enumerate(chosen):
        assert {module_name(file) for file in needs[name]} <= set(chosen[:place])


@given(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True), st.sampled_from(["", ".xz", ".zst", ".gz"]))
def test_a_name_does_not_depend_on_how_a_file_is_packed(name: str, packing: str) -> None:
    assert module_name(f"kernel/a/{name}.ko{packing}") == canonical(name)


@pytest.mark.parametrize("packing", ["", ".xz", ".gz", ".zst"])
def test_modules_are_unpacked(tmp_path: Path, packing: str) -> None:
    content = b"\x7fELF" + bytes(range(256)) * 10
    file = tmp_path / f"m.ko{packing}"
    if packing == ".zst":
        subprocess.run(["zstd", "-q", "-o", file], input=content, check=True)
    elif packing == ".xz":
        file.write_bytes(lzma.compress(content))
    else:
        file.write_bytes(gzip.compress(content) if packing else content)
    assert read_module(file) == content


@pytest.mark.parametrize("packing", [".xz", ".gz", ".zst", ".lzh"])
def test_a_broken_module_is_a_clear_error(tmp_path: Path, packing: str) -> None:
    file = tmp_path / f"m.ko{packing}"
    file.write_bytes(b"not packed at all")
    with pytest.raises(BuildError):
        read_module(file)
