"""The database of packages after a graft: what dpkg and apt would say had they installed the target's packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ovenbird.build.cross.dpkg import INSTALLED, Names, Paragraph, architecture_field, dump, info_name, installed, parse
from ovenbird.build.cross.owned import INFO, STATUS, Twin, md5
from ovenbird.build.debs import Kind, Unpacked

# What has paths and packages' names with their architecture in it.
TEXTS = ("diversions", "statoverride", "triggers/*", "alternatives/*")
ARCHITECTURES = ("arch", "arch-native")
APT = "var/lib/apt/extended_states"
QUESTIONS = "var/cache/debconf/*.dat"


def translate_database(twin: Twin, packages: Mapping[str, Unpacked]) -> None:
    """Rewrite the database of a grafted tree; `packages` are the target's by name."""
    folder, names = twin.root.folder, twin.names
    status = folder / STATUS
    kept: list[Paragraph] = []
    known: set[str] = set()
    for fields in parse(status.read_text()):
        name = fields["Package"]
        if twin.packages.get(name) is not fields and fields.get("Architecture") != names.host.debian:
            kept.append(fields)
            continue
        known.add(name)
        _forget(folder, info_name(name, names.host.debian, fields.get("Multi-Arch", "")))
        if fields.get("Status", "").endswith(" config-files"):
            kept.append(_left_over(folder, fields, names))
        elif name in packages:
            kept.append(_record(folder, packages[name], fields, names))
    for name in sorted(packages.keys() - known):
        kept.append(_record(folder, packages[name], {"Status": INSTALLED}, names))
    kept.sort(key=lambda fields: (fields["Package"], fields.get("Architecture", "")))
    _rewrite(status, dump(kept))
    database = status.parent
    _interests(database / "triggers/File", packages)
    for pattern in TEXTS:
        for file in database.glob(pattern):
            if file.is_file():
                _rewrite(file, names.database(file.read_text()))
    for name in ARCHITECTURES:
        file = database / name
        if file.exists():
            _rewrite(file, re.sub(rf"(?m)^{names.host.debian}$", names.target.debian, file.read_text()))
    states = folder / APT
    if states.exists():
        _rewrite(states, architecture_field(states.read_text(), names))
    for file in folder.glob(QUESTIONS):
        _rewrite(file, names.database(file.read_text()))


def _interests(file: Path, packages: Mapping[str, Unpacked]) -> None:
    """Which packages want to hear of changes below which folders (deb-triggers(5)): the target's have their own."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = [line for line in lines if re.split("[:/]", line.rsplit(" ", 1)[-1])[0] not in packages]
    for name, package in packages.items():
        (control,) = parse(package.control)
        who = info_name(name, control["Architecture"], control.get("Multi-Arch", ""))
        for line in package.kept()["triggers"].read_text().splitlines() if "triggers" in package.kept() else ():
            words = line.partition("#")[0].split()
            if len(words) == 2 and words[0].startswith("interest") and words[1].startswith("/"):
                found.append(f"{words[1]} {who}{'/noawait' if words[0].endswith('-noawait') else ''}")
    if found or lines:
        file.write_text("".join(f"{line}\n" for line in found))


def _left_over(folder: Path, fields: Paragraph, names: Names) -> Paragraph:
    """A package that was removed and whose conffiles are still there: only its architecture is another one."""
    prefix = info_name(fields["Package"], names.target.debian, fields.get("Multi-Arch", ""))
    paths = [line.split()[0] for line in fields.get("Conffiles", "").splitlines() if line.strip()]
    (folder / INFO / f"{prefix}.list").write_text("".join(f"{path}\n" for path in paths))
    return {**fields, "Architecture": names.target.debian}


def _forget(folder: Path, prefix: str) -> None:
    for file in (folder / INFO).glob(f"{_escaped(prefix)}.*"):
        # `foo.*` is also `foo.bar.list` of a package `foo.bar`; what dpkg keeps has endings without a dot.
        if "." not in file.name.removeprefix(f"{prefix}."):
            file.unlink()


def _escaped(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _record(folder: Path, package: Unpacked, twin: Paragraph, names: Names) -> Paragraph:
    """Put down a package: its files below `info`, and its paragraph, in the state that the twin has it in."""
    (control,) = parse(package.control)
    prefix = folder / INFO / info_name(control["Package"], names.target.debian, control.get("Multi-Arch", ""))
    kept = package.kept()
    for ending, file in kept.items():
        place = prefix.with_name(f"{prefix.name}.{ending}")
        place.write_bytes(file.read_bytes())
        place.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
    entries = package.entries
    listed = "".join(f"/{entry.path or '.'}\n" for entry in entries)
    prefix.with_name(f"{prefix.name}.list").write_text(listed)
    digests: dict[str, str] = {}
    for line in kept["conffiles"].read_text().split("\n") if "conffiles" in kept else ():
        *flags, path = line.split() or [""]
        if flags:  # The one flag is `remove-on-upgrade`, for a file that the package has no more (deb-conffiles(5)).
            digests[path] = f"newconffile {flags[0]}"
        elif path:
            digests[path] = md5(package.file(path.lstrip("/")))
    if "md5sums" not in kept:
        files = [entry.path for entry in entries if entry.kind is not Kind.FOLDER and entry.kind is not Kind.LINK]
        sums = "".join(f"{md5(package.file(path))}  {path}\n" for path in files if f"/{path}" not in digests)
        if sums:  # dpkg makes the list where a package has none.
            prefix.with_name(f"{prefix.name}.md5sums").write_text(sums)
    return installed(package.control, status=twin["Status"], conffiles=digests)


def _rewrite(file: Path, text: str) -> None:
    """Write a text where it is another one: in a layer, writing copies the whole file."""
    if file.read_text() != text:
        file.write_text(text)
