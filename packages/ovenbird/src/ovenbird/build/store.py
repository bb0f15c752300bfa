"""The store: what every step of every build has made, by the key of all that went into it.

A step whose key is here is never run again. A step is made in a folder of its own and renamed into its place when it is
whole, so that a killed build leaves nothing half-made; a lock for each key lets two builds that want the same step make
it once. The layers of trees live in the container engine's storage below the same cache folder; their step folders say
which image they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.errors import UsageError
from ovenbird.files import locked, sha256_of_sparse, write_atomically

FORMAT = "2"  # Part of every key: a change in how steps are made starts anew.
IN_USE = "in-use"  # The lock that every build holds, shared; all other locks are taken while holding it.
DEFAULT_LIMIT = 20 * 1024**3  # bytes


class StepRecord(msgspec.Struct, frozen=True):
    """What is known of a step that was made: `inputs` names all that went into it, `facts` what it found out."""

    kind: str
    name: str
    key: str
    inputs: dict[str, str]
    made: float  # seconds since the epoch
    took: float  # seconds
    size: int  # bytes
    facts: dict[str, str] = {}

    def digest(self, name: str) -> str:
        """The sha256 of one of the step's files."""
        return self.facts[f"sha256 {name}"]


def key_of(kind: str, inputs: Mapping[str, str]) -> str:
    """The key of a step: a digest over its kind and all its named inputs."""
    digest = hashlib.sha256(msgspec.json.encode([FORMAT, kind, sorted(inputs.items())]))
    return digest.hexdigest()[:32]


def cache_folder() -> Path:
    """Where Ovenbird keeps what it can make again: $OVENBIRD_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("OVENBIRD_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "ovenbird"


@dataclass(slots=True)
class Making:
    """A step while it is made: the folder to fill, and facts to remember."""

    folder: Path
    facts: dict[str, str]
    size: int | None = None  # bytes; None: what lies in the folder

    def note_digest(self, name: str) -> str:
        """Remember the sha256 of a file in the folder; see `StepRecord.digest`."""
        digest = sha256_of_sparse(self.folder / name)
        self.facts[f"sha256 {name}"] = digest
        return digest


@dataclass(frozen=True, slots=True)
class Store:
    """The steps below one cache folder."""

    root: Path

    @property
    def steps(self) -> Path:
        return self.root / "steps"

    def folder(self, kind: str, key: str) -> Path:
        """Where a step's files are, once it is made."""
        return self.steps / kind / key

    def find(self, kind: str, key: str) -> StepRecord | None:
        """The record of a step, or None where it is not here."""
        try:
            return msgspec.json.decode((self.folder(kind, key) / "step.json").read_bytes(), type=StepRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def use(self, kind: str, key: str) -> None:
        """Note that a step was used now: clean-up takes the longest unused first."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder(kind, key) / "step.json")

    def make(self, kind: str, name: str, inputs: Mapping[str, str], maker: Callable[[Making], None]) -> StepRecord:
        """Make a step, unless another build has made it while we waited for its lock."""
        key = key_of(kind, inputs)
        with locked(self.root / "locks" / f"{kind}-{key}"):
            if record := self.find(kind, key):
                return record
            with self.scratch() as folder:
                making = Making(folder, {})
                begin = time.monotonic()
                maker(making)
                record = StepRecord(
                    kind=kind,
                    name=name,
                    key=key,
                    inputs=dict(inputs),
                    made=time.time(),
                    took=round(time.monotonic() - begin, 3),
                    size=making.size if making.size is not None else folder_size(folder),
                    facts=making.facts,
                )
                write_atomically(folder / "step.json", msgspec.json.encode(record))
                target = self.folder(kind, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    shutil.rmtree(target)  # Damaged: it had no readable record.
                folder.rename(target)
        return record

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """A folder for half-made things, gone at the end whatever happens; those of killed builds go at the next."""
        base = self.root / "scratch"
        base.mkdir(parents=True, exist_ok=True)
        folder = base / f"{os.getpid()}-{time.monotonic_ns()}"
        folder.mkdir()
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, remove: Callable[[Path], None]) -> None:
        """Take away what killed builds have left half-made, and their locks. Only while none runs (see `alone`).

        `remove` takes a folder away whose files may belong to subordinate users.
        """
        for folder in (self.root / "scratch").glob("*"):
            if folder.is_dir():
                remove(folder)
            else:
                folder.unlink(missing_ok=True)
        for lock in (self.root / "locks").glob("*"):
            if lock.name != IN_USE:
                lock.unlink(missing_ok=True)

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Hold this while building: clean-up waits for it."""
        with locked(self.root / "locks" / IN_USE, shared=True):
            yield

    @contextmanager
    def alone(self) -> Generator[bool]:
        """True where no build is running, and none can begin until the context ends."""
        lock = self.root / "locks" / IN_USE
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def records(self) -> list[tuple[StepRecord, float]]:
        """All steps with the time of their last use (seconds since the epoch), the longest unused first."""
        found: list[tuple[StepRecord, float]] = []
        for file in self.steps.glob("*/*/step.json"):
            record = self.find(file.parent.parent.name, file.parent.name)
            if record is not None:
                found.append((record, file.stat().st_mtime))
        return sorted(found, key=lambda pair: pair[1])

    def forget(self, record: StepRecord) -> None:
        """Take a step's files away."""
        folder = self.folder(record.kind, record.key)
        (folder / "step.json").unlink(missing_ok=True)  # First: without it the rest counts as half-made.
        shutil.rmtree(folder, ignore_errors=True)


def folder_size(folder: Path) -> int:
    """The bytes that a folder's files take on the disk, holes not counted."""
    return sum(entry.lstat().st_blocks * 512 for entry in folder.rglob("*"))


def limit_from_environment() -> int:
    """$OVENBIRD_STORE_LIMIT ("20G") in bytes, else 20 GiB. Raises UsageError."""
    text = os.environ.get("OVENBIRD_STORE_LIMIT")
    if not text:
        return DEFAULT_LIMIT
    from ovenbird.recipe.size import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"OVENBIRD_STORE_LIMIT: {error}", hint="write a size such as 20G") from error
