"""Reading an export as proven by TRUST: what comes out is what the log's own key signed, or the reading ends with an error.

Guarantees, once a log was read to its end: the entries are those of the signed checkpoint, and each opening is what its
entry commits to. Until then they may yet turn out not to be: judge at the end. Holds one page, whatever the log's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rich.progress import Progress

from services.ctl.audit.access import BrokenError
from services.ctl.audit.folder import LogFolder, Opening
from services.formats.canonical import FormatError
from services.formats.entry import Entry, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.tree import Frontier, leaf_hash

PAGE = 1024


@dataclass(frozen=True, slots=True)
class Read:
    """One entry of a log, and what it opens to where that is there."""

    index: int
    entry: Entry
    opening: Opening | None


def signed(log: LogFolder, trust: Trust) -> Checkpoint:
    """The log's checkpoint. Raises: BrokenError unless it is of this log and by its key in TRUST."""
    verifier = trust.log(log.origin)
    if verifier is None:
        raise BrokenError("checkpoint", "TRUST does not list this log", log.origin)
    try:
        return open_checkpoint(log.note(), verifier)
    except NoteError as error:
        raise BrokenError("checkpoint", str(error), log.origin) from None


def read_book(log: LogFolder, trust: Trust, progress: Progress, *, opened: bool = False) -> Iterator[Read]:
    """Every entry in log order, with its opening if `opened`. Raises: BrokenError, at the latest at the end."""
    checkpoint, frontier, first = signed(log, trust), Frontier.empty(), 0
    task = progress.add_task(log.origin, total=checkpoint.size)
    lines, openings = log.entries(), _Openings(log.openings() if opened else iter(()))
    while page := list(islice(lines, PAGE)):
        frontier, _ = frontier.extend([leaf_hash(data) for data in page])
        for index, data in enumerate(page, first):
            entry = _parsed(data, log, index)
            yield Read(index, entry, _matching(openings.of(index), entry, log))
        first += len(page)
        progress.advance(task, len(page))
    if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
        raise BrokenError("root", "the entries are not those of the signed checkpoint", log.origin)
    openings.done(log)


class _Openings:
    """Openings in log order, asked for by index in log order."""

    def __init__(self, openings: Iterator[Opening]) -> None:
        self._openings = openings
        self._next = next(openings, None)

    def of(self, index: int) -> Opening | None:
        """That of an entry; None where there is none."""
        if self._next is None or self._next.index != index:
            return None
        found, self._next = self._next, next(self._openings, None)
        return found

    def done(self, log: LogFolder) -> None:
        """Raises: BrokenError for one that no entry was asked for."""
        if self._next is not None:
            raise BrokenError("openings", "there is no such entry", log.origin, self._next.index)


def _parsed(data: bytes, log: LogFolder, index: int) -> Entry:
    try:
        return parse_entry(data)
    except FormatError as error:
        raise BrokenError("entries", str(error), log.origin, index) from None


def _matching(opening: Opening | None, entry: Entry, log: LogFolder) -> Opening | None:
    wrong = opening_fault(opening, entry) if opening else ""
    if opening and wrong:
        raise BrokenError("openings", wrong, log.origin, opening.index)
    return opening


def opening_fault(opening: Opening, entry: Entry) -> str:
    """How an opening is not its entry's; empty when it is."""
    if opening.commitment() != entry.commit:
        return "not what the entry commits to"
    stated = opening.body.get("facts", "")
    if opening.facts_commitment() != stated:
        return "facts other than those that its body commits to" if opening.facts else "its facts are missing"
    return ""
