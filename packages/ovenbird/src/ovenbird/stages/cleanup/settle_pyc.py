"""Makes compiled Python files independent of file times, inside the tree of an image.

A .pyc file names the time of its source. Times in an image are clamped, so Python would find every one of them stale,
and on a read-only system compile the source again at each start. Python has a second kind (PEP 552) that names a hash
of the source and is not checked: only the 16 bytes of the header change. One whose source has changed or gone is
removed.

    settle_pyc.py FOLDER...
"""

import sys
from importlib.util import MAGIC_NUMBER, source_from_cache, source_hash
from pathlib import Path

HEADER = 16
UNCHECKED_HASH = (1).to_bytes(4, "little")
BY_TIME = (0).to_bytes(4, "little")


def settle(compiled: Path) -> None:
    """Turn one file's header into the unchecked kind, or remove the file if it does not fit its source."""
    with compiled.open("r+b") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or header[:4] != MAGIC_NUMBER or header[4:8] != BY_TIME:
            return
        try:
            source = Path(source_from_cache(str(compiled)))
        except ValueError:
            return
        try:
            status = source.stat()
            fits = header[8:] == b"".join(
                (value & 0xFFFFFFFF).to_bytes(4, "little") for value in (int(status.st_mtime), status.st_size)
            )
        except FileNotFoundError:
            fits = False
        if fits:
            file.seek(0)
            file.write(MAGIC_NUMBER + UNCHECKED_HASH + source_hash(source.read_bytes()))
            return
    compiled.unlink()


def main(folders: list[str]) -> None:
    """Settle every compiled file below the folders."""
    for folder in folders:
        for compiled in sorted(Path(folder).rglob("__pycache__/*.pyc")):
            if compiled.is_file() and not compiled.is_symlink():
                settle(compiled)


if __name__ == "__main__":
    main(sys.argv[1:])
