"""Updates beside the plain way and beside SWUpdate, in one guest: how fast a slot is filled, and how long it all takes.

The plain way is `cat` of the images to the partitions, `sync`, and a SHA-256 over the same files: the least that has to
be done. Ours additionally checks the signature, unpacks, reads back what it wrote, and arms the trial. Everything is
read from the guest's own data partition, in turns, with empty caches: ours once as from a USB stick, and once uploaded
to the agent, which the other two are not. Ours is measured from the order to the armed trial; what it takes to start
the steward and a client, which does not grow with the bundle, stands in a line of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.vm.guest import SSH, Guest, guest

from bench.measure import OVENBIRD, ROOT, Report, median, timed
from ovenbird.vm.network import ADDRESS

ROUNDS = 3
PASSWORD = "tobak-mirun-depol"
# The block devices are the inactive slot's. What a script writes to $own counts instead of the seconds it took.
PLAIN = """
cat /data/boot.vfat >/dev/disk/by-partlabel/boot-b
cat /data/root.squashfs >/dev/disk/by-partlabel/root-b
sync
sha256sum /data/boot.vfat /data/root.squashfs
"""
OURS = """
cd /usr/lib/ovenbird && python3 -c '
import asyncio
import sys
import time
from pathlib import Path
from ovenbird_device.steward import client, protocol
from ovenbird_device.update import usb

steward = Path(protocol.SOCKET)
order = protocol.Update(reboot=False, force=True)
asyncio.run(client.slots(steward))
begin = time.monotonic()
assert asyncio.run(usb.install(Path("/data/measured.swu"), steward, order)).state == "armed"
Path(sys.argv[1]).write_text(str(time.monotonic() - begin))
' $own
"""
UPLOADED = f"""
curl -sS --fail-with-body -u ovenbird:{PASSWORD} -T /data/measured.swu 'http://localhost/update?reboot=0&force=1'
"""
SWUPDATE = """
swupdate -i /data/measured.swu -k /data/updates.pem -H ovenbird:vm -e stable,copy-2 -B none
sync
"""


def measure() -> Report:
    """Measure, in turns."""
    report = Report("update: filling a slot beside cat and swupdate, and an update from end to end")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        environment = {"OVENBIRD_KEYS": str(folder / "private"), "XDG_CONFIG_HOME": str(folder / "config")}
        project = _project(folder, environment)
        timed([OVENBIRD, "build", project, "--bundle"], environment)
        out = project / "out"
        with guest(out, folder, password=PASSWORD, key=folder / "key") as device:
            _put(device, *(out / name for name in ("measured.swu", "boot.vfat", "root.squashfs")))
            _put(device, project / "keys/updates.pem")
            ways = {"cat, sync, sha256sum": PLAIN, "ours": OURS, "swupdate": SWUPDATE, "ours, uploaded": UPLOADED}
            seen: dict[str, list[float]] = {way: [] for way in ways}
            started: list[float] = []
            for _ in range(ROUNDS):
                for way, script in ways.items():
                    whole, own = _timed_inside(device, script)
                    seen[way].append(own)
                    if way == "ours":
                        started.append(whole - own)
            size = sum((out / name).stat().st_size for name in ("boot.vfat", "root.squashfs")) / 1e6
            for way, times in seen.items():
                report.add(f"{way}: {size:.0f} MB", median(times))
                report.add(f"{way}: throughput", size / median(times), "MB/s")
            report.add("ours: starting the steward and its client, before", median(started))
            pairs = list(zip(seen["ours"], seen["cat, sync, sha256sum"], strict=True))
            report.add("plain way's throughput / ours", median([a / b for a, b in pairs]), "times", 1 / 0.8)
            beside = zip(seen["ours"], seen["swupdate"], strict=True)
            report.add("ours / swupdate", median([a / b for a, b in beside]), "times")
            for phase, seconds in _whole_update(device, out / "measured.swu", environment).items():
                report.add(f"  whole update: {phase}", seconds)
    return report


def _project(folder: Path, environment: dict[str, str]) -> Path:
    project = folder / "project"
    shutil.copytree(ROOT / "bench/recipes/update", project)
    timed([OVENBIRD, "keys", "new", "--to", project / "keys"], environment)
    timed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", folder / "key"])
    shutil.copy(folder / "key.pub", project / "keys")
    return project


def _put(device: Guest, *files: Path) -> None:
    """Copy files to the guest's data partition."""
    for file in files:
        words = ["-i", str(device.key), "-p", str(device.machine.port(22)), "-l", "admin", ADDRESS]
        with file.open("rb") as content:
            subprocess.run([*SSH, *words, f"sudo tee /data/{file.name} >/dev/null"], stdin=content, check=True)


def _timed_inside(device: Guest, script: str) -> tuple[float, float]:
    """Seconds that a script takes in the guest, by the guest's clock: all of it, and what counts."""
    lines = [
        "own=/run/measured; rm -f $own",
        "sync; echo 3 >/proc/sys/vm/drop_caches",
        "read -r begin _ </proc/uptime",
        f"{{ {script} }} >&2",
        'read -r end _ </proc/uptime; echo "$begin $end"; [ ! -e $own ] || cat $own',
    ]
    begin, end, *own = (float(word) for word in device.run("\n".join(lines)).split())
    return end - begin, own[0] if own else end - begin


def _whole_update(device: Guest, bundle: Path, environment: dict[str, str]) -> dict[str, float]:
    """The phases of `ovenbird update`, from the first byte to the commit."""
    target = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{device.machine.port(80)}/"
    command = [str(OVENBIRD), "update", target, "--bundle", str(bundle), "--force", "--json"]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    (outcome,) = json.loads(done.stdout)
    if outcome["state"] != "committed":
        raise SystemExit(f"the update ended otherwise: {outcome}")
    phases: dict[str, float] = outcome["phases"]
    return phases
