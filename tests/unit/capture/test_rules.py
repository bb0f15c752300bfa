"""What is left out: the list, a user's own lines, and passwords."""

from __future__ import annotations

import re
from fnmatch import translate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.capture.rules import DEFAULTS, Rule, Rules, Word, lock_passwords, parse, read_rules
from ovenbird.errors import UsageError

names = st.text("ab.*?", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
patterns = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
rules = st.lists(st.builds(Rule, st.sampled_from(Word), patterns), max_size=6)
parts = st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=4)
paths = parts.map(lambda found: "/" + "/".join(found))


def fits(pattern: str, path: str) -> bool:
    """A plain way to say it: each part by itself, but for `**`."""
    made = ""
    while pattern:
        if pattern.startswith("**"):
            made, pattern = made + ".*", pattern[2:]
        elif pattern[0] in "*?":
            made, pattern = made + ("[^/]*" if pattern[0] == "*" else "[^/]"), pattern[1:]
        else:
            made, pattern = made + translate(pattern[0])[4:-3], pattern[1:]
    return re.fullmatch(made, path, re.DOTALL) is not None


def above(path: str) -> list[str]:
    parts = path.split("/")[1:]
    return ["/" + "/".join(parts[:count]) for count in range(1, len(parts))]


@given(rules, paths, st.booleans(), st.booleans())
def test_the_last_line_that_fits_counts_for_all_below_it(
    listed: list[Rule], path: str, folder: bool, exists: bool
) -> None:
    file = exists and not folder
    expected = Word.TAKE
    for rule in listed:
        exact, below = fits(rule.pattern, path), any(fits(rule.pattern, one) for one in above(path))
        if not exact and not below:
            continue
        expected = rule.word
        if rule.word is Word.EMPTY:
            expected = Word.TAKE if folder else Word.EMPTY if exact and file else Word.LEAVE
        if rule.word is Word.LOCK:
            expected = Word.LOCK if exact and file else Word.TAKE
    assert Rules(tuple(listed)).judge(path, folder=folder, file=file) is expected


@given(rules)
def test_a_list_is_read_as_it_is_printed(listed: list[Rule]) -> None:
    text = "\n".join(["# a remark", "", *Rules(tuple(listed)).lines()])
    assert parse(text, "list") == tuple(listed)


@given(st.text(max_size=200))
def test_any_text_is_a_list_or_an_error_with_its_line(text: str) -> None:
    try:
        parse(text, "own.rules")
    except UsageError as error:
        assert re.fullmatch(r"own\.rules:\d+", error.where or "")  # noqa: PT017  # Most texts are no mistake.


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("leave /a\nkeep /b", 2, '"keep"'),
        ("leave etc/passwd", 1, "no path below /"),
        ("leave", 1, "no path below /"),
        ("leave /", 1, "no path below /"),
        ("\n\nleave /a//b", 3, "slash too many"),
        ("leave /a/", 1, "slash too many"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, line: int, part: str) -> None:
    file = tmp_path / "own.rules"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_rules(file)
    assert caught.value.where == f"{file}:{line}"
    assert part in caught.value.message


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, part in (("binary", "UTF-8"), ("missing", "no such file"), (".", "folder")):
        with pytest.raises(UsageError, match=part):
            read_rules(tmp_path / name)


def test_own_lines_win_and_can_begin_anew(tmp_path: Path) -> None:
    own = tmp_path / "own.rules"
    own.write_text("take /etc/fstab\nleave /srv/**/*.iso\n")
    chosen = read_rules(own)
    assert chosen.judge("/etc/fstab", folder=False, file=True) is Word.TAKE
    assert chosen.judge("/srv/a/b/c.iso", folder=False, file=True) is Word.LEAVE
    assert chosen.judge("/etc/machine-id", folder=False, file=True) is Word.EMPTY
    own.write_text("forget\nleave /srv\n")
    assert read_rules(own).lines() == ["leave /srv"]


def test_what_comes_with_it() -> None:
    rules = read_rules()
    assert len(parse(DEFAULTS.read_text(), "defaults")) == len(rules.rules)
    left = ("/etc/ssh/ssh_host_rsa_key", "/root/.bash_history", "/home/x/.ssh/id_rsa", "/proc/1/mem", "/var/log/syslog")
    for path in (*left, "/var/lib/apt/lists/x", "/etc/NetworkManager/system-connections/home", "/tmp/x"):
        assert rules.judge(path, folder=False, file=True) is Word.LEAVE, path
    for path in ("/etc/ssh/sshd_config", "/home/x/.ssh/id_rsa.pub", "/home/x/.ssh/authorized_keys", "/etc/hosts"):
        assert rules.judge(path, folder=False, file=True) is Word.TAKE, path
    assert rules.judge("/var/log/nginx", folder=True, file=False) is Word.TAKE


hashes = st.text(st.characters(codec="ascii", exclude_characters=":\n"), max_size=12)


@given(st.lists(st.tuples(st.text("ab", min_size=1), hashes, hashes), max_size=5))
def test_no_password_is_left(accounts: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{name}:{word}:{rest}\n" for name, word, rest in accounts).encode()
    locked = lock_passwords(text).decode()
    assert locked.count("\n") == text.count(b"\n")
    for (name, word, rest), line in zip(accounts, locked.split("\n"), strict=False):
        first, password, last = line.split(":", 2)
        assert (first, last) == (name, rest)
        assert password.strip("!*") == ""
        assert password
        assert password == word or word.strip("!*") or not word
