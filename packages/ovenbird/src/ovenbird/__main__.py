"""The start of `ovenbird`: Ctrl-C waits until a verb is there that can be left properly.

What the tool is made of takes a moment to load, and an interruption of that moment would end in a traceback.
"""

from __future__ import annotations

from ovenbird.interrupts import held, listen


def main() -> None:
    """Run the command that the program was started with."""
    listen()
    with held():
        from ovenbird.cli import app
        from ovenbird.run import end_all

        try:
            app.main()
        finally:
            end_all()  # None is left, but where an interruption met the very step that was to end it.


if __name__ == "__main__":
    main()
