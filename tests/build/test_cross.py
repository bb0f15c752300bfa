"""Images for another architecture: as a twin, partly emulated, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ovenbird.boards.board import AMD64, ARCHITECTURES
from ovenbird.build.cross.crossing import host_architecture
from ovenbird.build.cross.dpkg import parse
from ovenbird.build.cross.proof import foreign
from ovenbird.build.elf import HEAD, machine_of
from tests.tool import OUTPUT, ROOT, Tool
from tests.verify import unexplained

pytestmark = pytest.mark.build
ARM64 = ROOT / "tests/vm/recipes/arm64"
RECIPE = (
    '[image]\nname="cross"\nversion="1"\nboard="vm-arm64"\n[base]\npackages=[{packages}]\n[build]\nstages=[{stages}]\n'
)
# The stages that the image of `recipes/arm64` begins with, so that all of them are made once.
BEFORE = f'"os", {{use="ssh", keys="{OUTPUT}/keys/*.pub", user="admin"}}, "volatile", '


@pytest.fixture(scope="module")
def image(tool: Tool, key: Path) -> Path:
    """The folder with the image of `recipes/arm64`."""
    out = OUTPUT / "arm64"
    tool.build(ARM64, "--out", out)
    return out


@pytest.fixture(scope="module")
def tree(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its root, unpacked."""
    folder = tmp_path_factory.mktemp("arm64") / "root"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", folder, image / "root.squashfs"], check=True, capture_output=True)
    return folder


def files(tree: Path) -> Iterator[Path]:
    return (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def test_every_program_is_the_targets(tree: Path) -> None:
    target = next(one for one in ARCHITECTURES if one.debian == "arm64")
    assert [path for path in files(tree) if foreign(tree, str(path.relative_to(tree)), target)] == []
    with (tree / "usr/bin/bash").open("rb") as stream:
        assert machine_of(stream.read(HEAD)) == target.facts.elf


def test_no_name_of_this_machine_is_left(tree: Path) -> None:
    triplet = host_architecture().facts.triplet
    assert [path for path in tree.rglob(f"*{triplet}*") if "lib/dpkg" not in str(path)] == []
    assert [path for path in tree.rglob("*") if path.is_symlink() and triplet in str(path.readlink())] == []
    assert str((tree / "opt/probe/libc").readlink()) == "/usr/lib/aarch64-linux-gnu/libc.so.6"
    assert (tree / "opt/probe/twin").read_text().strip() == host_architecture().kernel, "stages ran here"


def test_packages_that_a_stage_installed_are_the_targets(tree: Path) -> None:
    status = {fields["Package"]: fields for fields in parse((tree / "var/lib/dpkg/status").read_text())}
    assert status["iputils-arping"]["Architecture"] == "arm64"
    assert {fields["Architecture"] for fields in status.values()} == {"arm64", "all"}
    with (tree / "usr/bin/arping").open("rb") as stream:
        assert machine_of(stream.read(HEAD)) == 183


def test_a_capability_that_a_script_gave_is_on_the_targets_program(tree: Path) -> None:
    assert os.getxattr(tree / "usr/bin/arping", "security.capability")


def test_dpkg_finds_every_file_as_it_should_be(tree: Path) -> None:
    """This machine's dpkg, which compares digests; tests/vm/test_arm64.py asks the target's own."""
    done = subprocess.run(["dpkg", f"--root={tree}", "--verify"], capture_output=True, text=True, check=False)
    lines, rules = done.stdout.splitlines(), (tree / "etc/dpkg/dpkg.cfg.d/ovenbird").read_text()
    assert unexplained(lines, rules) == []
    assert len(unexplained(lines, "")) > 1000, "documentation is left out, and the rules say so"
    program = tree / "usr/bin/true"
    content = program.read_bytes()
    program.write_bytes(content[:-1])
    done = subprocess.run(["dpkg", f"--root={tree}", "--verify"], capture_output=True, text=True, check=False)
    program.write_bytes(content)
    assert [line.split()[-1] for line in unexplained(done.stdout.splitlines(), rules)] == ["/usr/bin/true"]


def test_an_unchanged_recipe_is_not_made_again(tool: Tool, image: Path) -> None:
    assert tool.build(ARM64, "--out", image) == []


@pytest.fixture
def recipe(tmp_path: Path, image: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/Containerfile.part").write_text("RUN true\n")
    return tmp_path


def write(recipe: Path, part: str, *, stages: str = '"./mine"', packages: str = "") -> Path:
    (recipe / "mine/Containerfile.part").write_text(part)
    (recipe / "ovenbird.toml").write_text(RECIPE.format(stages=BEFORE + stages, packages=packages))
    return recipe


def test_a_program_that_a_stage_made_for_this_machine_stops_the_build(tool: Tool, recipe: Path) -> None:
    done = tool.run("build", write(recipe, "RUN install -D /usr/bin/true /opt/tools/compiled\n"))
    assert done.code == 1
    error = done.err[done.err.index("error: ") :]
    assert f"{recipe}/mine: /opt/tools/compiled is for {host_architecture().debian}, but the board's" in error
    assert "emulate = true" in error
    assert "[[app]]" in error
    assert "Traceback" not in error


def test_a_package_that_the_target_does_not_have_is_named(tool: Tool, recipe: Path) -> None:
    """One of the recipe's own, and one that a stage installs."""
    only = "intel-microcode-none" if host_architecture() is not AMD64 else "grub-pc-bin"
    done = tool.run("build", write(recipe, "RUN true\n", packages=f'"{only}"'))
    assert done.code == 2
    assert f"error: there is no package {only} for arm64" in done.err
    done = tool.run("build", write(recipe, f"RUN apt-get install -y --no-install-recommends {only}\n"))
    assert done.code == 1
    assert f"{recipe}/mine: there is no package {only} for arm64" in done.err


def test_a_stage_is_emulated_where_it_says_so(tool: Tool, recipe: Path) -> None:
    part = "RUN uname -m >/machine; rm -r /etc/skel; mkdir /etc/skel; touch /etc/skel/new\n"
    (recipe / "first").mkdir()
    # What comes before is new each time, so that the store of an earlier run has nothing of it.
    (recipe / "first/Containerfile.part").write_text(f"RUN echo {uuid4()} >/etc/first\n")
    made = tool.build(write(recipe, part, stages='"./first", {use="./mine", emulate=true}'))
    assert made.index("twin") < made.index("stage mine") < made.index("tree")
    root = recipe / "out/root.squashfs"
    read = subprocess.run(["unsquashfs", "-cat", root, "machine"], check=True, capture_output=True, text=True)
    assert read.stdout == "aarch64\n"
    listed = subprocess.run(["unsquashfs", "-l", root, "etc/skel"], check=True, capture_output=True, text=True).stdout
    assert listed.split()[-1].endswith("etc/skel/new")
    assert ".bashrc" not in listed, "a folder that was replaced has nothing of the old one"
    assert not list(Path("/proc/sys/fs/binfmt_misc").glob("ovenbird*")), "the machine's own settings stay"
