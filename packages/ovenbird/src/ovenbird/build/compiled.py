"""The agent's libraries that have a part in C, for architectures that nobody publishes them for: compiled here, once.

The source is the one that `requirements.lock` has by its hash. Compiler, C library and Python's headers are exact
packages of the recipe's own release, laid out in a folder that the compiler then takes for its root. So the bytes
depend on nothing of this machine, which needs no compiler, and nothing of the target is run (docs/decisions/0015).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ovenbird.base.apt import Index, Package
from ovenbird.boards import Architecture
from ovenbird.build import wheels
from ovenbird.build.context import settle
from ovenbird.build.cross.crossing import Crossing
from ovenbird.build.debs import extract
from ovenbird.build.download import download
from ovenbird.build.inputs import file_digest, package_inputs, text_digest
from ovenbird.build.packages import Packages
from ovenbird.build.store import Making, StepRecord
from ovenbird.errors import BuildError, NetworkError, RecipeError
from ovenbird.progress import Step as Shown
from ovenbird.run import CommandError, run

if TYPE_CHECKING:
    from ovenbird.build.bake import Baker
    from ovenbird.build.plan import Step

FILES = "files"
"""The folder of a step's result that is laid over the agent's."""
WORK = "work"
# As Debian compiles Python's own modules, without what serves to find faults.
FLAGS = ("-shared", "-fPIC", "-O2", "-g0", "-fwrapv", "-DNDEBUG", "-s", "-Wl,-z,relro,-z,now")
_SOURCES = (".c", ".h")
_EPOCH = 0  # Times in the store are fixed; the device's step gives its files the build's own.


@dataclass(frozen=True, slots=True)
class Library:
    """A library of Python of which one module is compiled from one file in C."""

    name: str
    folder: str
    """Where its modules are in the archive of its source."""
    module: str
    """The module in C, whose source has that name."""
    needs: tuple[str, ...] = ()
    """Libraries in C that it is linked with, as the linker has them."""


LIBRARIES: dict[str, tuple[Library, ...]] = {"armhf": (Library("msgspec", "src/msgspec", "_core", ("m",)),)}
"""What is compiled, by the architecture that it is compiled for."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """The exact packages that compile for an architecture: programs for this machine, headers and libraries for it."""

    target: Architecture
    python: str
    """The target's Python: "3.13"."""
    index: Index
    programs: tuple[Package, ...]
    headers_index: Index
    headers: tuple[Package, ...]

    @property
    def program(self) -> str:
        """The program itself, in its own root."""
        return f"/usr/bin/{self.target.facts.triplet}-gcc"


def find_compiler(way: Crossing, native: Index, index: Index, python: str) -> Compiler:
    """The compiler of a release. `native` has the lists of this machine's architecture, `index` the target's.

    Raises RecipeError where the release does not have it.
    """
    # base-files has the links of the merged folders (/lib), through which programs name their loader.
    programs = ("base-files", f"gcc-{way.target.facts.triplet}")
    headers = ("libc6", "libc6-dev", f"libpython{python}-dev", "linux-libc-dev")
    try:
        return Compiler(
            way.target,
            python,
            native,
            native.resolve(programs),
            index,
            index.resolve(headers, only=lambda name: name in headers),
        )
    except RecipeError as error:
        names = ", ".join(library.name for library in LIBRARIES[way.target.debian])
        raise RecipeError(
            f"{error.message}, and {names} of the agent's is compiled with it",
            hint="take a board of 64 bits, or add a source that has it (`sources` in [base])",
        ) from error


def plan_compiler(
    way: Crossing, packages: Packages, cache: Path, python: str, *, refresh: bool = False
) -> Compiler | None:
    """The compiler that a board's libraries need; None for a board whose libraries all are published as wheels.

    Raises RecipeError, NetworkError.
    """
    if way.target.debian not in LIBRARIES:
        return None
    native = packages.native
    if native.architecture != way.host.debian:  # A tree that is emulated from its base on.
        native = Index.at(cache, native.sources, way.host.debian, native.keyrings)
        native.refresh(force=refresh)
    return find_compiler(way, native, packages.index, python)


def requirement(locked: str, name: str) -> str:
    """One library's block out of a file of locked requirements: its version and the hashes of its files."""
    return next(block for block in _blocks(locked) if _name(block) == name)


def without(locked: str, names: set[str]) -> str:
    """A file of locked requirements without those of these names."""
    return "".join(block for block in _blocks(locked) if _name(block) not in names)


def _blocks(locked: str) -> list[str]:
    """What belongs to a requirement is indented below it."""
    return re.split(r"^(?=\S)", locked, flags=re.MULTILINE)


def _name(block: str) -> str:
    return re.split(r"[=\s]", block, maxsplit=1)[0]


def step_name(library: Library) -> str:
    """What a library's step is called."""
    return f"library {library.name}"


def libraries_inputs(compiler: Compiler | None, locked: str) -> dict[str, dict[str, str]]:
    """What goes into each library's step, by the step's name. `locked` are the agent's locked requirements."""
    if compiler is None:
        return {}
    wanted = LIBRARIES[compiler.target.debian]
    return {step_name(library): _inputs(library, locked, compiler) for library in wanted}


