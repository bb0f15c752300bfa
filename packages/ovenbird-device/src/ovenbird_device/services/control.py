"""Starting and stopping, on the steward's side: only what is listed, checked here and not where the order came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import names, systemd
from .names import Verb

_PATIENCE = 15.0


class ControlError(Exception):
    """It was not done; the message is for people, `reason` for programs: `unknown`, `refused`, or nothing."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def order(verb: Verb, unit: str, apps: Path) -> None:
    """Have systemd start, stop or restart a listed unit; it is queued when this returns. Raises ControlError."""
    if not names.is_unit(unit):
        raise ControlError("That is no service of this device.", "unknown")
    if all(one.unit != unit for one in names.load(apps)):
        try:
            told = systemd.show_now([systemd.only_loaded(unit)])
        except systemd.SystemdError as error:
            raise ControlError(str(error)) from error
        if unit not in told:
            raise ControlError("That is no service of this device.", "unknown")
    trouble = names.refusal(verb, unit)
    if trouble:
        raise ControlError(trouble, "refused")
    if verb != "stop":
        # Who asks for it by hand starts a new count of its restarts.
        systemctl("reset-failed", "--", unit, check=False)
    systemctl(verb, "--", unit)


def systemctl(verb: str, *words: str, check: bool = True) -> None:
    """Give systemd an order, which is queued when this returns. With `check`, raises ControlError if it says no."""
    command = ["systemctl", "--no-block", "--no-ask-password", verb, *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise ControlError("systemctl is not in this image.") from error
    except subprocess.TimeoutExpired as error:
        raise ControlError(f"systemd did not take the order to {verb} within 15 seconds.") from error
    if check and done.returncode != 0:
        trouble = done.stderr.decode("utf-8", "replace").strip()[-400:]
        raise ControlError(trouble or f"systemctl {verb} failed with code {done.returncode}.", "refused")
