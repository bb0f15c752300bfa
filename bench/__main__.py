"""`python -m bench [NAME …]`: run some or all of the measurements and print what they saw."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHES = ("build", "boot", "update", "agent", "cross", "flash", "netboot", "serve")


def main(names: list[str]) -> int:
    """Run the named measurements, all without a name; returns the exit code (1: a goal was missed)."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no measurement is called {unknown[0]}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    reports = [import_module(f"bench.{name}").measure() for name in names or BENCHES]
    for report in reports:
        print(f"\n{report}")
    return 0 if all(report.reached for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
