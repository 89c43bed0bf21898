"""A witness's memory in one file, elsewhere than the ledger: the highest checkpoint of each log, and what contradicted one.

Guarantees that what `keep` returned is on disk, that the file is whole at every instant, that one process at a time uses
it, and that a contradiction found is never forgotten: beside FILE stands FILE.contradiction, with both signed notes, until a
person has dealt with it. Leaves to `chassis.witness` what may be kept.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from services.chassis.witness import Contradiction
from services.ctl.private_files import PkiError, write_once
from services.errors import AccordError, Reason
from services.formats.canonical import FormatError, Members, dumps, loads
from services.formats.times import text_of

FORMAT, FOUND = "accord-witness/v1", "accord-contradiction/v1"


class WitnessFileError(Exception):
    """The file cannot be used; the message says why."""


class WitnessFile:
    """The file at `path`, held by this process: see `held`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contradiction = path.with_name(f"{path.name}.contradiction")
        self.cosigned = path.with_name(f"{path.name}.cosigned")
        self._notes = _read(path)

    async def checkpoints(self) -> dict[str, str]:
        """The kept note of each log, by origin."""
        return dict(self._notes)

    async def keep(self, origin: str, note: str) -> None:
        """Replaces the kept note of a log, on disk when it returns. Raises: AccordError STORAGE_UNAVAILABLE."""
        notes = self._notes | {origin: note}
        content = dumps({"format": FORMAT, "checkpoints": [notes[each] for each in sorted(notes)]})
        self._replace(self.path, content)
        self._notes = notes

    def keep_cosigned(self, origin: str, note: str) -> None:
        """Replaces the cosigned checkpoint of a log: FILE.cosigned/ORIGIN, the origin percent-encoded.

        Raises: AccordError STORAGE_UNAVAILABLE.
        """
        self._replace(self.cosigned / quote(origin, safe=""), note.encode())

    def keep_contradiction(self, found: Contradiction, time_ms: int) -> None:
        """Keeps what was found, with both notes; an earlier one stays. Raises: AccordError STORAGE_UNAVAILABLE."""
        told = {"origin": found.origin, "why": found.why, "kept": found.kept, "shown": found.shown}
        content = dumps({"format": FOUND, "time": text_of(time_ms)} | told)
        try:
            with suppress(PkiError):
                write_once(self.contradiction, content, 0o644)
        except OSError as error:
            raise AccordError(Reason.STORAGE_UNAVAILABLE, f"{self.contradiction}: {error.strerror}") from error

    def earlier_contradiction(self) -> Contradiction | None:
        """What an earlier watch found, and nobody has dealt with yet. Raises: WitnessFileError, OSError."""
        if not self.contradiction.exists():
            return None
        with _parsing(self.contradiction):
            members = Members(loads(self.contradiction.read_bytes()), "contradiction")
            return Contradiction(*(members.text(name) for name in ("origin", "why", "kept", "shown")))

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        try:
            _replace(path, content)
        except OSError as error:
            raise AccordError(Reason.STORAGE_UNAVAILABLE, f"{path}: {error.strerror}") from error


@contextmanager
def held(path: Path) -> Iterator[WitnessFile]:
    """The file, for this process alone. Raises: WitnessFileError when another holds it or it does not parse; OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WitnessFileError(f"{path}: another process keeps its checkpoints there") from None
        yield WitnessFile(path)


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with _parsing(path):
        members = Members(loads(path.read_bytes()), "witness")
        if members.text("format") != FORMAT:
            raise FormatError(f"not a file of format {FORMAT}")
        notes = members.texts("checkpoints")
        members.done()
    return {note.partition("\n")[0]: note for note in notes}


@contextmanager
def _parsing(path: Path) -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise WitnessFileError(f"{path}: {error}") from error


def _replace(path: Path, content: bytes) -> None:
    """Written beside, then renamed over; the folder is synced too, for the rename is what a crash could lose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
