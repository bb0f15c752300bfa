"""The parsers of /proc and /sys: real samples, and anything at all."""

from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.facts import parse

MEMORY = (
    "MemTotal:        1014748 kB\nMemFree:          612 kB\nMemAvailable:     700000 kB\nHugePages_Total:       3\n"
)
MOUNTS = (
    "22 1 0:20 / / rw,relatime - overlay none rw\n"
    "31 22 254:8 / /data rw,noatime shared:1 - ext4 /dev/vda8 rw\n"
    "32 22 254:8 /home /with\\040blank rw - ext4 /dev/vda8 rw\n"
)


def test_uptime_and_load() -> None:
    assert parse.uptime("350735.47 234388.90\n") == 350735.47
    assert parse.load("0.52 0.58 0.59 1/467 12345\n") == (0.52, 0.58, 0.59)


def test_memory_counts_bytes() -> None:
    found = parse.memory(MEMORY)
    assert found["MemTotal"] == 1014748 * 1024
    assert found["HugePages_Total"] == 3


def test_temperatures_outside_of_any_sensor_are_none() -> None:
    assert parse.millidegrees("48312\n") == 48.3
    assert parse.millidegrees("-5000") == -5.0
    assert parse.millidegrees("0") is None
    assert parse.millidegrees("-274000") is None
    assert parse.millidegrees("nan") is None


def test_model_leaves_out_what_firmware_did_not_fill_in() -> None:
    assert parse.model("QEMU", "Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2") == (
        "QEMU Standard PC (Q35 + ICH9, 2009) pc-q35-7.2"
    )
    assert parse.model("To Be Filled By O.E.M.", "Default string") is None
    assert parse.model("LENOVO", "ThinkPad  X1\0") == "LENOVO ThinkPad X1"
    assert parse.model("Acme", "Acme Box", "Acme") == "Acme Acme Box"


def test_mounts() -> None:
    root, data, home = parse.mounts(MOUNTS)
    assert (root.point, root.kind) == ("/", "overlay")
    assert (data.device, data.point, data.kind, data.source) == ("254:8", "/data", "ext4", "/dev/vda8")
    assert "noatime" in data.options
    assert home.point == "/with blank"


def test_systemd_stamps() -> None:
    values = parse.key_values("UserspaceTimestampMonotonic=1923456\nFinishTimestampMonotonic=0\n")
    assert parse.microseconds(values, "UserspaceTimestampMonotonic") == 1.923456
    assert parse.microseconds(values, "FinishTimestampMonotonic") is None
    assert parse.microseconds(values, "Other") is None


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    assert parse.uptime(text) >= 0
    assert len(parse.load(text)) == 3
    assert all(value >= 0 for value in parse.memory(text).values())
    parse.key_values(text)
    parse.mounts(text)
    degrees = parse.millidegrees(text)
    assert degrees is None or -60 <= degrees <= 200


@given(st.text(), st.text(), st.text())
def test_any_firmware_is_borne(vendor: str, product: str, version: str) -> None:
    named = parse.model(vendor, product, version)
    assert named is None or (named and "\0" not in named and "\n" not in named)


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z()_0-9]{1,20}", fullmatch=True), st.integers(0, 2**50))))
def test_memory_is_read_back(lines: list[tuple[str, int]]) -> None:
    text = "".join(f"{name}: {value} kB\n" for name, value in lines)
    assert parse.memory(text) == {name: value * 1024 for name, value in lines}
