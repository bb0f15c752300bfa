"""`[base]`: where the tree starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from ovenbird.recipe import rules
from ovenbird.recipe.section import Section, text

RELEASES: Final = ("trixie", "bookworm")
ARCHIVE_COMPONENTS: Final = ("main", "contrib", "non-free", "non-free-firmware")


class Base(Section, frozen=True, kw_only=True):
    """Where the tree starts: a distribution's packages, or a root that somebody else has made."""

    distribution: Annotated[
        Literal["debian", "arch", "tar"],
        Meta(
            description='`"debian"`: made of packages. `"arch"`: a tarball of Arch Linux or Arch Linux ARM, and what '
            'pacman adds to it. `"tar"`: the tarball of any root (docs/bases.md).'
        ),
    ] = "debian"
    release: Annotated[
        str,
        Meta(
            description="The release of Debian. With another distribution: of what comes from Debian all the same, "
            "which is the boot programs, the kernel, and rescue.",
            extra={"read": "release"},
            extra_json_schema={"enum": list(RELEASES)},
        ),
    ] = "trixie"
    packages: Annotated[
        tuple[Annotated[str, text("", rules.package, example="podman")], ...],
        Meta(
            description="Packages to install, beside those of the board and the stages. "
            "`name=version` asks for one version."
        ),
    ] = ()
    mirror: Annotated[
        str | None,
        text(
            "Package archive for the release and its updates. Without it, the one that this machine's apt or mmdebstrap"
            " knows.",
            rules.mirror,
            example="https://mirror.example.org/debian",
        ),
    ] = None
    security_mirror: Annotated[
        str | None,
        text(
            "Package archive for security updates, which is another one. Without it, the one that this machine's apt or"
            " mmdebstrap knows.",
            rules.mirror,
            example="https://mirror.example.org/debian-security",
        ),
    ] = None
    components: Annotated[
        tuple[Annotated[str, text("", rules.component, example="non-free-firmware")], ...],
        Meta(description="Components of the archive. Naming some here replaces the default."),
    ] = ("main",)
    keyrings: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "file"})], ...],
        Meta(
            description="Files with the keys that the mirror and the further sources are signed with, "
            "beside the distribution's own."
        ),
    ] = ()
    sources: Annotated[
        tuple[Annotated[str, text("", rules.source, example="deb https://apt.example.org/ stable main")], ...],
        Meta(description="Further apt sources, each as one line (`deb …`) or in deb822 form."),
    ] = ()
    preseed: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "file"})], ...],
        Meta(description="Files with answers to packages' questions, as debconf-set-selections reads them."),
    ] = ()
    tarball: Annotated[
        str | None,
        Meta(
            description="For `arch` and `tar`: the tarball of the root, a file or an address (http, https).",
            examples=["rootfs.tar.gz"],
            extra={"read": "tarball"},
        ),
    ] = None
    sha256: Annotated[
        str | None,
        text("The tarball's SHA-256, as `sha256sum` prints it.", rules.sha256, example="9f86d081884c…"),
    ] = None
    init: Annotated[
        str, text("For `tar`: the program that the system begins with.", rules.program, example="/linuxrc")
    ] = "/sbin/init"
    kernel: Annotated[
        Literal["debian", "tarball"],
        Meta(
            description="For `arch` and `tar`: whose kernel is booted. `tarball`: the one that is in the root, as "
            "`/boot/vmlinuz…` or `/usr/lib/modules/VERSION/vmlinuz` with its modules."
        ),
    ] = "debian"
    server: Annotated[
        str | None,
        text(
            "For `arch`: where the repositories are, with `$repo` and `$arch` in it.",
            rules.server,
            example="https://mirror.example.org/$repo/os/$arch",
        ),
    ] = None
    repositories: Annotated[
        tuple[Annotated[str, text("", rules.repository, example="extra")], ...],
        Meta(description="For `arch`: the repositories, the first of them first."),
    ] = ("core", "extra")
    keys: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "file"})], ...],
        Meta(
            description="For `arch`: files with the keys that packages are signed with. Without any, those that the "
            "tarball has in /usr/share/pacman/keyrings."
        ),
    ] = ()

    @property
    def label(self) -> str:
        """What the image says of its release; only Debian's says anything of the system."""
        return self.release if self.distribution == "debian" else ""
