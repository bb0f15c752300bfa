"""Keeps out of a device's processes what their libraries would load and nothing here uses. Imported before all else.

Each boot starts half a dozen Python programs on a machine that may be slow, and the agent stays in its memory: what is
loaded and never used costs both. No library is changed for it. One that can do without a module finds it missing while
it is imported (`None` in `sys.modules`: see the import statement's reference); one that cannot, although it needs it
only for what we never do, finds one that is all but empty. Afterwards everything can be imported as ever.
"""

import http
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

Values = Mapping[str, object]


@contextmanager
def in_place_of(modules: Mapping[str, Values | None]) -> Generator[None]:
    """Within it, these modules are missing (None) or hold just the values given; those that are loaded stay."""
    ours = {name: values for name, values in modules.items() if name not in sys.modules}
    for name, values in ours.items():
        if values is None:
            sys.modules[name] = None  # type: ignore[assignment] # what the import system takes for "missing"
        else:
            sys.modules[name] = module = ModuleType(name)
            vars(module).update(values)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:  # as importing does; it stays there until somebody imports the real one
                setattr(sys.modules[parent], child, module)
    try:
        yield
    finally:
        for name in ours:
            del sys.modules[name]


# It prefers this to the standard library's typing, which has all of it from 3.11 on; it brings inspect and ast along.
with in_place_of({"typing_extensions": None}):
    import_module("msgspec")


def load_server(*, tls: bool = False) -> None:
    """Import what the agent serves with: without TLS (unless it is wanted, for asyncio then needs the real thing),
    uvicorn's command line and workers, and files in forms.
    """
    with in_place_of(dict.fromkeys(("bz2", "lzma") if tls else ("ssl", "bz2", "lzma"))):
        import_module("asyncio")
        import_module("shutil")
    unused: dict[str, Values] = {
        "configparser": {"RawConfigParser": None},
        "http.client": {"responses": {one.value: one.phrase for one in http.HTTPStatus}},
        "logging.config": {},
        "ssl": {"PROTOCOL_TLS_SERVER": 0, "CERT_NONE": 0},
        "tempfile": {"SpooledTemporaryFile": None},
        "uvicorn.main": {"Server": None, "main": None, "run": None},
    }
    with in_place_of(unused):
        import_module("starlette.applications")
        import_module("uvicorn.server")
