"""What boot programs read: a script for iPXE, a configuration for GRUB, one for PXELINUX, a page each for what failed.

Each is made for one client at the moment that it asks. Without a menu it boots at once; what does not work is said on
the client's screen and tried again, for ever, as nobody may be there to press a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovenbird.deliver.serve.choice import Choice, image_url
from ovenbird.deliver.serve.images import Image

PAUSE = 10
"""Seconds between tries."""
TRIES = 6
"""How often GRUB asks before it starts the machine anew."""


@dataclass(frozen=True, slots=True)
class Menu:
    """What a client is offered: its own choice, and others for `seconds` before it is taken."""

    base: str
    choice: Choice
    others: Sequence[Choice] = ()
    seconds: int = 0

    @property
    def shown(self) -> bool:
        """Whether there is anything to choose."""
        return self.seconds > 0 and bool(self.others)

    @property
    def all(self) -> tuple[Choice, ...]:
        """The client's own first."""
        return (self.choice, *self.others)


def title(image: Image) -> str:
    """An image in a line of a menu."""
    return f"{image.name} {image.manifest.version}"


def ipxe(menu: Menu) -> str:
    """https://ipxe.org/scripting: labels, `menu`, `choose`; a failing line ends a script unless `||` follows."""
    lines = ["#!ipxe"]
    if menu.shown:
        lines += [f"menu Ovenbird at {menu.base}"]
        lines += [f"item {number} {title(one.image)}" for number, one in enumerate(menu.all)]
        lines += [f"choose --default 0 --timeout {menu.seconds * 1000} chosen || set chosen 0", "goto ${chosen}"]
    for number, one in enumerate(menu.all if menu.shown else (menu.choice,)):
        manifest = one.image.manifest
        lines += [
            f":{number}",
            f"echo Ovenbird: {title(one.image)}",
            # The stub of a kernel started by UEFI looks for its initrd by this name; BIOS kernels do not mind it.
            f"kernel {image_url(menu.base, one.image, manifest.kernel.file)} initrd={manifest.initrd.file}"
            f" {one.command_line} || goto failed",
            f"initrd {image_url(menu.base, one.image, manifest.initrd.file)} || goto failed",
            "boot || goto failed",
        ]
    return "\n".join([*lines, *_ipxe_again(menu.base)]) + "\n"


def _ipxe_again(base: str) -> list[str]:
    return [
        ":failed",
        "imgfree ||",
        f"echo Ovenbird: that did not work; trying again in {PAUSE} s",
        f"sleep {PAUSE} ||",
        f"chain --replace --autofree {base}/boot/ipxe ||",
        "goto failed",
    ]


def ipxe_start(base: str) -> str:
    """The first script: who asks, in the words that iPXE fills in."""
    who = "mac=${netX/mac}&serial=${serial:uristring}&processor=${buildarch}"
    return "\n".join(["#!ipxe", f"chain --replace --autofree {base}/boot/ipxe?{who} ||", *_ipxe_again(base)]) + "\n"


def ipxe_trouble(base: str, text: str) -> str:
    """Say what is wrong and ask again."""
    return "\n".join(["#!ipxe", f"echo Ovenbird: {_plain(text)}", *_ipxe_again(base)]) + "\n"


def grub_start(device: str) -> str:
    """What GRUB's image carries in itself: asking for the menu, a few times, and then from the very beginning.

    GRUB reads this by its rescue parser, which knows no `while` and no `if`; a line that fails is followed by the next.
    """
    asking = [
        f'echo "Ovenbird: asking {device}"',
        f'configfile "({device})/boot/grub?mac=$net_default_mac&serial=$serial&processor=$grub_cpu"',
        f'echo "Ovenbird: that did not work; trying again in {PAUSE} s"',
        f"sleep {PAUSE}",
    ]
    return "\n".join(["smbios --type 1 --get-string 7 --set serial", *(asking * TRIES), "reboot"]) + "\n"


def grub(menu: Menu, device: str) -> str:
    """GRUB's language; `device` is how GRUB names this server, without brackets: `http,10.0.0.1:8080`."""
    lines = [f"set timeout={menu.seconds if menu.shown else 0}", "set default=0"]
    for one in menu.all if menu.shown else (menu.choice,):
        manifest = one.image.manifest
        quoted = " ".join(f"'{word}'" for word in one.command_line.split())
        kernel, initrd = (
            f"({device}){image_url('', one.image, file.file)}" for file in (manifest.kernel, manifest.initrd)
        )
        lines += [
            f"menuentry '{title(one.image)}' {{",
            f"  echo 'Ovenbird: {title(one.image)}'",
            # An initrd that is missing must not be a kernel that is started without.
            f"  if linux {kernel} {quoted}; then",
            f"    if initrd {initrd}; then",
            "      boot",
            "    fi",
            "  fi",
            f"  echo 'Ovenbird: that did not work; starting again in {PAUSE} s'",
            f"  sleep {PAUSE}",
            "  reboot",
            "}",
        ]
    return "\n".join(lines) + "\n"


def grub_trouble(text: str) -> str:
    """Say what is wrong; the program's own script asks again."""
    return f"echo 'Ovenbird: {_plain(text)}'\nset timeout=0\n"


def pxelinux(menu: Menu) -> str:
    """https://wiki.syslinux.org/wiki/index.php?title=Config, for a PXELINUX that speaks HTTP (lpxelinux.0)."""
    lines = ["DEFAULT 0", "PROMPT 1" if menu.shown else "PROMPT 0", f"TIMEOUT {menu.seconds * 10 if menu.shown else 0}"]
    if menu.shown:
        lines += [f"SAY {number}: {title(one.image)}" for number, one in enumerate(menu.all)]
    for number, one in enumerate(menu.all if menu.shown else (menu.choice,)):
        manifest = one.image.manifest
        lines += [
            f"LABEL {number}",
            f"  SAY Ovenbird: {title(one.image)}",
            f"  LINUX {image_url(menu.base, one.image, manifest.kernel.file)}",
            f"  INITRD {image_url(menu.base, one.image, manifest.initrd.file)}",
            f"  APPEND {one.command_line}",
        ]
    lines += ["ONERROR 0"]
    return "\n".join(lines) + "\n"


def pxelinux_trouble(text: str) -> str:
    """Say what is wrong, and look again."""
    return f"SAY Ovenbird: {_plain(text)}\nDEFAULT again\nPROMPT 0\nTIMEOUT 0\nLABEL again\n  CONFIG default\n"


def _plain(text: str) -> str:
    """A text that none of the languages above takes for its own."""
    kept = "".join(
        sign if sign.isascii() and sign.isprintable() and sign not in "'\"\\$`{};|&#<>" else " " for sign in text
    )
    return " ".join(kept.split())[:160]
