"""An export on disk: what stands where (docs/formats.md), read a line at a time.

    export.json                {"format":"accord-export/v1","logs":[origins in order of shard]}
    N/checkpoint               the N-th log's signed checkpoint
    N/tile/…                   C2SP tlog-tiles: entries and hashes
    N/entries.ndjson           one entry a line, in log order
    N/openings.ndjson          what commitments open to, in log order; only of an opened export, and not of what was erased
    N/records.ndjson           the registry records that decisions rested on; likewise

Guarantees that what is missing or malformed is `BrokenError`, never taken for empty. Proves nothing: see `book` and `fsck`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.ctl.audit.access import BrokenError
from services.formats.canonical import HEX_32, FormatError, Members, dumps, loads_canonical
from services.formats.entry import MAX_BODY, MAX_ENTRY, commitment
from services.formats.lease import MAX_RECORD, ServiceRecord, parse_record
from services.tlog.tree import leaf_hash

FORMAT = "accord-export/v1"
INDEX, CHECKPOINT = "export.json", "checkpoint"
ENTRIES, OPENINGS, RECORDS = "entries.ndjson", "openings.ndjson", "records.ndjson"
MAX_INDEX, MAX_OPENING = 1 << 20, 4 * MAX_BODY
Records = dict[str, ServiceRecord]
"""Registry records by leaf hash, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What one entry's commitment opens to, and what a decision rested on."""

    index: int
    salt: bytes
    body: dict[str, Any]
    facts_salt: bytes = b""
    facts: dict[str, Any] | None = None

    def commitment(self) -> str:
        """What the entry must commit to."""
        return commitment(self.salt, dumps(self.body))

    def facts_commitment(self) -> str:
        """What the body's `facts` must be; empty where there are none."""
        return commitment(self.facts_salt, dumps(self.facts)) if self.facts is not None else ""


def opening_line(index: int, opening: tuple[bytes, bytes], facts: tuple[bytes, bytes] | None) -> bytes:
    """The line of an opening, (salt, body) and (salt, facts): canonical if body and facts are."""
    salt, body = opening
    rest = b'"facts":%b,"facts_salt":"%b",' % (facts[1], facts[0].hex().encode()) if facts else b""
    return b'{"body":%b,%b"index":%d,"salt":"%b"}\n' % (body, rest, index, salt.hex().encode())


def parse_opening(line: bytes) -> Opening:
    """The opening of a line. Raises: FormatError."""
    members = Members(loads_canonical(line, MAX_OPENING), "opening")
    has_facts = members.has("facts")
    opening = Opening(
        members.integer("index"),
        bytes.fromhex(members.text("salt", HEX_32)),
        _object(members, "body"),
        bytes.fromhex(members.text("facts_salt", HEX_32)) if has_facts else b"",
        _object(members, "facts") if has_facts else None,
    )
    members.done()
    return opening


def _object(members: Members, name: str) -> dict[str, Any]:
    value = members.value(name)
    if not isinstance(value, dict):
        raise FormatError(f"opening.{name} is not an object")
    return value


@dataclass(frozen=True, slots=True)
class LogFolder:
    """One log of an export."""

    path: Path
    origin: str

    @property
    def opened(self) -> bool:
        """Whether it was exported with openings."""
        return (self.path / OPENINGS).exists()

    def note(self) -> str:
        """The signed checkpoint, nothing of it verified."""
        try:
            return self.fetch(CHECKPOINT).decode()
        except UnicodeDecodeError:
            raise BrokenError("checkpoint", "not UTF-8", self.origin) from None

    def fetch(self, path: str) -> bytes:
        """A file of the log, tiles above all. Raises: BrokenError where there is none."""
        try:
            return (self.path / path).read_bytes()
        except OSError:
            raise BrokenError("files", f"{path} is missing", self.origin) from None

    def lines(self, name: str, limit: int) -> Iterator[bytes]:
        """The lines of a file, at most `limit` bytes each. Raises: BrokenError, for a last one without its end too."""
        if not (self.path / name).is_file():
            raise BrokenError("files", f"{name} is missing", self.origin)
        with (self.path / name).open("rb") as file:
            while line := file.readline(limit + 2):
                if not line.endswith(b"\n"):
                    raise BrokenError(
                        "files", f"{name} is cut short, or holds a line of more than {limit} bytes", self.origin
                    )
                yield line[:-1]

    def entries(self) -> Iterator[bytes]:
        """The entries' exact bytes."""
        return self.lines(ENTRIES, MAX_ENTRY)

    def openings(self) -> Iterator[Opening]:
        """The openings, in log order. Raises: BrokenError."""
        last = -1
        for line in self.lines(OPENINGS, MAX_OPENING):
            try:
                opening = parse_opening(line)
            except FormatError as error:
                raise BrokenError("openings", f"the one after that of entry {last}: {error}", self.origin) from None
            if opening.index <= last:
                raise BrokenError("openings", "not in log order, or twice", self.origin, opening.index)
            last = opening.index
            yield opening

    def records(self) -> Records:
        """The registry records by leaf hash. Raises: BrokenError."""
        found: Records = {}
        for number, line in enumerate(self.lines(RECORDS, MAX_RECORD), 1):
            try:
                found[leaf_hash(line).hex()] = parse_record(line)
            except FormatError as error:
                raise BrokenError("records", f"line {number}: {error}", self.origin) from None
        return found


def open_export(folder: Path) -> list[LogFolder]:
    """The logs of an export. Raises: OSError or FormatError where there is none."""
    members = Members(loads_canonical((folder / INDEX).read_bytes(), MAX_INDEX), INDEX)
    if members.text("format") != FORMAT:
        raise FormatError(f"{folder}: not an export of format {FORMAT}")
    origins = members.texts("logs")
    members.done()
    if not origins or len(set(origins)) != len(origins):
        raise FormatError(f"{folder / INDEX}: no log, or one twice")
    return [LogFolder(folder / str(number), origin) for number, origin in enumerate(origins)]


def index_bytes(origins: list[str]) -> bytes:
    """The bytes of export.json."""
    return dumps({"format": FORMAT, "logs": origins})
