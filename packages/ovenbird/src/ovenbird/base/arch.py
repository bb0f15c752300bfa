"""The base `arch`: a private pacman that resolves what a tarball of Arch Linux lacks, and keeps the packages.

As with `apt.Index`, everything that decides over the bytes is settled before the tree is touched: pacman of this
machine, with folders of its own and the tarball's list of installed packages, says which files an upgrade and an
installation come to. They are fetched once, checked against the recipe's keys, and written down in `ovenbird.lock`
beside the recipe, which later builds go by. The tarball's own pacman installs them, without network (`build/foreign`).
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.base.tar import members_below
from ovenbird.build.download import download, fetch
from ovenbird.errors import NetworkError, RecipeError
from ovenbird.files import locked, sha256_of, write_atomically
from ovenbird.run import CommandError, Completed, run

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7h"}
"""Arch's names, Arch Linux ARM's among them."""
PACKAGES = ("ca-certificates", "dbus", "e2fsprogs", "iproute2", "kmod", "openssl", "python", "systemd",
            "systemd-sysvcompat")  # fmt: skip
"""What the agent and the initrd's hand-over need (`build/device.py` has Debian's names for it)."""
LOCK = "ovenbird.lock"
KEYRINGS = "usr/share/pacman/keyrings"
LOCAL = "var/lib/pacman/local"
_UNKNOWN = re.compile(r"^error: target not found: (\S+)$", re.MULTILINE)


class Package(msgspec.Struct, frozen=True, order=True):
    """One exact package, and where its file is."""

    name: str
    version: str
    repository: str
    file: str
    sha256: str
    size: int  # bytes
    built: int  # seconds since the epoch
    signature: str = ""
    """The detached signature, in base64; empty where it lies beside the package on the server."""


class Lock(msgspec.Struct, frozen=True):
    """`ovenbird.lock`: the packages that a recipe came to, and the question that they answer."""

    question: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class Pacman:
    """A private pacman for one tarball, server and architecture."""

    folder: Path
    tarball: Path
    prefix: str
    architecture: str
    server: str
    repositories: tuple[str, ...]
    keys: tuple[Path, ...]

    def address(self, repository: str, file: str) -> str:
        """Where a file of a repository is."""
        base = self.server.replace("$repo", repository).replace("$arch", self.architecture)
        return f"{base.rstrip('/')}/{file}"

    def question(self, tarball: str, names: Iterable[str]) -> str:
        """What a lock answers, in words: any change of it makes the lock void. `tarball` is its SHA-256."""
        return " ".join([tarball, self.architecture, *self.repositories, ":", *names])

    def resolve(self, names: Sequence[str]) -> tuple[Package, ...]:
        """Fetch the lists and say what upgrading the tarball and adding `names` comes to, what is needed first.

        Raises NetworkError, RecipeError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            self._lay_out()
            try:
                self._pacman("-Sy", "--noconfirm")
            except CommandError as error:
                raise NetworkError(
                    "the package lists cannot be fetched:" + _errors(error),
                    hint="look at the network, and at `server`, `repositories` and `keys` in [base] of the recipe",
                ) from error
            known = self._known()
            try:
                listed = self._pacman("-Su", "--print", "--needed", "--print-format", "%r/%n", *names).stdout
            except CommandError as error:
                hint = "look at `packages` in [base] of the recipe and at `arch` in the stages' stage.toml"
                if missing := _UNKNOWN.findall(error.completed.stderr):
                    message = f"there is no package {', '.join(missing)} in {', '.join(self.repositories)}"
                    raise RecipeError(message, hint=f"{hint}, or name the repository that has it") from error
                message = f"the packages cannot be installed together on {self.architecture}:"
                raise RecipeError(message + _errors(error), hint=hint) from error
        return tuple(known[line] for line in listed.split() if line in known)

    def fetch(self, packages: Sequence[Package], cache: Path) -> dict[str, Path]:
        """The packages' files, each by its name, their content and their signatures checked. Raises NetworkError."""
        found: dict[str, Path] = {}
        for package in packages:
            address = self.address(package.repository, package.file)
            hint = "`ovenbird build --refresh` asks the server anew"
            kept = cache / "packages" / f"{package.sha256}.pkg"
            if not kept.exists():
                file = download(address, package.sha256, cache, hint=hint)
                self._verify(package, file, address, cache)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, beside := kept.with_suffix(f".{os.getpid()}"))
                beside.replace(kept)
                (cache / "downloads" / package.sha256).unlink(missing_ok=True)
            elif sha256_of(kept) != package.sha256:
                kept.unlink()
                return self.fetch(packages, cache)
            kept.touch()
            found[package.file] = kept
        return found

    def _verify(self, package: Package, file: Path, address: str, cache: Path) -> None:
        """What the lists say of a file is worth no more than the lists: the packager's signature is what counts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            self._keyring()
            signature = self.folder / "signature"
            if package.signature:
                signature.write_bytes(base64.b64decode(package.signature))
            else:
                try:
                    signature.write_bytes(fetch(f"{address}.sig"))
                except NetworkError as error:
                    raise NetworkError(f"{package.file} is not signed", where=address, hint=str(error)) from error
            try:
                self._gpg("--trust-model", "always", "--verify", signature, file)
            except CommandError as error:
                raise NetworkError(
                    f"{package.file} is not signed by any of the recipe's keys",
                    where=address,
                    hint="look who serves it, and at `keys` in [base] of the recipe",
                ) from error

    def _lay_out(self) -> None:
        """Settings, keys, and the tarball's list of installed packages."""
        for name in ("db/sync", "root", "cache", "hooks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._keyring()
        _take(self.tarball, self.prefix, LOCAL, self.folder / "db/local")
        lines = [
            "[options]", f"Architecture = {self.architecture}", "SigLevel = Required DatabaseOptional TrustAll",
            f"RootDir = {self.folder / 'root'}", f"DBPath = {self.folder / 'db'}",
            f"CacheDir = {self.folder / 'cache'}", f"GPGDir = {self.folder / 'gnupg'}",
            f"HookDir = {self.folder / 'hooks'}", f"LogFile = {self.folder / 'log'}",
        ]  # fmt: skip
        for repository in self.repositories:
            lines += [f"[{repository}]", f"Server = {self.address(repository, '')}"]
        (self.folder / "pacman.conf").write_text("\n".join(lines) + "\n")

    def _keyring(self) -> None:
        """The keys that count, and no others: the recipe's, else the tarball's own."""
        ring = self.folder / "gnupg"
        if (ring / "trustdb.gpg").exists():
            return
        keys = self.keys
        if not keys:
            _take(self.tarball, self.prefix, KEYRINGS, self.folder / "keyrings")
            keys = tuple(sorted((self.folder / "keyrings").glob("*.gpg")))
        if not keys:
            raise RecipeError(
                f"the tarball has no keys in /{KEYRINGS} to check packages with",
                where=str(self.tarball),
                hint="name a file with the packagers' keys by `keys` in [base] of the recipe",
            )
        shutil.rmtree(ring, ignore_errors=True)
        ring.mkdir(mode=0o700)
        (ring / "pubring.gpg").touch()  # pacman asks for the old form of the key ring.
        try:
            self._gpg("--import", *keys)
            self._gpg("--check-trustdb")
        except CommandError as error:
            names = ", ".join(key.name for key in keys)
            hint = "export them: gpg --export NAME >keys.gpg"
            raise RecipeError(f"{names} cannot be read as keys of gpg", hint=hint) from error

    def _gpg(self, *words: str | Path) -> Completed:
        ring = self.folder / "gnupg"
        return run(["gpg", "--homedir", ring, "--batch", "--no-autostart", "--quiet", *words])

    def _pacman(self, *words: str) -> Completed:
        # It wants to be root to write its own lists, wherever they are.
        apart = () if os.geteuid() == 0 else ("buildah", "unshare", "--")
        return run([*apart, "pacman", "--config", str(self.folder / "pacman.conf"), *words])

    def _known(self) -> Mapping[str, Package]:
        """All packages of the lists, by repository and name."""
        found: dict[str, Package] = {}
        for repository in self.repositories:
            for fields in read_list(self.folder / f"db/sync/{repository}.db"):
                package = _package(repository, fields)
                found[f"{repository}/{package.name}"] = package
        return found


def read_list(file: Path) -> list[dict[str, str]]:
    """The packages of a repository's list: a tar with a file `desc` for each (repo-add(8)), of %NAME% and lines."""
    with tarfile.open(file) as archive:
        texts = [
            content.read().decode()
            for member in archive
            if member.isfile() and member.name.endswith("/desc") and (content := archive.extractfile(member))
        ]
    return [read_fields(text) for text in texts]


def read_fields(text: str) -> dict[str, str]:
    """The fields of a `desc`: name -> its lines."""
    blocks = (block.strip("\n").split("\n", 1) for block in re.split(r"\n\n+", text) if block.strip())
    return {block[0].strip("%"): block[1] if len(block) > 1 else "" for block in blocks}


def _package(repository: str, fields: Mapping[str, str]) -> Package:
    try:
        return Package(
            name=fields["NAME"],
            version=fields["VERSION"],
            repository=repository,
            file=fields["FILENAME"],
            sha256=fields["SHA256SUM"],
            size=int(fields["CSIZE"]),
            built=int(fields.get("BUILDDATE", "0")),
            signature=fields.get("PGPSIG", ""),
        )
    except (KeyError, ValueError) as error:
        raise NetworkError(f"the list of the repository {repository} makes no sense: {error}") from error


def read_lock(folder: Path, question: str) -> tuple[Package, ...] | None:
    """The locked packages of the recipe in a folder, if they answer this question. Raises RecipeError."""
    file = folder / LOCK
    try:
        lock = msgspec.toml.decode(file.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        hint = f"remove {file}; the next build makes it anew"
        raise RecipeError(f"this is no lock file of Ovenbird's: {error}", where=str(file), hint=hint) from error
    return lock.packages if lock.question == question else None


def write_lock(folder: Path, question: str, packages: Sequence[Package]) -> None:
    """Pin the packages of the recipe in a folder."""
    about = "# What the recipe's packages came to. `ovenbird build --refresh` makes it anew."
    lines = [about, _line("question", question)]
    for package in packages:
        lines += ["", "[[packages]]"]
        lines += [_line(name, value) for name, value in msgspec.structs.asdict(package).items() if value != ""]
    write_atomically(folder / LOCK, ("\n".join(lines) + "\n").encode())


def _line(name: str, value: object) -> str:
    return f"{name} = {msgspec.json.encode(value).decode()}"


def python_version(names: Iterable[Package], default: str) -> str:
    """Python's version ("3.13") among packages, else that of the tarball."""
    for package in names:
        if package.name == "python" and (found := re.match(r"(?:\d+:)?(3\.\d+)", package.version)):
            return found[1]
    return default


def _take(tarball: Path, prefix: str, folder: str, out: Path) -> None:
    """Unpack one folder of a tarball that was inspected, files alone."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, content in members_below(tarball, prefix, folder):
        place = out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _errors(error: CommandError) -> str:
    """pacman's own lines: the errors, each once."""
    lines = [line.strip() for line in (error.completed.stderr + error.completed.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "warning:", "::"))] or lines
    return "".join(f"\n    {line}" for line in list(dict.fromkeys(errors))[:8])
