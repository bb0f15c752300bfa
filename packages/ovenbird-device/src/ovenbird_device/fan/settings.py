"""The fan's settings: `/etc/ovenbird/fan.toml`, read and judged; what is wrong with them has file and line.

Needs the standard library alone. The stage `fan` judges them with this module while an image is built, also one for
another architecture, with the build machine's Python, for which the device's libraries are not made.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, cast

from .law import Law, Point

PATH = Path("/etc/ovenbird/fan.toml")
LONGEST = 64 << 10
SOFT = 200
"""Hz: the most that a line is switched on and off with."""


class Mode(StrEnum):
    """How a temperature becomes a speed."""

    CURVE = "curve"
    STEPS = "steps"
    ON_OFF = "on-off"


class Choice(StrEnum):
    """What drives the fan. The order of `auto` is that of this list."""

    AUTO = "auto"
    KERNEL = "kernel"
    HWMON = "hwmon"
    PWM = "pwm"
    GPIO = "gpio"


class SettingsError(Exception):
    """Settings that cannot be used: one line for people, with file and line, whatever the file held."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(one if one.isprintable() else "?" for one in text))


class Settings(NamedTuple):
    """All of them. `[]` and `""` leave the choice to the daemon."""

    mode: Mode = Mode.CURVE
    curve: tuple[Point, ...] = (Point(45, 0), Point(55, 40), Point(75, 100))
    on: float = 60.0
    off: float = 50.0
    sensors: tuple[str, ...] = ()
    interval: float = 2.0
    window: float = 30.0
    hysteresis: float = 3.0
    minimum: int = 20
    kick: float = 1.0
    output: Choice = Choice.AUTO
    hwmon: str = ""
    pwm: str = ""
    gpio: str = ""
    inverted: bool = False
    frequency: int | None = None
    """Hz; None: 50 at a GPIO line, 25,000 elsewhere. 0: a GPIO line is only switched on and off."""

    @property
    def law(self) -> Law:
        """The law that they make."""
        if self.mode is Mode.ON_OFF:
            return Law((Point(self.on, 100),), True, self.on - self.off, 0, 0.0, self.window)
        return Law(self.curve, self.mode is Mode.STEPS, self.hysteresis, self.minimum, self.kick, self.window)


class _WrongError(Exception):
    """What is wrong with one value; the item of its list, if it is one of these."""

    def __init__(self, text: str, item: int | None = None) -> None:
        super().__init__(text)
        self.item = item


def load(path: Path = PATH) -> Settings:
    """Read a file. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(content) > LONGEST:
        raise SettingsError(f"{path}: is larger than {LONGEST >> 10} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Settings:
    """Settings out of a text; `name` is what errors call it. Raises SettingsError."""
    text = text.replace("\r\n", "\n")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r" \(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        what = str(error)[: found.start()] if found else str(error).removesuffix(" (at end of document)")
        raise SettingsError(f"{name}:{line}: this is not TOML: {what[:1].lower()}{what[1:]}") from error
    values: dict[str, object] = {}
    for key, raw in table.items():
        try:
            if key not in _READERS:
                raise _WrongError(f"there is no setting `{key[:80]}`{_nearest(key)}")
            values[key] = _READERS[key](raw)
        except _WrongError as wrong:
            raise _located(wrong, name, text, key) from None
    made = Settings(**values)  # type: ignore[arg-type] # each of the kind that its reader gives
    for key, complaint in _together(made, set(values)):
        raise _located(_WrongError(complaint), name, text, key)
    return made


def _nearest(key: str) -> str:
    from difflib import get_close_matches  # only here: most settings are right

    close = get_close_matches(key, _READERS, 1)
    return f"; did you mean `{close[0]}`?" if close else f"; the settings are {', '.join(_READERS)}"


def _located(wrong: _WrongError, name: str, text: str, key: str) -> SettingsError:
    """The error with the line of the key, or of the list's item."""
    return SettingsError(f"{name}:{_line(text, key, wrong.item)}: {wrong}")


