"""The same recipe as another user, in another folder, under another locale, time zone and umask, from an empty store
and an installed package: the same bytes, and the right owners.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird_device.format.manifest import load_manifest
from tests.tool import HELLO, ROOT, Done, Tool, digests

pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a user takes root"),
]
NAME = "ovenbird-test"
OUTPUTS = ["initrd", "kernel", "boot.vfat", "root.squashfs", "disk.img", "disk.bmap"]
# What a user has from the surroundings: how packages are reached, and nothing else.
PASSED = re.compile(r"(PIP|UV|SSL|REQUESTS)_.*|.*_proxy|.*_PROXY")


@dataclass(frozen=True)
class User:
    """A user with subordinate ids and a home of its own."""

    home: Path

    def run(self, script: str, within: float = 600) -> Done:
        """Run a shell script as the user, who sees little of our surroundings."""
        passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
        environment = {
            **passed,
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "tr_TR.UTF-8",
            "TZ": "Pacific/Kiritimati",
        }
        command = ["setpriv", "--reuid", NAME, "--regid", NAME, "--init-groups", "sh", "-euc", f"umask 077\n{script}"]
        done = subprocess.run(
            command, env=environment, cwd=self.home, capture_output=True, text=True, timeout=within, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """A user for the time of these tests."""
    home = Path("/var/lib") / NAME
    subprocess.run(["userdel", "--force", NAME], capture_output=True, check=False)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", NAME], check=True)
    subprocess.run(["usermod", "--add-subuids", "700000-765535", "--add-subgids", "700000-765535", NAME], check=True)
    home.chmod(0o700)
    try:
        yield User(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run(["userdel", "--force", NAME], capture_output=True, check=False)


CROSS = '[image]\nname="cross"\nversion="1"\nboard="vm-arm64"\n[build]\nstages=["os", {use="./mine", emulate=true}]\n'
PART = "RUN uname -m >/machine && rm -r /etc/skel && mkdir /etc/skel && chown daemon /etc/skel\n"


@pytest.fixture(scope="module")
def crossed(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for another architecture, as root builds it: a twin, and a stage that is emulated."""
    folder = tmp_path_factory.mktemp("cross")
    (folder / "mine").mkdir()
    (folder / "ovenbird.toml").write_text(CROSS)
    (folder / "mine/Containerfile.part").write_text(PART)
    tool.build(folder)
    return folder / "out"


@pytest.fixture(scope="module")
def built(user: User, cache: Path, hello: Path, crossed: Path) -> Path:
    """The outputs of the user's build."""
    copy_lists(cache, user.home / ".cache/ovenbird")
    project = user.home / "another place"
    shutil.copytree(HELLO, project, ignore=shutil.ignore_patterns("out"))
    for path in project.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    wheel = make_wheel(user.home / "wheel")
    subprocess.run(["chown", "-R", f"{NAME}:", user.home], check=True)
    done = user.run(f"/usr/bin/python3 -m venv ~/venv && ~/venv/bin/pip install -q {wheel}")
    assert done.code == 0, done.err
    done = user.run("~/venv/bin/ovenbird doctor")
    assert done.code == 0, done.out
    done = user.run('~/venv/bin/ovenbird build "another place"')
    assert done.code == 0, done.err
    return project / "out"


def copy_lists(source: Path, target: Path) -> None:
    """Give a new cache the package lists and packages of another, so that both mean the same versions."""
    target.mkdir(parents=True)
    for name in ("packages", "index"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*.lock", "archives-*"))
    for settings in (target / "index").glob("*/apt.conf"):
        settings.write_text(settings.read_text().replace(str(source), str(target)))


def make_wheel(folder: Path) -> Path:
    """The package as it is published, out of this checkout."""
    folder.mkdir()
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "-q", "--wheel", "--no-config", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def differences(one: Path, other: Path) -> str:
    """Which files of two roots differ, for the message of a failure."""
    tool = Path(sys.executable).with_name("ovenbird")
    command = [str(tool), "diff", str(one / "root.squashfs"), str(other / "root.squashfs")]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_same_bytes(built: Path, hello: Path) -> None:
    ours, theirs = (load_manifest((out / "manifest.json").read_bytes()) for out in (hello, built))
    assert theirs.steps == ours.steps  # The same inputs,
    assert digests(built, OUTPUTS) == digests(hello, OUTPUTS), differences(hello, built)  # so the same bytes.
    assert theirs == ours


def test_same_bytes_for_another_architecture(user: User, built: Path, crossed: Path) -> None:
    project = user.home / "cross"
    shutil.copytree(crossed.parent, project, ignore=shutil.ignore_patterns("out"))
    subprocess.run(["chown", "-R", f"{NAME}:", project], check=True)
    done = user.run("~/venv/bin/ovenbird build cross", within=1800)
    assert done.code == 0, done.err
    assert digests(project / "out", OUTPUTS) == digests(crossed, OUTPUTS), differences(crossed, project / "out")


def test_outputs_belong_to_the_user(built: Path, user: User) -> None:
    owner = user.home.stat().st_uid
    assert all(path.stat().st_uid == owner for path in [built, *built.iterdir()])
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in built.iterdir() if path.is_file())


