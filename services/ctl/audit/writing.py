"""One log of an export as it is written: tiles as soon as they are complete, a line for each entry and opening.

Guarantees that `finish` returns only if what was written is the tree of the checkpoint. Holds one bundle and one tile of
each level, whatever the size of the log.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from accord.consent.v1 import audit_service_pb2 as pb

from services.ctl.audit.access import BrokenError
from services.ctl.audit.folder import CHECKPOINT, ENTRIES, OPENINGS, RECORDS, LogFolder, opening_line
from services.tlog.checkpoint import Checkpoint
from services.tlog.tiles import File, TileReader, TileWriter

_BLOCK = 1 << 20


class LogWriter:
    """Writes one log into an empty folder; with `since`, that many entries are in `known` already.

    `next` is the index of the next entry to add: at first that of the last, unfinished bundle, or 0 if `opened`.
    """

    def __init__(self, folder: Path, since: int, known: LogFolder | None, *, opened: bool) -> None:
        self._folder, self._since, self._known, self._opened = folder, since, known, opened
        self._tiles = TileWriter(since, TileReader(since, known.fetch).read) if known and since else TileWriter()
        self.next = 0 if opened else self._tiles.size
        self._open = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self.openings = self.records = 0

    def __enter__(self) -> Self:
        """Opens the files."""
        self._folder.mkdir()
        for name in (ENTRIES, *((OPENINGS, RECORDS) if self._opened else ())):
            self._files[name] = self._open.enter_context((self._folder / name).open("wb"))
        if self._known and self._since:
            _copy_lines(self._known, self._since, self._files[ENTRIES])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes them."""
        self._open.close()

    def add(self, items: Sequence[pb.ExportEntriesResponse.Item]) -> None:
        """Takes the next entries, in log order. Raises: TileError for one too long, BrokenError for one of two lines."""
        first, entries = self.next, [item.entry for item in items]
        opened = [_opening(first + place, item) for place, item in enumerate(items) if item.HasField("opening")]
        if any(b"\n" in entry for entry in entries) or any(b"\n" in line[:-1] for line in opened):
            raise BrokenError("entries", "an entry or an opening of more than one line", index=first)
        self._files[ENTRIES].writelines(entry + b"\n" for entry in entries[max(0, self._since - first) :])
        if opened:
            self._files[OPENINGS].writelines(opened)
        self.next += len(entries)
        self.openings += len(opened)
        self._put(self._tiles.add(entries[max(0, self._tiles.size - first) :]))

    def keep(self, records: Iterable[bytes]) -> None:
        """Takes registry records."""
        for record in records:
            self._files[RECORDS].write(record + b"\n")
            self.records += 1

    def finish(self, checkpoint: Checkpoint, note: str) -> None:
        """Writes the last tiles and the checkpoint. Raises: TileError unless all leads to its root."""
        self._put(self._tiles.edge(checkpoint.size, checkpoint.root))
        (self._folder / CHECKPOINT).write_text(note)
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def _put(self, files: Iterable[File]) -> None:
        for path, data in files:
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _opening(index: int, item: pb.ExportEntriesResponse.Item) -> bytes:
    facts = (item.facts.salt, item.facts.body) if item.HasField("facts") else None
    return opening_line(index, (item.opening.salt, item.opening.body), facts)


def _copy_lines(known: LogFolder, count: int, target: BinaryIO) -> None:
    """The first lines of what was exported before. Raises: BrokenError where there are fewer."""
    left = count
    with (known.path / ENTRIES).open("rb") as source:
        while left and (block := source.read(_BLOCK)):
            lines = block.count(b"\n")
            if lines > left:
                block = b"\n".join(block.split(b"\n", left)[:left]) + b"\n"
            target.write(block)
            left -= min(lines, left)
    if left:
        raise BrokenError("files", f"{ENTRIES} holds fewer entries than its checkpoint says", known.origin)
