"""The overview of the device as one value: what `/` shows as a page and returns as JSON.

Two speeds: what cannot change while the agent runs is read once, the rest at each call (about a millisecond).
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec

from ..fan import state as fan
from . import addresses, boot, hardware, parse


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which image this system was baked into."""

    name: str = "unknown"
    version: str = "unknown"
    board: str = "unknown"
    description: str = ""


class MemoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of memory; `available` as the kernel estimates it."""

    total: int
    available: int


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The data partition: how it came up in this boot, and its bytes."""

    state: boot.DataState
    reason: str
    total: int
    used: int
    available: int


class BootFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the kernel's start: root switch, first unit, first answer of this page, last unit."""

    switch_s: float | None
    systemd_s: float | None
    ready_s: float | None
    finished_s: float | None


class TemperatureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor."""

    name: str
    celsius: float


class AddressFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One address of one interface."""

    interface: str
    address: str
    prefix: int
    link_local: bool


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the overview tells."""

    hostname: str
    image: ImageFacts
    model: str
    kernel: str
    slot: str
    trial: bool
    etc: str
    root_hash: str
    writable: bool
    """Whether the root is writable for an experiment: the stage `rw` notes it."""
    uptime_s: float
    load: tuple[float, float, float]
    cpus: int
    memory: MemoryFacts
    temperatures: list[TemperatureFacts]
    fan: fan.FanFacts | None
    """Null on a device without a fan's controller."""
    data: DataFacts
    diskless: boot.Diskless | None
    swap: str
    addresses: list[AddressFacts]
    boot: BootFacts


class Places(msgspec.Struct, frozen=True):
    """Where the facts are found; tests point some of them elsewhere."""

    image: Path = Path("/usr/lib/ovenbird/image.json")
    boot_note: Path = Path("/run/ovenbird/boot")
    writable_note: Path = Path("/run/ovenbird/writable-root")
    ready_stamp: Path = Path("/run/ovenbird-agent/ready")
    fan: Path = Path("/run") / fan.FOLDER
    data: Path = Path("/data")
    processes: Path = Path("/proc")
    system: Path = Path("/sys")


def read_image(path: Path) -> ImageFacts:
    """The image's own description; unknown fields are passed over, a broken file tells nothing."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ImageFacts()
    if not isinstance(value, dict):
        return ImageFacts()
    described = cast(Mapping[str, object], value)
    inner = described.get("image")
    if isinstance(inner, dict):
        described = cast(Mapping[str, object], inner)
    texts = {key: described[key] for key in ImageFacts.__struct_fields__ if isinstance(described.get(key), str)}
    return msgspec.convert(texts, ImageFacts)


class Reader:
    """Reads overviews; keeps what does not change during a boot."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._image = read_image(places.image)
        self._model = hardware.model(places.system, places.processes)
        self._kernel = hardware.kernel()
        self._ready: float | None = None
        self._systemd: float | None = None
        self._finished: float | None = None

    def mark_ready(self) -> None:
        """The agent answers from now on."""
        self._ready = boot.stamp_ready(self._places.ready_stamp)

    @property
    def wants_stamps(self) -> bool:
        """Whether systemd has not yet told when it finished the boot."""
        return self._finished is None

    def read_stamps(self) -> None:
        """Ask systemd for its stamps; blocks for some milliseconds."""
        self._systemd, self._finished = boot.systemd_stamps()

    @property
    def image(self) -> ImageFacts:
        """The image's own description."""
        return self._image

    def boot_note(self) -> boot.BootNote:
        """The initrd's note of this boot."""
        return boot.read_note(self._places.boot_note)

    def data(self) -> DataFacts:
        """The state of data, and its sizes (0 when they cannot be read)."""
        note = boot.read_note(self._places.boot_note)
        try:
            about = os.statvfs(self._places.data)
            total, free, available = (
                about.f_blocks * about.f_frsize,
                about.f_bfree * about.f_frsize,
                about.f_bavail * about.f_frsize,
            )
        except OSError:
            total = free = available = 0
        return DataFacts(state=note.data, reason=note.data_reason, total=total, used=total - free, available=available)

    def uptime(self) -> float:
        """Seconds since the kernel started."""
        return parse.uptime(hardware.text(self._places.processes / "uptime"))

    def overview(self) -> Overview:
        """All of it, now."""
        places = self._places
        note = boot.read_note(places.boot_note)
        memory = parse.memory(hardware.text(places.processes / "meminfo"))
        return Overview(
            hostname=socket.gethostname(),
            image=self._image,
            model=self._model,
            kernel=self._kernel,
            slot=note.slot,
            trial=note.trial,
            etc=note.etc,
            root_hash=note.hash,
            writable=places.writable_note.exists(),
            uptime_s=self.uptime(),
            load=parse.load(hardware.text(places.processes / "loadavg")),
            cpus=os.cpu_count() or 1,
            memory=MemoryFacts(total=memory.get("MemTotal", 0), available=memory.get("MemAvailable", 0)),
            temperatures=[
                TemperatureFacts(name=one.name, celsius=one.celsius) for one in hardware.temperatures(places.system)
            ],
            fan=fan.read(places.fan),
            data=self.data(),
            diskless=note.diskless,
            swap=note.swap,
            addresses=[
                AddressFacts(interface=one.interface, address=one.address, prefix=one.prefix, link_local=one.link_local)
                for one in addresses.read()
            ],
            boot=BootFacts(
                switch_s=note.switch_s, systemd_s=self._systemd, ready_s=self._ready, finished_s=self._finished
            ),
        )
