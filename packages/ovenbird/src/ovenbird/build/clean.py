"""Keeping the store within its limit: the longest unused steps and packages go first."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ovenbird.build.engine import Engine
from ovenbird.build.store import StepRecord, Store, folder_size
from ovenbird.build.tree_steps import IMAGE_KINDS


@dataclass(frozen=True, slots=True)
class Freed:
    """What a clean-up took away: the number of steps and packages, and about how many bytes."""

    steps: int = 0
    packages: int = 0
    size: int = 0


def store_size(store: Store) -> dict[str, int]:
    """What lies in the store, in bytes by kind."""
    sizes = {
        "steps": folder_size(store.steps) if store.steps.exists() else 0,
        "trees": _tree_size(store),
        "packages": sum(file.stat().st_size for file in _packages(store)),
        "package lists": folder_size(store.root / "index") if (store.root / "index").exists() else 0,
    }
    return {**sizes, "all": sum(sizes.values())}


def _own_size(records: Collection[StepRecord]) -> dict[str, int]:
    """What each step takes by itself (bytes, by key): a tree counts what it added to the one before."""
    trees = {record.key: record.size for record in records if record.kind in IMAGE_KINDS}
    own = {record.key: record.size for record in records}
    for record in records:
        if record.kind in IMAGE_KINDS:
            parent = record.inputs.get("parent") or record.inputs.get("base") or ""
            own[record.key] = max(0, record.size - trees.get(parent, 0))
    return own


def _tree_size(store: Store) -> int:
    records = [record for record, _ in store.records()]
    own = _own_size(records)
    return sum(own[record.key] for record in records if record.kind in IMAGE_KINDS)


def _packages(store: Store) -> list[Path]:
    folder = store.root / "packages"
    return [*folder.glob("*.deb"), *folder.glob("*.pkg"), *folder.glob("pacman/*.pkg.*")]


def keep_within(
    store: Store, engine: Engine, limit: int, *, spare: Collection[str] = (), packages: bool = True
) -> Freed:
    """Take away what was not used for longest until the store is within `limit` bytes; never a step in `spare`.

    Does nothing while another build runs.
    """
    sizes = store_size(store)
    if sizes["all"] <= limit:
        return Freed()
    with store.alone() as alone:
        if not alone:
            return Freed()
        excess = sizes["all"] - limit
        freed = Freed()
        own = _own_size([record for record, _ in store.records()])
        candidates = [(used, record) for record, used in store.records() if record.key not in spare]
        for _, record in sorted(candidates, key=lambda pair: pair[0]):
            if limit and freed.size >= excess:
                return freed
            if record.kind in IMAGE_KINDS:
                engine.remove([record.key])
            store.forget(record)
            freed = Freed(freed.steps + 1, freed.packages, freed.size + own[record.key])
        if not packages:
            return freed
        newest = time.time() - (3600 if spare else 0)  # Those of the build that has just ended stay.
        for file in sorted(_packages(store), key=lambda file: file.stat().st_mtime):
            if (limit and freed.size >= excess) or file.stat().st_mtime > newest:
                return freed
            size = file.stat().st_size
            file.unlink(missing_ok=True)
            freed = Freed(freed.steps, freed.packages + 1, freed.size + size)
        return freed
