"""What the steward can do. One function an action; each returns when the work is queued, and raises ActionError."""

import subprocess
from typing import assert_never

from .protocol import Action, PowerOff, Reboot


class ActionError(Exception):
    """The action could not be done; the message is for people."""


def act(action: Action) -> None:
    """Do one action. Raises ActionError."""
    match action:
        case Reboot():
            _systemctl("reboot")
        case PowerOff():
            _systemctl("poweroff")
        case _:
            assert_never(action)


def _systemctl(verb: str) -> None:
    """Queue a state of the whole system with systemd; it stops services in order and syncs."""
    command = ["systemctl", "--no-block", "--no-wall", verb]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=15, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise ActionError("systemctl is not in this image.") from error
    except subprocess.TimeoutExpired as error:
        raise ActionError(f"systemd did not take the order to {verb} within 15 seconds.") from error
    if done.returncode != 0:
        raise ActionError(done.stderr.strip()[-400:] or f"systemctl {verb} failed with code {done.returncode}.")
