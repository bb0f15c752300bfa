"""A machine over SSH: a real sshd of this machine, whose logins are in a small tree with GNU's own tools."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.capture.machines import FILES, fill, members, take

from ovenbird.capture.job import Captured
from ovenbird.capture.remote import Address, Remote
from ovenbird.capture.rules import Rules
from ovenbird.errors import HostError, NetworkError, OvenbirdError, UsageError

PROGRAMS = ("sh", "find", "tar", "id", "sed")
# Whoever is not root is it in a namespace of its own.
APART = "" if os.geteuid() == 0 else "unshare --map-root-user "


@dataclass(frozen=True)
class Server:
    """A running sshd, and the tree that it leads to."""

    tree: Path
    port: int
    key: Path
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    def address(self) -> Address:
        return Address.parse(self.name, port=self.port, key=str(self.key), options=self.options)


def tools(tree: Path) -> None:
    """Put the host's programs, with their libraries, into a tree."""
    for program in PROGRAMS:
        path = shutil.which(program)
        assert path
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        libraries = [word for word in said.split() if word.startswith("/")]
        for file in (path, *libraries):
            target = tree / file.lstrip("/") if file in libraries else tree / "usr/bin" / program
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(file, target)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """An SSH server on a port of its own, for one key."""
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o755)
    tree = fill(folder / "tree")
    tools(tree)
    (tree / "dev").mkdir()
    (tree / "dev/null").touch()
    os.setxattr(tree / "srv/large", "user.colour", b"blue\0\xff")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    enter = folder / "enter"
    enter.write_text(f'#!/bin/sh\nPATH=$PATH:/usr/sbin exec {APART}chroot {tree} /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    enter.chmod(0o755)
    settings = [
        f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={folder / 'host'}", f"ForceCommand={enter}", "UsePAM=no",
        f"AuthorizedKeysFile={folder / 'user.pub'}", "StrictModes=no", "PidFile=none", "PermitRootLogin=yes",
    ]  # fmt: skip
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    words = [word for setting in settings for word in ("-o", setting)]
    daemon = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < end
            assert daemon.poll() is None
            time.sleep(0.05)
        options = ("StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={folder / 'known'}", "IdentitiesOnly=yes")
        yield Server(tree, port, folder / "user", options)
    finally:
        daemon.terminate()
        daemon.wait()


def of(
    server: Server,
    out: Path,
    rules: Rules | None = None,
    *,
    name: str | None = None,
    port: int | None = None,
    key: Path | None = None,
    options: Sequence[str] | None = None,
) -> Captured:
    """Capture that machine, or one that is reached nearly as it is."""
    return take(
        name or server.name,
        out,
        rules,
        port=port or server.port,
        key=str(key or server.key),
        options=server.options if options is None else options,
    )


def test_a_machine_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    captured = of(server, tmp_path / "out", Rules(()))
    found = members(captured)
    for name, content in FILES.items():
        if name != "usr/bin/sh":
            assert found[f"/{name}"][1] == content, name
    assert found["/usr/bin/ping"][0].mode == 0o4755
    colour = found["/srv/large"][0].pax_headers["SCHILY.xattr.user.colour"]
    assert colour.encode("utf-8", "surrogateescape") == b"blue\0\xff"
    hard = [found[f"/{name}"][0].islnk() for name in ("home/anna/notes", "srv/twin")]
    assert hard == [False, True]
    assert found["/etc/long"][0].linkname == "../" * 30 + "srv/large"
    names = [name.encode("utf-8", "surrogateescape") for name in found]
    assert names == sorted(names)


def test_again_it_gives_the_same_bytes_without_what_is_personal(server: Server, tmp_path: Path) -> None:
    first = of(server, tmp_path / "first")
    (server.tree / "var/log/new.log").write_text("somebody\n")
    (server.tree / "tmp/new").touch()
    second = of(server, tmp_path / "second")
    assert first.sha256 == second.sha256
    found = members(second)
    every = b"".join(content for path, (_, content) in found.items() if not path.startswith(("/usr/bin/", "/lib")))
    assert b"secret" not in every
    assert b"somebody" not in every
    assert found["/etc/shadow"][1].startswith(b"root:*:")
    assert second.recipe.read_text().count("kiosk-7") == 1


def test_files_that_go_meanwhile_are_left_out(server: Server) -> None:
    remote = Remote.reach(server.address())
    assert remote.paths()
    read = [entry.path for entry, _ in remote.read(["/etc/hostname", "/etc/gone", "/srv"])]
    assert read == ["/etc/hostname", "/srv"]
    assert remote.notes == ["1 files were gone before they could be read"]


def test_machines_that_cannot_be_reached(server: Server, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = nobody.getsockname()[1]
        with pytest.raises(NetworkError, match="Connection refused") as caught:
            of(server, tmp_path / "out", port=closed)
    assert "--port" in (caught.value.hint or "")
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    with pytest.raises(NetworkError, match="Permission denied") as caught:
        of(server, tmp_path / "out", key=stranger)
    assert "ssh-copy-id" in (caught.value.hint or "")
    options = (f"UserKnownHostsFile={tmp_path / 'none'}", "GlobalKnownHostsFile=/dev/null")
    with pytest.raises(NetworkError, match="Host key verification failed"):
        of(server, tmp_path / "out", options=options)
    with pytest.raises(NetworkError, match="Could not resolve"):
        of(server, tmp_path / "out", name="root@no-such-machine.invalid")
    assert list((tmp_path / "out").iterdir()) == []


def test_machines_that_lack_something(server: Server) -> None:
    def instead(program: str, script: str) -> OvenbirdError:
        real = server.tree / "usr/bin" / program
        aside = real.with_suffix(".aside")
        real.rename(aside)
        try:
            real.write_text(f"#!/bin/sh\n{script}\n")
            real.chmod(0o755)
            with pytest.raises(HostError) as caught:
                Remote.reach(server.address())
            return caught.value
        finally:
            aside.replace(real)

    assert "not root, and sudo asks" in instead("id", "echo 1000").message
    assert "not GNU tar" in instead("tar", "echo bsdtar 3.7").message
    assert "findutils" in (instead("find", "exit 1").hint or "")


@pytest.mark.parametrize("name", ["-oProxyCommand=touch", "a b", "root@", "host;reboot", ""])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="neither a file nor a machine"):
        Address.parse(name)
