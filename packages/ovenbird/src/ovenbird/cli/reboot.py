"""`ovenbird reboot`: restart devices."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def reboot(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End when the devices have taken the order.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that a device may be away.")] = 900.0,
) -> None:
    """Restart devices, and wait until they are back."""
    from ovenbird.cli import results
    from ovenbird.deliver import operate, target
    from ovenbird.deliver.access import Ask
    from ovenbird.deliver.each import each
    from ovenbird.progress import choose

    progress = choose(quiet=no_wait)

    def work(one: target.Target, ask: Ask) -> operate.Restart:
        with progress.step(f"{one.name}: restart") as step:
            return operate.reboot(
                one, ask, wait=not no_wait, patience=timeout, on_down=lambda: step.line("the device is down")
            )

    found = each(devices, work, target.ask_password)
    results.lines(found, operate.Restart.words)
    results.end(found)
