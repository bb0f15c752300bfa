"""The templates' engine: `environment` for the agent; run as a program while an image is built, it compiles them.

    python3 -m ovenbird_device.web.engine

Then the device has them as Python modules and spends no time on it in each boot. Needs nothing but Jinja2: an image for
another machine is built with this machine's Python, for which the device's other libraries are not made.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

SOURCES = Path(__file__).with_name("templates")
COMPILED = Path(__file__).with_name("compiled")
FILTERS = ("duration", "sized")

Filters = Mapping[str, Callable[..., object]]


def environment(loader: jinja2.BaseLoader, filters: Filters) -> jinja2.Environment:
    """As both need it: what is compiled holds for these settings only."""
    made = jinja2.Environment(
        loader=loader,
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update({name: filters[name] for name in FILTERS})
    return made


def for_pages(filters: Filters, compiled: Path = COMPILED) -> jinja2.Environment:
    """The compiled templates where they are there, else the sources."""
    if compiled.is_dir():
        return environment(jinja2.ModuleLoader(compiled), filters)
    return environment(jinja2.FileSystemLoader(SOURCES), filters)


def names() -> list[str]:
    """All templates."""
    return sorted(path.name for path in SOURCES.iterdir())


def compile_all(target: Path) -> None:
    """Write every template as a Python module. Raises jinja2.TemplateError."""
    engine = environment(jinja2.FileSystemLoader(SOURCES), dict.fromkeys(FILTERS, str))
    engine.compile_templates(target, zip=None, ignore_errors=False)


if __name__ == "__main__":
    compile_all(COMPILED)
    sys.exit(0)
