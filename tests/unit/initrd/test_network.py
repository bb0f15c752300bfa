"""What the initrd does to get its root from the network, run by the real busybox: addresses, transfers, sums, layers.

The server is a real one, which is told to misbehave; the guest's side is init's own text. Booting it is tests/vm's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.httpd import Answer, serving
from tests.unit.initrd.room import Room, furnish

MIB = 1 << 20
FETCH = """
network=1 debug=0 root=$1/root
meminfo=/meminfo
mount -t tmpfs -o mode=700 toram /toram
fetch 'The root' "$1/root" /toram/root "$2" "${3-}"
sha256sum /toram/root
"""
ENOUGH_MEMORY = b"MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 524288 kB\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return furnish(tmp_path / "room", {"meminfo": ENOUGH_MEMORY})


# --- what is fetched ---


def test_a_root_is_fetched_and_nothing_is_said(room: Room) -> None:
    root = os.urandom(3 * MIB + 12345)
    with serving({"/root": [Answer(root)]}) as (port, site, _):
        assert sha256(root) in room.shell(FETCH, f"http://127.0.0.1:{port}", sha256(root))
        assert [(one.method, one.range) for one in site.asked] == [("GET", "")]
    assert room.said == ""


def test_what_was_cut_off_is_gone_on_with(room: Room) -> None:
    root = os.urandom(2 * MIB + 999)
    answers = [Answer(root, cut=MIB + 77), Answer(status=500), Answer(root, cut=MIB // 2), Answer(root)]
    with serving({"/root": answers}) as (port, site, _):
        assert sha256(root) in room.shell(FETCH, f"http://127.0.0.1:{port}", sha256(root))
        sent = [one.sent for one in site.of("/root")]
    assert sum(sent) == len(root)
    assert "The connection ended after 1024 of 2048 KiB." in room.said
    assert "server returned error: HTTP/1.1 500" in room.said
    assert "this was attempt 3" in room.said


def test_other_content_is_never_taken_and_the_pauses_grow_to_a_minute(room: Room) -> None:
    root, other = os.urandom(MIB), os.urandom(MIB)
    longer = os.urandom(2 * MIB)
    answers = [*[Answer(other)] * 7, Answer(longer), Answer(root)]
    with serving({"/root": answers}) as (port, _, _):
        assert sha256(root) in room.shell(FETCH, f"http://127.0.0.1:{port}", sha256(root))
    assert room.said.count(f"Its SHA-256 is {sha256(other)}, not {sha256(root)}") == 7
    assert sha256(longer) in room.said
    pauses = [int(line.split()[1]) for line in room.said.splitlines() if line.startswith("pause")]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_another_root_in_the_middle_is_found_out(room: Room) -> None:
    """The second half comes from another image of the same length."""
    root, other = os.urandom(MIB), os.urandom(MIB)
    answers = [Answer(other, cut=MIB // 2), Answer(root), Answer(root)]
    with serving({"/root": answers}) as (port, _, _):
        assert sha256(root) in room.shell(FETCH, f"http://127.0.0.1:{port}", sha256(root))
    assert f"Its SHA-256 is {sha256(other[: MIB // 2] + root[MIB // 2 :])}" in room.said


def test_too_little_memory_is_said_with_the_numbers(room: Room) -> None:
    root = os.urandom(MIB)
    # 8 MiB more than the system needs for itself; then somebody swaps the image for a smaller one.
    (room.folder / "meminfo").write_bytes(b"MemTotal: 131072 kB\nMemAvailable: 73728 kB\n")
    with serving({"/root": [Answer(root, length=20 * MIB), Answer(root)]}) as (port, _, _):
        assert sha256(root) in room.shell(FETCH, f"http://127.0.0.1:{port}", sha256(root))
    numbers = "It has 20 MiB and wants 83 MiB of free memory, but this machine has 128 MiB, of which 72 MiB are free."
    assert room.said.count(numbers) == 1


def test_too_little_memory_for_what_the_command_line_says_is_not_even_asked_for(room: Room) -> None:
    (room.folder / "meminfo").write_bytes(b"MemTotal: 131072 kB\nMemAvailable: 73728 kB\n")
    with serving({"/root": [Answer(b"x")]}) as (port, site, _):
        words = (f"http://127.0.0.1:{port}", "0" * 64, 9 * MIB)
        room.shell(f"sleep() {{ exit 0; }}\n{FETCH}", *words)
        assert not site.asked
    assert "It has 9 MiB and wants 73 MiB" in room.said


def test_a_server_that_lies_about_the_size_cannot_fill_the_memory(room: Room) -> None:
    root = os.urandom(MIB)
    (room.folder / "meminfo").write_bytes(b"MemTotal: 131072 kB\nMemAvailable: 69632 kB\n")  # 4 MiB to spare
    huge = Answer(os.urandom(8 * MIB), length=None)
    with serving({"/root": [huge, Answer(root)]}) as (port, site, _):
        script = f"learn() {{ return 1; }}\n{FETCH}"
        assert sha256(root) in room.shell(script, f"http://127.0.0.1:{port}", sha256(root))
    assert "No space left on device" in room.said
    assert len(site.of("/root")) == 2


def test_a_dead_server_is_asked_for_ever(room: Room) -> None:
    root = os.urandom(MIB)
    with serving({"/root": [Answer(root)]}) as (port, _, stop):
        stop()
        start = f"""
            tries=0
            sleep() {{ tries=$((tries + 1)); [ "$tries" -lt 3 ] || exit 0; }}
            {FETCH}
        """
        room.shell(start, f"http://127.0.0.1:{port}", sha256(root))
    assert room.said.count("Connection refused") == 3


# --- layers ---


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


LAYER = """
network=1 debug=0 root=$1/images/root
meminfo=/meminfo
mount -t tmpfs -o mode=700 toram /toram
layer 'Overlay 1' "$2" /layers/1
cat /layers/1/etc/name
! touch /layers/1/x 2>/dev/null
"""


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_tar_is_unpacked_whatever_it_is_packed_with(room: Room, pack: type[bytes]) -> None:
    content = pack(archive({"etc/name": b"layer\n", "large": bytes(100_000)}))
    with serving({"/images/one": [Answer(content)]}) as (port, _, _):
        said = room.shell(LAYER, f"http://127.0.0.1:{port}", f"one#sha256={sha256(content)}")
    assert said == "layer\n"


def test_a_broken_archive_is_said_and_tried_again(room: Room) -> None:
    good = gzip.compress(archive({"etc/name": b"layer\n"}))
    half = good[: len(good) // 2]
    # The sum is that of a file that is no archive: whoever made the line has made a mistake, and puts it right.
    with serving({"/images/one": [Answer(half)], "/images/two": [Answer(good)]}) as (port, _, _):
        script = f"""
            attempts=0
            sleep() {{ attempts=$((attempts + 1)); [ "$attempts" -lt 3 ] || exit 0; echo "pause $1" >>/said; }}
            {LAYER}
        """
        room.shell(script, f"http://127.0.0.1:{port}", f"one#sha256={sha256(half)}")
    assert room.said.count("Overlay 1 http://127.0.0.1") == 3
    assert "It cannot be unpacked" in room.said


def test_zstd_without_a_zstd_says_what_to_do(room: Room) -> None:
    packed = subprocess.run(["zstd", "-qc"], input=archive({"a": b"b"}), capture_output=True, check=True).stdout
    with serving({"/images/one": [Answer(packed)]}) as (port, _, _):
        room.shell(f"sleep() {{ exit 0; }}\n{LAYER}", f"http://127.0.0.1:{port}", f"one#sha256={sha256(packed)}")
    assert "the image has no zstd to unpack it: name the package in the recipe" in room.said


def test_what_has_neither_sum_nor_signature_is_not_used(room: Room) -> None:
    content = archive({"etc/name": b"layer\n"})
    with serving({"/images/one": [Answer(content)], "/images/one.sig": [Answer(b"s")]}) as (port, site, _):
        room.shell(f"sleep() {{ exit 0; }}\n{LAYER}", f"http://127.0.0.1:{port}", "one")
        assert site.of("/images/one.sig")
    assert "It has no #sha256=, and the image cannot check signatures." in room.said


# --- addresses ---

PARSE = """
parse_ip "$1" || { echo refused; exit 0; }
echo "$ip_address|$ip_prefix|$ip_gateway|$ip_host|$ip_device|$ip_vlan|$ip_dns"
"""


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("", "|24|||||"),
        ("dhcp", "|24|||||"),
        ("eth1:dhcp", "|24|||eth1||"),
        ("eth0.42:dhcp", "|24|||eth0|42|"),
        (":::::.42:dhcp", "|24||||42|"),
        (
            "10.0.0.5::10.0.0.1:255.255.255.0:pc5:eth0:none:10.0.0.2:1.1.1.1",
            "10.0.0.5|24|10.0.0.1|pc5|eth0||10.0.0.2 1.1.1.1",
        ),
        ("10.0.0.5:::20", "10.0.0.5|20|||||"),
        ("10.0.0.5::10.0.0.1:255.255.0.0::52-54-00-12-34-56.7:none", "10.0.0.5|16|10.0.0.1||52-54-00-12-34-56|7|"),
        ("10.0.0.5:::33", "refused"),
        ("10.0.0.5:::255.0.255.0.1", "refused"),
        ("nonsense:a:b:c", "refused"),
        ("10.0.0.5:::24::eth0.5000", "refused"),
        ("10.0.0.5:::24::eth0.x", "refused"),
    ],
)
def test_ip_words(room: Room, text: str, means: str) -> None:
    assert room.shell(PARSE, text).strip() == means


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
def test_no_ip_word_is_run_or_ends_the_shell(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """One line comes back, whatever it was: refused, or its parts."""
    room = furnish(tmp_path_factory.mktemp("room") / "room")
    assert len(room.shell(PARSE, text).splitlines()) == 1


def test_what_dhcp_says_is_kept_as_values(room: Room) -> None:
    """The first answer wins, and nothing in it is a program."""
    script = """
        interface=eth1 ip=10.0.0.9 mask=22 router='10.0.0.1 10.0.0.2' dns='10.0.0.3 10.0.0.4' \\
            domain='$(touch /bad) a' /lib/dhcp bound
        interface=eth0 ip=10.9.9.9 mask=8 /lib/dhcp bound
        interface=eth0 ip=10.8.8.8 /lib/dhcp deconfig
        ip() { echo "ip $*"; }
        use_lease
        cat /etc/resolv.conf
        ls /bad 2>/dev/null || echo none
    """
    assert room.shell(script).splitlines() == [
        "ip addr add 10.0.0.9/22 dev eth1",
        "ip route add 0.0.0.0/0 via 10.0.0.1 dev eth1",
        "search $(touch /bad) a",
        "nameserver 10.0.0.3",
        "nameserver 10.0.0.4",
        "none",
    ]


def test_which_interface_is_asked(room: Room) -> None:
    script = """
        sys=/sys
        for name in eth0 eth1 wwan0 lo; do
            mkdir -p /sys/class/net/$name
            echo 1 >/sys/class/net/$name/type
            echo "52:54:00:00:00:0${name#eth}" >/sys/class/net/$name/address
        done
        echo 772 >/sys/class/net/lo/type
        echo 519 >/sys/class/net/wwan0/type
        for name in eth0 eth1 wwan0; do mkdir /sys/class/net/$name/device; done
        choose_by() { parse_ip "$1" && booted_from=$2 attempt=$3 && candidates && echo "$chosen"; }
        choose_by dhcp '' 0
        choose_by dhcp 01-52-54-00-00-00-01 0
        choose_by dhcp 01-52-54-00-00-00-01 1
        choose_by dhcp 01-52-54-00-00-00-77 0
        choose_by eth1:dhcp 01-52-54-00-00-00-00 0
        choose_by :::::52-54-00-00-00-01: '' 0
    """
    assert room.shell(script).splitlines() == ["eth0 eth1", "eth1", "eth0 eth1", "eth0 eth1", "eth1", "eth1"]
