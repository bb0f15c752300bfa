"""Makes compiled Python files independent of file times, inside the tree of an image.

A .pyc file names the time of its source. Times in an image are clamped, so Python would find every one of them stale,
and on a read-only system compile the source again at each start. Python has another kind (PEP 552) that names a hash
of the source and is not checked: only the 16 bytes of the header change. The third kind, which Python writes where
SOURCE_DATE_EPOCH is set, names a hash too but is checked: a device would read every source at each start. One whose
source has changed or gone is removed.

    settle_pyc.py FOLDER...
"""

import sys
from importlib.util import MAGIC_NUMBER, source_from_cache, source_hash
from pathlib import Path

HEADER = 16
BY_TIME, UNCHECKED_HASH, CHECKED_HASH = ((kind).to_bytes(4, "little") for kind in (0, 1, 3))


def settle(compiled: Path) -> None:
    """Turn one file's header into the unchecked kind, or remove the file if it does not fit its source."""
    with compiled.open("rb") as file:  # Not for writing: in a layer that alone would copy the file.
        header = file.read(HEADER)
    kind = header[4:8]
    if len(header) < HEADER or header[:4] != MAGIC_NUMBER or kind not in (BY_TIME, CHECKED_HASH):
        return
    try:
        source = Path(source_from_cache(str(compiled)))
    except ValueError:
        return
    try:
        digest = source_hash(source.read_bytes())
        status = source.stat()
    except FileNotFoundError:
        compiled.unlink()
        return
    stamp = b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in (int(status.st_mtime), status.st_size))
    if header[8:] != (stamp if kind == BY_TIME else digest):
        compiled.unlink()
        return
    with compiled.open("r+b") as file:
        file.write(MAGIC_NUMBER + UNCHECKED_HASH + digest)


def main(folders: list[str]) -> None:
    """Settle every compiled file below the folders."""
    for folder in folders:
        for compiled in sorted(Path(folder).rglob("__pycache__/*.pyc")):
            if compiled.is_file() and not compiled.is_symlink():
                settle(compiled)


if __name__ == "__main__":
    main(sys.argv[1:])
