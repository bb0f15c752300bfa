"""Addresses, hardware, boot notes and the overview: from this machine's real kernel and from laid-out folders."""

import ipaddress
import json
import socket
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.facts import addresses, boot, hardware
from ovenbird_device.facts.overview import Places, Reader, read_image


def message(family: int, prefix: int, flags: int, scope: int, index: int, attributes: list[tuple[int, bytes]]) -> bytes:
    body = struct.pack("=BBBBI", family, prefix, flags, scope, index)
    for kind, value in attributes:
        raw = struct.pack("=HH", 4 + len(value), kind) + value
        body += raw + bytes(-len(raw) % 4)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def test_addresses_of_a_dump() -> None:
    data = message(socket.AF_INET, 8, 0x80, 254, 1, [(1, b"\x7f\0\0\1"), (2, b"\x7f\0\0\1")])
    data += message(
        socket.AF_INET, 24, 0x80, 0, 2, [(1, bytes([10, 0, 2, 2])), (2, bytes([10, 0, 2, 15])), (3, b"eth0\0")]
    )
    data += message(socket.AF_INET6, 64, 0x80, 253, 2, [(1, ipaddress.ip_address("fe80::1").packed)])
    data += message(socket.AF_INET6, 64, 0x40, 0, 2, [(1, ipaddress.ip_address("fd00::1").packed)])  # tentative
    found, done = addresses.parse(data + DONE, {1: "lo", 2: "eth0"})
    assert done
    assert found == [
        addresses.Address("eth0", "10.0.2.15", 24, False),
        addresses.Address("eth0", "fe80::1", 64, True),
    ]


@given(st.binary(max_size=400))
def test_any_datagram_is_borne(data: bytes) -> None:
    addresses.parse(data, {})


@given(st.binary(max_size=120), st.integers(0, 300))
def test_any_attributes_are_borne(tail: bytes, length: int) -> None:
    head = struct.pack("=IHHII", length, 20, 2, 1, 0) + struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 2)
    for address in addresses.parse(head + tail, {})[0]:
        assert ipaddress.ip_address(address.address)


def test_addresses_of_this_machine() -> None:
    for address in addresses.read():
        assert not ipaddress.ip_address(address.address).is_loopback
        assert address.interface in {name for _, name in socket.if_nameindex()}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_temperatures_hottest_first(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write(tmp_path / "class/thermal/thermal_zone0/temp", "51540\n")
    write(tmp_path / "class/thermal/thermal_zone1/type", "broken\n")
    write(tmp_path / "class/thermal/thermal_zone1/temp", "0\n")
    write(tmp_path / "class/hwmon/hwmon3/name", "nvme\n")
    write(tmp_path / "class/hwmon/hwmon3/temp1_label", "Composite\n")
    write(tmp_path / "class/hwmon/hwmon3/temp1_input", "62850\n")
    assert hardware.temperatures(tmp_path) == [
        hardware.Temperature("nvme Composite", 62.9),
        hardware.Temperature("cpu-thermal", 51.5),
    ]


def test_model_by_device_tree_then_dmi(tmp_path: Path) -> None:
    assert hardware.model(tmp_path / "sys", tmp_path / "proc") == "unknown machine"
    write(tmp_path / "sys/class/dmi/id/sys_vendor", "QEMU\n")
    write(tmp_path / "sys/class/dmi/id/product_name", "Standard PC\n")
    assert hardware.model(tmp_path / "sys", tmp_path / "proc") == "QEMU Standard PC"
    write(tmp_path / "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    assert hardware.model(tmp_path / "sys", tmp_path / "proc") == "Raspberry Pi 4 Model B Rev 1.4"


def test_boot_note(tmp_path: Path) -> None:
    note = tmp_path / "boot"
    note.write_text("slot=a\ntrial=1\ndata=degraded\ndata_reason=no such partition\netc=fresh\nswitch_ms=3456\n")
    read = boot.read_note(note)
    assert (read.slot, read.trial, read.data, read.data_reason, read.etc, read.switch_s) == (
        "a",
        True,
        "degraded",
        "no such partition",
        "fresh",
        3.456,
    )
    assert boot.read_note(tmp_path / "none").data == "unknown"
    note.write_bytes(b"\xff\xfe=\n\0data=nonsense\nswitch_ms=-1\n")
    assert boot.read_note(note).data == "unknown"


def test_ready_is_stamped_once(tmp_path: Path) -> None:
    stamp = tmp_path / "run/ready"
    first = boot.stamp_ready(stamp)
    assert first > 0
    assert boot.stamp_ready(stamp) == first


def test_systemd_that_is_not_there_has_no_stamps() -> None:
    assert boot.systemd_stamps("/nonexistent/systemctl") == (None, None)


def test_image_description(tmp_path: Path) -> None:
    file = tmp_path / "image.json"
    file.write_text(json.dumps({"name": "hello", "version": "1.4.0", "board": "vm", "more": [1], "description": 3}))
    image = read_image(file)
    assert (image.name, image.version, image.board, image.description) == ("hello", "1.4.0", "vm", "")
    for broken in (b"", b"[1]", b"{", b"\xff"):
        file.write_bytes(broken)
        assert read_image(file).name == "unknown"


def test_overview_of_this_machine(tmp_path: Path) -> None:
    reader = Reader(Places(boot_note=tmp_path / "none", data=tmp_path, ready_stamp=tmp_path / "ready"))
    reader.mark_ready()
    about = reader.overview()
    assert about.hostname == socket.gethostname()
    assert 0 < about.memory.available <= about.memory.total
    assert about.uptime_s > 0
    assert about.cpus >= 1
    assert 0 < about.data.used < about.data.total
    assert about.boot.ready_s
    assert about.data.state == "unknown"
