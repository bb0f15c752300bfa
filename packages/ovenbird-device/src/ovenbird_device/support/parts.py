"""What goes into a support bundle: a closed list of files and commands, each bounded, none of which holds a secret.

A part that cannot be had says so in its place; the bundle is made in any case, as it is wanted most where things fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from pathlib import Path

import msgspec

from ..health import report
from ..health.check import run_program
from ..logs.query import Query
from ..logs.reader import Journal, LogsError

JOURNAL_LINES = 20_000
"""Lines of the journal, of each of the last two boots."""
_MOST = 256 << 10
_PATIENCE = 10.0

ABOUT = """\
What this is: a support bundle of an Ovenbird device, made by its page for somebody who knows its password.

*.json          what the pages tell, for programs
system/         files of the kernel and of the image
commands/       what some programs print
journal/        the ends of the logs of this boot and of the one before
trials/         the logs that failed trials left

Not in it: the device's password or its hash, keys, the apps' secrets and their data, /etc, anybody's files. From logs
and command lines, what is named as a secret or looks like one was taken out and reads "[left out]". Programs can print
secrets that look like nothing in particular: look through journal/ before you give this to somebody.
"""

COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("failed-units", ("systemctl", "--no-pager", "--full", "list-units", "--failed")),
    ("units", ("systemctl", "--no-pager", "--full", "list-units", "--all")),
    ("timers", ("systemctl", "--no-pager", "--full", "list-timers", "--all")),
    ("boots", ("journalctl", "--no-pager", "--list-boots")),
    ("addresses", ("ip", "-details", "address")),
    ("routes", ("ip", "route", "show", "table", "all")),
    ("routes6", ("ip", "-6", "route", "show", "table", "all")),
    ("neighbours", ("ip", "neighbour")),
    ("links", ("networkctl", "--no-pager", "status", "--all")),
    ("names", ("resolvectl", "--no-pager", "status")),
    ("clock", ("timedatectl", "--no-pager", "status")),
)
PROCESS_FILES = (
    "cmdline", "cpuinfo", "diskstats", "interrupts", "loadavg", "meminfo", "modules", "mounts", "partitions",
    "pressure/cpu", "pressure/io", "pressure/memory", "uptime", "version", "vmstat",
)  # fmt: skip

Value = Callable[[], Awaitable[object]]
Part = tuple[str, AsyncIterable[str]]


class Sources(msgspec.Struct, frozen=True):
    """Where the parts come from: `values` make the JSON files by name, `files` are further files by name."""

    values: dict[str, Value]
    journal: Journal
    state: Path
    processes: Path = Path("/proc")
    files: dict[str, Path] = msgspec.field(default_factory=dict[str, Path])


async def parts(sources: Sources) -> AsyncGenerator[Part]:
    """All parts, one after the other; each is read when its turn comes."""
    yield "README.txt", _text(ABOUT)
    for name, value in sources.values.items():
        yield f"{name}.json", _value(value)
    for name, path in sources.files.items():
        yield f"system/{name}", _file(path)
    for name in PROCESS_FILES:
        yield f"system/proc-{name.replace('/', '-')}", _file(sources.processes / name)
    for name, words in COMMANDS:
        yield f"commands/{name}.txt", _command(words)
    for boot, name in (("0", "this-boot"), ("-1", "boot-before")):
        yield f"journal/{name}.txt", _journal(sources.journal, Query(boot=boot))
    for trial in report.trials(sources.state / "trials"):
        if trial.log:
            yield f"trials/{trial.number:04d}.txt", _file(report.log_path(sources.state / "trials", trial.number))


async def _text(text: str) -> AsyncGenerator[str]:
    yield text


async def _value(value: Value) -> AsyncGenerator[str]:
    try:
        found = await value()
        yield (msgspec.json.format(msgspec.json.encode(found)) + b"\n").decode()
    except Exception as error:  # whatever is wrong with the device must not keep its bundle from being made
        yield msgspec.json.encode({"error": str(error)}).decode() + "\n"


async def _file(path: Path) -> AsyncGenerator[str]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        yield f"This could not be read: {error.strerror}\n"
        return
    yield data[:_MOST].decode("utf-8", "replace")
    if len(data) > _MOST:
        yield "\n… and more\n"


async def _command(words: tuple[str, ...]) -> AsyncGenerator[str]:
    yield f"$ {' '.join(words)}\n"
    try:
        async with asyncio.timeout(_PATIENCE):
            ended = await run_program(words)
        yield ended.output
        if ended.code:
            yield f"\n… ended with {ended.code}\n"
    except TimeoutError:
        yield "… does not end\n"
    except OSError as error:
        yield f"… cannot be run: {error.strerror}\n"


async def _journal(journal: Journal, query: Query) -> AsyncGenerator[str]:
    try:
        async for piece in journal.tail(query, JOURNAL_LINES):
            yield piece.decode("utf-8", "replace")
    except LogsError as error:
        yield f"{error}\n"
