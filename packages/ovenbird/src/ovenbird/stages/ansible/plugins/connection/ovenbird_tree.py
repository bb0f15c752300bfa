"""The way from Ansible into a tree: commands run in it as a stage's `RUN` does, files go through their standard input.

Loaded by Ansible itself, hence without anything of Ovenbird. $OVENBIRD_INSIDE has the words before a command, as JSON.
"""

# Ansible has no types, and is installed apart from what Ovenbird is checked with.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: ovenbird_tree
short_description: work on a tree of Ovenbird's
description: Runs commands in a tree that is being built.
author: Ovenbird
options: {}
"""


class Connection(ConnectionBase):
    """A tree as the one host of a playbook."""

    transport = "ovenbird_tree"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command; returns its exit code and what it printed."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = _inside("/bin/sh", "-c", cmd, data=in_data or b"")
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the tree."""
        super().put_file(in_path, out_path)
        content = Path(in_path).read_bytes()
        done = _inside("/bin/sh", "-c", f"cat >{shlex.quote(out_path)}", data=content)
        if done.returncode != 0:
            raise AnsibleError(f"{out_path} cannot be written: {done.stderr.decode('utf-8', 'replace').strip()}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the tree."""
        super().fetch_file(in_path, out_path)
        done = _inside("/bin/sh", "-c", f"cat {shlex.quote(in_path)}", data=b"")
        if done.returncode != 0:
            raise AnsibleError(f"{in_path} cannot be read: {done.stderr.decode('utf-8', 'replace').strip()}")
        Path(out_path).write_bytes(done.stdout)

    def close(self) -> None:
        """Nothing is held open."""
        self._connected = False


def _inside(*command: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    words = [*json.loads(os.environ["OVENBIRD_INSIDE"]), *command]
    return subprocess.run(words, input=data, capture_output=True, check=False)
