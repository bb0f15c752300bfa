"""`ovenbird capture` from beginning to end: list, choose, read, write the tarball and the recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird import boards
from ovenbird.capture.image import open_disk
from ovenbird.capture.recipe import RECIPE, TARBALL, Findings, init_of, lacking, write_recipe
from ovenbird.capture.remote import Address, Remote
from ovenbird.capture.rules import Rules
from ovenbird.capture.tree import Choice, Member, Source, choose, compressed, write_members
from ovenbird.errors import ImageError, UsageError
from ovenbird.files import replacing, sha256_of
from ovenbird.progress import Progress, Step
from ovenbird.recipe import rules as spelling


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be captured, and into which folder."""

    what: str
    out: Path
    rules: Rules
    name: str | None = None
    board: str | None = None
    slot: str | None = None
    partition: int | None = None
    port: int | None = None
    key: str | None = None
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Captured:
    """What was made. `fresh` says whether the recipe is new or was there already."""

    tarball: Path
    recipe: Path
    sha256: str
    paths: int
    left: int
    size: int
    fresh: bool
    notes: tuple[str, ...]


def capture(request: Request, progress: Progress) -> Captured:
    """Make a tree out of a machine. Raises UsageError, ImageError, NetworkError, HostError, DiskFullError."""
    _check(request)
    out = request.out
    out.mkdir(parents=True, exist_ok=True)
    # What is unpacked for a moment needs as much room as the tree: it lies where the user wants the result.
    with tempfile.TemporaryDirectory(prefix=".capture-", dir=out) as folder:
        with progress.step(f"looking at {request.what}"):
            source = _source(request, Path(folder))
            listed = source.paths()
            choice = choose(listed, request.rules)
            init = init_of(choice.words)
        if init is None:
            raise ImageError(
                "what is taken of it is no system: it has no init",
                where=request.what,
                hint="does a line of the rules leave it out?" if init_of({one.path for one in listed}) else None,
            )
        findings = Findings()
        with progress.step("reading it") as shown, replacing(out / TARBALL) as beside, compressed(beside) as stream:
            members = findings.watch(_counted(source.read(list(choice.words)), choice, shown))
            count = write_members(stream, members, choice)
        digest = sha256_of(out / TARBALL)
        fresh = write_recipe(
            out, findings, init=init, origin=request.what, sha256=digest, name=request.name, board=request.board
        )
    return Captured(
        out / TARBALL,
        out / RECIPE,
        digest,
        count,
        choice.left,
        (out / TARBALL).stat().st_size,
        fresh,
        (*source.notes, *((want,) if (want := lacking(choice.words)) else ())),
    )


def _check(request: Request) -> None:
    if request.board is not None:
        boards.board(request.board)
    if request.name is not None and (complaint := spelling.name(request.name)):
        raise UsageError(complaint.message, hint=complaint.hint)
    if request.out.exists() and not request.out.is_dir():
        raise UsageError("is in the way, and is no folder", where=str(request.out), hint="name another one with --out")


def _source(request: Request, scratch: Path) -> Source:
    path = Path(request.what)
    if path.exists() or "/" in request.what:
        if request.port or request.key or request.options:
            raise UsageError("is a file, so nothing of SSH is of use", where=request.what)
        return open_disk(path, scratch, slot=request.slot, partition=request.partition)
    if request.slot or request.partition is not None:
        raise UsageError("is a machine: --slot and --partition are for disk images", where=request.what)
    return Remote.reach(Address.parse(request.what, port=request.port, key=request.key, options=request.options))


def _counted(members: Iterator[Member], choice: Choice, shown: Step) -> Iterator[Member]:
    done = 0
    for entry, content in members:
        shown.advance(done, choice.size)
        yield entry, content
        done += entry.size
