"""`ovenbird run` as people use it: what it prints, what it keeps, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests.tool import Tool
from tests.vm.guest import PATIENCE, wait

pytestmark = pytest.mark.vm


@contextmanager
def running(tool: Tool, folder: Path, *words: str | Path) -> Generator[pexpect.spawn[str]]:
    """`ovenbird run` at a terminal; its temporary files go to `folder`."""
    child: pexpect.spawn[str] = pexpect.spawn(
        "env",  # The tests' own shell may ignore Ctrl-C.
        ["--default-signal=INT,HUP", *tool.program, "run", *map(str, words)],
        env=tool.environment({"TMPDIR": str(folder), "TERM": "xterm"}),
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(50, 200),
    )
    try:
        yield child
    finally:
        with contextlib.suppress(pexpect.ExceptionPexpect):  # It takes longer than is waited for there.
            child.close(force=True)


def processes(folder: Path) -> list[str]:
    """The machines that have their files in that folder."""
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has ended.
            words = file.read_bytes().decode(errors="replace").split("\0")
            if "qemu-system" in words[0] and any(f"{folder}/" in word for word in words):
                found.append(words[0])
    return found


def ended(child: pexpect.spawn[str]) -> int:
    """Read to the end and return the exit code."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return child.exitstatus


def test_a_visit_and_ctrl_c(tool: Tool, hello: Path, tmp_path: Path) -> None:
    digest = (hello / "disk.img").stat().st_mtime_ns
    with running(tool, tmp_path, hello) as child:
        child.expect("hello on vm, by UEFI, with ")
        child.expect("thrown away at the end")
        child.expect(r"up after \S+ s")
        child.expect(r"page +http://127\.0\.0\.1:(\d+)/")
        match = child.match
        assert isinstance(match, re.Match)
        port = int(match[1])
        child.expect(r"password +(\S+)")
        child.expect("Ctrl-C shuts it down")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/health")
        assert b'"ok"' in connection.getresponse().read()
        connection.close()
        assert len(processes(tmp_path)) == 1
        child.sendintr()
        child.expect("shutting down")
        begin = time.monotonic()
        code = ended(child)
        print(f"shut down in {time.monotonic() - begin:.1f} s")
        assert code == 0
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert (hello / "disk.img").stat().st_mtime_ns == digest


def test_a_kept_disk_by_bios_and_its_console(tool: Tool, hello: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    for name in ("disk.img", "manifest.json"):
        subprocess.run(["cp", "--sparse=always", hello / name, image / name], check=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = tool.run("run", image, "--keep", "--bios", "--check", env={"TMPDIR": str(scratch)}, within=2 * PATIENCE)
    assert done.code == 0, done.err
    assert "by BIOS" in done.out
    assert re.search(r"up after \S+ s: firmware and boot loader \S+ s, kernel \S+ s, initrd \S+ s, system", done.out)
    kept = image / "disk.kept.img"
    assert kept.is_file()
    assert list(scratch.iterdir()) == []
    # The second time, its state is there; on the console one sees it boot, and leaves by Ctrl-].
    with running(tool, scratch, image, "--keep", "--bios", "--console") as child:
        child.expect("ovenbird: slot a starts")
        child.expect("hello login:")
        child.send("\x1d")
        child.expect("shutting down")
        assert ended(child) == 0
    assert processes(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_closed_terminal_and_haste(tool: Tool, hello: Path, tmp_path: Path) -> None:
    """The power button does nothing yet where GRUB still counts, so a second Ctrl-C cuts the power."""
    with running(tool, tmp_path, hello) as child:
        child.expect("hello on vm")
        wait(lambda: processes(tmp_path), PATIENCE)
        child.kill(signal.SIGHUP)
        child.expect("shutting down")
        child.sendintr()
        assert ended(child) == 130
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_machine_does_not_outlive_its_killed_master(tool: Tool, hello: Path, tmp_path: Path) -> None:
    with running(tool, tmp_path, hello) as child:
        child.expect("hello on vm")
        wait(lambda: processes(tmp_path), PATIENCE)
        child.kill(signal.SIGKILL)
        child.expect(pexpect.EOF)
    wait(lambda: not processes(tmp_path), 30)


def test_what_is_no_image_is_said_in_one_line(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("run", tmp_path / "nothing")
    assert done.code == 2
    assert "there is no image and no recipe" in done.err
    assert "Traceback" not in done.err
    (tmp_path / "disk.img").write_bytes(os.urandom(1 << 20))
    done = tool.run("run", tmp_path / "disk.img")
    assert done.code != 0
    assert "Traceback" not in done.err
    assert sys.executable not in done.err
