"""The exact packages of a recipe's base, for the board's architecture and, for a twin, for this machine's as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.base.apt import Index, Package
from ovenbird.base.sources import source_lines
from ovenbird.boards import Architecture
from ovenbird.build.cross.crossing import Crossing
from ovenbird.build.inputs import Tools, text_digest
from ovenbird.interrupts import Pool
from ovenbird.recipe.model import Base


@dataclass(frozen=True, slots=True)
class Packages:
    """What the names in a recipe come to. Without a twin, `native` and `base` are the board's own."""

    names: tuple[str, ...]
    index: Index
    """The package lists of the board's architecture."""
    target: tuple[Package, ...]
    native: Index
    """Those of the architecture that base and stages are made for."""
    base: tuple[Package, ...]

    def of(self, architecture: Architecture | None) -> Index:
        """The lists of an architecture."""
        return self.native if architecture and self.native.architecture == architecture.debian else self.index


def find_packages(
    way: Crossing,
    cache: Path,
    sources: Sequence[str],
    keyrings: Sequence[Path],
    names: Iterable[str],
    *,
    refresh: bool = False,
    on_refresh: Callable[[str], None] | None = None,
) -> Packages:
    """Resolve names, with package lists that are fetched where they are old. Raises RecipeError, NetworkError."""
    wanted = tuple(names)
    index = Index.at(cache, sources, way.target.debian, keyrings)
    if not way.twin:
        index.refresh(force=refresh, on_line=on_refresh)
        packages = index.resolve(wanted)
        return Packages(wanted, index, packages, index, packages)
    native = Index.at(cache, sources, way.host.debian, keyrings)
    with Pool(1) as pool:
        of_host = pool.submit(native.refresh, force=refresh, on_line=on_refresh)
        fetched = index.refresh(force=refresh, on_line=on_refresh)
        if fetched != of_host.result():
            # Lists of one day: else the two would have other versions of the same packages.
            (native if fetched else index).refresh(force=True, on_line=on_refresh)
    return Packages(wanted, index, index.resolve(wanted), native, native.resolve(wanted))


def find_sources(base: Base, cache: Path, tools: Tools) -> tuple[str, ...]:
    """The apt sources, remembered as long as the host's own and the recipe's stay: asking takes longer than a plan."""
    host = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    question = "\n".join(
        [
            tools.version("mmdebstrap"),
            *(f"{file} {file.stat().st_mtime_ns}" for file in host if file.exists()),
            str(base.release), str(base.mirror), str(base.security_mirror), *base.components, *base.sources,
        ]
    )  # fmt: skip
    memory = cache / "sources" / text_digest(question)
    if memory.exists():
        return tuple(memory.read_text().split("\0"))
    lines = source_lines(base)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text("\0".join(lines))
    return lines
