"""Whether an image can be what a personal file asks for: found out before a card is written, not on a device far away.

Only the names of the root's files are looked at, and its list of apps; what else is wrong the device says itself.
"""

from __future__ import annotations

from pathlib import Path

from ovenbird.errors import UsageError
from ovenbird.image.reading import squashfs
from ovenbird.image.reading.disk import open_image, root_region
from ovenbird.image.reading.region import Region
from ovenbird.recipe.problems import did_you_mean
from ovenbird.run import run
from ovenbird_device.format import apps, personal

_HELD = "usr/lib/ovenbird/ovenbird_device/personal/__main__.py"
_WIFI = "usr/lib/systemd/system/ovenbird-wifi@.service"
_PLAIN_LOCALES = ("C.UTF-8", "C.utf8", "C", "POSIX")


def check_fits(image: Path, *devices: personal.Personal) -> None:
    """Raise UsageError for the first thing that the image's active slot cannot be; ImageError for a damaged image."""
    region = root_region(open_image(image))
    names = set(squashfs.walk(region, data=False).entries)
    for given in devices:
        _check(region, names, given)


def _check(region: Region, names: set[str], given: personal.Personal) -> None:
    def has(path: str) -> bool:
        return f"/{path}" in names

    if not has(_HELD):
        raise UsageError("this image is from before cards could be personal", hint="build it again")
    if given.wifi is not None and given.wifi.networks and not has(_WIFI):
        raise UsageError("this image has no Wi-Fi", hint='add the stage "wifi" to `stages` in [build]')
    if given.timezone and not has(f"usr/share/zoneinfo/{given.timezone}"):
        zones = [name[20:] for name in names if name.startswith("/usr/share/zoneinfo/") and "/" in name[20:]]
        hint = did_you_mean(given.timezone, zones) if zones else 'add the stage "os", which brings time zones'
        raise UsageError(f"this image has no time zone {given.timezone}", hint=_short(hint))
    if given.locale and given.locale not in _PLAIN_LOCALES and not any(map(has, locale_folders(given.locale))):
        raise UsageError(
            f"this image has no locale {given.locale}", hint='the stage "os" makes one: { use = "os", locale = "…" }'
        )
    if given.account is not None and given.account.keys and not has("usr/sbin/sshd"):
        raise UsageError("this image has no SSH server for the keys", hint='add the stage "ssh" to `stages` in [build]')
    if given.secrets:
        _check_secrets(region, given, has(apps.PATH))


def locale_folders(locale: str) -> list[str]:
    """Where a locale may be: by its name, and as glibc writes its character set."""
    name, _, rest = locale.partition(".")
    charset, at, modifier = rest.partition("@")
    plain = charset.lower().replace("-", "")
    return [f"usr/lib/locale/{one}" for one in (locale, f"{name}.{plain}{at}{modifier}")]


def _check_secrets(region: Region, given: personal.Personal, listed: bool) -> None:
    known: dict[str, tuple[str, ...]] = {}
    if listed:
        words = ["unsquashfs", "-offset", str(region.offset), "-cat", str(region.path), apps.PATH]
        text = run(words, what="reading the list of apps").stdout
        known = {app.name: app.secrets for app in apps.load(text.encode()).apps}
    for app, values in given.secrets.items():
        if app not in known:
            hint = did_you_mean(app, known) if known else "it has none"
            raise UsageError(f'this image has no app "{app}" to keep a secret', hint=hint)
        for name in values:
            if name not in known[app]:
                raise UsageError(f'the app {app} has no secret "{name}"', hint=did_you_mean(name, known[app]))


def _short(hint: str | None) -> str | None:
    return hint if hint is None or len(hint) < 200 else "names are as Europe/Vienna"
