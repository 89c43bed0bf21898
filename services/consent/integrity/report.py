"""What a verification found: each finding names its place, and no finding ends the search.

Guarantees that a bounded number is listed and all are counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from sqlalchemy.exc import DBAPIError

BROKEN = (ValueError, LookupError, TypeError, OverflowError, InvalidTag)
"""What reading bytes that somebody changed may raise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold. `index`: of the entry; `row`: the rest of the row's key, where it has another one."""

    table: str
    shard: int
    what: str
    epoch: int | None = None
    index: int | None = None
    row: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the verification of one log has come, in entries."""

    origin: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A log that was verified: its signed size, and the entries that were read."""

    origin: str
    shard: int
    epoch: int
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was verified and found. `found` counts all findings, `findings` lists the first of them.

    `opened`: openings that were opened and are what their entries commit to. `closed`: those whose key is gone. `covered`:
    how many the log's tombstones account for. `notes`: what could not be looked at, and why.
    """

    logs: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    found: int
    opened: int
    closed: int
    covered: int
    notes: tuple[str, ...]

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return sum(log.size for log in self.logs)


@dataclass(slots=True)
class Findings:
    """Collects findings, and lists at most `limit` of them."""

    limit: int
    listed: list[Finding] = field(default_factory=list)
    found: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def add(
        self, table: str, shard: int, what: str, *, epoch: int | None = None, index: int | None = None, row: str = ""
    ) -> None:
        """One more."""
        self.found += 1
        if self.found <= self.limit:
            self.listed.append(Finding(table, shard, what, epoch, index, row))

    def note(self, text: str) -> None:
        """What could not be looked at; told once."""
        self.notes[text] = None

    @contextmanager
    def guard(
        self, table: str, shard: int, *, epoch: int | None = None, index: int | None = None, row: str = ""
    ) -> Iterator[None]:
        """Whatever broken bytes raise within is a finding at this place. Raises: DBAPIError when the connection is gone."""
        try:
            yield
        except BROKEN as error:
            self.add(table, shard, _said(error), epoch=epoch, index=index, row=row)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            self.add(table, shard, f"cannot be read ({type(error).__name__})", epoch=epoch, index=index, row=row)


def _said(error: BaseException) -> str:
    # A KeyError says the key and a UnicodeDecodeError quotes bytes: neither is for a report.
    plain = type(error) is ValueError or type(error).__module__.startswith("services.")
    return str(error) if plain and str(error) else f"does not parse or open ({type(error).__name__})"
