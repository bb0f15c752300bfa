"""The output folder: what a build hands to its user, always whole.

New files are written beside the old ones and take their places together at the end; `manifest.json` comes last, so a
folder whose manifest names a disk holds that disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ovenbird.build.plan import Plan
from ovenbird.build.tree import image_facts
from ovenbird.files import fill_sparse, replacing, write_atomically
from ovenbird.image.packages import read_packages
from ovenbird.interrupts import held
from ovenbird_device.format import FormatError
from ovenbird_device.format.manifest import File, Manifest, Package, Step, dump, load_manifest
from ovenbird_device.format.netboot import FOLDER, MANIFEST


def is_current(out: Path, plan: Plan) -> Manifest | None:
    """The manifest of a folder that holds exactly what the plan would make, else None.

    Files are judged by their sizes: whoever changes one by hand without changing its size knows.
    """
    try:
        manifest = load_manifest((out / "manifest.json").read_bytes())
    except (FileNotFoundError, FormatError):
        return None
    if [(step.name, step.key) for step in manifest.steps] != [(step.name, step.key) for step in plan.steps]:
        return None
    for name, file in manifest.outputs.items():
        with contextlib.suppress(FileNotFoundError):
            if (out / name).stat().st_size == file.size:
                continue
        return None
    return manifest


def publish(
    out: Path,
    plan: Plan,
    files: Mapping[str, Path],
    digests: Mapping[str, str],
    *,
    kernel: str,
    epoch: int,
    packages: Path,
) -> Manifest:
    """Put files of the store into `out` under their names, and a manifest with their `digests` (sha256) beside them."""
    out.mkdir(parents=True, exist_ok=True)
    for name in files:
        place = out / name
        for litter in place.parent.glob(
            f".{place.name}.*"
        ):  # What a killed build was writing; we hold the folder's lock.
            litter.unlink(missing_ok=True)
    manifest = Manifest(
        image=image_facts(plan.loaded.recipe, plan.board, plan.loaded.digest),
        recipe=plan.loaded.digest,
        epoch=epoch,
        kernel=kernel,
        outputs={name: File(file.stat().st_size, digests[name]) for name, file in files.items()},
        packages=tuple(Package(p.name, p.version, p.architecture) for p in read_packages(packages)),
        steps=tuple(Step(step.name, step.key) for step in plan.steps),
    )
    with ExitStack() as stack:
        copied: dict[Path, Path] = {}
        for name, file in files.items():
            beside = stack.enter_context(replacing(out / name))
            if file in copied:  # The same file under another name: once on the disk.
                beside.unlink()
                beside.hardlink_to(copied[file])
            else:
                fill_sparse(file, beside)
                copied[file] = beside
        copies = stack.pop_all()
    gone = _former(out) - files.keys()
    with held():
        with copies:
            # A folder whose files are just being exchanged has no manifest: nobody takes them for one build.
            for name in ("manifest.json", f"{FOLDER}/{MANIFEST}"):
                (out / name).unlink(missing_ok=True)
            for name in gone:  # A bundle of an older version beside a new image would mislead.
                (out / name).unlink(missing_ok=True)
        write_atomically(out / "manifest.json", dump(manifest))
    return manifest


def _former(out: Path) -> set[str]:
    """The names of what the last build put into a folder."""
    try:
        names = load_manifest((out / "manifest.json").read_bytes()).outputs
    except (FileNotFoundError, FormatError):
        return set()
    return {name for name in names if Path(name).name in (name, name.removeprefix(f"{FOLDER}/"))}
