"""The further pages of the device, on the devices that other tests use too, and on one that has everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import services
from tests.journal import journal
from tests.lab import Lab, Maker, lab
from tests.unit.services.conftest import served

from .test_storage import Sysfs
from .test_users import PASSWD, SSHD

__all__ = ["served"]


@pytest.fixture
def whole(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A device with all that a device can have, and nothing of this machine within its reach."""
    folder = tmp_path / "device"
    folder.mkdir()
    tools = services.lay_out(folder)
    (tools / "networkctl").write_text("#!/bin/sh\nexit 0\n")
    (tools / "networkctl").chmod(0o755)
    sysfs = Sysfs.make(folder / "sys", "vda", "pci0000:00/virtio2", {})
    interface = sysfs.folder / "class/net/eth0"
    (interface / "device").mkdir(parents=True)
    (interface / "type").write_text("1\n")
    (folder / "passwd").write_text(PASSWD)
    (folder / "ssh/sshd_config.d").mkdir(parents=True)
    (folder / "ssh/sshd_config.d/10-keys-only.conf").write_text(SSHD)
    with journal(tmp_path) as own:
        own.say("app-hello.service", "one line", "another line")
        own.wait("app-hello.service", "another line")
        agent = ["--apps", folder / "apps.json", "--journal", own.files, "--system", sysfs.folder]
        agent += ["--networks", folder / "networks", "--users", folder / "users", "--passwd", folder / "passwd"]
        agent += ["--ssh", folder / "ssh"]
        steward = ["--apps", folder / "apps.json", "--system", sysfs.folder, "--network-kept", folder / "networks"]
        steward += ["--network-active", folder / "active", "--users-kept", folder / "users"]
        steward += ["--network-note", folder / "run/ovenbird/network/pending.json"]
        steward += ["--certificates", folder / "run/ovenbird/tls"]
        steward += ["--users-passwd", folder / "passwd", "--users-ssh", folder / "ssh"]
        with lab(folder, maker, *map(str, agent), steward_extra=tuple(map(str, steward))) as running:
            yield running
