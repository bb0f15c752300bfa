"""The page of storage: what sysfs tells of the medium, and the orders to grow and to forget everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab import PASSWORD, Lab, Maker, lab
from tests.unit.services.test_http import HTML

from ovenbird_device.facts import storage
from ovenbird_device.rescue import reset

SECTORS = 1 << 22  # 2 GiB
PARTS = (("bios", 1), ("select", 64), ("boot-a", 64), ("root-a", 256), ("boot-b", 64), ("root-b", 256), ("data", 900))


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@dataclass(frozen=True)
class Sysfs:
    """A made-up /sys with one disk, laid out as the kernel does it."""

    folder: Path
    disk: Path

    @classmethod
    def make(cls, folder: Path, name: str, place: str, device: dict[str, str]) -> Sysfs:
        disk = folder / "devices" / place / "block" / name
        write(disk, {"size": str(SECTORS), "stat": "1 2 3 4 5 6 2048 8 9 10 11", "queue/rotational": "0"})
        joint = "p" if name[-1].isdigit() else ""
        (folder / "class/block").mkdir(parents=True)
        start = 2048
        numbers = {"data": 8}
        for index, (part, size) in enumerate(PARTS, 1):
            number = numbers.get(part, index)
            node = disk / f"{name}{joint}{number}"
            facts = {"partition": str(number), "size": str(size << 11), "start": str(start)}
            write(node, facts | {"uevent": f"PARTNAME={part}"})
            (folder / "class/block" / node.name).symlink_to(Path("../..") / node.relative_to(folder))
            start += size << 11
        write(disk / "device", device)
        return cls(folder, disk)

    def mount(self, processes: Path, point: Path) -> None:
        """Have data mounted at `point`."""
        part = next(self.disk.glob("*8"))
        (self.folder / "dev/block").mkdir(parents=True, exist_ok=True)
        (self.folder / "dev/block/8:8").symlink_to(part)
        (processes / "self").mkdir(exist_ok=True)
        line = f"36 35 8:8 / {point} rw,noatime shared:1 - ext4 /dev/{part.name} rw\n"
        (processes / "self/mountinfo").write_text(line)
        ext4 = {"lifetime_write_kbytes": "2048", "errors_count": "0"}
        write(self.folder / "fs/ext4" / part.name, ext4)


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs.make(tmp_path / "sys", "vda", "pci0000:00/virtio2", {})


@pytest.fixture
def stored(tmp_path: Path, maker: Maker, sysfs: Sysfs) -> Iterator[Lab]:
    with lab(tmp_path / "device", maker, "--system", str(sysfs.folder)) as running:
        sysfs.mount(running.folder / "proc", running.folder)
        yield running


def test_what_is_told(stored: Lab, sysfs: Sysfs) -> None:
    with stored.client(signed_in=False) as client:
        found = client.get("/storage").json()
        medium, data = found["medium"], found["data"]
        assert (medium["name"], medium["kind"], medium["size"]) == ("vda", "virtual disk", 2 << 30)
        assert [(one["number"], one["name"]) for one in medium["partitions"]][-1] == (8, "data")
        assert medium["written"] == 1 << 20
        assert medium["wear"] is None
        assert data["state"] == "ok"
        assert data["total"] >= data["used"] + data["available"] > 0
        assert (data["written"], data["errors"]) == (2 << 20, 0)
        assert data["grows_by"] == (2 << 30) - (1606 << 20)
        page = client.get("/storage", headers=HTML).text
        assert "virtual disk" in page
        assert "It does not tell." in page
        assert "It grows with the next restart." in page
        assert 'action="/storage/reset"' not in page
        (sysfs.disk / "size").write_text(str(2048 + (1605 << 11) + 34))
        assert client.get("/storage").json()["data"]["grows_by"] == 0


def test_a_device_that_runs_from_nothing_says_so(stored: Lab) -> None:
    (stored.folder / "run/ovenbird/boot").write_text("slot=a\ndata=degraded\ndata_reason=it is not there\n")
    (stored.folder / "proc/self/mountinfo").write_text("")
    with stored.client() as client:
        found = client.get("/storage").json()
        assert found["medium"] is None
        assert (found["data"]["state"], found["data"]["written"], found["data"]["grows_by"]) == ("degraded", None, 0)
        page = client.get("/storage", headers=HTML).text
        assert "it is not there" in page
        assert "Not possible while the device runs without its data." in page
        answer = client.post("/storage/reset", data={"confirm": "factory reset"})
        assert (answer.status_code, stored.orders) == (409, "")


def test_growing_is_ordered_of_its_unit(stored: Lab) -> None:
    with stored.client() as client:
        assert client.post("/storage/grow").status_code == 202
    assert stored.orders == "--no-block --no-wall restart ovenbird-grow.service\n"
    with stored.client(signed_in=False) as client:
        assert client.post("/storage/grow").status_code == 401


def test_a_factory_reset_has_to_be_typed(stored: Lab) -> None:
    order = stored.state / reset.AT_BOOT
    with stored.client() as client:
        for wrong in (
            {},
            {"confirm": ""},
            {"confirm": "factory"},
            {"confirm": "erase data"},
            {"other": "factory reset"},
        ):
            assert client.post("/storage/reset", data=wrong).status_code == 400
        assert client.post("/storage/reset?confirm=factory+reset").status_code == 400  # a link alone is no typing
        assert client.post("/storage/reset", json={"confirm": "factory reset"}).status_code == 415
        assert client.post("/storage/reset", content=b"\xff=\xfe").status_code == 415
    with stored.client(signed_in=False) as client:
        assert client.post("/storage/reset", data={"confirm": "factory reset"}).status_code == 401
    assert not order.exists()
    assert stored.orders == ""
    with stored.client() as client:
        answer = client.post("/storage/reset", data={"confirm": " Factory  RESET "})
        assert (answer.status_code, answer.json()) == (202, {"accepted": "reboot"})
        assert order.is_file()
        assert client.get("/changes").json()["changes"][0]["what"] == "Factory reset"
    assert stored.orders == "--no-block --no-wall reboot\n"


def test_the_form_of_the_page_works(stored: Lab) -> None:
    with stored.client(signed_in=False, headers=HTML) as client:
        own = {"Origin": str(client.base_url)}
        client.post("/login", data={"password": PASSWORD, "next": "/"}, headers=own)
        assert 'action="/storage/reset"' in client.get("/storage").text
        answer = client.post("/storage/reset", data={"confirm": "no"}, headers=own)
        assert answer.status_code == 400
        assert "Nothing was reset." in answer.text
        other = {"Origin": "http://evil.example"}
        assert client.post("/storage/reset", data={"confirm": "factory reset"}, headers=other).status_code == 403
        answer = client.post("/storage/reset", data={"confirm": "factory reset"}, headers=own)
        assert (answer.status_code, "Restarting" in answer.text) == (202, True)


def test_an_order_that_cannot_be_followed_is_taken_back(stored: Lab) -> None:
    script = stored.folder / "tools/systemctl"
    script.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    with stored.client() as client:
        assert client.post("/storage/reset", data={"confirm": "factory reset"}).status_code == 503
    assert not (stored.state / reset.AT_BOOT).exists()


@pytest.mark.parametrize(
    ("name", "place", "device", "kind", "wear"),
    [
        ("mmcblk0", "soc/mmc0/mmc0:0001", {"type": "MMC", "name": "DG4016", "life_time": "0x02 0x03",
         "pre_eol_info": "0x01"}, "eMMC", (0.2, 0.3, "normal")),
        ("mmcblk0", "soc/mmc0/mmc0:0001", {"type": "MMC", "life_time": "0x0b 0x01", "pre_eol_info": "0x03"},
         "eMMC", (1.0, 1.0, "out")),
        ("mmcblk0", "soc/mmc0/mmc0:0001", {"type": "MMC", "life_time": "0x00 0x00", "pre_eol_info": "0x00"},
         "eMMC", None),
        ("mmcblk1", "soc/mmc1/mmc1:aaaa", {"type": "SD", "name": "SC32G"}, "SD card", None),
        ("nvme0n1", "pci0000:00/nvme/nvme0", {"model": "Fast"}, "NVMe", None),
        ("sda", "pci0000:00/usb1/1-1/host0/target0:0:0", {"model": "Stick"}, "USB disk", None),
        ("sda", "pci0000:00/ata1/host0/target0:0:0", {"model": "SSD"}, "solid-state disk", None),
    ],
)  # fmt: skip
def test_kinds_and_wear(
    tmp_path: Path, name: str, place: str, device: dict[str, str], kind: str, wear: tuple[float, float, str] | None
) -> None:
    sysfs = Sysfs.make(tmp_path, name, place, device)
    root = next(sysfs.disk.glob("*4")).name
    found = storage.medium(f"/dev/{root}", tmp_path)
    assert found is not None
    assert found.kind == kind
    assert found.model == device.get("model", device.get("name", ""))
    assert (found.wear and (found.wear.least, found.wear.most, found.wear.spare)) == wear


def test_ufs_tells_its_wear(tmp_path: Path) -> None:
    host = tmp_path / "devices/soc/ufs"
    device = host / "host0/target0:0:0/0:0:0:0"
    said = {"life_time_estimation_a": "0x04", "life_time_estimation_b": "0x02", "eol_info": "0x02"}
    write(host / "health_descriptor", said)
    device.mkdir(parents=True)
    disk = device / "block/sda"
    disk.mkdir(parents=True)
    (disk / "device").symlink_to(device)
    assert storage.wear(disk) == storage.Wear(least=0.3, most=0.4, spare="low")


@given(st.text(), st.sampled_from(["", "/", "..", "../../etc", "vda1", "/dev/vda1"]))
def test_any_text_is_borne(text: str, root: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "device").mkdir()
        for file in ("life_time", "pre_eol_info"):
            (folder / "device" / file).write_text(text, "utf-8", "replace")
        storage.wear(folder)
        assert storage.medium(root, folder) is None
