"""`ovenbird run`: boot an image in a virtual machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    image: Annotated[Path, typer.Argument(help="A disk image, a folder with one, or a recipe (built first).")] = Path(),
    bios: Annotated[bool, typer.Option("--bios", help="Boot by BIOS instead of UEFI.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the disk beside the image and use it again.")] = False,
    writable: Annotated[
        bool, typer.Option("--writable", help="Make the whole root writable, on a disk that is kept; see capture.")
    ] = False,
    memory: Annotated[str | None, typer.Option(help="Memory of the machine, such as 2G.")] = None,
    port: Annotated[
        list[str] | None, typer.Option(metavar="HOST:GUEST", help="Forward one more port (repeatable).")
    ] = None,
    console: Annotated[bool, typer.Option("--console", help="Show the serial console here; Ctrl-] leaves.")] = False,
    display: Annotated[bool, typer.Option("--display", help="Open a window with the machine's screen.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Wait until the page answers, then switch off.")] = False,
    password: Annotated[
        str | None, typer.Option(help="The device's password (default: a new one).", envvar="OVENBIRD_PASSWORD")
    ] = None,
) -> None:
    """Boot an image in QEMU, say how to reach it, and run it until Ctrl-C.

    The disk is thrown away at the end, the image itself is never changed; --keep keeps a copy. --writable is for
    setting a system up by hand: what is installed there can be captured.
    """
    from ovenbird.progress import choose
    from ovenbird.vm import running, terminal
    from ovenbird.vm.network import Forward

    progress = choose()
    target = running.find_target(image, progress)
    ports = [Forward.parse(text) for text in port or []]
    with running.session(
        target,
        bios=bios,
        keep=keep,
        writable=writable,
        memory=memory,
        ports=ports,
        display=display,
        password=password,
    ) as session:
        try:
            for line in session.introduction():
                print(line, flush=True)
            if console:
                terminal.attach(session.machine.connect_console())
            else:
                timings = session.wait_for_page(progress)
                for line in [f"up after {timings.total:.1f} s: {timings}"] if check else session.instructions(timings):
                    print(line, flush=True)
                if not check:
                    session.wait_until_off()
                    print("The machine has switched itself off.")
                    return
        except KeyboardInterrupt:
            print()
        with progress.step("shutting down (Ctrl-C again cuts the power)"):
            session.machine.shut_down()
