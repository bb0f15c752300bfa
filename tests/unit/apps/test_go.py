"""Go programs: how they are asked for, and made by the real Go on a machine that has it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from ovenbird.build.apps import step
from ovenbird.build.apps.go import ARCHITECTURES
from ovenbird.build.elf import MACHINES
from ovenbird.build.inputs import Tools
from ovenbird.errors import BuildError, HostError
from ovenbird.host import missing_tool_hint

from .conftest import AMD64, ARM64, Load, Make, Write, contents

GO = shutil.which("go")


@pytest.fixture
def module(write: Write) -> Path:
    """A module with a program that prints nothing, so that little of Go's own library is compiled."""
    write("server/go.mod", "module example.com/server\n\ngo 1.19\n")
    write("server/cmd/hello/main.go", "package main\n\nfunc main() { println(Where) }\n")
    write("server/cmd/hello/device.go", '//go:build ovenbird\n\npackage main\n\nconst Where = "device"\n')
    return write("server/cmd/hello/elsewhere.go", '//go:build !ovenbird\n\npackage main\n\nvar Where int = "x"\n')


def test_what_goes_into_the_key(read: Load, write: Write, module: Path) -> None:
    write("shared/go.mod", "module example.com/shared\n\ngo 1.19\n")
    write("shared/shared.go", "package shared\n")
    write("server/go.mod", "module example.com/server\n\ngo 1.19\n\nreplace example.com/shared => ../shared\n")
    write("server/.git/HEAD")
    text = "[[app]]\nname = 'a'\ngo = './server/cmd/hello'\n"
    [app] = read(text).recipe.app
    inputs = step.app_inputs(app, AMD64)
    assert inputs["go"] == "cmd/hello"
    assert {name for name in inputs if name.startswith("file")} == {
        "file go.mod", "file cmd/hello/main.go", "file cmd/hello/device.go", "file cmd/hello/elsewhere.go",
        "file ../shared/go.mod", "file ../shared/shared.go",
    }  # fmt: skip
    assert str(module.parents[2]) not in str(inputs), "a key must not depend on where the module lies"
    [other] = read(text + "build_flags = ['-ldflags=-X=main.a=b']\n").recipe.app
    assert step.app_inputs(other, AMD64) != inputs
    assert step.app_inputs(app, ARM64) != inputs


def test_a_public_module_is_known_by_its_version(read: Load) -> None:
    [app] = read("[[app]]\nname = 'a'\ngo = 'example.com/cmd/a@v1.2.3'\n").recipe.app
    inputs = step.app_inputs(app, AMD64)
    assert inputs["go"] == "example.com/cmd/a@v1.2.3"
    assert not any(name.startswith("file") for name in inputs)


def test_every_architecture_has_go_s_name() -> None:
    assert set(ARCHITECTURES) == set(MACHINES)


def test_a_machine_without_go_gets_the_command_that_brings_it(
    read: Load, make: Make, module: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert missing_tool_hint("go") == "sudo apt-get install golang-go"
    monkeypatch.setattr("ovenbird.run.SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(_only(tmp_path / "bin", "setpriv")))
    [app] = read("[[app]]\nname = 'a'\ngo = './server/cmd/hello'\n").recipe.app
    with pytest.raises(HostError, match="go is not installed") as caught:
        make(app)
    assert caught.value.hint == "sudo apt-get install golang-go"


def _only(folder: Path, tool: str) -> Path:
    folder.mkdir()
    found = shutil.which(tool)
    assert found is not None
    (folder / tool).symlink_to(found)
    return folder


if GO is not None:

    def test_a_module_of_this_machine(read: Load, make: Make, module: Path) -> None:
        [app] = read("[[app]]\nname = 'a'\ngo = './server/cmd/hello'\n").recipe.app
        first, second = make(app), make(app)
        program = first / "program/a"
        head = program.read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == MACHINES["amd64"]
        assert program.stat().st_mode & stat.S_IXOTH
        assert contents(first / "program") == contents(second / "program")
        assert b"device" in program.read_bytes(), "the tag ovenbird was not set"
        assert str(module.parent).encode() not in program.read_bytes()

    def test_a_program_that_does_not_compile_says_why(read: Load, make: Make, write: Write, module: Path) -> None:
        write("server/cmd/hello/main.go", "package main\n\nfunc main() { wobble() }\n")
        [app] = read("[[app]]\nname = 'a'\ngo = './server/cmd/hello'\n").recipe.app
        with pytest.raises(BuildError) as caught:
            make(app)
        assert "undefined: wobble" in caught.value.message
        assert caught.value.where == "app a"

    def test_a_library_is_no_program(read: Load, make: Make, write: Write, module: Path) -> None:
        write("server/lib/lib.go", "package lib\n\nconst A = 1\n")
        [app] = read("[[app]]\nname = 'a'\ngo = './server/lib'\n").recipe.app
        with pytest.raises(BuildError, match="a library, not a program"):
            make(app)

    def test_a_module_that_wants_a_newer_go(read: Load, make: Make, write: Write, module: Path) -> None:
        write("server/go.mod", "module example.com/server\n\ngo 1.999\n")
        write("server/cmd/hello/main.go", "package main\n\nfunc main() { wobble() }\n")  # An old Go just tries.
        [app] = read("[[app]]\nname = 'a'\ngo = './server/cmd/hello'\n").recipe.app
        with pytest.raises(BuildError) as caught:
            make(app)
        assert caught.value.hint is not None
        assert "it needs Go 1.999" in caught.value.hint

    def test_a_module_that_is_not_there(read: Load, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOPROXY", "off")
        [app] = read("[[app]]\nname = 'a'\ngo = 'example.com/cmd/a@v1.2.3'\n").recipe.app
        with pytest.raises(BuildError) as caught:
            make(app)
        assert "example.com/cmd/a@v1.2.3" in caught.value.message
        assert caught.value.where == "app a"

    def test_go_s_version_is_part_of_the_key(tmp_path: Path) -> None:
        assert Tools(tmp_path / "tools.json").inputs("go")["tool go"].startswith("go version go1.")
