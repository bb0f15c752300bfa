"""`ovenbird doctor`: what this machine lacks, with the exact command that installs it."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def doctor(
    packages: Annotated[bool, typer.Option(help="Only list the Debian packages that are needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine lacks for building and booting images, and the command that installs it."""
    from ovenbird import host
    from ovenbird.errors import ExitCode

    if packages:
        print("\n".join(host.packages()))
        return
    findings = host.examine()
    missing = [finding for finding in findings if not finding.fine]
    if as_json:
        print(json.dumps([{"name": f.name, "fine": f.fine, "detail": f.detail, "remedy": f.remedy} for f in findings]))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{'ok     ' if finding.fine else 'MISSING'}  {finding.name:{width}}  {finding.detail}")
        for remedy in host.remedies(missing):
            print(f"\nrun: {remedy}")
    if missing:
        raise typer.Exit(ExitCode.HOST)
