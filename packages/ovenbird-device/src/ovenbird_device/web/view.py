"""How the overview's values are written for people: units, durations, the pellets of a meter, the strata of a boot."""

from datetime import UTC, datetime

import msgspec

from ..facts.overview import Overview
from ..format.eeprom import day
from ..slots.status import BootLoader, SlotStatus, Status

PELLETS = 24


class Meter(msgspec.Struct, frozen=True):
    """A reading with its share of the whole, drawn as pellets of clay."""

    name: str
    value: str
    unit: str
    note: str
    share: float | None  # 0 to 1, None without a scale
    level: str  # "calm", "warm" or "hot"

    @property
    def filled(self) -> int:
        """How many of the pellets are filled; a little is never shown as nothing."""
        if self.share is None:
            return 0
        return min(PELLETS, max(1 if self.share > 0.005 else 0, round(self.share * PELLETS)))


class Stratum(msgspec.Struct, frozen=True):
    """One part of the boot, as a piece of a bar."""

    name: str
    seconds: float
    start: float  # percent of the bar
    width: float  # percent of the bar


def size(count: float) -> tuple[str, str]:
    """Bytes as a number and its unit, in powers of 1024 as the disk and memory of a small machine are sold."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return (f"{count:.1f}" if unit != "B" and count < 10 else f"{count:.0f}"), unit
        count /= 1024
    return f"{count:.1f}", "TiB"


def sized(count: float) -> str:
    """Bytes as one text."""
    return " ".join(size(count))


def duration(seconds: float) -> str:
    """A time that passed, in its two largest units."""
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2])


def stamps(seconds: int) -> tuple[str, str]:
    """A time for `<time>`: ISO 8601, and for people without JavaScript, both in UTC."""
    when = datetime.fromtimestamp(min(max(seconds, 0), 253_000_000_000), UTC)
    return when.isoformat(), f"{when:%Y-%m-%d %H:%M}"


def meters(overview: Overview) -> list[Meter]:
    """The four readings that tell whether a device is well."""
    load = overview.load[0]
    busy = load / overview.cpus
    found = [
        Meter(
            "Load",
            f"{load:.2f}",
            "",
            f"{overview.cpus} {'core' if overview.cpus == 1 else 'cores'}; "
            f"{overview.load[1]:.2f} over 5 min, {overview.load[2]:.2f} over 15",
            min(1.0, busy),
            _level(busy, 1.0, 2.0),
        )
    ]
    memory = overview.memory
    used = max(0, memory.total - memory.available)
    share = used / memory.total if memory.total else None
    value, unit = size(used)
    found.append(Meter("Memory", value, unit, f"of {sized(memory.total)}", share, _level(share, 0.8, 0.93)))
    if overview.temperatures:
        hottest = overview.temperatures[0]
        note = hottest.name if len(overview.temperatures) == 1 else f"{hottest.name}, the hottest sensor"
        scale = max(0.0, min(1.0, (hottest.celsius - 20) / 70))
        found.append(Meter("Temperature", f"{hottest.celsius:.1f}", "°C", note, scale, _level(hottest.celsius, 70, 82)))
    else:
        found.append(Meter("Temperature", "No sensor", "", "Virtual machines have none.", None, "calm"))
    data = overview.data
    found.append(data_meter(data.used, data.total, in_memory=data.state in ("tmpfs", "zram")))
    return found


def data_meter(used: int, total: int, *, in_memory: bool = False) -> Meter:
    """How full data is, in bytes; or the memory that takes its place."""
    share = used / total if total else None
    value, unit = size(used)
    name, note = ("Written", f"of {sized(total)} of memory") if in_memory else ("Data", f"of {sized(total)}")
    return Meter(name, value, unit, note, share, _level(share, 0.85, 0.95))


def is_full(overview: Overview) -> bool:
    """Whether what may be written in memory is used up, or nearly."""
    data = overview.data
    return data.state in ("tmpfs", "zram") and data.total > 0 and data.available < data.total / 20


def _level(value: float | None, warm: float, hot: float) -> str:
    if value is None or value < warm:
        return "calm"
    return "warm" if value < hot else "hot"


def strata(overview: Overview) -> list[Stratum]:
    """The boot from the kernel's start to the last unit, one piece after the other; empty if nothing is known."""
    boot = overview.boot
    ends = [("Kernel and initrd", boot.switch_s or boot.systemd_s), ("System", boot.ready_s), ("Rest", boot.finished_s)]
    known = [(name, end) for name, end in ends if end is not None]
    if boot.ready_s is None or not known:
        return []
    total = max(end for _, end in known)
    pieces: list[Stratum] = []
    before = 0.0
    for name, end in known:
        if end > before:
            share = 100 / total
            pieces.append(Stratum(name, end - before, round(before * share, 2), round((end - before) * share, 2)))
            before = end
    return pieces


