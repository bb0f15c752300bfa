"""The images that there are to boot: each with its current build and the one before.

    images/NAME/kept.json         which build is served, and which was before
    images/NAME/ID/manifest.json  and kernel, initrd, root: one build, never changed; ID is of its manifest's content

A build is copied and verified beside the others, and then `kept.json` is replaced: who asks before gets the old build
whole, who asks after the new one. URLs name the build, so nothing mixes, and whoever runs from the former one goes on.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.errors import ImageError, UsageError
from ovenbird.files import fill_sparse, locked, sha256_of, write_atomically
from ovenbird.progress import Progress
from ovenbird.recipe.problems import did_you_mean
from ovenbird_device.format import FormatError, netboot
from ovenbird_device.format.netboot import Netboot

KEPT = "kept.json"
HOW = "`ovenbird build` of a recipe for a diskless machine makes such a folder, `ovenbird serve add OUT` brings it here"


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which builds of an image are kept."""

    current: str
    former: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One build of an image."""

    id: str
    folder: Path
    manifest: Netboot

    @property
    def name(self) -> str:
        """What it is called."""
        return self.manifest.name

    def file(self, name: str) -> Path | None:
        """One of its files by the name in the manifest; None for anything else."""
        return self.folder / name if name in {file.file for file in self.manifest.files} else None


class Images:
    """The images below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "images"

    def names(self) -> list[str]:
        """Their names, sorted."""
        return sorted(kept.parent.name for kept in self.folder.glob(f"*/{KEPT}"))

    def all(self) -> list[Image]:
        """The current build of each."""
        return [self.current(name) for name in self.names()]

    def kept(self, name: str) -> Kept:
        """Which builds there are. Raises UsageError for an unknown name, ImageError for a damaged note."""
        file = self.folder / name / KEPT
        if "/" in name or not file.is_file():
            hint = did_you_mean(name, self.names()) if self.names() else HOW
            raise UsageError(f'there is no image "{name}"', hint=hint)
        try:
            return msgspec.json.decode(file.read_bytes(), type=Kept)
        except msgspec.MsgspecError as error:
            raise ImageError(f"this note cannot be read: {error}", where=str(file), hint=HOW) from error

    def current(self, name: str) -> Image:
        """The build that is served. Raises as `kept` and `build`."""
        return self.build(name, self.kept(name).current)

    def former(self, name: str) -> Image | None:
        """The build before."""
        kept = self.kept(name)
        return self.build(name, kept.former) if kept.former else None

    def served(self, name: str, number: str) -> Image:
        """A build that may be asked for: one that is kept. Raises UsageError for any other."""
        kept = self.kept(name)
        if number not in (kept.current, kept.former) or not number:
            raise UsageError(f"{name} has no build {number}")
        return self.build(name, number)

    def build(self, name: str, number: str) -> Image:
        """One build. Raises ImageError where it is not whole."""
        return _read(self.folder / name / number)

    def add(self, out: Path, progress: Progress) -> tuple[Image, bool]:
        """Take the netboot files of a build's output folder (or that folder itself) in, and serve them from now on.

        Returns the image, and whether anything changed. Raises UsageError for a folder without images, ImageError for
        files that are not what the manifest says.
        """
        source = _source(out)
        raw = (source / netboot.MANIFEST).read_bytes()
        try:
            manifest = netboot.load(raw)
        except FormatError as error:
            raise ImageError(str(error), where=str(source / netboot.MANIFEST)) from error
        number = hashlib.sha256(raw).hexdigest()[:16]
        home = self.folder / manifest.name
        with locked(self.folder / f".{manifest.name}.lock"):
            kept = self.kept(manifest.name) if (home / KEPT).is_file() else None
            if kept is not None and kept.current == number:
                return self.build(manifest.name, number), False
            if not (home / number).is_dir():
                self._take_in(source, manifest, raw, home / number, progress)
            new = Kept(number, kept.current if kept else "")
            write_atomically(home / KEPT, msgspec.json.encode(new))
            self._tidy(home, new)
        return self.build(manifest.name, number), True

    def _take_in(self, source: Path, manifest: Netboot, raw: bytes, target: Path, progress: Progress) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            progress.step(f"taking in {manifest.name} {manifest.version}") as step,
            tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as name,
        ):
            beside = Path(name) / "build"
            beside.mkdir()
            for number, file in enumerate(manifest.files):
                step.advance(number, len(manifest.files))
                place = source / file.file
                if not place.is_file():
                    raise ImageError(f"{file.file} is missing", where=str(source), hint="build it again")
                fill_sparse(place, beside / file.file)
                # What is served is what was read back here.
                if (beside / file.file).stat().st_size != file.size or sha256_of(beside / file.file) != file.sha256:
                    raise ImageError(
                        f"{file.file} is not the file that the manifest names", where=str(source), hint="build it again"
                    )
            (beside / netboot.MANIFEST).write_bytes(raw)
            beside.rename(target)

    def rollback(self, name: str | None) -> tuple[Image, Image]:
        """Serve the former build again; returns what was and what is. Raises UsageError."""
        chosen = name if name is not None else self.only()
        with locked(self.folder / f".{chosen}.lock"):
            kept = self.kept(chosen)
            if not kept.former:
                raise UsageError(
                    f"{chosen} has no former build to go back to", hint="the next `ovenbird serve add` keeps one"
                )
            old, new = self.build(chosen, kept.current), self.build(chosen, kept.former)
            write_atomically(self.folder / chosen / KEPT, msgspec.json.encode(Kept(kept.former, kept.current)))
        return old, new

    def only(self) -> str:
        """The name of the one image. Raises UsageError for none or several."""
        names = self.names()
        if not names:
            raise UsageError("there are no images to serve", where=str(self.folder.parent), hint=HOW)
        if len(names) > 1:
            raise UsageError("there are several images", hint=f"name one: {', '.join(names)}")
        return names[0]

    def _tidy(self, home: Path, kept: Kept) -> None:
        """Take away what is neither served nor kept, and what a killed `add` has left."""
        for folder in home.iterdir():
            if folder.is_dir() and folder.name not in (kept.current, kept.former):
                shutil.rmtree(folder)


def _source(out: Path) -> Path:
    """The folder with the netboot manifest."""
    if not out.is_dir():
        raise UsageError("there is no such folder", where=str(out), hint=HOW)
    for folder in (out / netboot.FOLDER, out):
        if (folder / netboot.MANIFEST).is_file() and (folder != out or _is_netboot(folder)):
            return folder
    raise UsageError(
        f"this folder has no images: there is no {netboot.FOLDER}/{netboot.MANIFEST}", where=str(out), hint=HOW
    )


def _is_netboot(folder: Path) -> bool:
    """Whether a manifest is one of netboot files: a build's own has the same name."""
    try:
        return "command_line" in msgspec.json.decode((folder / netboot.MANIFEST).read_bytes(), type=dict[str, object])
    except msgspec.MsgspecError:
        return False


def _read(folder: Path) -> Image:
    file = folder / netboot.MANIFEST
    try:
        return Image(folder.name, folder, netboot.load(file.read_bytes()))
    except (FileNotFoundError, FormatError) as error:
        raise ImageError(f"this image is damaged: {error}", where=str(file), hint=HOW) from error
