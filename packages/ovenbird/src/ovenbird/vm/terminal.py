"""The guest's serial console in this terminal, until it is left with Ctrl-]."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty

LEAVE = b"\x1d"  # Ctrl-], as telnet has it


def attach(console: socket.socket) -> None:
    """Pass everything on in both directions, unchanged; returns when the guest ends or the user leaves."""
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    former = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    try:
        if former is not None:
            tty.setraw(keyboard)
        sources: list[int | socket.socket] = [keyboard, console]
        while True:
            ready = select.select(sources, [], [])[0]
            if console in ready:
                data = console.recv(4096)
                if not data:
                    return
                os.write(screen, data)
            if keyboard in ready:
                typed = os.read(keyboard, 4096)
                if LEAVE in typed:
                    console.sendall(typed.partition(LEAVE)[0])
                    return
                if typed:
                    console.sendall(typed)
                else:
                    sources.remove(keyboard)  # Not a terminal, and at its end: go on showing.
    finally:
        if former is not None:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, former)
