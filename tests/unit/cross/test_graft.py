"""The graft, held against the real dpkg: a twin becomes what installing the target's packages would have made."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.build.cross.graft import Job, Report, graft_tree
from ovenbird.build.cross.owned import Action, Owned, decide
from ovenbird.build.debs import Entry, Kind

from .debs import Deb, install, program, unpacked

LIBRARY = {"Multi-Arch": "same"}


def pair(name: str = "probe", **more: object) -> tuple[Deb, Deb]:
    """A package for both architectures: a program, a library in its folder with a link, and a text in common."""
    made: list[Deb] = []
    for architecture, triplet in (("amd64", "x86_64-linux-gnu"), ("arm64", "aarch64-linux-gnu")):
        files: dict[str, bytes | str] = {
            f"usr/bin/{name}": program(architecture, name),
            f"usr/lib/{triplet}/lib{name}.so.1.2": program(architecture, name + "lib"),
            f"usr/lib/{triplet}/lib{name}.so.1": f"->lib{name}.so.1.2",
            f"usr/share/{name}/text": b"the same everywhere\n",
            f"etc/{name}.conf": b"setting = 1\n",
        }
        control = {"conffiles": f"/etc/{name}.conf\n", "postinst": f"#!/bin/sh\n# {triplet}\n"}
        made.append(Deb(name, files, architecture, LIBRARY, control, {f"usr/bin/{name}": 0o755}))
    return made[0], made[1]


def graft(tree: Path, *debs: Deb) -> Report:
    """Graft a tree with the target's packages."""
    with tempfile.TemporaryDirectory() as folder:
        packages = unpacked(Path(folder), *debs)
        return graft_tree(tree, Job("amd64", "arm64", [str(package.folder) for package in packages]))


def content(tree: Path) -> dict[str, tuple[object, ...]]:
    """All of a tree that counts: kind, rights, owner, and what is in it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(tree))
        if "dpkg/lock" in name or name.endswith("-old"):
            continue
        inner: object = None
        if path.is_symlink():
            inner = str(path.readlink())
        elif path.is_file():
            inner = path.read_bytes()
        found[name] = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, inner)
    return found


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    """A tree with the package of the host's architecture."""
    tree = tmp_path / "twin"
    install(tree, pair()[0])
    return tree


def test_a_grafted_tree_is_what_dpkg_makes_of_the_targets_packages(twin: Path, tmp_path: Path) -> None:
    install(tmp_path / "real", pair()[1])
    report = graft(twin, pair()[1])
    assert content(twin) == content(tmp_path / "real")
    assert not report.foreign


PATHS = st.sampled_from(
    ["bin/a", "bin/b", "lib/{triplet}/x.so", "lib/{triplet}/deep/y", "share/z", "lib/{triplet}x32/n"]
)


@settings(max_examples=12)
@given(
    st.dictionaries(st.sampled_from(["one", "two"]), st.dictionaries(PATHS, st.booleans(), min_size=1), min_size=1),
    st.dictionaries(st.sampled_from(["one", "two"]), st.sets(PATHS)),
)
def test_any_packages_come_out_as_dpkg_would_have_them(
    packages: dict[str, dict[str, bool]], extra: dict[str, set[str]]
) -> None:
    """`packages`: for each its paths, and whether their content is of one architecture; `extra`: only the target's."""

    def deb(name: str, architecture: str, triplet: str) -> Deb:
        # Two packages share no file: each has a folder of its own.
        paths = {**packages[name], **(dict.fromkeys(extra.get(name, ()), True) if architecture == "arm64" else {})}
        files: dict[str, bytes | str] = {}
        for path, differs in paths.items():
            data = program(architecture, path) if differs else path.encode()
            files[f"usr/{path.format(triplet=triplet)}.{name}"] = data
        return Deb(name, files, architecture, LIBRARY if "two" in packages else {})

    with tempfile.TemporaryDirectory() as folder:
        twin, real = Path(folder) / "twin", Path(folder) / "real"
        install(twin, *(deb(name, "amd64", "x86_64-linux-gnu") for name in packages))
        targets = [deb(name, "arm64", "aarch64-linux-gnu") for name in packages]
        install(real, *targets)
        graft(twin, *targets)
        assert content(twin) == content(real)


def test_what_stages_have_done_stays(twin: Path) -> None:
    (twin / "etc/probe.conf").write_text("setting = 2\n")
    (twin / "usr/share/probe/text").unlink()
    os.chown(twin / "usr/bin/probe", 0, 42)
    (twin / "usr/bin/probe").chmod(0o4750)
    (twin / "etc/mine").write_text("own\n")
    (twin / "usr/lib/x86_64-linux-gnu/plugins").mkdir()
    (twin / "usr/lib/x86_64-linux-gnu/plugins/list.cache").write_text("/usr/lib/x86_64-linux-gnu/plugins/a\n")
    (twin / "etc/alternatives").mkdir()
    (twin / "etc/alternatives/it").symlink_to("/usr/lib/x86_64-linux-gnu/libprobe.so.1")
    graft(twin, pair()[1])
    assert (twin / "etc/probe.conf").read_text() == "setting = 2\n"
    assert not (twin / "usr/share/probe/text").exists()
    status = (twin / "usr/bin/probe").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o4750, 42)
    assert (twin / "usr/bin/probe").read_bytes() == program("arm64", "probe")
    assert (twin / "etc/mine").read_text() == "own\n"
    assert not (twin / "usr/lib/x86_64-linux-gnu").exists()
    plugins = twin / "usr/lib/aarch64-linux-gnu/plugins/list.cache"
    assert plugins.read_text() == "/usr/lib/aarch64-linux-gnu/plugins/a\n"
    assert str((twin / "etc/alternatives/it").readlink()) == "/usr/lib/aarch64-linux-gnu/libprobe.so.1"


