"""`python3 -m ovenbird_device.update.overlay SHA256 NAME SIGNATURE`: whether an overlay from the network is signed.

The initrd asks this of the image's own program, in a root that is already known to be right. What is signed is one line
as `sha256sum` prints it: the overlay's digest, two spaces, its name, a newline. So nothing large is held in memory, and
one overlay cannot be put in another's place. Trusted are the certificates whose bundles the image takes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..format import FormatError, settings
from .signature import SignatureError, VerifierError, verify

GOOD = "good"


def main(arguments: Sequence[str] | None = None, image: Path = Path("/")) -> int:
    """Print `good`, or in one line why it is not. Returns the exit code."""
    digest, name, signature = (sys.argv[1:] if arguments is None else arguments)[:3]
    said = judge(digest, name, Path(signature), image / settings.PATH)
    print(said)
    return 0 if said == GOOD else 1


def judge(digest: str, name: str, signature: Path, trusted: Path) -> str:
    """`good`, or a sentence. `signature` is the file that lies beside the overlay, `trusted` the image's settings."""
    try:
        certificates = settings.load(trusted.read_bytes()).certificates
        verify(f"{digest}  {name}\n".encode(), signature.read_bytes(), certificates)
    except SignatureError as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}."
    except (OSError, FormatError, VerifierError) as error:
        return f"It cannot be judged: {error}."
    return GOOD


if __name__ == "__main__":
    sys.exit(main())
