"""`apps.json`: what the image says of its apps."""

from __future__ import annotations

import pytest

from ovenbird_device.format import FormatError, apps


def test_what_is_written_is_read_again() -> None:
    app = apps.App("hello", "python", apps.unit_name("hello"), "app-hello", "A page", ("8000/tcp",), "manual")
    value = apps.Apps((app,))
    assert apps.load(apps.dump(value)) == value
    assert app.unit == "app-hello.service"


def test_fields_of_a_newer_image_are_ignored() -> None:
    text = b'{"apps": [{"name": "a", "kind": "go", "unit": "app-a.service", "colour": "red"}], "more": 1}'
    assert apps.load(text).apps[0].start == "boot"


@pytest.mark.parametrize("text", [b"", b"[]", b'{"apps": [{"name": "a"}]}', b'{"apps": [{"kind": "rust"}]}'])
def test_what_is_not_a_list_of_apps_is_one_clear_error(text: bytes) -> None:
    with pytest.raises(FormatError, match="the list of apps cannot be read"):
        apps.load(text)
