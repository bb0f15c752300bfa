"""A base that is not Debian's, in the plan and in the making: a tarball's root, and what pacman adds to it.

    base         the root, checked and taken over from the tarball        (base/tar.py)
    pacman       `arch` alone: the exact packages of the lock on top of it (base/arch.py)
    device       the agent and its kernel modules; of a root in which it cannot live, the modules alone

Debian's packages still bring what boots: GRUB or firmware, the initrd's busybox, and the kernel unless the root has its
own. Where the agent cannot live, rescue is a Debian of its own, so that the device can be updated at all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ovenbird.base import arch, tar
from ovenbird.base.arch import Pacman
from ovenbird.boards import Architecture
from ovenbird.build.apps import step as apps
from ovenbird.build.download import download
from ovenbird.build.inputs import text_digest
from ovenbird.build.store import Making, StepRecord
from ovenbird.errors import BuildError, RecipeError
from ovenbird.files import sha256_of, write_atomically
from ovenbird.progress import Step as Shown
from ovenbird.recipe.load import LoadedRecipe
from ovenbird.recipe.stage import Stage
from ovenbird.run import CommandError

if TYPE_CHECKING:
    from ovenbird.build.bake import Baker, Maker
    from ovenbird.build.plan import Step

USES_PACMAN = re.compile(r"\bpacman\b[^\n;&|]*\s-(S|-sync)")
"""A stage that installs packages by itself depends on what the lists offer at that time."""
INSTALL = (
    "RUN --mount=type=bind,target=/run/stage set -eu; \\\n"
    "    LC_ALL=C.UTF-8 pacman --config /run/stage/pacman.conf --noconfirm --noprogressbar"
    " --ask 4 -U /run/stage/packages/*; \\\n"
    "    rm -rf /var/cache/pacman/pkg/* /etc/pacman.d/gnupg\n"
)
"""`--ask 4`: a package that takes the place of another one may (alpm.h, ALPM_QUESTION_CONFLICT_PKG). The locale is for
names of files, which libarchive converts."""
_SYNC, _KEPT = "/var/lib/pacman/sync", "/var/cache/pacman/pkg"
_ERROR = re.compile(r"^(?:error: .+|\S+: /.+ exists in .+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a plan knows of a base that is not Debian's."""

    tarball: Path
    digest: str
    root: tar.Inspection
    init: str | None
    pacman: Pacman | None = None
    packages: tuple[arch.Package, ...] = ()
    lists: str = ""
    """The digest of the package lists, where a stage installs by itself."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What the agent would need and cannot have: with it, the system is one without an agent."""
        return () if self.pacman else self.root.missing

    @property
    def python(self) -> str:
        """The version of its Python."""
        return arch.python_version(self.packages, self.root.python)

    @property
    def epoch(self) -> int:
        """The build's own time: the latest change in all that it starts from."""
        return max(self.root.newest, *(package.built for package in self.packages), 0)

    @property
    def modules(self) -> str:
        """Where kernel modules are: the folder of libraries, where it is not merged with the one below /usr."""
        return "usr/lib/modules" if "lib" in self.root.links or self.pacman else "lib/modules"


def plan_foreign(loaded: LoadedRecipe, target: Architecture, cache: Path, *, refresh: bool = False) -> Foreign | None:
    """Look at a recipe's tarball, and at its packages; None for Debian. Raises RecipeError, NetworkError."""
    base = loaded.recipe.base
    if base.tarball is None or base.sha256 is None:
        return None
    tarball = _tarball(base.tarball, base.sha256, cache)
    root = _inspection(tarball, base.sha256, cache)
    init = base.init if base.distribution == "tar" else None
    tar.check(root, tarball, init=init, architecture=target.debian)
    found = Foreign(tarball, base.sha256, root, init)
    if base.distribution == "arch":
        found = _with_packages(found, loaded, target, cache, refresh=refresh)
    if found.missing:
        _refuse(loaded, ", ".join(found.missing))
    return found


def _tarball(place: str, sha256: str, cache: Path) -> Path:
    """The tarball's file, which is the one that the recipe means."""
    if "://" in place:
        return download(place, sha256, cache, hint="look who serves it, and at `sha256` in [base] of the recipe")
    file = Path(place)
    status = file.stat()
    seen = cache / "tarballs" / f"{sha256}.{status.st_size}.{status.st_mtime_ns}"
    if not seen.exists():
        found = sha256_of(file)
        if found != sha256:
            hint = f'if this is the one that you mean, write `sha256 = "{found}"` in [base]'
            raise RecipeError(f"the tarball has the sha256 {found}, not {sha256}", where=place, hint=hint)
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    return file