def _line(text: str, key: str, item: int | None) -> int:
    """Where a key of the file stands, or the text number `item` after it."""
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(key)}[\"']?(?![A-Za-z0-9_-])", text, re.MULTILINE)
    if found is None:
        return 1
    place = found.end()
    if item is not None:
        # Items are texts: those of the list so far, with comments passed over.
        texts = re.compile(r"#[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
        items = [one.start() for one in texts.finditer(text, place) if not one[0].startswith("#")]
        place = items[item] if item < len(items) else place
    return text.count("\n", 0, place) + 1


# --- one value each ---------------------------------------------------------------------------------------------------


def _number(key: str, unit: str, least: float, most: float) -> Callable[[object], float]:
    def read(raw: object) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise _WrongError(f"`{key}` has to be a number, in {unit}")
        if not least <= raw <= most:
            raise _WrongError(f"`{key}` is {raw}, but must be from {least:g} to {most:g} {unit}")
        return float(raw)

    return read


def _whole(key: str, unit: str, least: int, most: int) -> Callable[[object], int]:
    def read(raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise _WrongError(f"`{key}` has to be a whole number, in {unit}")
        if not least <= raw <= most:
            raise _WrongError(f"`{key}` is {raw}, but must be from {least} to {most} {unit}")
        return raw

    return read


def _one_of(key: str, kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    names = [str(one) for one in kind]

    def read(raw: object) -> StrEnum:
        if not isinstance(raw, str) or raw not in names:
            shown = f'"{raw[:80]}"' if isinstance(raw, str) else "no text"
            raise _WrongError(f"`{key}` is {shown}, but must be one of {', '.join(names)}")
        return kind(raw)

    return read


def _boolean(key: str) -> Callable[[object], bool]:
    def read(raw: object) -> bool:
        if not isinstance(raw, bool):
            raise _WrongError(f"`{key}` has to be true or false")
        return raw

    return read


def _matching(key: str, pattern: str, words: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if not isinstance(raw, str) or not re.fullmatch(pattern, raw):
            raise _WrongError(f"`{key}` has to be {words}")
        return raw

    return read


def _texts(key: str, raw: object, words: str) -> list[str]:
    if not isinstance(raw, list):
        raise _WrongError(f"`{key}` has to be a list of {words}")
    found: list[str] = []
    for number, one in enumerate(cast("list[object]", raw)):
        if not isinstance(one, str):
            raise _WrongError(f"`{key}` has to be a list of {words}")
        if not one.isprintable() or not 0 < len(one) <= 100:
            raise _WrongError(f"`{key}`: item {number + 1} is empty, too long or has odd characters", number)
        found.append(one)
    return found


def _sensors(raw: object) -> tuple[str, ...]:
    return tuple(_texts("sensors", raw, 'names of sensors, such as ["cpu-thermal"]'))


def read_curve(words: list[str]) -> tuple[Point, ...]:
    """A curve out of texts like "45:30". Raises what `parse` makes an error with a line of."""
    if not words:
        raise _WrongError("`curve` has no points")
    points: list[Point] = []
    for number, word in enumerate(words):
        found = re.fullmatch(r"(-?\d{1,3}(?:\.\d{1,3})?):(\d{1,3})", word, re.ASCII)
        if found is None:
            raise _WrongError(f'`curve`: "{word[:80]}" is no point: write "°C:PERCENT", such as "55:40"', number)
        point = Point(float(found[1]), int(found[2]))
        if not -40 <= point.celsius <= 150 or point.percent > 100:
            raise _WrongError(f'`curve`: "{word}" is not between -40 and 150 °C, and 0 and 100 percent', number)
        before = points[-1] if points else None
        if before and point.celsius <= before.celsius:
            raise _WrongError(f'`curve`: "{word}" comes after "{words[number - 1]}", so it must be hotter', number)
        if before and point.percent < before.percent:
            raise _WrongError(f'`curve`: "{word}" is hotter than "{words[number - 1]}", so it cannot be slower', number)
        points.append(point)
    if points[-1].percent == 0:
        raise _WrongError("`curve`: its last point is 0 percent, so the fan would never turn", len(words) - 1)
    return tuple(points)


def _curve(raw: object) -> tuple[Point, ...]:
    return read_curve(_texts("curve", raw, 'points, such as ["45:0", "75:100"]'))


_READERS: Mapping[str, Callable[[object], object]] = {
    "mode": _one_of("mode", Mode),
    "curve": _curve,
    "on": _number("on", "°C", -40, 150),
    "off": _number("off", "°C", -40, 150),
    "sensors": _sensors,
    "interval": _number("interval", "seconds", 0.2, 60),
    "window": _number("window", "seconds", 0, 3600),
    "hysteresis": _number("hysteresis", "°C", 0, 50),
    "minimum": _whole("minimum", "percent", 0, 100),
    "kick": _number("kick", "seconds", 0, 10),
    "output": _one_of("output", Choice),
    "hwmon": _matching("hwmon", r"(?:[\w.-]+(?:/pwm\d{1,2})?)?", 'a chip and its output, such as "pwmfan/pwm1"'),
    "pwm": _matching("pwm", r"(?:pwmchip\d{1,3}/\d{1,3})?", 'a chip and its channel, such as "pwmchip0/0"'),
    "gpio": _matching(
        "gpio",
        r"(?:(?:[\w.:+-]+/)?[\w.:+-]+)?",
        'a line, by its number, its name, or after its chip: "18", "GPIO18", "gpiochip0/18"',
    ),
    "inverted": _boolean("inverted"),
    "frequency": _whole("frequency", "Hz", 0, 100_000),
}
KEYS = Settings._fields
assert set(KEYS) == set(_READERS)


def _together(made: Settings, given: set[str]) -> list[tuple[str, str]]:
    """What is wrong with values beside each other: (key, complaint)."""
    found: list[tuple[str, str]] = []
    if made.mode is Mode.ON_OFF and made.off >= made.on:
        key = "off" if "off" in given else "on" if "on" in given else "mode"
        found.append((key, f"`off` ({made.off:g} °C) has to be below `on` ({made.on:g} °C)"))
    for key in ("pwm", "gpio"):
        if made.output == key and not getattr(made, key):
            found.append(("output", f'`output` is "{key}", but `{key}` does not say which'))
    if made.gpio and (made.frequency or 0) > SOFT:
        found.append(("frequency", f"`frequency` is {made.frequency}, but a GPIO line can do {SOFT} Hz at most"))
    if made.window and made.window < made.interval:
        key = "window" if "window" in given else "interval"
        found.append((key, f"`window` ({made.window:g} s) is shorter than `interval` ({made.interval:g} s)"))
    return found


def write(values: Mapping[str, object]) -> str:
    """The text of a settings file that says these values."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in cast('list[object]', value))}]"
    plain = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'
