"""The proof: what of a tree the target's machines do not run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovenbird.boards.board import AMD64, ARM64, ARMHF
from ovenbird.build.context import check_machine
from ovenbird.build.cross.proof import foreign
from ovenbird.errors import RecipeError

from .debs import program


def put(tree: Path, path: str, content: bytes) -> str:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_bytes(content)
    return path


def test_programs_are_told_by_their_machine(tmp_path: Path) -> None:
    path = put(tmp_path, "opt/x", program("amd64"))
    assert foreign(tmp_path, path, ARM64) == "amd64"
    assert foreign(tmp_path, path, AMD64) is None


def test_what_runs_on_the_same_processors_is_fine(tmp_path: Path) -> None:
    path = put(tmp_path, "opt/x", b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x28\0" + bytes(40))
    assert foreign(tmp_path, path, ARM64) is None
    assert foreign(tmp_path, path, ARMHF) is None
    assert foreign(tmp_path, path, AMD64) == "armhf"


def test_firmware_and_programs_for_no_processor_are_fine(tmp_path: Path) -> None:
    assert foreign(tmp_path, put(tmp_path, "usr/lib/firmware/x", program("amd64")), ARM64) is None
    bpf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\0\xf7\0" + bytes(40)
    assert foreign(tmp_path, put(tmp_path, "usr/lib/x.bpf.o", bpf), ARM64) is None


def test_archives_are_looked_into(tmp_path: Path) -> None:
    put(tmp_path, "one.txt", b"odd")
    put(tmp_path, "two.o", program("amd64"))
    subprocess.run(["ar", "rcS", "lib.a", "one.txt", "two.o"], cwd=tmp_path, check=True)
    assert foreign(tmp_path, "lib.a", ARM64) == "amd64"
    assert foreign(tmp_path, "lib.a", AMD64) is None
    assert foreign(tmp_path, put(tmp_path, "broken.a", b"!<arch>\nxx"), ARM64) is None


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        (["py3-none-any"], None),
        (["cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux2014_x86_64"], "amd64"),
        (["cp313-cp313-manylinux_2_17_aarch64"], None),
        (["cp313-cp313-linux_armv7l"], None),  # 64-bit ARM runs it.
    ],
)
def test_wheels_are_told_by_their_tags(tmp_path: Path, tags: list[str], verdict: str | None) -> None:
    text = "Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags)
    path = put(tmp_path, "usr/lib/python3/dist-packages/x-1.dist-info/WHEEL", text.encode())
    assert foreign(tmp_path, path, ARM64) == verdict
    assert foreign(tmp_path, put(tmp_path, f"opt/x-1-{tags[0]}.whl", b"PK"), ARM64) == verdict


def test_files_of_a_stages_folder_are_told_in_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a program for amd64, but the board's architecture is arm64"):
        check_machine(tmp_path / put(tmp_path, "tool", program("amd64")), "arm64")
    bpf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\0\xf7\0" + bytes(40)
    for name, content in (("x.bpf.o", bpf), ("firmware/dsp", program("amd64")), ("own", program("arm64"))):
        check_machine(tmp_path / put(tmp_path, name, content), "arm64")