def headline(overview: Overview) -> str:
    """The one sentence on how the device is."""
    slot = f"slot {overview.slot}" if overview.slot else "an unknown slot"
    if overview.diskless is not None:
        slot = "the network"
    if overview.data.state == "degraded":
        return f"Running from {slot}, without its data."
    if overview.trial:
        return f"Trying out {slot}."
    if overview.writable:
        return f"Running from {slot}, with a writable root."
    if overview.data.state == "repaired":
        return f"Running from {slot}, after repairing its data."
    return f"Running from {slot}, all is well." if overview.slot else "Up and answering."


class SlotsView(msgspec.Struct, frozen=True):
    """What the page of the slots says beside the facts."""

    lead: str
    advice: str
    words: dict[str, str]
    commit: str  # what the button says; empty without one
    rollback: str


def slots(status: Status) -> SlotsView:
    """Both slots in words."""
    running, other = status.running, {"a": "b", "b": "a"}.get(status.running, "a")
    words = {one.slot: ", ".join(_slot_words(one)) for one in status.slots}
    if not running:
        return SlotsView("Rescue runs; send a bundle to fill a slot again.", "", words, "", "")
    if status.trial == running:
        advice = f"Slot {running} is on trial. Its health decides, unless you do."
        return SlotsView(
            f"Trying out slot {running}.", advice, words, f"Commit slot {running}", f"Go back to slot {other}"
        )
    if status.trial:
        advice = f"The next restart tries slot {status.trial}, unless you give that up."
        return SlotsView(f"Running from slot {running}.", advice, words, "", f"Do not try slot {status.trial}")
    whole = any(one.slot == other and one.good and one.bootable for one in status.slots)
    if whole:
        advice = f"Slot {other} holds the system from before. Going back takes effect with the next restart."
        return SlotsView(f"Running from slot {running}.", advice, words, "", f"Go back to slot {other}")
    advice = f"Slot {other} holds nothing to go back to."
    return SlotsView(f"Running from slot {running}.", advice, words, "", "")


class BootLoaderView(msgspec.Struct, frozen=True):
    """What the page of the updates says of the boot loader in a Pi's EEPROM; sentences, or empty."""

    here: str
    carried: str
    trouble: str
    hindrance: str
    last: str
    offers: bool


def boot_loader(said: BootLoader | None) -> BootLoaderView | None:
    """The boot loader in words; None where there is nothing to say."""
    if said is None or not (said.problem or said.carried or said.last):
        return None
    return BootLoaderView(
        here=day(said.built),
        carried="none" if said.carried is None else day(said.carried),
        trouble=_sentence(said.problem),
        hindrance=_sentence(said.hindrance),
        last=said.last,
        offers=not said.hindrance,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _slot_words(one: SlotStatus) -> list[str]:
    words = [("running", one.running), ("active", one.active), ("on trial", one.trial), ("given up", one.failed)]
    return [word for word, true in words if true] or ["idle"]
