"""What goes wrong in builds: one clear error each, the right exit code, and the former outputs untouched."""

from __future__ import annotations

import os
import re
import shlex
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ovenbird.recipe.size import parse_size
from tests.tool import Done, Project, Tool, digests

pytestmark = pytest.mark.build


@pytest.fixture
def built(tool: Tool, project: Project) -> Iterator[Project]:
    """A project with outputs, which must be the same after the test."""
    tool.build(project.recipe)
    names = ["disk.img", "root.squashfs", "boot.vfat", "manifest.json"]
    former = digests(project.out, names)
    yield project
    assert digests(project.out, names) == former
    assert sorted(file.name for file in project.out.glob(".*")) == []


def one_error(done: Done, code: int) -> str:
    """The text of the one error that a run has ended with."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert len(re.findall(r"^error: ", done.err, re.MULTILINE)) == 1, done.err
    return done.err[done.err.index("error: ") :]


def test_a_stage_that_fails(tool: Tool, built: Project) -> None:
    built.stage(
        "broken", "COPY words /etc/words\nRUN cat /etc/words; echo on purpose >&2; false\n", {"words": b"hear\n"}
    )
    error = one_error(tool.run("build", built.recipe), 1)
    assert "stage broken failed" in error
    assert "on purpose" in error
    assert "hear" in error
    assert str(built.folder / "stages/broken") in error
    hint = re.search(r"ovenbird (shell .* --before broken)", error)
    assert hint
    done = tool.run(*hint[1].split(), "-c", "cat", "-c", "/etc/motd")
    assert done.code == 0, done.err
    assert done.out.startswith("Welcome")
    assert tool.run(*hint[1].split(), "-c", "test", "-c", "-e", "-c", "/etc/words").code == 1


def test_a_stage_with_an_unknown_instruction(tool: Tool, built: Project) -> None:
    built.stage("broken", "RUNN true\n")
    error = one_error(tool.run("build", built.recipe), 1)
    assert "RUNN" in error.upper()


def test_a_stage_that_copies_what_is_not_there(tool: Tool, built: Project) -> None:
    built.stage("broken", "COPY nothing /etc/\n")
    error = one_error(tool.run("build", built.recipe), 1)
    assert "nothing" in error


def test_a_program_of_another_architecture(tool: Tool, built: Project) -> None:
    # The head of an ELF file for 64-bit ARM: elf(5), e_machine 183.
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 183, 1) + bytes(40)
    built.stage("foreign", "COPY tool /usr/bin/tool\n", {"tool": head})
    error = one_error(tool.run("build", built.recipe), 2)
    assert str(built.folder / "stages/foreign/tool") in error
    assert "arm64" in error
    assert "amd64" in error


def test_an_unreachable_mirror(tool: Tool, built: Project) -> None:
    built.add('[base]\nmirror = "http://127.0.0.1:9/debian"')
    error = one_error(tool.run("build", built.recipe), 4)
    assert "127.0.0.1:9" in error
    assert "help: " in error


def test_an_unknown_package(tool: Tool, built: Project) -> None:
    built.add('[base]\npackages = ["no-such-package-here"]')
    error = one_error(tool.run("build", built.recipe), 2)
    assert error.startswith("error: there is no package no-such-package-here for ")


def test_packages_that_exclude_each_other(tool: Tool, built: Project) -> None:
    built.add('[base]\npackages = ["exim4-daemon-light", "postfix"]')
    error = one_error(tool.run("build", built.recipe), 2)
    assert "postfix" in error


def test_a_root_that_is_larger_than_its_slot(tool: Tool, built: Project) -> None:
    built.change('root = "256M"', 'root = "32M"')
    error = one_error(tool.run("build", built.recipe), 1)
    size = (built.out / "root.squashfs").stat().st_size
    over = re.search(r"is (\d+[KM]) larger than its slot of 32M", error)
    assert over
    assert abs(parse_size(over[1]) - (size - (32 << 20))) <= 64 << 10
    assert "systemd" in error
    assert re.search(r'set `root = "\d+M"`', error)


def test_boot_files_that_are_larger_than_their_partition(tool: Tool, built: Project) -> None:
    built.change("[disk]", '[boot]\nmodules = ["xfs", "btrfs", "amdgpu"]\n[disk]\nboot = "24M"')
    done = tool.run("build", built.recipe, "--out", built.folder / "other")
    assert done.code in (0, 1)
    if done.code:
        assert "[disk]" in one_error(done, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
class TestFullDisk:
    """A file system that fills up: in the cache folder, and in the output folder."""

    def small(self, tool: Tool, folder: Path, size: str, *words: str | Path, links: Sequence[Path] = ()) -> Done:
        """Run the tool where `folder` is a file system of that size with some links, in mounts of its own."""
        folder.mkdir(exist_ok=True)
        program = shlex.join([*tool.program, *(str(word) for word in words)])
        linked = "".join(f" && ln -s {shlex.quote(str(link))} '{folder}'" for link in links)
        script = f"mount -t tmpfs -o size={size} small '{folder}'{linked} && exec {program}"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            env=tool.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @pytest.mark.parametrize("size", ["1M", "50M", "120M"])
    def test_output_folder(self, tool: Tool, project: Project, size: str) -> None:
        tool.build(project.recipe)
        error = one_error(self.small(tool, project.folder / "small", size, "build", project.recipe, "--out",
                                     project.folder / "small/out"), 5)  # fmt: skip
        assert "no space left" in error
        assert "help: " in error

    def test_cache_folder(self, empty: Tool, built: Project) -> None:
        packages, index = ((empty.cache / name).readlink() for name in ("packages", "index"))
        built.change("1.0.0", "1.0.1")  # With the same version its outputs would be what is asked for.
        error = one_error(self.small(empty, empty.cache, "150M", "build", built.recipe, links=(packages, index)), 5)
        assert "space" in error
