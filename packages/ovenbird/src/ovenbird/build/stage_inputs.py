"""What goes into a stage: its instructions, parameters and files, and the package lists where it installs by itself."""

from __future__ import annotations

import re
from pathlib import Path

from ovenbird.base.apt import Index
from ovenbird.build import foreign
from ovenbird.build.foreign import Foreign
from ovenbird.build.inputs import Tools, file_inputs, folder_files, text_digest
from ovenbird.recipe.stage import Stage

# A stage that installs packages by itself depends on what the package lists offer at that time.
USES_APT = re.compile(
    r"\b(apt|apt-get|aptitude)\b[^\n;&|]*"
    r"\b(install|reinstall|update|\w*upgrade|build-dep|satisfy|source|download)\b"
)
PACKAGE_LISTS = "package lists"  # the input that such a stage has


def stage_inputs(stage: Stage, parent: str, index: Index, tools: Tools, start: Foreign | None = None) -> dict[str, str]:
    files = {**stage_files(stage), **stage.files}
    texts = [stage.containerfile, *(_text(path) for path in files.values())]
    inputs = {
        "parent": parent,
        "instructions": text_digest(stage.containerfile),
        **{f"parameter {name}": value for name, value in stage.arguments.items()},
        **file_inputs(files),
        **tools.inputs("buildah"),
    }
    if start is not None:
        if lists := foreign.lists_input(start, stage, texts):
            inputs[PACKAGE_LISTS] = lists
    elif any(USES_APT.search(text) for text in texts):
        inputs[PACKAGE_LISTS] = index.digest()[:24]
    return inputs


def stage_files(stage: Stage) -> dict[str, Path]:
    """What of a stage's folder goes into its context: everything but what describes the stage."""
    described = {"Containerfile.part", "stage.toml", "README.md"}
    return {name: path for name, path in folder_files(stage.folder).items() if name not in described}


def _text(path: Path) -> str:
    """The beginning of a file, where it is text."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(1 << 16).decode("utf-8", "ignore")
