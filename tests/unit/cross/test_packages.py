"""What the packages of an architecture lack, told in one line: by a private apt, out of an archive in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ovenbird.base.apt import Index
from ovenbird.boards.board import AMD64, ARMHF
from ovenbird.build import compiled
from ovenbird.build.cross.crossing import Crossing
from ovenbird.build.packages import find_packages
from ovenbird.errors import RecipeError

PACKAGE = """\
Package: {name}
Version: 1
Architecture: {architecture}
Maintainer: nobody <nobody@example.org>
Depends: {depends}
Filename: ./{name}.deb
Size: 1
SHA256: {digest}
Description: a test

"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    """An archive with `there`, and with `wants`, which depends on what there is not."""
    folder = tmp_path / "archive"
    folder.mkdir()
    packages = "".join(
        PACKAGE.format(name=name, architecture="armhf", depends=depends, digest=hashlib.sha256(b"x").hexdigest())
        for name, depends in (("there", "base-files | there"), ("wants", "missing"))
    )
    (folder / "Packages").write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    (folder / "Release").write_text(f"Architectures: amd64 armhf\nSHA256:\n {digest} {len(packages)} Packages\n")
    return f"deb [trusted=yes] file:{folder} ./"


def error(source: str, cache: Path, names: list[str]) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        find_packages(Crossing(ARMHF, ARMHF), cache, [source], (), names)
    return caught.value


def test_what_there_is_is_found(source: str, tmp_path: Path) -> None:
    found = find_packages(Crossing(ARMHF, ARMHF), tmp_path / "cache", [source], (), ["there"])
    assert [package.name for package in found.target] == ["there"]


def test_packages_that_there_are_not_are_named(source: str, tmp_path: Path) -> None:
    told = error(source, tmp_path / "cache", ["there", "nosuch", "missing"])
    assert told.message == "there is no package nosuch, missing for armhf"
    assert "`sources` in [base]" in str(told.hint)


def test_packages_that_cannot_be_installed_are_told_in_apts_words(source: str, tmp_path: Path) -> None:
    told = error(source, tmp_path / "cache", ["wants"])
    assert told.message.startswith("the packages cannot be installed together on armhf:")
    assert "missing" in told.message


def test_a_release_without_the_compiler_of_the_agents_libraries_is_told_as_that(source: str, tmp_path: Path) -> None:
    way = Crossing(AMD64, ARMHF)
    host, target = (Index.at(tmp_path / "cache", [source], one.debian, ()) for one in (AMD64, ARMHF))
    for index in (host, target):
        index.refresh()
    with pytest.raises(RecipeError) as caught:
        compiled.find_compiler(way, host, target, "3.13")
    assert "gcc-arm-linux-gnueabihf for amd64, and msgspec of the agent's is compiled with it" in caught.value.message
    assert "64 bits" in str(caught.value.hint)
