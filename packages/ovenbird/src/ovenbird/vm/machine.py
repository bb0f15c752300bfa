"""One virtual machine: start it, read and type on its console, cut its power, shut it down in order.

The same class carries `ovenbird run`, the demo and the tests. A disk image is never written to: the guest gets a layer
over it that goes with the machine, or a copy of its own that is kept.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ovenbird.errors import OvenbirdError, UsageError
from ovenbird.files import copy_sparse
from ovenbird.run import run, spawn
from ovenbird.vm import accelerator
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Files, Settings, command, firmware
from ovenbird.vm.network import ADDRESS
from ovenbird.vm.qmp import Qmp

GROWTH = 1 << 30  # bytes that the guest's disk is larger than the image, as a real medium would be
_POLL = 0.05
_LAST = 30  # lines of the console in an error


class MachineError(OvenbirdError):
    """A virtual machine did not do what was expected of it."""


class Machine:
    """A virtual machine; entering the context starts it, leaving it cuts its power and removes its files.

    `disks` are raw images. With `keep`, the first one's copy is kept there and used again the next time.
    """

    def __init__(
        self,
        settings: Settings,
        disks: Sequence[Path] = (),
        *,
        keep: Path | None = None,
        growth: int = GROWTH,
        accelerated: Accelerator | None = None,
        start: bool = True,
    ) -> None:
        self.settings = settings
        self.accelerator = accelerated
        self.started = 0.0  # when the power was last switched on, by time.monotonic()
        self._images = tuple(disks)
        self._keep = keep
        self._growth = growth
        self._autostart = start
        self._stack = contextlib.ExitStack()
        self._power = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._disks: list[tuple[Path, str]] = []
        self._typing: socket.socket | None = None
        self._position = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ovenbird-vm-", ignore_cleanup_errors=True))
            self.files = Files(Path(folder))
            self._prepare()
            if self._autostart:
                stack.callback(self._power.close)
                self.power_on()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_cut()
        self._stack.close()

    def _prepare(self) -> None:
        """The files that live as long as the machine, whatever happens to its power."""
        self.files.log.touch()
        for name, value in self.settings.credentials.items():
            encoded = base64.b64encode(value.encode()).decode()
            file = self.files.credential(name)
            file.touch(mode=0o600)
            file.write_text(f"io.systemd.credential.binary:{name}={encoded}")
        if self.settings.boot is Boot.UEFI:
            shutil.copyfile(firmware(self.settings.virtual).variables, self.files.variables)
        for number, image in enumerate(self._images):
            if not image.is_file():
                raise UsageError("there is no such disk image", where=str(image))
            size = image.stat().st_size + self._growth
            if number == 0 and self._keep is not None:
                if not self._keep.exists():
                    copy_sparse(image, self._keep, size)
                self._disks.append((self._keep, "raw"))
            else:
                layer = self.files.folder / f"disk{number}.qcow2"
                run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.resolve(), layer, str(size)])
                self._disks.append((layer, "qcow2"))

    @property
    def keeps(self) -> bool:
        """Whether the first disk outlives the machine."""
        return self._keep is not None

    # --- power ---

    @property
    def running(self) -> bool:
        """Whether QEMU runs."""
        return self._process is not None and self._process.poll() is None

    def power_on(self) -> None:
        """Switch the power on. The disks are as they were left. Raises HostError, MachineError."""
        if self.running:
            return
        self._power.close()
        self.accelerator = self.accelerator or accelerator.best(self.settings.virtual.program)
        for path in (self.files.serial, self.files.control):
            path.unlink(missing_ok=True)
        self._position = self.files.log.stat().st_size
        words = self.words(self._disks, self.accelerator)
        with contextlib.ExitStack() as stack:
            messages = stack.enter_context(self.files.messages.open("wb"))
            self._process = stack.enter_context(spawn(words, stdout=messages, stderr=messages, dies_with_us=True))
            self._power = stack.pop_all()
        self.started = time.monotonic()

    def words(self, disks: Sequence[tuple[Path, str]], accelerator: Accelerator) -> list[str | Path]:
        """The words that start QEMU."""
        return command(self.settings, self.files, disks, accelerator)

    def power_cut(self) -> None:
        """Take the power away, as pulling the plug does: QEMU is killed and nothing is flushed by the guest."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._typing is not None:
            self._typing.close()
            self._typing = None
        self._power.close()
        self._process = None

    def reset(self) -> None:
        """Press the reset button."""
        with self.control() as control:
            control.execute("system_reset")

    def shut_down(self, timeout: float = 60.0) -> bool:
        """Press the power button and wait for the guest to power off; after `timeout` seconds cut the power.

        Tells whether the guest did it by itself.
        """
        if not self.running:
            return True
        orderly = False
        with contextlib.suppress(OvenbirdError), self.control() as control:
            control.execute("system_powerdown")
            orderly = self.wait_off(timeout)
        self.power_cut()
        return orderly

    def wait_off(self, timeout: float) -> bool:
        """Wait until the guest has powered off, at most `timeout` seconds; tells whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def control(self) -> Qmp:
        """A connection to QEMU's control socket, to be closed by the caller. Raises OvenbirdError."""
        return Qmp(self.files.control)

    # --- console ---

    @property
    def console(self) -> str:
        """All that came from the serial console since the power was last switched on, with plain ends of lines."""
        with self.files.log.open("rb") as log:
            log.seek(self._position)
            return log.read().decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for(self, pattern: str, timeout: float, *, since: int = 0) -> re.Match[str]:
        """Wait until the console shows the pattern (a regular expression; ^ and $ are lines), `since` characters on.

        Raises MachineError when the time (seconds) is over or the machine ends, with the console's last lines.
        """
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running
            text = self.console
            if match := expression.search(text, since):
                return match
            if ended:
                raise MachineError(f"the machine ended before its console showed {pattern!r}{self._tail(text)}")
            if time.monotonic() > deadline:
                raise MachineError(f"the console did not show {pattern!r} within {timeout:.0f} s{self._tail(text)}")
            self._rescue()
            time.sleep(_POLL)

    def type(self, text: str) -> None:
        """Type on the serial console."""
        if self._typing is None:
            self._typing = self.connect_console()
            # What nobody reads would hold up the guest; the log has it anyway.
            threading.Thread(target=_drain, args=(self._typing,), daemon=True).start()
        self._typing.sendall(text.encode())

    def connect_console(self) -> socket.socket:
        """A connection to the serial console (only one at a time); what it shows goes to the log as well."""
        line = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while True:
            try:
                line.connect(str(self.files.serial))
            except OSError as error:
                if not self.running or time.monotonic() > deadline:
                    line.close()
                    raise MachineError(f"the serial console does not answer{self._tail(self.console)}") from error
                time.sleep(_POLL)
            else:
                return line

    def _rescue(self) -> None:
        """KVM may give up on a guest that the probe did not foresee: then it starts again, in software."""
        if self.accelerator is Accelerator.KVM and "KVM internal error" in self._messages():
            self.power_cut()
            self.accelerator = Accelerator.TCG
            self.power_on()

    def _messages(self) -> str:
        return self.files.messages.read_text(errors="replace") if self.files.messages.exists() else ""

    def _tail(self, text: str) -> str:
        lines = [*self._messages().splitlines()[-5:], *text.splitlines()[-_LAST:]]
        return "".join(f"\n    {line}" for line in lines if line.strip())

    # --- what is around it ---

    def port(self, guest: int) -> int:
        """The port of this machine that leads to the guest's."""
        for forward in self.settings.forwards:
            if forward.guest == guest:
                return forward.host
        raise UsageError(f"port {guest} of the machine is not forwarded")

    def url(self, guest: int = 80) -> str:
        """The address of what the guest serves on that port."""
        return f"http://{ADDRESS}:{self.port(guest)}/"

    def snapshot(self, folder: Path) -> None:
        """Save the disks as they are now: of a running machine, exactly what a power cut at this moment would leave."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._held():
            for disk, _ in self._disks:
                copy_sparse(disk, folder / disk.name)

    @contextlib.contextmanager
    def _held(self) -> Generator[None]:
        """QEMU does nothing meanwhile, if it runs: the disks stay of one moment."""
        if self._process is None or self._process.poll() is not None:
            yield
            return
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGCONT)

    def restore(self, folder: Path) -> None:
        """Put the disks back to what a snapshot saved. The power must be off."""
        if self.running:
            raise UsageError("a snapshot is put back with the power off")
        for disk, _ in self._disks:
            copy_sparse(folder / disk.name, disk)

    def export_disk(self, out: Path, number: int = 0) -> None:
        """Write a disk as a raw image, to be looked into. The power must be off."""
        if self.running:
            raise UsageError("a disk is exported with the power off")
        disk, kind = self._disks[number]
        run(["qemu-img", "convert", "-q", "-f", kind, "-O", "raw", disk, out])


def _drain(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while line.recv(4096):
            pass
