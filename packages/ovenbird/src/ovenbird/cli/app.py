"""The program `ovenbird`: its verbs, and the one place where errors are printed and become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module

import typer

from ovenbird import __version__
from ovenbird.errors import ExitCode, OvenbirdError, from_os_error
from ovenbird.interrupts import let_through

# Each verb is a module of this folder with a function of its name, in the order of the help.
VERBS = (
    "new", "check", "build", "run", "flash", "serve", "dev", "update", "slots", "scan", "status", "services", "logs",
    "start", "stop", "restart", "reboot", "password", "ssh", "shell", "keys", "bundle", "inspect", "extract", "diff",
    "store", "schema", "doctor",
)  # fmt: skip


def program(arguments: list[str]) -> typer.Typer:
    """The verbs. Only the one that is asked for is imported: all of them take longer than a build without changes."""
    app = typer.Typer(
        name="ovenbird",
        help="Bakes a folder of stages into a bootable, read-only, self-healing operating system.",
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def options(  # pyright: ignore[reportUnusedFunction]
        version: bool = typer.Option(False, "--version", help="Print the version."),
    ) -> None:
        if version:
            print(f"ovenbird {__version__}")
            raise typer.Exit

    asked = next((word for word in arguments if not word.startswith("-")), None)
    for verb in [asked] if asked in VERBS else VERBS:
        module = import_module(f"ovenbird.cli.{verb}")
        if hasattr(module, "app"):
            for command in module.app.registered_commands:
                command.callback = _stoppable(command.callback)
            if module.app.registered_callback is not None:
                module.app.registered_callback.callback = _stoppable(module.app.registered_callback.callback)
            app.add_typer(module.app, name=verb)
        else:
            settings = getattr(module, "SETTINGS", None)
            app.command(verb, context_settings=settings)(_stoppable(getattr(module, verb)))
    return app


class _Stopped(BaseException):
    """Ctrl-C, by a name that the command line library does not answer by itself."""


def _stoppable(verb: Callable[..., None]) -> Callable[..., None]:
    @wraps(verb)
    def run(*arguments: object, **options: object) -> None:
        try:
            with let_through():
                verb(*arguments, **options)
        except KeyboardInterrupt as stop:
            raise _Stopped from stop

    return run


def main() -> None:
    """Run a command; every error that a user can meet ends as one clear message and an exit code."""
    try:
        program(sys.argv[1:])()
    except OvenbirdError as error:
        complain(error)
    except _Stopped:
        print("\nStopped. Nothing is left half-made; the same command goes on from here.", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # Whoever read our output has gone, as `head` does.
        sys.exit(ExitCode.FAILED)
    except OSError as error:
        complain(from_os_error(error))


def complain(error: OvenbirdError) -> None:
    """Print an error and what to do next, and exit with its code."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"  help: {error.hint}", file=sys.stderr)
    sys.exit(error.exit_code)
