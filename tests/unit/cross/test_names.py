"""Names of architectures in paths and in dpkg's database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.boards.board import AMD64, ARCHITECTURES, ARM64, ARMHF
from ovenbird.build.cross.dpkg import Diversions, Names, dump, installed, parse
from ovenbird.build.cross.rooted import Rooted

TO_ARM = Names(AMD64, ARM64)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/aarch64-linux-gnu/libc.so.6"),
        ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"),
        ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"),
        ("lib-dynload/_ssl.cpython-313-x86_64-linux-gnu.so", "lib-dynload/_ssl.cpython-313-aarch64-linux-gnu.so"),
        ("_sysconfigdata__linux_x86_64-linux-gnu.py", "_sysconfigdata__linux_aarch64-linux-gnu.py"),
        ("usr/lib/x86_64-linux-gnux32/libc.so.6", "usr/lib/x86_64-linux-gnux32/libc.so.6"),
        ("usr/share/x86_64", "usr/share/x86_64"),
    ],
)
def test_paths_are_translated(before: str, after: str) -> None:
    assert TO_ARM.path(before) == after
    assert TO_ARM.shows(before) == (before != after)


@given(
    st.lists(st.sampled_from(["usr", "lib", "{}", "x.so", "a-{}.so", "_{}.py", "bin"]), min_size=1),
    st.permutations(ARCHITECTURES),
)
def test_a_translation_can_be_undone(parts: list[str], order: list[object]) -> None:
    host, target = (next(one for one in ARCHITECTURES if one is found) for found in order[:2])
    path = (
        "/".join(parts).format(*[host.facts.triplet] * len(parts))
        if "{}" not in "".join(parts)
        else "/".join(part.format(host.facts.triplet) for part in parts)
    )
    there = Names(host, target).path(path)
    assert host.facts.triplet not in there
    assert Names(target, host).path(there) == path


def test_database_texts_name_the_targets_packages() -> None:
    assert TO_ARM.database("/usr/lib/x86_64-linux-gnu/gio libglib2.0-0t64:amd64/noawait\n") == (
        "/usr/lib/aarch64-linux-gnu/gio libglib2.0-0t64:arm64/noawait\n"
    )
    assert Names(ARM64, ARMHF).database("libc6:arm64, x:arm64ilp32") == "libc6:armhf, x:arm64ilp32"


def test_the_database_of_this_machine_is_written_as_dpkg_wrote_it() -> None:
    """Whatever is installed here, in any state: reading it and writing it again changes nothing."""
    text = Path("/var/lib/dpkg/status").read_text()
    assert dump(parse(text)) == text


def test_a_control_file_becomes_what_dpkg_would_note() -> None:
    control = (
        "Package: p\nSource: s\nVersion: 2\nArchitecture: arm64\nMaintainer: M <m@m>\nInstalled-Size: 5\n"
        "Depends: a(>=1),b|c (<< 2) ,\n d [x]\nSection: net\nPriority: optional\nHomepage: h\n"
        "Description: short\n long\n .\n"
    )
    fields = installed(control, status="install ok installed", conffiles={"/etc/p": "0" * 32})
    assert dump([fields]) == (
        "Package: p\nStatus: install ok installed\nPriority: optional\nSection: net\nInstalled-Size: 5\n"
        "Maintainer: M <m@m>\nArchitecture: arm64\nSource: s\nVersion: 2\n"
        "Depends: a (>= 1), b | c (<< 2), d [x]\n"
        f"Conffiles:\n /etc/p {'0' * 32}\nDescription: short\n long\n .\nHomepage: h\n\n"
    )


@given(st.lists(st.tuples(st.from_regex(r"/[a-z]{1,4}", fullmatch=True), st.sampled_from(["p", "q"])), unique=True))
def test_a_file_is_where_its_diversion_says(moved: list[tuple[str, str]]) -> None:
    unique = dict(moved)
    found = Diversions.parse("".join(f"{path}\n{path}.distrib\n{by}\n" for path, by in unique.items()))
    for path, by in unique.items():
        assert found.place(path, by) == path
        assert found.place(path, "another") == f"{path}.distrib"
    assert found.place("/elsewhere/x", "another") == "/elsewhere/x"


def test_links_are_followed_inside_of_a_tree_and_never_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../../etc")
    (tmp_path / "loop").symlink_to("loop")
    root = Rooted(tmp_path)
    assert root.canonical("/lib/x") == "usr/lib/x"
    assert root.canonical("lib") == "lib"
    assert root.path("/var/run/x") == tmp_path / "run/x"
    assert root.path("up/passwd") == tmp_path / "etc/passwd"
    assert re.fullmatch(r"(loop/?)+x", root.canonical("loop/x"))
