"""What users write for a device, and what is remembered of it."""

from pathlib import Path

import pytest

from ovenbird.deliver.target import Target, parse, remember, remembered
from ovenbird.errors import NetworkError, UsageError


@pytest.mark.parametrize(
    ("text", "host", "port", "url", "name"),
    [
        ("127.0.0.1", "127.0.0.1", 80, "http://127.0.0.1", "127.0.0.1"),
        ("localhost:8001", "localhost", 8001, "http://localhost:8001", "localhost:8001"),
        ("http://127.0.0.1/", "127.0.0.1", 80, "http://127.0.0.1", "127.0.0.1"),
        ("https://127.0.0.1", "127.0.0.1", 443, "https://127.0.0.1", "127.0.0.1"),
        ("https://localhost:8443/", "localhost", 8443, "https://localhost:8443", "localhost:8443"),
        ("[::1]:8000", "::1", 8000, "http://[::1]:8000", "::1:8000"),
        ("oven.example.com", "oven.example.com", 80, "http://oven.example.com", "oven.example.com"),
    ],
)
def test_names(text: str, host: str, port: int, url: str, name: str) -> None:
    target = parse(text)
    assert (target.host, target.port, target.url, target.name) == (host, port, url, name)
    assert (target.user, target.password, target.given) == ("ovenbird", None, False)


@pytest.mark.parametrize(
    "text",
    ["", "http://", "https://", "ftp://a/", "127.0.0.1/update", "127.0.0.1:99999", "http://[::1", "a?b"],
)
def test_what_is_no_device(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(NetworkError, match="nobody knows a device called nosuchbird"):
        parse("nosuchbird")


def test_no_password_is_repeated_in_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse("http://ovenbird:secret@127.0.0.1/update")
    assert "secret" not in str(caught.value)


def test_passwords_by_url_environment_and_memory(remembered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = parse("http://ovenbird:a%40b@127.0.0.1:81/")
    assert (given.password, given.given) == ("a@b", True)
    remember(given)
    file = remembered / "127.0.0.1_81.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert remembered.stat().st_mode & 0o777 == 0o700
    again = parse("127.0.0.1:81")
    assert (again.password, again.given) == ("a@b", False)
    assert parse("127.0.0.1:82").password is None
    monkeypatch.setenv("OVENBIRD_PASSWORD", "other")
    assert parse("127.0.0.1:81").password == "other"
    assert parse("http://ovenbird:mine@127.0.0.1:81").password == "mine"


def test_any_password_survives_its_file() -> None:
    target = Target("x", "x", password='a"b\\c\n€ \x01', given=True)
    remember(target)
    assert remembered(target) == target.password


def test_a_damaged_memory_is_said(remembered: Path) -> None:
    remembered.mkdir(parents=True)
    (remembered / "127.0.0.1.toml").write_text("password = ")
    with pytest.raises(UsageError, match="cannot be read"):
        parse("127.0.0.1")
    (remembered / "127.0.0.1.toml").unlink()
    assert parse("127.0.0.1").password is None
