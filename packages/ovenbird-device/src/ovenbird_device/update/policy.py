"""May this bundle be installed here? Everything that is decided before the first byte is written, except who signed it.

Versions are ordered as Debian orders them (letters before other signs, `~` before everything, numbers as numbers), with
one addition, because people write `1.4.0-rc1` and `1.4.0rc1` and mean what comes before `1.4.0`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import msgspec

from ..format.description import Description
from .snapshot import Reason, UpdateError

_EARLIER = re.compile(r"(?<=[0-9])[-._~]?(dev|alpha|beta|preview|pre|rc|[ab](?=[0-9]))(?![a-z])", re.IGNORECASE)
_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_END = 0


class Wishes(msgspec.Struct, frozen=True):
    """What whoever sends a bundle insists on."""

    allow_downgrade: bool = False
    force: bool = False
    """Try again what failed here before."""


def check(
    bundle: Description,
    digest: str,
    wishes: Wishes,
    *,
    compatible: Sequence[str],
    running: str,
    failed: Collection[str],
) -> None:
    """Raise UpdateError unless the bundle may be installed.

    `compatible` are this device's revisions, `running` is the version that runs (empty: not known), `failed` the
    digests of bundles that were given up here.
    """
    if not bundle.fits(compatible):
        wanted, here = ", ".join(bundle.compatible), ", ".join(compatible) or "nothing"
        raise UpdateError(Reason.COMPATIBLE, f"The bundle is for {wanted}, but this device is {here}.")
    if running and older(bundle.version, running) and not wishes.allow_downgrade:
        raise UpdateError(
            Reason.OLDER,
            f"The bundle's version {bundle.version} is older than {running}, which runs; allow a downgrade.",
        )
    if digest in failed and not wishes.force:
        raise UpdateError(
            Reason.FAILED_BEFORE,
            f"This bundle (version {bundle.version}) failed on this device before; force it to try again.",
        )


def older(one: str, other: str) -> bool:
    """Whether version `one` comes before `other`."""
    return sort_key(one) < sort_key(other)


def sort_key(version: str) -> tuple[int, ...]:
    """A value that sorts as versions do; equal for versions that mean the same (`1.02` and `1.2`).

    Format: Debian policy, "Version"; a version is read as text and number in turn, either of which may be empty.
    """
    text = version.strip()
    epoch, colon, rest = text.partition(":")
    if not (colon and epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", text
    rest = _EARLIER.sub(lambda found: "~" + found[1].lower(), rest)
    if re.match(r"[vV][0-9]", rest):
        rest = rest[1:]
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return (int(epoch), *_turns(upstream), *_turns(revision))


def _turns(text: str) -> list[int]:
    found: list[int] = []
    for letters, digits in _PARTS.findall(text):
        if letters or digits:
            found += [*(_weight(sign) for sign in letters), _END, int(digits or 0)]
    return [*found, _END]


def _weight(sign: str) -> int:
    """A tilde sorts before the end, the end before letters, letters before all other signs."""
    if sign == "~":
        return _END - 1
    return ord(sign) if sign.isascii() and sign.isalpha() else ord(sign) + 256