def _inspection(tarball: Path, sha256: str, cache: Path) -> tar.Inspection:
    """What the tarball is, remembered: reading it all takes longer than a plan."""
    memory = cache / "tarballs" / f"{sha256}.{sha256_of(Path(tar.__file__))[:16]}.json"
    try:
        return msgspec.json.decode(memory.read_bytes(), type=tar.Inspection)
    except (FileNotFoundError, msgspec.DecodeError):
        root = tar.inspect(tarball)
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, msgspec.json.encode(root))
        return root


def _with_packages(
    found: Foreign, loaded: LoadedRecipe, target: Architecture, cache: Path, *, refresh: bool
) -> Foreign:
    base = loaded.recipe.base
    if not found.root.pacman:
        hint = 'take a tarball of Arch Linux, or write `distribution = "tar"` in [base]'
        raise RecipeError("the root has no pacman", where=str(found.tarball), hint=hint)
    assert base.server is not None, "a recipe without it is refused"
    architecture = arch.ARCHITECTURES[target.debian]
    identity = " ".join([found.digest, architecture, base.server, *base.repositories, *map(sha256_of, base.keys)])
    folder = cache / "pacman" / text_digest(identity)
    pacman = Pacman(folder, found.tarball, found.root.prefix, architecture, base.server, base.repositories, base.keys)
    wanted = [*arch.PACKAGES, *base.packages, *(name for stage in loaded.stages for name in stage.arch or ())]
    wanted += apps.packages(loaded.recipe.app)  # podman and what belongs to it are called as at Debian's.
    names = sorted(set(wanted))
    question = pacman.question(found.digest, names)
    packages = None if refresh else arch.read_lock(loaded.folder, question)
    by_hand = any(USES_PACMAN.search(stage.containerfile) for stage in loaded.stages)
    if packages is None or (by_hand and not (folder / "db/sync").is_dir()):
        resolved = pacman.resolve(names)
        if packages is None:
            packages = resolved
            arch.write_lock(loaded.folder, question, packages)
    lists = text_digest(" ".join(sha256_of(file) for file in sorted(folder.glob("db/sync/*.db")))) if by_hand else ""
    return Foreign(found.tarball, found.digest, found.root, None, pacman, packages, lists)


def _refuse(loaded: LoadedRecipe, missing: str) -> None:
    """Raise RecipeError for what only the agent could do."""
    recipe, where = loaded.recipe, str(loaded.path)
    because = f"but the root has {missing}"
    if recipe.app:
        message = f"the app {recipe.app[0].name} needs systemd and the agent, {because}"
        raise RecipeError(message, where=where, hint="put the program into the tarball, or add it with a stage")
    for check in recipe.health:
        if check.command is None:
            message = f'the health check "{check.name}" needs the agent, {because}'
            raise RecipeError(message, where=where, hint="look by a `command`, which the initrd's helper runs")
    if recipe.page.terminal is not None:
        raise RecipeError(f"`page.terminal` needs the agent, {because}", where=where, hint="leave it out")


def base_inputs(found: Foreign) -> dict[str, str]:
    """What goes into the root."""
    return {"tarball": found.digest, "maker": sha256_of(Path(tar.__file__))[:24]}


def pacman_inputs(found: Foreign) -> dict[str, str]:
    """What pacman adds to it."""
    packages = {f"package {one.name}": f"{one.version} {one.sha256[:16]}" for one in found.packages}
    return {**packages, "instructions": text_digest(INSTALL)}


def lists_input(found: Foreign, stage: Stage, texts: Sequence[str]) -> str | None:
    """The digest of the package lists, for a stage that installs by itself."""
    return found.lists if found.lists and any(USES_PACMAN.search(text) for text in texts) else None


def volumes(found: Foreign, cache: Path) -> dict[str, str]:
    """What a stage that installs by itself is lent: settings, lists, keys, and a folder that keeps what is fetched."""
    assert found.pacman is not None
    folder, pacman = found.pacman.folder, found.pacman
    kept = cache / "packages" / "pacman"
    kept.mkdir(parents=True, exist_ok=True)
    lines = ["[options]", f"Architecture = {pacman.architecture}", "SigLevel = Required DatabaseOptional TrustAll"]
    for repository in pacman.repositories:
        lines += [f"[{repository}]", f"Server = {pacman.address(repository, '')}"]
    (folder / "stage.conf").write_text("\n".join(lines) + "\n")
    return {
        f"{folder / 'db/sync'}": f"{_SYNC}:O",
        f"{folder / 'gnupg'}": "/etc/pacman.d/gnupg:O",
        f"{folder / 'stage.conf'}": "/etc/pacman.conf:ro",
        f"{kept}": f"{_KEPT}:rw",
    }


