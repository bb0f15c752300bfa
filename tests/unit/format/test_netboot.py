"""netboot/manifest.json: what is written is read again, and what anybody may write is refused in one line."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, netboot
from ovenbird_device.format.netboot import Netboot, NetbootFile

ROOT = "c" * 64
GOOD = Netboot(
    format=1,
    name="hello",
    version="1.4.0",
    board="vm",
    architecture="amd64",
    kernel=NetbootFile("kernel", "a" * 64, 12_000_000),
    initrd=NetbootFile("initrd", "b" * 64, 2_000_000),
    root=NetbootFile("root.squashfs", ROOT, 300_000_000),
    command_line=f"console=ttyS0 quiet ovenbird.hash=sha256:{ROOT} ovenbird.data=tmpfs",
)


def changed(**changes: object) -> bytes:
    """The good manifest with other values; `kernel__file=` reaches into a part."""
    value = json.loads(netboot.dump(GOOD))
    for name, new in changes.items():
        place = value
        *path, last = name.split("__")
        for step in path:
            place = place[step]
        place[last] = new
    return json.dumps(value).encode()


def test_what_is_written_is_read_again_with_equal_bytes() -> None:
    text = netboot.dump(GOOD)
    assert netboot.load(text) == GOOD
    assert netboot.dump(netboot.load(text)) == text
    assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"name": "a/b"}, "name 'a/b'"),
        ({"version": "1\n2"}, "version '1\\\\n2'"),
        ({"board": ""}, "board ''"),
        ({"architecture": "sparc"}, "architecture"),
        ({"extra": 1}, "extra"),
        ({"kernel__file": "../kernel"}, "kernel is in '../kernel'"),
        ({"initrd__file": ".."}, "initrd is in '..'"),
        ({"root__file": "manifest.json"}, "root is in 'manifest.json'"),
        ({"root__file": "/etc/shadow"}, "'/etc/shadow'"),
        ({"root__file": "a\u202eb"}, "'a\\\\u202eb'"),
        ({"root__file": "x" * 5000}, r"\.\.\.'"),
        ({"kernel__sha256": "A" * 64}, "the SHA-256 of kernel"),
        ({"kernel__sha256": "a" * 63}, "the SHA-256 of kernel"),
        ({"initrd__size": 0}, "initrd has 0 bytes"),
        ({"initrd__size": -1}, "initrd has -1 bytes"),
        ({"initrd__size": 1 << 60}, "initrd has"),
        ({"initrd__size": "5"}, "int"),
        ({"initrd__file": "kernel"}, "not three files"),
        ({"command_line": f"ovenbird.hash=sha256:{'d' * 64}"}, "exactly one ovenbird.hash="),
        ({"command_line": "quiet"}, "exactly one ovenbird.hash="),
        ({"command_line": f"ovenbird.root=http://x ovenbird.hash=sha256:{ROOT}"}, "ovenbird.root="),
        ({"command_line": f"a\nb ovenbird.hash=sha256:{ROOT}"}, "printable"),
        ({"command_line": f"{'a' * 2000} ovenbird.hash=sha256:{ROOT}"}, "characters"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_in_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        netboot.load(changed(**changes))
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.binary(max_size=200))
def test_noise_is_a_format_error(noise: bytes) -> None:
    with pytest.raises(FormatError):
        netboot.load(noise)


@given(st.sampled_from(["kernel", "initrd", "root"]), st.text(max_size=40))
def test_a_file_that_is_accepted_lies_in_the_folder(part: str, name: str) -> None:
    try:
        value = netboot.load(changed(**{f"{part}__file": name}))
    except FormatError:
        return
    assert "/" not in name
    assert not name.startswith(".")
    assert msgspec.json.decode(netboot.dump(value))[part]["file"] == name
