"""A stage that Ansible carries out: a playbook, applied to the tree from this machine.

Ansible itself is kept in the store's cache folder, in an environment of its own, with every version locked by its hash
(`stages/ansible/requirements.lock`); neither this machine nor the tree has to have it. It reaches the tree by a plugin
that runs each command as a `RUN` of a stage would run, so a playbook and a Containerfile see the same.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ovenbird.build.wheels import uv
from ovenbird.errors import BuildError, NetworkError, RecipeError
from ovenbird.files import locked, sha256_of
from ovenbird.recipe.stage import STOCK, Stage
from ovenbird.run import CommandError, Completed, run

STAGE: Final = STOCK / "ansible"
LOCK: Final = STAGE / "requirements.lock"
PLUGINS: Final = STAGE / "plugins"
FOLDER: Final = "parameters/folder"
"""Where the playbook's folder lies in the context."""
REMOTE: Final = "/tmp/.ansible"
INSIDE: Final = {"DEBIAN_FRONTEND": "noninteractive", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/root"}
"""The environment in the tree, beside the build's own time."""
SETTINGS: Final = {
    "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
    "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
    "ANSIBLE_STDOUT_CALLBACK": "ovenbird_report",
    "ANSIBLE_PIPELINING": "1",
    "ANSIBLE_REMOTE_TEMP": REMOTE,
    "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_NOCOWS": "1",
    "ANSIBLE_RETRY_FILES_ENABLED": "0",
    "ANSIBLE_DEPRECATION_WARNINGS": "0",
    "ANSIBLE_LOCALHOST_WARNING": "0",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""docs.ansible.com, "Ansible Configuration Settings"; these win over an ansible.cfg beside the playbook."""
# The one host: whoever works on the tree is root there already.
INVENTORY: Final = "tree ansible_connection=ovenbird_tree ansible_become=false\n"
_ERROR: Final = re.compile(r"^(?:\[ERROR\]|ERROR!?):? *(.*)", re.MULTILINE)
_ORIGIN: Final = re.compile(r"^Origin: (\S+?:\d+)", re.MULTILINE)
_SHORTEST: Final = 3


@dataclass(frozen=True, slots=True)
class Play:
    """One run of a playbook: the stage, its context with copies of the playbook's files, and the cache folder."""

    stage: Stage
    context: Path
    cache: Path
    hint: str

    def run(self, inside: Sequence[str], environment: Mapping[str, str], on_line: Callable[[str], None]) -> None:
        """Play it in the tree that the words `inside` lead to. Raises RecipeError, BuildError, NetworkError."""
        folder = self.context / FOLDER
        playbook = self.stage.arguments["playbook"]
        if not (folder / playbook).is_file():
            raise RecipeError(
                f"there is no playbook {playbook} in the folder", where=str(self._source(folder)), hint="name it"
            )
        python = install(self.cache, on_line)
        with tempfile.TemporaryDirectory(prefix="ovenbird-") as name:
            scratch = Path(name)
            (scratch / "inventory").write_text(INVENTORY)
            settings = {
                **environment,
                **SETTINGS,
                "ANSIBLE_HOME": str(scratch / "home"),
                "ANSIBLE_LOCAL_TEMP": str(scratch / "local"),
                "OVENBIRD_INSIDE": json.dumps(list(inside)),
                "OVENBIRD_REPORT": str(scratch / "report"),
            }
            words: list[str | Path] = [python, "-m", "ansible", "playbook", "-i", scratch / "inventory"]
            for variable in self.stage.arguments["variables"].split():
                words += ["-e", variable]
            if tags := self.stage.arguments["tags"].split():
                words += ["--tags", ",".join(tags)]
            done = run([*words, playbook], cwd=folder, env=settings, on_line=on_line, check=False)
            report = scratch / "report"
            if done.returncode != 0 or report.exists():
                raise self._complaint(done, json.loads(report.read_text()) if report.exists() else {})
        run([*inside, "rm", "-rf", REMOTE, "/root/.ansible"], env=dict(environment), what="tidying up after Ansible")

    def _complaint(self, done: Completed, report: Mapping[str, str]) -> BuildError | RecipeError:
        """One error for a playbook that failed: the task and its message, or what is wrong with the playbook."""
        if report:
            task = f'the task "{report["task"]}" failed: ' if report["task"] else ""
            message = "\n    ".join(report["message"].splitlines())
            where = self._place(report["where"]) or str(self._source(self.context / FOLDER))
            return BuildError(f"{task}{message}", where=where, hint=self.hint)
        said = done.stderr + done.stdout
        origin = _ORIGIN.search(said)
        where = self._place(origin[1]) if origin else str(self._source(self.context / FOLDER))
        found = [one.strip() for one in _ERROR.findall(said) if len(one.strip()) > _SHORTEST]
        if found:
            return RecipeError(self._mapped(found[0]), where=where)
        return BuildError(str(CommandError(done, "the playbook").message), where=where, hint=self.hint)

    def _place(self, where: str) -> str:
        return self._mapped(where) if where else ""

    def _mapped(self, text: str) -> str:
        """A text with the user's own path in place of the copy's."""
        return text.replace(str(self.context / FOLDER), str(self._source(self.context / FOLDER)))

    def _source(self, folder: Path) -> Path:
        """The user's folder that `folder` is the copy of."""
        for name, source in self.stage.files.items():
            if name.startswith(f"{FOLDER}/"):
                depth = len(Path(name).relative_to(FOLDER).parts)
                return source.parents[depth - 1]
        return folder


def install(cache: Path, on_line: Callable[[str], None] | None = None) -> Path:
    """The Python with Ansible beside it, installed now if it is not. Raises NetworkError."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = cache / "tools" / f"ansible-{version}-{sha256_of(LOCK)[:16]}"
    python = home / "bin/python"
    with locked(cache / "locks" / home.name):
        if (home / "whole").exists():
            return python
        try:
            run([uv(), "venv", "--quiet", "--no-config", "--clear", "--python", sys.executable, home], on_line=on_line)
            words: list[str | Path] = [
                "--quiet",
                "--no-config",
                "--require-hashes",
                "--link-mode",
                "copy",
                "--requirement",
                LOCK,
            ]
            run([uv(), "pip", "install", "--python", python, *words], on_line=on_line, what="installing Ansible")
        except CommandError as error:
            raise NetworkError(error.message, hint="look at the network, and run the same command again") from error
        (home / "whole").touch()
    return python
