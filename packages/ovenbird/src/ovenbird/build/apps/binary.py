"""Finished programs: a file of this machine, or one from an address whose digest the recipe knows."""

from __future__ import annotations

import shutil
from pathlib import Path

from ovenbird.build.apps.kind import Target, Workshop
from ovenbird.build.context import check_machine
from ovenbird.build.download import download
from ovenbird.build.inputs import file_digest
from ovenbird.errors import RecipeError
from ovenbird.recipe.app import App
from ovenbird_device.format import apps

REPLACED = "look whether it was replaced, and whether you trust it, before you change the recipe"


class Binary:
    """A finished program."""

    packages: tuple[str, ...] = ()

    def tools(self, app: App) -> tuple[str, ...]:
        """As `Kind.tools`."""
        return ()

    def inputs(self, app: App, target: Target) -> dict[str, str]:
        """As `Kind.inputs`."""
        content = app.sha256 or file_digest(Path(app.source))
        return {"file binary": content, "architecture": target.architecture}

    def make(self, app: App, target: Target, workshop: Workshop) -> None:
        """As `Kind.make`."""
        source = Path(app.source)
        if app.sha256:
            source = download(app.source, app.sha256, workshop.cache, hint=REPLACED)
        check_machine(source, target.architecture)
        with source.open("rb") as stream:
            head = stream.read(4)
        if head != b"\x7fELF" and head[:2] != b"#!":
            raise RecipeError(
                "is no program: neither an ELF file nor a script that begins with #!",
                where=app.source,
                hint="unpack an archive, and name the program in it",
            )
        program = workshop.program / app.name
        shutil.copyfile(source, program)
        program.chmod(0o755)

    def command(self, app: App) -> tuple[str, ...]:
        """As `Kind.command`."""
        return (f"{apps.program_folder(app.name)}/{app.name}",)

    def environment(self, app: App) -> dict[str, str]:
        """As `Kind.environment`."""
        return {}
