"""The base `debian`: a root file tree of exact package versions, made by mmdebstrap without root and without network.

Everything that decides over the bytes is settled before: the versions by `apt.Index.resolve`, the files by
`apt.Index.archives`. mmdebstrap gets the same package lists and the same files, and unpacks them. The kernel is not
part of it, see `build/kernel.py`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ovenbird.base.apt import Index
from ovenbird.build.cross.emulation import Inside
from ovenbird.host import spare_memory
from ovenbird.recipe.model import Base
from ovenbird.recipe.stage import CLEANUP, STOCK
from ovenbird.run import run

# The priority "required" and apt: the smallest Debian in which packages can be configured.
START = ("?essential", "apt")


# Mounts and processes of its own, so that nothing is left of either when the build is killed. An ordinary user is root
# among the subordinate ids, as in every later step, and so may pass through folders that are closed to others.
def apart(inside: Inside | None = None) -> tuple[str, ...]:
    """The words before a command that make a base."""
    return (
        *(() if os.geteuid() == 0 else ("buildah", "unshare", "--")),
        *(inside.words if inside else ()),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
    )


# Thousands of small files are written and soon thrown away; a file system on disk takes a quarter longer for that, and
# slows down for what comes next. Where it cannot be mounted, the disk does.
IN_MEMORY = 'mount -t tmpfs -o size=100%,mode=0755 ovenbird "$TMPDIR" 2>/dev/null || :'
TREE = 12
"""How many times as large as its compressed packages a tree may be at most while it is made, apt's caches included."""

# What makes compiled Python files independent of times.
SETTLE = STOCK / CLEANUP / "settle_pyc.py"


def base_packages(base: Base, more: Sequence[str]) -> list[str]:
    """What apt is asked to install into an empty tree: the start, then the recipe's and the stages' packages."""
    return [*START, *dict.fromkeys(sorted([*base.packages, *more]))]


# Manual pages keep their folders until the last stage: programs that a package registers may put links there.
DOCUMENTATION = (
    "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright*",
    "path-exclude=/usr/share/man/*", "path-include=/usr/share/man/man?",
    *(f"path-exclude=/usr/share/{name}/*" for name in ("bug", "doc-base", "groff", "info", "lintian", "linda")),
)  # fmt: skip


def filters(cleanup: Mapping[str, str]) -> str:
    """What dpkg is told not to unpack (dpkg(1), --path-exclude), by the `arguments` of the stage `cleanup`.

    What would be removed in the end is not unpacked in the first place, here and in every stage.
    """
    lines: list[str] = []
    if cleanup.get("docs") != "true":
        lines += DOCUMENTATION
    languages = cleanup.get("locales", "").split()
    if "all" not in languages:
        kept = ("locale.alias", *(f"{language}/*" for language in languages))
        lines += ["path-exclude=/usr/share/locale/*", *(f"path-include=/usr/share/locale/{name}" for name in kept)]
    return "".join(f"{line}\n" for line in lines)


def newest_change(archives: Path) -> int:
    """The time of the latest change in a set of packages, in seconds since the epoch: the build's own time.

    The first member of a .deb carries the date of its package's changelog, for a reproducible build (deb(5), ar(5):
    the member's modification time is the decimal number at bytes 16 to 28 of its header, which follows 8 magic bytes).
    """
    newest = 0
    for file in archives.glob("*.deb"):
        with file.open("rb") as stream:
            head = stream.read(8 + 28)
        newest = max(newest, int(head[24:36].decode("ascii", "replace").strip() or 0))
    return newest


