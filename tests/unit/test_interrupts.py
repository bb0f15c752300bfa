"""Interruptions: none of them loses a program, or comes in the middle of what belongs together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ovenbird.interrupts import held

# Starts and ends programs as fast as it can until it is interrupted, then tells which of them still run.
STARTING = """
    import pathlib, sys
    from ovenbird.interrupts import listen
    from ovenbird.run import end_all, spawn

    listen()
    print("ready", flush=True)
    try:
        while True:
            with spawn(["sleep", "4711"]):
                pass
    except KeyboardInterrupt:
        end_all()  # As the tool itself does.
        print("stopped", flush=True)
"""


def test_a_program_that_was_just_started_is_ended_too() -> None:
    for delay in range(24):  # Each start takes about a millisecond: some of these meet its middle.
        command = [sys.executable, "-c", textwrap.dedent(STARTING)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(0.01 + delay / 7000)
            assert _stopped(process, signal.SIGINT if delay % 2 else signal.SIGTERM) == "stopped\n"
        left = _of_session(process.pid)
        for number in left:
            os.kill(number, signal.SIGKILL)
        assert left == []


# Hands jobs to new pools until it is interrupted, then tells how many of their threads still run.
POOLS = """
    import threading
    from ovenbird.interrupts import Pool, listen

    listen()
    print("ready", flush=True)
    try:
        while True:
            with Pool(1) as pool:
                pool.submit(threading.Event().wait, 0.001)
    except KeyboardInterrupt:
        print(threading.active_count(), flush=True)
"""


def test_a_thread_that_was_just_started_is_waited_for() -> None:
    for delay in range(24):
        command = [sys.executable, "-c", textwrap.dedent(POOLS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(0.01 + delay / 7000)
            assert _stopped(process, signal.SIGINT) == "1\n"


def _stopped(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Interrupt a process, and again where Python loses it: as it does where one meets the end of an object's life."""
    for _ in range(10):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=3)[0]
    process.kill()
    raise AssertionError("it does not stop")


def _of_session(session: int) -> list[int]:
    """The processes of a session that are running."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def test_the_tools_own_start_is_no_moment_for_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "ovenbird.toml").write_text("[image]\n")
    for delay in range(12):  # The first of these meet Python's own start, the last ones the verb.
        command: list[str | Path] = [Path(sys.executable).with_name("ovenbird"), "check", tmp_path]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            _until_listening(process.pid)
            threading.Event().wait(delay / 40)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[1]
        assert "Traceback" not in said
        assert (process.returncode, said.split()[0]) in ((130, "Stopped."), (2, "error:"))


def _until_listening(number: int) -> None:
    """Wait until a process has taken the last of its signals, SIGTERM, into its own hands."""
    while True:
        caught = Path(f"/proc/{number}/status").read_text().partition("SigCgt:")[2].split()[0]
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return


def test_one_that_comes_meanwhile_waits() -> None:
    code = """
        import os, signal
        from ovenbird.interrupts import held, let_through, listen

        listen()
        try:
            with held(), held():
                os.kill(os.getpid(), signal.SIGTERM)
                print("whole")
            print("never")
        except KeyboardInterrupt:
            print("then")
        with held():
            print("open again")
        with held():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                with let_through():
                    print("never")
            except KeyboardInterrupt:
                print("let through")
        print("once")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["whole", "then", "open again", "let through", "once", ""]


def test_an_error_inside_is_what_comes_out() -> None:
    with pytest.raises(ValueError, match="its own"), held():
        raise ValueError("its own")
