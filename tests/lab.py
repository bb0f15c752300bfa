"""A device on a workstation: the real agent and the real steward on a disk image in a file, with two slots to update.

Only what needs a machine is played: a restart is GRUB's decision (the pure state machine, which `tests/vm/test_grub.py`
holds against the real one) and the agent started anew as the slot's system; what health says of a trial is written by
the test. The whole chain with a real machine is in `tests/vm/test_update.py`.
"""

from __future__ import annotations

import os
import pwd
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ovenbird.image.boot import write_boot
from ovenbird.image.bundle import Facts, write_bundle
from ovenbird.image.fat import write_fat
from ovenbird.image.layout import Layout, plan
from ovenbird.keys.certificates import pem
from ovenbird.keys.cms import signed_data
from ovenbird.keys.folder import self_signed
from ovenbird.keys.signing import sign_with
from ovenbird_device.format import gpt, manifest, selector, settings
from ovenbird_device.format.sectors import Write
from ovenbird_device.format.selector import Slot, State, Target
from ovenbird_device.health import report
from ovenbird_device.provision import password
from ovenbird_device.slots import disk
from ovenbird_device.slots.grub import GrubStore
from ovenbird_device.slots.manage import Slots
from ovenbird_device.update import record

PASSWORD = "tobak-mirun-depol"
MIB = 1 << 20
EPOCH = 1_700_000_000
ROOT = 48 * MIB


@dataclass(frozen=True)
class Owner:
    """Somebody with a key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> Owner:
        """A new one."""
        key = rsa.generate_private_key(65537, 2048)
        return cls(key, self_signed(key, "updates"))

    def sign(self, data: bytes) -> bytes:
        """A bundle's signature."""
        return signed_data(self.certificate, sign_with(self.key, data))


@dataclass(frozen=True)
class Maker:
    """Makes bundles in a folder, signed by `us` unless told otherwise."""

    folder: Path
    us: Owner
    stranger: Owner

    def boot(self, version: str) -> Path:
        """A boot image; what it holds differs between versions."""
        out = self.folder / f"boot-{version}.vfat"
        if not out.exists():
            for name in ("kernel", "initrd"):
                (self.folder / name).write_bytes(random.Random(f"{name} {version}").randbytes(200_000))
            line = f"console=ttyS0 ovenbird.hash=sha256:{version.replace('.', ''):0>64}"
            write_boot(
                out,
                kernel=self.folder / "kernel",
                initrd=self.folder / "initrd",
                cmdline=line,
                size=16 * MIB,
                epoch=EPOCH,
            )
        return out

    def bundle(
        self, version: str, *, size: int = 6 * MIB, board: str = "vm", stranger: bool = False, name: str = ""
    ) -> Path:
        """A bundle with a root of `size` bytes."""
        out = self.folder / (name or f"{version}-{size}-{board}{'-stranger' if stranger else ''}.swu")
        if not out.exists():
            root = self.folder / "root"
            root.write_bytes(b"hsqs" + random.Random(version).randbytes(size - 4))
            write_bundle(
                out,
                facts=Facts("hello", version, board, (board,)),
                boot=self.boot(version),
                root=root,
                sign=(self.stranger if stranger else self.us).sign,
                epoch=EPOCH,
                scratch=self.folder,
            )
        return out


