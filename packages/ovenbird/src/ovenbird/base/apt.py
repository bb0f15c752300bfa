"""A private apt: its own index, resolution and downloads, apart from the host's apt and without root.

An `Index` is one set of sources for one architecture. It is refreshed when it is old or when asked to, names exactly
which package versions a list of packages comes to, and keeps every downloaded package for all later builds, by the
sha256 of its content.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import msgspec

from ovenbird.errors import BuildError, NetworkError, RecipeError
from ovenbird.files import locked, replacing, sha256_of, write_atomically
from ovenbird.run import CommandError, Completed, run

MAX_AGE = 24 * 3600  # seconds: how old an index may be before a build refreshes it
_UNKNOWN = re.compile(r"^E: (?:Unable to locate package |Package ')([^\s']+)", re.MULTILINE)
"""How apt names a package that there is not, or that another one only speaks of."""
HOST_KEYRINGS = Path("/usr/share/keyrings")


class Package(msgspec.Struct, frozen=True, order=True):
    """One exact package: what is installed, and what its file must be."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int  # bytes

    @property
    def file_name(self) -> str:
        """As apt names the file in its archives folder."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


@dataclass(frozen=True, slots=True)
class Index:
    """The package lists of one set of sources for one architecture, in a folder of the cache."""

    folder: Path
    pool: Path
    sources: tuple[str, ...]
    architecture: str
    keyrings: tuple[Path, ...]

    @classmethod
    def at(cls, cache: Path, sources: Sequence[str], architecture: str, keyrings: Sequence[Path]) -> Index:
        """The index of these sources below a cache folder; nothing is fetched yet."""
        rings = tuple(keyrings) or tuple(sorted(HOST_KEYRINGS.glob("debian-archive-keyring.*pg")))[:1]
        identity = "\n".join([*sources, architecture, *(sha256_of(ring) for ring in rings)])
        name = f"{architecture}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        return cls(cache / "index" / name, cache / "packages", tuple(sources), architecture, rings)

    @property
    def lists(self) -> Path:
        """Where apt keeps the package lists."""
        return self.folder / "lists"

    def refresh(self, *, force: bool = False, on_line: Callable[[str], None] | None = None) -> bool:
        """Fetch the package lists where they are older than a day, or always; tells whether it did.

        A mirror that cannot be reached is an error only where there are no lists yet, or where they were asked for.
        Raises NetworkError.
        """
        stamp = self.folder / "refreshed"
        if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < MAX_AGE:
            return False
        with locked(self.folder.with_suffix(".lock")):
            if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < MAX_AGE:
                return False
            self._lay_out()
            try:
                self._apt("update", "--error-on=any", on_line=on_line)
            except CommandError as error:
                if stamp.exists() and not force:
                    return False  # Offline: the lists that are here still name packages that we can have.
                raise NetworkError(
                    "the package lists cannot be fetched:" + _apt_errors(error),
                    hint="look at the network, at `mirror` in [base] of the recipe, and at http_proxy",
                ) from error
            write_atomically(self.folder / "digest", self._digest().encode())
            stamp.touch()
        return True

    def digest(self) -> str:
        """The identity of the lists as they are now."""
        return (self.folder / "digest").read_text()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for file in sorted(self.lists.glob("*Release")):
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
        return digest.hexdigest()

    def names(self) -> set[str]:
        """The names of all packages that there are, of this architecture or of all."""
        return set(self._apt_cache("pkgnames").stdout.split())

    def resolve(self, names: Iterable[str], *, only: Callable[[str], bool] | None = None) -> tuple[Package, ...]:
        """The exact packages that installing `names` on an empty system comes to, without recommendations.

        `only` keeps those packages whose name it accepts (a kernel without its dependencies). The answer is kept
        until the lists change. Raises RecipeError for an unknown package or an impossible combination.
        """
        wanted = list(dict.fromkeys(names))
        question = hashlib.sha256("\n".join([self.digest(), str(only is not None), *wanted]).encode()).hexdigest()
        kept = self.folder / "resolved" / f"{question}.json"
        if kept.exists():
            return msgspec.json.decode(kept.read_bytes(), type=tuple[Package, ...])
        try:
            printed = self._apt("install", "--print-uris", "-q", "-y", *wanted).stdout
        except CommandError as error:
            hint = "look at `packages` in [base] of the recipe and in the stages' stage.toml"
            if missing := _UNKNOWN.findall(error.completed.stderr):
                raise RecipeError(
                    f"there is no package {', '.join(missing)} for {self.architecture}",
                    hint=f"{hint}, or add a source that has it (`sources` in [base])",
                ) from error
            message = f"the packages cannot be installed together on {self.architecture}:"
            raise RecipeError(message + _apt_errors(error), hint=hint) from error
        exact = [_name_and_version(line.split()[1]) for line in printed.splitlines() if line.startswith("'")]
        if only is not None:
            exact = [(name, version) for name, version in exact if only(name)]
        packages = self._show(exact)
        kept.parent.mkdir(exist_ok=True)
        write_atomically(kept, msgspec.json.encode(packages))
        return packages

    def _show(self, exact: Sequence[tuple[str, str]]) -> tuple[Package, ...]:
        if not exact:
            return ()
        shown = self._apt_cache("show", "--no-all-versions", *(f"{name}={version}" for name, version in exact)).stdout
        packages: dict[tuple[str, str], Package] = {}
        for block in shown.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
            if "Package" in fields:
                package = Package(
                    fields["Package"], fields["Version"], fields["Architecture"], fields["SHA256"], int(fields["Size"])
                )
                packages.setdefault((package.name, package.version), package)
        missing = [f"{name}={version}" for name, version in exact if (name, version) not in packages]
        if missing:
            raise BuildError(f"apt names packages that its lists do not describe: {', '.join(missing)}")
        return tuple(sorted(packages[pair] for pair in exact))

    @contextmanager
    def archives(
        self, packages: Sequence[Package], *, on_bytes: Callable[[int, int], None] | None = None
    ) -> Generator[Path]:
        """A folder with the files of these packages, for the time of the context: kept ones are linked, others
        fetched. Every file's sha256 is checked. Files that others add to the folder are kept on leaving.

        `on_bytes` gets the bytes that are here and the bytes wanted. Raises NetworkError.
        """
        self.pool.mkdir(parents=True, exist_ok=True)
        scratch = self.pool.parent / "scratch"  # The store's: what a killed build leaves there goes at the next.
        scratch.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="archives-", dir=scratch) as name:
            folder = Path(name)
            folder.chmod(0o755)
            (folder / "partial").mkdir()
            (folder / "partial").chmod(0o755)  # Whatever the umask: the tree sees this folder.
            total = sum(package.size for package in packages)
            missing: list[Package] = []
            for package in packages:
                if not self._link(package, folder):
                    missing.append(package)
            if on_bytes:
                on_bytes(total - sum(package.size for package in missing), total)
            if missing:
                self._fetch(missing, folder)
                if on_bytes:
                    on_bytes(total, total)
            yield folder
            self._keep(folder)

    def _pooled(self, sha256: str) -> Path:
        return self.pool / f"{sha256}.deb"

    def _link(self, package: Package, folder: Path) -> bool:
        kept = self._pooled(package.sha256)
        try:
            if kept.stat().st_size != package.size or sha256_of(kept) != package.sha256:
                kept.unlink()
                return False
        except FileNotFoundError:
            return False
        kept.touch()  # When it was last used: the store's clean-up goes by that.
        _link_or_copy(kept, folder / package.file_name)
        return True

    def _fetch(self, packages: Sequence[Package], folder: Path) -> None:
        # Thousands of packages would not fit into one command line.
        for begin in range(0, len(packages), 500):
            batch = packages[begin : begin + 500]
            try:
                self._apt("download", "-qq", *(f"{package.name}={package.version}" for package in batch), cwd=folder)
            except CommandError as error:
                raise NetworkError(
                    "packages cannot be downloaded:" + _apt_errors(error),
                    hint="run the same command again (what has arrived is kept); `ovenbird build --refresh` fetches"
                    " newer package lists",
                ) from error
            finally:
                for package in batch:
                    file = folder / package.file_name
                    if file.exists() and sha256_of(file) == package.sha256:
                        self._put(file, package.sha256)
        for package in packages:
            if not (folder / package.file_name).exists():
                raise NetworkError(f"{package.file_name} did not arrive", hint="run the same command again")

    def _put(self, file: Path, sha256: str) -> None:
        kept = self._pooled(sha256)
        if not kept.exists():
            with contextlib.suppress(FileExistsError):  # Another build was first.
                _link_or_copy(file, kept)

    def _keep(self, folder: Path) -> None:
        for file in folder.glob("*.deb"):
            if file.stat().st_nlink == 1 and os.access(file, os.R_OK):
                self._put(file, sha256_of(file))

    def _lay_out(self) -> None:
        for name in ("lists/partial", "archives/partial", "trusted", "resolved"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for ring in self.keyrings:
            suffix = ".asc" if ring.read_bytes()[:5] == b"-----" else ".gpg"
            shutil.copyfile(ring, self.folder / "trusted" / (ring.stem + suffix))
        (self.folder / "status").touch()
        one_line = [line for line in self.sources if "\n" not in line]
        (self.folder / "sources.list").write_text("".join(f"{line}\n" for line in one_line))
        parts = self.folder / "sources.list.d"
        parts.mkdir(exist_ok=True)
        for number, entry in enumerate(entry for entry in self.sources if "\n" in entry):
            (parts / f"{number}.sources").write_text(entry if entry.endswith("\n") else entry + "\n")
        settings = {
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "30",
            "Acquire::https::Timeout": "30",
            "Dir": str(self.folder),
            "Dir::State": str(self.folder),
            "Dir::State::status": str(self.folder / "status"),
            "Dir::State::lists": str(self.lists),
            "Dir::Cache": str(self.folder),
            "Dir::Cache::archives": str(self.folder / "archives"),
            "Dir::Etc::sourcelist": str(self.folder / "sources.list"),
            "Dir::Etc::sourceparts": str(parts),
            "Dir::Etc::trusted": "/dev/null",
            "Dir::Etc::trustedparts": str(self.folder / "trusted"),
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        text += f'APT::Architectures {{ "{self.architecture}"; }};\n' + _host_proxy()
        (self.folder / "apt.conf").write_text(text)

    def _apt(self, *words: str, cwd: Path | None = None, on_line: Callable[[str], None] | None = None) -> Completed:
        return run(["apt-get", *words], cwd=cwd, env={"APT_CONFIG": str(self.folder / "apt.conf")}, on_line=on_line)

    def _apt_cache(self, *words: str) -> Completed:
        return run(["apt-cache", *words], env={"APT_CONFIG": str(self.folder / "apt.conf")})


def _link_or_copy(source: Path, target: Path) -> None:
    """Have a file in a second place: as a link, or as a copy where the places are in different file systems."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        with replacing(target) as beside:
            shutil.copyfile(source, beside)


def _host_proxy() -> str:
    """The proxy settings of the host's own apt: a local package cache is often set only there."""
    printed = run(["apt-config", "dump", "--format", '%f "%v";%n', "Acquire::http", "Acquire::https"], check=False)
    wanted = ("proxy", "proxy-auto-detect")
    return "".join(
        f"{line}\n"
        for line in printed.stdout.splitlines()
        if any(word in line.split('"')[0].lower() for word in wanted)
    )


def _name_and_version(file_name: str) -> tuple[str, str]:
    """`zlib1g_1%3a1.3_amd64.deb` is ("zlib1g", "1:1.3")."""
    name, version, _ = file_name.rsplit("_", 2)
    return name, unquote(version)


def _apt_errors(error: CommandError) -> str:
    """apt's own lines, the errors first and without repetition."""
    lines = (error.completed.stdout + error.completed.stderr).splitlines()
    telling = [line.strip() for line in lines if line.startswith(("E:", "W:", " ")) and line.strip()]
    return "".join(f"\n    {line}" for line in dict.fromkeys(telling[:12] or lines[-5:]))
