"""Reading a real journal with the real journalctl."""

import asyncio
from pathlib import Path

import pytest
from tests.journal import TestJournal

from ovenbird_device.logs import query
from ovenbird_device.logs.query import Query, QueryError
from ovenbird_device.logs.reader import Journal, LogsError

A, B = "app-a.service", "app-b.service"


def texts(own: TestJournal, wanted: Query, most: int = 100, cursor: str = "") -> list[str]:
    page = asyncio.run(Journal(own.files).before(wanted, most, cursor))
    return [line.text for line in page.lines]


def test_a_unit_a_level_a_text(own: TestJournal) -> None:
    own.say(A, "one", "two Apples")
    own.say(B, "other")
    own.say(A, "broken", level=3)
    own.wait(A, "broken")
    assert texts(own, Query(A)) == ["one", "two Apples", "broken"]
    assert texts(own, Query(A, level=4)) == ["broken"]
    assert texts(own, Query(A, text="apple")) == ["two Apples"]
    assert texts(own, Query(B)) == ["other"]
    everything = texts(own, Query())
    assert [one for one in everything if one in ("one", "other", "broken")] == ["one", "other", "broken"]


def test_pages_go_back_without_gap_or_overlap(own: TestJournal) -> None:
    own.say(A, *(f"line {number}" for number in range(250)))
    own.say(B, "noise")
    own.wait(A, "line 249")
    journal, found, cursor = Journal(own.files), list[str](), ""
    for expected in (100, 100, 50):
        page = asyncio.run(journal.before(Query(A), 100, cursor))
        assert len(page.lines) == expected
        found = [line.text for line in page.lines] + found
        cursor = page.before
        assert page.more == (expected == 100)
        assert not page.more or cursor == page.lines[0].cursor
    assert found == [f"line {number}" for number in range(250)]


def test_a_slow_search_is_gone_on_with(own: TestJournal) -> None:
    """A device that has no time at all looks at one line each time, and comes to all of them."""
    own.say(A, *(f"{'wanted' if number % 5 == 0 else 'other'} {number}" for number in range(20)))
    own.wait(A, "other 19")
    journal, found, cursor = Journal(own.files, search=0), list[str](), ""
    for left in reversed(range(20)):
        page = asyncio.run(journal.before(Query(A, text="wanted"), 100, cursor))
        found = [line.text for line in page.lines] + found
        assert page.more == bool(left)
        cursor = page.before
    assert found == ["wanted 0", "wanted 5", "wanted 10", "wanted 15"]


def test_on_from_a_cursor(own: TestJournal) -> None:
    own.say(A, *(f"line {number}" for number in range(10)))
    own.wait(A, "line 9")
    journal = Journal(own.files)
    third = asyncio.run(journal.before(Query(A), 100)).lines[2]
    found, over = asyncio.run(journal.after(Query(A), third.cursor, 4))
    assert [entry.line.text for entry in found] == ["line 3", "line 4", "line 5", "line 6"]
    assert not over
    found, over = asyncio.run(journal.after(Query(A), found[-1].line.cursor, 100))
    assert [entry.line.text for entry in found] == ["line 7", "line 8", "line 9"]
    assert over


def test_the_boot_before(own: TestJournal) -> None:
    own.say(A, "before the restart")
    own.wait(A, "before the restart")
    own.stop()
    own.start("2")
    own.say(A, "after the restart")
    own.wait(A, "after the restart")
    assert texts(own, Query(A, boot="-1")) == ["before the restart"]
    assert texts(own, Query(A, boot="0")) == ["after the restart"]
    assert texts(own, Query(A)) == ["before the restart", "after the restart"]


def test_what_programs_print(own: TestJournal) -> None:
    """Colours, control characters, bytes that are no text, many lines in one, far too long ones."""
    own.say(A, "\x1b[31mred\x1b[0m \x1b]0;title\x07and\x07 plain", "not \udcff\udcfe text", "two\nlines", "x" * 100_000)
    own.wait(A, "x" * 1000)
    red, odd, two, long = texts(own, Query(A))
    assert red == "red and plain"
    assert odd == "not \ufffd\ufffd text"
    assert two == "two\nlines"
    assert len(long) < 17_000
    assert long.endswith(" …")


def test_all_as_text(own: TestJournal) -> None:
    own.say(A, *(f"line {number}" for number in range(2500)))
    own.wait(A, "line 2499")

    async def read() -> bytes:
        return b"".join([piece async for piece in Journal(own.files).text(Query(A))])

    lines = asyncio.run(read()).decode().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [f"line {number}" for number in range(2500)]
    assert "Z test[" in lines[0]


def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match="The journal cannot be read: "):
        asyncio.run(Journal(tmp_path / "none").before(Query(), 10))
    with pytest.raises(LogsError, match="The journal cannot be read: No such file"):
        asyncio.run(Journal(None, str(tmp_path / "journalctl")).before(Query(), 10))


@pytest.mark.parametrize(
    "values",
    [
        {"level": "loud"},
        {"level": "8"},
        {"boot": "yesterday"},
        {"boot": "-1 --file=/etc/shadow"},
        {"boot": "-1\n"},
        {"boot": "1"},
        {"text": "x" * 201},
        {"lines": "-1"},
        {"lines": "many"},
    ],
)
def test_questions_that_make_no_sense(values: dict[str, str]) -> None:
    ask = query.lines if "lines" in values else query.parse
    with pytest.raises(QueryError):
        ask(values)


@pytest.mark.parametrize("text", ["s", "s=xyz", "s=1 --file=/etc/shadow", "s=1\n", "--all", "s=" + "0" * 33])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(QueryError):
        query.cursor(text)


def test_levels() -> None:
    assert query.parse({"level": "Warning"}).level == query.parse({"level": "warn"}).level == 4
    assert query.parse({"level": "0"}).arguments() == ["--priority=0"]
    assert query.parse({}).arguments() == []
    assert query.lines({"lines": "99999"}) == query.MOST
