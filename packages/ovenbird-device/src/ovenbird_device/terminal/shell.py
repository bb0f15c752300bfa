"""A login shell in a pseudo-terminal, as whoever runs this; and its end, which takes its whole session along."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import struct
import termios
import time
from contextlib import suppress
from pathlib import Path

from .frames import Size

GRACE = 2.0
"""Seconds that programs have to end by themselves when their terminal is gone."""
_WINDOW = struct.Struct("HHHH")  # struct winsize: rows, columns, and two that nobody uses
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
_LOCALE = Path("/etc/locale.conf")


class Shell:
    """A running shell. `terminal` is the pseudo-terminal's own end, non-blocking; `process` tells when it has ended."""

    def __init__(self, size: Size) -> None:
        """Start the login shell of this process's user. Raises OSError, and KeyError for a user that is not known."""
        account = pwd.getpwuid(os.getuid())
        environment = _environment(account, _LOCALE)
        self.terminal, inner = os.openpty()
        self.resize(size)
        settings = termios.tcgetattr(inner)
        settings[0] |= getattr(termios, "IUTF8", 0o40000)  # so that erasing takes a whole character
        termios.tcsetattr(inner, termios.TCSANOW, settings)
        self.pid = os.fork()
        if self.pid == 0:
            _become(inner, account, environment)
        os.close(inner)
        os.set_blocking(self.terminal, False)
        self.process = os.pidfd_open(self.pid)

    def resize(self, size: Size) -> None:
        """Give the window another size; the kernel tells the programs in it."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, _WINDOW.pack(size.rows, size.columns, 0, 0))

    def end(self) -> None:
        """Hang up, and have nothing of the session left over. What has left it, or runs as another user by now, ends
        with the unit.
        """
        for number in (signal.SIGHUP, signal.SIGCONT):
            _send(self.pid, number)
        os.close(self.terminal)
        self._gone_within(GRACE)
        _send(self.pid, signal.SIGKILL)
        self._gone_within(GRACE)
        os.close(self.process)

    def _gone_within(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and (_runs(self.pid) or _members(self.pid)):
            time.sleep(0.02)


def _environment(account: pwd.struct_passwd, locale: Path) -> dict[str, str]:
    """What a login shell begins with; its profile does the rest. Nothing of the unit's own environment is in it."""
    found = {
        "HOME": account.pw_dir,
        "LOGNAME": account.pw_name,
        "USER": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "PATH": _PATH,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
    }
    with suppress(OSError, UnicodeDecodeError):
        for line in locale.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and (name == "LANG" or name.startswith("LC_")):
                found[name] = value.strip("\"'")
    return found


def _become(inner: int, account: pwd.struct_passwd, environment: dict[str, str]) -> None:
    """In the child: the terminal, then the shell. Does not return."""
    try:
        os.login_tty(inner)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and programs would inherit that
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        try:
            os.chdir(account.pw_dir)
        except OSError:
            os.chdir("/")
        shell = environment["SHELL"]
        os.execve(shell, [f"-{Path(shell).name}"], environment)
    except OSError as error:
        os.write(2, f"The shell cannot be started: {error.strerror}.\r\n".encode())
    finally:
        os._exit(127)


def _runs(pid: int) -> bool:
    """Whether the shell itself is still there; takes its end."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def _send(session: int, number: signal.Signals) -> None:
    for pid in _members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _members(session: int) -> list[int]:
    """The living processes of a session (proc(5))."""
    found: list[int] = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in front of it may hold anything, also brackets.
                fields = Path(entry.path, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found