def test_nothing_is_left_over(user: User, built: Path) -> None:
    assert list((user.home / ".cache/ovenbird/scratch").iterdir()) == []
    listed = subprocess.run(["ps", "-u", NAME, "-o", "args="], capture_output=True, text=True, check=False).stdout
    assert listed.strip() == ""
    assert user.run('~/venv/bin/ovenbird build "another place" --json').json()["made"] == []


def test_capabilities_of_files_are_kept(user: User, built: Path, tmp_path: Path) -> None:
    # capabilities(7): revision 2 with the effective bit, cap_net_raw permitted. Root's own user namespace sees it so.
    value = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    stage = user.home / "another place/stages/greeting/Containerfile.part"
    code = f"import os; os.setxattr('/usr/bin/true', 'security.capability', bytes.fromhex('{value.hex()}'))"
    stage.write_text(f'RUN python3 -c "{code}"\n')
    done = user.run('~/venv/bin/ovenbird build "another place" --out capable')
    assert done.code == 0, done.err
    tree = tmp_path / "tree"
    image = user.home / "capable/root.squashfs"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", tree, image, "usr/bin/true"], check=True)
    assert os.getxattr(tree / "usr/bin/true", "security.capability") == value


def test_shell_store_and_clean_up_as_user(user: User, built: Path) -> None:
    done = user.run('~/venv/bin/ovenbird shell "another place" -c stat -c --format=%u:%g -c /etc/shadow')
    assert (done.code, done.out.strip()) == (0, "0:42"), done.err
    done = user.run("~/venv/bin/ovenbird store gc")
    assert done.code == 0, done.err
    steps = user.home / ".cache/ovenbird/steps"
    assert not list(steps.glob("*/*/step.json"))


def test_owners_rights_and_capabilities(hello: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", tree, hello / "root.squashfs"], check=True)
    shadow = (tree / "etc/shadow").stat()
    assert (shadow.st_uid, shadow.st_gid, stat.S_IMODE(shadow.st_mode)) == (0, 42, 0o640)
    assert stat.S_IMODE((tree / "usr/bin/passwd").stat().st_mode) == 0o4755
    assert stat.S_IMODE((tree / "tmp").stat().st_mode) == 0o1777
    journal = (tree / "var/log/journal").stat() if (tree / "var/log/journal").exists() else None
    assert journal is None or journal.st_gid != 0
    owners = {path.lstat().st_uid for path in tree.rglob("*")}
    users = {int(line.split(":")[2]) for line in (tree / "etc/passwd").read_text().splitlines()}
    assert owners <= users


def test_nothing_carries_the_day_of_the_build(hello: Path, tmp_path: Path) -> None:
    epoch = load_manifest((hello / "manifest.json").read_bytes()).epoch
    assert epoch < time.time() - 60
    tree = tmp_path / "tree"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", tree, hello / "root.squashfs"], check=True)
    assert [path for path in tree.rglob("*") if path.lstat().st_mtime > epoch] == []
    today = time.gmtime()
    if time.strftime("%F", time.gmtime(epoch)) < time.strftime("%F", today):
        texts = [time.strftime(form, today) for form in ("%Y-%m-%d", "%Y%m%d", "%d %b %Y", "%a %b %e")]
        words = [word for text in texts for word in ("-e", text)]
        found = subprocess.run(["grep", "-rlF", *words, tree], capture_output=True, text=True, check=False).stdout
        assert found == ""
