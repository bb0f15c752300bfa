"""What is wrong with a recipe, collected: one run of `ovenbird check` tells every independent mistake.

A problem knows its file and line and, where there is one, the next thing to try. `Problems` gathers them while a
recipe is read and raises them together at the end as one `RecipeError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` counts from 1; without it the whole file is meant."""

    message: str
    file: Path | None = None
    line: int | None = None
    hint: str | None = None

    @property
    def where(self) -> str | None:
        """`file:line` as an editor or a terminal understands it, short where the file is below the current folder."""
        if self.file is None:
            return None
        return f"{shown(self.file)}:{self.line}" if self.line else shown(self.file)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class RecipeProblemsError(RecipeError):
    """One or more problems of a recipe. `problems` has them all, in the order of the files and their lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            only = self.problems[0]
            super().__init__(only.message, hint=only.hint, where=only.where)
        else:
            listed = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__(f"{len(self.problems)} problems in the recipe{listed}")


class Problems:
    """Gathers problems."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, message: str, *, file: Path | None, line: int | None = None, hint: str | None = None) -> None:
        """Notes one problem; the same one again (a file that is included twice) is not repeated."""
        problem = Problem(_printable(message), file, line, hint and _printable(hint))
        if problem not in self.found:
            self.found.append(problem)

    def stop_if_any(self) -> None:
        """Raises RecipeProblemsError if anything was found."""
        if self.found:
            order = {file: index for index, file in reversed(list(enumerate(problem.file for problem in self.found)))}
            raise RecipeProblemsError(sorted(self.found, key=lambda problem: (order[problem.file], problem.line or 0)))


def _printable(text: str) -> str:
    """The text with control characters spelt out: what a recipe quotes must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def shown(path: Path) -> str:
    """The path as the user would write it: relative if it is below the current folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the current folder is gone
        return str(path)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be, if any is near."""
    import difflib  # only when something is wrong: reading a good recipe must be quick

    names = list(known)
    plain = {candidate.lower().replace("-", "_"): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=1, cutoff=0.6 if len(name) > 3 else 0.5)
    return plain[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str = "known are") -> str | None:
    """The hint for an unknown name: the nearest one, else what there is."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"did you mean `{near}`?"
    return f"{otherwise} {', '.join(names)}" if names else None