@dataclass
class Lab:
    """One device."""

    folder: Path
    maker: Maker
    port: int
    extra: tuple[str, ...] = ()
    steward_extra: tuple[str, ...] = ()
    agent: subprocess.Popen[bytes] | None = None
    steward: subprocess.Popen[bytes] | None = None
    slot: Slot = Slot.A
    trial: bool = False
    versions: dict[Slot, str] = field(default_factory=lambda: {Slot.A: "1.0.0"})

    @property
    def url(self) -> str:
        """Where its agent answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """What the device keeps on data."""
        return self.folder / "state"

    @property
    def orders(self) -> str:
        """What the stand-in for systemctl was told."""
        file = self.folder / "orders"
        return file.read_text() if file.exists() else ""

    def client(self, *, signed_in: bool = True, **options: object) -> httpx.Client:
        """A program that speaks to the device, with its password."""
        auth = ("ovenbird", PASSWORD) if signed_in else None
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, auth=auth, **options)  # type: ignore[arg-type] # passed on

    def slots(self) -> Slots:
        """The disk's slots, as the device's own code sees them."""
        note = disk.read_note(self.folder / "run/ovenbird/boot")
        return Slots(disk.in_image(self.folder / "disk.img", note), self.state, self.folder / "image.json")

    def selector(self) -> State:
        """What the next boot will find."""
        return self.slots().state()

    def start(self) -> None:
        """Start steward and agent as the system of the slot."""
        self._describe()
        run = self.folder / "run"
        user = pwd.getpwuid(os.geteuid()).pw_name
        path = run / "ovenbird/steward.sock"
        self.steward = self._spawn(
            "ovenbird_device.steward",
            *("--socket", str(path), "--user", user, "--idle", "600", "--note", str(run / "ovenbird/boot")),
            *("--state", str(self.state), "--image", str(self.folder / "image.json")),
            *("--settings", str(self.folder / "update.json"), "--disk", str(self.folder / "disk.img")),
            *self.steward_extra,
        )
        wait_for(lambda: listens(path))
        self.start_agent()

    def start_agent(self) -> None:
        """Start the agent (again)."""
        self.agent = self._spawn(
            "ovenbird_device.agent",
            *("--address", "127.0.0.1", "--port", str(self.port), "--state", str(self.state)),
            *("--runtime", str(self.folder / "run"), "--data", str(self.folder)),
            *("--image", str(self.folder / "image.json"), "--update-settings", str(self.folder / "update.json")),
            *("--processes", str(self.folder / "proc"), *self.extra),
        )
        with self.client(signed_in=False) as client:
            wait_for(lambda: _answers(client))

    def stop(self) -> None:
        """End both at once, as a restart does."""
        for process in (self.agent, self.steward):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(10)

    def restart(self) -> Target:
        """What a restart of the machine would do; returns what GRUB chose."""
        self.stop()
        slots = self.slots()
        chosen: list[Target] = []

        def boot(state: State) -> State:
            new, choice = state.boot()
            chosen.append(choice.target)
            self.trial = choice.trial
            return new

        with slots.disk.place("select").open(writable=True) as blocks:
            GrubStore(blocks, slots.disk.running).change(boot)
        self.slot = Slot(chosen[0])
        found = slots.contents().get(self.slot)
        if found is not None and found.version:
            self.versions[self.slot] = found.version
        (self.folder / "orders").unlink(missing_ok=True)
        (self.folder / "run/ovenbird/health.json").unlink(missing_ok=True)
        self.start()
        return chosen[0]

    def ordered_restart(self, seconds: float = 30.0) -> bool:
        """Wait until the device wants to restart."""
        wait_for(lambda: "reboot" in self.orders, seconds)
        return True

    def health(
        self, state: str, *checks: tuple[str, str, str], left: float = 120.0, reason: str = "", watching: bool = True
    ) -> None:
        """What health says now: checks are (name, state, detail). The last looks were 65 s ago."""
        at = round(time.monotonic() - 65, 1)
        reports = tuple(
            report.CheckReport(name=n, kind="built-in", state=s, detail=d, looks=1, at_s=at) for n, s, d in checks
        )
        health = report.Health(
            state=state,
            slot=self.slot,
            trial=self.trial,
            reason=reason,
            deadline_s=round(time.monotonic() + left, 1),
            watching=watching,
            checks=reports,
        )
        report.publish(health, self.folder / "run/ovenbird/health.json")

    def commit(self) -> None:
        """What health does when all checks hold."""
        slots = self.slots()
        slots.commit()
        record.settle(slots, "committed", "healthy", "")
        self.health("committed")

    def give_up(self, reason: str, log: bytes = b"kernel: it went wrong\n") -> None:
        """What health does when the deadline has passed; the restart is the caller's."""
        slots = self.slots()
        slots.rollback()
        record.settle(slots, "rolled-back", "health", reason)
        trial = report.Trial(number=0, outcome="rolled-back", slot=self.slot, reason=reason)
        report.keep(trial, log, self.state / "trials")

    def _describe(self) -> None:
        (self.folder / "proc/sys/kernel/random/boot_id").write_text(f"{uuid4()}\n")
        image = manifest.Image("hello", self.versions[self.slot], "vm", "amd64", compatible=("vm",))
        (self.folder / "image.json").write_bytes(manifest.dump(image))
        number = f"{self.versions[self.slot].replace('.', ''):0>64}"
        (self.folder / "run/ovenbird/boot").write_text(
            f"slot={self.slot}\ntrial={int(self.trial)}\nhash=sha256:{number}\ndata=ok\ndata_reason=\n"
            "etc=kept\nswitch_ms=1923\nroot_device=/dev/vda4\n"
        )

    def _spawn(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PATH": f"{self.folder}/tools:/usr/bin:/bin"}
        return subprocess.Popen([sys.executable, "-P", "-s", "-m", module, *words], env=environment)


@contextmanager
def lab(
    folder: Path, maker: Maker, *extra: str, swupdate_api: bool = False, steward_extra: tuple[str, ...] = ()
) -> Generator[Lab]:
    """A device that runs 1.0.0 from slot a and has nothing in b. A stand-in for systemctl may be in `tools` already."""
    for name in ("run/ovenbird", "run/ovenbird-agent", "state", "tools", "proc/sys/kernel/random"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("uptime", "meminfo", "loadavg", "cpuinfo"):
        (folder / "proc" / name).symlink_to(f"/proc/{name}")
    write_image(folder, maker)
    said = settings.UpdateSettings(certificates=(pem(maker.us.certificate),), compatible=("vm",))
    (folder / "update.json").write_bytes(
        settings.dump(settings.UpdateSettings(said.certificates, said.compatible, swupdate_api=swupdate_api))
    )
    (folder / "run/ovenbird-agent/ready").write_text("6.412\n")
    password.write(folder / "state/password.json", password.make(PASSWORD, "generated"), group=None)
    script = folder / "tools/systemctl"
    if not script.exists():
        script.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/orders"\n')
        script.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    running = Lab(folder, maker, port, extra, steward_extra)
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Cutting:
    """A network that breaks: passes bytes on, and cuts the first connections after so many of them."""

    def __init__(self, port: int, cuts: list[int], rate: int | None = None) -> None:
        """`cuts`: after how many bytes each connection in turn ends; `rate`: bytes a second that pass at most."""
        self._rate = rate
        self._to = port
        self.cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Cutting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        passed = 0
        try:
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.close()
            return
        with near, far:
            while not self._over.is_set():
                for one in select.select([near, far], [], [], 0.5)[0]:
                    try:
                        data = one.recv(65536)
                    except OSError:
                        return
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
                    if one is near:
                        passed += len(data)
                        time.sleep(len(data) / self._rate if self._rate else 0)
                        if self.cuts and passed > self.cuts[0]:
                            self.cuts.pop(0)
                            return


def write_image(folder: Path, maker: Maker) -> Layout:
    """The disk: a partition table, `select`, and slot a; `data` is left empty, nothing here mounts it."""
    layout = plan(select=4 * MIB, boot=16 * MIB, root=ROOT, data=8 * MIB, digest="lab")
    block = selector.encode(State())
    select = folder / "select.vfat"
    write_fat(select, dict.fromkeys(selector.COPIES, block), size=4 * MIB, label="select", epoch=EPOCH, bits=16)
    with (folder / "disk.img").open("wb") as image:
        image.truncate(layout.size)
        for write in (Write(0, gpt.protective_mbr()), *gpt.primary(layout.table), *gpt.backup(layout.table)):
            os.pwrite(image.fileno(), write.data, write.offset)
        for name, content in (("select", select), ("boot-a", maker.boot("1.0.0"))):
            os.pwrite(image.fileno(), content.read_bytes(), layout.partition(name).offset)
        os.pwrite(image.fileno(), b"hsqs" + bytes(4096), layout.partition("root-a").offset)
    return layout


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def listens(path: Path) -> bool:
    """Whether somebody takes connections on a unix socket."""
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(path)) == 0


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
