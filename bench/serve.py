"""The boot server sending roots: bytes a second by the loopback and seconds of processor time for each, with `sendfile`
and, beside it, as uvicorn alone would send them. The goal is 1 Gbit/s with one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import ROOT, Report, median

SIZE = 512 << 20
ROUNDS = 5
GIGABIT = 1e9 / 8
# The server in a process of its own: its processor time is asked for when it ends.
SERVER = """\
import sys, time
from pathlib import Path
import uvicorn.protocols.http.h11_impl as plain
from tests.unit.serve import making
if sys.argv[2] == "plain":
    making.Sendfile = plain.H11Protocol
with making.serving(Path(sys.argv[1])) as serving:
    image = serving.desk.images.current("thin")
    print(f"{serving.url}/images/thin/{image.id}/root.squashfs", flush=True)
    begin = time.process_time()
    sys.stdin.read()
    print(time.process_time() - begin)
"""


def measure() -> Report:
    """Measure, in turns."""
    from tests.unit.serve.making import make_out

    from ovenbird.deliver.serve.images import Images
    from ovenbird.progress import QuietProgress

    report = Report("serve: a root of 512 MiB to one client, by sendfile and in pieces")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        state = Path(name)
        Images(state).add(make_out(state / "out", root=os.urandom(SIZE)), QuietProgress())
        seen: dict[str, list[tuple[float, float]]] = {"sendfile": [], "plain": []}
        for _ in range(ROUNDS):
            for how, found in seen.items():
                found.append(_turn(state, how))
    for how, found in seen.items():
        rate = SIZE / median([took for took, _ in found])
        core = median([cpu for _, cpu in found])
        report.add(f"{how}: rate", rate / 1e6, "MB/s")
        report.add(f"{how}: time for a gigabit, of one second of a core", core / SIZE * GIGABIT, "s", 1.0)
    ours, theirs = (median([cpu for _, cpu in seen[how]]) for how in ("sendfile", "plain"))
    report.add("processor time by sendfile, of that in pieces", ours / theirs, "")
    return report


def _turn(state: Path, how: str) -> tuple[float, float]:
    """Seconds that a download takes, and seconds of the server's processor time."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, state, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        begin = time.monotonic()
        subprocess.run(["curl", "--silent", "--fail", "--noproxy", "*", "--output", "/dev/null", url], check=True)
        took = time.monotonic() - begin
        said, _ = server.communicate()
    return took, float(said)
