"""The whole work on a twin's tree, as a program: `python -m ovenbird.build.cross.graft JOB`, with the tree in $TREE.

It runs where the tree's owners are what they are (`Engine.change`), and writes its report beside the job.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ovenbird.boards.board import ARCHITECTURES, Architecture
from ovenbird.build.cross import libcache
from ovenbird.build.cross.database import translate_database
from ovenbird.build.cross.dpkg import Names, parse
from ovenbird.build.cross.owned import Graft, Twin, md5
from ovenbird.build.cross.proof import foreign
from ovenbird.build.cross.rest import VIRTUAL, translate_rest
from ovenbird.build.debs import Unpacked

WORK = "tmp/.ovenbird-compile"
# Reads a list of source and name from its input, and compiles each beside itself, of the kind that is not checked.
COMPILE = """
import sys, py_compile
for line in sys.stdin.read().splitlines():
    source, name = line.split("\\t")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, source + "c", name, doraise=True, invalidation_mode=mode)
"""
PYTHON = "usr/bin/python3"


class Job(msgspec.Struct, frozen=True):
    """What is to be done: from which architecture to which, and the folders of the target's packages."""

    host: str
    target: str
    packages: list[str]


class Foreign(msgspec.Struct, frozen=True):
    """A file that the target does not run, and what it is for."""

    path: str
    architecture: str


class Report(msgspec.Struct, frozen=True):
    """What was done: how many files are the target's, and what should not be there."""

    taken: int
    foreign: list[Foreign]


def architecture(name: str) -> Architecture:
    """The architecture by Debian's name."""
    return next(one for one in ARCHITECTURES if one.debian == name)


def graft_tree(tree: Path, job: Job) -> Report:
    """Do the job on a tree."""
    names = Names(architecture(job.host), architecture(job.target))
    packages = [Unpacked(Path(folder)) for folder in job.packages]
    twin = Twin.read(tree, names)
    compiled = _compile(twin, packages)
    graft = Graft(twin)
    graft.run(packages)
    translate_rest(graft)
    for place, content in compiled.items():
        path = tree / place
        if path.exists():
            path.unlink() if content is None else path.write_bytes(content)
    translate_database(twin, {parse(package.control)[0]["Package"]: package for package in packages})
    _write_cache(twin)
    return Report(len(graft.taken), list(_prove(tree, graft)))


def _compile(twin: Twin, packages: list[Unpacked]) -> dict[str, bytes | None]:
    """Python's compiled files whose sources are others for the target: by their places after the graft.

    They are compiled by the twin's own Python, which still runs here; without one they go.
    """
    names, root = twin.names, twin.root
    wanted: dict[str, Path] = {}
    for package in packages:
        for entry in package.entries:
            if not entry.path.endswith(".py"):
                continue
            place = root.canonical(entry.path)
            source = package.folder / "files" / (f"{place.rpartition('/')[0]}/{entry.link}" if entry.link else place)
            before = twin.before(place)
            folder, _, name = before.rpartition("/")
            had = twin.owned.get(before)
            for old in root.path(folder).glob(f"__pycache__/{name.removesuffix('.py')}.*.pyc"):
                changed = had is None or had.digest is None or names.shows(before) or had.digest != md5(source)
                if changed and source.is_file():
                    wanted[f"{folder}/__pycache__/{names.path(old.name)}"] = source
    return _compiled(root.folder, wanted)


def _compiled(tree: Path, wanted: Mapping[str, Path]) -> dict[str, bytes | None]:
    if not wanted or not (tree / PYTHON).exists():
        return dict.fromkeys(wanted)
    work = tree / WORK
    work.mkdir(parents=True)
    try:
        lines: list[str] = []
        for number, (place, source) in enumerate(wanted.items()):
            shutil.copyfile(source, work / f"{number}.py")
            folder, _, name = place.rpartition("/__pycache__/")
            lines.append(f"/{WORK}/{number}.py\t/{folder}/{name.split('.')[0]}.py")
        done = subprocess.run(
            ["chroot", tree, f"/{PYTHON}", "-I", "-S", "-B", "-c", COMPILE],
            input="\n".join(lines), text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return dict.fromkeys(wanted)
        return {place: (work / f"{number}.pyc").read_bytes() for number, place in enumerate(wanted)}
    finally:
        shutil.rmtree(work)


def _write_cache(twin: Twin) -> None:
    """Make the cache of libraries anew, where the twin has one."""
    cache = twin.root.folder / libcache.PLACE
    if cache.is_file():
        facts = twin.names.target.facts
        found = libcache.entries(twin.root, facts)
        cache.write_bytes(libcache.encode(found, facts, libcache.generator_of(cache.read_bytes())))


def _prove(tree: Path, graft: Graft) -> list[Foreign]:
    found: list[Foreign] = []
    target, common = graft.twin.names.target, graft.twin.common
    for parent, folders, names in os.walk(tree):
        below = os.path.relpath(parent, tree) if parent != str(tree) else ""
        folders[:] = sorted(name for name in folders if below or name not in VIRTUAL)
        for name in sorted(names):
            place = f"{below}/{name}" if below else name
            if place in graft.taken or place in common or (kind := foreign(tree, place, target)) is None:
                continue
            if graft.digests.get(place) != md5(tree / place):  # Some packages bring programs for other processors.
                found.append(Foreign(f"/{place}", kind))
    return found


def main(words: list[str]) -> int:
    """Do the job whose file is named, on the tree that the environment names."""
    file = Path(words[0])
    report = graft_tree(Path(os.environ["TREE"]), msgspec.json.decode(file.read_bytes(), type=Job))
    file.with_name("report").write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
