"""A real agent and a real steward with an app that may be developed; only `systemctl` is a stand-in.

It starts no programs: at a restart of the app it writes down which folder systemd would lay over the packed program.
"""

from __future__ import annotations

import io
import json
import os
import pwd
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests import services
from tests.journal import TestJournal, journal
from tests.unit.device import conftest as device

UNIT = "app-hello.service"
APPS: list[dict[str, object]] = [
    {"name": "hello", "kind": "python", "unit": UNIT, "user": "app-hello", "development": True},
    {"name": "packed", "kind": "python", "unit": "app-packed.service", "user": "app-packed"},
    {"name": "box", "kind": "container", "unit": "app-box.service", "development": True},
    {"name": "mighty", "kind": "go", "unit": "app-mighty.service", "user": "root", "development": True},
]
_STARTS = r"""
case " $* " in *" restart "*" app-hello.service "*)
  conf=@FOLDER@/units.d/app-hello.service.d/50-dev.conf
  program=$(sed -n 's/^BindReadOnlyPaths=\(.*\):.*/\1/p' "$conf" 2>/dev/null)
  [ -z "$program" ] || program=$(readlink -f "$program")  # as systemd does
  echo "${program:-packed}" >> @FOLDER@/programs
  up=$(cut -d' ' -f1 /proc/uptime)
  sed -i "s/^\(ActiveEnter[A-Za-z]*\)=.*/\1=${up%.*}${up#*.}0000/" @FOLDER@/units/app-hello.service ;;
esac
"""


@dataclass
class Bench:
    """A device whose app `hello` may be developed."""

    device: device.Device
    journal: TestJournal

    @property
    def folder(self) -> Path:
        """Everything of it."""
        return self.device.folder

    @property
    def drop_in(self) -> Path:
        """What lays a program over the packed one."""
        return self.folder / f"units.d/{UNIT}.d/50-dev.conf"

    @property
    def orders(self) -> list[str]:
        """What systemd was told, without the questions."""
        told = [one.replace("--no-block --no-ask-password ", "") for one in self.device.orders]
        return [one for one in told if not one.startswith("show ")]

    @property
    def programs(self) -> list[str]:
        """The program's folder of each start; `packed` for the packed one."""
        try:
            return (self.folder / "programs").read_text().split()
        except FileNotFoundError:
            return []

    def client(self) -> httpx.Client:
        """Somebody who knows the password."""
        return self.device.client(auth=("ovenbird", device.PASSWORD))

    def unit(self, name: str, **other: str) -> None:
        """Change a unit."""
        (self.folder / "units" / name).write_text(services.unit(name, **other))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A device of the test's own."""
    tools = services.lay_out(tmp_path)
    (tmp_path / "apps.json").write_text(json.dumps({"apps": APPS, "format": 1}))
    (tmp_path / "units.d").mkdir()
    script = tools / "systemctl"
    first, _, rest = script.read_text().partition("\n")
    script.write_text(f"{first}\n{_STARTS.replace('@FOLDER@', str(tmp_path))}{rest}")
    monkeypatch.setenv("PATH", services.path(tools))
    with journal(tmp_path) as own:
        options = ["--apps", str(tmp_path / "apps.json"), "--journal", str(own.files)]
        running = device.start(tmp_path, *options)
        path = tmp_path / "run/ovenbird/steward.sock"
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
        command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--apps", str(tmp_path / "apps.json")]
        command += ["--state", str(tmp_path / "state"), "--units", str(tmp_path / "units.d")]
        running.stewards.append(subprocess.Popen(command))
        device.wait_for(lambda: device.listens(path))
        made = Bench(running, own)
        for app in APPS:
            made.unit(str(app["unit"]))
        made.unit("ovenbird-dev@hello.timer")
        yield made
        device.stop(running)


def archive(*entries: tuple[str, bytes | str]) -> bytes:
    """A tar of files (bytes) and links (their targets)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
