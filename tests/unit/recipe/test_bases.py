"""[base] of other kinds than Debian's: what must be there, what must not, and stages that need packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.recipe.load import load

from .conftest import IMAGE, Write, Wrong

TAR = f'{IMAGE}[base]\ndistribution = "tar"\ntarball = "root.tar"\nsha256 = "{"0" * 64}"\n'
ARCH = TAR.replace('"tar"', '"arch"', 1) + 'server = "https://mirror.example.org/$repo/os/$arch"\n'


@pytest.fixture(autouse=True)
def tarball(write: Write) -> None:
    write(b"", "root.tar")


def test_as_they_are_written(write: Write, tmp_path: Path) -> None:
    loaded = load(write(TAR + 'init = "/linuxrc"\nkernel = "tarball"\n'))
    assert loaded.recipe.base.tarball == str(tmp_path / "root.tar")
    assert loaded.stages == ()
    text = ARCH + 'packages = ["python-foo_bar", "vim"]\nkeys = ["root.tar"]\n[build]\nstages = ["ssh", "volatile"]\n'
    loaded = load(write(text))
    assert [stage.name for stage in loaded.stages] == ["ssh", "volatile", "cleanup"]
    assert loaded.stages[0].arch == ("openssh", "sudo")
    address = load(write(TAR.replace("root.tar", "https://example.org/root.tar.gz"))).recipe.base.tarball
    assert address == "https://example.org/root.tar.gz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TAR.replace("root.tar", "rot.tar"), 'there is no file "rot.tar"'),
        (TAR.replace("0" * 64, "12ab"), "is no SHA-256"),
        (TAR.replace("sha256", "#"), "`base.sha256` is missing"),
        (TAR.replace("tarball", "#"), "`base.tarball` is missing"),
        (ARCH.replace("server", "#"), "`base.server` is missing"),
        (ARCH.replace("$repo", "core"), "where the repository goes"),
        (TAR + 'packages = ["vim"]\n', '`base.packages` is for the distribution "debian" and "arch"'),
        (TAR + 'server = "https://example.org/$repo"\n', '`base.server` is for the distribution "arch"'),
        (TAR + 'init = "sbin/init"\n', "no absolute path of a program"),
        (TAR + 'init = "/sbin/../init"\n', "no absolute path of a program"),
        (ARCH + 'init = "/linuxrc"\n', '`base.init` is for the distribution "tar"'),
        (ARCH + 'repositories = ["../core"]\n', "no name of a repository"),
        (f'{IMAGE}[base]\ntarball = "root.tar"\n', '`base.tarball` is for the distribution "arch" and "tar"'),
        (TAR + '[build]\nstages = ["ssh"]\n', "stage `ssh` needs packages"),
        (ARCH + '[build]\nstages = ["watchdog"]\n', "stage `watchdog` does not say which packages it needs on Arch"),
        (ARCH.replace('"arch"', '"archlinux"'), '`base.distribution` cannot be "archlinux"'),
    ],
)
def test_one_clear_error(wrong: Wrong, text: str, said: str) -> None:
    (problem,) = wrong(text)
    assert said in problem.message
    assert problem.line


def test_a_stage_of_one_s_own_says_its_packages(write: Write) -> None:
    write("RUN true\n", "mine/Containerfile.part")
    write('packages = ["vim-tiny"]\narch = ["vim"]\n', "mine/stage.toml")
    loaded = load(write(ARCH + '[build]\nstages = ["./mine"]\n'))
    assert loaded.stages[0].arch == ("vim",)
