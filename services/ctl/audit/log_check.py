"""The check of one log of an export, to its end, whatever breaks on the way; and what was found.

Guarantees that each line, each tile and each opening is looked at once, in log order, and that one page is held at a time.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.progress import Progress

from services.ctl.audit.access import BrokenError, console, place
from services.ctl.audit.book import opening_fault, signed
from services.ctl.audit.checks import checks, shard_of
from services.ctl.audit.folder import LogFolder, Opening
from services.formats.canonical import FormatError
from services.formats.entry import Entry, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint
from services.tlog.note import NoteError, parse_note
from services.tlog.tiles import WIDTH, File, TileError, TileWriter

KINDS = {
    "files": "every file is there, whole",
    "checkpoint": "each checkpoint is signed by its log",
    "entries": "each entry is canonical, and of its shard",
    "times": "no entry is older than the one before it",
    "registry": "the registry's snapshot changes on the record only",
    "tiles": "the tiles hold these entries, and their hashes",
    "root": "they lead to the root that was signed",
    "openings": "each opening is what its entry commits to",
    "records": "each registry record is canonical",
    "consents": "each consent's revisions follow one another",
    "outcomes": "each outcome is the one of an authorisation before it",
    "promise": "no authorisation rests on a consent that had changed or ended",
}


class Findings:
    """What was found broken: the first of each kind, and how many of each; and what was looked at."""

    def __init__(self) -> None:
        self.first: dict[str, BrokenError] = {}
        self.counts: Counter[str] = Counter()
        self.logs: list[dict[str, Any]] = []

    def add(self, found: BrokenError) -> None:
        """One more broken thing."""
        self.first.setdefault(found.kind, found)
        self.counts[found.kind] += 1

    def json(self) -> dict[str, Any]:
        """All of it as JSON."""
        broken = [self.first[kind].json() | {"count": self.counts[kind]} for kind in KINDS if kind in self.first]
        return {"holds": not broken, "logs": self.logs, "broken": broken}

    def show(self) -> None:
        """All of it on the screen."""
        for kind, title in KINDS.items():
            found = self.first.get(kind)
            if found is None:
                console.print(f"  [green]✓[/] {title}")
                continue
            more = f" (and {self.counts[kind] - 1} more)" if self.counts[kind] > 1 else ""
            console.print(f"  [red]✗ {title}: {place(found.log, found.index)}{found.why}{more}[/]", highlight=False)
        for log in self.logs:
            openings = "not exported" if log["openings"] is None else f"{log['openings']} openings"
            console.print(f"{log['origin']}: {log['entries']} entries, {openings}", highlight=False)


class LogCheck:
    """The check of one log."""

    def __init__(self, log: LogFolder, trust: Trust, findings: Findings) -> None:
        self._log, self._trust, self._findings = log, trust, findings
        self._rules = checks(log.origin)
        self._openings: Iterator[Opening] = log.openings() if log.opened else iter(())
        self._next: Opening | None = None
        self._opened = self._entries = 0

    def run(self, progress: Progress) -> dict[str, Any]:
        """Checks everything; what was looked at."""
        checkpoint = self._checkpoint()
        task = progress.add_task(self._log.origin, total=checkpoint.size if checkpoint else None)
        writer = TileWriter()
        self._step()
        try:
            lines = self._log.entries()
            while page := list(islice(lines, WIDTH)):
                for index, data in enumerate(page, self._entries):
                    self._entry(index, data)
                self._entries += len(page)
                self._compare(writer.add(page))
                progress.advance(task, len(page))
        except BrokenError as broken:
            self._findings.add(broken)
        self._finish(writer, checkpoint)
        openings = self._opened if self._log.opened else None
        return {"origin": self._log.origin, "entries": self._entries, "openings": openings}

    def _finish(self, writer: TileWriter, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            try:
                self._compare(writer.edge(checkpoint.size, checkpoint.root))
            except TileError as error:
                self._add("root", str(error))
        if self._next is not None:
            self._add("openings", "there is no such entry", self._next.index)
        if self._log.opened:
            try:
                self._log.records()
            except BrokenError as broken:
                self._findings.add(broken)

    def _checkpoint(self) -> Checkpoint | None:
        """The signed checkpoint; else what the unsigned one says, for all the rest is checked against it too."""
        try:
            return signed(self._log, self._trust)
        except BrokenError as broken:
            self._findings.add(broken)
        try:
            return Checkpoint.parse(parse_note(self._log.note())[0])
        except (BrokenError, NoteError):
            return None

    def _entry(self, index: int, data: bytes) -> None:
        try:
            entry = parse_entry(data)
        except FormatError as error:
            self._add("entries", str(error), index)
            return
        if str(entry.shard) != shard_of(self._log.origin):
            self._add("entries", "of another shard", index)
        for rule in self._rules:
            wrong = rule.take(index, entry)
            if wrong:
                self._add(rule.kind, wrong, index)
        if self._next is not None and self._next.index == index:
            self._opening(self._next, entry)

    def _opening(self, opening: Opening, entry: Entry) -> None:
        wrong = opening_fault(opening, entry)
        if wrong:
            self._add("openings", wrong, opening.index)
        self._opened += 1
        self._step()

    def _step(self) -> None:
        try:
            self._next = next(self._openings, None)
        except BrokenError as broken:
            self._findings.add(broken)
            self._next = None

    def _compare(self, made: list[File]) -> None:
        for path, data in made:
            try:
                if self._log.fetch(path) != data:
                    self._add("tiles", f"{path} is not of these entries")
            except BrokenError as broken:
                self._findings.add(broken)

    def _add(self, kind: str, why: str, index: int | None = None) -> None:
        self._findings.add(BrokenError(kind, why, self._log.origin, index))
