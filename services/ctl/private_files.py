"""Files that are written once: whole or not at all, never over another, private keys readable by their owner only.

Guarantees that a crash leaves at worst a temporary file beside. Makes the folder. Leaves what is written to its callers.
"""

import os
from pathlib import Path


class PkiError(Exception):
    """The authority refuses: the message says what is wrong, in one sentence."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads. Raises: PkiError if the path exists."""
    write_once(path, content, 0o600)


def write_once(path: Path, content: bytes, mode: int) -> None:
    """Write beside, then link: unlike a rename, a link replaces no file. Raises: PkiError if the path exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError as error:
        raise PkiError(f"{path} exists and is not overwritten") from error
    finally:
        temporary.unlink(missing_ok=True)
