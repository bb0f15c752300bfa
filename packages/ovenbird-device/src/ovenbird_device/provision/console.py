"""How the device greets people at its screen and serial line.

The banner goes to /run/issue.d, where agetty (util-linux 2.35 and newer) finds it and fills in host name and
addresses itself each time it shows it: nothing here waits for a network. A generated password is written to the
consoles at once and, during that boot, stands in the banner too, because a login prompt clears the screen; it is
never written to the journal or to data.
"""

import os
from pathlib import Path

import msgspec

_CLAY = "\\e{brown}"
_PLAIN = "\\e{reset}"


class Page(msgspec.Struct, frozen=True):
    """How the page is reached: whether by HTTPS only, and the certificate's fingerprint, for who wants to compare."""

    secure: bool = False
    fingerprint: str = ""


_PLAIN_PAGE = Page()


def banner(password: str | None, trouble: str | None, page: Page = _PLAIN_PAGE) -> str:
    """The text for agetty(8), with its escapes: \\n host name, \\4 and \\6 addresses."""
    scheme = "https" if page.secure else "http"
    lines = [
        "",
        f"{_CLAY}  .-~-.   {_PLAIN}\\n is an Ovenbird device.",
        f"{_CLAY} / a|b \\\\ {_PLAIN}Its page:  {scheme}://\\n.local/",
        f"{_CLAY}(___|___) {_PLAIN}           {scheme}://\\4/",
    ]
    if page.fingerprint:
        half = len(page.fingerprint) // 2
        lines += ["", f"  Certificate by SHA-256:  {page.fingerprint[:half]}", f"{'':27}{page.fingerprint[half:]}"]
    if password is not None:
        lines += ["", f"  Sign in as user ovenbird with password:  {password}", "  (shown during the first boot only)"]
    else:
        lines += ["", "  Sign in there as user ovenbird with the device's password."]
    if trouble:
        lines += ["", f"  Data is degraded: {escape(trouble)}", "  Nothing written now is kept at power-off."]
    return "\n".join([*lines, "", ""])


def escape(text: str) -> str:
    """A text as agetty(8) shows it: on one line, and nothing in it is one of agetty's own escapes."""
    return text.replace("\\", "\\\\").replace("\n", " ")


def write_banner(path: Path, text: str) -> None:
    """Put the banner in place, readable by root alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name("." + path.name)
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    fresh.replace(path)


def announce(password: str, hostname: str, devices: Path = Path("/dev"), system: Path = Path("/sys")) -> None:
    """Show a fresh password on every active console. A console that cannot be written is passed over."""
    text = (
        f"\r\n  Ovenbird: {hostname} has a new password.\r\n"
        f"  Open http://{hostname}.local/ and sign in as user ovenbird with password:  {password}\r\n\r\n"
    )
    try:
        names = (system / "class/tty/console/active").read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        names = []
    for name in names or ["console"]:
        try:
            # Never become the controlling terminal's process, never wait for a serial line without carrier.
            handle = os.open(devices / name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.write(handle, text.encode("ascii", "replace"))
        except OSError:
            pass  # a console that is gone or blocked; the banner shows the password too
        finally:
            os.close(handle)
