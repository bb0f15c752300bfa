"""What Ansible prints while it works on a tree: one line a task, and the first failure as JSON in a file.

Loaded by Ansible itself, hence without anything of Ovenbird. $OVENBIRD_REPORT names the file.
"""

# Ansible has no types, and is installed apart from what Ovenbird is checked with.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: ovenbird_report
type: stdout
short_description: lines for Ovenbird
description: Prints a line for each task, and reports the first failure.
author: Ovenbird
options: {}
"""


class CallbackModule(CallbackBase):
    """Hears of all that happens in a playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "ovenbird_report"

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:  # noqa: ANN001
        """A task begins."""
        print(f"task: {task.get_name()}", flush=True)

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:  # noqa: ANN001
        """A task has failed."""
        if not ignore_errors:
            self._report(result._task, _message(result._result))

    def v2_runner_on_unreachable(self, result) -> None:  # noqa: ANN001
        """The tree does not answer."""
        self._report(result._task, _message(result._result))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """A play is for other hosts."""
        self._write({"task": "", "where": "", "message": "a play names other hosts than the tree: write `hosts: all`"})

    def _report(self, task, message: str) -> None:  # noqa: ANN001
        self._write({"task": task.get_name(), "where": task.get_path() or "", "message": message})

    def _write(self, report: dict[str, str]) -> None:
        file = Path(os.environ["OVENBIRD_REPORT"])
        if not file.exists():
            file.write_text(json.dumps(report))


def _message(result: dict) -> str:
    """What went wrong, in a few lines: of a loop, its first item; of a command, what it printed in the end."""
    for one in result.get("results") or ():
        if one.get("failed"):
            return _message(one)
    lines = [str(result.get("msg") or "it failed").strip().removeprefix("Task failed: ")]
    said = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    lines += [line for line in said.splitlines()[-5:] if line.strip() and line not in lines[0]]
    return "\n".join(lines)