def bake_base(
    out: Path,
    *,
    scratch: Path,
    base: Base,
    packages: Sequence[str],
    index: Index,
    archives: Path,
    epoch: int,
    preseed: Sequence[Path],
    filters: str = "",
    inside: Inside | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Write the tree as a tar to `out`. `archives` holds the files of every resolved package; the tree grows in
    `scratch`, which is empty again in the end.

    `filters` are lines for dpkg's configuration, see `filters`; `inside` says how another architecture's programs run.
    Raises CommandError with mmdebstrap's last lines.
    """
    size = TREE * sum(file.stat().st_size for file in archives.glob("*.deb"))
    in_memory = ("sh", "-c", f'{IN_MEMORY}; exec "$@"', "sh") if spare_memory() > 2 * size else ()
    include = ",".join(name for name in packages if not name.startswith("?") and name != "apt")
    command: list[str | Path] = [
        *apart(inside), *in_memory, "mmdebstrap", "--mode=root", "--variant=apt", "--format=tar",
        f"--architectures={index.architecture}",
        "--skip=check/qemu,update,download/empty,essential/unlink,cleanup/apt,output/dev,check/empty",
        "--setup-hook=mkdir -p \"$1\"/var/lib/apt/lists \"$1\"/var/cache/apt/archives",
        # Links where they can be: the same files, not copies of 150 MB. apt and dpkg only read them, or put new ones in
        # their places.
        f"--setup-hook={_link(index.lists, 'var/lib/apt/lists')}",
        f"--setup-hook={_link(archives, 'var/cache/apt/archives')}",
        "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Sandbox::User \"root\"",
        "--dpkgopt=force-unsafe-io",
    ]  # fmt: skip
    for number, file in enumerate(preseed):
        command += [
            f"--essential-hook=upload {shlex.quote(str(file))} /tmp/preseed-{number}",
            f'--essential-hook=chroot "$1" debconf-set-selections /tmp/preseed-{number}; rm "$1"/tmp/preseed-{number}',
        ]
    if filters:
        command.append(f"--extract-hook={_heed(filters)}")
    # Here it costs little; the last stage would have to copy every file up first, at each change of the recipe.
    settle = f'chroot "$1" /usr/bin/python3 -I -S -B - /usr <{shlex.quote(str(SETTLE))}'
    command.append(f'--customize-hook=[ ! -x "$1"/usr/bin/python3 ] || {settle}')
    if include:
        command.append(f"--include={include}")
    command += [
        # Lists and packages are kept outside, and lent to stages that use apt; its caches of 90 MB are made of them.
        '--customize-hook=find "$1"/var/cache/apt "$1"/var/lib/apt/lists -mindepth 1 ! -name archives -delete',
        base.release,
        out,
        *(_source(line) for line in index.sources),
    ]
    run(
        command,
        env={
            **(inside.emulator if inside else {}),
            "SOURCE_DATE_EPOCH": str(epoch),
            "DEBIAN_FRONTEND": "noninteractive",
            "TMPDIR": str(scratch),
        },
        on_line=on_line,
        what="the base",
    )


def _link(folder: Path, target: str) -> str:
    """A shell command that puts a folder's content below the new tree."""
    words = f'{shlex.quote(str(folder))}/. "$1"/{target}/'
    return f"cp -al {words} 2>/dev/null || cp -a {words}"


def _heed(filters: str) -> str:
    """A shell command that gives dpkg its filters and applies them to the start, which dpkg has not unpacked.

    dpkg's patterns and those of find(1) are the same: a `*` matches a `/` too.
    """
    globs: dict[str, list[str]] = {"path-exclude": [], "path-include": []}
    for line in filters.splitlines():
        option, _, glob = line.partition("=")
        globs[option].append(shlex.quote(f".{glob}"))
    excluded = " -o ".join(f"-path {glob}" for glob in globs["path-exclude"])
    included = " ".join(f"! -path {glob}" for glob in globs["path-include"])
    remove = f"find ./usr/share \\( {excluded} \\) {included} -type f -delete"
    return f'cd "$1" && printf %s {shlex.quote(filters)} >etc/dpkg/dpkg.cfg.d/ovenbird && {remove}'


def _source(entry: str) -> str:
    return entry if entry.endswith("\n") or "\n" not in entry else entry + "\n"
