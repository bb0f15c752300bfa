"""The one door to other programs: a clean environment, one good error line, and nothing left running.

Every program that Ovenbird starts goes through `run` or `spawn`. Both put the program in a process group of its own
and end the whole group when the work is interrupted, so that Ctrl-C leaves no process behind. What `run` starts also
ends when Ovenbird itself is killed: the kernel sees to that.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NoReturn

from ovenbird.errors import BuildError, DiskFullError, HostError
from ovenbird.host import missing_tool_hint
from ovenbird.interrupts import held

# What a child may know of the user's environment; all else (locale, Python and compiler settings) would let two
# users get different bytes from the same recipe.
KEPT_VARIABLES = (
    "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME",
    "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "_CONTAINERS_USERNS_CONFIGURED",
    "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CACHE_DIR", "UV_FIND_LINKS", "UV_OFFLINE",
    "PIP_INDEX_URL", "PIP_CERT", "GOPROXY", "GOSUMDB", "GOFLAGS", "TERM", "DISPLAY", "WAYLAND_DISPLAY",
)  # fmt: skip
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAST_LINES = 20
PATIENCE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended: what it was, its exit code, and the text that it printed."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class CommandError(BuildError):
    """A program ended with a failure; `completed` has its last lines."""

    def __init__(self, completed: Completed, what: str | None) -> None:
        tail = [line for line in (completed.stderr + completed.stdout).splitlines() if line.strip()][-LAST_LINES:]
        ended = (
            f"was ended by signal {signal.Signals(-completed.returncode).name}"
            if completed.returncode < 0
            else f"failed with exit code {completed.returncode}"
        )
        lines = "".join(f"\n    {line}" for line in tail)
        super().__init__(f"{what or shlex.join(completed.command[:6])} {ended}{':' if lines else ''}{lines}")
        self.completed = completed


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child: a fixed path and locale, the few kept variables, and `extra`."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    path = os.environ.get("PATH", "")
    environment["PATH"] = ":".join(dict.fromkeys([*SYSTEM_PATH.split(":"), *path.split(":")])).rstrip(":")
    environment["LC_ALL"] = "C.UTF-8"
    # Programs look up subordinate ids by this name; a switch of user often leaves the former one in it.
    with contextlib.suppress(KeyError):
        environment["USER"] = environment["LOGNAME"] = pwd.getpwuid(os.geteuid()).pw_name
    if extra:
        environment.update(extra)
    return environment


@contextmanager
def spawn(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    dies_with_us: bool = False,
) -> Generator[subprocess.Popen[bytes]]:
    """Start a program in its own process group and end the whole group on the way out.

    With `dies_with_us` the kernel kills it where the thread that started it ends, even by SIGKILL.
    Raises HostError where the program is not installed, KeyboardInterrupt where `end_all` has been called.
    """
    _refuse_if_ending()
    words = [str(word) for word in command]
    environment = clean_environment(env)
    if dies_with_us:
        program = shutil.which(words[0], path=environment["PATH"])
        if program is None:
            raise HostError(f"{words[0]} is not installed", hint=missing_tool_hint(words[0]))
        words = ["setpriv", "--pdeathsig", "KILL", "--", program, *words[1:]]
    with contextlib.ExitStack() as ending:
        with held():  # Between its start and this note nobody would end it.
            process = _started(
                words, cwd=cwd, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds
            )
            ending.callback(_ended, process)
        _refuse_if_ending()  # Again: `end_all` may not have seen what was just being started.
        yield process


def _refuse_if_ending() -> None:
    if _ending.is_set() and threading.current_thread() is not threading.main_thread():
        raise KeyboardInterrupt


def _started(
    words: list[str],
    *,
    cwd: Path | None,
    env: dict[str, str],
    stdin: int | IO[bytes] | None,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            process_group=0,
            umask=0o022,  # Like the environment: what programs make must not depend on who runs them.
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise BuildError("the folder is gone", where=str(cwd)) from error
        raise HostError(f"{words[0]} is not installed", hint=missing_tool_hint(words[0])) from error
    except PermissionError as error:
        raise HostError(f"{words[0]} may not be run", hint=f"look at the rights of {words[0]}") from error
    _live.add(process)
    return process


def _ended(process: subprocess.Popen[bytes]) -> None:
    with held():
        _end_group(process)
        _live.discard(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


_live: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


@contextmanager
def nothing_new() -> Generator[None]:
    """End every program that is running now, in whichever thread, and let other threads start none in this context:
    what was begun is no longer wanted. The main thread may still tidy up.
    """
    _ending.set()
    try:
        end_all()
        yield
    finally:
        _ending.clear()


def end_all() -> None:
    """End every program that is running now, in whichever thread."""
    for process in list(_live):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """Ask the group to end, then insist, with what its leader leaves behind too. An ended program is fine."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] | None = None,
    stdout: BinaryIO | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    pass_fds: Sequence[int] = (),
    what: str | None = None,
) -> Completed:
    """Run a program to its end and return what it printed.

    `stdin` is bytes to feed or an open file. `stdout` takes the program's output as it is (a file or pipe); otherwise
    it is kept as text. `on_line` gets each line of standard error, and of standard output unless `stdout` is given,
    while the program runs. `what` names the work in an error ("stage ssh").

    Raises HostError for a missing program, DiskFullError or CommandError for a failure (unless `check` is false).
    """
    feed = stdin if isinstance(stdin, bytes) else None
    source: int | IO[bytes] = subprocess.PIPE if feed is not None else subprocess.DEVNULL
    if stdin is not None and not isinstance(stdin, bytes):
        source = stdin
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def drain(name: str, stream: IO[bytes]) -> None:
        for raw in stream:
            line = raw.decode("utf-8", "replace")
            texts[name].append(line)
            if on_line is not None:
                on_line(line.rstrip("\r\n"))

    with spawn(
        command,
        cwd=cwd,
        env=env,
        stdin=source,
        stdout=stdout if stdout is not None else subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        dies_with_us=True,
    ) as process:
        threads = [
            threading.Thread(target=drain, args=(name, stream), daemon=True)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
            if stream is not None
        ]
        for thread in threads:
            thread.start()
        if feed is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # A program that ends without reading says why by its code.
                process.stdin.write(feed)
                process.stdin.close()
        process.wait()
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():  # Something that the program left behind holds its output open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                thread.join(PATIENCE)
    completed = Completed(
        tuple(str(word) for word in command), process.returncode, "".join(texts["stdout"]), "".join(texts["stderr"])
    )
    if check and completed.returncode != 0:
        _fail(completed, what)
    return completed


def become(command: Sequence[str]) -> NoReturn:
    """Let a program of the user's take this one's place, with the user's own environment and terminal.

    Raises HostError where it is not installed.
    """
    program = shutil.which(command[0])
    if program is None:
        raise HostError(f"{command[0]} is not installed", hint=missing_tool_hint(command[0]))
    os.execv(program, list(command))


def _fail(completed: Completed, what: str | None) -> None:
    # Anywhere in what it printed: some programs tell long stories after the first write that failed.
    printed = completed.stderr + completed.stdout
    if "No space left on device" in printed or "Disk quota exceeded" in printed:
        raise DiskFullError(
            f"{what or completed.command[0]} ran out of disk space",
            hint="free some space (`ovenbird store gc` empties the store of kept steps) and run the same command again",
        )
    raise CommandError(completed, what)
