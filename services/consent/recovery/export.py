"""What an audit export, taken after the backup, holds of the lost range: above all what was erased in it.

Guarantees that an export is read only if it is what its checkpoint says, which the log's key in TRUST signed, and continues
the restored log. A log's folder holds `checkpoint`, its entries (`entries.ndjson`, one a line, or C2SP tiles), and, where
the auditor had them, `openings.ndjson` (docs/formats.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.consent.recovery.epoch import Restored
from services.consent.recovery.refusal import RecoveryError
from services.formats.canonical import FormatError, Members, dumps, loads
from services.formats.entry import Entry, EntryType, commitment, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.tiles import WIDTH, Tile, TileError, parse_bundle
from services.tlog.tree import Frontier, leaf_hash

FORMAT = "accord-export/v1"
_TOMBSTONES = frozenset({EntryType.PATIENT_ERASED, EntryType.RETENTION_APPLIED})
_STEP = 256


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An erasure or a retention of the lost range. `traces` and `year` stand in its opening: None where that is not had."""

    index: int
    entry: Entry
    traces: bool | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """An export's folders, by the origin of their logs; `notes` are its checkpoints, not verified yet."""

    folders: dict[str, Path]
    notes: tuple[str, ...]

    def tombstones(self, log: Restored, trust: Trust) -> list[Tombstone]:
        """The tombstones that were lost of a restored log, in log order; none where the export does not hold the log.

        Raises: RecoveryError for an export that is not of this log.
        """
        folder, verifier = self.folders.get(log.origin), trust.log(log.origin)
        if folder is None or verifier is None:
            return []
        try:
            checkpoint = open_checkpoint((folder / "checkpoint").read_bytes(), verifier)
            found = list(_lost(folder, checkpoint, log))
            told = _openings(folder, dict(found))
        except (OSError, NoteError, TileError, FormatError) as error:
            raise RecoveryError(f"{folder}: {error}") from None
        return [Tombstone(index, entry, *told.get(index, (None, None))) for index, entry in found]


def read_export(folder: Path) -> Export:
    """The export in a folder. Raises: RecoveryError."""
    try:
        members = Members(loads((folder / "export.json").read_bytes()), "export")
        if members.text("format") != FORMAT:
            raise FormatError(f"not of format {FORMAT}")
        folders = {origin: folder / str(number) for number, origin in enumerate(members.texts("logs"))}
        return Export(folders, tuple((path / "checkpoint").read_text() for path in folders.values()))
    except (OSError, ValueError) as error:
        raise RecoveryError(f"{folder}: {error}") from None


def _lost(folder: Path, checkpoint: Checkpoint, log: Restored) -> Iterator[tuple[int, Entry]]:
    """The tombstones beyond the restored log. Raises: FormatError unless the export continues it up to its checkpoint."""
    frontier, row = Frontier.empty(), list[bytes]()
    for index, data in enumerate(_entries(folder, checkpoint.size)):
        row.append(leaf_hash(data))
        if len(row) == _STEP or index + 1 in (log.size, checkpoint.size):
            (frontier, _), row = frontier.extend(row), []
        if index + 1 == log.size and frontier.root() != log.root:
            raise FormatError(f"not an export of the restored log {log.origin}")
        if index >= log.size and (entry := parse_entry(data)).type in _TOMBSTONES:
            yield index, entry
    if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
        raise FormatError("its entries are not those of its checkpoint")


def _entries(folder: Path, size: int) -> Iterator[bytes]:
    lines = folder / "entries.ndjson"
    if lines.exists():
        with lines.open("rb") as file:
            yield from (line.removesuffix(b"\n") for line in file)
        return
    for number in range(-(-size // WIDTH)):
        tile = Tile(None, number, min(WIDTH, size - number * WIDTH))
        yield from parse_bundle((folder / tile.path).read_bytes(), tile.width)


def _openings(folder: Path, wanted: dict[int, Entry]) -> dict[int, tuple[bool | None, int | None]]:
    """(traces, year) of the tombstones whose opening the export holds. Raises: FormatError for one that opens nothing."""
    path, told = folder / "openings.ndjson", dict[int, tuple[bool | None, int | None]]()
    if not wanted or not path.exists():
        return told
    with path.open("rb") as file:
        for line in file:
            members = Members(loads(line), "opening")
            entry = wanted.get(members.integer("index"))
            if entry is not None:
                index, salt, body = loads(line)["index"], bytes.fromhex(members.text("salt")), members.value("body")
                if commitment(salt, dumps(body)) != entry.commit:
                    raise FormatError(f"the opening of entry {index} is not what it commits to")
                told[index] = (body.get("traces"), body.get("year"))
    return told
