"""Runs one command in which programs of another architecture run by themselves; a program of its own.

    emulated.py FOLDER INTERPRETER MAGIC MASK -- COMMAND…

binfmt_misc belongs to a user namespace since Linux 6.7 (Documentation/admin-guide/binfmt-misc.rst), so that the command
gets an instance of its own, mounted on FOLDER where nobody else sees it, and the machine's settings stay as they are.
Without an interpreter only the namespaces are made. It is opened here, once (flag F), and so need not be in any tree.

Root gets a user namespace in which all numbers are what they are outside. Whoever else calls this is in a namespace of
their own already (`buildah unshare`).
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h
PR_SET_PDEATHSIG, SIGKILL = 1, 9
EVERYBODY = "0 0 4294967295\n"

libc = ctypes.CDLL(None, use_errno=True)


def _check(outcome: int, what: str) -> None:
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def own_namespace() -> int | None:
    """Go on in a child that has a user namespace of its own; the parent gets the child's exit code, the child None."""
    ready, told = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(ready[1])
        os.close(told[0])
        if os.read(ready[0], 1):
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{child}/{name}").write_text(EVERYBODY)
            os.write(told[1], b"1")
        os.close(told[1])
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(ready[0])
    os.close(told[1])
    _check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "a user namespace")
    os.write(ready[1], b"1")
    if not os.read(told[0], 1):
        sys.exit("the numbers of the user namespace cannot be set")
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)  # After the change of namespace, which takes the wish away.
    return None


def register(folder: str, interpreter: str, magic: str, mask: str) -> None:
    """Mount an instance of binfmt_misc and tell it of one interpreter."""
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mounts of one's own")
    _check(libc.mount(b"binfmt_misc", folder.encode(), b"binfmt_misc", 0, None), "binfmt_misc")
    (Path(folder) / "register").write_text(f":ovenbird:M::{magic}:{mask}:{interpreter}:F")


def main(words: list[str]) -> None:
    """Become the command; ends with its exit code."""
    folder, interpreter, magic, mask, _, *command = words
    if Path("/proc/self/uid_map").read_text().split() == EVERYBODY.split():
        code = own_namespace()
        if code is not None:
            sys.exit(128 - code if code < 0 else code)
    else:
        _check(libc.unshare(CLONE_NEWNS), "mounts of one's own")
    if interpreter:
        register(folder, interpreter, magic, mask)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
