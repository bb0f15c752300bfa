"""What the device's programs cost: the agent's memory, idle work, throughput and page weight, and how long each starts.

The real agent runs on this machine as a process, laid out as in an image (its libraries as wheels, everything compiled
beforehand) and started as its unit starts it, with Debian's own Python where this machine has it. Memory is the
resident set with the page open and a log streaming, beside what the same interpreter takes with nothing.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import os
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.journal import TestJournal, journal

from bench.measure import Report, median, timed
from ovenbird.build import device, wheels
from ovenbird_device.provision import password

PASSWORD = "tobak-mirun-depol"
PYTHON = Path("/usr/bin/python3")
PROGRAMS = ("steward", "health", "provision", "grow")
ROUNDS = 7
_OPEN, _IDLE, _BUSY = 20, 30, 5
"""Seconds of each measurement."""
_EVERY = 3
"""Seconds between two looks of an open page."""
_TICK = os.sysconf("SC_CLK_TCK")


def measure() -> Report:
    """Measure."""
    report = Report("agent: memory, idle work, throughput and page weight; and how long each program starts")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name, journal(Path(name)) as lines:
        folder = Path(name)
        python = PYTHON if PYTHON.exists() else Path(sys.executable)
        home = _home(folder / "home", python)
        with _agent(folder, python, home, lines) as agent:
            report.add("processor time from its start to the first answer", agent.ready)
            report.add("page weight, compressed", agent.weight() / 1000, "KB", 60.0)
            open_share = agent.opened(lines)
            report.add("resident memory, page open and log streaming", agent.memory(), "MiB", 40.0)
            report.add("  of a core with the page open", open_share * 100, "%")
            served = agent.throughput()
            report.add("status requests a second of one core", served, "")
            report.add("200 status requests a second / what one core does", 200 / served, "times", 1.0)
            report.add("idle share of a core", agent.idle() * 100, "%", 0.5)
        environment = _environment(home)
        report.add("the same interpreter alone", _alone(python, environment), "MiB")
        report.add("start: the interpreter alone", _starts(python, environment, "pass"))
        for program in PROGRAMS:
            report.add(f"start: {program}", _starts(python, environment, f"import ovenbird_device.{program}.__main__"))
    return report


class _Agent:
    """A running agent."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port
        self.ready = self._worked()

    def memory(self) -> float:
        """Its resident set in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+([0-9]+) kB", status)
        if found is None:
            raise SystemExit("the agent has ended")
        return int(found[1]) / 1024

    def idle(self) -> float:
        """The share of a core that it takes with nobody there."""
        time.sleep(2)
        before = self._worked()
        time.sleep(_IDLE)
        return (self._worked() - before) / _IDLE

    def weight(self) -> int:
        """Bytes of a first view: the page, and every file that it names."""
        html = self._get("/", {"Accept": "text/html"})
        names = set(re.findall(r'"(/static/[^"]+)"', gzip.decompress(html).decode()))
        return len(html) + sum(len(self._get(one, {})) for one in names)

    def opened(self, lines: TestJournal) -> float:
        """Look as an open page does, with a log beside it that grows; returns the share of a core."""
        stream = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        user = base64.b64encode(f"{password.USER}:{PASSWORD}".encode()).decode()
        stream.request("GET", "/logs", headers={"Accept": "text/event-stream", "Authorization": f"Basic {user}"})
        answer = stream.getresponse()
        if answer.status != 200:
            raise SystemExit(f"the log does not stream: {answer.status}")
        before, begun = self._worked(), time.monotonic()
        while time.monotonic() - begun < _OPEN:
            self._get("/", {"Accept": "text/html", "HX-Request": "true"})
            lines.say("app-hello.service", "a line of the log")
            time.sleep(_EVERY)
        share = (self._worked() - before) / (time.monotonic() - begun)
        while b"a line of the log" not in answer.readline():  # ends with an error where none comes
            pass
        return share

    def throughput(self) -> float:
        """Status requests for a second of processor time, over connections that stay."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        before, begun, count = self._worked(), time.monotonic(), 0
        while time.monotonic() - begun < _BUSY:
            connection.request("GET", "/", headers={"Accept": "application/json"})
            connection.getresponse().read()
            count += 1
        return count / (self._worked() - before)

    def _get(self, path: str, headers: Mapping[str, str]) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", path, headers={"Accept-Encoding": "gzip", **headers})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")
        return answer.read()

    def _worked(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICK


def _home(home: Path, python: Path) -> Path:
    """The folder as an image has it, for this machine's Python."""
    asked = "import platform; print('.'.join(platform.python_version_tuple()[:2]), platform.machine())"
    version, machine = subprocess.check_output([python, "-c", asked], text=True).split()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[machine]
    wheels.install(
        home,
        ("--no-deps", "--require-hashes", "--requirement", device.device_package() / "requirements.lock"),
        platform=device.PLATFORMS[architecture],
        python=version,
        what="the agent's libraries",
    )
    for name, source in device.device_files().items():
        target = home / "ovenbird_device" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    timed([python, "-P", "-S", "-B", "-m", "ovenbird_device.web.engine"], {"PYTHONPATH": str(home)})
    timed([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", home])
    return home


def _unit(home: Path, key: str) -> list[str]:
    """The words of a setting of the agent's unit."""
    text = (home / "ovenbird_device/units/ovenbird-agent.service").read_text()
    return shlex.split(re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)[0])


def _environment(home: Path) -> dict[str, str]:
    """The agent's, as its unit sets it."""
    said = dict(word.split("=", 1) for word in _unit(home, "Environment"))
    return {"PATH": os.environ["PATH"], **said, "PYTHONPATH": str(home)}


@contextmanager
def _agent(folder: Path, python: Path, home: Path, lines: TestJournal) -> Generator[_Agent]:
    for name in ("run/ovenbird", "run/ovenbird-agent", "state"):
        (folder / name).mkdir(parents=True)
    password.write(folder / "state/password.json", password.make(PASSWORD, "generated"), group=None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(folder / "notify"))
        command = [
            str(python), *_unit(home, "ExecStart")[1:], "--address", "127.0.0.1", "--port", str(port),
            "--state", str(folder / "state"), "--runtime", str(folder / "run"), "--data", str(folder),
            "--image", str(folder / "image.json"), "--update-settings", str(folder / "update.json"),
            "--apps", str(folder / "apps.json"), "--journal", str(lines.files),
        ]  # fmt: skip
        process = subprocess.Popen(command, env=_environment(home) | {"NOTIFY_SOCKET": str(folder / "notify")})
        try:
            told.settimeout(60)
            while b"READY=1" not in told.recv(4096):
                pass
            yield _Agent(process, port)
        finally:
            process.terminate()
            process.wait()


def _alone(python: Path, environment: Mapping[str, str]) -> float:
    """MiB that the interpreter takes with nothing."""
    code = "import re; print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    return int(subprocess.check_output([python, "-P", "-S", "-c", code], env=environment)) / 1024


def _starts(python: Path, environment: Mapping[str, str], code: str) -> float:
    """Seconds of processor time of a short life, start and end included."""
    seen: list[float] = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([python, "-P", "-S", "-c", code], env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seen.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(seen)