def test_attributes_of_the_twin_are_taken_over(twin: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)  # cap_net_raw=ep, linux/capability.h
    os.setxattr(twin / "usr/bin/probe", "security.capability", capability)
    graft(twin, pair()[1])
    assert (twin / "usr/bin/probe").read_bytes() == program("arm64", "probe")
    assert os.getxattr(twin / "usr/bin/probe", "security.capability") == capability


def test_a_packages_program_that_a_stage_replaced_is_found(twin: Path) -> None:
    (twin / "usr/bin/probe").write_bytes(program("amd64", "of a stage"))
    report = graft(twin, pair()[1])
    assert [(one.path, one.architecture) for one in report.foreign] == [("/usr/bin/probe", "amd64")]


def test_a_program_of_nobody_is_found(twin: Path) -> None:
    (twin / "opt").mkdir()
    (twin / "opt/tool").write_bytes(program("amd64"))
    (twin / "opt/other").write_bytes(program("arm64"))
    report = graft(twin, pair()[1])
    assert [(one.path, one.architecture) for one in report.foreign] == [("/opt/tool", "amd64")]


def test_a_package_that_only_the_twin_has_goes(tmp_path: Path) -> None:
    tree = tmp_path / "twin"
    only = Deb("plugin", {"usr/lib/x86_64-linux-gnu/only.so": program("amd64"), "usr/plugin/x": b"x"}, "amd64")
    install(tree, pair()[0], only)
    graft(tree, pair()[1])
    assert not list(tree.rglob("*only.so"))
    assert not (tree / "usr/plugin").exists()
    assert "plugin" not in (tree / "var/lib/dpkg/status").read_text()
    assert not list((tree / "var/lib/dpkg/info").glob("plugin*"))


def test_packages_for_all_architectures_are_left_alone(tmp_path: Path) -> None:
    tree = tmp_path / "twin"
    common = Deb("cross", {"usr/x86_64-linux-gnu/lib/stub": b"text", "usr/share/x86_64-linux-gnu": "->a"}, "all")
    install(tree, pair()[0], common)
    graft(tree, pair()[1])
    assert (tree / "usr/x86_64-linux-gnu/lib/stub").read_bytes() == b"text"
    assert (tree / "usr/share/x86_64-linux-gnu").is_symlink()


def test_diverted_files_stay_diverted(twin: Path) -> None:
    (twin / "usr/bin/probe").rename(twin / "usr/bin/probe.real")
    (twin / "usr/bin/probe").write_text("#!/bin/sh\n")
    (twin / "var/lib/dpkg/diversions").write_text("/usr/bin/probe\n/usr/bin/probe.real\n:\n")
    graft(twin, pair()[1])
    assert (twin / "usr/bin/probe").read_text() == "#!/bin/sh\n"
    assert (twin / "usr/bin/probe.real").read_bytes() == program("arm64", "probe")


def test_merged_folders_are_one(tmp_path: Path) -> None:
    """Packages that still say /lib, in a tree where that is a link to /usr/lib."""
    host = Deb("old", {"lib/x86_64-linux-gnu/old.so": program("amd64")}, "amd64")
    target = Deb("old", {"lib/aarch64-linux-gnu/old.so": program("arm64")}, "arm64")
    for name in ("twin", "real"):
        (tmp_path / name / "usr/lib").mkdir(parents=True)
        (tmp_path / name / "lib").symlink_to("usr/lib")
    install(tmp_path / "twin", host)
    install(tmp_path / "real", target)
    graft(tmp_path / "twin", target)
    assert (tmp_path / "twin/usr/lib/aarch64-linux-gnu/old.so").read_bytes() == program("arm64")
    assert not (tmp_path / "twin/usr/lib/x86_64-linux-gnu").exists()
    assert content(tmp_path / "twin") == content(tmp_path / "real")


KINDS = st.sampled_from([Kind.FILE, Kind.LINK, Kind.HARD])
TEXTS = st.one_of(st.none(), st.sampled_from(["same", "other", "third"]))
MODES = st.sampled_from([stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755])


@given(KINDS, TEXTS, st.one_of(st.none(), TEXTS), st.booleans(), st.one_of(st.none(), MODES), TEXTS)
def test_what_somebody_changed_is_never_overwritten(
    kind: Kind, wanted: str | None, digest: str | None, owned: bool, mode: int | None, now: str | None
) -> None:
    entry = Entry("x", kind, 0o644, "root", "root", 0, wanted or "" if kind is Kind.LINK else "")
    there = None if mode is None else os.stat_result((mode, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    action = decide(entry, wanted, Owned("p", digest) if owned else None, there, now)
    if there is None:
        assert action is (Action.LEAVE if owned else Action.TAKE)
    elif stat.S_ISDIR(there.st_mode):
        assert action is Action.KEEP
    elif action is Action.TAKE and digest is not None and stat.S_ISREG(there.st_mode) and owned:
        assert now == digest, "only what is as it was packaged is replaced"
