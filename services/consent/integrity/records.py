"""The registry's records beside the log: those that a shard kept are, snapshot by snapshot, what its entries pin."""

from itertools import groupby
from typing import Any

from sqlalchemy import select

from services.consent.integrity.case import Case, Log, row_of
from services.consent.integrity.entries import Page
from services.consent.locked import RECORD
from services.formats.lease import parse_record
from services.tlog.tree import leaf_hash, merkle_root

_TABLES = "CREATE TABLE pin (sequence INTEGER PRIMARY KEY, hash TEXT);"


class Records:
    """Follows the entries of one shard, then reads its records; holds one hash for each service."""

    table = "registry_record"

    def __init__(self, case: Case) -> None:
        self._case = case
        case.scratch.executescript(_TABLES)

    def follow(self, page: Page) -> None:
        """Notes the snapshots that entries pin."""
        pins = {(item.entry.registry.sequence, item.entry.registry.hash) for item in page.items}
        for sequence, hash_ in sorted(pins):
            self._case.scratch.execute("INSERT OR IGNORE INTO pin VALUES (?, ?)", (sequence, hash_))
            known = self._case.scratch.execute("SELECT hash FROM pin WHERE sequence = ?", (sequence,)).fetchone()
            if known != (hash_,):
                self._case.at_log(page.log, f"two registry snapshots have the sequence {sequence}")

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Makes each snapshot again from the records kept until then."""
        case, hashes = self._case, dict[str, bytes]()
        statement = select(RECORD).where(RECORD.c.shard == case.shard)
        rows = case.rows(statement, RECORD.c.sequence, RECORD.c.service)
        pins = iter(
            case.scratch.execute("SELECT sequence, hash FROM pin WHERE sequence > 0 ORDER BY sequence").fetchall()
        )
        pin, begun = next(pins, None), False
        for sequence, group in groupby(rows, lambda row: row.sequence):
            while pin is not None and pin[0] < sequence:
                self._compare(pin, hashes, begun)
                pin = next(pins, None)
            begun = True
            hashes |= {row.service: self._hash(row) for row in group}
            if pin is None or pin[0] != sequence:
                case.keyed(RECORD, "no entry observed it", sequence=sequence)
        while pin is not None:
            self._compare(pin, hashes, begun)
            pin = next(pins, None)

    def _compare(self, pin: tuple[int, str], hashes: dict[str, bytes], begun: bool) -> None:
        if not begun:
            self._case.findings.note("the first registry snapshots were observed before their records were kept")
        elif merkle_root([hashes[name] for name in sorted(hashes) if hashes[name]]).hex() != pin[1]:
            self._case.keyed(RECORD, "the records are not the snapshot that entries pin", sequence=pin[0])

    def _hash(self, row: Any) -> bytes:
        data, hash_ = bytes(row.data), bytes(row.hash)
        key = row_of(service=row.service, sequence=row.sequence)
        with self._case.findings.guard(RECORD.name, self._case.shard, row=key):
            if data and (parse_record(data).name != row.service or leaf_hash(data) != hash_):
                raise ValueError("not the record of its hash, or of another service")
            if not data and hash_:
                raise ValueError("the record is missing")
        return hash_
