"""What the slots of a device hold, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from ovenbird_device.slots.status import SlotStatus, Status


def lines(status: Status) -> Iterator[str]:
    """A line a slot, and what the next boot does."""
    for one in status.slots:
        content = f"{one.name} {one.version}".strip() or ("not known" if one.bootable else "empty")
        yield f"slot {one.slot}  {content:24}  {', '.join(_words(one)) or '-'}".rstrip()
    if status.trial and status.trial != status.running:
        yield f"the next restart tries slot {status.trial} ({status.tries} tries)"
    elif status.trial:
        yield f"slot {status.trial} is on trial ({status.tries} more tries); its health decides"
    if not status.running:
        yield "rescue runs"
    if status.damaged:
        yield "one copy of the selector's state cannot be read; the next change repairs it"


def _words(one: SlotStatus) -> list[str]:
    words = {
        "running": one.running,
        "active": one.active,
        "trial": one.trial,
        "proved": one.good,
        "given up": one.failed,
    }
    return [word for word, true in words.items() if true]
