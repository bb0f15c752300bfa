"""Which apt sources a Debian base is built from.

No mirror is named in Ovenbird. What the recipe says wins; else the mirror that the host's own apt uses for Debian; else
the one that mmdebstrap knows. mmdebstrap also says which suites belong to a release (updates, security).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ovenbird.errors import BuildError, RecipeError
from ovenbird.recipe.model import Base
from ovenbird.run import CommandError, run

SECURITY_LABEL = "Debian-Security"


def source_lines(base: Base) -> tuple[str, ...]:
    """The one-line apt sources for a base, in a fixed order.

    Raises RecipeError for a release that mmdebstrap does not know and BuildError where no mirror can be found.
    """
    known = _host_mirrors()
    lines: list[str] = []
    for line in _mmdebstrap_lines(base.release):
        _, mirror, suite, *_ = line.split()
        if suite.endswith("-security"):
            mirror = base.security_mirror or known.get(SECURITY_LABEL, mirror)
        else:
            mirror = base.mirror or known.get("Debian", mirror)
        lines.append(f"deb {mirror.rstrip('/')} {suite} {' '.join(base.components)}")
    return (*lines, *base.sources)


def _host_mirrors() -> dict[str, str]:
    """The host's own mirrors by archive label ("Debian", "Debian-Security"); empty on a host that is not Debian."""
    completed = run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)", "Created-By: Packages"], check=False
    )
    mirrors: dict[str, str] = {}
    for line in completed.stdout.splitlines():
        origin, label, site = line.split("|", 2)
        if origin == "Debian" and not site.startswith(("file:", "cdrom:", "copy:")):
            mirrors.setdefault(label, site)
    return mirrors


def _mmdebstrap_lines(release: str) -> list[str]:
    """What mmdebstrap would write into sources.list for a release; it is stopped before it does anything else."""
    with tempfile.TemporaryDirectory(prefix="ovenbird-") as folder:
        marker = Path(folder) / "sources"
        try:
            run(
                [
                    "mmdebstrap", "--variant=custom", "--mode=chrootless", "--format=null",
                    f"--setup-hook=cat \"$1\"/etc/apt/sources.list > '{marker}'; exit 1", release, "-",
                ],
                env={"TMPDIR": folder},  # What it leaves where it is interrupted goes with the folder.
                check=False,
            )  # fmt: skip
            lines = [line for line in marker.read_text().splitlines() if line.startswith("deb ")]
        except FileNotFoundError:
            lines = []
        except CommandError as error:
            raise BuildError(f"mmdebstrap does not say where {release} is") from error
    if not lines:
        raise RecipeError(f"mmdebstrap knows no Debian release named {release!r}", hint="use trixie or bookworm")
    return [_without_options(line) for line in lines]


def _without_options(line: str) -> str:
    """`deb [signed-by=…] URL suite …` without the part in brackets: our own key rings are used."""
    if "[" in line:
        line = line[: line.index("[")] + line[line.index("]") + 1 :].lstrip()
    return line
