"""Following a real journal: many at once, over ends of journalctl, behind the ring, and on from where one was."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.journal import TestJournal

from ovenbird_device.logs import follower
from ovenbird_device.logs.follower import Follower
from ovenbird_device.logs.line import Entry
from ovenbird_device.logs.query import Query
from ovenbird_device.logs.reader import Journal

A, B = "app-a.service", "app-b.service"


async def take(stream: AsyncGenerator[list[Entry]], count: int) -> list[Entry]:
    """So many entries of a stream."""
    found: list[Entry] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += await anext(stream)
    return found


def texts(entries: list[Entry]) -> list[str]:
    return [entry.line.text for entry in entries]


def children() -> list[int]:
    """The processes that this one has started and that run."""
    return [int(word) for word in Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split()]


def test_the_last_lines_and_then_new_ones(own: TestJournal) -> None:
    own.say(A, *(f"old {number}" for number in range(10)))
    own.wait(A, "old 9")

    async def scene() -> None:
        stream = Follower(Journal(own.files)).follow(Query(A), 3)
        assert texts(await take(stream, 3)) == ["old 7", "old 8", "old 9"]
        own.say(B, "not this")
        own.say(A, "new 0", "new 1")
        assert texts(await take(stream, 2)) == ["new 0", "new 1"]
        await stream.aclose()

    asyncio.run(scene())


def test_on_from_a_cursor_nothing_is_lost(own: TestJournal) -> None:
    own.say(A, *(f"line {number}" for number in range(5)))
    own.wait(A, "line 4")

    async def scene() -> None:
        hub = Follower(Journal(own.files))
        first = hub.follow(Query(A), 100)
        seen = await take(first, 5)
        await first.aclose()
        own.say(A, *(f"line {number}" for number in range(5, 2505)))  # more than a batch, while nobody listens
        own.wait(A, "line 2504")
        second = hub.follow(Query(A), 100, seen[-1].line.cursor)
        seen += await take(second, 2500)
        own.say(A, "line 2505")
        seen += await take(second, 1)
        await second.aclose()
        assert texts(seen) == [f"line {number}" for number in range(2506)]

    asyncio.run(scene())


def test_no_gap_between_old_and_new_lines(own: TestJournal) -> None:
    """Readers come in the middle of a stream of lines: each gets every line from its first on, once and in order."""

    async def scene() -> None:
        hub = Follower(Journal(own.files))
        writer = asyncio.create_task(write())
        results = await asyncio.gather(*(read(hub, delay) for delay in range(12)))
        await writer
        for numbers in results:
            assert numbers == list(range(numbers[0], 3000))

    async def write() -> None:
        for number in range(0, 3000, 50):
            await asyncio.to_thread(own.say, A, *(f"{one}" for one in range(number, number + 50)))
            await asyncio.sleep(0.01)

    async def read(hub: Follower, delay: int) -> list[int]:
        await asyncio.sleep(delay * 0.05)
        numbers: list[int] = []
        async with asyncio.timeout(60), aclosing(hub.follow(Query(A), 5)) as stream:
            async for entries in stream:
                numbers += [int(entry.line.text) for entry in entries]
                if numbers and numbers[-1] == 2999:
                    break
        return numbers

    asyncio.run(scene())


@pytest.mark.parametrize("lines", [0, 1])
def test_a_journalctl_that_is_slow_to_begin_leaves_no_gap(own: TestJournal, tmp_path: Path, lines: int) -> None:
    """It shows the journal's last line at first, whatever came since a reader was shown the last one."""
    go, slow = tmp_path / "go", tmp_path / "journalctl"
    waiting = f'case " $* " in *" --follow "*) until [ -e {go} ]; do sleep 0.05; done ;; esac'
    slow.write_text(f'#!/bin/sh\n{waiting}\nexec journalctl "$@"\n')
    slow.chmod(0o755)
    own.say(A, "old")
    own.wait(A, "old")

    async def scene() -> None:
        stream = Follower(Journal(own.files, str(slow))).follow(Query(A), lines, beat=0.1)
        if lines:
            assert texts(await take(stream, 1)) == ["old"]
        else:
            assert await anext(stream) == []
        own.say(A, "meanwhile 0", "meanwhile 1")
        own.wait(A, "meanwhile 1")
        go.touch()
        assert texts(await take(stream, 2)) == ["meanwhile 0", "meanwhile 1"]
        own.say(A, "new")
        assert texts(await take(stream, 1)) == ["new"]
        await stream.aclose()

    asyncio.run(scene())


def test_a_hundred_readers_share_one_journalctl(own: TestJournal) -> None:
    own.say(A, "begin")
    own.wait(A, "begin")
    others = set(children())  # journald's own parent, and what tests before this one have left

    async def scene() -> None:
        hub = Follower(Journal(own.files))
        streams = [hub.follow(Query(A), 1) for _ in range(100)]
        assert {
            text for found in await asyncio.gather(*(take(one, 1) for one in streams)) for text in texts(found)
        } == {"begin"}
        before = set(children())
        assert hub.readers == 100
        own.say(A, *(f"line {number}" for number in range(500)))
        for found in await asyncio.gather(*(take(one, 500) for one in streams)):
            assert texts(found) == [f"line {number}" for number in range(500)]
        assert len((set(children()) | before) - others) == 1, "one journalctl"
        for stream in streams:
            await stream.aclose()
        assert hub.readers == 0

    asyncio.run(scene())


def test_who_falls_behind_reads_the_journal(own: TestJournal) -> None:
    own.say(A, "begin")
    own.wait(A, "begin")
    padding = "x" * 1000
    count = 2 * follower.RING // (900 + 4 * 1000)

    async def scene() -> None:
        hub = Follower(Journal(own.files))
        slow, quick = hub.follow(Query(A), 1), hub.follow(Query(A), 1)
        await take(slow, 1)
        await take(quick, 1)
        own.say(A, *(f"{number} {padding}" for number in range(count)))
        expected = [f"{number} {padding}" for number in range(count)]
        assert texts(await take(quick, count)) == expected
        assert hub.weight <= follower.RING
        assert texts(await take(slow, count)) == expected
        await slow.aclose()
        await quick.aclose()

    asyncio.run(scene())


def test_a_journalctl_that_ends_is_started_again(own: TestJournal) -> None:
    own.say(A, "begin")
    own.wait(A, "begin")

    async def scene() -> None:
        known = set(children())
        hub = Follower(Journal(own.files))
        stream = hub.follow(Query(A), 1)
        await take(stream, 1)
        for child in set(children()) - known:
            os.kill(child, signal.SIGKILL)
        own.say(A, "while none ran")
        assert texts(await take(stream, 1)) == ["while none ran"]
        own.say(A, "afterwards")
        assert texts(await take(stream, 1)) == ["afterwards"]
        await stream.aclose()

    asyncio.run(scene())


def test_silence_and_an_empty_journal(own: TestJournal) -> None:
    async def scene() -> None:
        hub = Follower(Journal(own.files))
        stream = hub.follow(Query(A), 10, beat=0.2)
        assert await anext(stream) == []
        own.say(A, "first")
        found: list[Entry] = []
        while not found:
            found = await anext(stream)
        assert texts(found) == ["first"]
        await stream.aclose()

    asyncio.run(scene())
