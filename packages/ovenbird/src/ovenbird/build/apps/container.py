"""Containers: an OCI image that is packed into the system's image, or one that the device pulls by its name.

A packed image becomes a small OCI layout of the one platform that the device has, with every blob checked against its
digest. The device copies it into podman's storage on data before the first start (`app-image`, see `unit.py`).
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from ovenbird.build.apps.kind import Target, Workshop
from ovenbird.build.inputs import file_digest, text_digest
from ovenbird.errors import BuildError
from ovenbird.files import sha256_of
from ovenbird.recipe.app import App

IMAGE = "image"
"""The folder of the layout in the app's own."""
PLATFORMS: dict[str, tuple[str, str | None]] = {
    "amd64": ("amd64", None), "arm64": ("arm64", None), "armhf": ("arm", "v7"), "i386": ("386", None),
    "riscv64": ("riscv64", None),
}  # fmt: skip
"""OCI's name and variant of a Debian architecture."""
_LISTS = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


class Container:
    """A container."""

    packages: tuple[str, ...] = ("aardvark-dns", "crun", "netavark", "nftables", "podman")

    def tools(self, app: App) -> tuple[str, ...]:
        """As `Kind.tools`."""
        return ()

    def inputs(self, app: App, target: Target) -> dict[str, str]:
        """As `Kind.inputs`."""
        transport, place = packed(app)
        if place is None:
            return {"image": app.source}
        content = file_digest(place) if transport == "oci-archive" else file_digest(place / "index.json")
        return {"file image": content, "architecture": target.architecture}

    def make(self, app: App, target: Target, workshop: Workshop) -> None:
        """As `Kind.make`. An image that the device pulls leaves nothing to make."""
        transport, place = packed(app)
        if place is None:
            return
        layout = place
        if transport == "oci-archive":
            layout = workshop.scratch / "layout"
            try:
                with tarfile.open(place) as archive:
                    archive.extractall(layout, filter="data")
            except (tarfile.TarError, EOFError) as error:
                raise BuildError(f"is no OCI archive: {error}", where=str(place)) from error
        write_layout(_Layout(layout, str(place)), workshop.program / IMAGE, target.architecture)

    def command(self, app: App) -> tuple[str, ...]:
        """As `Kind.command`."""
        return ()

    def environment(self, app: App) -> dict[str, str]:
        """As `Kind.environment`."""
        return {}


def packed(app: App) -> tuple[str, Path | None]:
    """How an image that is packed is kept, and where; no place for one that the device pulls."""
    transport, _, place = app.source.partition(":")
    return (transport, Path(place)) if place.startswith("/") else ("registry", None)


def image_name(app: App, inputs: Mapping[str, str]) -> str:
    """What podman calls the image on the device; a packed one by what went into it."""
    if packed(app)[1] is None:
        return app.source
    digest = text_digest("\n".join(f"{name} {value}" for name, value in sorted(inputs.items())))
    return f"localhost/ovenbird/{app.name}:{digest}"


class _Layout:
    """An OCI image layout of the user's: every file in it may be missing, damaged or something else."""

    def __init__(self, folder: Path, where: str) -> None:
        self.folder = folder
        self.where = where

    def wrong(self, message: str, hint: str | None = None) -> BuildError:
        return BuildError(message, where=self.where, hint=hint)

    def index(self) -> dict[str, Any]:
        """Its `index.json`."""
        file = self.folder / "index.json"
        if not file.is_file():
            hint = "`podman save --format oci-archive` and `skopeo copy` write such images"
            raise self.wrong("is no OCI image: it has no index.json", hint)
        return self.table(file)

    def blob(self, descriptor: dict[str, Any]) -> Path:
        """The file of a descriptor, checked against its digest."""
        algorithm, _, digest = str(descriptor.get("digest", "")).partition(":")
        if algorithm != "sha256" or len(digest) != 64 or not digest.isalnum():
            raise self.wrong(f"an image with the digest {algorithm[:20]!r} is not understood")
        file = self.folder / "blobs/sha256" / digest
        if not file.is_file():
            raise self.wrong(f"the image is incomplete: the blob {digest[:12]} is missing")
        if sha256_of(file) != digest:
            raise self.wrong(f"the image is damaged: the blob {digest[:12]} has another content")
        return file

    def table(self, file: Path) -> dict[str, Any]:
        """A file's JSON table."""
        try:
            value = msgspec.json.decode(file.read_bytes())
        except msgspec.DecodeError as error:
            raise self.wrong(f"the image is damaged: {error}") from error
        if not isinstance(value, dict):
            raise self.wrong("the image is damaged: a table is something else")
        return cast("dict[str, Any]", value)

    def list_of(self, table: dict[str, Any], key: str) -> list[dict[str, Any]]:
        """A list of descriptors."""
        value = table.get(key)
        if not isinstance(value, list):
            raise self.wrong(f"the image is damaged: it has no {key}")
        items = cast("list[object]", value)
        return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def write_layout(source: _Layout, target: Path, architecture: str) -> None:
    """Copy the one image for an architecture out of a layout. Raises BuildError."""
    descriptor, manifest = _choose(source, architecture)
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True)
    config = manifest.get("config")
    if not isinstance(config, dict):
        raise source.wrong("the image is damaged: it has no config")
    for part in (descriptor, cast("dict[str, Any]", config), *source.list_of(manifest, "layers")):
        file = source.blob(part)
        if not (blobs / file.name).exists():
            shutil.copyfile(file, blobs / file.name)
    (target / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}\n')
    kept = {key: descriptor[key] for key in ("mediaType", "digest", "size") if key in descriptor}
    index = {"schemaVersion": 2, "manifests": [kept]}
    (target / "index.json").write_bytes(msgspec.json.encode(index, order="sorted") + b"\n")


def _choose(source: _Layout, architecture: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The descriptor and manifest of the image for an architecture."""
    found: list[str] = []
    waiting = source.list_of(source.index(), "manifests")
    for depth in range(4):
        below: list[dict[str, Any]] = []
        for descriptor in waiting:
            platform = descriptor.get("platform")
            named = cast("dict[str, Any]", platform) if isinstance(platform, dict) else None
            if named is not None and named.get("architecture") != PLATFORMS[architecture][0]:
                found.append(str(named.get("architecture"))[:20])
                continue
            manifest = source.table(source.blob(descriptor))
            if descriptor.get("mediaType") in _LISTS or "manifests" in manifest:
                below += source.list_of(manifest, "manifests")
                continue
            config = manifest.get("config")
            facts = source.table(source.blob(cast("dict[str, Any]", config))) if isinstance(config, dict) else {}
            if facts.get("architecture") == PLATFORMS[architecture][0]:
                return descriptor, manifest
            found.append(str(facts.get("architecture"))[:20])
        if not below or depth == 3:
            break
        waiting = below
    known = {other: debian for debian, (other, _) in PLATFORMS.items()}
    names = ", ".join(sorted({known.get(name, name) for name in found if name != "unknown"})) or "nothing that runs"
    raise source.wrong(f"is for {names}, but the board's architecture is {architecture}")