def _inputs(library: Library, locked: str, compiler: Compiler) -> dict[str, str]:
    target = compiler.target.debian
    headers = package_inputs(compiler.headers)
    return {
        "architecture": target,
        "python": compiler.python,
        "source": text_digest(requirement(locked, library.name)),
        "flags": " ".join((*FLAGS, *library.needs)),
        "maker": file_digest(Path(__file__)),
        **package_inputs(compiler.programs),
        **{f"{name} for {target}": value for name, value in headers.items()},
    }


def make_library(baker: Baker, step: Step) -> StepRecord:
    """Compile a library of the agent's."""
    from ovenbird.build.device import locked_requirements  # it lays out what this makes

    compiler = baker.plan.compiler
    assert compiler is not None, "a plan with such a step has it"
    library = next(one for one in LIBRARIES[compiler.target.debian] if step_name(one) == step.name)

    def make(making: Making, shown: Shown) -> None:
        with baker.store.scratch() as scratch:
            wanted = requirement(locked_requirements(), library.name)
            source = fetch(library, wanted, compiler.python, scratch, baker.store.root)
            root = scratch / "root"
            root.mkdir()
            lay_out_compiler(compiler, root)
            compile_library(library, compiler, root, source, making.folder / FILES, on_line=shown.line)
        settle(making.folder, _EPOCH)

    return baker.run(step, make)


class _Archive(msgspec.Struct):
    """A file in a pylock.toml (https://packaging.python.org/en/latest/specifications/pylock-toml/)."""

    url: str
    hashes: dict[str, str]


class _Locked(msgspec.Struct):
    version: str
    sdist: _Archive


class _Lock(msgspec.Struct):
    packages: list[_Locked]


def fetch(library: Library, wanted: str, python: str, scratch: Path, cache: Path) -> Path:
    """The archive of a library's source, from where uv finds it: what uv is told of registries holds here, too.

    `wanted` is the library's requirement with its hashes. Raises NetworkError, and BuildError for a source whose hash
    is not among them.
    """
    file = scratch / "requirements.lock"
    file.write_text(wanted)
    try:
        done = run(
            [
                wheels.uv(), "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-deps",
                "--python", sys.executable, "--python-version", python, "--no-binary", library.name,
                "--format", "pylock.toml", file,
            ],
            what=f"the search for the source of {library.name}",
        )  # fmt: skip
        archive = msgspec.convert(tomllib.loads(done.stdout), _Lock).packages[0].sdist
    except CommandError as error:
        raise NetworkError(error.message, hint="look at the network, and run the same command again") from error
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, IndexError) as error:
        raise NetworkError(f"the registry has no source of {library.name}") from error
    digest = archive.hashes.get("sha256", "")
    if f"--hash=sha256:{digest}" not in wanted.split():
        raise BuildError(
            f"the source of {library.name} is not the one that is locked", where=archive.url, hint="look who serves it"
        )
    return download(archive.url, digest, cache, hint="look who serves it")


def lay_out_compiler(compiler: Compiler, root: Path) -> None:
    """Put the compiler's packages into a folder: both architectures', as they share no path that differs."""
    parts = ((compiler.index, compiler.programs), (compiler.headers_index, compiler.headers))
    for index, packages in parts:
        with index.archives(packages) as archives:
            for package in packages:
                extract(archives / package.file_name, root)


def compile_library(
    library: Library,
    compiler: Compiler,
    root: Path,
    archive: Path,
    out: Path,
    *,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Compile a library from its source's archive, and put it into the folder `out` as its wheel would be installed.

    `root` is where the compiler is laid out. Raises BuildError for an archive that is laid out in another way.
    """
    work = root / WORK
    work.mkdir()
    run(
        ["tar", "--extract", "--file", archive, "--directory", work, "--strip-components=1", "--no-same-owner"],
        what=f"unpacking the source of {library.name}",
    )
    source, about = work / library.folder, work / "PKG-INFO"
    if not (source / f"{library.module}.c").is_file() or not about.is_file():
        raise BuildError(f"the source of {library.name} has no {library.folder}/{library.module}.c")
    facts = compiler.target.facts
    # What Debian's Python for the target looks for (PEP 3149).
    made = f"{library.module}.cpython-{compiler.python.replace('.', '')}-{facts.triplet}.so"
    run(
        _in_root(
            root,
            [
                compiler.program, *FLAGS, f"-I/usr/include/python{compiler.python}",
                "-o", made, f"{library.module}.c", *(f"-l{name}" for name in library.needs),
            ],
            f"/{WORK}/{library.folder}",
        ),
        env={"TMPDIR": f"/{WORK}"},
        on_line=on_line,
        what=f"compiling {library.name}",
    )  # fmt: skip
    shutil.copytree(source, out / library.name, ignore=shutil.ignore_patterns(*(f"*{end}" for end in _SOURCES)))
    version = re.search(r"(?m)^Version: (\S+)$", about.read_text(encoding="utf-8"))
    assert version is not None, "an archive of a source says its version"
    info = out / f"{library.name}-{version[1]}.dist-info"
    (info / "licenses").mkdir(parents=True)
    shutil.copyfile(about, info / "METADATA")
    for license_file in sorted(work.glob("LICENSE*")):
        shutil.copyfile(license_file, info / "licenses" / license_file.name)


def _in_root(root: Path, command: Sequence[str], folder: str) -> list[str | Path]:
    """The words that run a program with `root` for its root: an ordinary user needs a namespace for that."""
    namespace = () if os.geteuid() == 0 else ("--map-root-user",)
    return ["unshare", *namespace, f"--root={root}", f"--wd={folder}", "--", *command]
