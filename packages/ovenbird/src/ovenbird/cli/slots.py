"""`ovenbird slots`: what the slots of a device hold, and deciding by hand."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Order(StrEnum):
    """What can be asked of a device's slots."""

    STATUS = "status"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    TRY = "try"
    RESCUE = "rescue"


def slots(
    device: Annotated[str, typer.Argument(metavar="TARGET", help="HOST, HOST:PORT, http://user:password@HOST/.")],
    order: Annotated[Order, typer.Argument(help="What to do.")] = Order.STATUS,
    reboot: Annotated[bool, typer.Option("--reboot", help="Restart at once, so that it takes effect.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the slots as JSON.")] = False,
) -> None:
    """Look at a device's slots, commit the running one, go back, try the other one (again), or start rescue."""
    import msgspec

    from ovenbird.deliver import slots as words
    from ovenbird.deliver import target
    from ovenbird.deliver.client import Device
    from ovenbird.deliver.update import accepted

    found = target.parse(device)
    if order is not Order.STATUS:
        found = accepted(found, target.ask_password)
    with Device(found) as link:
        match order:
            case Order.STATUS:
                status = link.slots()
            case Order.RESCUE:
                link.rescue()
                status = link.slots()
            case _:
                status = link.decide(order, reboot=reboot)
    if as_json:
        print(msgspec.json.encode(status).decode())
        return
    for line in words.lines(status):
        print(line)
