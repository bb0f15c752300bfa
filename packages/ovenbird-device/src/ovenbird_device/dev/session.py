"""Putting another program in place of an app's packed one, and putting the packed one back.

    /data/ovenbird/dev/NAME/HEX                         the program; gone with its session or the boot
    /data/ovenbird/dev/NAME/now                         leads to the one that runs: the drop-in stays the same
    /run/systemd/system/app-NAME.service.d/50-dev.conf  lays it over the packed one, read-only; in memory
    ovenbird-dev@NAME.timer                             the lease: started anew as long as somebody is there

Whatever dies (the connection, the agent, the steward), the timer ends the session; a restart forgets all of it. The app
runs as its own user in its own unit, with all its limits: only its files are others.
"""

from __future__ import annotations

import os
import pwd
import select
from contextlib import suppress
from pathlib import Path

import msgspec

from ..format import FormatError, apps
from ..services import control, names, systemd
from .unpack import Limits, Unpacked, remove, unpack

FOLDER = "dev"
SILENCE = 20.0
"""Seconds without a byte after which a sender is gone."""
_BEFORE = "# before: "
_NOW = "now"


class DevError(Exception):
    """It is not done; the message is for people, `reason` for programs: `unknown`, `refused`, `over`, `program`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Places(msgspec.Struct, frozen=True):
    """Where things are."""

    apps: Path = Path("/") / apps.PATH
    state: Path = Path("/data/ovenbird")
    units: Path = Path("/run/systemd/system")

    def folder(self, name: str) -> Path:
        """Where an app's other programs are."""
        return self.state / FOLDER / name

    def drop_in(self, name: str) -> Path:
        """What lays it over the packed one."""
        return self.units / f"{apps.unit_name(name)}.d/50-dev.conf"


def start(name: str, pipe: int, places: Places) -> Unpacked:
    """Run the program that comes through a pipe in place of an app's own. Raises DevError."""
    app = _allowed(name, places.apps)
    folder = places.folder(name)
    fresh = folder / os.urandom(8).hex()
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        before = _before(app, places)
        found = unpack(lambda count: _read(pipe, count), fresh, Limits.on(folder))
        if app.kind == "python":
            # The one library of the device's own: a link that leads out, hence never taken from an archive.
            library = fresh / "ovenbird_device"
            if not library.is_symlink() and not library.exists():
                library.symlink_to("/usr/lib/ovenbird/ovenbird_device")
    except (FormatError, OSError, systemd.SystemdError) as error:
        remove(fresh)
        words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise DevError(f"The program cannot be taken: {words}.", "program") from error
    try:
        _point(folder, fresh)
        if _lay_over(name, folder / _NOW, before, places):
            control.systemctl("daemon-reload")
        control.systemctl("restart", "--", _timer(name))
        control.systemctl("reset-failed", "--", app.unit, check=False)
        control.systemctl("restart", "--", app.unit)
    except (OSError, control.ControlError) as error:
        with suppress(DevError):
            end(name, places)
        raise DevError(f"The program cannot be started: {error}", "program") from error
    _forget(folder, fresh)
    return found


def keep(name: str, places: Places) -> None:
    """Somebody is still there. Raises DevError: `over` if the packed program is back already."""
    _allowed(name, places.apps)
    if not places.drop_in(name).exists():
        raise DevError("The packed program runs again.", "over")
    try:
        control.systemctl("restart", "--", _timer(name))
    except control.ControlError as error:
        raise DevError(str(error), "program") from error


def end(name: str, places: Places) -> bool:
    """Put the packed program back, in the state that it was in. False if it is there already. Raises DevError."""
    app = _listed(name, places.apps)
    drop_in = places.drop_in(name)
    ran = _note(drop_in)
    try:
        control.systemctl("stop", "--", _timer(name), check=False)
        if ran is not None:
            drop_in.unlink(missing_ok=True)
            with suppress(OSError):
                drop_in.parent.rmdir()
            control.systemctl("daemon-reload")
            control.systemctl("reset-failed", "--", app.unit, check=False)
            control.systemctl("restart" if ran else "stop", "--", app.unit)
    except (OSError, control.ControlError) as error:
        raise DevError(f"The packed program is not back: {error}", "program") from error
    finally:
        remove(places.folder(name))
    return ran is not None


def _listed(name: str, listed: Path) -> apps.App:
    for one in names.load(listed):
        if one.name == name:
            return one
    raise DevError("This device has no such app.", "unknown")


def _allowed(name: str, listed: Path) -> apps.App:
    """The app, if the image lets others' programs run in its place."""
    app = _listed(name, listed)
    if app.kind == "container":
        raise DevError("Only programs can be replaced, and this app is a container.", "refused")
    if not app.development:
        raise DevError("The image does not allow it: `development = true` in its [[app]] would.", "refused")
    if _is_root(app.user):
        raise DevError("The app runs as root, which a program that nobody has signed does not.", "refused")
    return app


def _is_root(user: str) -> bool:
    try:
        return user == "root" or pwd.getpwnam(user).pw_uid == 0
    except KeyError:
        return False  # systemd does not start it, either


def _before(app: apps.App, places: Places) -> bool:
    """Whether the app ran before the session."""
    noted = _note(places.drop_in(app.name))
    if noted is not None:
        return noted
    state = systemd.show_now([app.unit]).get(app.unit, {}).get("ActiveState", "")
    return state in ("active", "activating", "reloading")


def _note(drop_in: Path) -> bool | None:
    try:
        text = drop_in.read_text()
    except OSError:
        return None
    return f"{_BEFORE}inactive" not in text


def _point(folder: Path, program: Path) -> None:
    """Lead to another program, in one step."""
    link = folder / f".{_NOW}"
    link.unlink(missing_ok=True)
    link.symlink_to(program.name)
    link.replace(folder / _NOW)


def _lay_over(name: str, program: Path, ran: bool, places: Places) -> bool:
    """Have the unit run it. False if it does already: then systemd need not read all of its units again, which takes
    it longer than anything else here.
    """
    drop_in = places.drop_in(name)
    drop_in.parent.mkdir(mode=0o755, exist_ok=True)
    drop_in.parent.chmod(0o755)
    text = (
        f"# A program under development, by `ovenbird dev`. Gone with its session, or a restart.\n"
        f"{_BEFORE}{'active' if ran else 'inactive'}\n"
        f"[Service]\nBindReadOnlyPaths={program}:{apps.program_folder(name)}\n"
    )
    with suppress(OSError):
        if drop_in.read_text() == text:
            return False
    fresh = drop_in.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(drop_in)
    return True


def _forget(folder: Path, last: Path) -> None:
    """Take former programs away; the one that ends at the moment goes with the next."""
    programs = (one for one in folder.iterdir() if one != last and not one.is_symlink())
    others = sorted(programs, key=lambda one: one.stat().st_mtime)
    for one in others[:-1]:
        remove(one)


def _timer(name: str) -> str:
    return f"ovenbird-dev@{name}.timer"


def _read(pipe: int, count: int) -> bytes:
    ready, _, _ = select.select([pipe], [], [], SILENCE)
    if not ready:
        raise FormatError("its sender has gone silent")
    return os.read(pipe, count)