def _make_base(baker: Baker, step: Step) -> StepRecord:
    found = baker.plan.foreign
    assert found is not None, "a plan with such a step has it"

    def make(making: Making, shown: Shown) -> None:
        archive = making.folder / "base.tar"
        tar.write_root(found.tarball, found.root, archive)
        making.facts["epoch"] = str(found.epoch)
        making.size = archive.stat().st_size
        baker.engine_of(step).load(archive, step.key, baker.plan.board.architecture)
        archive.unlink()

    return baker.run(step, make)


def _make_pacman(baker: Baker, step: Step) -> StepRecord:
    found = baker.plan.foreign
    assert found is not None, "a plan with such a step has it"
    pacman = found.pacman
    assert pacman is not None, "a plan with such a step has it"
    baker.need(step.parent)

    def make(making: Making, shown: Shown) -> None:
        context = making.folder / "context"
        (context / "packages").mkdir(parents=True)
        for name, file in pacman.fetch(found.packages, baker.store.root).items():
            _link(file, context / "packages" / name)
        settings = f"[options]\nArchitecture = {pacman.architecture}\nSigLevel = Never\nLocalFileSigLevel = Never\n"
        (context / "pacman.conf").write_text(settings)
        try:
            baker.engine_of(step).build(
                parent=baker.plan.step(step.parent).key,
                key=step.key,
                text=INSTALL if found.packages else "",
                context=context,
                arguments={"SOURCE_DATE_EPOCH": str(found.epoch)},
                on_line=shown.line,
                what="installing the packages of Arch Linux",
            )
        except CommandError as error:
            raise pacman_error(error, "[base]") or error from error
        shutil.rmtree(context)
        making.facts["epoch"] = str(found.epoch)
        making.size = baker.engine_of(step).layer_size(step.key)

    return baker.run(step, make)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def pacman_error(error: CommandError, where: str) -> BuildError | None:
    """What pacman said, out of all that was printed; None if it said nothing."""
    said = list(dict.fromkeys(_ERROR.findall(error.completed.stderr + "\n" + error.completed.stdout)))
    if not said:
        return None
    lines = "".join(f"\n    {line}" for line in said[:8])
    return BuildError(f"pacman failed:{lines}", where=where, hint="`ovenbird build --refresh` asks the server anew")


def lend_kernel(baker: Baker, step: Step, unpacked: Path) -> None:
    """Put the root's own kernel and its modules where those of Debian's packages would be.

    Raises BuildError where the root has not one kernel.
    """
    assert step.parent
    baker.need(step.parent)
    parent = baker.plan.step(step.parent)
    script = f"""\
        cd "$TREE"
        [ -L lib ] || also='lib/modules/*/modules.dep'
        modules=
        for one in usr/lib/modules/*/modules.dep ${{also:-}}; do
            [ ! -f "$one" ] || modules="$modules ${{one%/*}}"
        done
        set -- $modules
        [ "$#" != 0 ] || {{ echo "kernel: no folder of modules" >&2; exit 1; }}
        [ "$#" = 1 ] || {{ echo "kernel: $# folders of modules" >&2; exit 1; }}
        version=${{1##*/}}
        for image in "$1/vmlinuz" boot/vmlinuz-"$version" boot/vmlinuz* boot/*Image; do
            [ -f "$image" ] && break
        done
        [ -f "$image" ] || {{ echo "kernel: no image of it" >&2; exit 1; }}
        mkdir -p "{unpacked}/boot" "{unpacked}/usr/lib/modules"
        cp -L "$image" "{unpacked}/boot/vmlinuz-$version"
        cp -a "$1" "{unpacked}/usr/lib/modules/$version"
        chmod -R u+w "{unpacked}/usr/lib/modules/$version"
    """
    try:
        baker.engine_of(parent).with_tree(parent.key, script, what="taking the root's own kernel")
    except CommandError as error:
        told = re.search(r"^kernel: (.*)$", error.completed.stderr, re.MULTILINE)
        if told is None:
            raise
        raise BuildError(
            f"the root should hold one kernel, but there is {told[1]}",
            where="[base] kernel",
            hint='write `kernel = "debian"`, or put the kernel in: /boot/vmlinuz-VERSION and /usr/lib/modules/VERSION',
        ) from error


MAKERS: dict[str, Maker] = {"tarball": _make_base, "pacman": _make_pacman}
