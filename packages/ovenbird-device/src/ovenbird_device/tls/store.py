"""Where certificates are.

    /data/ovenbird/tls/own.json, given.json   kept: root's alone
    /run/ovenbird/tls/own.json, given.json    published for the agent, in memory

The agent's user owns nothing: provisioning, and the steward after a change, lay a copy where the agent's group may read
it. (systemd's LoadCredential= would do that only when the agent starts, and keep it from starting where one is
missing.) Each is one file with chain and key, so that both change at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from ..slots import files
from .certificate import CertificateError, Facts, Identity, day, early, expired, make, read

Which = Literal["own", "given"]
WHICH: tuple[Which, ...] = ("given", "own")
"""The first that can be served is."""


class Places(msgspec.Struct, frozen=True):
    """Where they are; tests put them elsewhere."""

    kept: Path = files.FOLDER / "tls"
    published: Path = Path("/run/ovenbird/tls")

    def kept_file(self, which: Which) -> Path:
        """Root's."""
        return self.kept / f"{which}.json"

    def published_file(self, which: Which) -> Path:
        """The agent's copy."""
        return self.published / f"{which}.json"


def load(path: Path) -> Identity | None:
    """The certificate in a file; None if there is none that makes sense."""
    return files.load(path, Identity)


def ensure(places: Places, hostname: str, addresses: tuple[str, ...], group: int | None) -> None:
    """See to it that the device has a certificate of its own, and publish what it has.

    Raises OSError and CertificateError, after as much was done as could be.
    """
    trouble: OSError | None = None
    own = load(places.kept_file("own"))
    if own is None:
        own = make(hostname, addresses)
        try:
            _keep(places, "own", own)
        except OSError as error:
            trouble = error  # It serves this boot.
    _folder(places.published, 0o750, group)
    _publish(places, "own", own)
    given = load(places.kept_file("given"))
    if given is not None:
        _publish(places, "given", given)
    else:
        places.published_file("given").unlink(missing_ok=True)
    if trouble is not None:
        raise trouble


def give(places: Places, text: str, now: float) -> Facts:
    """Take a certificate of the owner's, from now on. Raises CertificateError, OSError."""
    identity = read(text)
    if expired(identity.facts, now):
        raise CertificateError(f"That certificate expired on {day(identity.facts.ends)}.")
    if early(identity.facts, now):
        raise CertificateError(f"That certificate is valid from {day(identity.facts.begins)} on only.")
    if load(places.kept_file("given")) != identity:
        _keep(places, "given", identity)
    _folder(places.published, 0o750, None)
    _publish(places, "given", identity)
    return identity.facts


def withdraw(places: Places) -> bool:
    """Go back to the device's own. False if that is what it has. Raises OSError."""
    found = False
    for path in (places.kept_file("given"), places.published_file("given")):
        with suppress(FileNotFoundError):
            path.unlink()
            found = True
            files.flush_folder(path.parent)
    return found


def _keep(places: Places, which: Which, identity: Identity) -> None:
    _folder(places.kept, 0o700, None)
    files.save(places.kept_file(which), identity, mode=0o600)


def _publish(places: Places, which: Which, identity: Identity) -> None:
    files.save(places.published_file(which), identity)


def _folder(path: Path, mode: int, group: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    if group is not None and path.stat().st_gid != group:
        os.chown(path, -1, group)
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)
